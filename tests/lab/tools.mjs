// For the tests of the core of the lab: its modules, and a few helpers.
import { pathToFileURL } from "node:url";

// The core is tested where it lies, or in the folder that LAB_CORE names: a copy with a fault put in on purpose.
const folder = process.env.LAB_CORE
  ? pathToFileURL(`${process.env.LAB_CORE}/`)
  : new URL("../../book/_lab/core/", import.meta.url);
export const core = (name) => import(new URL(`${name}.mjs`, folder));

// max |found - expected| / max |expected|; NaN if a number is missing or not finite, so that every bound fails.
export function relative(found, expected) {
  if (found.length !== expected.length) return NaN;
  let [most, scale] = [0, 0];
  for (let i = 0; i < found.length; i++) {
    most = Math.max(most, Math.abs(found[i] - expected[i]));
    scale = Math.max(scale, Math.abs(expected[i]));
  }
  return most === 0 ? 0 : most / scale;
}

export const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

// A game that trains in a moment: small, and fast rather than good.
export const quick = {
  data: "ring", cells: [], recipe: "wgan_gp", weight: 1, c: 0.1, nCritic: 2, rates: [2e-3, 2e-3], width: 6, seed: 1,
  n: 16, depth: 2, batch: 16,
};
export const RECIPE_NAMES = ["gan", "minimax", "wgan", "wgan_gp", "wgan_lp"];
