// Looks and pictures: what they show, and that they change nothing.
import assert from "node:assert/strict";
import test from "node:test";
import { core, mean, quick, RECIPE_NAMES, relative } from "./tools.mjs";

const { FIELD, LOOK, session, SHOWN } = await core("session");
const { sample, SPAN } = await core("laws");
const { stream } = await core("random");
const { w1 } = await core("transport");

const still = () => 0;
const weights = ({ run }) => [...run.generator.p, ...run.critic.p];
const started = (settings, turns = 0) => {
  const game = session({ ...quick, ...settings });
  game.advance(turns, still);
  return game;
};

test("looks, pictures and the rhythm of the turns do not change a run", () => {
  for (const data of ["ring", "lines"]) {
    const plain = started({ data }, 4 * LOOK);
    const watched = started({ data });
    for (const turns of [1, 7, LOOK, 2, 3 * LOOK - 10]) {
      watched.picture();
      watched.advance(turns, still);
      watched.picture();
    }
    assert.equal(watched.turns, plain.turns);
    assert.deepEqual(weights(watched), weights(plain));
    assert.deepEqual(watched.looks, plain.looks);
  }
});

test("the batch of the exact distance does not change a run", () => {
  assert.deepEqual(weights(started({ n: 8 }, 2 * LOOK)), weights(started({ n: 32 }, 2 * LOOK)));
});

test("there is a look before the first turn and one every LOOK turns", () => {
  const game = started({}, 3 * LOOK + 5);
  assert.deepEqual(game.looks.map(({ turn }) => turn), [0, LOOK, 2 * LOOK, 3 * LOOK]);
});

test("the seconds are those of training alone", () => {
  const game = session(quick);
  let time = 0;
  game.advance(LOOK, () => { time += 0.25; return time; });
  assert.equal(game.seconds, 0.25 * LOOK);  // one step of the clock between the two readings around each turn
});

// The look before the first turn, worked out anew from the stream that looks have to themselves.
function again(settings) {
  const game = session(settings), { run } = game, { n, seed } = settings, eyes = stream(seed ^ 0x5bd1e995);
  const batch = () => sample(run.law, new Float64Array(2 * n), n, eyes);
  const floors = Array.from({ length: 20 }, () => w1(batch(), batch(), n));
  const x = batch(), fake = run.generate(run.latent(n, eyes), n).slice();
  const at = (points) => {
    const { f, slopes } = run.judge(points, points.length / 2);
    return { f: [...f], slopes: Array.from(f, (_, i) => Math.hypot(slopes[2 * i], slopes[2 * i + 1])) };
  };
  const between = new Float64Array(2 * n);
  for (let i = 0; i < n; i++) {
    const eps = eyes.uniform();
    for (const k of [2 * i, 2 * i + 1]) between[k] = eps * x[k] + (1 - eps) * fake[k];
  }
  const middle = (k) => (2 * k + 1) / FIELD - 1;
  const field = Float64Array.from({ length: 2 * FIELD * FIELD }, (_, k) => {
    const square = k >> 1;
    return SPAN * (k % 2 ? -middle(Math.floor(square / FIELD)) : middle(square % FIELD));
  });
  return { game, look: game.looks[0], floors, x, fake, on: [x, fake, between, field].map(at), field };
}

test("a look has the numbers that it says", () => {
  const { game, look, floors, x, fake, on } = again({ ...quick, Real: Float64Array });
  const near = (found, expected) => assert.ok(Math.abs(found - expected) <= 1e-12, `${found}, not ${expected}`);
  near(game.floor.mean, mean(floors));
  near(game.floor.deviation ** 2, mean(floors.map((d) => (d - mean(floors)) ** 2)) * 20 / 19);
  near(look.gap, mean(on[0].f) - mean(on[1].f));
  near(look.w1, w1(x, fake, quick.n));
  near(look.slope, mean(on[2].slopes));
  near(look.steep, Math.max(...on.flatMap(({ slopes }) => slopes)));
  near(look.lower, look.gap / look.steep);
  const logD = on[0].f.map((f) => -Math.log1p(Math.exp(-f))), logNot = on[1].f.map((f) => -Math.log1p(Math.exp(f)));
  near(look.js, Math.log(2) + (mean(logD) + mean(logNot)) / 2);
});

