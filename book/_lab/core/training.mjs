// The training loop: Algorithm 1 of Arjovsky et al. 2017 and of Gulrajani et al. 2017, in the order of wganlab.training.
import { plain } from "./arithmetic.mjs";
import { kernel } from "./kernel.mjs";
import { LAWS, sample } from "./laws.mjs";
import { criticGradient, generatorGradient, CONSTRAINTS } from "./losses.mjs";
import { backward, forward, initialise, mlp, tape } from "./network.mjs";
import { adam, clip, rmsprop } from "./optimisers.mjs";
import { stream } from "./random.mjs";

// Where the games differ, as in wganlab.recipes; learning rates and weights are set for small networks in the plane.
export const RECIPES = {
  gan: { objective: "non_saturating", constraint: "none", optimiser: "adam", betas: [0.5, 0.999] },
  minimax: { objective: "minimax", constraint: "none", optimiser: "adam", betas: [0.5, 0.999] },
  wgan: { objective: "wasserstein", constraint: "clipping", optimiser: "rmsprop" },
  wgan_gp: { objective: "wasserstein", constraint: "penalty", optimiser: "adam", betas: [0, 0.9] },
  wgan_lp: { objective: "wasserstein", constraint: "one_sided", optimiser: "adam", betas: [0, 0.9] },
};

// Example 1's generator is one number: g(z) = (theta, z), z uniform on [0, 1], theta = 1 at first.
function shift(arithmetic) {
  const net = mlp([1, 2], { arithmetic, trained: (i) => i === 2 });
  net.p.set([0, 1, 1, 0]);
  return net;
}

// A game in progress. `settings`: data, cells, recipe, weight, c, nCritic, rates [critic, generator], width, seed; and for
// tests depth, batch, slope, Real, fast: whether single precision may use the kernel.
export function trainer(settings) {
  const { data, recipe, weight, c, nCritic, rates, width, seed } = settings;
  const { depth = 2, batch: m = 128, slope = 0.2, Real = Float32Array, fast = true } = settings;
  const arithmetic = (fast && Real === Float32Array && kernel()) || plain(Real);
  const game = { ...RECIPES[recipe], weight };
  const law = LAWS[data](settings.cells);
  const random = stream(seed);
  const latent = data === "lines" ? 1 : 2;
  const hidden = Array(depth).fill(width);
  const generator = latent === 1 ? shift(arithmetic) : initialise(mlp([2, ...hidden, 2], { slope, arithmetic }), random);
  const critic = initialise(mlp([2, ...hidden, 1], { slope, arithmetic }), random);
  const { clipped } = CONSTRAINTS[game.constraint];
  if (clipped) clip(critic, c);
  const update = (net, rate) => (game.optimiser === "adam" ? adam(net, rate, game.betas) : rmsprop(net, rate));
  const [updateCritic, updateGenerator] = [update(critic, rates[0]), update(generator, rates[1])];
  const [tg, tc] = [tape(generator, m), tape(critic, 3 * m)];
  const [x, z, eps] = [new Real(2 * m), new Real(latent * m), new Real(m)];

  function prior(out, from) {
    for (let i = 0; i < out.length; i++) out[i] = latent === 1 ? from.uniform() : from.normal();
    return out;
  }
  function criticStep() {
    sample(law, x, m, random);
    tg.h[0].set(prior(z, random));
    for (let i = 0; i < m; i++) eps[i] = random.uniform();
    criticGradient(critic, tc, x, forward(generator, tg, m), eps, m, game);
    updateCritic();
    if (clipped) clip(critic, c);
  }
  function turn() {
    for (let t = 0; t < nCritic; t++) criticStep();
    generatorGradient(generator, tg, critic, tc, prior(z, random), m, game);
    updateGenerator();
  }
  // Tapes are kept for each number of rows, so what these return is overwritten by the next call with as many.
  const kept = new Map();
  function roomy(net, name, n) {
    const key = name + n;
    if (!kept.has(key)) kept.set(key, tape(net, n));
    return kept.get(key);
  }
  return {
    game, law, generator, critic, turn, fast: arithmetic.fast === true,
    latent: (n, from) => prior(new Real(latent * n), from),
    // the generator's points at z
    generate(points, n) {
      const t = roomy(generator, "g", n);
      t.h[0].set(points);
      return forward(generator, t, n);
    },
    // the critic's values and slopes at points of the plane
    judge(points, n) {
      const t = roomy(critic, "c", n);
      t.h[0].set(points);
      const f = forward(critic, t, n);
      t.u[critic.last].fill(1);
      backward(critic, t, n, true);
      return { f, slopes: t.u[0] };
    },
  };
}
