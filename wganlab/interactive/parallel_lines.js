// Two parallel segments, theta apart: W1 sees how far, the other three only whether.

// The four quantities between the uniform laws on {0} x [0, 1] and {theta} x [0, 1].
function solve(theta) {
  const apart = theta !== 0;
  return { w1: Math.abs(theta), js: apart ? Math.LN2 : 0, kl: apart ? Infinity : 0, tv: apart ? 1 : 0 };
}

function draw(root) {
  const lines = axes({
    box: [38, 312, 30, 206], x: [-1.2, 1.2], y: [-0.1, 1.1], xTicks: [-1, 0, 1], yTicks: [0, 0.5, 1],
    digits: 1, xLabel: "*x*₁", title: "real at 0, fake at *θ*",
  });
  const segment = (kind, width) => svg("path", { class: `curve ${kind}`, style: `stroke-width: ${width}` });
  const [real, fake] = [segment("real", 5), segment("fake", 2.4)];
  const arrows = svg("path", { class: "arrows" });
  real.setAttribute("d", path(lines, [[0, 0], [0, 1]]));
  const left = panel(320, 244, "The two segments, with arrows from the fake one to the real one.",
    lines.element, arrows, real, fake);

  // One small plot a quantity; infinity is a line above the scale.
  const SKY = 1.16;
  const titles = [["w1", "*W*₁"], ["js", "JS"], ["tv", "TV"], ["kl", "KL, both ways"]];
  const small = titles.map(([name, title], k) => {
    const [x, y] = [30 + 158 * (k % 2), 30 + 118 * Math.floor(k / 2)];
    const plot = axes({
      box: [x, x + 124, y, y + 66], x: [-1, 1], y: [0, 1.25], title, digits: 1,
      xTicks: [-1, 0, 1], yTicks: name === "kl" ? [] : [0, 0.5, 1],
    });
    const height = (theta) => Math.min(solve(theta)[name], SKY);
    const curve = svg("path", { class: "curve theory" });
    const dot = svg("circle", { r: 4.5, class: "fill-fake" });
    const parts = [plot.element, curve];
    if (name === "w1") curve.setAttribute("d", path(plot, [[-1, 1], [0, 0], [1, 1]]));
    else {
      const [left, right] = [[[-1, height(1)], [-0.06, height(1)]], [[0.06, height(1)], [1, height(1)]]];
      curve.setAttribute("d", path(plot, left) + path(plot, right));
      const hole = svg("circle", { cx: plot.X(0), cy: plot.Y(height(1)), r: 3, class: "hole" });
      parts.push(hole, svg("circle", { cx: plot.X(0), cy: plot.Y(0), r: 3, class: "fill-ink" }));
    }
    if (name === "kl")
      parts.push(text(x - 7, plot.Y(SKY) + 5, "∞", "end"), text(x - 7, plot.Y(0) + 4, "0", "muted end"));
    const move = (theta) => {
      dot.setAttribute("cx", plot.X(theta));
      dot.setAttribute("cy", plot.Y(height(theta)));
    };
    return { group: svg("g", {}, ...parts, dot), move };
  });
  const right = panel(320, 244, "W1, JS, TV and KL against theta: a V, and three steps.",
    ...small.map((one) => one.group));

  const values = readouts({ w1: ["*W*₁", ""], js: ["JS", ""], tv: ["TV", ""], kl: ["KL", ""] });
  const voice = announcer();
  const theta = slider(root, {
    name: "theta", label: "shift *θ*", min: -1, max: 1, step: 0.01, value: 0.5,
    shown: (v) => fixed(v, 2), spoken: (v) => `theta ${v.toFixed(2)}`, onInput: update,
  });

  function update() {
    const at = theta.value;
    fake.setAttribute("d", path(lines, [[at, 0], [at, 1]]));
    const ends = [lines.X(at), lines.X(0) + 5 * Math.sign(at)];  // just short of the real segment
    arrows.setAttribute("d", Math.abs(ends[0] - ends[1]) < 8 ? "" : [0.1, 0.3, 0.5, 0.7, 0.9]
      .map((height) => arrow([ends[0], lines.Y(height)], [ends[1], lines.Y(height)])).join(""));
    small.forEach((one) => one.move(at));
    const found = solve(at);
    values.set({
      w1: fixed(found.w1, 2), js: at ? "ln 2 = 0.6931" : "0", tv: fixed(found.tv, 0), kl: fixed(found.kl, 0),
    });
    const [js, kl] = at ? ["the logarithm of 2", "infinite"] : ["0", "0"];
    voice.say(`W1 is ${found.w1.toFixed(2)}, JS ${js}, TV ${found.tv}, KL ${kl}.`);
  }
  update();

  const elements = [
    html("div", { class: "controls" }, theta.element), html("div", { class: "panels" }, left, right),
    values.element, voice.element,
  ];
  return { elements, tools: { solve } };
}

start("parallel_lines", draw);
