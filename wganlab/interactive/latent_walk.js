// A generator and its critic, computed here: a latent point, the picture of it, and a walk to another one.
// Pictures have 28 x 28 numbers in [-1, 1], ink is 1. A layer is a list of rows, one for each of its outputs:
// the weights, and the bias last.

const [SIDE, STEPS, SAMPLES, SLIDERS, LIMIT] = [28, 20, 16, 4, 4];

const bytes = (code) => Uint8Array.from(atob(code), (letter) => letter.charCodeAt(0));

function layersOf(shapes, codes, scales) {
  let [at, output] = [0, 0];
  return shapes.map(([rows, columns]) => Array.from({ length: rows }, () => {
    const [scale, row] = [scales[output++], codes.subarray(at, (at += columns))];
    return Float32Array.from(row, (code) => scale * (code - 128));
  }));
}

const relu = (v) => Math.max(v, 0);
const leaky = (v) => Math.max(v, 0.2 * v);

function linear(rows, x) {
  return Float32Array.from(rows, (row) => x.reduce((sum, v, k) => sum + row[k] * v, row[x.length]));
}

// Convolution and its transpose, 4 x 4, stride 2, padding 1. Place (i, j) of the small map meets the places
// (2 i + r - 1, 2 j + s - 1) of the large one with the weight (r, s).
function meet(small, visit) {
  const large = 2 * small;
  for (let k = 0; k < 16; k++)
    for (let i = 0; i < small; i++) {
      const y = 2 * i + (k >> 2) - 1;
      if (y < 0 || y >= large) continue;
      for (let j = 0; j < small; j++) {
        const x = 2 * j + (k & 3) - 1;
        if (x >= 0 && x < large) visit(k, i * small + j, y * large + x);
      }
    }
}

function convolve(rows, x, small, up) {
  const [few, many] = [small * small, 4 * small * small];
  const [size, inputs] = [up ? many : few, x.length / (up ? few : many)];
  const result = new Float32Array(rows.length * size);
  rows.forEach((row, output) => result.fill(row[16 * inputs], output * size, (output + 1) * size));
  meet(small, (k, a, b) => {
    const [from, to] = up ? [a, b] : [b, a];
    for (let output = 0; output < rows.length; output++) {
      const row = rows[output];
      let sum = 0;
      for (let input = 0; input < inputs; input++) sum += row[16 * input + k] * x[input * (x.length / inputs) + from];
      result[output * size + to] += sum;
    }
  });
  return result;
}

function generate([first, second, third, last], z) {
  const maps = linear(second, linear(first, z).map(relu)).map(relu);
  return convolve(last, convolve(third, maps, 7, true).map(relu), 14, true).map(Math.tanh);
}

function score([first, second, last], picture) {
  const maps = convolve(second, convolve(first, picture, 14, false).map(leaky), 7, false).map(leaky);
  return linear(last, maps)[0];
}

function nearest(digits, picture) {
  const distances = digits.map((digit) => Math.sqrt(digit.reduce((sum, v, k) => sum + (v - picture[k]) ** 2, 0)));
  const index = distances.indexOf(Math.min(...distances));
  return { index, distance: distances[index] };
}

// Points between a and b: on the line, or on an arc that keeps the law of normal points.
function between(a, b, t, onArc) {
  const [from, to] = onArc ? [Math.cos((Math.PI * t) / 2), Math.sin((Math.PI * t) / 2)] : [1 - t, t];
  return a.map((v, k) => from * v + to * b[k]);
}

// Normal numbers by Box and Muller, out of a small generator (mulberry32) that begins anywhere.
function normals(seed) {
  const uniform = () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let v = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    v = (v + Math.imul(v ^ (v >>> 7), 61 | v)) ^ v;
    return ((v ^ (v >>> 14)) >>> 0) / 2 ** 32;
  };
  return () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
}

// A picture on a canvas, ink black on white in light and in dark.
function screen(label, kind, hidden = false) {
  const element = html("canvas", hidden ? { "aria-hidden": "true" } : { role: "img", "aria-label": label });
  [element.width, element.height] = [SIDE, SIDE];
  const border = kind ? `2px solid var(--${kind})` : "1px solid color-mix(in srgb, currentColor 30%, transparent)";
  element.style.cssText = `display: block; width: 100%; aspect-ratio: 1; image-rendering: pixelated; border: ${border}`;
  const pixels = element.getContext("2d").createImageData(SIDE, SIDE);
  return {
    element,
    show(picture) {
      for (let k = 0; k < SIDE * SIDE; k++) pixels.data.set([...Array(3).fill(127.5 - 127.5 * picture[k]), 255], 4 * k);
      element.getContext("2d").putImageData(pixels, 0, 0);
    },
  };
}

