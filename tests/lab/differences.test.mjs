// Gradients against central differences of the losses, for every objective with every constraint.
import assert from "node:assert/strict";
import test from "node:test";
import { core, relative } from "./tools.mjs";

const { CONSTRAINTS, criticGradient, generatorGradient, OBJECTIVES } = await core("losses");
const { initialise, mlp, tape } = await core("network");
const { stream } = await core("random");

const m = 8, step = 1e-6, weight = 3;

function game(seed, slope) {
  const random = stream(seed);
  const net = (sizes) => {
    const made = initialise(mlp(sizes, { slope, Real: Float64Array }), random);
    made.b.forEach((b) => b.forEach((_, i) => { b[i] = 0.3 * random.normal(); }));
    return made;
  };
  const values = (n, draw) => Float64Array.from({ length: n }, draw);
  const points = () => values(2 * m, random.normal);
  return {
    critic: net([2, 7, 5, 1]), generator: net([2, 6, 2]),
    x: points(), fake: points(), z: points(), eps: values(m, random.uniform),
  };
}

function differences(net, loss) {
  return Float64Array.from(net.p, (value, i) => {
    net.p[i] = value + step;
    const above = loss();
    net.p[i] = value - step;
    const below = loss();
    net.p[i] = value;
    return (above - below) / (2 * step);
  });
}

for (const slope of [0, 0.2]) {
  for (const objective of Object.keys(OBJECTIVES)) {
    for (const constraint of Object.keys(CONSTRAINTS)) {
      test(`critic: ${objective}, ${constraint}, slope ${slope}`, () => {
        const { critic, x, fake, eps } = game(1, slope), t = tape(critic, 3 * m);
        const loss = () => criticGradient(critic, t, x, fake, eps, m, { objective, constraint, weight });
        loss();
        const found = critic.g.slice(), error = relative(found, differences(critic, loss));
        assert.ok(error <= 1e-6, `off by ${error}`);
      });
    }
    test(`generator: ${objective}, slope ${slope}`, () => {
      const { critic, generator, z } = game(2, slope);
      const tapes = [tape(generator, m), tape(critic, 3 * m)];
      const loss = () => generatorGradient(generator, tapes[0], critic, tapes[1], z, m, { objective });
      loss();
      const found = generator.g.slice(), error = relative(found, differences(generator, loss));
      assert.ok(error <= 1e-6, `off by ${error}`);
    });
  }
}
