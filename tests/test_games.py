"""Small games: closed forms, laws of the schemes, the field against the losses that `train` uses, borders."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from wganlab.constraints import R1, GradientPenalty
from wganlab.errors import InputError
from wganlab.games import SCHEMES, SLOPES, bilinear, dirac_gan, jacobian, simulate, update_matrix
from wganlab.objectives import hinge, minimax, non_saturating, wasserstein

ORIGIN = (0.0, 0.0)
number = st.floats(-3, 3)
step_size = st.floats(0.01, 1.5)


def spectrum(field, eta=None, scheme="simultaneous"):
    """The eigenvalues at the origin, of the field or of one step; the greatest imaginary part first."""
    J = jacobian(field, ORIGIN)
    found = np.linalg.eigvals(J if eta is None else update_matrix(J, eta=eta, scheme=scheme))
    return found[np.argsort(-found.imag)]


# ---- The bilinear game in closed form


def test_the_radius_after_100_simultaneous_steps():
    path = simulate(bilinear(), (1, 1), eta=0.1, steps=100)
    assert path.shape == (101, 2)
    radius = np.hypot(*path.T)
    assert abs(radius[-1] - 2.325860627561991) < 1e-12
    assert np.allclose(radius[1:] / radius[:-1], np.sqrt(1.01), rtol=1e-14)
    turn = np.diff(np.unwrap(np.arctan2(*path.T[::-1])))
    assert np.allclose(turn, np.arctan(0.1), rtol=1e-12)


@given(number, number, step_size)
def test_alternating_steps_keep_an_ellipse(x, y, eta):
    a, b = simulate(bilinear(), (x, y), eta=eta, steps=50, scheme="alternating").T
    kept = a * a + b * b - eta * a * b
    assert np.abs(kept - kept[0]).max() <= 1e-11 * max(kept[0], 1e-12)


@given(number, number, st.floats(0.01, 0.99))
def test_extragradient_comes_closer_at_each_step(x, y, eta):
    radius = np.hypot(*simulate(bilinear(), (x, y), eta=eta, steps=20, scheme="extragradient").T)
    assert np.allclose(radius[1:], radius[:-1] * np.sqrt(1 - eta**2 + eta**4), rtol=1e-12, atol=1e-300)


def test_the_strength_is_the_speed():
    assert np.allclose(spectrum(bilinear(3.0)), [3j, -3j], atol=1e-15)


# ---- The Dirac-GAN: eigenvalues of Mescheder et al. 2018


@pytest.mark.parametrize("objective", [minimax, non_saturating])
def test_eigenvalues_of_the_gan(objective):
    assert np.allclose(spectrum(dirac_gan(objective)), [0.5j, -0.5j], atol=1e-15)
    assert np.allclose(
        spectrum(dirac_gan(objective, r1=1.0)), -0.5, atol=1e-7
    )  # critical, so ill-conditioned
    J = jacobian(dirac_gan(objective, r1=1.0), ORIGIN)
    assert J.tolist() == [[0, 0.5], [-0.5, -1]]


@given(st.floats(0, 4))
def test_eigenvalues_with_r1_and_with_noise(gamma):
    root = np.sqrt(complex(gamma**2 / 4 - 1 / 4))
    expected = np.array([-gamma / 2 + root, -gamma / 2 - root])
    found = spectrum(dirac_gan(r1=gamma))
    assert min(np.abs(found - e).max() for e in (expected, expected[::-1])) < 1e-7
    noisy = jacobian(dirac_gan(noise=np.sqrt(gamma)), ORIGIN)  # -f''(0) sigma^2 = sigma^2 / 4, for either law
    assert np.allclose(noisy, [[0, 0.5], [-0.5, -gamma / 2]], atol=1e-14)


def test_wgan_turns_and_its_clipped_critic_goes_on_turning():
    assert np.allclose(spectrum(dirac_gan(wasserstein)), [1j, -1j], atol=1e-15)
    path = simulate(
        dirac_gan(wasserstein), (1, 0), eta=0.1, steps=2000, scheme="alternating",
        project=lambda p: p.clip((-np.inf, -0.5), (np.inf, 0.5)),
    )  # fmt: skip
    assert np.abs(path[1000:, 0]).max() > 0.4
    assert np.abs(path[:, 1]).max() == 0.5


# ---- The field is that of the losses and penalties of the package


@pytest.mark.parametrize("objective", SLOPES, ids=repr)
@pytest.mark.parametrize(
    ("numbers", "constraint"),
    [({}, None), ({"r1": 1.7}, R1(1.7)), ({"weight": 2.3}, GradientPenalty(2.3))],
    ids=["bare", "R1", "WGAN-GP"],
)
@pytest.mark.parametrize("p", [(1.3, -0.7), (-2.0, 0.4), (0.2, 3.0)])
@pytest.mark.parametrize("noise", [0.0, 0.6])
def test_the_field_is_autograds(objective, numbers, constraint, p, noise):
    theta, psi = (torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in p)
    x = noise * torch.tensor([[1.0], [-1.0]], dtype=torch.float64)

    def critic(rows):
        return (psi * rows).flatten()

    fakes = theta + x
    loss = objective.critic(critic(x), critic(fakes.detach()))
    if constraint:
        loss = loss + constraint.penalty(
            critic, x, fakes.detach(), torch.full((2,), 0.5, dtype=torch.float64)
        )
    expected = [
        -torch.autograd.grad(objective.generator(critic(fakes)), theta)[0].item(),
        -torch.autograd.grad(loss, psi)[0].item(),
    ]
    assert np.allclose(dirac_gan(objective, **numbers, noise=noise)(np.array(p)), expected, rtol=1e-13)


# ---- Laws of the schemes


@pytest.mark.parametrize("scheme", SCHEMES)
@given(st.lists(number, min_size=20, max_size=20), step_size)
def test_a_linear_game_moves_by_its_matrix(scheme, numbers, eta):
    J, p = np.array(numbers[:16]).reshape(4, 4), np.array(numbers[16:])
    path = simulate(lambda q: J @ q, p, eta=eta, steps=3, scheme=scheme)
    M = update_matrix(J, eta=eta, scheme=scheme)
    expected = [p, M @ p, M @ M @ p, M @ M @ M @ p]
    assert np.allclose(path, expected, rtol=1e-9, atol=1e-9 * (1 + np.abs(expected).max()))


def test_matrices_by_hand():
    J = jacobian(dirac_gan(r1=1.0), ORIGIN)
    one, both = np.eye(2), np.diag([0.0, 1.0])
    assert np.allclose(update_matrix(J, eta=0.2), one + 0.2 * J, rtol=1e-15)
    expected = (one + 0.2 * both @ J) @ (one + 0.2 * (one - both) @ J)
    assert np.allclose(update_matrix(J, eta=0.2, scheme="alternating"), expected, rtol=1e-15)
    expected = one + 0.2 * J + 0.04 * J @ J
    assert np.allclose(update_matrix(J, eta=0.2, scheme="extragradient"), expected, rtol=1e-14)


@given(number, number, st.floats(0, 2), st.floats(0, 2))
def test_the_jacobian_is_the_derivative(theta, psi, r1, noise):
    field = dirac_gan(r1=r1, noise=noise)
    p, e = np.array([theta, psi]), np.array([0.3, -0.4])
    expected = (field(p + 1e-5 * e) - field(p - 1e-5 * e)) / 2e-5
    assert np.allclose(jacobian(field, p) @ e, expected, atol=1e-8)


def test_no_steps_are_the_start():
    assert simulate(bilinear(), (1, 2), eta=1, steps=0).tolist() == [[1, 2]]


# ---- Borders


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"eta": 0.0}, "eta = 0"),
        ({"eta": -1.0}, "eta = -1"),
        ({"eta": np.nan}, "eta"),
        ({"steps": -1}, "-1"),
        ({"steps": 2.5}, "2.5"),
        ({"scheme": "both"}, "extragradient"),
        ({"x0": (1.0, np.inf)}, "finite"),
        ({"x0": (1.0, 2.0, 3.0)}, "3 in all"),
        ({"x0": 1.0}, "vector"),
        ({"field": lambda p: p[:1]}, r"\(1,\)"),
        ({"eta": 1e3, "steps": 200}, "step 103"),
    ],
)
def test_bad_simulations_are_refused(change, says):
    given = {"field": bilinear(), "x0": (1.0, 1.0), "eta": 0.1, "steps": 3} | change
    with pytest.raises(InputError, match=says):
        simulate(given.pop("field"), given.pop("x0"), **given)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: bilinear(np.inf), "strength"),
        (lambda: dirac_gan(hinge), "non_saturating"),
        (lambda: dirac_gan(r1=-1), "-1"),
        (lambda: dirac_gan(noise=np.nan), "noise"),
        (lambda: jacobian(dirac_gan(weight=1.0), ORIGIN), "kinks"),
        (lambda: jacobian(np.abs, (1.0, 1.0)), "kinks"),
        (lambda: jacobian(bilinear(), (1.0, 2.0, 3.0)), "3 in all"),
        (lambda: update_matrix(np.ones((2, 3)), eta=1), "square"),
        (lambda: update_matrix(np.ones((3, 3)), eta=1), "3 in all"),
        (lambda: update_matrix(np.eye(2), eta=0), "eta = 0"),
    ],
)
def test_bad_games_are_refused(call, says):
    with pytest.raises(InputError, match=says):
        call()
