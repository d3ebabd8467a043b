// A game of two numbers: the path of a training loop in the plane, and the eigenvalues of one step at (0, 0).

const [STEPS, HOME] = [200, [1, 0]];
const [REACH, FRAME, LENS, ZOOM] = [3, 1.6, 36, 10];  // of the plane, of the eigenvalues; the lens, and how it enlarges

const sigmoid = (s) => (1 + Math.tanh(s / 2)) / 2;

// The velocity without R1; at (0, 0) it is (turn y, -turn x) to first order, and everywhere if `linear`.
const GAMES = {
  bilinear: { label: "bilinear *xy*", turn: -1, linear: true, field: (x, y) => [-y, x] },
  minimax: {
    label: "Dirac minimax", turn: 0.5, field: (x, y) => [y * sigmoid(x * y), -x * sigmoid(x * y)],
  },
  non_saturating: {
    label: "Dirac non-saturating", turn: 0.5, field: (x, y) => [y * sigmoid(-x * y), -x * sigmoid(x * y)],
  },
  wasserstein: { label: "Dirac WGAN", turn: 1, linear: true, field: (x, y) => [y, -x] },
};

const ahead = (p, v, eta) => p.map((value, k) => value + eta * v[k]);
const SCHEMES = {
  simultaneous: (v, p, eta) => ahead(p, v(p), eta),
  alternating(v, [x, y], eta) {
    const moved = x + eta * v([x, y])[0];
    return [moved, y + eta * v([moved, y])[1]];
  },
  extragradient: (v, p, eta) => ahead(p, v(ahead(p, v(p), eta)), eta),
};

const velocity = (game, gamma) => ([x, y]) => {
  const [first, second] = GAMES[game].field(x, y);
  return [first, second - gamma * y];
};

function simulate(game, scheme, eta, gamma, start, steps = STEPS) {
  const [v, points] = [velocity(game, gamma), [start]];
  for (let k = 0; k < steps; k++) points.push(SCHEMES[scheme](v, points[k], eta));
  return points;
}

// Of the matrix of one step at (0, 0), as [real, imaginary]; that of greatest modulus first, the upper one of a pair.
function eigenvalues(game, scheme, eta, gamma) {
  const { turn } = GAMES[game];
  const linear = ([x, y]) => [turn * y, -turn * x - gamma * y];
  const [[a, c], [b, d]] = [[1, 0], [0, 1]].map((unit) => SCHEMES[scheme](linear, unit, eta));
  const [middle, square] = [(a + d) / 2, ((a - d) / 2) ** 2 + b * c];
  const root = Math.abs(square) < 1e-15 ? 0 : Math.sqrt(Math.abs(square));  // a double one, but for rounding
  if (square < 0 && root) return [[middle, root], [middle, -root]];
  return [[middle + root, 0], [middle - root, 0]].sort((one, other) => Math.abs(other[0]) - Math.abs(one[0]));
}

// What the eigenvalues say, in one sentence.
function verdict(game, found) {
  const { linear } = GAMES[game];
  const [one, other] = found.map((value) => Math.hypot(...value));
  const place = (modulus) => (Math.abs(modulus - 1) < 1e-9 ? 0 : Math.sign(modulus - 1));
  const side = place(one);
  const which = place(other) === side ? "Both eigenvalues lie" : "One eigenvalue lies";
  const where = ["inside", "on", "outside"][side + 1];
  const [[re, im]] = found;
  const way = im
    ? ["winds in", "goes round", "winds out"][side + 1]
    : ["goes in", "goes", "goes out"][side + 1] + (re < 0 ? " from side to side" : "");
  const time = Math.LN2 / Math.abs(Math.log(one));  // in which the distance doubles or halves
  const every = `as far every ${fixed(time, time < 10 ? 1 : 0)} steps`;
  const pace = side === 0
    ? linear ? "neither in nor out" : "and terms of higher order decide the rest"
    : time < 1
      ? `${side > 0 ? "more than twice" : "less than half"} as far each step`
      : `${side > 0 ? "twice" : "half"} ${every}`;
  return `${which} ${where} the circle: ${linear ? "" : "near (0, 0) "}the path ${way}, ${pace}.`;
}

