// Two panels over the turns: the distance with the critic's estimate, and the critic's slope or the bound on JS.
import { LOOK } from "../core/session.mjs";
import { canvas } from "./drawing.mjs";

const MEANT = 10;   // looks in a running mean
const DRAWN = 480;  // as many looks are drawn: of a long game every second, fourth, ... one
const [LEFT, RIGHT] = [42, 10];

// What is drawn of a game: [key of a look, colour, dashes].
export function lines(recipe) {
  const w1 = ["w1", "ink", []];
  if (recipe === "gan" || recipe === "minimax") return { upper: [w1], lower: [["js", "estimate", [6, 3]]] };
  const estimate = ["gap", "estimate", [6, 3]], bound = ["lower", "lower", [2, 3]];
  return { upper: [w1, estimate, bound], lower: [["steep", "ink", []], ["slope", "muted", [6, 3]]] };
}

export const trace = () => ({ stride: 1, rows: [] });

// Keeps the last of `looks` to be drawn, with the mean of the last ten.
export function remember(kept, looks) {
  const look = looks.at(-1), last = looks.slice(-MEANT);
  if (look.turn % (LOOK * kept.stride)) return;
  const mean = {};
  for (const key of ["w1", "gap", "lower", "js", "steep", "slope"]) {
    mean[key] = last.reduce((sum, one) => sum + one[key], 0) / last.length;
  }
  kept.rows.push({ ...look, mean });
  if (kept.rows.length <= DRAWN) return;
  kept.rows = kept.rows.filter((_, k) => k % 2 === 0);
  kept.stride *= 2;
}

function step(length) {
  const power = 10 ** Math.floor(Math.log10(length / 3));
  return power * [1, 2, 5, 10].find((factor) => length / (factor * power) <= 4);
}

const most = (looks, key) => looks.reduce((value, look) => Math.max(value, look[key]), -Infinity);
const least = (looks, key) => looks.reduce((value, look) => Math.min(value, look[key]), Infinity);

// The distance decides the range: an estimate of another size leaves the panel, and its number says how far.
function range(looks, floor, recipe) {
  const finite = looks.filter((look) => Number.isFinite(look.w1));
  const w1 = Math.max(most(finite, "w1"), floor.mean + 2 * floor.deviation);
  if (recipe === "gan" || recipe === "minimax") return [0, 1.1 * w1];
  const high = Math.min(Math.max(most(finite, "gap"), w1), 1.6 * w1);
  return [Math.max(Math.min(least(finite, "gap"), 0), -0.5 * w1), 1.08 * high];
}

function axes(g, { top, bottom, width, X, turns, title }, [low, high], colour) {
  const Y = (v) => bottom - ((Math.max(low, Math.min(high, v)) - low) / (high - low)) * (bottom - top);
  const unit = step(high - low), digits = Math.max(0, -Math.floor(Math.log10(unit) + 1e-9));
  g.lineWidth = 1;
  g.textAlign = "right";
  g.textBaseline = "middle";
  for (let k = Math.ceil(low / unit); k * unit <= high; k++) {
    g.strokeStyle = colour.line;
    g.beginPath();
    g.moveTo(LEFT, Y(k * unit));
    g.lineTo(width - RIGHT, Y(k * unit));
    g.stroke();
    g.fillStyle = colour.muted;
    g.fillText((k * unit).toFixed(digits).replace("-", "−"), LEFT - 6, Y(k * unit));
  }
  g.textAlign = "left";
  g.textBaseline = "alphabetic";
  g.fillStyle = colour.ink;
  g.fillText(title, LEFT, top - 8);
  g.fillStyle = colour.muted;
  for (const share of [0, 0.5, 1]) {
    g.textAlign = ["left", "center", "right"][2 * share];
    g.fillText(`${Math.round(share * turns)}${share === 1 ? " turns" : ""}`, X(share * turns), bottom + 15);
  }
  return Y;
}

// Thin: each look. Thick: the mean of the last ten.
function curve(g, rows, key, X, Y, colour, dashes) {
  const draw = (value) => {
    g.beginPath();
    for (const row of rows) g.lineTo(X(row.turn), Y(value(row)));
    g.stroke();
  };
  g.strokeStyle = colour;
  g.globalAlpha = 0.35;
  g.lineWidth = 1;
  draw((row) => row[key]);
  g.globalAlpha = 1;
  g.lineWidth = 2;
  g.setLineDash(dashes);
  draw((row) => row.mean[key]);
  g.setLineDash([]);
}

function mark(g, width, Y, value, colour) {
  g.strokeStyle = colour.ink;
  g.globalAlpha = 0.6;
  g.beginPath();
  g.moveTo(LEFT, Y(value));
  g.lineTo(width - RIGHT, Y(value));
  g.stroke();
  g.globalAlpha = 1;
}

// What is kept of a game, and its floor; the upper panel takes three parts of five.
export function drawCurves(element, rows, floor, recipe, colour) {
  const { g, width, height } = canvas(element);
  const seen = rows.filter((row) => Number.isFinite(row.w1));
  const turns = Math.max(rows.at(-1).turn, 100);
  const X = (turn) => LEFT + (turn / turns) * (width - LEFT - RIGHT);
  const isGan = recipe === "gan" || recipe === "minimax", drawn = lines(recipe);
  g.fillStyle = colour.ground;
  g.fillRect(0, 0, width, height);
  g.font = "12px system-ui, sans-serif";
  if (!seen.length) return;
  const middle = Math.round(0.58 * height);
  const upper = { top: 24, bottom: middle - 22, width, X, turns, title: "distance" };
  const Y = axes(g, upper, range(seen, floor, recipe), colour);
  g.fillStyle = colour.ink;
  g.globalAlpha = 0.14;
  const [high, low] = [floor.mean + 2 * floor.deviation, Math.max(0, floor.mean - 2 * floor.deviation)].map(Y);
  g.fillRect(LEFT, high, width - LEFT - RIGHT, low - high);
  g.globalAlpha = 1;
  for (const [key, name, dashes] of drawn.upper) curve(g, seen, key, X, Y, colour[name], dashes);
  const tall = isGan ? [-0.25, 0.75] : [0, Math.min(Math.max(1.5, most(seen, "steep")), 10)];
  const title = isGan ? "bound on JS, nats (line: ln 2)" : "slope of the critic (line: 1)";
  const lower = { top: middle + 22, bottom: height - 22, width, X, turns, title };
  const Z = axes(g, lower, tall, colour);
  mark(g, width, Z, isGan ? Math.log(2) : 1, colour);
  for (const [key, name, dashes] of drawn.lower) curve(g, seen, key, X, Z, colour[name], dashes);
}
