// A whole run, as a reader has it.
import assert from "node:assert/strict";
import test from "node:test";
import { core } from "./tools.mjs";

const { LOOK, session, SUSTAINED } = await core("session");

const GOAL = { modes: 6, turns: 800 };  // so many modes of eight within so many turns
const settings = {
  data: "ring", cells: [], recipe: "wgan_gp", weight: 1, c: 0.3, nCritic: 5, rates: [2e-3, 2e-3], width: 16, seed: 1,
  n: 64,
};

test(`WGAN-GP finds ${GOAL.modes} modes of the ring within ${GOAL.turns} turns`, () => {
  const game = session(settings);
  let best = 0;
  while (best < GOAL.modes && game.turns < GOAL.turns) {
    game.advance(LOOK, () => performance.now() / 1000);
    best = Math.max(best, game.looks.at(-1).modes.covered);
  }
  assert.ok(best >= GOAL.modes, `${best} modes`);
  assert.ok(game.seconds > 0 && !game.diverged);

  // while it is there: what a look says about those before it
  game.advance(GOAL.turns - game.turns, () => game.turns);
  const counts = game.looks.map(({ modes }) => modes.covered), { total } = game.looks[0].modes;
  assert.equal(total, 8);
  game.looks.forEach(({ least }, i) => {
    const last = counts.slice(Math.max(0, i + 1 - SUSTAINED), i + 1);
    assert.equal(least, last.length < SUSTAINED ? null : Math.min(...last));
  });
  const first = game.looks.find(({ least }) => least === total);
  assert.equal(game.sustained?.turn, first?.turn);
  assert.ok(game.looks.at(-1).w1 < game.looks[0].w1 / 2, "the exact distance has more than halved");
});
