"""Samplers have the authors' constants and no state; a Draw is a pure function of (seed, step, t)."""

import math

import numpy as np
import pytest
import torch

from wganlab.errors import InputError
from wganlab.sampling import Draw, empirical, grid, normal, parallel_line, ring, swiss_roll

ROWS = torch.arange(12.0).reshape(6, 2)
SAMPLERS = {
    "ring": ring(),
    "grid": grid(),
    "swiss_roll": swiss_roll(),
    "parallel_line": parallel_line(0.5),
    "normal": normal(2),
    "empirical": empirical(ROWS),
}
every_sampler = pytest.mark.parametrize("sampler", SAMPLERS.values(), ids=SAMPLERS)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


# Samplers


@every_sampler
def test_the_same_generator_state_gives_the_same_points(sampler):
    for n in (1, 5):
        first = sampler(n, rng(3))
        assert torch.equal(first, sampler(n, rng(3)))
        assert first.shape == (n, 2)
        assert first.dtype == torch.float32
        assert torch.isfinite(first).all()
    assert not torch.equal(sampler(6, rng(3)), sampler(6, rng(4)))
    source = rng(3)
    assert not torch.equal(sampler(6, source), sampler(6, source))  # the stream moves on


@every_sampler
def test_no_global_generator_is_touched(sampler):
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    sampler(6, rng())
    Draw(sampler, normal(2), 4)(0, 0)
    assert torch.equal(before[0], torch.get_rng_state())
    assert (before[1] == np.random.get_state()[1]).all()  # noqa: NPY002


def residuals(sampler, n=40_000):
    """Points less their nearest centre, and how many points each centre has."""
    x = sampler(n, rng()).double()
    nearest = torch.cdist(x, sampler.centres.double()).argmin(1)
    return x - sampler.centres[nearest], nearest.bincount(minlength=len(sampler.centres)) / n


def test_the_ring_of_the_authors():
    """8 centres on a circle of radius 2, noise 0.02, all divided by 1.414."""
    angles = [2 * math.pi * k / 8 for k in range(8)]
    expected = torch.tensor([[2 / 1.414 * math.cos(t), 2 / 1.414 * math.sin(t)] for t in angles])
    assert torch.allclose(ring().centres, expected, atol=1e-6)
    noise, share = residuals(ring())
    assert noise.std(0).tolist() == pytest.approx([0.02 / 1.414] * 2, rel=0.02)
    assert noise.mean(0).tolist() == pytest.approx([0, 0], abs=4e-4)
    assert share.tolist() == pytest.approx([1 / 8] * 8, abs=0.01)


def test_the_grid_of_the_authors():
    """25 centres at (2 i, 2 j) for i, j in -2..2, noise 0.05, all divided by 2.828."""
    expected = {(2 * i / 2.828, 2 * j / 2.828) for i in range(-2, 3) for j in range(-2, 3)}
    found = grid().centres
    assert len(found) == 25
    assert all(min(math.dist(c, e) for e in expected) < 1e-6 for c in found.tolist())
    assert len({tuple(c) for c in found.tolist()}) == 25
    noise, share = residuals(grid())
    assert noise.std(0).tolist() == pytest.approx([0.05 / 2.828] * 2, rel=0.02)
    assert share.tolist() == pytest.approx([1 / 25] * 25, abs=0.005)


def test_the_swiss_roll_of_the_authors():
    """(t cos t, t sin t) / 7.5 with t uniform on [3 pi / 2, 9 pi / 2], noise 0.25 before the division."""
    n = 100_000
    clean, noisy = swiss_roll(noise=0.0)(n, rng()).double(), swiss_roll()(n, rng()).double()
    noise = noisy - clean  # one generator, so one t for each row
    assert noise.std(0).tolist() == pytest.approx([0.25 / 7.5] * 2, rel=0.02)
    t = 7.5 * clean.norm(dim=1)
    assert t.min().item() == pytest.approx(1.5 * math.pi, abs=1e-2)
    assert t.max().item() == pytest.approx(4.5 * math.pi, abs=1e-2)
    assert t.mean().item() == pytest.approx(3 * math.pi, abs=0.05)
    assert t.std().item() == pytest.approx(3 * math.pi / math.sqrt(12), rel=0.02)
    on_the_spiral = torch.stack([t * t.cos(), t * t.sin()], dim=1) / 7.5
    assert torch.allclose(clean, on_the_spiral, atol=1e-4)


