// The page: settings, the engine in a worker, two pictures and the readings. All numbers come from the core.
import { engine } from "../core/engine.mjs";
import { LOOK, SUSTAINED } from "../core/session.mjs";
import { board, MOST } from "./board.mjs";
import { drawCurves, lines, remember, trace } from "./curves.mjs";
import { colours, printed } from "./drawing.mjs";
import { drawPlane } from "./plane.mjs";
import { applies, changed, defaults, forEngine, parse, presetOf, PRESETS, print, settingsOf, SETTINGS } from "./state.mjs";

const $ = (id) => document.getElementById(id);
const PACES = [[2, "2 turns a second"], [20, "20 a second"], [200, "200 a second"], [Infinity, "as fast as it goes"]];
const RECENT = 2000;  // looks that the page keeps as they came
const NOTHING = "There is nothing to learn on an empty board. Paint some squares, and start again.";
const calm = matchMedia("(prefers-reduced-motion: reduce)"), dark = matchMedia("(prefers-color-scheme: dark)");
const framed = window.parent !== window;
const lab = { settings: null, looks: [], state: null, picture: null, running: false, painting: 0, paints: 0 };
let run = 0, asked = 0, wishes = 0, painted = 0, colour = null, sketch = null, told = null, kept = trace(), led = false;

// ---- The engine

// A worker made of this page's own script; where the browser has none, the same engine between two frames.
function connect(receive) {
  const here = () => {
    const answer = engine(receive, (action, delay) => setTimeout(action, delay), () => performance.now() / 1000);
    lab.worker = false;
    return answer;
  };
  let post = null, heard = false;
  const unheard = [];
  try {
    const source = new Blob([$("core").textContent, "\nCore.work(self);"], { type: "text/javascript" });
    const worker = new Worker(URL.createObjectURL(source));
    worker.onmessage = (event) => {
      heard = true;
      receive(event.data);
    };
    worker.onerror = (event) => {
      if (heard) throw new Error(event.message);
      event.preventDefault();
      post = here();
      unheard.forEach(post);
    };
    lab.worker = true;
    post = (message) => {
      if (!heard) unheard.push(message);
      worker.postMessage(message);
    };
  } catch {
    post = here();
  }
  return (message) => post(message);
}

const send = connect((message) => {
  if (message.run !== run) return;  // of the game before a reset
  Object.assign(lab, { picture: message.picture, state: message.state });
  for (const look of message.looks) {
    lab.looks.push(look);
    remember(kept, lab.looks);
  }
  lab.looks.splice(0, lab.looks.length - RECENT);
  paint();
  if (message.want !== asked) return;  // overtaken by a later wish
  asked = 0;
  milestones();
});

// One wish at a time while a game goes on: a slow page gets fewer pictures, not a queue of them.
function want() {
  asked = ++wishes;
  send({ want: asked });
}

function frame(now) {
  if (!lab.running) return;
  if (!asked && now - painted > (calm.matches ? 1000 : 50)) {
    painted = now;
    want();
  }
  requestAnimationFrame(frame);
}

// ---- Training

const pace = () => PACES[$("pace").valueAsNumber];

function say(text) {
  $("status").textContent = text;
}

function start() {
  if (lab.running) return;
  if (!playable()) return say(NOTHING);
  lab.running = true;
  $("play").textContent = "Pause";
  say("Training.");
  send({ pace: pace()[0] });
  requestAnimationFrame(frame);
}

// To rest, and to say where the game stands unless something else is said.
function rest(quiet = false) {
  if (!lab.running) return;
  lab.running = false;
  $("play").textContent = "Start";
  told = quiet ? null : "";
  send({ pace: 0 });
  want();
}

function reset() {
  rest(true);
  run++;
  [told, sketch, kept] = [null, null, trace()];
  Object.assign(lab, { looks: [], state: null, held: false });
  list();
  if (!playable()) {
    lab.picture = null;
    paint();
    return say("The board is empty: paint some squares first.");
  }
  send({ settings: forEngine(lab.settings), run });
  want();
}

const playable = () => lab.settings.data !== "drawn" || lab.settings.cells.length > 0;

// What is said aloud: the end of a rest, all modes held, divergence. Never each look.
function milestones() {
  const { state } = lab, look = lab.looks.at(-1);
  if (state.diverged) {
    rest(true);
    return say("The game has diverged. Choose smaller rates, a smaller c or another λ.");
  }
  if (state.sustained && !lab.held && lab.running) {
    say(`All ${look.modes.total} modes held for ${SUSTAINED} looks, at turn ${state.sustained.turn}, after ${state.sustained.seconds.toFixed(1)} s of training.`);
  }
  lab.held = Boolean(state.sustained);
  if (told !== null && !lab.running) {
    const modes = look.modes ? `, ${look.modes.covered} of ${look.modes.total} modes` : "";
    say(told || `Paused at turn ${state.turns}. Exact W₁ ${printed(look.w1, 2)}${modes}.`);
    told = null;
  }
}

