"""Typical wrong answers to the book's code exercises, where a page has fewer than three of its own."""

# One answer a paragraph, each below the label of its exercise.
WRONG = {}
TEXTS = r"""
# ex-01-noise
def half(alpha, r):
    return alpha * r / 2


# ex-02-5
def tv_by_events(p, q):
    return np.abs(np.cumsum(p - q)).max()  # intervals only


# ex-02-7
def floor_of(n, pairs=100):  # never sorted
    x, y = np.random.default_rng(0).random((2, pairs, n))
    return np.abs(x - y).mean()


# ex-02-7
def floor_of(n, pairs=100):  # of the means
    x, y = np.random.default_rng(0).random((2, pairs, n))
    return np.abs(x.mean(1) - y.mean(1)).mean()


# ex-03-game
def game_value(member, p, q, T):  # the conjugate without its weights
    return p @ T - member.conjugate(T).sum()


def best_game(member, p, q):
    T = member.best(p / q)
    return p @ T - q @ member.conjugate(T)


# ex-03-4
def step(optimizer, loss):
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def turn(generator, critic, g_optimizer, d_optimizer, x, z, z_new):  # hard labels
    f_x, f_gz = critic(x), critic(generator(z).detach())
    step(d_optimizer, (softplus(-f_x) + softplus(f_gz)).mean())
    step(g_optimizer, -softplus(critic(generator(z_new))).mean())


# ex-04-optimistic
def optimistic(field, start, eta, steps):  # the two velocities exchanged
    path = [np.array(start)]
    before = field(path[0])
    for _ in range(steps):
        now = field(path[-1])
        path.append(path[-1] + eta * (2 * before - now))
        before = now
    return np.array(path)


# ex-04-optimistic
def optimistic(field, start, eta, steps):  # without the start
    path = [np.array(start)]
    before = field(path[0])
    for _ in range(steps):
        now = field(path[-1])
        path.append(path[-1] + eta * (2 * now - before))
        before = now
    return np.array(path[1:])


# ex-04-count
def modes_found(points, centres, radius, n):  # more than n
    distance = np.linalg.norm(points[:, None] - centres, axis=2)
    nearest = distance.argmin(1)[distance.min(1) <= radius]
    return int((np.bincount(nearest, minlength=len(centres)) > n).sum())


# ex-04-count
def modes_found(points, centres, radius, n):  # n is not used
    distance = np.linalg.norm(points[:, None] - centres, axis=2)
    return len(np.unique(distance.argmin(1)[distance.min(1) <= radius]))


# ex-04-measure
def measure(path):  # of the steps backwards
    M, *_ = np.linalg.lstsq(path[1:], path[:-1], rcond=None)
    mu = np.linalg.eigvals(M)[0]
    return abs(mu), abs(np.angle(mu))


# ex-04-measure
def measure(path):  # the determinant is the square
    M, *_ = np.linalg.lstsq(path[:-1], path[1:], rcond=None)
    return np.linalg.det(M), abs(np.angle(np.linalg.eigvals(M)[0]))


# ex-05-limit
def at_infinity(sizes, scores):
    return np.polyfit(1 / np.sqrt(sizes), scores, 1)[1]


# ex-05-cheat
def cheat(real, outlier, m):
    return np.vstack([np.tile(real.mean(0), (m - 1, 1)), outlier])


# ex-05-memory
def nearer(train, held_out, fake):  # the wrong way round
    def nearest(rows):
        return np.linalg.norm(fake[:, None] - rows, axis=2).min(1)

    return np.mean(nearest(held_out) < nearest(train))


# ex-06-4
def w1(x, y, a, b):  # never sorted
    points, masses = np.concatenate([x, y]), np.concatenate([a, -b])
    return np.abs(np.cumsum(masses)[:-1]) @ np.abs(np.diff(points))


# ex-06-staircase
def staircase(a, b):
    return np.minimum.outer(a, b)


# ex-06-5
def thin(gamma, cost):  # right total, wrong sums
    kept = np.where(gamma > gamma.mean(), gamma, 0)
    return kept / kept.sum()


# ex-07-2
def critic_on_line(z, p, q):  # upside down
    steps = np.sign(np.cumsum(p - q)[:-1]) * np.diff(z)
    return np.concatenate([[0.0], np.cumsum(steps)])


# ex-07-3
def extend(points, values, z):  # the upper bound
    return (values + np.linalg.norm(z[:, None] - points, axis=2)).min(1)


# ex-07-3
def extend(points, values, z):  # half-way between the bounds
    away = np.linalg.norm(z[:, None] - points, axis=2)
    return ((values + away).min(1) + (values - away).max(1)) / 2


# ex-07-7
def ascend(C, a, b):
    return np.zeros(len(a))


# ex-07-7
def ascend(C, a, b):  # downhill
    phi = np.zeros(len(a))
    for k in range(1, 500):
        chosen = (C - phi[:, None]).argmin(0)
        phi = phi - (a - np.bincount(chosen, weights=b, minlength=len(a))) / np.sqrt(k)
    return phi


# ex-07-cone
def separate(G, C):  # a v for every C
    return G @ nnls(G, C)[0] - C


# ex-07-cone
def separate(G, C):  # the wrong sign
    s, distance = nnls(G, C)
    return None if distance < 1e-9 else C - G @ s


# ex-08-4
def log_sinkhorn(C, a, b, epsilon, count):  # the masses forgotten in the sums
    beta = np.zeros(len(b))
    for _ in range(count):
        alpha = -epsilon * special.logsumexp((beta - C) / epsilon, axis=1)
        beta = -epsilon * special.logsumexp((alpha[:, None] - C) / epsilon, axis=0)
    return np.outer(a, b) * np.exp((alpha[:, None] + beta - C) / epsilon)


# ex-08-5
def sliced(x, y, omega, p):  # the largest slice
    x, y = np.sort(x @ omega.T, axis=0), np.sort(y @ omega.T, axis=0)
    return np.mean(np.abs(x - y) ** p, axis=0).max() ** (1 / p)


# ex-08-judge
def judge(critic, K, real, fake, n, repeats, rng):  # without K
    rows = []
    for _ in range(repeats):
        x, other, y = real(n, rng), real(n, rng), fake(n, rng)
        rows.append((np.mean(critic(x)) - np.mean(critic(y)), transport.emd(x, y).distance,
                     transport.emd(x, other).distance))
    return np.mean(rows, axis=0)


# ex-08-judge
def judge(critic, K, real, fake, n, repeats, rng):  # pairs as they come
    rows = []
    for _ in range(repeats):
        x, other, y = real(n, rng), real(n, rng), fake(n, rng)
        far = [np.linalg.norm(x - rest, axis=1).mean() for rest in (y, other)]
        rows.append(((np.mean(critic(x)) - np.mean(critic(y))) / K, *far))
    return np.mean(rows, axis=0)


# ex-09-code
def largest_weight_seen(clip_first, c=0.01, lr=5e-4):  # exchanged
    return c if clip_first else c + 10 * lr


# ex-13-deep
def deep_fold():  # with biases, untrained
    return nn.Sequential(
        nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1), nn.Flatten(0)
    )


# ex-14-painter
def painter(kinds, drawn):  # shares among all kinds
    chance = np.ones(len(kinds))
    for column in kinds.T:
        chance *= [(column == part).mean() for part in column]
    return chance[~drawn].sum()


# ex-14-reach
def updates_to(updates, score, s):  # the number of the look
    above = np.flatnonzero(score >= s)
    after = above[-1] + 1 if len(above) else 0
    return after if after < len(updates) else np.inf


# ex-14-pair
def points_between(x, x_fake, eps):  # takes every pair
    mixed = eps[:, None] * x + (1 - eps[:, None]) * x_fake
    return torch.cat([mixed[:, :784], x[:, 784:]], dim=1)


# ex-16-line
def best_points(quantile, n):  # nearly the medians
    return quantile((np.arange(1, n + 1) - 0.3) / (n + 0.4))


# ex-16-hunt
answers = dict.fromkeys("ABCDEFGHIJ", "no-graph")


# ex-16-hunt
answers = dict.fromkeys("ABCDEFGHIJ", "healthy")


# ex-16-hunt
answers = dict(zip("ABCDEFGHIJ", ["wide-clip", "healthy", "reversed-sign", "no-graph", "global-norm",
    "fast-generator", "healthy", "slow-critic", "attached-fakes", "healthy"]))


# ex-mistakes-repair
def repaired(critic, x, x_fake):  # the mean is still there
    eps = torch.rand(len(x), *[1] * (x.ndim - 1), dtype=x.dtype)
    x_hat = (eps * x + (1 - eps) * x_fake).requires_grad_()
    (gradient,) = torch.autograd.grad(critic(x_hat).mean(), x_hat, create_graph=True)
    return 10 * (gradient.flatten(1).norm(dim=1) - 1).square().mean()


# ex-full-mean
def mean_over_ranks(gradients, sizes):
    return sum(n * g for n, g in zip(sizes, gradients)) / len(gradients)
"""
for text in TEXTS.split("\n# ex-")[1:]:
    label, code = text.split("\n", 1)
    WRONG.setdefault(f"ex-{label}", []).append(code.strip())

SHARES = {"ex-16-hunt": (0.1, 0.3, 0.9)}  # of the points, that three wrong answers deserve; otherwise none
