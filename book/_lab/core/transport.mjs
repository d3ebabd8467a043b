// The exact Wasserstein distance between two sets of equally many points: an assignment problem.

// The cheapest assignment for a cost matrix C (n x n, row-major), by shortest augmenting paths (Crouse 2016).
// Returns { cost, match }: row i goes to column match[i].
export function assign(C, n) {
  const u = new Float64Array(n), v = new Float64Array(n), distance = new Float64Array(n);
  const rowOf = new Int32Array(n).fill(-1), match = new Int32Array(n).fill(-1);
  const before = new Int32Array(n), open = new Int32Array(n), closed = new Uint8Array(n);

  // a cheap beginning: each column asks for its cheapest row, and the first to ask has it
  for (let j = 0; j < n; j++) {
    let row = 0;
    for (let i = 1; i < n; i++) if (C[i * n + j] < C[row * n + j]) row = i;
    v[j] = C[row * n + j];
    if (match[row] < 0) {
      match[row] = j;
      rowOf[j] = row;
    }
  }
  for (let start = 0; start < n; start++) {
    if (match[start] >= 0) continue;
    distance.fill(Infinity);
    closed.fill(0);
    for (let j = 0; j < n; j++) open[j] = j;
    let left = n, row = start, shortest = 0, end = -1;
    while (end < 0) {
      let at = -1, best = Infinity;
      const offset = row * n, base = shortest - u[row];
      for (let k = 0; k < left; k++) {
        const j = open[k], through = base + C[offset + j] - v[j];
        if (through < distance[j]) {
          distance[j] = through;
          before[j] = row;
        }
        if (distance[j] < best || (distance[j] === best && rowOf[j] < 0)) {
          best = distance[j];
          at = k;
        }
      }
      shortest = best;
      const j = open[at];
      open[at] = open[--left];
      closed[j] = 1;
      if (rowOf[j] < 0) end = j;
      else row = rowOf[j];
    }
    u[start] += shortest;
    for (let j = 0; j < n; j++) {
      if (!closed[j] || j === end) continue;
      u[rowOf[j]] += shortest - distance[j];
      v[j] -= shortest - distance[j];
    }
    for (let j = end, row = -1; row !== start;) {  // turn the path round
      row = before[j];
      const next = match[row];
      rowOf[j] = row;
      match[row] = j;
      j = next;
    }
  }
  let cost = 0;
  for (let i = 0; i < n; i++) cost += C[i * n + match[i]];
  return { cost, match };
}

// W1 between the uniform laws on n points x and n points y of the plane (x0, y0, x1, y1, ...).
export function w1(x, y, n) {
  const C = new Float64Array(n * n);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < n; j++) {
      const across = x[2 * i] - y[2 * j], up = x[2 * i + 1] - y[2 * j + 1];
      C[i * n + j] = Math.sqrt(across * across + up * up);
    }
  }
  return assign(C, n).cost / n;
}
