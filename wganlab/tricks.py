r"""Remedies for the training of GANs: those of Salimans et al. 2016 and instance noise.

==========================  ===================================  ==========================================
remedy                      what it is here                      what it must remember, and where that is
==========================  ===================================  ==========================================
``feature_matching``        a function Game -> Game              nothing between turns
``MinibatchDiscrimination`` a layer of the critic                its weights
``historical_averaging``    a function Game -> Game              mean weights, in the game's ``state_dict``
``objectives.with_labels``  an objective                         nothing
``VirtualBatchNorm``        a layer, with ``with_reference``     the reference batch, a buffer of the player
``InstanceNoise``           a layer and a draw                   nothing: it is a function of (seed, step, t)
==========================  ===================================  ==========================================

The seventh, "a better metric", is the rest of the book. All can be used together and with ``engine.fast``:

>>> from wganlab import networks, recipes, sampling
>>> draw = sampling.Draw(sampling.ring(), sampling.normal(2), 16)
>>> generator = networks.mlp(2, 2, hidden=(8,), norm=VirtualBatchNorm)
>>> generator = with_reference(generator, draw.latent(0))
>>> critic = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), MinibatchDiscrimination(8, 4, 3), nn.Linear(12, 1))
>>> generator, draw = InstanceNoise(0.1, until=100)(generator, draw)
>>> game = Game(generator, critic.append(nn.Flatten(0)), recipes.gan)
>>> game = historical_averaging(feature_matching(game), weight=0.01)
>>> game.step
0
"""

import math
from collections.abc import Callable
from numbers import Integral
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from .constraints import check_positive
from .errors import InputError
from .sampling import Draw
from .training import Game, Gradient, parameters_of

__all__ = ["FeatureMatching", "HistoricalAveraging", "InstanceNoise", "MinibatchDiscrimination", "Trick"]
__all__ += ["VirtualBatchNorm", "feature_distance", "feature_matching", "historical_averaging"]
__all__ += ["with_reference"]

SHARED = ("generator", "critic", "recipe", "mean", "generator_optimizer", "critic_optimizer")
HISTORIES = ("critic_history", "generator_history")
STEPS = (Game.critic_step, Game.generator_step)
NOISE = 2**32 - 1  # a third word of a draw's key, which no other draw has


class Trick(Game):
    """A game around another one, ``inner``, whose players, recipe, optimizers and turns it shares.

    A subclass states its gradients by those of ``inner``, so that tricks nest, and ``engine.fast`` makes the
    game within faster. Raises ``InputError`` for a game whose gradients or steps are exchanged, by an
    acceleration or by a trick with steps of its own, which would go unheard, and for a critic alone.

    >>> from wganlab import networks, recipes
    >>> game = Game(networks.mlp(2, 2), networks.mlp(2, 1), recipes.gan)
    >>> trick = Trick(game)
    >>> game.step = 7
    >>> trick.step, trick.critic is game.critic
    (7, True)
    """

    def __init__(self, game: Game):
        name = type(self).__name__
        if not isinstance(game, Game) or game.generator_optimizer is None:
            raise InputError(f"{name} needs a Game of two players, got {type(game).__name__}.")
        if any(method in vars(game) for method in vars(Game)) or not all(own(game, step) for step in STEPS):
            raise InputError(
                f"{name} takes a game whose steps are Game's own, but this {type(game).__name__} has others. "
                f"Put historical averaging around the other tricks, and accelerations around all: "
                f"train(..., accelerate=fast)."
            )
        self.inner, self.innermost = game, getattr(game, "innermost", game)
        for part in SHARED:
            setattr(self, part, getattr(game, part))

    @property
    def step(self) -> int:
        """The number of turns so far: that of the innermost game."""
        return self.innermost.step

    @step.setter
    def step(self, step: int) -> None:
        self.innermost.step = step

    def critic_gradient(self, x: Tensor, z: Tensor, eps: Tensor) -> tuple[Tensor, Tensor, Gradient]:
        return self.inner.critic_gradient(x, z, eps)

    def generator_gradient(self, z: Tensor) -> tuple[Tensor, Gradient]:
        return self.inner.generator_gradient(z)

    def state_dict(self) -> dict[str, Any]:
        return self.inner.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.inner.load_state_dict(state)


