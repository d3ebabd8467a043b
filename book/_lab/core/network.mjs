// A perceptron with (leaky) ReLU and its gradients. Rows are samples; a weight matrix is out x in, as in PyTorch.
import { plain } from "./arithmetic.mjs";

// A network of the given sizes with all weights in one array `p` and their gradient in `g`. `slope` is the
// activation's below zero; `trained`, a function of a place in `p`, says which weights learn (default: all).
export function mlp(sizes, { slope = 0, Real = Float32Array, arithmetic = plain(Real), trained = null } = {}) {
  const last = sizes.length - 1, { room } = arithmetic;
  let n = 0;
  for (let l = 0; l < last; l++) n += sizes[l + 1] * (sizes[l] + 1);
  const net = { sizes, last, slope, arithmetic, n, p: room(n), g: room(n), W: [], b: [], dW: [], db: [] };
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
  const layers = () => net.sizes.map((size) => net.arithmetic.room(rows * size));
  return { h: layers(), s: layers(), u: layers() };
}

// From h[0], set by the caller, to h[last], which is returned.
export function forward(net, t, rows) {
  const { sizes, last, slope, arithmetic: { timesTransposed, activate } } = net;
  for (let l = 1; l <= last; l++) {
    timesTransposed(t.h[l - 1], net.W[l - 1], net.b[l - 1], t.h[l], rows, sizes[l - 1], sizes[l]);
    if (l < last) activate(t.h[l], t.s[l], rows * sizes[l], slope);
  }
  return t.h[last];
}

// From u[last], set by the caller, down to u[1], and to u[0] if `toInput`.
export function backward(net, t, rows, toInput) {
  const { sizes, last, arithmetic: { times, scale } } = net;
  for (let l = last - 1; l >= (toInput ? 0 : 1); l--) {
    times(t.u[l + 1], net.W[l], t.u[l], rows, sizes[l + 1], sizes[l]);
    if (l > 0) scale(t.u[l], t.s[l], rows * sizes[l]);
  }
}

// The gradient of the loss in net.g, from u and h over `rows` rows; biases see the first `biasRows` only.
export function weightGradients(net, t, rows, biasRows) {
  const { sizes, last, g, arithmetic: { transposedTimes, sums } } = net;
  for (let l = 0; l < last; l++) {
    transposedTimes(t.u[l + 1], t.h[l], net.dW[l], sizes[l + 1], rows, sizes[l]);
    sums(t.u[l + 1], net.db[l], biasRows, sizes[l + 1]);
  }
  for (const i of net.frozen) g[i] = 0;
}
