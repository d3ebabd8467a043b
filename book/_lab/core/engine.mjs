// Training beside the page: the same few messages from and to a worker, or to the page itself where it has none.
import { session } from "./session.mjs";

const SLICE = 0.012;  // seconds of training between two glances at the messages

// `post` sends to the page, `later` calls a function soon, `clock` gives seconds. Returns a function of messages:
//   { settings, run }  a new game, with a number    { pace }  turns a second; Infinity: as many as go; 0: rest
//   { turns }          that many at once            { want }  a number: send a picture
// For each wish the page gets { run, want, picture, looks, state }, and `looks` holds each look of the game once.
export function engine(post, later, clock) {
  let game = null, pace = 0, since = 0, owed = 0, waiting = false, run = 0;

  function tick() {
    waiting = false;
    if (!game || pace === 0 || game.diverged) return;
    const now = clock();
    owed = pace === Infinity ? Infinity : Math.min(owed + (now - since) * pace, 1 + pace / 10);
    since = now;
    while (owed >= 1 && clock() - now < SLICE && !game.diverged) {
      game.advance(1, clock);
      owed--;
    }
    go();
  }
  function go() {
    if (waiting) return;
    waiting = true;
    later(tick, pace === Infinity ? 0 : 4);
  }
  function send(want) {
    const { turns, seconds, floor, sustained, diverged, looks, fast } = game;
    const state = { turns, seconds, floor, sustained, diverged, fast };
    post({ run, want, picture: game.picture(), looks: looks.splice(0), state });
  }
  return (message) => {
    if (message.settings) {
      [game, owed, run] = [session(message.settings), 0, message.run];
      pace = 0;
    }
    if (message.pace !== undefined) {
      [pace, since, owed] = [message.pace, clock(), 0];
      if (pace > 0) go();
    }
    if (!game) return;
    if (message.turns) game.advance(message.turns, clock);
    if (message.want) send(message.want);
  };
}

// Inside a worker: messages in, messages out. A channel to itself lets it look up between slices without a delay.
export function work(scope) {
  const { port1, port2 } = new MessageChannel();
  let next = null;
  port1.onmessage = () => next();
  const later = (action, delay) => {
    next = action;
    if (delay) setTimeout(() => port2.postMessage(0), delay);
    else port2.postMessage(0);
  };
  const answer = engine((message) => scope.postMessage(message), later, () => performance.now() / 1000);
  scope.onmessage = (event) => answer(event.data);
}
