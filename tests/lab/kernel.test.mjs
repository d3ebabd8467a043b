// The kernel against the arithmetic in plain JavaScript, on the same numbers: rounding is all that may differ.
import assert from "node:assert/strict";
import test from "node:test";
import { core, quick, RECIPE_NAMES, relative } from "./tools.mjs";

const { plain } = await core("arithmetic");
const { kernel } = await core("kernel");
const { stream } = await core("random");
const { SETTINGS, ...state } = await import("../../book/_lab/page/state.mjs");
const { session } = await core("session");
const { trainer } = await core("training");

const exact = plain(Float64Array), SIZES = [1, 2, 3, 4, 5, 7, 8, 9, 12, 16, 33];

// The same random numbers, of single precision, in both; some of them 0.
function both(fast, length, random) {
  const values = Float32Array.from({ length }, () => (random.uniform() < 0.1 ? 0 : random.normal()));
  const [mine, other] = [fast.room(length), exact.room(length)];
  mine.set(values);
  other.set(values);
  return [mine, other];
}

test("products and sums of all small shapes", () => {
  const random = stream(1);
  let fast;
  for (const n of SIZES) for (const k of SIZES) for (const m of SIZES) {
    if (m === SIZES[0]) fast = kernel();  // its memory holds the products of some shapes, not of all
    const [A, B, bias] = [n * k, k * m, m].map((length) => both(fast, length, random));
    const C = [fast.room(n * m).fill(NaN), exact.room(n * m)], around = fast.room(8).fill(7);
    const calls = {
      timesTransposed: (one, i) => one.timesTransposed(A[i], B[i], bias[i], C[i], n, k, m),
      "without a bias": (one, i) => one.timesTransposed(A[i], B[i], null, C[i], n, k, m),
      times: (one, i) => one.times(A[i], B[i], C[i], n, k, m),
      transposedTimes: (one, i) => one.transposedTimes(A[i], B[i], C[i], n, k, m),
    };
    for (const [name, call] of Object.entries(calls)) {
      call(fast, 0);
      call(exact, 1);
      const error = Math.max(...C[1].map((value, i) => Math.abs(value - C[0][i])));
      assert.ok(error <= 1e-6 * (k + 1), `${name} ${n} ${k} ${m}: off by ${error}`);
    }
    const out = [fast.room(m).fill(NaN), exact.room(m)];
    fast.sums(B[0], out[0], k, m);
    exact.sums(B[1], out[1], k, m);
    assert.deepEqual([...out[0]], [...Float32Array.from(out[1])], `sums ${k} ${m}`);
    assert.ok(around.every((value) => value === 7), `${n} ${k} ${m}: wrote beyond its room`);
  }
});

test("activations, their slopes and scaling, bit for bit", () => {
  const random = stream(2), single = plain(Float32Array);
  for (const n of [1, 2, 3, 4, 5, 63, 64]) for (const slope of [0, 0.2]) {
    const fast = kernel(), [h] = both(fast, n, random), s = fast.room(n), around = fast.room(8).fill(7);
    const [h1, s1] = [h.slice(), new Float32Array(n)];
    fast.activate(h, s, n, slope);
    single.activate(h1, s1, n, slope);
    fast.scale(h, s, n);
    single.scale(h1, s1, n);
    assert.deepEqual([h, s, [...around]], [h1, s1, Array(8).fill(7)]);
  }
});

test("a sum that is 0 is 0, as in double precision: an optimiser would make a whole step of its rounding", () => {
  const fast = kernel(), A = fast.room(2 * 256), out = fast.room(2);
  A.forEach((_, i) => { A[i] = (i < 256 ? 1 : -1) * (i % 2 ? 0.1 : 1 / 3); });
  fast.sums(A, out, 256, 2);
  assert.deepEqual([...out], [0, 0]);
});

test("a game by the kernel is the game by plain JavaScript but for rounding", () => {
  for (const recipe of RECIPE_NAMES) for (const width of [6, 16]) {
    const [mine, other] = [true, false].map((fast) => {
      const game = trainer({ ...quick, recipe, width, fast });
      assert.equal(game.fast, fast);
      for (let k = 0; k < 5; k++) game.turn();
      return [...game.generator.p, ...game.critic.p];
    });
    const error = relative(mine, other);
    assert.ok(error <= 1e-4, `${recipe}, ${width}: off by ${error}`);
    assert.ok(error > 0, `${recipe}, ${width}: both are the same arithmetic`);
  }
});

test("the largest game has room, and many games after each other, too", () => {
  const [width, n] = [SETTINGS.width.values, SETTINGS.n.values].map((values) => Math.max(...values));
  const largest = session({ ...state.forEngine({ ...state.defaults(), width }), n });
  largest.advance(25, () => 0);
  assert.ok(largest.fast && largest.picture().field.every(Number.isFinite));
  for (let k = 0; k < 300; k++) assert.ok(trainer(quick).fast);
});

test("where WebAssembly or its four lanes cannot be had, there is no kernel, and the game is plain", async () => {
  const { Module } = WebAssembly;
  for (const broken of [class { constructor() { throw new WebAssembly.CompileError("refused"); } }, undefined]) {
    WebAssembly.Module = broken;
    const name = `kernel.mjs?${broken}`, folder = process.env.LAB_CORE ?? "../../book/_lab/core";
    const { kernel: none } = await import(`${folder}/${name}`);
    assert.equal(none(), null);
  }
  WebAssembly.Module = Module;
});
