// The players' losses where they can be worked out by hand.
import assert from "node:assert/strict";
import test from "node:test";
import { core, mean, relative } from "./tools.mjs";

const { criticGradient, generatorGradient, OBJECTIVES, sigmoid, softplus } = await core("losses");
const { mlp, tape } = await core("network");

const x = [1, 2, -0.5, 0.25, 3, -1, 0.125, 0.75], fake = [-1, 0.5, 2, 2, 0.25, -3, 1, 1.5];
const eps = [0.25, 0.5, 0.125, 0.875], m = 4, weight = 10;
const column = (points, k) => mean(points.filter((_, i) => i % 2 === k));
// The gradient of mean f(fake) - mean f(x) for a linear f.
const pull = [column(fake, 0) - column(x, 0), column(fake, 1) - column(x, 1)];

// For f(x) = a x_1 + b x_2 + 0.7 what a constraint adds to the Wasserstein loss, and the gradient of the whole.
function linear([a, b], constraint) {
  const critic = mlp([2, 1], { Real: Float64Array });
  critic.p.set([a, b, 0.7]);
  const game = { objective: "wasserstein", constraint, weight };
  const rows = [x, fake, eps].map((values) => Float64Array.from(values));
  const loss = criticGradient(critic, tape(critic, 3 * m), ...rows, m, game);
  return { cost: loss - (a * pull[0] + b * pull[1]), gradient: [...critic.g] };
}
function check([a, b], constraint, cost, [da, db]) {
  const found = linear([a, b], constraint);
  assert.ok(Math.abs(found.cost - cost) <= 1e-12 * Math.max(1, cost), `cost ${found.cost}, not ${cost}`);
  assert.ok(relative(found.gradient, [pull[0] + da, pull[1] + db, 0]) <= 1e-13, `gradient ${found.gradient}`);
}

test("without a constraint a linear critic's gradient is the difference of the means", () => {
  for (const constraint of ["none", "clipping"]) check([3, 4], constraint, 0, [0, 0]);
});

test("the slope 5 of (3, 4) costs 16 lambda, and lambda 8 (3, 4) / 5 is its derivative", () => {
  for (const constraint of ["penalty", "one_sided"]) {
    check([3, 4], constraint, 16 * weight, [4.8 * weight, 6.4 * weight]);
  }
});

test("a slope of 1/2 costs lambda / 4 two-sided and nothing one-sided", () => {
  check([0.3, 0.4], "penalty", weight / 4, [-0.6 * weight, -0.8 * weight]);
  check([0.3, 0.4], "one_sided", 0, [0, 0]);
});

test("a slope of 1 costs nothing", () => {
  for (const constraint of ["penalty", "one_sided"]) check([-1, 0], constraint, 0, [0, 0]);
});

test("a slope of 0 has the derivative 0, never NaN", () => {
  check([0, 0], "penalty", weight, [0, 0]);
  check([0, 0], "one_sided", 0, [0, 0]);
});

test("a critic whose units are all dead costs lambda and has the derivative 0", () => {
  const critic = mlp([2, 3, 1], { Real: Float64Array });
  critic.p.fill(1);
  critic.b[0].fill(-100);
  const rows = [x, fake, eps].map((values) => Float64Array.from(values));
  const game = { objective: "wasserstein", constraint: "penalty", weight };
  assert.equal(criticGradient(critic, tape(critic, 3 * m), ...rows, m, game), weight);
  assert.ok(critic.g.every((g) => g === 0), `${critic.g}`);
});

test("what a tape held before does not matter", () => {
  const critic = mlp([2, 3, 1], { slope: 0.2, Real: Float64Array });
  critic.p.forEach((_, i) => { critic.p[i] = Math.sin(1 + i); });
  const rows = [x, fake, eps].map((values) => Float64Array.from(values));
  const t = tape(critic, 3 * m);
  for (const constraint of ["penalty", "none", "one_sided"]) {
    const game = { objective: "wasserstein", constraint, weight };
    const loss = criticGradient(critic, tape(critic, 3 * m), ...rows, m, game), fresh = critic.g.slice();
    for (const values of [...t.h, ...t.s, ...t.u]) values.fill(NaN);
    assert.equal(criticGradient(critic, t, ...rows, m, game), loss);
    assert.deepEqual(critic.g, fresh);
  }
});

test("a linear generator under a linear critic", () => {
  const critic = mlp([2, 1], { Real: Float64Array }), generator = mlp([2, 2], { Real: Float64Array });
  critic.p.set([3, 4, 0.7]);
  generator.p.set([1, -2, 0.5, 0.25, 0.1, -0.3]);
  const z = Float64Array.from(x), mz = [column(x, 0), column(x, 1)];
  const game = { objective: "wasserstein" };
  const loss = generatorGradient(generator, tape(generator, m), critic, tape(critic, 3 * m), z, m, game);
  const score = 3 * (mz[0] - 2 * mz[1] + 0.1) + 4 * (0.5 * mz[0] + 0.25 * mz[1] - 0.3) + 0.7;
  assert.ok(Math.abs(loss + score) <= 1e-14);
  assert.ok(relative(generator.g, [-3 * mz[0], -3 * mz[1], -4 * mz[0], -4 * mz[1], -3, -4]) <= 1e-15);
});

test("softplus and the sigmoid are finite and exact far out", () => {
  assert.deepEqual([softplus(800), softplus(-800), sigmoid(800), sigmoid(-800)], [800, 0, 1, 0]);
  assert.deepEqual([softplus(0), sigmoid(0)], [Math.log(2), 0.5]);
  for (const v of [-30, -2, -1e-3, 0.5, 7, 36]) {
    assert.ok(Math.abs(softplus(v) - softplus(-v) - v) <= 1e-14 * Math.abs(v));
    assert.ok(Math.abs(sigmoid(v) + sigmoid(-v) - 1) <= 1e-15);
  }
  assert.ok(Math.abs(softplus(-30) / Math.exp(-30) - 1) <= 1e-12);  // not 0: small, not lost
});

test("each slope is the derivative of its term", () => {
  const step = 1e-5;
  for (const [name, objective] of Object.entries(OBJECTIVES)) {
    for (const term of ["real", "fake", "generator"]) {
      for (const f of [-3, -0.5, 0.25, 2]) {
        const difference = (objective[term](f + step) - objective[term](f - step)) / (2 * step);
        const found = objective[`${term}Slope`](f);
        assert.ok(Math.abs(found - difference) <= 1e-9, `${name}, ${term} at ${f}: ${found}, ${difference}`);
      }
    }
  }
});

test("two games are zero-sum, and the third is not", () => {
  for (const f of [-2, 0.5, 3]) {
    for (const { generator, fake } of [OBJECTIVES.wasserstein, OBJECTIVES.minimax]) {
      assert.equal(generator(f), -fake(f));
    }
    assert.equal(OBJECTIVES.non_saturating.generator(f), OBJECTIVES.non_saturating.real(f));
  }
});
