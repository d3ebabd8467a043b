// The looks of a setup on some seeds, as JSON: node presets.mjs ID '{changed settings}' TURNS held|all SEED ...
// `held` ends a run as soon as all modes were held for ten looks.
import { LOOK, session } from "../../book/_lab/core/session.mjs";
import { forEngine, settingsOf } from "../../book/_lab/page/state.mjs";

const [id, changes, turns, end, ...seeds] = process.argv.slice(2);
const runs = seeds.map((seed) => {
  const game = session(forEngine({ ...settingsOf(id), ...JSON.parse(changes), seed: Number(seed) }));
  const theta = [game.picture().theta];
  while (game.turns < Number(turns) && !(end === "held" && game.sustained)) {
    game.advance(LOOK, () => 0);
    theta.push(game.picture().theta);
  }
  return { looks: game.looks, sustained: game.sustained, floor: game.floor, theta };
});
console.log(JSON.stringify(runs));
