// The laws of the data, their modes, and the random numbers behind them. Statistical bounds are 5 standard deviations.
import assert from "node:assert/strict";
import test from "node:test";
import { core, mean } from "./tools.mjs";

const { CELLS, LAWS, modes, RADIUS, sample, SPAN } = await core("laws");
const { stream } = await core("random");

const N = 20000;

function drawn(law, seed = 1, n = N) {
  const flat = sample(law, new Float64Array(2 * n), n, stream(seed));
  return Array.from({ length: n }, (_, i) => [flat[2 * i], flat[2 * i + 1]]);
}
function about(found, expected, deviation, what) {
  assert.ok(Math.abs(found - expected) <= 5 * deviation, `${what}: ${found}, not ${expected} +- ${5 * deviation}`);
}
const nearest = ([x, y], centres) => {
  const distances = centres.map(([a, b]) => Math.hypot(x - a, y - b));
  return distances.indexOf(Math.min(...distances));
};

for (const [name, k, deviation] of [["ring", 8, 0.02 / 1.414], ["grid", 25, 0.05 / 2.828]]) {
  test(`${name}: normals of the right width, equally many around each centre`, () => {
    const law = LAWS[name](), counts = Array(k).fill(0), squares = [0, 0], products = [];
    assert.equal(law.centres.length, k);
    for (const point of drawn(law)) {
      const c = nearest(point, law.centres), [dx, dy] = point.map((value, i) => value - law.centres[c][i]);
      counts[c]++;
      squares[0] += (dx / deviation) ** 2 / N;
      squares[1] += (dy / deviation) ** 2 / N;
      products.push(dx * dy / deviation ** 2);
    }
    counts.forEach((count, i) => about(count / N, 1 / k, Math.sqrt((1 - 1 / k) / (k * N)), `share of ${i}`));
    squares.forEach((square, i) => about(square, 1, Math.sqrt(2 / N), `variance ${i}`));
    about(mean(products), 0, Math.sqrt(1 / N), "covariance");
  });
}

test("ring: eight centres on a circle of radius 2 / 1.414 that starts at (radius, 0)", () => {
  LAWS.ring().centres.forEach(([x, y], k) => {
    assert.ok(Math.abs(Math.hypot(x, y) - 2 / 1.414) <= 1e-15);
    const turn = Math.atan2(y, x) / (Math.PI / 4);
    assert.ok(Math.abs((turn + 8) % 8 - k) <= 1e-14 * 8 || k === 0 && Math.abs(turn) <= 1e-14);
  });
});

test("grid: 25 centres, 2 / 2.828 apart, around the origin", () => {
  const { centres } = LAWS.grid(), gap = 2 / 2.828;
  const places = new Set(centres.map(([x, y]) => `${Math.round(x / gap)} ${Math.round(y / gap)}`));
  assert.equal(places.size, 25);
  for (const value of centres.flat()) {
    assert.ok(Math.abs(value / gap) <= 2 && Math.abs(value / gap - Math.round(value / gap)) <= 1e-15);
  }
});

test("roll: radii between 1.5 pi and 4.5 pi over 7.5, and points along a spiral", () => {
  const noise = 0.25 / 7.5, deviations = [];
  for (const [x, y] of drawn(LAWS.roll())) {
    const radius = 7.5 * Math.hypot(x, y) / Math.PI;
    assert.ok(radius > 1.5 - 6 * 0.25 / Math.PI && radius < 4.5 + 6 * 0.25 / Math.PI, `radius ${radius} pi`);
    // the arms of the spiral are at t = angle + 2 pi k
    const angle = Math.atan2(y, x), turns = Math.round((radius * Math.PI - angle) / (2 * Math.PI));
    deviations.push(Math.hypot(x, y) - (angle + 2 * Math.PI * turns) / 7.5);
  }
  // the arms are almost circles, so what is off them is one coordinate of the noise
  about(mean(deviations.map((d) => d * d)) / noise ** 2, 1, 0.02, "noise");
});

test("lines: uniform on {0} x [0, 1]", () => {
  const heights = drawn(LAWS.lines()).map(([x, y]) => {
    assert.ok(x === 0 && y >= 0 && y < 1);
    return y;
  });
  about(mean(heights), 1 / 2, Math.sqrt(1 / 12 / N), "mean");
  about(mean(heights.map((y) => y * y)), 1 / 3, Math.sqrt(4 / 45 / N), "mean square");
});

test("drawn: uniform on the squares, square 0 the upper left one", () => {
  const cells = [0, CELLS - 1, 5 * CELLS + 3, CELLS * CELLS - 1], side = 2 * SPAN / CELLS, counts = new Map();
  const within = [];
  for (const [x, y] of drawn(LAWS.drawn(cells))) {
    const across = (x + SPAN) / side, down = (SPAN - y) / side;
    const cell = Math.floor(down) * CELLS + Math.floor(across);
    counts.set(cell, (counts.get(cell) ?? 0) + 1);
    within.push(across % 1, down % 1);
  }
  assert.deepEqual([...counts.keys()].sort((a, b) => a - b), cells);
  for (const count of counts.values()) about(count / N, 1 / 4, Math.sqrt(3 / 16 / N), "share");
  about(mean(within), 1 / 2, Math.sqrt(1 / 12 / (2 * N)), "mean");
  about(mean(within.map((u) => u * u)), 1 / 3, Math.sqrt(4 / 45 / (2 * N)), "mean square");
});