test("the bounds: of the exact distance (as far as slopes were seen), and of JS by ln 2", () => {
  for (const recipe of RECIPE_NAMES) {
    for (const look of started({ recipe }, 4 * LOOK).looks) {
      assert.ok(look.lower <= look.w1 * 1.01, `${recipe}: ${look.lower} above ${look.w1}`);
      assert.ok(look.js <= Math.log(2), recipe);
    }
  }
});

test("a picture has the field in rows from the upper left, and the push at each sample", () => {
  for (const recipe of ["wgan_gp", "gan"]) {
    const { game, on, field } = again({ ...quick, recipe, Real: Float64Array });
    const { run } = game, picture = game.picture();
    assert.ok(relative(picture.field, on[3].f) <= 1e-15);
    assert.ok(field[0] < 0 && field[1] > 0 && field.at(-2) > 0 && field.at(-1) < 0);
    assert.equal(picture.real.length, 2 * SHOWN);
    assert.equal(picture.fake.length, 2 * SHOWN);
    const { f, slopes } = run.judge(picture.fake, SHOWN), ofFakes = [...f];
    // the generator's term is -f, or -log D, whose derivative is D - 1
    const share = (k) => (recipe === "gan" ? 1 - 1 / (1 + Math.exp(-f[k >> 1])) : 1);
    assert.ok(relative(picture.push, slopes.map((slope, k) => share(k) * slope)) <= 1e-14);
    const middle = (mean([...run.judge(picture.real, SHOWN).f]) + mean(ofFakes)) / 2;
    assert.ok(Math.abs(picture.middle - (recipe === "gan" ? 0 : middle)) <= 1e-14);
    assert.equal(picture.theta, null);
  }
});

test("pictures show the same latent points all the time, and keep what they showed", () => {
  const game = started({}), first = game.picture(), kept = structuredClone(first);
  assert.deepEqual(game.picture(), first);
  game.advance(LOOK, still);
  const second = game.picture();
  assert.deepEqual(first, kept);
  assert.deepEqual(second.real, first.real);
  for (const part of ["fake", "field", "push"]) assert.notDeepEqual(second[part], first[part]);
});

test("Example 1 shows theta, and counts no modes", () => {
  const game = started({ data: "lines" }), { theta, fake } = game.picture();
  assert.equal(theta, 1);
  assert.ok(fake.every((value, i) => i % 2 || value === 1));
  game.advance(LOOK, still);
  assert.equal(game.picture().theta, game.run.generator.p[2]);
  assert.ok(game.looks.every(({ modes }) => modes === undefined));
  assert.equal(game.sustained, null);
});

test("the distance of two parallel segments is theta and a little more", () => {
  const [{ w1: distance }] = started({ data: "lines", n: 128 }).looks;
  assert.ok(distance >= 1 && distance <= 1.05, `${distance}`);
});

test("one drawn cell is enough for a game", () => {
  const game = started({ data: "drawn", cells: [2080] }, LOOK);
  assert.ok(game.floor.mean <= Math.SQRT2 * 2 * SPAN / 64);
  assert.ok(game.looks.every(({ w1: distance, gap }) => Number.isFinite(distance) && Number.isFinite(gap)));
  assert.ok(game.looks.every(({ modes }) => modes === undefined));
});

test("a game that diverges stops, and says so", () => {
  for (const recipe of ["wgan_gp", "gan"]) {
    const game = started({ recipe, rates: [1e30, 1e30] }, 1000);
    assert.equal(game.diverged, true);
    assert.ok(game.turns <= 2 * LOOK, `${game.turns} turns`);
    const { turns } = game, told = game.looks.length;
    game.advance(100, still);
    assert.deepEqual([game.turns, game.looks.length], [turns, told]);
    assert.ok(Number.isNaN(game.looks.at(-1).w1));
    game.picture();  // still answers
  }
});
