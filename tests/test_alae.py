"""The adversarial latent autoencoder: its losses in closed form, its three steps by hand, and its state."""

import math
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn.functional import softplus

from wganlab import alae, checkpoints, networks, recipes, sampling
from wganlab.alae import ALAE, ALAEStep, train_alae
from wganlab.constraints import R1
from wganlab.errors import DivergenceError, InputError

CODE, LATENT, ROW = 3, 4, 5
DRAW = sampling.Draw(sampling.normal(ROW), sampling.normal(LATENT), 8, seed=2)


def players(seed=0):
    torch.manual_seed(seed)
    make = partial(networks.mlp, hidden=(6,), slope=0.2)
    return make(LATENT, CODE), make(CODE, ROW), make(ROW, CODE), make(CODE, 1)


class Score(nn.Module):
    """Rows to the sum of rows times a, plus b."""

    def __init__(self, a, b=0.0):
        super().__init__()
        self.a = nn.Parameter(torch.tensor(a))
        self.b = b

    def forward(self, x):
        return x @ self.a + self.b


def test_losses_at_zero_logits_are_2_ln_2_and_ln_2():
    game = ALAE(*players()[:3], Score([0.0] * CODE))
    x, z, eps = DRAW(0, 0)
    loss, penalty, _ = game.critic_gradient(x, z, eps)
    other, _ = game.generator_gradient(z)
    assert loss.item() == pytest.approx(2 * math.log(2), rel=1e-6)
    assert penalty.item() == 0
    assert other.item() == pytest.approx(math.log(2), rel=1e-6)


def test_loss_at_given_scores():
    """D = 1 at the fake, 2 at the real: softplus(1) + softplus(-2)."""
    objective = alae.recipe.objective
    ones = torch.ones(4, dtype=torch.float64)
    assert objective.critic(2 * ones, ones).item() == pytest.approx(1.4401896985611953, rel=1e-15)


def test_the_penalty_of_a_linear_critic():
    """Slope 5, gamma 10: 10/2 * 25; through the encoder, in the picture."""
    game = ALAE(nn.Linear(LATENT, 2), nn.Linear(2, 2), nn.Linear(2, 2, bias=False), Score([3.0, 4.0]))
    game.encoder.weight.data = torch.eye(2)
    _, penalty, _ = game.critic_gradient(torch.randn(8, 2), torch.randn(8, LATENT), torch.rand(8))
    assert penalty.item() == pytest.approx(125, rel=1e-6)
    game.encoder.weight.data = 2 * torch.eye(2)
    _, penalty, _ = game.critic_gradient(torch.randn(8, 2), torch.randn(8, LATENT), torch.rand(8))
    assert penalty.item() == pytest.approx(500, rel=1e-6)


def test_reciprocity_is_the_squared_norm_of_codes():
    """F(z) = z, G doubles, E adds one: |z - (2 z + 1)|^2 = |z + 1|^2, summed over 2 coordinates."""
    parts = [nn.Linear(2, 2) for _ in range(3)]
    for part, a, b in zip(parts, (1, 2, 1), (0, 0, 1), strict=True):
        part.weight.data, part.bias.data = a * torch.eye(2), b * torch.ones(2)
    z = torch.tensor([[1.0, 2.0], [0.0, -1.0]])
    loss, gradient = ALAE(*parts, Score([1.0, 1.0])).latent_gradient(z)
    assert loss.item() == (4 + 9 + 1 + 0) / 2
    # of G's bias: -2 (z - 2 z - 1), the mean over rows, through E's identity; F has no gradient
    assert len(gradient) == 4
    assert torch.equal(gradient[1], 2 * (z + 1).mean(0))


def by_hand(mapping, decoder, encoder, head, steps, lr=2e-4):
    """Algorithm 1 of Pidhorskyi et al. 2020, typed from the page."""
    adam = partial(torch.optim.Adam, lr=lr, betas=(0.0, 0.99), fused=True)
    ed = adam([*encoder.parameters(), *head.parameters()])
    fg = adam([*mapping.parameters(), *decoder.parameters()])
    eg = adam([*decoder.parameters(), *encoder.parameters()])
    for step in range(steps):
        x, z, _ = DRAW(step, 0)
        f_x, f_fake = head(encoder(x)), head(encoder(decoder(mapping(z)).detach()))
        loss = softplus(f_fake).mean() + softplus(-f_x).mean()
        x.requires_grad_()
        (slope,) = torch.autograd.grad(head(encoder(x)).sum(), x, create_graph=True)
        loss = loss + 10 / 2 * slope.square().sum(1).mean()
        ed.zero_grad()
        loss.backward()
        ed.step()
        z = DRAW.latent(step)
        fg.zero_grad()
        softplus(-head(encoder(decoder(mapping(z))))).mean().backward()
        fg.step()
        _, z, _ = DRAW(step, 1)
        code = mapping(z).detach()
        eg.zero_grad()
        (code - encoder(decoder(code))).square().sum(1).mean().backward()
        eg.step()


