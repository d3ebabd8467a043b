// The arithmetic of arithmetic.mjs in single precision, by the module that kernel.wat is. It computes in a memory of its
// own, so all its arrays have to come from `room`.
import { BYTES } from "./bytes.mjs";

let compiled;  // null where it cannot be had

function compile() {
  try {
    return new WebAssembly.Module(Uint8Array.from(atob(BYTES), (letter) => letter.charCodeAt(0)));
  } catch {  // no WebAssembly, none with four lanes, or forbidden
    return null;
  }
}

// A new arithmetic with its own memory, or null.
export function kernel() {
  if (compiled === undefined) compiled = compile();
  if (!compiled) return null;
  const { memory, product, sums, activate, scale } = new WebAssembly.Instance(compiled).exports;
  let end = 1024;  // below it lies a row of zeros, the bias of products without one
  const room = (length) => {
    const at = end;
    end = (at + 4 * length + 31) & ~15;  // activations end on a multiple of four numbers
    return new Float32Array(memory.buffer, at, length);
  };
  let turned = room(64 * 64);
  return {
    Real: Float32Array,
    fast: true,
    room,
    timesTransposed(A, W, bias, C, n, k, m) {
      if (turned.length < k * m) turned = room(k * m);
      for (let j = 0, at = 0; j < m; j++) for (let q = j; q < k * m; q += m) turned[q] = W[at++];
      product(A.byteOffset, 4 * k, 4, turned.byteOffset, bias?.byteOffset ?? 0, C.byteOffset, n, k, m);
    },
    times: (A, W, C, n, k, m) => product(A.byteOffset, 4 * k, 4, W.byteOffset, 0, C.byteOffset, n, k, m),
    transposedTimes: (A, B, C, n, k, m) => product(A.byteOffset, 4, 4 * n, B.byteOffset, 0, C.byteOffset, n, k, m),
    sums: (A, out, k, m) => sums(A.byteOffset, out.byteOffset, k, m),
    activate: (h, s, n, slope) => activate(h.byteOffset, s.byteOffset, n, slope),
    scale: (u, s, n) => scale(u.byteOffset, s.byteOffset, n),
  };
}