function draw(root, data) {
  const [codes, packed, start] = [bytes(data.weights), bytes(data.digits), data.start];
  const layers = layersOf(data.shapes, codes, new Float32Array(bytes(data.scales).buffer));
  const [generator, critic] = [layers.slice(0, 4), layers.slice(4)];
  const count = packed.length / (SIDE * SIDE / 2);
  const weights = data.shapes.reduce((sum, [rows, columns]) => sum + rows * columns, 0);
  if (weights !== codes.length || layers.length !== 7 || count % 10 || start.length !== 2)
    throw new Error("The players or the digits are not whole.");
  const half = (k) => (k % 2 ? packed[k >> 1] & 15 : packed[k >> 1] >> 4) / 7.5 - 1;
  const digits = Array.from({ length: count }, (_, n) =>
    Float32Array.from({ length: SIDE * SIDE }, (_, k) => half(n * SIDE * SIDE + k)));
  const realScores = digits.map((digit) => score(critic, digit));
  const realMean = realScores.reduce((sum, v) => sum + v, 0) / count;
  const normal = normals(1);
  const point = () => Array.from(start[0], normal);
  const judge = (z) => {
    const picture = generate(generator, z);
    return { picture, score: score(critic, picture), ...nearest(digits, picture) };
  };
  const name = (index) => `a ${Math.floor((10 * index) / count)}`;

  let [z, from, to, onArc, samples, timer] = [start[0], start[0], start[1], false, [], 0];

  const [made, real] = [screen("The generated picture", "fake"), screen("The nearest of the real digits", "real")];
  const strip = Array.from({ length: 9 }, () => screen("", "", true));
  const values = readouts({
    score: ["critic's score", ""], against: ["less the reals' mean", ""],
    nearest: ["nearest real digit", ""], distance: ["its distance", ""],
    length: ["length of *z*", ""], middle: ["in the walk's middle", ""],
  });
  values.element.classList.add("wide");

  // The scores of the real digits, of the samples, and of the picture, in one line.
  const ruler = (() => {
    const [left, right] = [8, 312];
    const thin = (kind) => svg("path", { class: `curve ${kind}`, style: "stroke-width: 1" });
    const ticks = { real: thin("real"), fake: thin("fake") };
    const [mark, ends] = [svg("path", { class: "fill-ink" }), [text(left, 58, "", "muted"), text(right, 58, "", "muted end")]];
    const element = panel(320, 62, "The critic's scores of the real digits, of the samples and of the picture.",
      svg("path", { class: "axis", d: `M${left} 44H${right}` }), ...Object.values(ticks), mark, ...ends);
    return {
      element,
      show(now) {
        const all = [...realScores, ...samples.map((one) => one.score), now];
        const [low, high] = [Math.min(...all), Math.max(...all)];
        const X = (v) => (left + ((v - low) / (high - low)) * (right - left)).toFixed(1);
        const marks = (scores, y) => scores.map((v) => `M${X(v)} ${y}v12`).join("");
        ticks.real.setAttribute("d", marks(realScores, 16));
        ticks.fake.setAttribute("d", marks(samples.map((one) => one.score), 30));
        mark.setAttribute("d", `M${X(now)} 14l-5 -9h10Z`);
        ends[0].textContent = fixed(low, 1);
        ends[1].textContent = fixed(high, 1);
      },
    };
  })();

  const voice = announcer();
  const way = slider(root, {
    name: "walk", label: "walk", min: 0, max: 1, step: 1 / STEPS, value: 0,
    shown: (t) => fixed(t, 2), spoken: (t) => `${Math.round(100 * t)} percent of the way`,
    onInput() { pause(); walk(); },
  });
  const coordinates = Array.from({ length: SLIDERS }, (_, k) => slider(root, {
    name: `z${k + 1}`, label: `*z*${"₁₂₃₄"[k]}`, min: -LIMIT, max: LIMIT, step: 0.1, value: start[0][k],
    shown: (v) => fixed(v, 1), spoken: (v) => fixed(v, 1).replace("−", "minus "),
    onInput() { begin(z.map((v, i) => (i === k ? coordinates[k].value : v)), to); },
  }));

  function show() {
    const { picture, score, index, distance } = judge(z);
    made.show(picture);
    real.show(digits[index]);
    ruler.show(score);
    values.set({
      score: fixed(score, 2), against: fixed(score - realMean, 2), nearest: name(index), distance: fixed(distance, 2),
      length: fixed(Math.hypot(...z), 2), middle: fixed(Math.hypot(...between(from, to, 0.5, onArc)), 2),
    });
    coordinates.forEach((one, k) => { one.value = z[k]; });
    if (timer) return;
    const below = score < realMean ? "below" : "above";
    voice.say(`The nearest real digit is ${name(index)}, at distance ${fixed(distance, 1)}. `
      + `The score is ${fixed(Math.abs(score - realMean), 1)} ${below} the mean of the real digits.`);
  }
  // A new path: its pictures, and the point at its start.
  function begin(a, b) {
    pause();
    [z, from, to, way.value] = [a, a, b, 0];
    strip.forEach((one, k) => one.show(generate(generator, between(from, to, k / (strip.length - 1), onArc))));
    show();
  }
  function walk() {
    z = between(from, to, way.value, onArc);
    show();
  }

  const still = matchMedia("(prefers-reduced-motion: reduce)");
  const play = button("play", () => {
    if (timer) {
      pause();
      return show();
    }
    if (way.value === 1) way.value = 0;
    play.textContent = "pause";
    timer = setInterval(() => {
      way.value += 1 / STEPS;
      if (way.value === 1) pause();
      walk();
    }, still.matches ? 1000 : 200);
    walk();
  });
  play.style.minWidth = "5.5rem";
  function pause() {
    clearInterval(timer);
    timer = 0;
    play.textContent = "play";
  }
  // Nothing moves that nobody sees.
  document.addEventListener("visibilitychange", () => document.hidden && timer && pause());
  const seen = () => root.getBoundingClientRect().bottom > 0 && root.getBoundingClientRect().top < innerHeight;
  new IntersectionObserver(() => timer && !seen() && pause()).observe(root);

  const path = button("on a line", () => {
    onArc = !onArc;
    path.textContent = onArc ? "on an arc" : "on a line";
    begin(from, to);
  });
  path.style.minWidth = "6.5rem";
  const grid = Array.from({ length: SAMPLES }, (_, k) => {
    const picture = screen("", "", true);
    const element = button("", () => begin(z, samples[k].z));
    element.style.cssText = "padding: 0; border: 0; min-height: 0";
    element.append(picture.element);
    return { element, show(one) {
      picture.show(one.picture);
      element.setAttribute("aria-label", `walk to sample ${k + 1}, nearest to ${name(one.index)}`);
    } };
  });
  function resample() {
    samples = grid.map((one) => {
      const place = point();
      const found = { z: place, ...judge(place) };
      one.show(found);
      return found;
    });
  }
  resample();
  begin(...start);

  const row = (columns, children) => {
    const element = html("div", {}, ...children);
    element.style.cssText = `display: grid; grid-template-columns: ${columns}; gap: .25rem; margin: .4rem 0`;
    return element;
  };
  const small = (content) => html("div", { style: "font-size: .875rem" }, content);
  const titled = (title, one) => html("div", {}, small(title), one.element);
  const ways = html("div", { role: "img", "aria-label": "Nine pictures of the walk, from its start to its end" },
    row("repeat(9, 1fr)", strip.map((one) => one.element)));
  const right = html("div", {}, html("div", { class: "controls" }, way.element, ...coordinates.map((one) => one.element)));
  const elements = [
    html("div", { class: "panels" }, row("1fr 1fr", [titled("generated", made), titled("nearest real", real)]), right),
    ways,
    html("div", { class: "buttons" }, play, path,
      button("new point", () => begin(point(), to)), button("new samples", () => { resample(); show(); })),
    values.element, small("The critic's scores: real digits (blue), the samples below, and this picture (triangle)."),
    ruler.element, small("Sixteen samples. Press one, and the walk leads to it."),
    row("repeat(8, 1fr)", grid.map((one) => one.element)), voice.element,
  ];
  return { elements, tools: {
    judge: (place) => ({ ...judge(place), picture: [...judge(place).picture] }),
    state: () => ({ z: [...z], from: [...from], to: [...to], onArc, samples: samples.map((one) => [...one.z]) }),
    digits: () => digits.map((one) => [...one]), realMean: () => realMean,
  } };
}

start("latent_walk", draw);
