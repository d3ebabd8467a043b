// Seeded random numbers: one stream for each purpose, so that looking at a run never changes it.

// Mulberry32: `uniform` on [0, 1), `normal` by Marsaglia's polar method, `below(n)` a whole number.
export function stream(seed) {
  let state = seed >>> 0;
  let spare = null;
  function uniform() {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  }
  function normal() {
    if (spare !== null) {
      const value = spare;
      spare = null;
      return value;
    }
    let x, y, s;
    do {
      x = 2 * uniform() - 1;
      y = 2 * uniform() - 1;
      s = x * x + y * y;
    } while (s >= 1 || s === 0);
    const scale = Math.sqrt(-2 * Math.log(s) / s);
    spare = y * scale;
    return x * scale;
  }
  return { uniform, normal, below: (n) => Math.floor(uniform() * n) };
}