def test_the_library_s_loop_is_the_one_by_hand():
    mine, theirs = players(), players()
    by_hand(*mine, steps=6)
    (*_, last) = train_alae(ALAE(*theirs), DRAW, 6)
    assert last.index == 6
    for a, b in zip(mine, theirs, strict=True):
        assert all(torch.equal(v, w) for v, w in zip(a.parameters(), b.parameters(), strict=True))


def test_each_step_moves_its_players_only():
    game = ALAE(*players())
    x, z, eps = DRAW(0, 0)
    for step, moved in (
        (lambda: game.critic_step(x, z, eps), "ED"),
        (lambda: game.generator_step(z), "FG"),
        (lambda: game.latent_step(z), "EG"),
    ):
        parts = {"F": game.mapping, "G": game.decoder, "E": game.encoder, "D": game.discriminator}
        before = {name: [w.clone() for w in part.parameters()] for name, part in parts.items()}
        step()
        changed = {
            name
            for name, part in parts.items()
            if not all(torch.equal(v, w) for v, w in zip(before[name], part.parameters(), strict=True))
        }
        assert changed == set(moved)


def test_a_run_that_was_saved_and_loaded_goes_on_bit_for_bit(tmp_path):
    whole, first, second = (ALAE(*players(seed)) for seed in (0, 0, 1))
    (*_, wanted) = train_alae(whole, DRAW, 7)
    list(train_alae(first, DRAW, 3))
    checkpoints.save(tmp_path / "run.wgan", first)
    checkpoints.load(tmp_path / "run.wgan", second)
    (*_, found) = train_alae(second, DRAW, 7)
    assert torch.equal(torch.stack(wanted[1:]), torch.stack(found[1:]))
    for name in ("generator", "critic"):
        pairs = zip(getattr(whole, name).parameters(), getattr(second, name).parameters(), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.slow
def test_reciprocity_falls_and_pictures_come_back():
    """Points on a line in the plane: the third step makes E undo G, and no step compares pictures."""
    torch.manual_seed(0)
    make = partial(networks.mlp, hidden=(32, 32), slope=0.2)
    faster = replace(alae.recipe, optimizer=partial(recipes.adam, lr=2e-3, betas=(0.0, 0.99)))
    game = ALAE(make(2, 2), make(2, 2), make(2, 2), make(2, 1), faster)
    draw = sampling.Draw(sampling.ring(), sampling.normal(2), 128)
    x = draw(10**6)[0]
    steps = [step.latent_loss.item() for step in train_alae(game, draw, 1500)]
    baseline = (x - x.mean(0)).square().sum(1).mean().item()
    error = (game.reconstruct(x) - x).square().sum(1).mean().item()
    assert sum(steps[-50:]) < 0.2 * sum(steps[:50])
    assert error < 0.25 * baseline


def test_bad_input():
    mapping, decoder, encoder, head = players()
    with pytest.raises(InputError, match=r"codes of the mapping's shape, \(8, 3\), but it gives \(8, 2\)"):
        ALAE(mapping, decoder, networks.mlp(ROW, 2), Score([0.0, 0.0])).latent_gradient(DRAW.latent(0))
    with pytest.raises(InputError, match="until a number of generator updates >= 0, got -1"):
        train_alae(ALAE(mapping, decoder, encoder, head), DRAW, -1)
    with pytest.raises(InputError, match="The pair of encoder and decoder has no weights"):
        ALAE(mapping, nn.Identity(), nn.Identity(), head)
    head.append(nn.Unflatten(0, (-1, 1)))
    with pytest.raises(InputError, match="one score a row"):
        list(train_alae(ALAE(mapping, decoder, encoder, head), DRAW, 1))


def test_a_loss_that_is_not_finite_names_its_step():
    game = ALAE(*players())
    game.decoder[0].weight.data.fill_(float("inf"))
    with pytest.raises(DivergenceError, match="diverged at step 1: .*latent loss nan"):
        list(train_alae(game, DRAW, 1))


def test_a_step_has_the_names_of_a_step():
    assert ALAEStep._fields[:4] == ("index", "critic_loss", "penalty", "generator_loss")
    assert isinstance(alae.recipe.constraint, R1)
