// A perceptron with (leaky) ReLU and its gradients. Rows are samples; a weight matrix is out x in, as in PyTorch.

// C[i, j] = bias[j] + sum over q of A[i ar + q ac] B[q br + j bc], for i < n, q < k, j < m, in tiles of 2 x 4.
function product(A, ar, ac, B, br, bc, bias, C, n, k, m) {
  const n2 = n & ~1, m4 = m & ~3;
  for (let i = 0; i < n2; i += 2) {
    const i0 = i * ar, i1 = i0 + ar, c0 = i * m, c1 = c0 + m;
    for (let j = 0; j < m4; j += 4) {
      let s0 = 0, s1 = 0, s2 = 0, s3 = 0;
      if (bias) { s0 = bias[j]; s1 = bias[j + 1]; s2 = bias[j + 2]; s3 = bias[j + 3]; }
      let t0 = s0, t1 = s1, t2 = s2, t3 = s3;
      let a0 = i0, a1 = i1, b0 = j * bc, b1 = b0 + bc, b2 = b1 + bc, b3 = b2 + bc;
      for (let q = 0; q < k; q++) {
        const x = A[a0], y = A[a1], w0 = B[b0], w1 = B[b1], w2 = B[b2], w3 = B[b3];
        s0 += x * w0; s1 += x * w1; s2 += x * w2; s3 += x * w3;
        t0 += y * w0; t1 += y * w1; t2 += y * w2; t3 += y * w3;
        a0 += ac; a1 += ac; b0 += br; b1 += br; b2 += br; b3 += br;
      }
      C[c0 + j] = s0; C[c0 + j + 1] = s1; C[c0 + j + 2] = s2; C[c0 + j + 3] = s3;
      C[c1 + j] = t0; C[c1 + j + 1] = t1; C[c1 + j + 2] = t2; C[c1 + j + 3] = t3;
    }
  }
  for (let i = 0; i < n; i++) {  // what the tiles left over
    for (let j = i < n2 ? m4 : 0; j < m; j++) {
      let s = bias ? bias[j] : 0;
      for (let q = 0, a = i * ar, b = j * bc; q < k; q++, a += ac, b += br) s += A[a] * B[b];
      C[i * m + j] = s;
    }
  }
}

// A (n x k) times the transpose of W (m x k), plus the bias.
export function timesTransposed(A, W, bias, C, n, k, m) {
  product(A, k, 1, W, 1, k, bias, C, n, k, m);
}

// A (n x k) times W (k x m).
export function times(A, W, C, n, k, m) {
  product(A, k, 1, W, m, 1, null, C, n, k, m);
}

// The transpose of A (n x p) times B (n x q).
export function transposedTimes(A, B, C, n, p, q) {
  product(A, 1, p, B, q, 1, null, C, p, n, q);
}

// A network of the given sizes with all weights in one array `p` and their gradient in `g`. `slope` is the
// activation's below zero; `trained`, a function of a place in `p`, says which weights learn (default: all).
export function mlp(sizes, { slope = 0, Real = Float32Array, trained = null } = {}) {
  const last = sizes.length - 1;
  let n = 0;
  for (let l = 0; l < last; l++) n += sizes[l + 1] * (sizes[l] + 1);
  const net = { sizes, last, slope, Real, n, p: new Real(n), g: new Real(n), W: [], b: [], dW: [], db: [] };
  net.frozen = trained ? [...net.p.keys()].filter((i) => !trained(i)) : [];
  let at = 0;
  const cut = (length, ...lists) => {
    lists[0].push(net.p.subarray(at, at + length));
    lists[1].push(net.g.subarray(at, at + length));
    at += length;
  };
  for (let l = 0; l < last; l++) {
    cut(sizes[l + 1] * sizes[l], net.W, net.dW);
    cut(sizes[l + 1], net.b, net.db);
  }
  return net;
}

// He's rule: normal weights that keep the size of the signal; biases 0.
export function initialise(net, random) {
  for (let l = 0; l < net.last; l++) {
    const gain = l < net.last - 1 ? Math.sqrt(2 / (1 + net.slope * net.slope)) : 1;
    const deviation = gain / Math.sqrt(net.sizes[l]);
    for (let i = 0; i < net.W[l].length; i++) net.W[l][i] = deviation * random.normal();
    net.b[l].fill(0);
  }
  return net;
}

// Room for `rows` rows: h[l] the values of layer l, s[l] the slopes of its activation, u[l] the derivatives of a
// loss with respect to what enters the activation; u[0] with respect to the input.
export function tape(net, rows) {
  const layers = () => net.sizes.map((size) => new net.Real(rows * size));
  return { h: layers(), s: layers(), u: layers() };
}

// From h[0], set by the caller, to h[last], which is returned.
export function forward(net, t, rows) {
  const { sizes, last, slope } = net;
  for (let l = 1; l <= last; l++) {
    const h = t.h[l], s = t.s[l], n = rows * sizes[l];
    timesTransposed(t.h[l - 1], net.W[l - 1], net.b[l - 1], h, rows, sizes[l - 1], sizes[l]);
    if (l === last) break;
    for (let i = 0; i < n; i++) {
      s[i] = h[i] > 0 ? 1 : slope;
      h[i] *= s[i];
    }
  }
  return t.h[last];
}

// From u[last], set by the caller, down to u[1], and to u[0] if `toInput`.
export function backward(net, t, rows, toInput) {
  const { sizes, last } = net;
  for (let l = last - 1; l >= (toInput ? 0 : 1); l--) {
    const u = t.u[l], s = t.s[l], n = rows * sizes[l];
    times(t.u[l + 1], net.W[l], u, rows, sizes[l + 1], sizes[l]);
    if (l > 0) for (let i = 0; i < n; i++) u[i] *= s[i];
  }
}

// The gradient of the loss in net.g, from u and h over `rows` rows; biases see the first `biasRows` only.
export function weightGradients(net, t, rows, biasRows) {
  const { sizes, last, g } = net;
  for (let l = 0; l < last; l++) {
    const u = t.u[l + 1], db = net.db[l], k = sizes[l + 1];
    transposedTimes(u, t.h[l], net.dW[l], rows, k, sizes[l]);
    for (let j = 0; j < k; j++) {
      let s = 0;
      for (let i = 0, at = j; i < biasRows; i++, at += k) s += u[at];
      db[j] = s;
    }
  }
  for (const i of net.frozen) g[i] = 0;
}
