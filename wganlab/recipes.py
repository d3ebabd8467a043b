"""The "Require:" lines of each paper: a ``Recipe`` is everything in which they differ.

To vary one number, copy a recipe: ``dataclasses.replace(wgan_gp, n_critic=1)``. The batch
size m belongs to the ``Draw``; the papers' values are named below.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial

from torch import Tensor
from torch.optim import Adam, Optimizer, RMSprop

from .constraints import Constraint, GradientPenalty, WeightClipping
from .errors import InputError
from .objectives import Objective, hinge, non_saturating, wasserstein

__all__ = ["Recipe", "adam", "dcgan", "gan", "sn_gan", "wgan"]
__all__ += ["wgan_gp", "wgan_gp_digits", "wgan_gp_resnet", "wgan_gp_toy", "wgan_lp"]

MakeOptimizer = Callable[[Iterable[Tensor]], Optimizer]


@dataclass(frozen=True)
class Recipe:
    """An objective, a constraint, the players' optimizers, and n_critic.

    ``optimizer`` is called with the weights of the critic, and with those of the generator
    too unless ``generator_optimizer`` says otherwise. Raises ``InputError`` if n_critic is
    not a whole number >= 1.

    >>> from dataclasses import replace
    >>> replace(wgan_gp, n_critic=1).n_critic
    1
    """

    objective: Objective
    constraint: Constraint
    optimizer: MakeOptimizer
    n_critic: int = 1
    generator_optimizer: MakeOptimizer | None = None

    def __post_init__(self):
        if not isinstance(self.n_critic, int) or self.n_critic < 1:
            raise InputError(f"Take n_critic >= 1 critic updates a turn, got {self.n_critic!r}. WGAN uses 5.")


# `fused` asks PyTorch for one kernel per Adam step: the same formula, less overhead.
adam = partial(Adam, fused=True)

# Goodfellow et al. 2014: Algorithm 1 with k = 1, the generator's loss of section 3, last
# paragraph. That paper gives no step size; Adam's numbers are those of Radford et al. 2016,
# section 4 (there with m = 128).
gan = Recipe(non_saturating, Constraint(), partial(adam, lr=2e-4, betas=(0.5, 0.999)), n_critic=1)

# Radford et al. 2016, section 4: Adam with lr = 2e-4 and beta_1 = 0.5 (beta_2 is Adam's 0.999), m = 128, one
# update of each player. That is the recipe above: what DCGAN changed is the players, networks.dcgan64_*.
dcgan = gan

# Arjovsky et al. 2017, Algorithm 1: alpha = 5e-5, c = 0.01, m = 64, n_critic = 5, RMSProp. Its
# line 2 counts t = 0, ..., n_critic, which is one step more than its own name says; we take
# n_critic steps, as the authors' code does. RMSProp's smoothing constant is not in the paper;
# ours is PyTorch's 0.99.
wgan = Recipe(wasserstein, WeightClipping(0.01), partial(RMSprop, lr=5e-5), n_critic=5)

# Gulrajani et al. 2017, Algorithm 1: lambda = 10, n_critic = 5, alpha = 1e-4, beta = (0, 0.9).
# Appendix E of the same text and most of the authors' scripts have beta_1 = 0.5; their toy
# script has lambda = 0.1 and m = 256.
wgan_gp = Recipe(wasserstein, GradientPenalty(10.0), partial(adam, lr=1e-4, betas=(0.0, 0.9)), n_critic=5)

# Gulrajani et al. 2017, CIFAR-10 with residual players, as the authors' gan_cifar_resnet.py has it: LR =
# 2e-4, beta = (0, 0.9), N_CRITIC = 5, lambda = 10, m = 64. The rate falls to 0 over ITERS = 100,000
# generator updates: training.linear_decay(game, 0, 100_000). Departures: there the generator's batch is 128
# (GEN_BS_MULTIPLE = 2), and pixels get uniform noise of 1/128; here z has m rows and data is as it is.
wgan_gp_resnet = replace(wgan_gp, optimizer=partial(adam, lr=2e-4, betas=(0.0, 0.9)))

# Ours, for 28x28 digits in a minute on one core, with m = 32. It departs from the paper in
# three numbers: n_critic 2 for 5, and learning rates 20 (critic) and 10 (generator) times larger.
wgan_gp_digits = replace(
    wgan_gp,
    optimizer=partial(adam, lr=2e-3, betas=(0.0, 0.9)),
    n_critic=2,
    generator_optimizer=partial(adam, lr=1e-3, betas=(0.0, 0.9)),
)

# Ours, for the toy laws in the plane in half a minute, with m = 128: the weight of the authors'
# toy script (0.1) and ten times the paper's learning rate. A small weight trains well and
# measures badly: the critic's estimate is then 2.0 to 2.6 times W1. At this rate the two-sided
# penalty fails with weights of 10 and 100; n_critic = 20 mends the first and not the second. With the
# one-sided penalty both train as well and measure better (chapter 11, three seeds).
wgan_gp_toy = replace(
    wgan_gp, constraint=GradientPenalty(0.1), optimizer=partial(adam, lr=1e-3, betas=(0.0, 0.9))
)

# Petzka et al. 2018 (WGAN-LP): the penalty counts only slopes above 1. All else is kept as in wgan_gp, so
# that the two differ in one word; the paper's own runs vary lambda.
wgan_lp = replace(wgan_gp, constraint=GradientPenalty(10.0, one_sided=True))

# Miyato et al. 2018: hinge losses (equations 16 and 17) and alpha = 2e-4, beta = (0, 0.9), n_critic = 5, m
# = 64 (the generator's batch is twice that), as the authors' configuration for CIFAR-10 has it. The
# constraint is in the critic's layers: build it with networks.spectral.
sn_gan = Recipe(hinge, Constraint(), partial(adam, lr=2e-4, betas=(0.0, 0.9)), n_critic=5)
