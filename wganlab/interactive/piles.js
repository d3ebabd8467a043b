// The earth mover's piles: drag them, and see the cheapest plan with its proof.

const MOST = 9;  // shovelfuls on a pile

function total(masses) {
  return masses.reduce((sum, mass) => sum + mass, 0);
}

// On the line the sorted plan is a cheapest one: the first shovelful of P goes to the first place of Q that lacks one.
function sortedPlan(P, Q) {
  const plan = P.map(() => Q.map(() => 0));
  const [left, lacking] = [[...P], [...Q]];
  for (let i = 0, j = 0; i < P.length && j < Q.length;) {
    const mass = Math.min(left[i], lacking[j]);
    plan[i][j] += mass;
    left[i] -= mass;
    lacking[j] -= mass;
    if (left[i] === 0) i++;
    else j++;
  }
  return plan;
}

// What crosses from each place to the next: a running sum of P - Q.
function cumulativeFlow(P, Q) {
  let crossing = 0;
  return P.slice(0, -1).map((mass, i) => (crossing += mass - Q[i]));
}

// The slope of phi is -1 where dirt flows to the right and +1 where it flows to the left; psi = -phi.
function potentials(flow) {
  const phi = [0];
  for (const crossing of flow) phi.push(phi.at(-1) - Math.sign(crossing));
  return { phi, psi: phi.map((value) => 0 - value) };
}

// The moves of a plan, in an order that never piles up more than lay or shall lie there.
function movesOf(plan) {
  const moves = plan.flatMap((row, i) => row.map((mass, j) => ({ i, j, mass, cost: mass * Math.abs(i - j) })));
  const right = moves.filter(({ i, j, mass }) => mass > 0 && i < j).reverse();
  return [...right, ...moves.filter(({ i, j, mass }) => mass > 0 && i > j)];
}

// A plan with its proof, or the rule that P and Q break.
function solve(P, Q) {
  const [p, q] = [total(P), total(Q)];
  const heaps = (n) => `${n} shovelful${n === 1 ? "" : "s"}`;
  if (p !== q) {
    const remedy = `Add ${Math.abs(p - q)} to *${p < q ? "P" : "Q"}*, or take as many from *${p < q ? "Q" : "P"}*.`;
    return { refusal: `Transport needs equal totals, but *P* has ${heaps(p)} and *Q* has ${q}. ${remedy}` };
  }
  if (p === 0) {
    const found = "but *P* and *Q* both have 0 shovelfuls";
    return { refusal: `Transport needs a positive total, ${found}. Raise a pile of each.` };
  }
  const plan = sortedPlan(P, Q);
  const flow = cumulativeFlow(P, Q);
  const { phi, psi } = potentials(flow);
  const moves = movesOf(plan);
  const cost = total(moves.map((move) => move.cost));
  const dual = total(P.map((mass, i) => mass * phi[i])) + total(Q.map((mass, j) => mass * psi[j]));
  return { plan, moves, flow, phi, psi, cost, dual, gap: cost - dual, total: p };
}

