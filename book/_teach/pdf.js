// Runs in the one page that pdf.py makes of the book, before it is printed.

// Opens what is folded, takes away what is of no use on paper, typesets, fits; returns the bookmarks.
async function prepare() {
  const all = selector => [...document.querySelectorAll(selector)];
  all("img[loading]").forEach(image => (image.loading = "eager"));
  all("#gallery details").forEach(fold => fold.replaceWith(...fold.querySelector("summary").childNodes));
  all(".headerlink, .toctree-wrapper, .tag_hide-input details.hide").forEach(part => part.remove());
  all("details").forEach(fold => {
    fold.querySelector("summary")?.remove();
    fold.replaceWith(...fold.childNodes);
  });
  // The picture of the first page, with the lines below it, is the book's cover.
  const cover = document.querySelector('#index img[src*="html/_images"]');
  if (cover) {
    const box = cover.closest("a, figure") ?? cover, words = box.nextElementSibling ?? box.parentElement.nextElementSibling;
    document.querySelector(".cover").append(cover, words);
  }
  for (const link of all('article a[href^="http"]'))
    if (!/^arXiv:/.test(link.textContent) && !link.textContent.includes(link.href.replace(/^https?:\/\/|\/$/g, ""))) link.classList.add("shown");

  // Bookmarks are plain text: a formula is written as it is typed, without its marks.
  const plain = heading => heading.textContent.replaceAll("\\theta", "θ").replace(/\\\(|\\\)|[{}_]/g, "").trim();
  const bookmarks = [];
  for (const page of all("section.page")) {
    if (page.dataset.part) bookmarks.push([0, page.dataset.part, page.id]);
    bookmarks.push([page.dataset.part === "" && page.id === "index" ? 0 : page.classList.contains("depth2") ? 2 : 1, page.dataset.title, page.id]);
    for (const heading of page.querySelectorAll("h2, h3")) {
      const place = heading.parentElement.id || (heading.id ||= `${page.id}--h${bookmarks.length}`);
      bookmarks.push([heading.localName === "h2" ? 3 : 4, plain(heading), place]);
    }
  }
  // Chromium keeps the places to which a link leads, and no others.
  const links = document.createElement("p");
  links.className = "places";
  for (const [, , id] of bookmarks) links.append(Object.assign(document.createElement("a"), { href: `#${id}`, textContent: "." }));
  document.querySelector(".book-contents").append(links);

  await MathJax.startup.promise;
  await MathJax.typesetPromise();
  await document.fonts.ready;
  await Promise.allSettled([...document.images].map(image => image.decode()));
  fit();
  // What fills less than a third of a page stays in one piece.
  for (const part of all(".cell_input, .cell_output pre, article div.highlight, table, .admonition, li, blockquote"))
    part.classList.toggle("short", part.offsetHeight < 310);
  return bookmarks;
}

// Sets what is wider than its column smaller, by a third at most.
function fit() {
  for (const table of document.querySelectorAll("article table"))
    if (table.querySelectorAll("thead tr:last-child > *").length > 6) table.style.fontSize = "80%";
  for (const box of document.querySelectorAll("article table, article mjx-container[display=true]")) {
    const room = box.parentElement.clientWidth;
    for (let size = parseFloat(box.style.fontSize || 100) / 100; size > .6 && wide(box) > room + 1; size -= .05) box.style.fontSize = `${size * 100}%`;
  }
  for (const box of document.querySelectorAll("article mjx-container:not([display])")) {
    const block = box.closest("p, li, td, th, dd, div, h1, h2, h3"), width = box.getBoundingClientRect().width;
    if (width > block.clientWidth) box.style.fontSize = `${100 * Math.max(.65, block.clientWidth / width)}%`;
  }
}

function wide(box) {
  const inner = box.localName === "mjx-container" ? box.querySelector("mjx-math") : box;
  return inner.getBoundingClientRect().width;
}

// What is wider than the text, what is not typeset, links that lead nowhere.
function faults(width) {
  const found = [], of = part => part.closest("section.page")?.id ?? "front";
  const text = part => (part.textContent || part.alt || part.src || "").trim().replace(/\s+/g, " ").slice(0, 60);
  for (const part of document.querySelectorAll("p, li, pre, img, svg, table, mjx-container, .admonition, figure, h1, h2, h3, code")) {
    const box = part.getBoundingClientRect();
    if (box.width && (box.right > width + 1 || box.left < -1))
      found.push(`${of(part)}: <${part.localName}> reaches from ${Math.round(box.left)} to ${Math.round(box.right)} of ${width}: ${text(part)}`);
  }
  for (const part of document.querySelectorAll("pre, .output, table"))
    if (part.scrollWidth > part.clientWidth + 1 && part.clientWidth)
      found.push(`${of(part)}: <${part.localName}> hides ${part.scrollWidth - part.clientWidth} pixels: ${text(part)}`);
  for (const part of document.querySelectorAll(".math"))
    if (!part.querySelector("mjx-container")) found.push(`${of(part)}: formula not typeset: ${text(part)}`);
  for (const part of document.querySelectorAll("mjx-merror, [data-mjx-error]")) found.push(`${of(part)}: formula with an error: ${text(part)}`);
  for (const link of document.querySelectorAll('a[href^="#"]'))
    if (!document.getElementById(link.getAttribute("href").slice(1))) found.push(`${of(link)}: ${link.getAttribute("href")} is not there`);
  for (const image of document.images) if (!image.naturalWidth) found.push(`${of(image)}: picture not loaded: ${image.src.slice(0, 80)}`);
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode())
    if (/\\[(\[]|\\begin\{|\$\$/.test(node.data) && !node.parentElement.closest("pre, code, script, style, mjx-container"))
      found.push(`${of(node.parentElement)}: raw TeX: ${text(node.parentElement)}`);
  return found;
}

// Fills the page numbers into the contents, and leaves nothing else to print.
function number(places) {
  for (const line of document.querySelectorAll(".book-contents p[class^=depth]"))
    line.lastElementChild.textContent = places[line.firstElementChild.getAttribute("href").slice(1)];
  document.documentElement.classList.add("reprint");
}
