// Laws of points in the plane, with the constants of wganlab.sampling: { draw(random) -> [x, y], centres, radius }.

export const CELLS = 64;  // the drawing board is CELLS x CELLS squares of the view
export const SPAN = 2.3;  // the view is [-SPAN, SPAN]^2

function mixture(centres, deviation) {
  const draw = (random) => {
    const [x, y] = centres[random.below(centres.length)];
    return [x + deviation * random.normal(), y + deviation * random.normal()];
  };
  return { draw, centres };
}

function ring() {
  const radius = 2 / 1.414;
  const centre = (_, k) => [radius * Math.cos(Math.PI * k / 4), radius * Math.sin(Math.PI * k / 4)];
  return mixture(Array.from({ length: 8 }, centre), 0.02 / 1.414);
}

function grid() {
  const place = (k) => (2 / 2.828) * (k - 2);
  return mixture(Array.from({ length: 25 }, (_, k) => [place(Math.floor(k / 5)), place(k % 5)]), 0.05 / 2.828);
}

function roll() {
  return {
    draw(random) {
      const t = 1.5 * Math.PI * (1 + 2 * random.uniform());
      return [(t * Math.cos(t) + 0.25 * random.normal()) / 7.5, (t * Math.sin(t) + 0.25 * random.normal()) / 7.5];
    },
  };
}

// Example 1 of Arjovsky et al. 2017: the data lie on {0} x [0, 1]; its generator is z -> (theta, z), see `trainer`.
function lines() {
  return { draw: (random) => [0, random.uniform()] };
}

// Uniform on the squares whose numbers are in `cells`; square 0 is the upper left one.
function drawn(cells) {
  if (!cells?.length || !cells.every((k) => Number.isInteger(k) && k >= 0 && k < CELLS * CELLS)) {
    throw new RangeError(`A drawing needs at least one square, numbered from 0 to ${CELLS * CELLS - 1}.`);
  }
  const side = 2 * SPAN / CELLS;
  return {
    draw(random) {
      const cell = cells[random.below(cells.length)];
      return [
        -SPAN + side * ((cell % CELLS) + random.uniform()),
        SPAN - side * (Math.floor(cell / CELLS) + random.uniform()),
      ];
    },
  };
}

export const LAWS = { ring, grid, roll, lines, drawn };

// n points of a law, one after the other: x0, y0, x1, y1, ...
export function sample(law, out, n, random) {
  for (let i = 0; i < n; i++) [out[2 * i], out[2 * i + 1]] = law.draw(random);
  return out;
}

export const RADIUS = 0.2;

// How many centres have a quarter of their fair share of the n points within RADIUS, and the share of points there.
export function modes(centres, x, n) {
  const found = centres.map(() => 0);
  let near = 0;
  for (let i = 0; i < n; i++) {
    let best = Infinity, nearest = 0;
    centres.forEach(([cx, cy], k) => {
      const distance = Math.hypot(x[2 * i] - cx, x[2 * i + 1] - cy);
      if (distance < best) [best, nearest] = [distance, k];
    });
    if (best > RADIUS) continue;
    found[nearest]++;
    near++;
  }
  const fair = n / centres.length;
  return { covered: found.filter((count) => count >= fair / 4).length, total: centres.length, near: near / n };
}
