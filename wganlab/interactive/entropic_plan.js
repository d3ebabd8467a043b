// Entropic transport between two laws on the line, by Sinkhorn's iteration on logarithms.

const [TOLERANCE, LIMIT] = [1e-9, 20000];  // of the marginals, in total mass; of the iterations

// ln of the sum of exp(terms), with the largest taken out so that nothing overflows.
function logSumExp(terms) {
  const top = Math.max(...terms);
  if (top === -Infinity) return top;
  return top + Math.log(terms.reduce((sum, term) => sum + Math.exp(term - top), 0));
}

function costs(places, power) {
  return places.map((x) => places.map((y) => Math.abs(x - y) ** power));
}

// The least cost: mass moves in the order of the places, which is best for every power >= 1.
function leastCost(C, P, Q) {
  const [there, free] = [[...P], [...Q]];
  let [i, j, sum] = [0, 0, 0];
  while (i < P.length && j < Q.length) {
    const mass = Math.min(there[i], free[j]);
    sum += mass * C[i][j];
    there[i] -= mass;
    free[j] -= mass;
    if (there[i] <= free[j]) i++;
    else j++;
  }
  return sum;
}

// The plan exp((f_i + g_j - C_ij) / epsilon): f makes its rows right, g its columns, in turn until both are.
function sinkhorn(C, P, Q, epsilon) {
  const [logP, logQ] = [P.map(Math.log), Q.map(Math.log)];
  let [f, g, iterations, error] = [P.map(() => 0), Q.map(() => 0), 0, Infinity];
  while (error > TOLERANCE && iterations < LIMIT) {
    f = logP.map((mass, i) => epsilon * (mass - logSumExp(g.map((value, j) => (value - C[i][j]) / epsilon))));
    g = logQ.map((mass, j) => epsilon * (mass - logSumExp(f.map((value, i) => (value - C[i][j]) / epsilon))));
    iterations++;
    error = marginalError(planOf(f, g, C, epsilon), P, Q);
  }
  const plan = planOf(f, g, C, epsilon);
  const cost = total(plan.flatMap((row, i) => row.map((mass, j) => mass * C[i][j])));
  return { plan, cost, iterations, error };
}

function planOf(f, g, C, epsilon) {
  return f.map((fi, i) => g.map((gj, j) => Math.exp((fi + gj - C[i][j]) / epsilon)));
}

// The mass by which rows and columns miss P and Q, whichever is more.
function marginalError(plan, P, Q) {
  const rows = plan.map((row, i) => Math.abs(total(row) - P[i]));
  const columns = Q.map((mass, j) => Math.abs(total(plan.map((row) => row[j])) - mass));
  return Math.max(total(rows), total(columns));
}

function total(masses) {
  return masses.reduce((sum, mass) => sum + mass, 0);
}

// Multiples of 1, 2 or 5 times a power of ten between low and high, six at most, and the digits they need.
function ticksOf(low, high) {
  const power = 10 ** Math.floor(Math.log10((high - low) / 5));
  const step = power * [1, 2, 5, 10].find((one) => (high - low) / (one * power) <= 6);
  const ticks = [];
  for (let k = Math.ceil(low / step); k * step <= high; k++) ticks.push(k * step);
  return { ticks, digits: Math.max(0, -Math.floor(Math.log10(step) + 1e-9)) };
}