def test_other_sizes_of_the_toys():
    assert ring(3, radius=2.0).centres.norm(dim=1).tolist() == pytest.approx([2] * 3)
    assert grid(2, gap=1.0).centres.tolist() == [[-0.5, -0.5], [-0.5, 0.5], [0.5, -0.5], [0.5, 0.5]]
    assert grid(1).centres.tolist() == [[0, 0]]
    assert torch.equal(ring(1, radius=1.0, std=0.0)(3, rng()), torch.tensor([[1.0, 0.0]] * 3))


def test_a_line_is_uniform_in_its_height():
    x = parallel_line(-0.25)(40_000, rng())
    assert (x[:, 0] == -0.25).all()
    height = x[:, 1].sort().values
    assert (height - (torch.arange(40_000) + 0.5) / 40_000).abs().max() < 0.01  # Kolmogorov-Smirnov
    assert height.min() >= 0
    assert height.max() <= 1


def test_the_prior_is_standard_normal():
    z = normal(3)(50_000, rng()).double()
    assert z.mean(0).tolist() == pytest.approx([0] * 3, abs=0.02)
    assert torch.allclose(z.T.cov(), torch.eye(3, dtype=torch.float64), atol=0.03)


def test_empirical_draws_whole_rows_with_replacement():
    x = empirical(ROWS)(6, rng())
    assert {tuple(row) for row in x.tolist()} <= {tuple(row) for row in ROWS.tolist()}
    drawn = torch.cat([empirical(ROWS)(6, rng(seed)) for seed in range(2000)])
    share = (drawn[:, 0] / 2).long().bincount() / len(drawn)
    assert share.tolist() == pytest.approx([1 / 6] * 6, abs=0.02)
    assert any(len(empirical(ROWS)(6, rng(seed)).unique(dim=0)) < 6 for seed in range(5))
    assert empirical(torch.zeros(4, 1, 28, 28))(3, rng()).shape == (3, 1, 28, 28)


REFUSALS = {
    "ring": (lambda: ring(0), "ring needs at least one mode, got 0"),
    "grid": (lambda: grid(0), "grid needs at least one point a side, got 0"),
    "normal": (lambda: normal(0), "normal needs a dimension >= 1, got 0"),
    "rows of integers": (
        lambda: empirical(torch.ones(3, 2, dtype=torch.uint8)),
        r"one point a row, \(N, \.\.\.\), got torch.uint8 \(3, 2\)",
    ),
    "vector": (lambda: empirical(torch.ones(3)), r"one point a row, .* got torch.float32 \(3,\)"),
    "array": (lambda: empirical(np.ones((3, 2))), "needs a tensor of real numbers .* got ndarray"),
    "nan": (
        lambda: empirical(torch.tensor([[0.0], [math.nan]])),
        "needs finite rows, but row 1 has NaN or infinity. Remove it",
    ),
    "inf": (lambda: empirical(torch.tensor([[math.inf]])), "but row 0 has NaN"),
    "batch": (
        lambda: empirical(ROWS)(7, rng()),
        "A batch of 7 is larger than the data, which has 6 rows. Take a smaller batch",
    ),
}


@pytest.mark.parametrize(("call", "message"), REFUSALS.values(), ids=REFUSALS)
def test_samplers_refuse(call, message):
    with pytest.raises(InputError, match=message):
        call()


# Draw


