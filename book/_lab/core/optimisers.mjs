// Updates of a network's weights from its gradient, by PyTorch's formulas, and the clip.

// Kingma & Ba 2015, Algorithm 1. The moments are kept in double precision.
export function adam(net, rate, [beta1, beta2], eps = 1e-8) {
  const mean = new Float64Array(net.n), square = new Float64Array(net.n);
  let t = 0;
  return () => {
    t++;
    const { p, g, n } = net, step = rate / (1 - beta1 ** t), correction = 1 - beta2 ** t;
    for (let i = 0; i < n; i++) {
      mean[i] = beta1 * mean[i] + (1 - beta1) * g[i];
      square[i] = beta2 * square[i] + (1 - beta2) * g[i] * g[i];
      p[i] -= step * mean[i] / (Math.sqrt(square[i] / correction) + eps);
    }
  };
}

// RMSProp with PyTorch's smoothing constant.
export function rmsprop(net, rate, smoothing = 0.99, eps = 1e-8) {
  const square = new Float64Array(net.n);
  return () => {
    const { p, g, n } = net;
    for (let i = 0; i < n; i++) {
      square[i] = smoothing * square[i] + (1 - smoothing) * g[i] * g[i];
      p[i] -= rate * g[i] / (Math.sqrt(square[i]) + eps);
    }
  };
}

// Each weight and bias into [-c, c] (Arjovsky et al. 2017, Algorithm 1, line 7).
export function clip(net, c) {
  const { p, n } = net;
  for (let i = 0; i < n; i++) p[i] = Math.min(Math.max(p[i], -c), c);
}
