// What the networks compute with: products of row-major matrices, activations and sums, in plain JavaScript.
// kernel.mjs has the same functions, in single precision, in WebAssembly.

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

// The arithmetic of arrays of type Real: what takes a list of sizes computes n x m, with k terms each.
export function plain(Real) {
  return {
    Real,
    room: (length) => new Real(length),
    // C = A (n x k) times the transpose of W (m x k), plus the bias
    timesTransposed: (A, W, bias, C, n, k, m) => product(A, k, 1, W, 1, k, bias, C, n, k, m),
    // C = A (n x k) times W (k x m)
    times: (A, W, C, n, k, m) => product(A, k, 1, W, m, 1, null, C, n, k, m),
    // C = the transpose of A (k x n) times B (k x m)
    transposedTimes: (A, B, C, n, k, m) => product(A, 1, n, B, m, 1, null, C, n, k, m),
    // the sums of A's first k rows, m numbers each
    sums(A, out, k, m) {
      for (let j = 0; j < m; j++) {
        let s = 0;
        for (let i = 0, at = j; i < k; i++, at += m) s += A[at];
        out[j] = s;
      }
    },
    // the activation of n numbers h, and its slopes
    activate(h, s, n, slope) {
      for (let i = 0; i < n; i++) {
        s[i] = h[i] > 0 ? 1 : slope;
        h[i] *= s[i];
      }
    },
    scale(u, s, n) {
      for (let i = 0; i < n; i++) u[i] *= s[i];
    },
  };
}
