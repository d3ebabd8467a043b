// The drawing board: squares of the view, painted with a pointer or with the keys.
import { CELLS } from "../core/laws.mjs";

export const MOST = 1200;  // squares; more would make an address too long to send

// The squares of a brush of 2 x 2 with its upper left corner at [column, row].
function brush([column, row]) {
  const on = ([x, y]) => x >= 0 && y >= 0 && x < CELLS && y < CELLS;
  return [[0, 0], [1, 0], [0, 1], [1, 1]]
    .map(([dx, dy]) => [column + dx, row + dy]).filter(on).map(([x, y]) => y * CELLS + x);
}

// From one place to another without gaps.
function between([x0, y0], [x1, y1]) {
  const steps = Math.max(Math.abs(x1 - x0), Math.abs(y1 - y0), 1);
  return Array.from({ length: steps + 1 }, (_, k) => [x0, y0].map((v, i) => Math.round(v + (k / steps) * ([x1, y1][i] - v))));
}

// `element` is a board while `active()`. `show(cells, cursor)` is called while a stroke goes on, `done(cells)` after it.
export function board(element, { active, cells, show, done }) {
  let painted = null, last = null, cursor = [CELLS / 2, CELLS / 2];

  function add(places) {
    for (const cell of places.flatMap(brush)) if (painted.size < MOST) painted.add(cell);
  }
  const sorted = () => [...painted].sort((a, b) => a - b);
  const place = (event) => {
    const { left, top } = element.getBoundingClientRect();
    return [event.clientX - left - element.clientLeft, event.clientY - top - element.clientTop]
      .map((v) => Math.floor((v / element.clientWidth) * CELLS));
  };
  element.addEventListener("pointerdown", (event) => {
    if (!active() || event.button > 0) return;
    element.setPointerCapture(event.pointerId);
    painted = new Set(cells());
    last = place(event);
    add([last]);
    show(sorted(), null);
  });
  element.addEventListener("pointermove", (event) => {
    if (!last) return;
    const now = place(event);
    add(between(last, now));
    last = now;
    show(sorted(), null);
  });
  for (const end of ["pointerup", "pointercancel"]) {
    element.addEventListener(end, () => {
      if (!last) return;
      last = null;
      done(sorted());
    });
  }
  const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  element.addEventListener("keydown", (event) => {
    if (!active() || event.ctrlKey || event.metaKey || event.altKey) return;
    const arrow = arrows[event.key];
    if (arrow) {
      const stride = event.shiftKey ? 6 : 2;
      cursor = cursor.map((v, i) => Math.max(0, Math.min(CELLS - 2, v + stride * arrow[i])));
      show(cells(), cursor);
    } else if (event.key === "Enter" || event.key === "Delete" || event.key === "Backspace") {
      painted = new Set(cells());
      if (event.key === "Enter") add([cursor]);
      else brush(cursor).forEach((cell) => painted.delete(cell));
      done(sorted());
    } else return;
    event.preventDefault();
  });
  element.addEventListener("focus", () => active() && show(cells(), cursor));
  element.addEventListener("blur", () => active() && show(cells(), null));
  return { cursor: () => (document.activeElement === element ? cursor : null) };
}
