// The plane: the critic as a field with level lines, the data, the samples and the push on each.
import { CELLS, SPAN } from "../core/laws.mjs";
import { FIELD, SHOWN } from "../core/session.mjs";
import { canvas, levelLine } from "./drawing.mjs";

const LEVELS = 4;                        // level lines on each side of the middle
const ARROW = { unit: 0.2, most: 0.6 };  // length of the push at slope 1, and the longest drawn
const tile = document.createElement("canvas");
tile.width = tile.height = FIELD;

function rgb(colour) {
  return [1, 3, 5].map((k) => parseInt(colour.slice(k, k + 2), 16));
}

// The size that 95 of 100 values keep within: one corner alone must not bleach the rest.
function reach(field, middle) {
  const sizes = Float32Array.from(field, (f) => Math.abs(f - middle)).sort();
  return sizes[Math.floor(0.95 * sizes.length)] || 1e-30;
}

function shade(g, width, { field, middle }, top, { real, fake }) {
  const brush = tile.getContext("2d"), image = brush.createImageData(FIELD, FIELD);
  const [high, low] = [rgb(real), rgb(fake)];
  field.forEach((f, k) => {
    const share = Math.max(-1, Math.min(1, (f - middle) / top));
    const [r, green, b] = share > 0 ? high : low;
    image.data.set([r, green, b, 130 * Math.abs(share)], 4 * k);
  });
  brush.putImageData(image, 0, 0);
  g.imageSmoothingEnabled = true;
  g.drawImage(tile, 0, 0, width, width);
}

function levels(g, width, { field, middle }, top, { ink }) {
  const place = (v) => ((v + 0.5) * width) / FIELD;
  g.strokeStyle = ink;
  for (let k = -LEVELS; k <= LEVELS; k++) {
    g.globalAlpha = k === 0 ? 0.75 : 0.3;
    g.lineWidth = k === 0 ? 1.4 : 0.8;
    g.beginPath();
    for (const [x0, y0, x1, y1] of levelLine(field, FIELD, middle + (k / LEVELS) * top)) {
      g.moveTo(place(x0), place(y0));
      g.lineTo(place(x1), place(y1));
    }
    g.stroke();
  }
  g.globalAlpha = 1;
}

function pushes(g, scale, X, Y, { fake, push }) {
  g.beginPath();
  for (let k = 0; k < 2 * SHOWN; k += 2) {
    const size = Math.hypot(push[k], push[k + 1]);
    const length = Math.min(ARROW.unit * size, ARROW.most) * scale;
    if (!(length > 1.5)) continue;
    const [x, y] = [X(fake[k]), Y(fake[k + 1])];
    const [dx, dy] = [(push[k] / size) * length, (-push[k + 1] / size) * length];
    const head = Math.min(5, length / 2) / length;
    g.moveTo(x, y);
    g.lineTo(x + dx, y + dy);
    for (const side of [0.5, -0.5]) {
      g.moveTo(x + dx, y + dy);
      g.lineTo(x + dx - head * (dx + side * dy), y + dy - head * (dy - side * dx));
    }
  }
  g.stroke();
}

function discs(g, X, Y, points) {
  g.beginPath();
  for (let k = 0; k < points.length; k += 2) {
    const [x, y] = [X(points[k]), Y(points[k + 1])];
    g.moveTo(x + 2.6, y);
    g.arc(x, y, 2.6, 0, 7);
  }
  g.stroke();  // under the fill, so that points in a heap do not hide each other
  g.fill();
}

function triangles(g, X, Y, points) {
  g.beginPath();
  for (let k = 0; k < points.length; k += 2) {
    const [x, y] = [X(points[k]), Y(points[k + 1])];
    g.moveTo(x, y - 3.8);
    g.lineTo(x + 3.4, y + 2.7);
    g.lineTo(x - 3.4, y + 2.7);
    g.closePath();
  }
  g.stroke();  // under the fill, so that points in a heap do not hide each other
  g.fill();
}

function cross(g, width, [column, row], { ink }) {
  const [x, y] = [column, row].map((k) => ((k + 0.5) * width) / CELLS);
  g.strokeStyle = ink;
  g.lineWidth = 1.5;
  g.beginPath();
  for (const [dx, dy] of [[9, 0], [0, 9]]) {
    g.moveTo(x - dx, y - dy);
    g.lineTo(x + dx, y + dy);
  }
  g.stroke();
}

function squares(g, width, cells, { real }) {
  const side = width / CELLS;
  g.fillStyle = real;
  g.globalAlpha = 0.45;
  for (const k of cells) g.fillRect((k % CELLS) * side, Math.floor(k / CELLS) * side, side, side);
  g.globalAlpha = 1;
}

function players(g, width, picture, colour, withData) {
  const X = (x) => ((x / SPAN + 1) * width) / 2, Y = (y) => ((1 - y / SPAN) * width) / 2;
  g.strokeStyle = colour.fake;
  g.lineWidth = 1;
  g.globalAlpha = 0.7;
  pushes(g, width / (2 * SPAN), X, Y, picture);
  g.globalAlpha = 1;
  g.fillStyle = colour.fake;
  g.strokeStyle = colour.ground;
  g.lineWidth = 1.2;
  triangles(g, X, Y, picture.fake);
  g.fillStyle = colour.real;
  if (withData) discs(g, X, Y, picture.real);  // on top: eight narrow modes are eight discs
}

// `picture` of a game, or null; `board`, while a reader draws: { cells, cursor or null }.
export function drawPlane(element, picture, colour, board) {
  const { g, width } = canvas(element);
  g.fillStyle = colour.ground;
  g.fillRect(0, 0, width, width);
  if (picture) {
    const top = reach(picture.field, picture.middle);
    shade(g, width, picture, top, colour);
    levels(g, width, picture, top, colour);
  }
  if (board) squares(g, width, board.cells, colour);
  if (picture) players(g, width, picture, colour, !board);
  if (board?.cursor) cross(g, width, board.cursor, colour);
}