test("drawn refuses what is no drawing", () => {
  for (const cells of [undefined, [], [-1], [CELLS * CELLS], [1.5], [NaN]]) {
    assert.throws(() => LAWS.drawn(cells), /at least one square, numbered from 0 to 4095/);
  }
});

test("drawn with one cell stays inside it", () => {
  const side = 2 * SPAN / CELLS, row = 10, column = 20;
  for (const [x, y] of drawn(LAWS.drawn([row * CELLS + column]), 2, 1000)) {
    assert.ok(x >= -SPAN + column * side && x <= -SPAN + (column + 1) * side);
    assert.ok(y <= SPAN - row * side && y >= SPAN - (row + 1) * side);
  }
});

test("every law fits in the view", () => {
  for (const name of ["ring", "grid", "roll", "lines"]) {
    assert.ok(drawn(LAWS[name]()).flat().every((value) => Math.abs(value) < SPAN), name);
  }
});

// Two centres; `counts` points at `places`.
const count = (places, n = places.length) => modes([[0, 0], [2, 0]], Float64Array.from(places.flat()), n);

test("modes: a point at exactly RADIUS counts, one just beyond does not", () => {
  assert.deepEqual(count([[RADIUS, 0], [2, RADIUS]]), { covered: 2, total: 2, near: 1 });
  assert.deepEqual(count([[0, -RADIUS], [2, RADIUS * (1 + 1e-12)]]), { covered: 1, total: 2, near: 0.5 });
});

test("modes: exactly a quarter of the fair share is enough, one point less is not", () => {
  const at = (k, place) => Array(k).fill(place);  // 16 points and two centres: the fair share is 8, a quarter of it 2
  assert.deepEqual(count([...at(2, [2, 0]), ...at(14, [0, 0])]), { covered: 2, total: 2, near: 1 });
  assert.deepEqual(count([...at(1, [2, 0]), ...at(15, [0, 0])]), { covered: 1, total: 2, near: 1 });
  assert.deepEqual(count([...at(2, [2, 0]), ...at(14, [9, 9])]), { covered: 1, total: 2, near: 2 / 16 });
  assert.deepEqual(count(at(16, [9, 9])), { covered: 0, total: 2, near: 0 });
});

test("modes: a point counts for its nearest centre only", () => {
  const close = [[0, 0], [0.3, 0]], x = Float64Array.from([0.1, 0, 0.14, 0, 0.16, 0, 0.2, 0]);
  assert.deepEqual(modes(close, x.slice(0, 4), 2), { covered: 1, total: 2, near: 1 });
  assert.deepEqual(modes(close, x, 4), { covered: 2, total: 2, near: 1 });
});

test("modes: points of the law itself cover all of it", () => {
  for (const name of ["ring", "grid"]) {
    const law = LAWS[name](), total = law.centres.length;
    const flat = Float64Array.from(drawn(law, 3, 1024).flat());
    assert.deepEqual(modes(law.centres, flat, 1024), { covered: total, total, near: 1 });
  }
});

test("random numbers: the same seed the same, another seed others", () => {
  const numbers = (seed) => {
    const random = stream(seed);
    return Array.from({ length: 100 }, (_, i) => [random.uniform, random.normal, () => random.below(9)][i % 3]());
  };
  assert.deepEqual(numbers(7), numbers(7));
  for (const other of [8, 0, 7 + 2 ** 31]) {
    const [a, b] = [numbers(7), numbers(other)];
    assert.ok(a.filter((value, i) => value === b[i] && i % 3 !== 2).length === 0);
  }
});

test("random numbers: moments, ranges, and neighbours", () => {
  const random = stream(9), n = 100000;
  const u = Array.from({ length: n }, random.uniform);
  assert.ok(u.every((value) => value >= 0 && value < 1));
  about(mean(u), 1 / 2, Math.sqrt(1 / 12 / n), "uniform");
  about(mean(u.map((v, i) => (v - 0.5) * (u[(i + 1) % n] - 0.5))), 0, 1 / 12 / Math.sqrt(n), "neighbours");
  const z = Array.from({ length: n }, random.normal);
  [[1, 0, 1], [2, 1, 2], [3, 0, 15], [4, 3, 96]].forEach(([k, moment, variance]) => {
    about(mean(z.map((value) => value ** k)), moment, Math.sqrt(variance / n), `moment ${k}`);
  });
  about(mean(z.map((v, i) => v * z[(i + 1) % n])), 0, 1 / Math.sqrt(n), "neighbours");
  const counts = Array(7).fill(0);
  for (let i = 0; i < n; i++) counts[random.below(7)]++;
  counts.forEach((found) => about(found / n, 1 / 7, Math.sqrt(6 / 49 / n), "below"));
});