def own(game: Game, method: Callable) -> bool:
    """Whether a game's method is the one of ``Game``."""
    return getattr(game, method.__name__) == MethodType(method, game)


def feature_distance(h_x: Tensor, h_gz: Tensor) -> Tensor:
    r""":math:`\|\frac1m\sum_i h(x_i) - \frac1m\sum_i h(g(z_i))\|^2` of features (m, ...), (n, ...); shape ().

    Source: Salimans et al. 2016, section 3.1. Their code takes the mean over the features where the formula
    has the sum.

    >>> feature_distance(torch.tensor([[1.0, 2.0]]), torch.zeros(3, 2)).item()
    5.0
    """
    return (h_x.mean(0) - h_gz.mean(0)).square().sum()


class FeatureMatching(Trick):
    """``feature_matching``: the generator's gradient is exchanged, the critic's stays."""

    def __init__(self, game: Game, features: Callable[[Tensor], Tensor] | None = None):
        super().__init__(game)
        if not own(game, Game.generator_gradient):
            raise InputError("feature_matching replaces the generator's loss, and it is replaced already.")
        self.features = features or hidden_layers(game.critic)
        self.real: list[Tensor] = []  # one batch, shared with the copies that accelerations make

    def critic_gradient(self, x: Tensor, z: Tensor, eps: Tensor) -> tuple[Tensor, Tensor, Gradient]:
        self.real[:] = [x]
        return super().critic_gradient(x, z, eps)

    def generator_gradient(self, z: Tensor) -> tuple[Tensor, Gradient]:
        if not self.real:
            raise InputError("feature_matching needs the critic's last batch. Update the critic first.")
        with torch.no_grad():  # the gradient goes to the generator only
            h_x = self.features(self.real[0])
        loss = feature_distance(h_x, self.features(self.generator(z)))
        return loss.detach(), torch.autograd.grad(loss, parameters_of(self.generator_optimizer))


def feature_matching(game: Game, features: Callable[[Tensor], Tensor] | None = None) -> FeatureMatching:
    r"""The game in which the generator descends ``feature_distance`` and not the recipe's loss.

    ``features`` maps points (m, ...) to features (m, ...); by default it is the critic up to its last linear
    layer. They are those of the critic after its update, at the real points of that update: a batch that each
    turn sees before it needs it, so that nothing has to be saved. (The authors' code draws a new one.)
    The generator's loss in a ``Step`` is the distance. With several ranks each compares the means of its own
    rows. Raises ``InputError`` for a critic that is no ``nn.Sequential`` with a layer before its last linear
    one, unless ``features`` are given, and as ``Trick`` does.
    Source: Salimans et al. 2016, section 3.1: an objective of the generator; the critic's stays.

    >>> from wganlab import networks, recipes
    >>> game = feature_matching(Game(networks.mlp(2, 2), networks.mlp(2, 1, hidden=(8,)), recipes.gan))
    >>> [type(layer).__name__ for layer in game.features]
    ['Linear', 'ReLU']
    """
    return FeatureMatching(game, features)


def hidden_layers(critic: nn.Module) -> nn.Sequential:
    """The layers of a critic before its last linear one, with the critic's own weights."""
    layers = list(critic) if isinstance(critic, nn.Sequential) else []
    last = max((k for k, layer in enumerate(layers) if isinstance(layer, nn.Linear)), default=0)
    if not any(True for layer in layers[:last] for _ in layer.parameters()):
        raise InputError(
            f"feature_matching needs a critic with a hidden layer: an nn.Sequential with weights before its "
            f"last linear layer, got {type(critic).__name__} with {len(layers)} layers. Hand it a function "
            f"'features' of x."
        )
    return critic[:last]