// ---- The settings

function build() {
  for (const [id, { name }] of Object.entries(PRESETS)) $("preset").add(new Option(name, id));
  for (const [name, { label, values, range }] of Object.entries(SETTINGS)) {
    const field = document.createElement("div");
    field.className = "field";
    const title = document.createElement("label");
    title.textContent = label;
    title.htmlFor = name;
    const control = document.createElement(values ? "select" : "input");
    control.id = name;
    if (values) {
      const pairs = Array.isArray(values) ? values.map((value) => [value, String(value)]) : Object.entries(values);
      for (const [value, text] of pairs) control.add(new Option(text, value));
    } else Object.assign(control, { type: "number", min: range[0], max: range[1], step: 1, required: true });
    control.addEventListener("change", () => onChange(name, control));
    field.append(title, control);
    $("controls").append(field);
  }
}

function onChange(name, control) {
  if (!control.checkValidity()) {
    const [low, high] = SETTINGS[name].range;
    control.value = lab.settings[name];
    return say(`The seed must be a whole number from ${low} to ${high}. It is ${lab.settings[name]} again.`);
  }
  const value = typeof lab.settings[name] === "number" ? Number(control.value) : control.value;
  apply(changed(lab.settings, name, value));
}

// Take settings over: the controls, the address, a new game, which goes on if one was going on.
function apply(settings) {
  const going = lab.running, preset = presetOf(settings);
  lab.settings = settings;
  for (const name of Object.keys(SETTINGS)) {
    $(name).value = settings[name];
    $(name).disabled = !applies(name, settings);
  }
  $("preset").value = preset ?? "";
  $("see").textContent = preset ? PRESETS[preset].see : "Choose a setup, or change the settings: each change begins a new game.";
  const drawing = settings.data === "drawn", plane = $("plane");
  $("drawing").hidden = !drawing;
  plane.classList.toggle("drawing", drawing);
  plane.setAttribute("role", drawing ? "application" : "img");
  drawing ? plane.setAttribute("tabindex", "0") : plane.removeAttribute("tabindex");
  drawing ? plane.setAttribute("aria-describedby", "drawHelp") : plane.removeAttribute("aria-describedby");
  const gan = !settings.recipe.startsWith("w");
  $("fieldLabel").textContent = gan ? "discriminator: fake to real" : "critic: low to high";
  $("pushLabel").textContent = gan ? "its push on a sample" : "the critic’s push on a sample";
  legend();
  address(preset);
  reset();
  if (going) start();
  else if (playable()) say("Ready.");
}

// The address is kept in step; inside another page it is that page's link, and the page is told.
function address(preset) {
  const text = `#${preset ? `preset=${preset}` : print(lab.settings)}`;
  try {
    history.replaceState(null, "", text);
  } catch { /* some browsers refuse it to files */ }
  $("link").href = text;
  if (framed) parent.postMessage({ wganlab: "state", text }, "*");
}

function read() {
  const { settings, complaints } = parse(location.hash);
  apply(settings);
  if (complaints.length) say(`${complaints.join(" ")} The usual value is taken.`);
}

// ---- What is shown

function legend() {
  const { recipe } = lab.settings, drawn = lines(recipe);
  const names = {
    w1: "exact W₁ of two batches", gap: "critic’s estimate", lower: "estimate ÷ steepest slope",
    js: "discriminator’s bound on JS", steep: "steepest slope seen", slope: "mean slope between",
  };
  const item = (sample, text) => {
    const element = document.createElement("span");
    element.innerHTML = sample;
    element.append(text);
    return element;
  };
  const entry = ([key, name, dashes]) => item(`<svg viewBox="0 0 24 8" aria-hidden="true">`
    + `<path d="M0 4H24" stroke="var(--${name})" stroke-dasharray="${dashes}"/></svg>`, names[key]);
  const line = (...items) => {
    const element = document.createElement("div");
    element.append(...items);
    return element;
  };
  $("legend").replaceChildren(
    line("above:", ...drawn.upper.map(entry), item('<i class="band"></i>', "data against data, ± 2 sd")),
    line("below:", ...drawn.lower.map(entry), "thick: mean of ten looks"));
}

