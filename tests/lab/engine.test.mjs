// The messages between the page and the training, with a clock and a timer of the test's own.
import assert from "node:assert/strict";
import test from "node:test";
import { core, quick } from "./tools.mjs";

const { engine, work } = await core("engine");
const { LOOK } = await core("session");

const settings = { ...quick, width: 3, batch: 4, n: 4, nCritic: 1 };

// A page: `tick` is the time that each reading of the clock takes; `pass` lets seconds go by, the timer's actions at
// least `gap` apart.
function page(tick = 0) {
  const said = [], waiting = [];
  let time = 100, wishes = 0;
  const later = (action, delay) => waiting.push([action, delay]);
  const tell = engine((message) => said.push(message), later, () => (time += tick));
  return {
    tell, said, waiting,
    pass(seconds, gap = 0) {
      for (const end = time + seconds; waiting.length && time < end;) {
        const [action, delay] = waiting.shift();
        time += Math.max(delay / 1000, gap, 1e-6);
        action();
      }
      return this.look().state.turns;
    },
    wait(seconds) { time += seconds; },
    look() {
      tell({ want: ++wishes });
      assert.deepEqual([said.length, said.at(-1).want], [wishes, wishes]);  // one answer, and to this wish
      return said.at(-1);
    },
  };
}

test("settings alone train nothing, and nothing waits", () => {
  const { tell, said, waiting, look } = page();
  tell({ settings, run: 7 });
  assert.deepEqual([said.length, waiting.length], [0, 0]);
  const { run, state, looks, picture } = look();
  assert.equal(run, 7);
  assert.deepEqual([state.turns, state.seconds, state.diverged, state.sustained], [0, 0, false, null]);
  assert.deepEqual(looks.map(({ turn }) => turn), [0]);
  assert.ok(picture.field.length > 0 && state.floor.mean > 0);
});

test("before the first settings nothing is answered and nothing breaks", () => {
  const { tell, said } = page();
  for (const message of [{ want: 1 }, { turns: 3 }, { pace: 0 }]) tell(message);
  assert.equal(said.length, 0);
});

test("a number of turns is that number of turns, at rest or not", () => {
  const { tell, look } = page();
  tell({ settings });
  tell({ turns: 1 });
  assert.equal(look().state.turns, 1);
  tell({ turns: 30 });
  assert.equal(look().state.turns, 31);
});

test("each look comes once", () => {
  const { tell, look, said } = page();
  tell({ settings });
  look();
  look();
  for (const turns of [LOOK - 1, 1, 3 * LOOK, 5]) {
    tell({ turns });
    look();
    look();
  }
  assert.deepEqual(said.map(({ looks }) => looks.map(({ turn }) => turn)),
    [[0], [], [], [], [LOOK], [], [2 * LOOK, 3 * LOOK, 4 * LOOK], [], [], []]);
  tell({ settings });
  assert.deepEqual(look().looks.map(({ turn }) => turn), [0]);
});

test("a pace is so many turns a second, however often the timer comes", () => {
  for (const pace of [2, 10, 60, 300]) {
    for (const gap of [0.004, 0.016]) {
      const game = page();
      game.tell({ settings });
      game.tell({ pace });
      const turns = game.pass(3, gap);
      assert.ok(Math.abs(turns / (3 * pace) - 1) <= 0.05 || Math.abs(turns - 3 * pace) <= 1, `${turns} at ${pace}`);
    }
  }
});

test("the rest after which a pace begins is not made up for", () => {
  const game = page();
  game.tell({ settings });
  game.tell({ pace: 100 });
  game.pass(0.5);
  game.tell({ pace: 0 });
  const { turns } = game.look().state;
  game.wait(60);
  game.tell({ pace: 100 });
  assert.ok(game.pass(0.1) - turns <= 12);
});

test("rest is rest: no turn, and nothing waits", () => {
  for (const pace of [50, Infinity]) {
    const game = page(0.0005);
    game.tell({ settings });
    game.tell({ pace });
    const turns = game.pass(0.2);
    assert.ok(turns > 0);
    game.tell({ pace: 0 });
    assert.equal(game.pass(5), turns);
    assert.equal(game.waiting.length, 0);
  }
});