def test_a_draw_is_a_pure_function_of_seed_step_and_t():
    draw, again = (Draw(ring(), normal(3), 8, seed=5) for _ in range(2))
    keys = [(0, 0), (0, 1), (1, 0), (7, 4)]
    forwards = {key: draw(*key) for key in keys}
    for key in reversed(keys):  # another order, another object
        for one, other in zip(forwards[key], again(*key), strict=True):
            assert torch.equal(one, other)
    assert torch.equal(draw.latent(3), again.latent(3))


def test_every_key_has_its_own_numbers():
    draws = [Draw(ring(), normal(3), 8, seed=seed) for seed in (0, 1)]
    latents = [draw(step, t)[1] for draw in draws for step in range(4) for t in range(4)]
    latents += [draw.latent(step) for draw in draws for step in range(4)]
    assert len({tuple(z.flatten().tolist()) for z in latents}) == len(latents) == 40
    x, z, _ = Draw(normal(3), normal(3), 8)(0, 0)
    assert not torch.equal(x, z)
    still = Draw(lambda n, rng: torch.zeros(n, 2), normal(3), 8)  # uses no random number
    assert all(not torch.equal(still(0, t)[1], still.latent(0)) for t in range(5))


def test_shapes_and_the_law_of_eps():
    x, z, eps = Draw(torch.zeros(20_000, 1, 2, 2), normal(3), 20_000)(0, 0)
    assert (x.shape, z.shape, eps.shape) == ((20_000, 1, 2, 2), (20_000, 3), (20_000,))
    assert eps.min() >= 0
    assert eps.max() < 1
    assert (eps.sort().values - (torch.arange(20_000) + 0.5) / 20_000).abs().max() < 0.015
    assert np.corrcoef(eps, z[:, 0])[0, 1] == pytest.approx(0, abs=0.03)


@pytest.mark.parametrize(("m", "world"), [(12, 2), (12, 3), (12, 6), (13, 4), (5, 3), (4, 4)])
def test_the_rows_of_all_ranks_are_the_joint_batch(m, world):
    joint = Draw(ring(), normal(3), m, seed=2)
    ranks = [Draw(ring(), normal(3), m, seed=2, rank=rank, world=world) for rank in range(world)]
    for step, t in ((0, 0), (5, 3)):
        for part, whole in zip(
            zip(*(draw(step, t) for draw in ranks), strict=True), joint(step, t), strict=True
        ):
            assert {len(rows) for rows in part} <= {m // world, -(-m // world)}  # as even as can be
            assert torch.equal(torch.cat(part), whole)
        assert torch.equal(torch.cat([draw.latent(step) for draw in ranks]), joint.latent(step))


def test_a_tensor_stands_for_its_empirical_law():
    one, other = Draw(ROWS, normal(2), 4), Draw(empirical(ROWS), normal(2), 4)
    assert all(torch.equal(a, b) for a, b in zip(one(1, 2), other(1, 2), strict=True))
    assert Draw(ring(), ROWS, 4)(0, 0)[1].shape == (4, 2)


def test_large_seeds_and_steps():
    draw = Draw(ring(), normal(2), 2, seed=2**62)
    assert not torch.equal(draw.latent(0), draw.latent(2**31))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((5, 1, 7), (2**32 + 5, 7, 0)),
        ((5, 1, 7), (2**32 + 5, 1, 7)),
        ((0, 0, 0), (2**32, 0, 0)),
        ((2**32 + 5, 1, 7), (2**64 + 5, 1, 7)),
        ((2**32 + 5, 2, 7), (2 * 2**32 + 5, 1, 7)),
    ],
)
def test_seeds_that_are_longer_than_a_word_have_streams_of_their_own(one, other):
    first, second = (
        Draw(ring(), normal(2), 2, seed=seed).rng(*key).initial_seed() for seed, *key in (one, other)
    )
    assert first != second


def test_seeds_below_2_32_are_numpy_s():
    word = int(np.random.SeedSequence([5, 3, 1]).generate_state(1, np.uint64)[0])
    assert Draw(ring(), normal(2), 2, seed=5).rng(3, 1).initial_seed() == word