// Names and values; before the first look, and for what a game does not have, a dash.
function readings() {
  const { state, settings, picture } = lab, look = lab.looks.at(-1) ?? {}, gan = !settings.recipe.startsWith("w");
  const { modes } = look, rate = state?.seconds > 0 ? `${Math.round(state.turns / state.seconds)} a second` : "–";
  const held = state?.sustained ? `turn ${state.sustained.turn}, ${state.sustained.seconds.toFixed(1)} s` : "not yet";
  const band = state ? `${printed(state.floor.mean)} ± ${printed(2 * state.floor.deviation)}` : "–";
  return [
    ["Turns, one generator update each", state ? `${state.turns}, ${rate}` : "–"],
    [`Exact W₁ of two batches of ${settings.n}`, printed(look.w1)],
    ["Its floor: data against data, mean ± 2 sd", band],
    gan ? ["Bound on JS, ln 2 − loss/2 (at most 0.693 nats)", printed(look.js)]
      : ["Critic’s estimate E f(x) − E f(g(z))", printed(look.gap)],
    ["Estimate ÷ steepest slope seen", gan ? "–" : printed(look.lower)],
    ["Steepest slope seen", printed(look.steep)],
    ["Mean slope between data and samples", printed(look.slope)],
    ["Modes now, and least of the last ten looks", modes ? `${modes.covered} of ${modes.total}, ${look.least ?? "–"}` : "–"],
    ["All modes held for ten looks", modes ? held : "–"],
    settings.data === "lines" ? ["θ of Example 1 (W₁ of the laws is |θ|)", printed(picture?.theta)]
      : ["Samples near a mode", modes ? `${Math.round(100 * modes.near)} %` : "–"],
  ];
}

function list() {
  const rows = readings(), list = $("readings");
  while (list.children.length < rows.length) {
    const row = document.createElement("div");
    row.append(document.createElement("dt"), document.createElement("dd"));
    list.append(row);
  }
  rows.forEach((row, k) => row.forEach((text, side) => {
    const cell = list.children[k].children[side];
    if (cell.textContent !== text) cell.textContent = text;
  }));
}

function paint() {
  const begin = performance.now();
  const drawing = lab.settings.data === "drawn";
  drawPlane($("plane"), lab.picture, colour, drawing && (sketch ?? { cells: lab.settings.cells, cursor: pen.cursor() }));
  if (kept.rows.length) drawCurves($("curves"), kept.rows, lab.state.floor, lab.settings.recipe, colour);
  list();
  lab.painting += (performance.now() - begin) / 1000;
  lab.paints++;
}

function theme(name) {
  document.documentElement.dataset.theme = name ?? (dark.matches ? "dark" : "light");
  colour = colours();
  paint();
}

// ---- What a reader does

const pen = board($("plane"), {
  active: () => lab.settings.data === "drawn",
  cells: () => lab.settings.cells,
  show(cells, cursor) {
    sketch = { cells, cursor };
    paint();
  },
  done(cells) {
    apply({ ...lab.settings, cells });
    if (cells.length >= MOST) say(`The board is full at ${MOST} squares.`);
  },
});

$("play").addEventListener("click", () => (lab.running ? rest() : start()));
$("step").addEventListener("click", () => {
  rest(true);
  if (!playable()) return say(NOTHING);
  send({ turns: 1 });
  told = "One turn more.";
  want();
});
$("reset").addEventListener("click", () => {
  reset();
  if (playable()) say("Reset: the same game from its beginning.");
});
$("defaults").addEventListener("click", () => apply(defaults()));
$("clear").addEventListener("click", () => apply({ ...lab.settings, cells: [] }));
$("preset").addEventListener("change", () => {
  if ($("preset").value) apply(settingsOf($("preset").value));
});
$("controls").addEventListener("submit", (event) => event.preventDefault());
$("pace").addEventListener("input", () => {
  $("paceShown").textContent = pace()[1];
  $("pace").setAttribute("aria-valuetext", pace()[1]);
  if (lab.running) send({ pace: pace()[0] });
});
window.addEventListener("hashchange", read);
dark.addEventListener("change", () => led || theme());
document.addEventListener("visibilitychange", () => document.hidden && rest());
new ResizeObserver(() => paint()).observe($("plane"));
if (framed) {
  document.documentElement.classList.add("framed");
  window.addEventListener("message", ({ data, source }) => {
    if (source !== parent || data?.wganlab !== "theme") return;
    led = true;  // from now on that page decides
    theme(data.name === "dark" ? "dark" : "light");
  });
  new ResizeObserver(() => {
    parent.postMessage({ wganlab: "height", height: document.documentElement.offsetHeight }, "*");
  }).observe(document.body);
}

document.querySelector("main").hidden = false;  // a slow browser shows nothing before all has its place
build();
$("pace").dispatchEvent(new Event("input"));
document.documentElement.dataset.theme = dark.matches ? "dark" : "light";
colour = colours();
read();
if (framed) parent.postMessage({ wganlab: "ready" }, "*");
window.lab = Object.assign(lab, { LOOK, start, rest, send });
