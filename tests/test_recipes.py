"""Each number of a recipe is the one that its paper prints."""

from dataclasses import FrozenInstanceError, replace

import pytest
import torch
from torch import nn

from wganlab import objectives, recipes
from wganlab.constraints import Constraint, GradientPenalty, WeightClipping
from wganlab.errors import InputError
from wganlab.recipes import Recipe

NAMES = [name for name, value in vars(recipes).items() if isinstance(value, Recipe)]
every_recipe = pytest.mark.parametrize("name", NAMES)


def optimizer(make):
    """The optimizer that a recipe makes, its kind and its numbers."""
    made = make([nn.Parameter(torch.zeros(1))])
    return type(made).__name__, {
        key: made.defaults[key] for key in ("lr", "betas", "alpha") if key in made.defaults
    }


def test_all_recipes_are_looked_at_here():
    ours = {"wgan_gp_digits", "wgan_gp_toy"}
    assert set(NAMES) == {"gan", "dcgan", "wgan", "wgan_gp", "wgan_gp_resnet", "wgan_lp", "sn_gan"} | ours


def test_gan():
    """Goodfellow et al. 2014, Algorithm 1 with k = 1, section 3; Adam of Radford et al. 2016, section 4."""
    assert recipes.gan.objective is objectives.non_saturating
    assert type(recipes.gan.constraint) is Constraint
    assert recipes.gan.n_critic == 1
    assert optimizer(recipes.gan.optimizer) == ("Adam", {"lr": 2e-4, "betas": (0.5, 0.999)})


def test_dcgan_is_gan_with_other_players():
    """Radford et al. 2016, section 4: Adam, learning rate 0.0002, beta_1 = 0.5."""
    assert recipes.dcgan is recipes.gan
    assert optimizer(recipes.dcgan.optimizer) == ("Adam", {"lr": 0.0002, "betas": (0.5, 0.999)})


def test_wgan_gp_resnet():
    """gan_cifar_resnet.py: LR = 2e-4, beta1=0., beta2=0.9, N_CRITIC = 5, 10*mean((slopes-1.)**2)."""
    found, paper = recipes.wgan_gp_resnet, recipes.wgan_gp
    assert (found.objective, found.constraint, found.n_critic) == (paper.objective, GradientPenalty(10.0), 5)
    assert optimizer(found.optimizer) == ("Adam", {"lr": 2e-4, "betas": (0.0, 0.9)})
    assert found.generator_optimizer is None


def test_wgan():
    """Arjovsky et al. 2017, Algorithm 1: alpha = 0.00005, c = 0.01, n_critic = 5, RMSProp."""
    assert recipes.wgan.objective is objectives.wasserstein
    assert recipes.wgan.constraint == WeightClipping(0.01)
    assert recipes.wgan.n_critic == 5
    assert optimizer(recipes.wgan.optimizer) == ("RMSprop", {"lr": 5e-5, "alpha": 0.99})


def test_wgan_gp():
    """Gulrajani et al. 2017, Algorithm 1: lambda = 10, n_critic = 5, alpha = 0.0001, beta = (0, 0.9)."""
    assert recipes.wgan_gp.objective is objectives.wasserstein
    assert recipes.wgan_gp.constraint == GradientPenalty(10.0, one_sided=False)
    assert recipes.wgan_gp.n_critic == 5
    assert optimizer(recipes.wgan_gp.optimizer) == ("Adam", {"lr": 1e-4, "betas": (0.0, 0.9)})


def test_wgan_lp_is_wgan_gp_but_for_one_word():
    """Petzka et al. 2018: slopes below 1 cost nothing."""
    assert recipes.wgan_lp.constraint == GradientPenalty(10.0, one_sided=True)
    same = replace(recipes.wgan_lp, constraint=recipes.wgan_gp.constraint)
    assert (same.objective, same.n_critic, same.generator_optimizer) == (objectives.wasserstein, 5, None)
    assert optimizer(same.optimizer) == optimizer(recipes.wgan_gp.optimizer)


def test_sn_gan():
    """Miyato et al. 2018, equations 16 and 17: hinge; Adam 2e-4, (0, 0.9), 5 critic updates."""
    assert recipes.sn_gan.objective is objectives.hinge
    assert type(recipes.sn_gan.constraint) is Constraint
    assert recipes.sn_gan.n_critic == 5
    assert optimizer(recipes.sn_gan.optimizer) == ("Adam", {"lr": 2e-4, "betas": (0.0, 0.9)})


def test_our_own_recipes_say_how_they_depart():
    """Digits: n_critic 2 for 5, rates 20 and 10 times larger. Toy: lambda 0.1, rate 10 times larger."""
    digits, toy, paper = recipes.wgan_gp_digits, recipes.wgan_gp_toy, recipes.wgan_gp
    kind, numbers = optimizer(paper.optimizer)
    assert (digits.objective, digits.constraint, digits.n_critic) == (paper.objective, paper.constraint, 2)
    assert optimizer(digits.optimizer) == (kind, numbers | {"lr": pytest.approx(20 * numbers["lr"])})
    assert optimizer(digits.generator_optimizer) == (
        kind,
        numbers | {"lr": pytest.approx(10 * numbers["lr"])},
    )
    assert (toy.objective, toy.constraint, toy.n_critic) == (paper.objective, GradientPenalty(0.1), 5)
    assert optimizer(toy.optimizer) == (kind, numbers | {"lr": pytest.approx(10 * numbers["lr"])})


@pytest.mark.parametrize("name", ["gan", "wgan", "wgan_gp", "wgan_gp_toy"])
def test_both_players_of_a_paper_have_one_kind_of_optimizer(name):
    assert getattr(recipes, name).generator_optimizer is None


@every_recipe
def test_a_recipe_names_itself_without_addresses(name):
    text = repr(getattr(recipes, name))
    assert " at 0x" not in text
    assert text != repr(replace(getattr(recipes, name), n_critic=7))


def test_recipes_differ():
    assert len({repr(getattr(recipes, name)) for name in NAMES}) == len(NAMES) - 1  # dcgan is gan


@every_recipe
def test_its_optimizer_descends(name):
    """A first step goes against the sign of the gradient, by the rate (Adam) or ten times it (RMSprop)."""
    recipe = getattr(recipes, name)
    for make in filter(None, (recipe.optimizer, recipe.generator_optimizer)):
        weight = nn.Parameter(torch.tensor([1.0, -1.0]))
        made = make([weight])
        weight.square().sum().backward()
        made.step()
        rate = made.defaults["lr"] * (10 if isinstance(made, torch.optim.RMSprop) else 1)
        assert (weight.detach() - torch.tensor([1.0, -1.0])).tolist() == pytest.approx(
            [-rate, rate], rel=1e-2
        )


def test_a_variation_changes_one_thing_and_a_recipe_cannot_change():
    varied = replace(recipes.wgan_gp, constraint=WeightClipping(0.1))
    assert varied.constraint.c == 0.1
    assert (varied.objective, varied.optimizer, varied.n_critic) == (
        recipes.wgan_gp.objective,
        recipes.wgan_gp.optimizer,
        5,
    )
    assert recipes.wgan_gp.constraint == GradientPenalty(10.0)
    with pytest.raises(FrozenInstanceError):
        recipes.wgan_gp.n_critic = 1


@pytest.mark.parametrize("n_critic", [0, -1, 2.0, "5", None])
def test_refuses_a_number_of_critic_updates_that_is_none(n_critic):
    with pytest.raises(InputError, match=f"n_critic >= 1 critic updates .* got {n_critic!r}. WGAN uses 5"):
        replace(recipes.wgan, n_critic=n_critic)
