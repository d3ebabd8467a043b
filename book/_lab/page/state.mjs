// What a reader can set, the setups to begin with, and both as text in the page's address.
import { CELLS } from "../core/laws.mjs";

const rates = [0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.003, 0.005, 0.01];

// name -> its label, its values with what they are called, and the games that it is for
export const SETTINGS = {
  data: {
    label: "Data",
    values: { ring: "ring of 8", grid: "grid of 25", roll: "Swiss roll", lines: "parallel lines", drawn: "draw your own" },
  },
  recipe: {
    label: "Game",
    values: {
      gan: "GAN, non-saturating", minimax: "GAN, minimax", wgan: "WGAN, clipping", wgan_gp: "WGAN-GP",
      wgan_lp: "WGAN-GP, one-sided",
    },
  },
  weight: { label: "Penalty λ", values: [0.1, 0.3, 1, 3, 10, 100], games: ["wgan_gp", "wgan_lp"] },
  c: { label: "Clip c", values: [0.01, 0.03, 0.1, 0.2, 0.3, 1, 3], games: ["wgan"] },
  nCritic: { label: "Critic steps a turn", values: [1, 2, 3, 5, 10, 20] },
  criticRate: { label: "Critic’s rate", values: rates },
  generatorRate: { label: "Generator’s rate", values: rates },
  width: { label: "Width of both", values: [16, 32, 64] },
  n: { label: "Batch for exact W₁", values: [64, 128, 256, 512] },
  seed: { label: "Seed", range: [1, 9999] },
};

const USUAL = { weight: 1, c: 0.2, n: 128, seed: 1 };
const GAMES = {
  gan: { nCritic: 1, criticRate: 0.002, generatorRate: 0.002 },
  minimax: { nCritic: 1, criticRate: 0.001, generatorRate: 0.001 },
  wgan: { nCritic: 2, criticRate: 0.001, generatorRate: 0.001 },
  wgan_gp: { nCritic: 2, criticRate: 0.005, generatorRate: 0.002 },
  wgan_lp: { nCritic: 2, criticRate: 0.005, generatorRate: 0.002 },
};
const WIDTHS = { ring: 32, grid: 32, roll: 32, lines: 16, drawn: 32 };

// What a game needs at a width: wide networks with a penalty want smaller rates.
const CAREFUL = { 32: { criticRate: 0.002, generatorRate: 0.001 }, 64: { criticRate: 0.001, generatorRate: 0.0005 } };
function usual(recipe, width) {
  return { ...GAMES[recipe], ...((recipe === "wgan_gp" || recipe === "wgan_lp") && CAREFUL[width]) };
}

// The letter W, for a board on which nobody has drawn yet.
const strokes = [[12, 14, 22, 48], [22, 48, 32, 24], [32, 24, 42, 48], [42, 48, 52, 14]];
const LETTER = [...new Set(strokes.flatMap(([x0, y0, x1, y1]) =>
  Array.from({ length: 69 }, (_, k) => {
    const at = (from, to) => Math.round(from + (k / 68) * (to - from));
    return at(y0, y1) * CELLS + at(x0, x1);
  })))].sort((a, b) => a - b);

// All settings for some data and a game.
export function defaults(data = "ring", recipe = "wgan_gp") {
  const width = WIDTHS[data];
  return { data, recipe, ...USUAL, ...usual(recipe, width), width, cells: LETTER };
}

const slow = { width: 16, criticRate: 0.001, generatorRate: 0.001 };
const even = { width: 16, weight: 10, nCritic: 5, criticRate: 0.002, generatorRate: 0.002 };
const careful = { width: 16, nCritic: 5, criticRate: 0.002, generatorRate: 0.001 };
const apart = { data: "lines", criticRate: 0.005, generatorRate: 0.002 };

// What to look at; book/lab.md says what comes of it, and tests/test_lab_presets.py asks it of five seeds.
export const PRESETS = {
  "eight-modes-with-a-penalty": {
    name: "Eight modes with a penalty",
    settings: { recipe: "wgan_gp" },
    see: "How many of the eight modes will be found, and are they held for ten looks? Where does the estimate "
      + "lie beside the exact distance?",
  },
  "a-gan-on-the-ring": {
    name: "A GAN on the ring",
    settings: { recipe: "gan", nCritic: 5, ...slow },
    see: "The samples find the ring. But do all modes get a quarter of their share, and does a count of eight "
      + "last? Watch the steepest slope, too.",
  },
  "the-same-rates-with-a-penalty": {
    name: "The same rates with a penalty",
    settings: { recipe: "wgan_gp", nCritic: 5, ...slow },
    see: "The GAN’s settings with another objective and the penalty. What changes in the count of modes?",
  },
  "clipping-too-tight": {
    name: "Clipping too tight",
    settings: { recipe: "wgan", c: 0.01, nCritic: 5, ...slow },
    see: "How large will the estimate be beside the exact distance? The arrows show the push: do the samples "
      + "move?",
  },
  "clipping-too-loose": {
    name: "Clipping too loose",
    settings: { recipe: "wgan", c: 3, nCritic: 5, ...slow },
    see: "The weights need long to reach their limits. What does the estimate do meanwhile, and do the samples "
      + "mind?",
  },
  "a-small-weight": {
    name: "A small weight",
    settings: { recipe: "wgan_gp", weight: 0.1, ...careful },
    see: "Slopes above 1 cost little here. Which slope will the critic have, and does its estimate lie above "
      + "or below the exact distance?",
  },
  "the-weight-one": {
    name: "The weight one",
    settings: { recipe: "wgan_gp", weight: 1, ...careful },
    see: "The same game with λ = 1. The same two questions: the slope, and the side on which the estimate "
      + "lies.",
  },
  "two-sided-at-ten": {
    name: "Two-sided at ten",
    settings: { recipe: "wgan_gp", ...even },
    see: "The mean slope is soon what the penalty asks for. Watch the sign of the estimate, and where the "
      + "samples go.",
  },
  "one-sided-at-ten": {
    name: "One-sided at ten",
    settings: { recipe: "wgan_lp", ...even },
    see: "The same numbers and the same first weights, but slopes below 1 are free. What becomes of the "
      + "estimate?",
  },
  "parallel-lines-the-minimax-gan": {
    name: "Parallel lines: the minimax GAN",
    settings: { recipe: "minimax", nCritic: 10, ...apart },
    see: "The discriminator learns ten times as often as the generator. How far will θ have come after 400 "
      + "turns?",
  },
  "parallel-lines-the-penalty": {
    name: "Parallel lines: the penalty",
    settings: { recipe: "wgan_gp", nCritic: 5, ...apart },
    see: "The same lines, with the penalty. Does the push fade on the way? Guess how many turns θ needs.",
  },
};