class History:
    r"""The means :math:`\frac1t\sum_{i\le t}\theta[i]` of some weights over the ``count`` records so far.

    >>> theta = nn.Parameter(torch.tensor([0.0]))
    >>> history = History([theta])
    >>> for value in (1.0, 2.0, 3.0):
    ...     _ = theta.data.fill_(value)
    ...     history.record()
    >>> [part.item() for part in history.cost(weight=1.0)[1]], history.cost(weight=1.0)[0].item()
    ([2.0], 1.0)
    """

    def __init__(self, weights: list[Tensor]):
        self.weights, self.count = weights, 0
        self.means = [torch.zeros_like(weight) for weight in weights]

    @torch.no_grad()
    def record(self) -> None:
        """Take the present weights into the mean."""
        self.count += 1
        for mean, weight in zip(self.means, self.weights, strict=True):
            mean.lerp_(weight, 1 / self.count)

    @torch.no_grad()
    def cost(self, weight: float) -> tuple[Tensor, Gradient]:
        """``weight`` times the squared distance from the mean, and its gradient."""
        gaps = [theta - mean for theta, mean in zip(self.weights, self.means, strict=True)]
        return weight * sum(gap.square().sum() for gap in gaps), [2 * weight * gap for gap in gaps]

    def state_dict(self) -> dict[str, Any]:
        return {"count": self.count, "means": self.means}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.count = state["count"]
        for mean, saved in zip(self.means, state["means"], strict=True):
            mean.copy_(saved)


class HistoricalAveraging(Trick):
    """``historical_averaging``: to each gradient of the game within, the pull towards the mean is added."""

    def __init__(self, game: Game, weight: float):
        super().__init__(game)
        check_positive("historical_averaging needs a weight", weight, "Without it, play the game itself.")
        self.weight = float(weight)
        self.critic_history = History(parameters_of(game.critic_optimizer))
        self.generator_history = History(parameters_of(game.generator_optimizer))

    def critic_gradient(self, x: Tensor, z: Tensor, eps: Tensor) -> tuple[Tensor, Tensor, Gradient]:
        loss, penalty, gradient = super().critic_gradient(x, z, eps)
        cost, pull = self.critic_history.cost(self.weight)
        return loss, penalty + cost, [a + b for a, b in zip(gradient, pull, strict=True)]

    def generator_gradient(self, z: Tensor) -> tuple[Tensor, Gradient]:
        loss, gradient = super().generator_gradient(z)
        cost, pull = self.generator_history.cost(self.weight)
        return loss + cost, [a + b for a, b in zip(gradient, pull, strict=True)]

    def critic_step(self, x: Tensor, z: Tensor, eps: Tensor) -> tuple[Tensor, Tensor]:
        self.critic_history.record()
        return super().critic_step(x, z, eps)

    def generator_step(self, z: Tensor) -> Tensor:
        self.generator_history.record()
        return super().generator_step(z)

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {name: getattr(self, name).state_dict() for name in HISTORIES}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        for name in HISTORIES:
            getattr(self, name).load_state_dict(state[name])


def historical_averaging(game: Game, weight: float) -> HistoricalAveraging:
    r"""The game with :math:`\lambda\,\|\theta - \frac1t\sum_{i=1}^t\theta[i]\|^2` in each player's cost.

    :math:`\theta[i]` are a player's weights before its i-th update, the present ones included, and
    :math:`\lambda` is ``weight``. The mean is a record of numbers and is not differentiated: the gradient is
    :math:`2\lambda(\theta - \text{mean})`; through the present weights' share of the mean it would be
    :math:`1 - 1/t` times that. In a ``Step`` the critic's cost is part of the penalty, so that minus the
    critic's loss stays an estimate of W1, and the generator's of its loss. The means are in the game's
    ``state_dict``, as an optimizer's moments are, and not in the players, who are those of the plain game.
    Raises ``InputError`` for a weight that is not positive, and as ``Trick`` does.
    Source: Salimans et al. 2016, section 3.3, which gives no weight.

    >>> from wganlab import networks, recipes
    >>> game = historical_averaging(Game(networks.mlp(2, 2), networks.mlp(2, 1), recipes.gan), weight=0.1)
    >>> sorted(game.state_dict())[:2]
    ['critic', 'critic_history']
    """
    return HistoricalAveraging(game, weight)


