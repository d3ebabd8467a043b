// Runs once, when a deck is made: typesets formulas, then divides slides that are too long. See slides.py.
"use strict";
const FLOOR = 0.62;  // a formula that is too wide becomes smaller, down to this
const LARGE = [34, 31], SIZES = [28, 26, 24, 22], LEAST = 20;  // type, in px of a slide 1280 wide
const over = box => box.scrollHeight > box.clientHeight + 1 || box.scrollWidth > box.clientWidth + 1;

async function typeset() {
  await MathJax.startup.promise;
  const glyphs = document.body.appendChild(document.createElementNS("http://www.w3.org/2000/svg", "svg"));
  glyphs.id = "glyphs";  // every letter is drawn once and used by its name
  for (const math of document.querySelectorAll(".math")) {
    const number = math.querySelector(".eqno");
    number?.remove();
    const tex = math.textContent.trim(), display = math.localName === "div";
    const drawn = await MathJax.tex2svgPromise(tex.replace(/^\\[[(]|\\[\])]$/g, ""), {display});
    const error = drawn.querySelector("[data-mjx-error]");
    if (error) throw new Error(`${error.dataset.mjxError}: ${tex}`);
    for (const e of drawn.querySelectorAll("svg, svg *"))
      for (const {name} of [...e.attributes]) if (/^(data-|focusable|xmlns$|role)/.test(name)) e.removeAttribute(name);
    math.replaceChildren(drawn, ...(number ? [number] : []));
  }
  glyphs.append(MathJax.startup.output.fontCache.getCache());
}

// Formulas and printed lines that are wider than their place become smaller.
function narrow(body) {
  for (const lines of body.querySelectorAll("pre")) {
    lines.style.removeProperty("font-size");
    const ratio = lines.clientWidth / lines.scrollWidth;
    if (ratio < 1) lines.style.fontSize = `${Math.max(FLOOR, Math.floor(ratio * 100) / 100) * 0.84}em`;
  }
  for (const formula of body.querySelectorAll("mjx-container")) {
    formula.style.removeProperty("font-size");
    const place = formula.closest("p, li, td, th, div").clientWidth - (formula.parentElement.querySelector(".eqno")?.offsetWidth ?? 0);
    const width = formula.getBoundingClientRect().width;
    if (width > place) formula.style.fontSize = `${Math.max(FLOOR, Math.floor(place / width * 100) / 100) * 100}%`;
  }
}

const pieces = box => [...box.children].filter(e => e.localName !== "thead");

// Move the last piece of `box` to the front of `rest`; false if there is nothing that can be divided.
function cut(box, rest, twins) {
  const parts = pieces(box), last = parts.at(-1);
  const move = count => { for (const part of parts.slice(-count).reverse()) rest.insertBefore(part, pieces(rest)[0]); return true; };
  const together = parts.at(-2)?.textContent.trim().endsWith(":") ? 2 : 1;  // a line that leads in goes with what follows
  if (parts.length > together) return move(together);
  if (last?.matches("ul, ol, table, tbody, pre, section, .box")) {
    const twin = twins.get(last) ?? last.cloneNode(false);
    if (!twins.has(last) && last.tHead) twin.append(last.tHead.cloneNode(true));
    const done = cut(last, twin, twins);
    if (done && !twins.has(last)) { rest.insertBefore(twin, pieces(rest)[0]); twins.set(last, twin); }
    if (done && last.localName === "ol") twin.start = last.start + last.children.length;
    if (done) return true;
  }
  return parts.length > 1 && move(1);
}

