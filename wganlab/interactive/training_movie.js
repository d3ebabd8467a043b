// Three games on one data set, frame by frame: the generator's points over the critic's level lines.

const [SIDE, LATTICE, BANDS, FINE] = [200, 20, 9, 40];  // of the picture; of the kept critic; as it is drawn

const bytes = (code) => Uint8Array.from(atob(code), (letter) => letter.charCodeAt(0));

// Where the piecewise linear critic is equal to `level`: segments [[x, y], [x, y]] in units of the lattice.
function levelLine(value, level) {
  const segments = [];
  for (let i = 0; i + 1 < LATTICE; i++)
    for (let j = 0; j + 1 < LATTICE; j++) {
      const corners = [[i, j], [i + 1, j], [i + 1, j + 1], [i, j + 1]];
      const cuts = [];
      corners.forEach(([x, y], k) => {
        const [u, v] = corners[(k + 1) % 4];
        const [from, to] = [value(x, y) - level, value(u, v) - level];
        if (from < 0 === to < 0) return;
        const t = from / (from - to);
        cuts.push([x + t * (u - x), y + t * (v - y)]);
      });
      for (let k = 0; k + 1 < cuts.length; k += 2) segments.push([cuts[k], cuts[k + 1]]);
    }
  return segments;
}

// Bilinear between the four neighbours.
function between(value, x, y) {
  const [i, j] = [x, y].map((t) => Math.min(Math.floor(t), LATTICE - 2));
  const [s, t] = [x - i, y - j];
  return (1 - t) * ((1 - s) * value(i, j) + s * value(i + 1, j))
    + t * ((1 - s) * value(i, j + 1) + s * value(i + 1, j + 1));
}

// For each band of values the rectangles it fills, as the text of a path: runs of small squares, row by row.
function bandsOf(value) {
  const [size, paths] = [SIDE / FINE, Array.from({ length: BANDS }, () => "")];
  const place = (k) => ((k + 0.5) / FINE) * (LATTICE - 1);
  for (let row = 0; row < FINE; row++)
    for (let k = 0, from = 0, last = -1; k <= FINE; k++) {
      const v = k < FINE ? between(value, place(k), place(FINE - 1 - row)) : 0;
      const band = k < FINE ? Math.min(BANDS - 1, Math.floor((v / 255) * BANDS)) : -1;
      if (band === last) continue;
      if (last >= 0) paths[last] += `M${from * size} ${row * size}H${k * size}v${size}H${from * size}Z`;
      [from, last] = [k, band];
    }
  return paths;
}