function draw(root) {
  const etaAt = (k) => Number((0.01 * 10 ** (k / 20)).toPrecision(2));  // k = 0, ..., 40
  const clip = (name, shape) => svg("clipPath", { id: `${root.id}-${name}` }, shape);
  const clipped = (name, ...children) => svg("g", { "clip-path": `url(#${root.id}-${name})` }, ...children);
  const box = [38, 308, 30, 300];
  let [game, scheme, origin] = ["bilinear", "simultaneous", HOME];

  // Left: the plane, with arrows of the velocity, the path, and its start to be moved.
  const plane = axes({ box, x: [-REACH, REACH], y: [-REACH, REACH], xTicks: [-2, 0, 2], yTicks: [-2, 0, 2] });
  const unit = plane.X(1) - plane.X(0);
  const winds = svg("path", { class: "arrows", style: "stroke-width: .9; stroke-opacity: .35" });
  const line = svg("path", { class: "curve ink", style: "stroke-width: 1" });
  const dots = svg("path", {
    class: "curve ink", style: "stroke-width: 3.4; stroke-linecap: round", "data-part": "path",
  });
  const names = svg("g");
  const handle = svg("g", {
    class: "pile", role: "slider", tabindex: 0, "aria-label": "start of the path, to be moved by the four arrow keys",
    "aria-valuemin": -REACH, "aria-valuemax": REACH, style: "cursor: move", ...OWN_KEYS,
  }, svg("circle", { r: 15, class: "touch" }), svg("circle", { r: 6, class: "fill-fake" }));
  const cross = path(plane, [[-REACH, 0], [REACH, 0]]) + path(plane, [[0, -REACH], [0, REACH]]);
  const left = svg("svg", {
    viewBox: "0 0 320 338", role: "group", class: "yard",
    "aria-label": "The plane, with arrows of the velocity and the path.",
  }, clip("plane", svg("rect", { x: 38, y: 30, width: 270, height: 270 })), plane.element,
  svg("path", { class: "axis", style: "stroke-opacity: .25", d: cross }), winds, clipped("plane", line, dots), names,
  text(308, 20, `${STEPS} steps; drag the start`, "title end"), handle);

  // Right: the eigenvalues and the unit circle, with a lens on the greatest one.
  const circle = axes({
    box, x: [-FRAME, FRAME], y: [-FRAME, FRAME], xTicks: [-1, 0, 1], yTicks: [-1, 0, 1],
    title: "imaginary part", xLabel: "real part",
  });
  const radius = circle.X(1) - circle.X(0);
  const [cx, cy] = [38 + LENS + 6, 30 + LENS + 6];
  const disc = (r) => [svg("circle", { r, class: "area fill-ink" }), svg("circle", { r, class: "curve theory" })];
  const [near, far] = [svg("g"), svg("g", { "data-part": "eigenvalues" })];
  const right = panel(320, 338, "", circle.element,
    svg("g", { transform: `translate(${circle.X(0)} ${circle.Y(0)})` }, ...disc(radius)), far,
    clip("lens", svg("circle", { cx, cy, r: LENS })), clipped("lens", near),
    svg("circle", { cx, cy, r: LENS, class: "hole" }), text(cx + LENS + 5, 46, `*μ*₁, × ${ZOOM}`, "muted"),
    text(308, 20, "eigenvalues of one step", "title end"));

  const values = readouts({
    first: ["*μ*₁", ""], second: ["*μ*₂", ""], modulus: ["greatest |*μ*|", ""], radius: ["last radius", ""],
  });
  values.element.style.gridTemplateColumns = "repeat(auto-fit, minmax(10rem, 1fr))";
  const note = html("p", { class: "note" });
  const voice = announcer();
  const step = slider(root, {
    name: "eta", label: "step size *η*", min: 0, max: 40, step: 1, value: 20,
    shown: (k) => String(etaAt(k)), spoken: (k) => `eta ${etaAt(k)}`, onInput: update,
  });
  const plain = () => game === "bilinear";  // it has no real points, so no R1
  const weight = slider(root, {
    name: "gamma", label: "R1's weight *γ*", min: 0, max: 3, step: 0.05, value: 0,
    shown: (v) => (plain() ? "–" : fixed(v, 2)),
    spoken: (v) => (plain() ? "no R1 in this game" : `gamma ${v.toFixed(2)}`), onInput: update,
  });
  const choice = (label, keys, labels, choose) => {
    const all = keys.map((key, k) => button(labels[k], () => { choose(key); update(); }));
    const show = (chosen) => all.forEach((one, k) => {
      one.setAttribute("aria-pressed", keys[k] === chosen);
      one.style.background = keys[k] === chosen ? "color-mix(in srgb, currentColor 16%, transparent)" : "";
    });
    return { element: html("div", { class: "buttons", role: "group", "aria-label": label }, ...all), show };
  };
  const labels = Object.values(GAMES).map((one) => one.label);
  const games = choice("game", Object.keys(GAMES), labels, (key) => { game = key; });
  const schemes = choice("scheme", Object.keys(SCHEMES), Object.keys(SCHEMES), (key) => { scheme = key; });

  function move(point) {
    origin = point.map((value) => Math.max(-REACH, Math.min(REACH, Math.round(100 * value) / 100)));
    update();
  }
  handle.addEventListener("keydown", (event) => {
    const steps = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1], Home: null };
    if (!(event.key in steps) || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    move(steps[event.key] ? ahead(origin, steps[event.key], event.shiftKey ? 0.5 : 0.1) : HOME);
  });
  let held = null;  // where the pointer took hold, and the start of the path then
  handle.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    event.preventDefault();
    handle.focus({ preventScroll: true });
    handle.setPointerCapture(event.pointerId);
    held = { x: event.clientX, y: event.clientY, origin };
  });
  const drag = (event) => {
    const one = (unit * left.getBoundingClientRect().width) / 320;
    if (held) move(ahead(held.origin, [event.clientX - held.x, held.y - event.clientY], 1 / one));
  };
  handle.addEventListener("pointermove", drag);
  handle.addEventListener("touchstart", (event) => event.preventDefault(), { passive: false });  // or the page scrolls
  handle.addEventListener("pointerup", (event) => { drag(event); held = null; });
  handle.addEventListener("pointercancel", () => { held = null; });

  function drawPlane(gamma, points) {
    const v = velocity(game, gamma);
    const at = [-2.7, -2.1, -1.5, -0.9, -0.3, 0.3, 0.9, 1.5, 2.1, 2.7];
    winds.setAttribute("d", at.flatMap((x) => at.map((y) => {
      const [a, b] = v([x, y]);
      const size = 9 / (1 + Math.hypot(a, b));  // half a length a unit: none is longer than 18
      const [X, Y] = [plane.X(x), plane.Y(y)];
      return arrow([X - size * a, Y + size * b], [X + size * a, Y - size * b], 3);
    })).join(""));
    // What is far away is drawn in its direction: huge numbers in a path leave it empty.
    const drawn = points.map((p) => p.map((value) => value * Math.min(1, 1e3 / (Math.hypot(...p) || 1))));
    line.setAttribute("d", path(plane, drawn));
    dots.setAttribute("d", drawn.map((p) => path(plane, [p]) + "h0").join(""));
    const [x, y] = plain() ? ["*x*, descends", "*y*, ascends"] : ["*θ*, the generator", "*ψ*, the critic"];
    names.replaceChildren(text(308, 332, x, "end"), text(38, 20, y, "title"));
    handle.setAttribute("transform", `translate(${plane.X(origin[0])} ${plane.Y(origin[1])})`);
    handle.setAttribute("aria-valuenow", origin[0]);
    const [first, second] = plain() ? ["x", "y"] : ["theta", "psi"];
    handle.setAttribute("aria-valuetext", `${first} ${fixed(origin[0], 2)}, ${second} ${fixed(origin[1], 2)}`);
  }

  function drawEigenvalues(found, print) {
    const dot = (x, y, kind) => svg("circle", { cx: x, cy: y, r: 4.5, class: kind });
    const inside = (value) => Math.max(-FRAME, Math.min(FRAME, value));
    far.replaceChildren(...found.map((value) => {
      const [x, y] = value.map(inside);
      return dot(circle.X(x), circle.Y(y), x === value[0] && y === value[1] ? "fill-real" : "hole");
    }));
    const [re, im] = found[0];
    const lens = (x, y) => [cx + ZOOM * radius * (x - re), cy - ZOOM * radius * (y - im)];
    near.replaceChildren(svg("g", { transform: `translate(${lens(0, 0).join(" ")})` }, ...disc(ZOOM * radius)),
      ...found.map(([x, y]) => dot(...lens(x, y), "fill-real")));
    right.setAttribute("aria-label", `The unit circle and the eigenvalues ${print.join(" and ")}; `
      + "one beyond the frame is a ring at its edge, and a lens enlarges the place of the greatest.");
  }

  function update() {
    const [eta, gamma] = [etaAt(step.value), plain() ? 0 : weight.value];
    const points = simulate(game, scheme, eta, gamma, origin);
    const found = eigenvalues(game, scheme, eta, gamma);
    const print = found.map(([re, im]) =>
      fixed(re, 4) + (im ? ` ${im < 0 ? "−" : "+"} ${fixed(Math.abs(im), 4)} i` : ""));
    drawPlane(gamma, points);
    drawEigenvalues(found, print);
    games.show(game);
    schemes.show(scheme);
    weight.value = weight.value;  // printed anew
    for (const part of weight.element.children) part.style.opacity = plain() ? 0.45 : "";
    weight.element.querySelector("input").disabled = plain();

    const end = Math.hypot(...points.at(-1));
    const shown = end >= 1e-3 && end < 1e4 ? fixed(end, 4) : scientific(end);
    values.set({ first: print[0], second: print[1], modulus: fixed(Math.hypot(...found[0]), 4), radius: shown });
    note.textContent = verdict(game, found);
    const said = end < 1e-3 ? "below 0.001" : end < 1e4 ? end.toFixed(3) : "above ten thousand";
    voice.say(`${note.textContent} After ${STEPS} steps the radius is ${said}.`);
  }
  update();

  const elements = [
    games.element, schemes.element, html("div", { class: "controls" }, step.element, weight.element),
    html("div", { class: "panels" }, left, right), values.element, note, voice.element,
  ];
  const set = (...of) => {
    [game, scheme, step.value, weight.value, origin] = of;
    update();
  };
  return { elements, tools: { simulate, eigenvalues, verdict, set } };
}

start("phase_plane", draw);