test("a page that was held up gets the turns of a tenth of a second and one more, not all", () => {
  const game = page();
  game.tell({ settings });
  game.tell({ pace: 200 });
  game.pass(0.1);
  const before = game.look().state.turns;
  const [action] = game.waiting.shift();
  game.wait(30);
  action();
  const { turns } = game.look().state;
  assert.ok(turns - before <= 21, `${turns - before} turns at once`);
});

test("as many turns as there is time for: slices short enough to answer between them", () => {
  const tick = 0.001, game = page(tick);
  game.tell({ settings });
  game.tell({ pace: Infinity });
  let before = 0;
  for (let k = 0; k < 20; k++) {
    const [action, delay] = game.waiting.shift();
    assert.equal(delay, 0);
    action();
    const { turns } = game.look().state;
    // a turn reads the clock three times, and a slice is 0.012 s
    assert.ok(turns > before && turns - before <= 5, `${turns - before} turns in a slice`);
    before = turns;
  }
});

test("there is one timer, however many messages", () => {
  const game = page();
  game.tell({ settings });
  for (const pace of [10, 0, 10, 20, Infinity, 0, 30]) game.tell({ pace });
  assert.equal(game.waiting.length, 1);
  const turns = game.pass(2);
  assert.ok(Math.abs(turns - 60) <= 3, `${turns} turns`);
  assert.equal(game.waiting.length, 1);
});

test("new settings begin anew, and at rest", () => {
  const game = page();
  game.tell({ settings, run: 1 });
  game.tell({ pace: 100 });
  assert.ok(game.pass(0.5) > 0);
  game.tell({ settings: { ...settings, seed: 2 }, run: 2 });
  assert.equal(game.pass(5), 0);
  assert.equal(game.look().run, 2);
});

test("a game that diverged stops, and says so", () => {
  const game = page();
  game.tell({ settings: { ...settings, rates: [1e30, 1e30] } });
  game.tell({ pace: 1000 });
  const turns = game.pass(10);
  assert.ok(turns <= 2 * LOOK);
  assert.equal(game.look().state.diverged, true);
  assert.equal(game.waiting.length, 0);
  game.tell({ pace: Infinity });
  game.tell({ turns: 10 });
  assert.equal(game.pass(1), turns);
  assert.equal(game.waiting.length, 0);
});

test("every message can be posted from a worker", () => {
  const game = page();
  game.tell({ settings });
  game.tell({ turns: 2 * LOOK });
  assert.deepEqual(structuredClone(game.look()), game.said.at(-1));
});

// `work` with channels as a browser has them: each message is a task. Node's would deliver a thousand before a timer.
async function working(t, play) {
  const { MessageChannel } = globalThis;
  let open = true;
  globalThis.MessageChannel = function fair() {
    this.port1 = {};
    this.port2 = { postMessage: (data) => setImmediate(() => open && this.port1.onmessage({ data })) };
  };
  t.after(() => {
    open = false;
    globalThis.MessageChannel = MessageChannel;
  });
  await play();
}

test("a worker answers while it trains as fast as it can", (t) => working(t, async () => {
  const heard = [];
  let wake = () => {};
  const scope = { postMessage: (message) => { heard.push(message); wake(); } };
  work(scope);
  const ask = (data) => scope.onmessage({ data });
  const answer = () => new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new assert.AssertionError({ message: "no answer in ten seconds" })), 10000);
    wake = () => resolve(clearTimeout(late));
    ask({ want: 1 });
  });
  ask({ settings, run: 3 });
  ask({ pace: Infinity });
  for (const end = performance.now() + 10000; (heard.at(-1)?.state.turns ?? 0) < 2 * LOOK;) {
    assert.ok(performance.now() < end, "no turns in ten seconds");
    await new Promise((resolve) => { setTimeout(resolve, 5); });
    await answer();
  }
  ask({ pace: 0 });
  await answer();
  const { turns } = heard.at(-1).state;
  await new Promise((resolve) => { setTimeout(resolve, 50); });
  await answer();
  assert.equal(heard.at(-1).state.turns, turns);
  assert.ok(heard.every(({ run }) => run === 3));
}));