class MinibatchDiscrimination(nn.Module):
    r"""Features (m, ``inputs``) to (m, ``inputs`` + ``kernels``): each row also sees how near the others are.

    Row i gets :math:`o_b(x_i) = \sum_{j\ne i}\exp(-\|M_{ib} - M_{jb}\|_1)` for each kernel b, where
    :math:`M_i = h(x_i)\,T` are ``kernels`` rows of ``dims`` numbers. Real and fake batches are scored apart,
    so each sees rows of its own kind. A critic with it mixes the rows of a batch: slope penalties and
    ``engine.fast``'s written-out gradient refuse it. Raises ``InputError`` for sizes below 1, other features,
    and a batch of one row, which has no others.
    Source: Salimans et al. 2016, section 3.2. Their formula has j = i in its sum, which adds exactly 1; their
    words ("other samples") and their code leave it out, and so do we. T is normal with variance 1 / inputs;
    the code's weight normalisation, initial scale and bias are left out.

    >>> layer = MinibatchDiscrimination(1, kernels=1, dims=1)
    >>> layer.weight.data.fill_(1.0).item()
    1.0
    >>> layer(torch.tensor([[0.0], [math.log(2)]]))[:, 1].tolist()  # exp(-ln 2)
    [0.5, 0.5]
    """

    mixes_rows = True  # read by constraints.refuse_mixed_rows

    def __init__(self, inputs: int, kernels: int = 16, dims: int = 5):
        super().__init__()
        if min(inputs, kernels, dims) < 1:
            raise InputError(f"MinibatchDiscrimination needs sizes >= 1, got {(inputs, kernels, dims)}.")
        self.weight = nn.Parameter(torch.randn(inputs, kernels, dims) / math.sqrt(inputs))

    def forward(self, h: Tensor) -> Tensor:
        inputs = len(self.weight)
        if h.ndim != 2 or h.shape[1] != inputs or len(h) < 2:
            raise InputError(
                f"MinibatchDiscrimination compares two or more rows of {inputs} features, got shape "
                f"{tuple(h.shape)}. Put nn.Flatten() before it, and score at least two points at a time."
            )
        rows = torch.tensordot(h, self.weight, dims=1)  # (m, kernels, dims)
        nearness = (-(rows[:, None] - rows).abs().sum(3)).exp()  # (m, m, kernels)
        others = 1 - torch.eye(len(h), dtype=h.dtype, device=h.device)
        return torch.cat([h, (others[:, :, None] * nearness).sum(1)], dim=1)


class VirtualBatchNorm(nn.Module):
    r""":math:`\gamma\,(h - \mu)/\sqrt{v + \epsilon} + \beta`, mean and variance of a reference batch and h.

    For row h of (m, channels, ...), :math:`\mu` and v are those of the r reference rows and this row
    together, each row with weight 1/(r + 1): a row's result does not depend on the rest of its batch, and
    slope penalties allow it. The layer stands in a player, such as ``networks.mlp(..., norm=
    VirtualBatchNorm)``, which ``with_reference`` feeds the reference batch before the rows; the reference
    rows themselves are normalised by their own mean and variance. Raises ``InputError`` outside of such a
    player.
    Source: Salimans et al. 2016, section 3.5; they use it in the generator only, for its cost: each pass
    computes r rows more.

    >>> player = with_reference(VirtualBatchNorm(1, eps=1e-12), torch.tensor([[-1.0], [1.0], [0.0]]))
    >>> y = player(torch.tensor([[4.0]]))  # (4 - 1) / sqrt(3.5), with mean and variance of -1, 1, 0 and 4
    >>> round(y.square().item(), 5)
    2.57143
    """

    def __init__(self, channels: int, eps: float = 1e-5):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))
        self.eps, self.rows = eps, 0

    def forward(self, h: Tensor) -> Tensor:
        r, channels = self.rows, len(self.weight)
        if not 0 < r <= len(h) or h.ndim < 2 or h.shape[1] != channels:
            raise InputError(
                f"VirtualBatchNorm needs (m, {channels}, ...) behind its reference batch of {r} rows, got "
                f"{tuple(h.shape)}. Use its player through tricks.with_reference(player, reference)."
            )
        flat = h[r:].flatten(2) if h.ndim > 2 else h[r:, :, None]  # (m, channels, places)
        of_reference = h[:r].transpose(0, 1).flatten(1)
        var_r, mean_r = torch.var_mean(of_reference, 1, correction=0)  # (channels,)
        centred = flat - mean_r[:, None]
        var_h, shift = torch.var_mean(centred, 2, correction=0)  # (m, channels)
        share = 1 / (r + 1)  # of the row itself
        var = (1 - share) * (var_r + share * shift.square()) + share * var_h
        scale = self.weight * (var + self.eps).rsqrt()
        y = (centred - share * shift[:, :, None]) * scale[:, :, None] + self.bias[:, None]
        normal = functional.batch_norm(h[:r], None, None, self.weight, self.bias, training=True, eps=self.eps)
        return torch.cat([normal, y.view_as(h[r:])])