function draw(root, { places, P, Q, power }) {
  const n = places.length;
  const C = costs(places, power);
  const least = leastCost(C, P, Q);
  const solve = (epsilon) => sinkhorn(C, P, Q, epsilon);
  const epsilonAt = (k) => 0.001 * 10 ** (k / 20);  // k = 0, ..., 60
  const print = (epsilon) => String(Number(epsilon.toPrecision(2)));

  // The plan, with P at its left and Q above it.
  const [left, top, size] = [78, 92, 222];
  const [right, bottom, cell] = [left + size, top + size, size / n];
  const most = Math.max(...P, ...Q);
  const bar = (mass) => (44 * mass) / most;
  const rect = (x, y, width, height, kind) => svg("rect", { x, y, width, height, class: kind });
  const map = panel(320, 346, "The plan as a heat map, with P at its left and Q above it.",
    text(14, 20, "the plan *γ*: from place *x* to place *y*", "title"),
    ...P.map((mass, i) => rect(left - 6 - bar(mass), top + i * cell, bar(mass), cell - 0.8, "fill-real")),
    ...Q.map((mass, j) => rect(left + j * cell, top - 6 - bar(mass), cell - 0.8, bar(mass), "fill-fake")),
    rect(left, top, size, size, "axis"),
    text(left - 12, bottom + 4, "*P*", "end"), text(right + 8, top - 8, "*Q*"),
    text(right + 8, top + size / 2 + 4, "*x*"), text(left + size / 2, bottom + 16, "*y*", "middle"),
    text(left, bottom + 16, print(places[0]), "muted middle"),
    text(right, bottom + 16, print(places.at(-1)), "muted middle"));
  const cells = P.map((_, i) => Q.map((_, j) => rect(left + j * cell, top + i * cell, cell, cell, "fill-real")));
  map.append(svg("g", { "shape-rendering": "crispEdges" }, ...cells.flat()));

  // The cost against epsilon. The curve is solved for point by point, while the page rests.
  const highest = Math.max(solve(epsilonAt(60)).cost, least * 1.001 + 1e-9);
  const room = highest - least;
  const range = [least - 0.15 * room, highest + 0.15 * room];
  const { ticks, digits } = ticksOf(...range);
  const plot = axes({
    box: [50, 308, 30, 314], x: [0, 60], y: range, yTicks: ticks, digits,
    xTicks: [0.001, 0.01, 0.1, 1].map((epsilon) => 20 * Math.log10(epsilon / 0.001)),
    xPrint: (k) => print(epsilonAt(k)), title: "cost of the plan", xLabel: "*ε*",
  });
  const curve = svg("path", { class: "curve ink" });
  const dot = svg("circle", { r: 4.5, class: "fill-real" });
  const costPanel = panel(320, 346, "The cost against epsilon. It falls to the least cost, a dashed line.",
    plot.element, svg("path", { class: "curve theory", d: path(plot, [[0, least], [60, least]]) }),
    text(308, plot.Y(least) + 17, "least cost", "end"), curve, dot);
  const known = [];
  function trace(k) {
    known.push([k, solve(epsilonAt(k)).cost]);
    curve.setAttribute("d", path(plot, known));
    if (k > 0) setTimeout(trace, 0, k - 2);
  }
  setTimeout(trace, 0, 60);

  const values = readouts({
    cost: ["cost of the plan", ""], least: ["least cost", ""], excess: ["excess", ""],
    error: ["marginal error", ""], iterations: ["iterations", ""],
  });
  values.element.classList.add("wide");
  const voice = announcer();
  const slide = slider(root, {
    name: "epsilon", label: "*ε*, log scale", min: 0, max: 60, step: 1, value: 40,
    shown: (k) => print(epsilonAt(k)), spoken: (k) => `epsilon ${print(epsilonAt(k))}`, onInput: update,
  });

  function update() {
    const { plan, cost, iterations, error } = solve(epsilonAt(slide.value));
    const strongest = Math.max(...plan.flat());
    plan.forEach((row, i) => row.forEach((mass, j) => {  // by the square root, so that small masses show
      cells[i][j].setAttribute("fill-opacity", Math.sqrt(mass / strongest).toFixed(3));
    }));
    dot.setAttribute("cx", plot.X(slide.value));
    dot.setAttribute("cy", plot.Y(cost));
    const excess = cost - least;
    values.set({
      cost: fixed(cost, 4), least: fixed(least, 4), error: scientific(error),
      excess: excess < 1e-8 ? "below 10⁻⁸" : excess < 5e-4 ? scientific(excess) : fixed(excess, 4),
      iterations: iterations < LIMIT ? String(iterations) : `stopped at ${LIMIT}`,
    });
    voice.say(`Cost ${cost.toFixed(4)}, least cost ${least.toFixed(4)}, after ${iterations} iterations.`);
  }
  update();

  const elements = [
    html("div", { class: "controls", style: "--accent: var(--real)" }, slide.element),
    html("div", { class: "panels" }, map, costPanel), values.element, voice.element,
  ];
  return { elements, tools: { solve, least } };
}

start("entropic_plan", draw);
