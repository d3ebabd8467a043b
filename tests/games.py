"""Small games that many tests play, and the comparison of their weights."""

import torch
from torch import nn

from wganlab import networks, recipes, sampling
from wganlab.training import Game

# Every recipe, by its name.
RECIPES = {name: recipe for name, recipe in vars(recipes).items() if isinstance(recipe, recipes.Recipe)}


def new_players(seed: int = 0, *, hidden=(16, 16), spectral: bool = False) -> tuple[nn.Module, nn.Module]:
    """A generator and a critic for the plane, decided by the seed."""
    torch.manual_seed(seed)
    critic = networks.mlp(2, 1, hidden=hidden)
    return networks.mlp(2, 2, hidden=hidden), networks.spectral(critic) if spectral else critic


def new_game(recipe: recipes.Recipe = recipes.wgan_gp, seed: int = 0, *, hidden=(16, 16)) -> Game:
    """A game of new players; sn_gan gets the critic that it needs."""
    return Game(*new_players(seed, hidden=hidden, spectral=recipe is recipes.sn_gan), recipe)


def new_draw(seed: int = 0, m: int = 32, **kwargs) -> sampling.Draw:
    """Eight Gaussians and a normal prior."""
    return sampling.Draw(sampling.ring(), sampling.normal(2), m, seed=seed, **kwargs)


def weights_of(*players: nn.Module) -> list[torch.Tensor]:
    """Copies of the players' weights and buffers."""
    return [value.detach().clone() for player in players for value in player.state_dict().values()]


def equal(these, those) -> bool:
    """Whether two lists of tensors are the same to the last bit."""
    return all(torch.equal(a, b) for a, b in zip(these, those, strict=True))