class WithReference(nn.Module):
    """A player and its ``reference`` batch, a buffer, which goes through it before the rows of each call."""

    def __init__(self, player: nn.Module, reference: Tensor):
        super().__init__()
        parts = list(player.modules())
        layers = [part for part in parts if isinstance(part, VirtualBatchNorm)]
        if not layers or any(isinstance(p, _BatchNorm) or getattr(p, "mixes_rows", False) for p in parts):
            rule = "with_reference needs a player with VirtualBatchNorm and without layers that mix rows"
            raise InputError(f"{rule}, got {type(player).__name__}. Build it with norm=VirtualBatchNorm.")
        usable = torch.is_tensor(reference) and reference.is_floating_point() and reference.ndim > 1
        if not usable or len(reference) < 2 or not reference.isfinite().all():
            found = f"{tuple(reference.shape)}" if torch.is_tensor(reference) else type(reference).__name__
            rule = "A reference batch has two or more finite rows of what the player takes"
            raise InputError(f"{rule}, got {found}. For a generator take draw.latent(0).")
        self.player = player
        self.register_buffer("reference", reference.detach().clone())
        for layer in layers:
            layer.rows = len(reference)
        try:
            with torch.no_grad():
                self(reference[:1])
        except RuntimeError as error:
            what = f"the player does not take a reference batch of shape {tuple(reference.shape)}"
            raise InputError(f"{what}: {error}. For a generator take draw.latent(0).") from error

    def forward(self, z: Tensor) -> Tensor:
        if z.shape[1:] != self.reference.shape[1:]:
            rule = f"The reference batch has rows {tuple(self.reference.shape[1:])}"
            raise InputError(f"{rule}, got {tuple(z.shape[1:])}. Make it from the draw that is trained with.")
        return self.player(torch.cat([self.reference, z]))[len(self.reference) :]


def with_reference(player: nn.Module, reference: Tensor) -> WithReference:
    """The player whose ``VirtualBatchNorm`` layers use a ``reference`` batch (r, ...), chosen once.

    The batch is a buffer, so checkpoints hold it, and ``draw.latent(0)`` makes it a function of the seed.
    Raises ``InputError`` for a player without such layers or with ones that mix rows (BatchNorm,
    ``MinibatchDiscrimination``), and for a batch of fewer than two rows, of another shape, or not finite.

    >>> from wganlab import networks
    >>> player = with_reference(networks.mlp(2, 2, norm=VirtualBatchNorm), torch.randn(8, 2))
    >>> z = torch.randn(5, 2)
    >>> bool((player(z)[:1] - player(z[:1])).abs().max() < 1e-5)  # the rest of the batch does not matter
    True
    """
    return WithReference(player, reference)


