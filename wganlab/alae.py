r"""The adversarial latent autoencoder (Pidhorskyi et al. 2020): a GAN cut in two places.

The generator is a map F of the noise to a code, then G; the discriminator is an encoder E, then a small D.
The code has the law that training gives it, and a third step asks that E undo G there:

==========  =======  ====================================================================================
step        moves    loss
==========  =======  ====================================================================================
I           E, D     softplus(D(E(G(F(z))))) + softplus(-D(E(x))) + gamma/2 ||gradient of D(E(x)) in x||^2
II          F, G     softplus(-D(E(G(F(z)))))
III         E, G     ||F(z) - E(G(F(z)))||^2, the reciprocity: of codes, not of pictures
==========  =======  ====================================================================================

Steps I and II are the GAN of ``objectives.non_saturating`` with ``constraints.R1``, so that an ``ALAE`` is a
``Game`` of G after F against D after E; only the third step is new.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from .constraints import R1
from .errors import InputError
from .objectives import non_saturating
from .recipes import Recipe, adam
from .sampling import Draw
from .training import (
    Game,
    Gradient,
    apply_gradient,
    check_until,
    of_one_precision,
    optimizer_for,
    parameters_of,
    stop_at_nan,
)

__all__ = ["ALAE", "ALAEStep", "recipe", "train_alae"]

# Pidhorskyi et al. 2020, the MLP for MNIST, as the authors' configs/mnist_fc.yaml has it: gamma = 10, alpha =
# 2e-3, beta = (0, 0.99), m = 128, codes of 50. There each layer's rate is scaled by its width (LREQAdam);
# plain Adam has no such scale, so we take a tenth of the rate.
recipe = Recipe(non_saturating, R1(10.0), partial(adam, lr=2e-4, betas=(0.0, 0.99)), n_critic=1)


class ALAEStep(NamedTuple):
    """A ``Step`` with the reciprocity, ``latent_loss``; all losses are tensors of shape ()."""

    index: int
    critic_loss: Tensor
    penalty: Tensor
    generator_loss: Tensor
    latent_loss: Tensor


class ALAE(Game):
    r"""The game of G after F against D after E, with a third gradient and a third step.

    ``mapping`` F maps z (m, latent) to codes (m, code), ``decoder`` G codes to rows (m, ...), ``encoder`` E
    rows to codes, ``discriminator`` D codes to scores (m,). ``generator`` and ``critic`` are the chains; the
    third step has an optimizer of its own, made as the generator's is. Raises as ``Game`` does.
    Source: Pidhorskyi et al. 2020, Algorithm 1. The authors' code differs in step III: it lets F learn, too,
    and takes the mean over the code's coordinates where the paper has the squared norm.

    >>> from wganlab import networks
    >>> code = lambda inputs: networks.mlp(inputs, (2,), hidden=(4,))
    >>> game = ALAE(code(3), networks.mlp(2, 5, hidden=(4,)), code(5), networks.mlp(2, 1, hidden=(4,)))
    >>> game.generator(torch.zeros(7, 3)).shape, game.critic(torch.zeros(7, 5)).shape
    (torch.Size([7, 5]), torch.Size([7]))
    """

    def __init__(
        self,
        mapping: nn.Module,
        decoder: nn.Module,
        encoder: nn.Module,
        discriminator: nn.Module,
        recipe: Recipe = recipe,
    ):
        super().__init__(nn.Sequential(mapping, decoder), nn.Sequential(encoder, discriminator), recipe)
        self.mapping, self.decoder = mapping, decoder
        self.encoder, self.discriminator = encoder, discriminator
        make_optimizer = recipe.generator_optimizer or recipe.optimizer
        self.latent_optimizer = optimizer_for("pair of encoder and decoder", self.pair, make_optimizer)

    @property
    def pair(self) -> nn.Sequential:
        """E after G: codes to codes."""
        return nn.Sequential(self.decoder, self.encoder)

    def latent_gradient(self, z: Tensor) -> tuple[Tensor, Gradient]:
        r"""Line 14: :math:`\frac1m\sum\|F(z) - E(G(F(z)))\|^2` and its gradient in G and E; F is fixed.

        Raises ``InputError`` if E does not give codes of F's shape.
        """
        with torch.no_grad():
            code = self.mapping(z)
        found = self.pair(code)
        if found.shape != code.shape:
            raise InputError(
                f"The encoder must give codes of the mapping's shape, {tuple(code.shape)}, but it gives "
                f"{tuple(found.shape)}. Build both with the same number of outputs."
            )
        loss = (code - found).square().flatten(1).sum(dim=1).mean()
        return loss.detach(), torch.autograd.grad(loss, parameters_of(self.latent_optimizer))

    def latent_step(self, z: Tensor) -> Tensor:
        """One update of G and E, lines 14 and 15; the reciprocity before it."""
        loss, gradient = self.latent_gradient(z)
        apply_gradient(gradient, self.latent_optimizer, self.mean)
        return loss

    def reconstruct(self, x: Tensor) -> Tensor:
        """G(E(x)): rows (m, ...) to rows. No step compares the two; that they are alike is a result."""
        return self.decoder(self.encoder(x))

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"latent_optimizer": self.latent_optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.latent_optimizer.load_state_dict(state["latent_optimizer"])


def train_alae(game: ALAE, draw: Draw, until: int) -> Iterator[ALAEStep]:
    """The three steps, from ``game.step`` to ``until``: yields an ``ALAEStep`` after each third one.

    Each step has a z of its own, and each run is decided by weights and draw, as in ``train``, so that a run
    that was stopped and loaded goes on as it would have. Raises as ``train`` does.
    Source: Pidhorskyi et al. 2020, Algorithm 1.
    """
    check_until("train_alae", "generator", until)
    return stop_at_nan(of_one_precision(three_steps(game, draw, until), game, draw), until)


def three_steps(game: ALAE, draw: Draw, until: int) -> Iterator[ALAEStep]:
    """The loop of ``train_alae``; on its statements, the lines of Algorithm 1."""
    while game.step < until:  #                                                  2
        x, z, eps = draw(game.step, 0)  #                                        4-5
        critic_loss, penalty = game.critic_step(x, z, eps)  #                    6-7
        generator_loss = game.generator_step(draw.latent(game.step))  #          9-11
        _, z, _ = draw(game.step, 1)  #                                          13
        latent_loss = game.latent_step(z)  #                                     14-15
        game.step += 1
        yield ALAEStep(game.step, critic_loss, penalty, generator_loss, latent_loss)