function draw(root, data) {
  const [P, Q] = [[...data.P], [...data.Q]];
  const places = P.map((_, i) => i);
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  const width = 284 / P.length;
  const x = (i) => 30 + width * (i + 0.5);
  const y = (mass) => 232 - 21 * mass;
  let played = 0;  // moves already shown; 0: the piles as they are
  let timer = 0;
  let found = {};

  // ---- the piles, each a slider

  const bars = [];
  const trip = svg("g", { class: "trip" });
  const yard = svg("svg", { viewBox: "0 0 320 274", role: "group", "aria-label": "The piles", class: "yard" },
    svg("path", { class: "axis", d: "M30 232H314" }), text(30, 14, "drag the piles", "title"),
    ...places.map((i) => text(x(i), 250, String(i + 1), "muted middle")), text(314, 268, "place", "end muted"));

  function addPile(name, piles, i, colour, side) {
    const wide = Math.min(28, width * 0.42);
    const from = x(i) + (side < 0 ? -wide - 1 : 1);
    const body = svg("rect", { x: from, width: wide, class: `fill-${colour}` });
    const grip = svg("rect", { x: from, width: wide, height: 3, class: "fill-ink" });
    const touch = svg("rect", { x: from, width: wide, class: "touch" });
    const number = text(from + wide / 2, 0, "", "middle");
    const pile = svg("g", {
      class: "pile", role: "slider", tabindex: 0, "aria-label": `${name}, place ${i + 1}`,
      "aria-orientation": "vertical", "aria-valuemin": 0, "aria-valuemax": MOST, ...OWN_KEYS,
    }, touch, body, grip, number);
    const change = (mass) => {
      stop();
      const whole = Math.max(0, Math.min(MOST, Math.round(mass)));
      if (whole === piles[i]) return;
      piles[i] = whole;
      update();
    };
    pile.addEventListener("keydown", (event) => {
      const steps = {
        ArrowUp: 1, ArrowRight: 1, ArrowDown: -1, ArrowLeft: -1, PageUp: 3, PageDown: -3, Home: -MOST, End: MOST,
      };
      if (!(event.key in steps) || event.ctrlKey || event.altKey || event.metaKey) return;
      event.preventDefault();
      change(piles[i] + steps[event.key]);
    });
    let held = null;  // where the pointer took hold, and the mass then
    pile.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      event.preventDefault();
      stop();
      pile.focus({ preventScroll: true });
      pile.setPointerCapture(event.pointerId);
      held = { at: event.clientY, mass: piles[i] };
    });
    const drag = (event) => {
      const shovelful = (21 * yard.getBoundingClientRect().height) / 274;
      if (held) change(held.mass + (held.at - event.clientY) / shovelful);
    };
    pile.addEventListener("pointermove", drag);
    pile.addEventListener("touchstart", (event) => event.preventDefault(), { passive: false });  // or the page scrolls
    pile.addEventListener("pointerup", (event) => { drag(event); held = null; });
    pile.addEventListener("pointercancel", () => { held = null; });
    bars.push((mass) => {
      const top = y(mass);
      body.setAttribute("y", top);
      body.setAttribute("height", 232 - top);
      grip.setAttribute("y", top - 1.5);
      touch.setAttribute("y", top - 26);
      touch.setAttribute("height", 232 - top + 32);
      number.setAttribute("y", top - 7);
      number.textContent = mass;
      pile.setAttribute("aria-valuenow", piles[i]);
      pile.setAttribute("aria-valuetext", `${piles[i]} shovelful${piles[i] === 1 ? "" : "s"}`);
    });
    yard.append(pile);
  }
  places.forEach((i) => addPile("P", P, i, "real", -1));
  places.forEach((i) => addPile("Q", Q, i, "fake", 1));
  yard.append(trip, sample(224, 14, "real thick", "*P*"), sample(274, 14, "fake thick", "*Q*"));

  // ---- the plan as a matrix, as arrows, and its proof

  const side = Math.min(46, 184 / P.length);
  const [cell, rowTop] = [(k) => 70 + side * k, (k) => 52 + side * k];
  const matrix = panel(320, 274, "");
  const [middle, rowMiddle] = [(k) => cell(k) + side / 2, (k) => rowTop(k) + side / 2 + 4.5];
  function drawMatrix(at) {
    const most = found.plan ? Math.max(...found.plan.flat()) : 1;
    matrix.setAttribute("aria-label", found.plan
      ? `The plan as a matrix. Rows: ${found.plan.map((row) => row.join(" ")).join("; ")}.` : "No plan.");
    matrix.replaceChildren(
      text(30, 14, "the plan *γ*: row is from, column is to", "title"),
      ...places.flatMap((i) => [
        text(cell(0) - 12, rowMiddle(i), String(i + 1), "muted end"),
        text(middle(i), rowTop(0) - 10, String(i + 1), "muted middle"),
        text(cell(P.length) + 14, rowMiddle(i), String(P[i]), "middle"),
        text(middle(i), rowTop(P.length) + 20, String(Q[i]), "middle"),
      ]),
      text(cell(P.length) + 14, rowTop(0) - 10, "*P*", "middle"),
      text(cell(0) - 12, rowTop(P.length) + 20, "*Q*", "end"),
      ...places.flatMap((i) => places.flatMap((j) => {
        const mass = found.plan?.[i][j] ?? 0;
        const box = { x: cell(j), y: rowTop(i), width: side, height: side };
        return [svg("rect", { ...box, class: "axis fill-real", "fill-opacity": (0.5 * mass) / most }),
          ...(mass ? [text(middle(j), rowMiddle(i), String(mass), "middle")] : [])];
      })),
    );
    const ring = (i, j) => svg("rect", { x: cell(j), y: rowTop(i), width: side, height: side, class: "ring" });
    if (at) matrix.append(ring(at.i, at.j));
  }

  const arrows = panel(320, 206, "");
  function drawArrows(at) {
    const [top, bottom] = [58, 164];
    const node = (i, row, mass, colour) => [
      svg("circle", { cx: x(i), cy: row, r: 13, class: `curve ${colour}` }),
      text(x(i), row + 4.5, String(mass), "middle"),
    ];
    const lines = (found.plan ?? []).flatMap((row, i) => row.flatMap((mass, j) => {
      if (!mass) return [];
      const run = Math.hypot(x(j) - x(i), bottom - top);
      const [dx, dy] = [(x(j) - x(i)) / run, (bottom - top) / run];
      const d = arrow([x(i) + 15 * dx, top + 15 * dy], [x(j) - 16 * dx, bottom - 16 * dy], 7);
      const kind = `ink way${i === j ? " stay" : ""}${at && at.i === i && at.j === j ? " now" : ""}`;
      const way = svg("path", { d, class: kind, "stroke-width": 0.7 + 0.35 * mass });
      // The number stands beside the arrow, further down the further it goes, so that numbers do not meet.
      const [from, aside] = [0.3 + 0.12 * Math.abs(i - j), (i < j ? 1 : -1) * (6 + 0.2 * mass)];
      const [along, down] = [x(i) + (x(j) - x(i)) * from, top + (bottom - top) * from + 4.5];
      const number = text(along + aside * dy, down - aside * dx, String(mass), "middle");
      return i === j ? [way] : [way, number];
    }));
    arrows.setAttribute("aria-label", found.moves
      ? "The plan as arrows from the piles of P to those of Q; pale where dirt stays." : "No plan.");
    arrows.replaceChildren(text(30, 14, "who goes where; pale is what stays", "title"), ...lines,
      ...places.flatMap((i) => [...node(i, top, P[i], "real"), ...node(i, bottom, Q[i], "fake")]),
      text(14, top + 4.5, "*P*", "middle"), text(14, bottom + 4.5, "*Q*", "middle"));
  }

  const proof = panel(320, 206, "");
  function drawProof() {
    const { flow, phi, psi } = found;
    const rest = [text(30, 14, "the proof: flow *δ* and potentials *φ*, *ψ*", "title")];
    if (flow) {
      const high = Math.max(...phi);
      const level = (value) => 92 + (54 * (high - value)) / Math.max(1, P.length - 1);
      rest.push(text(14, 50, "*δ*", "middle"), text(14, level(phi[0]) + 4.5, "*φ*", "middle"),
        text(14, 190, "*ψ*", "middle"));
      flow.forEach((crossing, i) => {
        const [a, b] = [x(i) + width * 0.22, x(i + 1) - width * 0.22];
        rest.push(text((a + b) / 2, 44, fixed(crossing, 0), "middle"), svg("path", {
          d: crossing === 0 ? `M${a} 52H${b}` : crossing > 0 ? arrow([a, 52], [b, 52]) : arrow([b, 52], [a, 52]),
          class: `ink${crossing === 0 ? " stay" : ""}`, "stroke-width": 0.9 + 0.3 * Math.abs(crossing),
        }));
      });
      const corners = phi.map((value, i) => `${x(i)} ${level(value)}`);
      rest.push(svg("path", { class: "curve theory", d: "M" + corners.join("L") }));
      phi.forEach((value, i) => rest.push(
        svg("circle", { cx: x(i), cy: level(value), r: 3, class: "fill-ink" }),
        text(x(i), level(value) - 9, fixed(value, 0), "middle"), text(x(i), 190, fixed(psi[i], 0), "middle")));
    }
    const [delta, up, down] = [flow, phi, psi].map((numbers) => numbers?.join(", "));
    proof.setAttribute("aria-label", flow
      ? `Flow over the gaps: ${delta}. Potential phi: ${up}; psi: ${down}.` : "No potentials.");
    proof.replaceChildren(...rest);
  }

  // ---- words and numbers

  const values = readouts({
    cost: ["cost of the plan", ""], dual: ["dual value", ""], gap: ["duality gap", ""], w1: ["*W*₁ of the laws", ""],
  });
  const note = html("p", { class: "note" });
  const voice = announcer();
  const write = (sentence) => {
    note.replaceChildren(...html("span", {}, sentence).childNodes);
    voice.say(note.textContent);
  };
  const told = ({ i, j, mass }) => `${mass} from ${i + 1} to ${j + 1}`;

  function drawYard(stage, at) {
    bars.forEach((move, k) => move(k < P.length ? stage[k] : Q[k - P.length]));
    trip.replaceChildren();
    if (!at) return;
    const [from, to] = [x(at.i) - 15, x(at.j) - 15];
    const roof = y(Math.max(...stage, ...Q, 1)) - 24;
    const d = `M${from} ${roof}H${to}` + arrow([to, roof], [to, roof + 10], 5);
    trip.append(svg("path", { class: "ink", "stroke-width": 1.6, d }),
      text((from + to) / 2, roof - 6, String(at.mass), "middle"));
  }

  function stop() {
    clearTimeout(timer);
    timer = 0;
    yard.classList.remove("playing");
    if (played) { played = 0; update(); }
    play.textContent = "play the moves";
  }

  // Each call shows one move more. With little motion wanted, the reader asks for each.
  function step() {
    const stage = [...P];
    if (played === found.moves.length) return stop();
    played++;
    for (const { i, j, mass } of found.moves.slice(0, played)) { stage[i] -= mass; stage[j] += mass; }
    const at = found.moves[played - 1];
    const paid = total(found.moves.slice(0, played).map((move) => move.cost));
    yard.classList.toggle("playing", !calm.matches);
    drawYard(stage, at);
    drawMatrix(at);
    drawArrows(at);
    const last = played === found.moves.length ? ` *P* is now *Q*, for ${paid} in all.` : ` So far ${paid}.`;
    write(`Move ${played} of ${found.moves.length}: ${told(at)}, which costs ${at.cost}.${last}`);
    if (calm.matches) play.textContent = played === found.moves.length ? "show the start" : "next move";
    else { play.textContent = "stop"; timer = setTimeout(step, played === found.moves.length ? 4000 : 1800); }
  }

  const play = button("play the moves", () => (timer ? stop() : step()));
  const reset = button("reset", () => set(data.P, data.Q));

  function set(newP, newQ) {
    stop();
    P.splice(0, P.length, ...newP);
    Q.splice(0, Q.length, ...newQ);
    update();
  }

  function update() {
    found = solve(P, Q);
    drawYard(P);
    drawMatrix();
    drawArrows();
    drawProof();
    play.disabled = !found.moves?.length;
    if (found.refusal) {
      values.set({ cost: "–", dual: "–", gap: "–", w1: "–" });
      write(found.refusal);
    } else {
      const { cost, dual, gap, moves } = found;
      const law = fixed(cost / found.total, 4).replace(/\.?0+$/, "");
      values.set({ cost: fixed(cost, 0), dual: fixed(dual, 0), gap: fixed(gap, 0), w1: law });
      const inOrder = [...moves].sort((a, b) => a.i - b.i).map(told).join(", ");
      write(moves.length ? `Moves: ${inOrder}.` : "*P* is *Q*: nothing has to move.");
    }
  }
  update();

  const elements = [
    html("div", { class: "panels" }, yard, matrix), values.element, note,
    html("div", { class: "buttons" }, play, reset), html("div", { class: "panels" }, arrows, proof), voice.element,
  ];
  return { elements, tools: { solve, set } };
}

start("piles", draw);
