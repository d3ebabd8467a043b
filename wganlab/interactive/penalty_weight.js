// What a critic with a gradient penalty computes on the line, against the weight of the penalty.
// The fake law is at the left, the real one at the right; h is the fake distribution function minus the
// real one, rho the density of the interpolates, and the best slope is 1 + h / (2 lambda rho).

// Nodes and weights of Gauss and Legendre on [0, 1]: exact for polynomials of degree 2 n - 1.
function gauss(n) {
  return Array.from({ length: n }, (_, k) => {
    let [x, slope] = [Math.cos((Math.PI * (k + 0.75)) / (n + 0.5)), 1];
    for (let turn = 0; turn < 20; turn++) {
      let [p, before] = [x, 1];
      for (let j = 2; j <= n; j++) [p, before] = [((2 * j - 1) * x * p - (j - 1) * before) / j, p];
      slope = (n * (before - x * p)) / (1 - x * x);
      x -= p / slope;
    }
    return [(1 + x) / 2, 1 / ((1 - x * x) * slope * slope)];
  });
}

const NODES = gauss(40);

function integral(f, edges) {
  let sum = 0;
  for (let k = 1; k < edges.length; k++) {
    const [from, width] = [edges[k - 1], edges[k] - edges[k - 1]];
    for (const [t, weight] of NODES) sum += width * weight * f(from + width * t);
  }
  return sum;
}

const bell = (x, variance = 1) => Math.exp((-x * x) / (2 * variance)) / Math.sqrt(2 * Math.PI * variance);
const power = (x) => (x > 0 ? x * Math.log(x) - x : 0);  // its derivative is ln x
// U[0, 1] and U[2, 3]: rho at x is the integral of ln((3 - u) / (2 - u)) over u < x, and the same from the right.
const rising = (x) => power(3) - power(3 - x) - power(2) + power(2 - x);

// `edges` cut the line where h or rho has a corner; `plain` are the ends of the picture; `laws` are drawn in it.
const PAIRS = {
  points: {
    label: "two points", edges: [0, 1], plain: [0, 1], ticks: [0, 0.5, 1], digits: 1,
    h: () => 1, rho: () => 1, fake: 0, real: 1,
  },
  uniform: {
    label: "a point and *U*[0, 1]", edges: [0, 1], plain: [0, 1], ticks: [0, 0.5, 1], digits: 1,
    h: (x) => 1 - x, rho: (x) => -Math.log(x), fake: 0, real: () => 0.5,
    congestion: Math.log(4 / 3),  // in closed form, since rho has a pole at 0
  },
  normals: {
    label: "*N*(0, 1) and *N*(3, 1)", edges: Array.from({ length: 15 }, (_, k) => -9 + 1.5 * k),
    plain: [-3, 6], ticks: [-3, 0, 3, 6], digits: 0,
    h: (x) => integral((t) => bell(x - t), [0, 3]),
    rho: (x) => integral((e) => bell(x - 3 * e, e * e + (1 - e) * (1 - e)), [0, 1]),
    fake: (x) => bell(x) / bell(0), real: (x) => bell(x - 3) / bell(0),
  },
  uniforms: {
    label: "*U*[0, 1] and *U*[2, 3]", edges: [0, 1, 2, 3], plain: [0, 3], ticks: [0, 1, 2, 3], digits: 0,
    h: (x) => Math.min(x, 1, 3 - x), rho: (x) => rising(Math.min(x, 1, 3 - x)),
    fake: (x) => (x < 1 ? 0.5 : 0), real: (x) => (x > 2 ? 0.5 : 0),
  },
};

// The numbers of a pair that do not depend on lambda, found once.
function constants(pair) {
  pair.w1 ??= integral(pair.h, pair.edges);
  pair.congestion ??= integral((x) => pair.h(x) ** 2 / pair.rho(x), pair.edges);
  pair.grid ??= middles(pair.edges[0], pair.edges.at(-1), 600).map((x) => [x, pair.h(x) / pair.rho(x)]);
  return pair;
}

