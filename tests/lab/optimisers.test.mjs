// The first steps of the optimisers, which are known, and the clip.
import assert from "node:assert/strict";
import test from "node:test";
import { core, relative } from "./tools.mjs";

const { adam, clip, rmsprop } = await core("optimisers");
const { mlp } = await core("network");

const gradient = [3, -0.01, 1e-5, -700, 0, 2e-8];

function network() {
  const net = mlp([2, 2], { Real: Float64Array });
  net.p.set([0.5, -1, 2, 3, -4, 0.25]);
  net.g.set(gradient);
  return net;
}
const moves = (net, update) => {
  const before = net.p.slice();
  update();
  return net.p.map((value, i) => before[i] - value);
};

test("Adam's first step is the rate times the sign of the gradient", () => {
  for (const betas of [[0, 0.9], [0.5, 0.999], [0.9, 0.99]]) {
    const net = network(), rate = 0.03;
    const expected = gradient.map((g) => rate * g / (Math.abs(g) + 1e-8));
    assert.ok(relative(moves(net, adam(net, rate, betas)), expected) <= 1e-13);
  }
});

test("Adam's second step with the opposite gradient", () => {
  const net = network(), rate = 0.03, [beta1, beta2] = [0.5, 0.9];
  const update = adam(net, rate, [beta1, beta2]);
  update();
  net.g.set(gradient.map((g) => -g));
  // mean: beta1 (1 - beta1) g - (1 - beta1) g = -(1 - beta1)^2 g; square: g^2 as before
  const scale = (1 - beta1) ** 2 / (1 - beta1 ** 2);
  const expected = gradient.map((g) => -rate * scale * g / (Math.abs(g) + 1e-8));
  assert.ok(relative(moves(net, update), expected) <= 1e-13);
});

test("RMSProp's first step is ten times the rate times the sign", () => {
  const net = network(), rate = 0.03;
  const expected = gradient.map((g) => rate * g / (0.1 * Math.abs(g) + 1e-8));
  assert.ok(relative(moves(net, rmsprop(net, rate)), expected) <= 1e-13);
});

test("a gradient of 0 moves nothing", () => {
  for (const make of [(net) => adam(net, 1, [0, 0.9]), (net) => rmsprop(net, 1)]) {
    const net = network(), update = make(net);
    net.g.fill(0);
    for (let k = 0; k < 3; k++) assert.ok(moves(net, update).every((move) => move === 0));
  }
});

test("the clip bounds weights and biases on both sides and leaves the rest alone", () => {
  const net = network();
  clip(net, 0.5);
  assert.deepEqual([...net.p], [0.5, -0.5, 0.5, 0.5, -0.5, 0.25]);
});
