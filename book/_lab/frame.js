// On the book's pages: frames with the lab follow the book's theme and get all the height they need; a picture that leads to a
// setup of the lab becomes the lab itself when it is pressed. Without this script the links still lead to the lab.
(() => {
  const root = document.documentElement, lab = (id) => `../lab.html#preset=${id}`;
  const frames = () => [...document.querySelectorAll("iframe.wganlab-lab")];
  const theme = (frame) => frame.contentWindow.postMessage({ wganlab: "theme", name: root.dataset.theme }, "*");
  const own = frames()[0];  // the lab's page has one from the start, and its address is the page's

  addEventListener("message", ({ data, source }) => {
    const frame = frames().find(({ contentWindow }) => contentWindow === source);
    if (!frame || !data?.wganlab) return;
    if (data.wganlab === "ready") theme(frame);
    if (data.wganlab === "height" && data.height > frame.clientHeight) frame.style.height = `${Math.ceil(data.height)}px`;
    if (data.wganlab === "state" && frame === own && frame.dataset.told) history.replaceState(null, "", data.text);
    if (data.wganlab === "state") frame.dataset.told = "yes";
  });
  new MutationObserver(() => frames().forEach(theme)).observe(root, { attributeFilter: ["data-theme"] });

  const asked = location.hash.slice(1);
  if (own && asked.includes("=")) own.src = `../lab.html#${asked}`;
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.('a[href*="lab.html#"]');
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    const id = new URL(link.href).hash.slice(1).replace("preset=", "");
    if (own && link.href.includes("preset=")) {
      own.src = lab(id);
      own.scrollIntoView({ block: "start" });
    } else if (link.querySelector("img")) {
      const frame = document.createElement("iframe");
      Object.assign(frame, { className: "wganlab-lab", title: "WGAN lab", src: lab(id) });
      link.replaceWith(frame);
      frame.focus();
    } else return;
    event.preventDefault();
  });
})();