function middles(low, high, n) {
  return Array.from({ length: n }, (_, k) => low + ((k + 0.5) * (high - low)) / n);
}

// The parts of the line where h < 2 lambda rho, so that a reversed slope is a local optimum: [[from, to], ...].
function reversible(pair, lambda) {
  const stays = (x) => pair.h(x) < 2 * lambda * pair.rho(x);
  const parts = [];
  let from = null;
  constants(pair).grid.forEach(([x, ratio], k) => {
    const inside = ratio < 2 * lambda;
    if (inside === (from !== null)) return;
    let [low, high] = [k ? pair.grid[k - 1][0] : pair.edges[0], x];
    for (let turn = 0; k && turn < 60; turn++) {
      const middle = (low + high) / 2;
      if (stays(middle) === inside) high = middle;
      else low = middle;
    }
    const cut = k ? high : pair.edges[0];
    if (inside) from = cut;
    else {
      parts.push([from, cut]);
      from = null;
    }
  });
  if (from !== null) parts.push([from, pair.edges.at(-1)]);
  return parts;
}

// What the best critic reports, its objective, and the same for the critic that is reversed wherever it can be.
function solve(name, lambda) {
  const pair = constants(PAIRS[name]);
  const parts = reversible(pair, lambda);
  const turned = parts.map(([from, to]) =>
    integral(pair.h, [from, ...pair.edges.filter((edge) => from < edge && edge < to), to]));
  const loss = 2 * turned.reduce((sum, mass) => sum + mass, 0);
  const [estimate, objective] = [2, 4].map((k) => pair.w1 + pair.congestion / (k * lambda));
  return {
    w1: pair.w1, congestion: pair.congestion, estimate, objective, parts,
    share: loss / (2 * pair.w1), reversed: estimate - loss, reversedObjective: objective - loss,
  };
}

function slope(name, lambda, x, reversed = false) {
  const bend = PAIRS[name].h(x) / PAIRS[name].rho(x) / (2 * lambda);
  return reversed && bend < 1 ? bend - 1 : bend + 1;
}

// Multiples of 1, 2 or 5 times a power of ten between low and high, five at most, and the digits they need.
function ticksOf(low, high) {
  const unit = 10 ** Math.floor(Math.log10((high - low) / 4));
  const step = unit * [1, 2, 5, 10].find((one) => (high - low) / (one * unit) <= 5);
  const ticks = [];
  for (let k = Math.ceil(low / step); k * step <= high; k++) ticks.push(k * step);
  return [ticks, Math.max(0, -Math.floor(Math.log10(step) + 1e-9))];
}

