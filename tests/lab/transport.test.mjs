// The exact distance between batches: closed forms, and all permutations.
import assert from "node:assert/strict";
import test from "node:test";
import { core } from "./tools.mjs";

const { assign, w1 } = await core("transport");
const { stream } = await core("random");

const points = (n, random) => Float64Array.from({ length: 2 * n }, random.normal);

function cheapest(C, n, row = 0, taken = 0) {
  if (row === n) return 0;
  let best = Infinity;
  for (let j = 0; j < n; j++) {
    if (!(taken & (1 << j))) best = Math.min(best, C[row * n + j] + cheapest(C, n, row + 1, taken | (1 << j)));
  }
  return best;
}

test("no permutation is cheaper, and the answer is a permutation: n <= 7, with and without ties", () => {
  const random = stream(3);
  const costs = [() => random.normal(), () => random.below(3), () => random.below(50), () => 1];
  for (let n = 1; n <= 7; n++) {
    for (const cost of costs) {
      for (let k = 0; k < (n < 7 ? 40 : 8); k++) {
        const C = Float64Array.from({ length: n * n }, cost);
        const { cost: found, match } = assign(C, n);
        assert.deepEqual([...match].sort(), [...Array(n).keys()]);
        assert.ok(Math.abs(found - cheapest(C, n)) <= 1e-13 * n, `n = ${n}: ${found}, not ${cheapest(C, n)}`);
      }
    }
  }
});

test("the cost is that of the match", () => {
  const random = stream(4), n = 30, C = Float64Array.from({ length: n * n }, random.uniform);
  const { cost, match } = assign(C, n);
  assert.equal(cost, match.reduce((sum, j, i) => sum + C[i * n + j], 0));
});

test("W1(x, x + d) = |d|", () => {
  const random = stream(5);
  for (const n of [1, 2, 17, 128]) {
    const x = points(n, random);
    for (const [a, b] of [[0, 0], [3, 4], [-0.01, 0.02], [1, 0]]) {
      const moved = x.map((value, i) => value + (i % 2 ? b : a)), d = Math.hypot(a, b);
      assert.ok(Math.abs(w1(x, moved, n) - d) <= 1e-13 * Math.max(1, d), `n = ${n}, |d| = ${d}`);
    }
  }
});

test("W1 does not see the order of the points, and is symmetric", () => {
  const random = stream(6), n = 40, x = points(n, random), y = points(n, random);
  const backwards = Float64Array.from(x, (_, i) => x[2 * (n - 1 - (i >> 1)) + (i & 1)]);
  assert.ok(Math.abs(w1(x, y, n) - w1(backwards, y, n)) <= 1e-13);
  assert.ok(Math.abs(w1(x, y, n) - w1(y, x, n)) <= 1e-13);
  assert.equal(w1(x, backwards, n), 0);
});

test("on a line W1 matches the sorted points", () => {
  const random = stream(7), n = 60, x = new Float64Array(2 * n), y = new Float64Array(2 * n);
  for (let i = 0; i < n; i++) [x[2 * i], y[2 * i]] = [random.normal(), 2 * random.uniform()];
  const sorted = (values) => values.filter((_, i) => i % 2 === 0).sort();
  const [a, b] = [sorted(x), sorted(y)];
  assert.ok(Math.abs(w1(x, y, n) - a.reduce((sum, value, i) => sum + Math.abs(value - b[i]), 0) / n) <= 1e-13);
});

test("points all in one place", () => {
  const x = new Float64Array(40), y = new Float64Array(40).fill(1);
  assert.equal(w1(x, x, 20), 0);
  assert.ok(Math.abs(w1(x, y, 20) - Math.SQRT2) <= 1e-14);
});
