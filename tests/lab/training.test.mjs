// Whole turns of the game: what stays bounded, what stays frozen, what a seed decides.
import assert from "node:assert/strict";
import test from "node:test";
import { core, quick, RECIPE_NAMES, relative } from "./tools.mjs";

const { RECIPES, trainer } = await core("training");

function played(settings, turns) {
  const game = trainer(settings);
  for (let k = 0; k < turns; k++) game.turn();
  return game;
}
const weights = ({ generator, critic }) => [...generator.p, ...critic.p];

test("the recipes are the ones that are tested here", () => {
  assert.deepEqual(Object.keys(RECIPES).sort(), [...RECIPE_NAMES].sort());
});

test("weights and biases are clipped before the first turn and after every step; the generator's are not", () => {
  for (const c of [0.01, 0.1, 0.3]) {
    const game = trainer({ ...quick, recipe: "wgan", c, nCritic: 1, rates: [0.05, 0.05], Real: Float64Array });
    for (let k = 0; k < 20; k++) {
      const most = Math.max(...game.critic.p.map(Math.abs));
      assert.ok(most <= c, `a weight of ${most} beside c = ${c} after ${k} turns`);
      game.turn();
    }
    assert.ok(Math.max(...game.critic.p.map(Math.abs)) === c);  // steps of 0.05 push some against the bound
    assert.ok(Math.max(...game.generator.p.map(Math.abs)) > c);
  }
});

test("only the recipe with clipping clips", () => {
  for (const recipe of RECIPE_NAMES.filter((name) => name !== "wgan")) {
    assert.ok(Math.max(...played({ ...quick, recipe, c: 0.01 }, 1).critic.p.map(Math.abs)) > 0.1, recipe);
  }
});

test("the same seed gives the same run, another seed another", () => {
  for (const recipe of RECIPE_NAMES) {
    const once = weights(played({ ...quick, recipe }, 10));
    assert.deepEqual(weights(played({ ...quick, recipe }, 10)), once);
    const other = weights(played({ ...quick, recipe, seed: 2 }, 10));
    assert.ok(once.filter((value, i) => value === other[i]).length < once.length / 4, recipe);
  }
});

test("a turn moves the weights of both players", () => {
  for (const recipe of RECIPE_NAMES) {
    const [before, after] = [0, 1].map((turns) => played({ ...quick, recipe }, turns));
    for (const player of ["generator", "critic"]) {
      const moved = after[player].p.filter((value, i) => value !== before[player].p[i]).length;
      assert.ok(moved > after[player].n / 2, `${recipe}: ${moved} of ${after[player].n} weights of the ${player}`);
    }
  }
});

test("Example 1: three weights of the generator are frozen, and theta learns, under every recipe", () => {
  for (const recipe of RECIPE_NAMES) {
    const { generator } = trainer({ ...quick, data: "lines", recipe });
    assert.deepEqual([...generator.p], [0, 1, 1, 0]);
    const after = played({ ...quick, data: "lines", recipe }, 20).generator;
    assert.deepEqual([after.p[0], after.p[1], after.p[3]], [0, 1, 0], recipe);
    assert.ok(after.p[2] !== 1 && Number.isFinite(after.p[2]), recipe);
  }
});

test("Example 1: theta goes to 0 under the penalty", () => {
  const rates = [5e-3, 5e-3];
  const settings = { ...quick, data: "lines", recipe: "wgan_lp", weight: 10, nCritic: 5, rates, width: 16 };
  const theta = played(settings, 600).generator.p[2];
  assert.ok(Math.abs(theta) <= 0.1, `theta = ${theta}`);
});

test("single and double precision stay close for the first turns", () => {
  for (const recipe of RECIPE_NAMES) {
    const [short, long] = [Float32Array, Float64Array].map((Real) => weights(played({ ...quick, recipe, Real }, 5)));
    const error = relative(short, long);
    assert.ok(error <= 1e-4, `${recipe}: off by ${error}`);
    assert.ok(error > 0, `${recipe}: both are of one precision`);
  }
});

test("more critic steps are more critic steps", () => {
  const settings = { ...quick, recipe: "wgan", c: 10, rates: [1e-3, 1e-3], Real: Float64Array };
  const moved = [1, 3].map((nCritic) => {
    const [before, after] = [0, 1].map((turns) => played({ ...settings, nCritic }, turns).critic.p);
    return Math.max(...after.map((value, i) => Math.abs(value - before[i])));
  });
  // RMSProp's first step is ten rates long; two more follow
  assert.ok(Math.abs(moved[0] / 0.01 - 1) <= 1e-3 && moved[1] > 1.5 * moved[0], `${moved}`);
});

test("the slopes that are judged are the derivatives of the values that are judged", () => {
  const game = played({ ...quick, Real: Float64Array }, 5), h = 1e-6;
  const at = (...points) => game.judge(Float64Array.from(points), points.length / 2);
  for (const [x, y] of [[0.3, -0.7], [1.4, 0.1], [-2, 2]]) {
    const { f } = at(x + h, y, x - h, y, x, y + h, x, y - h), [right, left, up, down] = f;
    const { slopes } = at(x, y);
    assert.ok(relative(slopes, [(right - left) / (2 * h), (up - down) / (2 * h)]) <= 1e-6);
  }
});
