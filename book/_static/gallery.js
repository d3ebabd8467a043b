// The filter of gallery.html: typed words and one concept, also from the address (#find=ring&concept=critic).
"use strict";
{
  const form = document.getElementById("gallery-filter"), field = form.querySelector("input");
  const count = form.querySelector("output"), chips = [...form.querySelectorAll("button")];
  const words = text => text.normalize("NFKD").toLowerCase().replace(/[^\p{L}\p{N}]+/gu, " ").trim();
  const sections = [...document.querySelectorAll("section:has(> .gallery)")];
  const figures = sections.flatMap(section => [...section.querySelectorAll(".gallery > li")].map(card => ({
    card,
    chapter: section.id.split("-")[1],
    concepts: [...card.querySelectorAll("ul > li")].map(tag => tag.textContent),
    text: ` ${words(section.querySelector("h2").textContent)} ${words(card.textContent)}`,
  })));
  let concept = "";

  const show = () => {
    let chapter;
    const typed = words(field.value).replace(/\bchapter (\d+)\b/, (_, number) => (chapter = number, ""));
    const terms = typed.split(" ").filter(Boolean);
    let shown = 0;
    for (const { card, ...figure } of figures) {
      card.hidden = !((!concept || figure.concepts.includes(concept)) && (!chapter || figure.chapter === chapter)
        && terms.every(term => figure.text.includes(" " + term)));
      shown += !card.hidden;
    }
    for (const section of sections) section.hidden = !section.querySelector(".gallery > li:not([hidden])");
    for (const chip of chips) chip.setAttribute("aria-pressed", chip.value === concept);
    const all = shown === figures.length;
    count.textContent = all ? `${shown} figures` : `${shown} of ${figures.length} figures`;
  };
  const change = wanted => {
    concept = wanted;
    const state = new URLSearchParams(Object.entries({ find: field.value, concept }).filter(pair => pair[1]));
    history.replaceState(null, "", location.pathname + (`${state}` && `#${state}`));
    show();
  };
  const read = () => {
    const hash = location.hash.slice(1), state = new URLSearchParams(hash);
    if (hash && !hash.includes("=")) {  // a chapter: it must be there to be gone to
      if (document.getElementById(hash)?.hidden) { field.value = ""; concept = ""; show(); location.replace("#" + hash); }
      return;
    }
    field.value = state.get("find") ?? "";
    concept = chips.some(chip => chip.value === state.get("concept")) ? state.get("concept") : "";
    show();
  };

  form.addEventListener("submit", event => event.preventDefault());
  field.addEventListener("input", () => change(concept));
  document.addEventListener("click", event => {
    const chosen = event.target.closest("#gallery-filter button, .gallery ul > li");
    if (!chosen) return;
    const wanted = chosen.value || chosen.textContent;
    change(wanted === concept ? "" : wanted);
  });
  document.addEventListener("keydown", event => {
    if (event.key !== "Escape" || event.target.closest("dialog") || !(field.value || concept)) return;
    field.value = "";
    change("");
    field.focus();
  });
  addEventListener("hashchange", read);
  read();
}
