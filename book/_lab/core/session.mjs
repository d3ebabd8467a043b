// A game that is looked at: every LOOK turns its exact distance, its critic and its modes are measured.
import { modes, sample, SPAN } from "./laws.mjs";
import { OBJECTIVES, softplus } from "./losses.mjs";
import { stream } from "./random.mjs";
import { trainer } from "./training.mjs";
import { w1 } from "./transport.mjs";

export const LOOK = 25;       // turns between two looks
export const SUSTAINED = 10;  // looks in a row that a mode count must hold
export const FIELD = 40;      // the critic is painted from FIELD x FIELD points
export const SHOWN = 256;     // points of the data and of the generator in the picture
const COUNTED = 1024;         // points among which modes are counted
const PAIRS = 20;             // pairs of batches of data behind the floor

const mean = (values, n) => values.reduce((sum, value) => sum + value, 0) / n;

function steepest(slopes) {
  let most = 0;
  for (let k = 0; k < slopes.length; k += 2) most = Math.max(most, slopes[k] ** 2 + slopes[k + 1] ** 2);
  return Math.sqrt(most);
}

// Points of the middle of each square of the view, row by row from the upper left.
function lattice(Real) {
  const points = new Real(2 * FIELD * FIELD);
  for (let k = 0; k < FIELD * FIELD; k++) {
    points[2 * k] = ((2 * (k % FIELD) + 1) / FIELD - 1) * SPAN;
    points[2 * k + 1] = (1 - (2 * Math.floor(k / FIELD) + 1) / FIELD) * SPAN;
  }
  return points;
}

// Mean and standard deviation of W1 between two batches of n data points: no generator gets below it for long.
function floorOf(law, n, Real, random) {
  const batch = () => sample(law, new Real(2 * n), n, random);
  const found = Array.from({ length: PAIRS }, () => w1(batch(), batch(), n));
  const middle = mean(found, PAIRS);
  return { mean: middle, deviation: Math.sqrt(mean(found.map((value) => (value - middle) ** 2), PAIRS - 1)) };
}

// `settings` are a trainer's with n, the batch of the exact W1. Three streams, so that neither looks nor pictures change
// the run: its own, one for looks, one for pictures.
export function session(settings) {
  const { n, seed, Real = Float32Array } = settings;
  const run = trainer(settings);
  const [eyes, brush] = [stream(seed ^ 0x5bd1e995), stream(seed ^ 0x2545f491)];
  const floor = floorOf(run.law, n, Real, eyes);
  const points = lattice(Real);
  const shown = {
    real: sample(run.law, new Real(2 * SHOWN), SHOWN, brush),
    latent: run.latent(SHOWN, brush),
  };
  const recent = [];  // covered modes at the last looks
  const me = { turns: 0, seconds: 0, floor, sustained: null, diverged: false, looks: [], fast: run.fast };

  // The critic's slopes on the lattice, at real points, at fakes, and in the mean at points between.
  function slopes(x, fake) {
    const between = new Real(2 * n);
    for (let i = 0; i < n; i++) {
      const eps = eyes.uniform();
      for (let k = 2 * i; k < 2 * i + 2; k++) between[k] = eps * x[k] + (1 - eps) * fake[k];
    }
    const within = run.judge(between, n).slopes;
    let sum = 0;
    for (let k = 0; k < 2 * n; k += 2) sum += Math.sqrt(within[k] ** 2 + within[k + 1] ** 2);
    const most = [within, run.judge(points, FIELD * FIELD).slopes].map(steepest);
    return { mean: sum / n, most: Math.max(...most) };
  }
  function look() {
    const x = sample(run.law, new Real(2 * n), n, eyes);
    const fake = run.generate(run.latent(n, eyes), n).slice();
    let [gap, entropy] = [0, 0];
    const { f: fx, slopes: atReal } = run.judge(x, n);
    let most = steepest(atReal);
    for (const f of fx) {
      gap += f / n;
      entropy += softplus(-f) / n;
    }
    const { f: ff, slopes: atFake } = run.judge(fake, n);
    most = Math.max(most, steepest(atFake));
    for (const f of ff) {
      gap -= f / n;
      entropy += softplus(f) / n;
    }
    const slope = slopes(x, fake);
    const steep = Math.max(most, slope.most);
    const at = { turn: me.turns, gap, js: Math.log(2) - entropy / 2, steep, slope: slope.mean, lower: gap / steep };
    me.diverged = !Number.isFinite(gap);
    at.w1 = me.diverged ? NaN : w1(x, fake, n);
    if (run.law.centres && !me.diverged) count(at);
    me.looks.push(at);
  }
  function count(at) {
    at.modes = modes(run.law.centres, run.generate(run.latent(COUNTED, eyes), COUNTED), COUNTED);
    recent.push(at.modes.covered);
    if (recent.length > SUSTAINED) recent.shift();
    at.least = recent.length === SUSTAINED ? Math.min(...recent) : null;
    if (at.least === at.modes.total) me.sustained ??= { turn: me.turns, seconds: me.seconds };
  }
  // `count` turns, fewer if the game diverges; `clock` gives seconds.
  me.advance = (count, clock) => {
    for (let k = 0; k < count && !me.diverged; k++) {
      const start = clock();
      run.turn();
      me.seconds += clock() - start;
      me.turns++;
      if (me.turns % LOOK === 0) look();
    }
  };
  // What a picture needs, in arrays of its own. `push` is minus the derivative of the generator's term for each sample;
  // `middle` the zero of the painted field: half way between the means of f on data and samples, or where D = 1/2.
  me.picture = () => {
    const fake = run.generate(shown.latent, SHOWN).slice();
    const onReal = run.judge(shown.real, SHOWN).f.slice();
    const { f, slopes } = run.judge(fake, SHOWN);
    const { generatorSlope } = OBJECTIVES[run.game.objective];
    const push = slopes.map((slope, k) => -generatorSlope(f[k >> 1]) * slope);
    const middle = run.game.objective === "wasserstein" ? (mean(onReal, SHOWN) + mean(f, SHOWN)) / 2 : 0;
    const theta = run.generator.frozen.length ? run.generator.p[2] : null;
    return {
      real: shown.real, fake, push, middle, theta,
      field: run.judge(points, FIELD * FIELD).f.slice(),
    };
  };
  me.run = run;
  look();
  return me;
}