// Give a slide the largest type with which it fits. A longer one is divided at full size, and its halves are made
// alike where two are enough. A theorem stays in one piece if the smallest type allows.
function fit(page, title, part = 1) {
  const slide = page.querySelector(".slide"), body = slide.querySelector(".body");
  const fits = size => {
    slide.style.setProperty("--size", `${size}px`);
    narrow(body);
    return !over(body);
  };
  const end = () => body.lastElementChild.offsetTop + body.lastElementChild.offsetHeight;
  if (!body.querySelector("figure") && LARGE.some(size => fits(size) && end() < 540)) return;
  if (SIZES.some(fits) || slide.matches(".statement") && fits(LEAST)) return;
  fits(SIZES[0]);
  const next = page.cloneNode(true), rest = next.querySelector(".body"), twins = new Map();
  rest.replaceChildren();
  next.querySelector("h1, h2").innerHTML = `${title} <small>(${part + 1})</small>`;
  next.querySelector(".notes").replaceChildren();
  page.after(next);
  while (over(body) && !(rest.children.length && body.children.length < 3 && SIZES.some(fits)) && cut(body, rest, twins)) fits(SIZES[0]);
  if (!rest.children.length) return next.remove();
  narrow(rest);
  const amount = box => box.querySelectorAll("tr, li, pre > span").length || box.children.length;
  while (!over(rest) && amount(rest) + 1 < amount(body) && cut(body, rest, twins)) narrow(rest);
  SIZES.some(fits);
  fit(next, title, part + 1);
}

// Put a slide without a title of its own onto the one before, if there is room for both at full size.
function join(page) {
  const before = page.previousElementSibling, [body, more] = [before, page].map(e => e.querySelector(".body")), added = [...more.children];
  body.append(...added);
  narrow(body);
  if (over(body)) return more.append(...added);
  before.querySelector(".notes").append(...page.querySelector(".notes").children);
  page.remove();
}

async function layOut() {
  await typeset();
  await Promise.all([...document.images].map(image => image.decode()));
  for (const page of document.querySelectorAll(".page[data-joins]")) join(page);
  for (const table of document.querySelectorAll(".claims + .claims")) {  // one table, its columns in line
    const first = table.previousElementSibling;
    first.append(...table.tBodies);
    if (table.querySelector("th:nth-child(3)")) first.tHead.replaceWith(table.tHead);
    table.remove();
  }
  for (const page of document.querySelectorAll(".page")) fit(page, page.querySelector("h1, h2").innerHTML);
  const all = [...document.querySelectorAll(".page")], head = document.querySelector("h1").innerHTML;
  all.forEach((page, k) => {
    page.querySelector("h1, h2").id = `title-${k + 1}`;
    page.querySelector(".slide").setAttribute("aria-labelledby", `title-${k + 1}`);
    page.querySelector("footer").innerHTML = `<span>${head}</span><span>${k + 1} / ${all.length}</span>`;
    const notes = page.querySelector(".notes");
    if (!notes.children.length) notes.innerHTML = "<p>Goes on from the slide before, where its notes are.</p>";
    if (all[k + 1]) notes.insertAdjacentHTML("beforeend", `<p class="after">Next: ${all[k + 1].querySelector("h2").innerHTML}</p>`);
  });
  const kept = ["#glyphs", "main"].map(part => document.querySelector(part).outerHTML);
  return [kept.join(""), MathJax.svgStylesheet().textContent];
}

// What does not fit, by slide: the look that the build and the tests have.
function faults() {
  return [...document.querySelectorAll(".slide")].flatMap((slide, k) => {
    const box = slide.getBoundingClientRect(), found = [];
    const say = what => found.push(`slide ${k + 1}, "${slide.querySelector("h1, h2").textContent.trim()}": ${what}`);
    const body = slide.querySelector(".body");
    if (over(body)) say(`${body.scrollHeight - body.clientHeight} px too tall, ${body.scrollWidth - body.clientWidth} too wide`);
    for (const e of slide.querySelectorAll("h1, h2, p, li, td, th, img, pre, mjx-container > svg")) {
      if (!e.checkVisibility()) continue;
      const r = e.getBoundingClientRect(), room = e.closest(".body")?.getBoundingClientRect() ?? box;
      if (r.right > room.right + 2 || r.left < room.left - 2 || r.bottom > room.bottom + 2 || r.top < room.top - 2)
        say(`<${e.localName}> reaches out: ${e.textContent.trim().slice(0, 40)}`);
    }
    for (const image of slide.querySelectorAll("img:not([alt]), img[alt='']")) say("a picture without alt text");
    for (const image of slide.querySelectorAll("img"))
      if (!image.naturalWidth || image.clientHeight < 150) say(`picture is ${image.clientHeight} px high`);
    return found;
  });
}