function draw(root, { weights, one_sided, reversed }) {
  const names = Object.keys(PAIRS);
  const whole = (rows, of) => rows.length === names.length && rows.every(of);
  if (!whole(one_sided, (row) => row.length === weights.length) || !whole(reversed, Array.isArray))
    throw new Error("The trained critics are not those of the four pairs.");
  const lambdaAt = (k) => 0.1 * 10 ** (k / 20);  // k = 0, ..., 60
  const print = (lambda) => String(Number(lambda.toPrecision(2)));
  const line = (kind) => svg("path", { class: `curve ${kind}` });
  let [chosen, turned] = ["normals", false];

  // Left: the critic, and its slope below. The axes are made anew for each pair, since their ends differ.
  const [f, potential, bend, flat, laws] = [line("real"), line("theory"), line("real"), line("theory"), svg("g")];
  const [top, bottom] = [svg("g"), svg("g")];
  const left = panel(320, 356, "The penalised critic, and below it its slope, each with a 1-Lipschitz optimum.",
    laws, top, bottom, potential, f, flat, bend);
  let plots;
  function setPair() {
    const { plain, ticks, digits, fake, real } = PAIRS[chosen];
    const x = { x: plain, xTicks: ticks, yTicks: [], y: [0, 1], xPrint: (v) => fixed(v, digits) };
    plots = [
      axes({ ...x, box: [40, 308, 30, 160], title: "the critic *f*; dashed: 1-Lipschitz" }),
      axes({ ...x, box: [40, 308, 216, 318], title: "its slope *f* ′; dashed: slope 1", xLabel: "*x*" }),
    ];
    top.replaceChildren(plots[0].element);
    bottom.replaceChildren(plots[1].element);
    const shape = (law, kind) => {
      if (typeof law === "number")
        return svg("circle", { cx: plots[0].X(law), cy: 160, r: 5, class: `fill-${kind}`, "fill-opacity": 0.6 });
      const at = [plain[0], ...middles(...plain, 150), plain[1]];
      const points = at.map((x) => `${plots[0].X(x).toFixed(1)} ${(160 - 26 * law(x)).toFixed(1)}`);
      return svg("path", {
        class: `fill-${kind}`, "fill-opacity": 0.25, d: `M${plots[0].X(plain[0])} 160L${points.join("L")}V160Z`,
      });
    };
    laws.replaceChildren(shape(fake, "fake"), shape(real, "real"));
  }

  // Right: the number against lambda, with W1 and the trained critics.
  const report = axes({
    box: [46, 308, 30, 318], x: [0, 60], y: [0, 1], yTicks: [], xTicks: [0, 20, 40, 60],
    xPrint: (k) => print(lambdaAt(k)), title: "what the critic reports", xLabel: "*λ*",
  });
  const [reported, objective, distance] = [line("real"), line("ink way"), line("theory")];
  const [marks, trained, said] = ["ticks", "trained", "key"].map((part) => svg("g", { "data-part": part }));
  const dot = svg("circle", { r: 5, class: "fill-real", "data-part": "now" });
  const right = panel(320, 356, "The critic's number against the weight, and the trained critics as rings.",
    report.element, marks, distance, objective, reported, dot, trained, said);
  const scale = (v) => (turned ? v : Math.log10(v));

  const values = readouts({
    estimate: ["reported", "real"], objective: ["objective *J*", "ink way"],
    w1: ["*W*₁", "theory"], ratio: ["reported / *W*₁", ""],
  });
  const note = html("p", { class: "note" });
  const voice = announcer();
  const slide = slider(root, {
    name: "lambda", label: "*λ*, log scale", min: 0, max: 60, step: 1, value: 20,
    shown: (k) => print(lambdaAt(k)), spoken: (k) => `lambda ${print(lambdaAt(k))}`, onInput: update,
  });
  const press = (element, on) => {
    element.setAttribute("aria-pressed", on);
    element.style.background = on ? "color-mix(in srgb, currentColor 16%, transparent)" : "";
  };
  const pairs = names.map((name) => button(PAIRS[name].label, () => set(name, slide.value, turned)));
  const turn = button("reversed critic", () => set(chosen, slide.value, !turned));
  function set(name, k, reverse) {
    [chosen, turned, slide.value] = [name, reverse, k];
    setPair();
    setReport();
    update();
  }

  function setReport() {
    const all = Array.from({ length: 61 }, (_, k) => ({ k, ...solve(chosen, lambdaAt(k)) }));
    const { w1, estimate } = all[0];
    const range = turned ? [-1.25 * w1, 1.25 * w1] : [Math.log10(w1 * 0.85), Math.log10(estimate * 1.15)];
    report.rescale(range, [], 0);
    const ticks = turned
      ? [[-w1, "−*W*₁"], [0, "0"], [w1, "*W*₁"]]
      : [0.5, 1, 2, 5, 10, 20, 50].filter((v) => w1 * 0.85 <= v && v <= estimate * 1.15).map((v) => [v, String(v)]);
    marks.replaceChildren(...ticks.flatMap(([v, label]) => [
      svg("path", { class: "axis", d: `M46 ${report.Y(scale(v))}h-4` }),
      text(39, report.Y(scale(v)) + 4, label, "muted end"),
    ]));
    const curve = (key) => path(report, all.map((one) => [one.k, scale(one[key])]).filter(([, y]) => y <= range[1]));
    reported.setAttribute("d", curve(turned ? "reversed" : "estimate"));
    objective.setAttribute("d", curve(turned ? "reversedObjective" : "objective"));
    distance.setAttribute("d", path(report, [[0, scale(w1)], [60, scale(w1)]]));
    const place = names.indexOf(chosen);
    const rings = turned
      ? reversed[place].map((v) => [10, v])
      : weights.flatMap((weight, j) => one_sided[place][j].map((v) => [weight, v]));
    trained.replaceChildren(...rings.map(([weight, v]) => svg("circle", {
      cx: report.X(20 * Math.log10(weight / 0.1)), cy: report.Y(scale(v)), r: 3.5, class: "hole",
    })));
    const [x, y] = [196, turned ? 110 : 44];
    said.replaceChildren(
      svg("circle", { cx: x + 11, cy: y - 4, r: 3.5, class: "hole" }), text(x + 28, y, "trained critics"),
      sample(x, y + 18, "theory", "*W*₁"));
    pairs.forEach((one, k) => press(one, k === place));
    press(turn, turned);
  }

  function update() {
    const lambda = lambdaAt(slide.value);
    const found = solve(chosen, lambda);
    const [low, high] = PAIRS[chosen].plain;
    const n = 240;
    const at = middles(low, high, n).map((x) => [x, slope(chosen, lambda, x, turned)]);
    let sum = 0;
    const heights = [[low, 0]];
    at.forEach(([, s], k) => heights.push([low + ((k + 1) * (high - low)) / n, (sum += (s * (high - low)) / n)]));
    const reach = (numbers) => [Math.min(...numbers), Math.max(...numbers)];
    const rescale = (plot, [from, to]) => {
      const room = 0.06 * (to - from);
      const range = [from < 0 ? from - room : 0, to + room];
      plot.rescale(range, ...ticksOf(...range));
    };
    rescale(plots[0], reach([0, high - low, ...heights.map(([, y]) => y)]));
    rescale(plots[1], reach([0, 1, ...at.map(([, s]) => s)]));
    f.setAttribute("d", path(plots[0], heights));
    potential.setAttribute("d", path(plots[0], [[low, 0], [high, high - low]]));
    bend.setAttribute("d", path(plots[1], at));
    flat.setAttribute("d", path(plots[1], [[low, 1], [high, 1]]));

    const [value, goal] = turned ? [found.reversed, found.reversedObjective] : [found.estimate, found.objective];
    dot.setAttribute("cx", report.X(slide.value));
    dot.setAttribute("cy", Math.max(report.Y(scale(value)), 30));
    dot.setAttribute("visibility", turned && value > 1.25 * found.w1 ? "hidden" : "visible");
    values.set({
      estimate: fixed(value, 4), objective: fixed(goal, 4), w1: fixed(found.w1, 4), ratio: fixed(value / found.w1, 3),
    });
    const where = found.share > 1 - 1e-6 ? "everywhere" : found.share < 1e-6 ? "nowhere" : "on a part of the line";
    const sentence = turned
      ? `With this weight the slope can be reversed ${where}. The critic reports ${fixed(value, 4)}, W₁ is ${fixed(found.w1, 4)}.`
      : `The critic is right about the direction. It reports ${fixed(value, 4)}, W₁ is ${fixed(found.w1, 4)}.`;
    note.textContent = sentence;
    voice.say(sentence.replace("W₁", "W1").replace("−", "minus "));
  }
  set(chosen, slide.value, turned);

  const elements = [
    html("div", { class: "buttons", role: "group", "aria-label": "pair of laws" }, ...pairs),
    html("div", { class: "controls", style: "--accent: var(--real)" }, slide.element),
    html("div", { class: "buttons" }, turn),
    html("div", { class: "panels" }, left, right), values.element, note, voice.element,
  ];
  return { elements, tools: { solve: (...of) => solve(...of), slope, set } };
}

start("penalty_weight", draw);