def test_arrays_and_numpy_s_numbers_will_do():
    rows = ROWS.numpy()
    one = Draw(ROWS, ROWS, 4, seed=3)
    other = Draw(rows, rows, np.int64(4), seed=np.uint32(3))
    assert all(map(torch.equal, one(1, 2), other(np.int32(1), np.int64(2))))
    with pytest.raises(InputError, match="with one point a row.* got torch.int64"):
        Draw(np.arange(8).reshape(4, 2), rows, 4)


@pytest.mark.parametrize("key", [(-1, 0), (2**32, 0), (0, 2**32), (1.5, 0)])
def test_a_draw_refuses_steps_that_are_none(key):
    with pytest.raises(InputError, match=r"whole numbers from 0 to 2\^32 - 1 for step and t, got"):
        Draw(ring(), normal(2), 2)(*key)


def nan_sampler(n, rng):
    return torch.full((n, 2), math.nan)


def last_is_nan(n, rng):
    return torch.cat([torch.zeros(n - 1, 2), nan_sampler(1, rng)])


DRAWS = {
    "m = 0": ({"m": 0}, "m >= 1 rows for each of 1 ranks, got m = 0"),
    "m negative": ({"m": -2}, "got m = -2"),
    "m real": ({"m": 4.0}, "got m = 4.0"),
    "m < world": ({"m": 2, "world": 3}, "m >= 1 rows for each of 3 ranks, got m = 2"),
    "world 0": ({"world": 0}, "for each of 0 ranks"),
    "rank = world": ({"rank": 2, "world": 2}, "0 <= rank < world and seed >= 0, got rank 2, world 2"),
    "rank negative": ({"rank": -1, "world": 2}, "got rank -1, world 2"),
    "seed": ({"seed": -1}, "seed >= 0, got rank 0, world 1, seed -1"),
    "seed real": ({"seed": 1.5}, "seed >= 0, got rank 0, world 1, seed 1.5"),
    "batch": ({"real": ROWS, "m": 8}, "A batch of 8 is larger than the data, which has 6 rows"),
    "nan rows": ({"real": torch.full((9, 2), math.nan)}, "row 0 has NaN"),
    "nan real": ({"real": nan_sampler}, "The sampler 'real' gives NaN or infinity"),
    "nan prior": ({"prior": nan_sampler}, "The sampler 'prior' gives NaN or infinity"),
    "nan for another rank": ({"real": last_is_nan, "world": 2}, "The sampler 'real' gives NaN"),
    "too many rows": ({"real": lambda n, rng: torch.zeros(n + 1, 2)}, "gave 5 rows where 4 were asked for"),
    "too few rows": ({"prior": lambda n, rng: torch.zeros(n - 1, 2)}, "'prior' gave 3 rows where 4 were"),
    "integers": ({"real": torch.ones(9, 2, dtype=torch.uint8)}, "got torch.uint8"),
}


@pytest.mark.parametrize(("change", "message"), DRAWS.values(), ids=DRAWS)
def test_draw_refuses(change, message):
    with pytest.raises(InputError, match=message):
        Draw(**{"real": ring(), "prior": normal(2), "m": 4} | change)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU that PyTorch can use")
@pytest.mark.parametrize("real", [ring(), grid(), swiss_roll(), ROWS], ids=["ring", "grid", "roll", "rows"])
def test_a_draw_on_the_gpu_stays_there(real):
    draw = Draw(real, normal(3), 6, device="cuda")
    batch = (*draw(0, 0), draw.latent(0))
    assert {part.device.type for part in batch} == {"cuda"}
    for one, other in zip(batch, (*draw(0, 0), draw.latent(0)), strict=True):
        assert torch.equal(one, other)


def test_a_sampler_that_gives_too_few_rows_is_found_before_the_first_step():
    with pytest.raises(InputError, match="'real' gave 3 rows where 4 were asked for"):
        Draw(lambda n, rng: torch.zeros(n - 1, 2), normal(2), 4)
