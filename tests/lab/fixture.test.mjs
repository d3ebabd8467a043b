// Losses and gradients against those of wganlab's own objectives and constraints by PyTorch's autograd, in float64:
// fixture.json, written by make_lab_fixture.py. A wrong loss with its own right derivative is seen only here.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import { core, relative } from "./tools.mjs";

const { criticGradient, generatorGradient } = await core("losses");
const { mlp, tape } = await core("network");

const fixture = JSON.parse(readFileSync(new URL("fixture.json", import.meta.url), "utf8"));
const { m, weight, sizes, weights } = fixture;
const real = (values) => Float64Array.from(values);

function network(player, slope) {
  const net = mlp(sizes[player], { slope, Real: Float64Array });
  assert.equal(net.n, weights[player].length);
  net.p.set(weights[player]);
  return net;
}

for (const { player, slope, objective, constraint, loss, gradient } of fixture.cases) {
  test(`${player}: ${objective}${constraint ? `, ${constraint}` : ""}, slope ${slope}`, () => {
    const critic = network("critic", slope), tc = tape(critic, 3 * m);
    const game = { objective, constraint, weight };
    let found, net = critic;
    if (player === "critic") {
      found = criticGradient(critic, tc, real(fixture.x), real(fixture.fake), real(fixture.eps), m, game);
    } else {
      net = network("generator", slope);
      found = generatorGradient(net, tape(net, m), critic, tc, real(fixture.z), m, game);
    }
    assert.ok(Math.abs(found - loss) <= 1e-12 * Math.abs(loss), `loss ${found}, not ${loss}`);
    assert.ok(relative(net.g, gradient) <= 1e-12, `gradient off by ${relative(net.g, gradient)}`);
  });
}

test("the fixture has all that the lab plays", async () => {
  const { RECIPES } = await core("training");
  const has = (player, objective, constraint) =>
    fixture.cases.some((c) => c.player === player && c.objective === objective && c.constraint === constraint);
  for (const [name, { objective, constraint }] of Object.entries(RECIPES)) {
    assert.ok(has("critic", objective, constraint) && has("generator", objective, null), name);
  }
});
