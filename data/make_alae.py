"""Trains ALAE on the digits beside what it is compared with, and keeps what chapter 15 shows.

    python data/make_alae.py [FOLDER]

About ten minutes on one thread. Writes data/runs/alae.npz and .json: for each run its curve and what its
codes are worth, and of one ALAE the mapping, decoder and encoder in eight bits a weight. Finished runs are
kept in FOLDER, if one is given, so that a stopped command can go on.
"""

import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

from wganlab import Draw, Game, alae, data, metrics, networks, recipes, sampling, train, transport
from wganlab.training import apply_gradient

CODE, WIDTH, M, LOOKS, SEEDS = 50, 128, 64, 10, (0, 1, 2)
slopes = partial(networks.mlp, slope=0.2)


def started(net: nn.Sequential) -> nn.Sequential:
    """He's rule for each layer: with PyTorch's own, codes hardly depend on z after six layers."""
    for layer in net:
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight, a=0.2)
            nn.init.zeros_(layer.bias)
    return net


def players() -> tuple[nn.Sequential, ...]:
    """F, G, E, D after the authors' configs/mnist_fc.yaml, 128 units wide where they have 1,024.

    As there, F has six layers, F and E end with a leaky ReLU, and D is linear (they compose three linear
    layers). Ours: G ends with tanh and starts dark, z is not normalised, and no layer has a rate of its own.
    """
    mapping = started(slopes(CODE, CODE, hidden=(CODE,) * 5, last=nn.LeakyReLU(0.2)))
    decoder = started(slopes(CODE, (1, 28, 28), hidden=(WIDTH,) * 2, last=nn.Tanh()))
    *_, last = (layer for layer in decoder if isinstance(layer, nn.Linear))
    nn.init.xavier_normal_(last.weight, gain=0.3)
    nn.init.constant_(last.bias, -1.0)
    encoder = started(slopes((1, 28, 28), CODE, hidden=(WIDTH,) * 2, last=nn.LeakyReLU(0.2)))
    return mapping, decoder, encoder, slopes(CODE, 1, hidden=())


torch.set_num_threads(1)
torch.set_flush_denormal(True)
digits, labels = data.digits()
order = torch.randperm(len(digits), generator=torch.Generator().manual_seed(1))
digits, labels = digits[order], labels[order]
held, rest, held_labels, rest_labels = digits[:1000], digits[1000:], labels[:1000], labels[1000:]
prior = sampling.normal(CODE)
z_test = prior(1000, torch.Generator().manual_seed(7))
classify = metrics.trained_digit_classifier()
named = classify(held).argmax(1)


def squared(difference):
    return difference.square().flatten(1).sum(1).mean().item()


@torch.no_grad()
def judge(mapping, decoder, encoder):
    """Reciprocity, spread of codes, errors of copies (seen, held out), how often their class stays,
    W1 and score of the fakes of 1,000 codes that ``mapping`` makes, W1 of codes read and made."""
    code = mapping(z_test)
    fake, back = decoder(code), decoder(encoder(held))
    return [
        squared(encoder(fake) - code),
        squared(code - code.mean(0)),
        squared(decoder(encoder(rest[:1000])) - rest[:1000]),
        squared(back - held),
        (classify(back).argmax(1) == named).float().mean().item(),
        transport.emd(held[:500].flatten(1), fake[:500].flatten(1)).distance,
        metrics.digit_score(rest, fake),
        transport.emd(encoder(held[:500]), code[:500]).distance,
    ]


def read_out(codes, held_codes):
    """Share of held-out digits that a linear least squares classifier of codes names rightly."""
    mean, scale = codes.mean(0), codes.std(0) + 1e-6
    a, b = (torch.cat([(c - mean) / scale, torch.ones(len(c), 1)], 1).double() for c in (codes, held_codes))
    aims = nn.functional.one_hot(rest_labels, 10).double()
    weights = torch.linalg.solve(a.T @ a + torch.eye(a.shape[1]), a.T @ aims)
    return ((b @ weights).argmax(1) == held_labels).double().mean().item()


@torch.no_grad()
def worth(decoder, encoder):
    """Read-out; the score of 500 midpoints; share and ink of digits moved to the next class by mean codes."""
    codes, held_codes = encoder(rest), encoder(held)
    middle = decoder((held_codes[:500] + held_codes[500:]) / 2)
    means = torch.stack([codes[rest_labels == k].mean(0) for k in range(10)])
    aim = (held_labels + 1) % 10
    moved = decoder(held_codes + means[aim] - means[held_labels])
    share = (classify(moved).argmax(1) == aim).double().mean().item()
    inks = np.stack([x.flatten(1).mean(1).numpy() for x in (held, moved)])
    return [read_out(codes, held_codes), metrics.digit_score(rest, middle), share, np.corrcoef(inks)[0, 1]]


