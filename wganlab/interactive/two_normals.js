// Two normal laws, p = N(0, 1) and q = N(mean, std): what KL, JS and TV add up.

function logDensity(x, mean, std) {
  return -0.5 * ((x - mean) / std) ** 2 - Math.log(std) - 0.5 * Math.log(2 * Math.PI);
}

// KL of N(m1, s1) from N(m2, s2), in nats.
function klNormal(m1, s1, m2, s2) {
  return Math.log(s2 / s1) + (s1 ** 2 + (m1 - m2) ** 2) / (2 * s2 ** 2) - 0.5;
}

// What each quantity integrates at x. Densities as exp of logarithms, so that 0 ln 0 never arises.
function integrands(x, mean, std) {
  const [lp, lq] = [logDensity(x, 0, 1), logDensity(x, mean, std)];
  const [p, q] = [Math.exp(lp), Math.exp(lq)];
  const top = Math.max(lp, lq);
  const lm = top + Math.log((Math.exp(lp - top) + Math.exp(lq - top)) / 2);  // m = (p + q) / 2
  return {
    p, q, pq: p * (lp - lq), qp: q * (lq - lp),
    js: (p * (lp - lm) + q * (lq - lm)) / 2, tv: Math.abs(p - q) / 2,
  };
}

// KL in closed form; JS and TV by the trapezoidal rule on 8000 steps, nine widths to either side.
function solve(mean, std) {
  const [low, high, n] = [Math.min(-9, mean - 9 * std), Math.max(9, mean + 9 * std), 8000];
  let [js, tv] = [0, 0];
  for (let k = 0; k <= n; k++) {
    const at = integrands(low + ((high - low) * k) / n, mean, std);
    js += at.js;
    tv += at.tv;
  }
  const step = (high - low) / n;
  return { pq: klNormal(0, 1, mean, std), qp: klNormal(mean, std, 0, 1), js: js * step, tv: tv * step };
}

// Ranges of the integrands, with the distance of their ticks; the last holds whatever the sliders allow.
const SCALES = [[-0.2, 0.4, 0.2], [-0.5, 1, 0.5], [-1, 2, 1], [-2.5, 5, 2.5], [-5, 10, 5]];

function draw(root) {
  const grid = Array.from({ length: 401 }, (_, k) => -10 + k / 20);
  const box = [38, 312, 30, 186];
  const x = { x: [-10, 10], xTicks: [-10, -5, 0, 5, 10], xLabel: "*x*" };
  const laws = axes({
    box, ...x, y: [0, 0.85], yTicks: [0, 0.2, 0.4, 0.6, 0.8], digits: 1, title: "two densities",
  });
  const sums = axes({ box, ...x, y: [-0.5, 1], yTicks: [], title: "integrands: each area is a value below" });
  const line = (kind) => svg("path", { class: kind });
  const excess = svg("path", { class: "area fill-ink" });  // where p > q: its area is TV
  const [p, q, zero] = [line("curve real"), line("curve fake"), line("axis")];
  const areas = { pq: line("area fill-real"), qp: line("area fill-fake") };
  const curves = { pq: line("curve real"), qp: line("curve fake"), js: line("curve theory") };
  const left = panel(320, 224, "The densities of the two normal laws.", excess, laws.element, p, q,
    sample(258, 44, "real", "*p*"), sample(258, 62, "fake", "*q*"));
  const right = panel(320, 224, "The integrands of both KL divergences and of JS.",
    ...Object.values(areas), zero, sums.element, ...Object.values(curves));

  const values = readouts({
    pq: ["KL(*p* ‖ *q*)", "real"], qp: ["KL(*q* ‖ *p*)", "fake"],
    js: ["JS(*p*, *q*)", "theory"], tv: ["TV(*p*, *q*)", "fill-ink"],
  });
  const voice = announcer();
  const mean = slider(root, {
    name: "mean", label: "mean of *q*", min: -2, max: 2, step: 0.1, value: 0,
    shown: (v) => fixed(v, 1), spoken: (v) => `mean ${v.toFixed(1)}`, onInput: update,
  });
  const std = slider(root, {
    name: "std", label: "width of *q*", min: 0.5, max: 2.5, step: 0.1, value: 2,
    shown: (v) => fixed(v, 1), spoken: (v) => `standard deviation ${v.toFixed(1)}`, onInput: update,
  });
  const set = (m, s) => { [mean.value, std.value] = [m, s]; update(); };

  function update() {
    const at = grid.map((x) => ({ x, ...integrands(x, mean.value, std.value) }));
    const of = (key) => at.map((one) => [one.x, one[key]]);
    p.setAttribute("d", path(laws, of("p")));
    q.setAttribute("d", path(laws, of("q")));
    const above = at.map((one) => [one.x, Math.max(one.p, one.q)]);
    excess.setAttribute("d", path(laws, [...above, ...of("q").reverse()]) + "Z");

    const all = at.flatMap((one) => [one.pq, one.qp, one.js]);
    const [low, high, step] = SCALES.find(([from, to]) => from < Math.min(...all) && Math.max(...all) < to);
    const ticks = [-1, 0, 1, 2].map((k) => k * step);
    sums.rescale([low, high], ticks, Number.isInteger(step) ? 0 : 1);
    zero.setAttribute("d", path(sums, [[-10, 0], [10, 0]]));
    for (const [key, curve] of Object.entries(curves)) curve.setAttribute("d", path(sums, of(key)));
    for (const [key, area] of Object.entries(areas))
      area.setAttribute("d", path(sums, [[-10, 0], ...of(key), [10, 0]]) + "Z");

    const found = solve(mean.value, std.value);
    const print = Object.fromEntries(Object.entries(found).map(([key, value]) => [key, fixed(value, 4)]));
    values.set(print);
    voice.say(`KL of p from q ${print.pq}, KL of q from p ${print.qp}, JS ${print.js}, TV ${print.tv}.`);
  }
  update();

  const elements = [
    html("div", { class: "controls" }, mean.element, std.element),
    html("div", { class: "buttons" },
      button("equal widths", () => set(1, 1)), button("unequal widths", () => set(0, 2))),
    html("div", { class: "panels" }, left, right), values.element, voice.element,
  ];
  return { elements, tools: { solve, set } };
}

start("two_normals", draw);
