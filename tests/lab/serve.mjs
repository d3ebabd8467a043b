// Answers questions about the core: a JSON list of [name, question] on stdin, a JSON list of answers on stdout.
import { readFileSync } from "node:fs";
import { core } from "./tools.mjs";

const { plain } = await core("arithmetic");
const { kernel } = await core("kernel");
const { LAWS, modes, sample } = await core("laws");
const { CONSTRAINTS, criticGradient, generatorGradient, OBJECTIVES } = await core("losses");
const { initialise, mlp, tape } = await core("network");
const { adam, rmsprop } = await core("optimisers");
const { stream } = await core("random");
const { RECIPES, trainer } = await core("training");
const { assign, w1 } = await core("transport");

const flat = (values) => Float64Array.from(values);

const arithmetics = { Float32: () => plain(Float32Array), Float64: () => plain(Float64Array), kernel };

function network(sizes, slope, weights, arithmetic = plain(Float64Array)) {
  const net = mlp(sizes, { slope, arithmetic });
  if (net.n !== weights.length) throw new Error(`${weights.length} weights for sizes ${sizes}`);
  net.p.set(weights);
  return net;
}

// One turn's worth of randomness from `random`, in the order of wganlab.sampling.Draw.
function drawn({ nCritic, batch }, law, latent, random) {
  const noise = () => Array.from({ length: latent * batch }, latent === 1 ? random.uniform : random.normal);
  const steps = [];
  for (let t = 0; t < nCritic; t++) {
    const x = [...sample(law, new Float64Array(2 * batch), batch, random)], z = noise();
    steps.push({ x, z, eps: Array.from({ length: batch }, random.uniform) });
  }
  return { steps, z: noise() };
}

const ANSWERS = {
  games: () => ({ RECIPES, CONSTRAINTS, objectives: Object.keys(OBJECTIVES) }),

  // Losses and gradients of both players for several `games` and `objectives`.
  gradients({ arithmetic, slope, critic, generator, x, fake, eps, z, m, games, objectives }) {
    const made = arithmetics[arithmetic](), from = (values) => made.Real.from(values);
    const f = network(critic.sizes, slope, critic.weights, made), t = tape(f, 3 * m);
    const g = network(generator.sizes, slope, generator.weights, made), tg = tape(g, m);
    const batch = [x, fake, eps].map(from), latent = from(z);
    return {
      critic: games.map((game) => ({ loss: criticGradient(f, t, ...batch, m, game), gradient: [...f.g] })),
      generator: objectives.map((objective) => (
        { loss: generatorGradient(g, tg, f, t, latent, m, { objective }), gradient: [...g.g] }
      )),
    };
  },

  // The gradient of Example 1's generator, whose theta is `theta`.
  shift({ settings, theta, critic, z, m, objective }) {
    const { generator } = trainer({ ...settings, data: "lines", Real: Float64Array });
    generator.p[2] = theta;
    const f = network(critic.sizes, critic.slope, critic.weights);
    const tapes = [tape(generator, m), tape(f, 3 * m)];
    const loss = generatorGradient(generator, tapes[0], f, tapes[1], flat(z), m, { objective });
    return { loss, gradient: [...generator.g] };
  },

  // The weights after each of the given gradients.
  steps({ optimiser, betas, rate, weights, gradients }) {
    const net = network([weights.length - 1, 1], 0, weights);
    const update = optimiser === "adam" ? adam(net, rate, betas) : rmsprop(net, rate);
    return gradients.map((gradient) => {
      net.g.set(gradient);
      update();
      return [...net.p];
    });
  },

  // A trainer's own turns, with the draws that it made: its stream is followed by a second one of the same seed.
  turns({ settings, turns }) {
    const random = stream(settings.seed), game = trainer({ ...settings, Real: Float64Array });
    const { generator, critic, law } = game, latent = generator.sizes[0];
    for (const net of latent === 1 ? [critic] : [generator, critic]) {
      initialise(mlp(net.sizes, { slope: net.slope, Real: Float64Array }), random);
    }
    const weights = () => ({ generator: [...generator.p], critic: [...critic.p] });
    const first = weights();
    const played = Array.from({ length: turns }, () => {
      const draws = drawn(settings, law, latent, random);
      game.turn();
      return { ...draws, weights: weights() };
    });
    return { sizes: { generator: generator.sizes, critic: critic.sizes }, first, played };
  },

  judge({ settings, turns, points }) {
    const game = trainer({ ...settings, Real: Float64Array });
    for (let k = 0; k < turns; k++) game.turn();
    const { f, slopes } = game.judge(flat(points), points.length / 2);
    return { sizes: game.critic.sizes, weights: [...game.critic.p], f: [...f], slopes: [...slopes] };
  },

  assign({ costs, n }) {
    const { cost, match } = assign(flat(costs), n);
    return { cost, match: [...match] };
  },
  w1: ({ x, y }) => w1(flat(x), flat(y), x.length / 2),

  centres: ({ law }) => LAWS[law]().centres,
  sample: ({ law, cells, n, seed }) => [...sample(LAWS[law](cells), new Float64Array(2 * n), n, stream(seed))],
  modes: ({ law, x }) => modes(LAWS[law]().centres, flat(x), x.length / 2),
  uniform: ({ seed, n }) => Array.from({ length: n }, stream(seed).uniform),
};

const questions = JSON.parse(readFileSync(0, "utf8"));
process.stdout.write(JSON.stringify(questions.map(([name, question]) => ANSWERS[name](question))));
