// What the figures share: elements, axes, sliders, readouts. Texts may mark symbols: "the law of *x*".

const SVG = "http://www.w3.org/2000/svg";
const OWN_KEYS = { "data-lm-suppress-shortcuts": "true" };  // JupyterLab leaves the keys to an element that has this

function marked(text, symbol) {
  return text.split("*").map((part, k) => (k % 2 ? symbol(part) : part)).filter((part) => part !== "");
}

function fill(element, attributes, children, symbol) {
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  for (const child of children) element.append(...(typeof child === "string" ? marked(child, symbol) : [child]));
  return element;
}

function html(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children, (s) => html("i", {}, s));
}

function svg(name, attributes = {}, ...children) {
  const symbol = (s) => svg("tspan", { class: "symbol" }, s);
  return fill(document.createElementNS(SVG, name), attributes, children, symbol);
}

function text(x, y, content, kind = "") {
  return svg("text", { x, y, class: kind }, content);
}

// A number as printed mathematics: a true minus sign, no minus zero, infinity as a sign.
function fixed(value, digits) {
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  const printed = Math.abs(value).toFixed(digits);
  return value < 0 && Number(printed) !== 0 ? "−" + printed : printed;
}

function scientific(value) {
  if (value === 0) return "0";
  const [mantissa, power] = value.toExponential(0).split("e");
  const digits = [...power.replace(/\D/, "")].map((digit) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[digit]).join("");
  return `${mantissa} · 10${power < 0 ? "⁻" : ""}${digits}`;
}

// A short line with its meaning, inside a panel.
function sample(x, y, line, content) {
  return svg("g", {}, svg("path", { d: `M${x} ${y - 4}h22`, class: `curve ${line}` }), text(x + 28, y, content));
}

function panel(width, height, label, ...children) {
  return svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label }, ...children);
}

// Thin axes in the box [left, right] x [top, bottom], with scales X and Y from values to places.
function axes({ box, x, y, xTicks, yTicks, title = "", xLabel = "", digits = 0, xPrint = (v) => fixed(v, 0) }) {
  const [left, right, top, bottom] = box;
  const element = svg("g");
  const plot = {
    element,
    X: (value) => left + ((value - x[0]) / (x[1] - x[0])) * (right - left),
    Y: (value) => bottom - ((value - y[0]) / (y[1] - y[0])) * (bottom - top),
    rescale(range, ticks, places) {
      [y, yTicks, digits] = [range, ticks, places];
      draw();
    },
  };
  function draw() {
    element.replaceChildren(
      svg("path", { class: "axis", d: `M${left} ${top}V${bottom}H${right}` }),
      ...xTicks.flatMap((value) => [
        svg("path", { class: "axis", d: `M${plot.X(value)} ${bottom}v4` }),
        text(plot.X(value), bottom + 16, xPrint(value), "muted middle"),
      ]),
      ...yTicks.flatMap((value) => [
        svg("path", { class: "axis", d: `M${left} ${plot.Y(value)}h-4` }),
        text(left - 7, plot.Y(value) + 4, fixed(value, digits), "muted end"),
      ]),
      text(right, bottom + 32, xLabel, "end"),
      text(left, top - 10, title, "title"),
    );
  }
  draw();
  return plot;
}

// A path through points [x, y] of the plot; what is not finite is left out.
function path(plot, points) {
  const place = ([x, y]) => `${plot.X(x).toFixed(2)} ${plot.Y(y).toFixed(2)}`;
  return points.length ? "M" + points.map(place).join("L") : "";
}

// A straight arrow, as the text of a path.
function arrow([x1, y1], [x2, y2], size = 6) {
  const angle = Math.atan2(y2 - y1, x2 - x1);
  const wing = (turn) => [x2 - size * Math.cos(angle + turn), y2 - size * Math.sin(angle + turn)];
  return `M${x1} ${y1}L${x2} ${y2}M${wing(0.5)}L${x2} ${y2}L${wing(-0.5)}`;
}

// A labelled range input. `spoken` and `shown` turn its value into words and into print.
function slider(root, { name, label, min, max, step, value, shown, spoken, onInput }) {
  const id = `${root.id}-${name}`;
  const input = html("input", { type: "range", id, min, max, step, value, ...OWN_KEYS });
  const print = html("span", { "aria-hidden": "true" });
  function refresh() {
    print.textContent = shown(input.valueAsNumber);
    input.setAttribute("aria-valuetext", spoken(input.valueAsNumber));
  }
  input.addEventListener("input", () => { refresh(); onInput(); });
  refresh();
  return {
    element: html("div", { class: "slider" }, html("label", { for: id }, label), input, print),
    get value() { return input.valueAsNumber; },
    set value(number) { input.value = number; refresh(); },
  };
}

function button(label, onClick) {
  const element = html("button", { type: "button", ...OWN_KEYS }, label);
  element.addEventListener("click", onClick);
  return element;
}

// Names with values beside them; `keys` maps a name to [its label, the class of its line in the plot or ""].
function readouts(keys) {
  const cells = {};
  const element = html("div", { class: "readouts", role: "list" });
  for (const [name, [label, line]] of Object.entries(keys)) {
    const sample = line === "" ? [] : [svg("svg", { viewBox: "0 0 24 10", "aria-hidden": "true" },
      line.startsWith("fill")
        ? svg("rect", { width: 24, height: 10, class: line, "fill-opacity": 0.2 })
        : svg("path", { d: "M0 6H24", class: `curve ${line}` }))];
    cells[name] = html("span", { "data-name": name });
    element.append(html("div", { role: "listitem" }, html("span", {}, ...sample, label), cells[name]));
  }
  return { element, set: (values) => Object.entries(values).forEach(([k, v]) => { cells[k].textContent = v; }) };
}

// A line for screen readers only. It waits until the reader rests, so that a moving slider does not chatter.
function announcer() {
  const element = html("output", { class: "said", "aria-live": "polite" });
  let timer = 0;
  return {
    element,
    say(sentence) {
      clearTimeout(timer);
      timer = setTimeout(() => { element.textContent = sentence; }, 700);
    },
  };
}

// Find this script's figure, let `build(root, data)` fill it, and only then take the still away.
function start(name, build) {
  const root = document.currentScript?.closest(".interactive-figure") ?? document.getElementById(`wganlab-${name}`);
  if (root.wganlab) return;
  const data = root.dataset.json ? JSON.parse(atob(root.dataset.json)) : {};
  const { elements, tools } = build(root, data);
  root.querySelector("img").hidden = true;
  root.append(...elements);
  root.wganlab = tools;
}
