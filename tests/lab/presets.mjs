// The looks of a setup on some seeds, as JSON: node presets.mjs ID '{changed settings}' TURNS held|all SEED ...
// `held` ends a run as soon as all modes were held for ten looks.
import { LOOK, session } from "../../book/_lab/core/session.mjs";
import { forEngine, settingsOf } from "../../book/_lab/page/state.mjs";

const [id, changes, turns, end, ...seeds] = process.argv.slice(2);
const runs = seeds.map((seed) => {
  const game = session(forEngine({ ...settingsOf(id), ...JSON.parse(changes), seed: Number(seed) }));
  const theta = [], push = [];
  const see = () => {
    const picture = game.picture();
    theta.push(picture.theta);
    push.push(picture.push.reduce((most, v, k, all) => (k % 2 ? most : Math.max(most, Math.hypot(v, all[k + 1]))), 0));
  };
  see();
  while (game.turns < Number(turns) && !(end === "held" && game.sustained)) {
    game.advance(LOOK, () => 0);
    see();
  }
  return { looks: game.looks, sustained: game.sustained, floor: game.floor, theta, push };
});
console.log(JSON.stringify(runs));