function draw(root, data) {
  const { titles, steps, w1, estimate } = data;
  const [real, samples, critic] = ["real", "samples", "critic"].map((key) => bytes(data[key]));
  const [frames, cells] = [steps.length, LATTICE * LATTICE];
  const each = samples.length / (titles.length * frames);
  const table = (rows) => rows.length === titles.length && rows.every((row) => row.length === frames);
  if (![w1, estimate].every(table) || critic.length !== titles.length * frames * cells || each % 2)
    throw new Error("The frames are not whole.");
  const at = (game, k) => game * frames + k;
  const pointsOf = (game, k) => samples.subarray(at(game, k) * each, (at(game, k) + 1) * each);
  const criticOf = (game, k) => (i, j) => critic[at(game, k) * cells + i * LATTICE + j];
  const levels = Array.from({ length: BANDS - 1 }, (_, k) => (255 * (k + 1)) / BANDS);
  const linesOf = (game, k) => levels.map((level) => levelLine(criticOf(game, k), level));

  const dots = (places) => {
    let d = "";
    for (let k = 0; k < places.length; k += 2)
      d += `M${((SIDE * places[k]) / 255).toFixed(1)} ${(SIDE - (SIDE * places[k + 1]) / 255).toFixed(1)}h0`;
    return d;
  };
  const unit = (t) => ((SIDE * t) / (LATTICE - 1)).toFixed(1);
  const place = ([x, y]) => `${unit(x)} ${unit(LATTICE - 1 - y)}`;
  const print = (v) => (v === 0 || Math.abs(v) >= 0.001 ? fixed(v, 3) : (v < 0 ? "−" : "") + scientific(Math.abs(v)));

  const games = titles.map((title, game) => {
    const bands = Array.from({ length: BANDS }, (_, k) => svg("path", {
      class: `fill-${k > (BANDS - 1) / 2 ? "real" : "fake"}`,
      "fill-opacity": (0.4 * Math.abs((2 * k) / (BANDS - 1) - 1)).toFixed(2),
    }));
    const lines = svg("path", { class: "axis" });
    const cloud = (kind, size) => svg("path", {
      class: `curve ${kind}`, style: `stroke-width: ${size}; stroke-linecap: round`,
    });
    const fakes = cloud("fake", 3.6);
    const truth = cloud("real", 3.6);
    truth.setAttribute("d", dots(real));
    const values = readouts({ [`w1-${game}`]: ["exact *W*₁", ""], [`estimate-${game}`]: ["estimate", ""] });
    values.element.style.gridTemplateColumns = "1fr";
    const picture = panel(SIDE, SIDE, `${title}: real points, the generator's points and the critic's level lines.`,
      svg("g", { "shape-rendering": "crispEdges" }, ...bands), lines, truth, fakes,
      svg("rect", { width: SIDE, height: SIDE, class: "axis" }));
    picture.style.overflow = "hidden";
    const show = (k) => {
      bandsOf(criticOf(game, k)).forEach((d, band) => bands[band].setAttribute("d", d));
      lines.setAttribute("d", linesOf(game, k).flat().map(([a, b]) => `M${place(a)}L${place(b)}`).join(""));
      fakes.setAttribute("d", dots(pointsOf(game, k)));
      values.set({ [`w1-${game}`]: fixed(w1[game][k], 3), [`estimate-${game}`]: print(estimate[game][k]) });
    };
    const heading = html("div", { style: "margin-bottom: .3rem" }, title);
    return { element: html("div", {}, heading, picture, values.element), show };
  });

  const voice = announcer();
  const slide = slider(root, {
    name: "frame", label: "updates", min: 0, max: frames - 1, step: 1, value: 0,
    shown: (k) => String(steps[k]), spoken: (k) => `after ${steps[k]} updates`, onInput() { pause(); show(); },
  });
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  let timer = 0;
  const play = button("play", () => (timer ? rest() : begin()));
  play.style.minWidth = "5.5rem";

  function show() {
    const k = slide.value;
    games.forEach((one) => one.show(k));
    if (!timer)
      voice.say(`After ${steps[k]} updates: ` + titles
        .map((title, game) => `${title}, W1 ${print(w1[game][k])}, estimate ${print(estimate[game][k])}`)
        .join("; ").replaceAll("−", "minus ") + ".");
  }
  function begin() {
    if (slide.value === frames - 1) slide.value = 0;
    play.textContent = "pause";
    timer = setInterval(next, still.matches ? 1000 : 300);
    show();
  }
  function next() {
    slide.value += 1;
    if (slide.value === frames - 1) pause();
    show();
  }
  function rest() {
    pause();
    show();
  }
  function pause() {
    clearInterval(timer);
    timer = 0;
    play.textContent = "play";
  }
  // Nothing moves that nobody sees.
  document.addEventListener("visibilitychange", () => document.hidden && timer && pause());
  const box = () => root.getBoundingClientRect();  // as it is now: an observer's report may be late
  const seen = () => box().bottom > 0 && box().top < innerHeight;
  new IntersectionObserver(() => timer && !seen() && pause()).observe(root);
  show();

  const row = html("div", { class: "panels" }, ...games.map((one) => one.element));
  row.style.gridTemplateColumns = "repeat(auto-fit, minmax(min(100%, 9rem), 1fr))";
  row.style.gap = ".8rem 1rem";
  const key = (kind, content) => [
    svg("svg", { viewBox: "0 0 12 10", "aria-hidden": "true", style: "display: inline-block; width: .75rem" },
      svg("circle", { cx: 6, cy: 5, r: 3.5, class: `fill-${kind}` })), content];
  const elements = [
    html("div", { class: "controls" }, slide.element),
    html("div", { class: "buttons" }, play), row,
    html("p", { class: "note" }, ...key("real", " real points and where the critic is high; "),
      ...key("fake", " the generator's points and where it is low")), voice.element,
  ];
  const frame = (k) => titles.map((_, game) => ({
    points: [...pointsOf(game, k)], lines: linesOf(game, k), w1: w1[game][k], estimate: estimate[game][k],
  }));
  return { elements, tools: { frame, between: (game, k, x, y) => between(criticOf(game, k), x, y) } };
}

start("training_movie", draw);