class InstanceNoise:
    r"""Normal noise on real and fake points: :math:`x + \sigma n` and :math:`g(z) + \sigma n'`.

    :math:`\sigma` is ``std`` at step 0 and falls along a line to 0 at step ``until``; without ``until`` it
    stays. Called with a generator and its draw, it gives both with noise: a draw whose z has the generator's
    noise beside it, and a generator that adds it. So the noise of (seed, step, t) is one thing in each run,
    however interrupted or accelerated, and no step knows of it. The generator without noise is what samples
    afterwards. Raises ``InputError`` for a std that is negative or not finite, an ``until`` below 1, and what
    is not a ``Draw`` of latent vectors (m, d).
    Source: Sonderby et al. 2017 and Arjovsky & Bottou 2017; the line is ours.

    >>> noise = InstanceNoise(0.5, until=100)
    >>> noise.std_at(0), noise.std_at(50), noise.std_at(200)
    (0.5, 0.25, 0.0)
    """

    def __init__(self, std: float, until: int | None = None):
        if not 0 <= std < math.inf:
            raise InputError(f"InstanceNoise needs a standard deviation std >= 0, got {std}.")
        if until is not None and (not isinstance(until, Integral) or until < 1):
            raise InputError(f"InstanceNoise falls to 0 at a step until >= 1, got {until!r}. None keeps it.")
        self.std, self.until = float(std), until

    def std_at(self, step: int) -> float:
        """The standard deviation in turn ``step``."""
        return self.std * max(0.0, 1 - step / self.until) if self.until else self.std

    def __call__(self, generator: nn.Module, draw: Draw) -> tuple["NoisyGenerator", "NoisyDraw"]:
        noisy = NoisyDraw(draw, self)
        return NoisyGenerator(generator, noisy.latent_size, noisy.shape), noisy


class NoisyDraw:
    """A ``Draw`` with ``InstanceNoise``: x with noise, and z with the generator's noise beside it."""

    def __init__(self, draw: Draw, noise: InstanceNoise):
        if not isinstance(draw, Draw):
            raise InputError(f"InstanceNoise adds to a sampling.Draw, got {type(draw).__name__}.")
        x, z, _ = draw(0, 0)
        if z.ndim != 2:
            raise InputError(f"InstanceNoise needs latent vectors (m, d), got z of shape {tuple(z.shape)}.")
        self.draw, self.noise, self.shape, self.latent_size = draw, noise, x.shape[1:], z.shape[1]

    def normal(self, step: int, t: int, like: Tensor) -> tuple[Tensor, Tensor]:
        """Two batches of noise (m, d) for this turn and update, of the points' size d."""
        draw, size = self.draw, math.prod(self.shape)
        rng = draw.rng(step, t, NOISE)
        pair = torch.randn(2, draw.m, size, generator=rng, device=draw.device, dtype=like.dtype)
        return tuple(self.noise.std_at(step) * pair[:, draw.rows])

    def __call__(self, step: int, t: int = 0) -> tuple[Tensor, Tensor, Tensor]:
        x, z, eps = self.draw(step, t)
        of_x, of_fake = self.normal(step, 1 + t, x)
        return x + of_x.view_as(x), torch.cat([z, of_fake], dim=1), eps

    def latent(self, step: int) -> Tensor:
        """``z`` for the generator's update of turn ``step``, its noise beside it."""
        z = self.draw.latent(step)
        return torch.cat([z, self.normal(step, 0, z)[1]], dim=1)


class NoisyGenerator(nn.Module):
    """A generator, ``player``, that adds to its points what stands beside z."""

    def __init__(self, player: nn.Module, latent_size: int, shape: torch.Size):
        super().__init__()
        self.player, self.latent_size, self.shape = player, latent_size, shape

    def forward(self, z: Tensor) -> Tensor:
        latent, noise = z[:, : self.latent_size], z[:, self.latent_size :]
        if noise.shape[1] != math.prod(self.shape):
            rule = f"A generator with instance noise needs {math.prod(self.shape)} numbers beside z"
            raise InputError(f"{rule}, got {noise.shape[1]}. To sample without noise, call its .player.")
        return self.player(latent) + noise.view(-1, *self.shape)
