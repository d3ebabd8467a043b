// What both pictures share: a sharp canvas, colours of the style sheet, level lines, numbers in print.

// A number as printed mathematics; tiny and huge ones by their power of ten.
export function printed(value, digits = 3) {
  if (value === null || value === undefined) return "–";
  if (!Number.isFinite(value)) return "not finite";
  const size = Math.abs(value);
  const text = size > 0 && (size < 0.5 * 10 ** -digits || size >= 10000)
    ? value.toExponential(1).replace(/e([+-]?\d+)$/, (_, power) => " · 10" + raised(Number(power)))
    : value.toFixed(digits);
  return text.replace("-", "−");
}

function raised(power) {
  return String(power).replace(/./g, (sign) => (sign === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[sign]));
}

// The colours of the page as it is now: a canvas cannot see the style sheet.
export function colours() {
  const style = getComputedStyle(document.documentElement);
  const names = ["ground", "ink", "muted", "line", "real", "fake", "estimate", "lower"];
  return Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
}

// The canvas with one unit a CSS pixel; its size follows its box.
export function canvas(element) {
  const ratio = Math.min(devicePixelRatio || 1, 2), { clientWidth: width, clientHeight: height } = element;
  const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (element.width !== w || element.height !== h) [element.width, element.height] = [w, h];
  const g = element.getContext("2d");
  g.setTransform(ratio, 0, 0, ratio, 0, 0);
  return { g, width, height };
}

// The level line of values (size x size, row by row) as segments [x0, y0, x1, y1] in units of the grid.
export function levelLine(values, size, level) {
  const segments = [];
  for (let row = 0; row < size - 1; row++) {
    for (let column = 0; column < size - 1; column++) {
      const k = row * size + column;
      const corner = [values[k], values[k + 1], values[k + size + 1], values[k + size]].map((v) => v - level);
      const ends = [];
      for (let side = 0; side < 4; side++) {
        const [a, b] = [corner[side], corner[(side + 1) % 4]];
        if (a > 0 === b > 0) continue;
        const t = a / (a - b);
        ends.push([[column + t, row], [column + 1, row + t], [column + 1 - t, row + 1], [column, row + 1 - t]][side]);
      }
      // at a saddle the middle says which corners belong together
      if (ends.length === 4 && corner[0] > 0 !== (corner[0] + corner[1] + corner[2] + corner[3] > 0)) ends.push(ends.shift());
      for (let e = 0; e + 1 < ends.length; e += 2) segments.push([...ends[e], ...ends[e + 1]]);
    }
  }
  return segments;
}
