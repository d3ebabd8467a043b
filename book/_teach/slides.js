// What a finished deck does: keys, swipes and buttons; the address holds the slide's number. Nothing is fetched.
"use strict";
const pages = [...document.querySelectorAll(".page")], $ = name => document.getElementById(name);
const steps = page => [...page.querySelectorAll(".step")];
let at = 0, typed = "";

function show(number, revealed = 0, focus = true) {
  at = Math.max(0, Math.min(pages.length - 1, number));
  pages.forEach((page, k) => { page.hidden = k !== at; });
  const page = pages[at], title = page.querySelector("h1, h2");
  steps(page).forEach((step, k) => step.classList.toggle("shown", k < revealed));
  $("number").textContent = `${at + 1} / ${pages.length}`;
  if (location.hash !== `#${at + 1}`) history.replaceState(null, "", `#${at + 1}`);
  title.tabIndex = -1;
  if (focus) title.focus({preventScroll: true});
  scrollTo(0, 0);
  fit();
}

function fit(page = pages[at]) {
  const room = page.querySelector(".stage").getBoundingClientRect();
  page.style.setProperty("--k", Math.min(room.width / 1280, room.height / 720));
  for (const e of page.querySelectorAll("pre, mjx-container[display], table, .notes")) {  // what scrolls can be reached by keys
    const scrolls = e.scrollWidth > e.clientWidth || e.matches(".notes") && e.scrollHeight > e.clientHeight;
    scrolls ? e.tabIndex = 0 : e.removeAttribute("tabindex");
  }
}

function forth() {
  const hidden = steps(pages[at]).findIndex(step => !step.classList.contains("shown"));
  hidden < 0 ? at + 1 < pages.length && show(at + 1) : show(at, hidden + 1);
}
function back() {
  const shown = steps(pages[at]).filter(step => step.classList.contains("shown")).length;
  shown ? show(at, shown - 1) : at && show(at - 1, Infinity);
}
function notes() {
  $("notes").setAttribute("aria-pressed", document.body.classList.toggle("with-notes"));
  fit();
}
const open = name => () => $(name).showModal();
const overview = () => { open("overview")(); list.children[at].firstChild.focus(); };
const full = () => document.fullscreenElement ? document.exitFullscreen() : document.documentElement.requestFullscreen();

const KEYS = {ArrowRight: forth, ArrowDown: forth, PageDown: forth, " ": forth, Enter: () => typed ? show(typed - 1) : forth(),
  ArrowLeft: back, ArrowUp: back, PageUp: back, Backspace: back, Home: () => show(0), End: () => show(pages.length - 1),
  n: notes, s: notes, o: overview, "?": open("help"), f: full};
addEventListener("keydown", event => {
  if (event.ctrlKey || event.altKey || event.metaKey || document.querySelector("dialog[open]")) return;
  const key = event.shiftKey && event.key === " " ? "ArrowLeft" : event.key, inside = document.activeElement;
  if (/^[ E]/.test(key) && key !== "End" && inside.matches("button") || /^(Arrow[UD]|Page)/.test(key) && inside.matches(".notes")) return;
  if (KEYS[key]) { event.preventDefault(); KEYS[key](); }
  typed = /^\d$/.test(key) ? typed + key : "";
});
for (const [name, action] of Object.entries({back, forth, notes, contents: overview, keys: open("help")})) $(name).onclick = action;
addEventListener("hashchange", () => show(parseInt(location.hash.slice(1)) - 1 || 0));
addEventListener("resize", () => fit());
let x0, y0;
addEventListener("touchstart", event => [{clientX: x0, clientY: y0}] = event.touches, {passive: true});
addEventListener("touchend", event => {
  const dx = event.changedTouches[0].clientX - x0, dy = event.changedTouches[0].clientY - y0;
  if (Math.abs(dx) > 50 && Math.abs(dx) > 2 * Math.abs(dy) && !event.target.closest("[tabindex='0'], dialog")) dx < 0 ? forth() : back();
});

const list = $("overview").querySelector("ol");
pages.forEach((page, k) => {
  const link = Object.assign(document.createElement("a"), {href: `#${k + 1}`, innerHTML: page.querySelector("h1, h2").innerHTML});
  link.onclick = () => $("overview").close();
  list.append(document.createElement("li"));
  list.lastChild.append(link);
});
document.body.classList.add("running");
show(parseInt(location.hash.slice(1)) - 1 || 0, 0, false);
