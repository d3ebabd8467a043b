"""Learning rates that change over a run, each a pure function of the number of turns."""

from .errors import InputError
from .training import Game


def linear_decay(game: Game, start: int, until: int) -> None:
    r"""Set each rate to :math:`\text{lr}\,\min(1, (\text{until} - t) / (\text{until} - \text{start}))`.

    t is ``game.step`` and lr the recipe's rate; from turn ``until`` on the rate is 0. Call it
    before ``train`` and after each turn. Nothing is remembered, so a resumed run has the same rates. Raises
    ``InputError`` unless 0 <= start < until.
    Source: Gulrajani et al. 2017, CIFAR-10 with residual players: start 0, until 100,000.

    >>> from wganlab import networks, recipes
    >>> game = Game(networks.mlp(2, 2), networks.mlp(2, 1), recipes.wgan_gp_resnet)
    >>> game.step = 75_000
    >>> linear_decay(game, 0, 100_000)
    >>> game.critic_optimizer.param_groups[0]["lr"]  # a quarter of 2e-4
    5e-05
    """
    if not 0 <= start < until:
        raise InputError(f"linear_decay needs 0 <= start < until, got start {start} and until {until}.")
    share = min(1.0, max(0.0, (until - game.step) / (until - start)))
    for optimizer in (game.critic_optimizer, game.generator_optimizer):
        for group in optimizer.param_groups:
            group["lr"] = share * optimizer.defaults["lr"]  # defaults are never loaded nor changed