# ---- The runs: each yields (mapping, decoder, encoder) after each of its LOOKS parts, the first before them

# The rate of ALAE is half the authors' 2e-3; WGAN-GP has the rates and the two critic updates a turn that
# this project uses for digits.
adam = partial(recipes.adam, lr=1e-3, betas=(0.0, 0.99))
recipe = replace(alae.recipe, optimizer=adam)
UPDATES = {"alae": 2000, "gp": 1600, "plain": 4000, "two_steps": 1000}


def chunks(name):
    """The updates of the looks; after WGAN-GP's last one another, with the encoder that came afterwards."""
    return [UPDATES[name] * part // LOOKS for part in range(LOOKS + 1)] + [UPDATES[name]] * (name == "gp")


def play_alae(name, seed):
    """ALAE (`alae`), or its steps I and II alone (`two_steps`)."""
    game, draw = alae.ALAE(*players(), recipe), Draw(rest, prior, M, seed=seed)
    for until in chunks(name):
        for _ in (alae.train_alae if name == "alae" else train)(game, draw, until):
            pass
        yield game.mapping, game.decoder, game.encoder


def play_gp(name, seed):
    """WGAN-GP with the same chains; afterwards an encoder learns the codes, by step III without G."""
    mapping, decoder, encoder, head = players()
    game = Game(nn.Sequential(mapping, decoder), nn.Sequential(encoder, head), recipes.wgan_gp_digits)
    draw = Draw(rest, prior, M, seed=seed)
    for until in chunks(name)[:-1]:
        for _ in train(game, draw, until):
            pass
        yield mapping, decoder, encoder
    _, _, reader, _ = players()
    optimizer = adam(reader.parameters())
    for step in range(2000):
        with torch.no_grad():
            code = mapping(draw(step, 1)[1])
            fake = decoder(code)
        loss = (code - reader(fake)).square().sum(1).mean()
        apply_gradient(torch.autograd.grad(loss, [*reader.parameters()]), optimizer)
    yield mapping, decoder, reader


def play_plain(name, seed):
    """The plain autoencoder, the same G and E, by squared error; its codes are drawn from a normal law."""
    _, decoder, encoder, _ = players()
    weights, draw = [*decoder.parameters(), *encoder.parameters()], Draw(rest, prior, M, seed=seed)
    optimizer, done = adam(weights), 0
    for until in chunks(name):
        for step in range(done, until):
            x = draw(step, 0)[0]
            loss = (decoder(encoder(x)) - x).square().sum((1, 2, 3)).mean()
            apply_gradient(torch.autograd.grad(loss, weights), optimizer)
        done = until
        with torch.no_grad():
            codes = encoder(rest).double()
        law = torch.distributions.MultivariateNormal(codes.mean(0), codes.T.cov() + 1e-6 * torch.eye(CODE))
        yield lambda z, law=law: (law.loc + z.double() @ law.scale_tril.T).float(), decoder, encoder


PLAYS = {"alae": play_alae, "gp": play_gp, "plain": play_plain, "two_steps": play_alae}


def play(name, seed):
    """The curve (update, seconds of training, what `judge` says), what codes are worth, pictures, players."""
    torch.manual_seed(seed)
    rows, spent, begin = [], 0.0, time.process_time()
    for update, (mapping, decoder, encoder) in zip(chunks(name), PLAYS[name](name, seed), strict=True):
        spent += time.process_time() - begin
        rows.append([update, spent, *judge(mapping, decoder, encoder)])
        begin = time.process_time()
    result = {"curve": np.array(rows, np.float32), "worth": np.array(worth(decoder, encoder))}
    with torch.no_grad():
        pictures = torch.cat([decoder(mapping(z_test[:40])), decoder(encoder(held[:10]))])
    result["sheet"] = pictures.add(1).mul(127.5).round().byte().numpy()[:, 0]
    if (name, seed) == ("alae", 0):
        for letter, player in zip("FGE", (mapping, decoder, encoder), strict=True):
            for k, weight in player.state_dict().items():
                result |= eight_bits(f"{letter}.{k}", weight.numpy())
    return result


def eight_bits(name, weight):
    """A matrix as whole numbers from -127 to 127, times a scale for each row; a bias as it is."""
    if weight.ndim == 1:
        return {name: weight.astype(np.float16)}
    scale = np.abs(weight).max(1, keepdims=True) / 127
    return {name: np.rint(weight / scale).astype(np.int8), f"{name}.scale": scale.astype(np.float32)}


folder = Path(sys.argv[1]) if len(sys.argv) > 1 else None
arrays = {}
RUNS = [(name, seed) for seed in SEEDS for name in ("alae", "gp", "plain")] + [
    ("two_steps", k) for k in SEEDS
]
for name, seed in RUNS:
    part = folder / f"{name}_{seed}.npz" if folder else None
    if part and part.exists():
        result = dict(np.load(part))
    else:
        begin = time.process_time()
        result = play(name, seed) | {"seconds": np.array(time.process_time() - begin)}
        if part:
            folder.mkdir(parents=True, exist_ok=True)
            np.savez(part, **result)
    print(f"{name:10}{seed} {float(result['seconds']):4.0f} s", flush=True)
    print(np.round(result["curve"][-1], 3).tolist(), np.round(result["worth"], 3).tolist(), flush=True)
    arrays |= {f"{name}_{seed}.{key}": value for key, value in result.items()}


def ring(play, seed):
    """In the plane, 400 turns: R over spread, error of copies over the mean point's, W1 of fakes. And of the
    codes that are read: error of points that five neighbours in code read back, over the mean point's; how
    often the nearest names the mode; spread of codes read, and of codes made."""
    torch.manual_seed(seed)
    make = partial(networks.mlp, hidden=(32, 32), slope=0.2)
    faster = replace(alae.recipe, optimizer=partial(recipes.adam, lr=2e-3, betas=(0.0, 0.99)))
    game = alae.ALAE(make(2, 2), make(2, 2), make(2, 2), make(2, 1), faster)
    eight, normal = sampling.ring(), sampling.normal(2)
    for _ in play(game, Draw(eight, normal, 128, seed=seed), 400):
        pass
    x, z = eight(500, torch.Generator().manual_seed(9)), normal(500, torch.Generator().manual_seed(3))
    known = eight(2000, torch.Generator().manual_seed(10))
    with torch.no_grad():
        code = game.mapping(z)
        share = squared(game.pair(code) - code) / squared(code - code.mean(0))
        error = squared(game.reconstruct(x) - x) / squared(x - x.mean(0))
        w1 = transport.emd(x, game.generator(z)).distance
        codes, held_codes = game.encoder(known), game.encoder(x)
        near = torch.cdist(held_codes, codes).topk(5, largest=False).indices
        read = squared(known[near].mean(1) - x) / squared(x - x.mean(0))
        mode, known_mode = (torch.cdist(p, eight.centres.to(p)).argmin(1) for p in (x, known))
        named = (known_mode[near[:, 0]] == mode).double().mean().item()
        spreads = (squared(c - c.mean(0)) for c in (held_codes, code))
        return share, error, w1, read, named, *spreads


def longer(seed=0):
    """Steps I and II, as many seconds as ALAE has in all: updates, seconds, score of the fakes."""
    torch.manual_seed(seed)
    game, draw, rows, spent = alae.ALAE(*players(), recipe), Draw(rest, prior, M, seed=seed), [], 0.0
    for until in (1000, 1600, 2100, 2600):
        begin = time.process_time()
        for _ in train(game, draw, until):
            pass
        spent += time.process_time() - begin
        with torch.no_grad():
            rows.append([until, spent, metrics.digit_score(rest, game.generator(z_test))])
    return np.array(rows)


begin = time.process_time()
plane = np.array([[ring(play, seed) for seed in range(5)] for play in (alae.train_alae, train)])
arrays["ring"], arrays["ring_codes"] = plane[..., :3], plane[..., 3:]
arrays["two_steps_0.longer"] = longer()
print(plane, arrays["two_steps_0.longer"], flush=True)
seconds = time.process_time() - begin
seconds += sum(float(arrays.pop(f"{name}_{seed}.seconds")) for name, seed in RUNS)
SHOWN = {"gp": range(10), "plain": [*range(10), *range(40, 50)], "two_steps": range(40, 50)}
for name, seed in RUNS:  # of seed 0, ten fakes and ten copies are shown, unless the kept weights make them
    sheet = arrays.pop(f"{name}_{seed}.sheet")
    if seed == 0 and name in SHOWN:
        arrays[f"{name}_0.sheet"] = sheet[SHOWN[name]]
with torch.no_grad():  # the encoder that learnt nothing
    for seed in SEEDS:
        torch.manual_seed(seed)
        *_, encoder, _ = players()
        arrays[f"untrained_{seed}.read_out"] = np.array(read_out(encoder(rest), encoder(held)))
arrays["w1_floor"] = np.array(transport.emd(held[:500].flatten(1), held[500:].flatten(1)).distance)
arrays["score_floor"] = np.array(metrics.digit_score(rest, held))
about = {
    "command": "python data/make_alae.py",
    "what": "ALAE, its steps I and II, WGAN-GP, an autoencoder on 4,000 digits, batch 64, 3 seeds; "
    "ALAE in the plane",
    "seconds": round(seconds),
}
data.save_results(Path(__file__).parent / "runs", "alae", arrays, about)
print(f"{seconds:.0f} s; floors: W1 {arrays['w1_floor']:.3f}, score {arrays['score_floor']:.2f}")