// What changes with a change: new data bring their own width, a new game and a new width their own rates.
export function changed(settings, name, value) {
  const next = { ...settings, [name]: value };
  if (name === "data") next.width = WIDTHS[value];
  if (name === "recipe" || next.width !== settings.width) Object.assign(next, usual(next.recipe, next.width));
  return next;
}

export function applies(name, settings) {
  return !SETTINGS[name].games || SETTINGS[name].games.includes(settings.recipe);
}

// ---- The address: #data=ring&recipe=wgan_gp&..., and for a drawing &cells=, two letters a square.

const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const written = (cells) => cells.map((k) => LETTERS[Math.floor(k / CELLS)] + LETTERS[k % CELLS]).join("");

function readCells(text) {
  const places = [...text].map((letter) => LETTERS.indexOf(letter));
  if (places.length % 2 || places.includes(-1)) return null;
  const cells = Array.from({ length: places.length / 2 }, (_, k) => places[2 * k] * CELLS + places[2 * k + 1]);
  return [...new Set(cells)].sort((a, b) => a - b);
}

export function print(settings) {
  const parts = Object.keys(SETTINGS)
    .filter((name) => applies(name, settings)).map((name) => `${name}=${settings[name]}`);
  if (settings.data === "drawn") parts.push(`cells=${written(settings.cells)}`);
  return parts.join("&");
}

function readValue(name, text) {
  const { values, range } = SETTINGS[name];
  const number = text.trim() === "" ? NaN : Number(text);
  if (range) return Number.isInteger(number) && number >= range[0] && number <= range[1] ? number : null;
  if (Array.isArray(values)) return values.includes(number) ? number : null;
  return Object.hasOwn(values, text) ? text : null;
}

function allowed(name) {
  const { values, range } = SETTINGS[name];
  if (range) return `a whole number from ${range[0]} to ${range[1]}`;
  return `one of ${(Array.isArray(values) ? values : Object.keys(values)).join(", ")}`;
}

// The settings that an address asks for, and a complaint for each part that cannot be had.
export function parse(address) {
  const asked = new Map(new URLSearchParams(address.replace(/^#/, "")));
  const complaints = [];
  const take = (name, read, rule) => {
    if (!asked.has(name)) return null;
    const value = read(asked.get(name));
    if (value === null) complaints.push(`${name} must be ${rule}, but the address has “${asked.get(name)}”.`);
    return value;
  };
  const preset = take("preset", (id) => (Object.hasOwn(PRESETS, id) ? id : null),
    `one of ${Object.keys(PRESETS).join(", ")}`);
  const start = preset ? PRESETS[preset].settings : {};
  const get = (name) => take(name, (text) => readValue(name, text), allowed(name));
  const data = get("data") ?? start.data, recipe = get("recipe") ?? start.recipe;
  const settings = { ...defaults(data, recipe), ...start };
  Object.assign(settings, data && { data }, recipe && { recipe });
  for (const name of Object.keys(SETTINGS)) {
    if (name !== "data" && name !== "recipe") settings[name] = get(name) ?? settings[name];
  }
  const cells = take("cells", readCells, "pairs of letters, digits, - and _");
  if (cells) settings.cells = cells;
  for (const name of asked.keys()) {
    if (!Object.hasOwn(SETTINGS, name) && name !== "preset" && name !== "cells") complaints.push(`There is no setting “${name}”.`);
  }
  return { settings, complaints };
}

export function settingsOf(preset) {
  const { settings } = PRESETS[preset];
  return { ...defaults(settings.data, settings.recipe), ...settings };
}

// The setup that these settings are, or null.
export function presetOf(settings) {
  return Object.keys(PRESETS).find((id) => print(settingsOf(id)) === print(settings)) ?? null;
}

// The settings as the engine wants them.
export function forEngine({ criticRate, generatorRate, ...rest }) {
  return { ...rest, rates: [criticRate, generatorRate] };
}
