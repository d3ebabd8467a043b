// The players' losses and their gradients: objectives and constraints as in wganlab.objectives and .constraints.
import { backward, forward, weightGradients } from "./network.mjs";

export const sigmoid = (v) => (v >= 0 ? 1 / (1 + Math.exp(-v)) : Math.exp(v) / (1 + Math.exp(v)));
export const softplus = (v) => Math.max(v, 0) + Math.log1p(Math.exp(-Math.abs(v)));

// Each player's term for one score and its derivative: on a real point, on a fake one, and the generator's.
const discriminator = {
  real: (f) => softplus(-f), realSlope: (f) => -sigmoid(-f),
  fake: (f) => softplus(f), fakeSlope: (f) => sigmoid(f),
};
export const OBJECTIVES = {
  wasserstein: {
    real: (f) => -f, realSlope: () => -1,
    fake: (f) => f, fakeSlope: () => 1,
    generator: (f) => -f, generatorSlope: () => -1,
  },
  non_saturating: {
    ...discriminator,
    generator: (f) => softplus(-f), generatorSlope: (f) => -sigmoid(-f),
  },
  minimax: {
    ...discriminator,
    generator: (f) => -softplus(f), generatorSlope: (f) => -sigmoid(f),
  },
};

// `penalised`: slopes at points of random segments cost; `oneSided`: only those above 1; `clipped`: weights in [-c, c].
export const CONSTRAINTS = {
  none: {},
  clipping: { clipped: true },
  penalty: { penalised: true },
  one_sided: { penalised: true, oneSided: true },
};

// The rows [x; x_fake; x_hat] for the critic, x_hat = eps x + (1 - eps) x_fake (Gulrajani et al. 2017, line 6).
function fillRows(X, x, fake, eps, m, penalised) {
  X.set(x.subarray(0, 2 * m), 0);
  X.set(fake.subarray(0, 2 * m), 2 * m);
  if (!penalised) return;
  for (let i = 0; i < m; i++) {
    for (let k = 2 * i; k < 2 * i + 2; k++) X[4 * m + k] = eps[i] * x[k] + (1 - eps[i]) * fake[k];
  }
}

// The mean terms of the objective; their derivatives go to u[last].
function scoreTerms(objective, f, u, m) {
  let loss = 0;
  for (let i = 0; i < m; i++) {
    loss += (objective.real(f[i]) + objective.fake(f[m + i])) / m;
    u[i] = objective.realSlope(f[i]) / m;
    u[m + i] = objective.fakeSlope(f[m + i]) / m;
  }
  return loss;
}

// weight mean (|g| - 1)^2 over the slopes g at x_hat, and its derivative with respect to g in the last rows of h[0].
function penaltyTerms(t, m, weight, oneSided) {
  const g = t.u[0], G = t.h[0];
  let penalty = 0;
  for (let k = 4 * m; k < 6 * m; k += 2) {
    const slope = Math.sqrt(g[k] * g[k] + g[k + 1] * g[k + 1]);
    const free = oneSided && slope < 1;
    const scale = free ? 0 : (2 * weight / m) * (1 - 1 / Math.max(slope, 1e-12));
    if (!free) penalty += (weight / m) * (slope - 1) ** 2;
    G[k] = scale * g[k];
    G[k + 1] = scale * g[k + 1];
  }
  return penalty;
}

// The critic is linear where its activation's slopes are fixed. So g is a product of matrices, and the penalty's
// derivative takes one more pass forward, of G, through the same matrices without biases. These tangents take the place
// of the values at x_hat: one product of u and h over all 3 m rows is then the whole gradient.
function tangents(critic, t, m) {
  const { sizes, arithmetic: { timesTransposed, scale } } = critic;
  for (let l = 1; l < critic.last; l++) {
    const rows = (values, size) => values.subarray(2 * m * size, 3 * m * size);
    const out = rows(t.h[l], sizes[l]);
    timesTransposed(rows(t.h[l - 1], sizes[l - 1]), critic.W[l - 1], null, out, m, sizes[l - 1], sizes[l]);
    scale(out, rows(t.s[l], sizes[l]), out.length);
  }
}

// The critic's loss on m real points, m fakes and, with a penalty, m points between; its gradient goes to critic.g.
// `game` has an objective and a constraint by name and the penalty's weight; t is a tape of 3 m rows.
export function criticGradient(critic, t, x, fake, eps, m, { objective, constraint, weight }) {
  const { penalised, oneSided } = CONSTRAINTS[constraint];
  const rows = penalised ? 3 * m : 2 * m, u = t.u[critic.last];
  fillRows(t.h[0], x, fake, eps, m, penalised);
  const f = forward(critic, t, rows);
  let loss = scoreTerms(OBJECTIVES[objective], f, u, m);
  if (penalised) u.fill(1, 2 * m, 3 * m);
  backward(critic, t, rows, penalised);
  if (penalised) {
    loss += penaltyTerms(t, m, weight, oneSided);
    tangents(critic, t, m);
  }
  weightGradients(critic, t, rows, 2 * m);
  return loss;
}

// The generator's loss at the latent points z; its gradient goes to generator.g.
export function generatorGradient(generator, tg, critic, tc, z, m, { objective }) {
  const { generator: term, generatorSlope } = OBJECTIVES[objective];
  tg.h[0].set(z.subarray(0, m * generator.sizes[0]));
  tc.h[0].set(forward(generator, tg, m).subarray(0, 2 * m));
  const f = forward(critic, tc, m), u = tc.u[critic.last];
  let loss = 0;
  for (let i = 0; i < m; i++) {
    loss += term(f[i]) / m;
    u[i] = generatorSlope(f[i]) / m;
  }
  backward(critic, tc, m, true);
  tg.u[generator.last].set(tc.u[0].subarray(0, 2 * m));
  backward(generator, tg, m, false);
  weightGradients(generator, tg, m, m);
  return loss;
}
