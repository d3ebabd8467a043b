"""The zoo's third house: slips in updates, loops, data and measurements.

Each pair has its own arguments, which its docstring or the line above it names; ``check`` judges any
function with them.
"""

import math

import numpy as np
import torch
from torch import nn

from ...constraints import WeightClipping
from ...objectives import wasserstein
from .entry import entry

# Updates: (critic, optimizer, c) after a backward pass; one step and one clip


def clip_weights(critic, c):
    WeightClipping(c).project(critic)


def clamp_first(critic, optimizer, c):
    """Symptom: with c = 0.01 and RMSProp at 5e-5 a weight of 0.01 ends at 0.0105

    Seen in: martinarjovsky/WassersteinGAN, main.py; torchgan
    """
    clip_weights(critic, c)
    optimizer.step()


def clamp_last(critic, optimizer, c):
    optimizer.step()
    clip_weights(critic, c)


def largest_after(update) -> float:
    """The largest weight after one RMSProp step with the paper's learning rate from |w| = c = 0.01."""
    critic = nn.Linear(2, 1, bias=False, dtype=torch.float64)
    nn.init.constant_(critic.weight, 0.01)
    critic.weight.grad = -torch.ones_like(critic.weight)
    update(critic, torch.optim.RMSprop(critic.parameters(), lr=5e-5), 0.01)
    return critic.weight.abs().max().item()


def clip_everything(critic, c):
    """(critic, c): clip every array that the critic keeps, buffers too.

    Symptom: the running variance 1 becomes 0.01 and gamma too: with Keras' eps of 0.001 the layer
    multiplies by 0.01 / sqrt(0.011) = 0.0953

    Seen in: the blog on WGAN and WGAN-GP: critic.get_weights() holds the moving averages too
    """
    for part in critic.state_dict().values():
        if part.is_floating_point():
            part.clamp_(-c, c)


def clip_some(critic, c):
    """(critic, c): clip the weights, and no bias.

    Symptom: with c = 0.01 biases of up to 0.7071 stay as they are
    """
    for name, part in critic.named_parameters():
        if "weight" in name:
            part.data.clamp_(-c, c)


def spares_buffers(clip) -> bool:
    """Whether weights end within c and the running variance of BatchNorm stays as it was."""
    critic = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    clip(critic, 0.01)
    small = all(bool((weight.abs() <= 0.01).all()) for weight in critic.parameters())
    return small and bool((critic[1].running_var == 1).all())


def separate_steps(critic_loss, penalty, optimizer):
    """(critic_loss, penalty, optimizer): one update of the critic by both.

    Symptom: with gradient 1 of the loss and -3 or -100 of the penalty Adam moves the weight by 0.3143 or
    0.3783 of its rate instead of by 1

    Seen in: torchgan, torchgan/losses/wasserstein.py, train_ops
    """
    weights = optimizer.param_groups[0]["params"]
    for loss in (critic_loss, penalty):
        optimizer.zero_grad()
        loss.backward(inputs=weights, retain_graph=True)
        optimizer.step()


def joint_step(critic_loss, penalty, optimizer):
    optimizer.zero_grad()
    (critic_loss + penalty).backward()
    optimizer.step()


def moved(update, weight_of_penalty: float) -> float:
    """How far Adam (rate 1, betas (0, 0.9)) moves a weight with gradients 1 and -weight_of_penalty."""
    w = nn.Parameter(torch.zeros((), dtype=torch.float64))
    update(1.0 * w, -weight_of_penalty * w, torch.optim.Adam([w], lr=1.0, betas=(0.0, 0.9)))
    return w.item()


def adds_before_adam(update) -> bool:
    """Whether a penalty that cancels the loss's gradient leaves the weight where it is."""
    return abs(moved(update, 1.0)) < 1e-6 and moved(update, 3.0) > 0.99


# Loops: who is trained when


def early_generator(n_critic, turns):
    """(n_critic, turns): the order of updates, "c" and "g", in a loop over turns batches.

    Symptom: with n_critic = 5 the order is cgcccccgcccc: the generator learns from a critic with 1 update

    Seen in: PyTorch-GAN, implementations/wgan/wgan.py and wgan_gp/wgan_gp.py: i % n_critic == 0
    """
    return "".join("cg" if i % n_critic == 0 else "c" for i in range(turns))  # true at i = 0


def late_generator(n_critic, turns):
    return "".join("cg" if (i + 1) % n_critic == 0 else "c" for i in range(turns))


def critic_first(order) -> bool:
    return order(5, 10) == "cccccgcccccg" and order(2, 4) == "ccgccg"


def one_turn_more(n_critic):
    """(n_critic): the critic's updates t of one turn, as the loop counts them.

    Symptom: n_critic = 5 gives 6 updates

    Seen in: Algorithm 1 of Arjovsky et al. 2017, line 2, copied in the slides of Cheng 2017
    """
    return list(range(n_critic + 1))


def n_turns(n_critic):
    return list(range(1, n_critic + 1))


def reused_noise(draw, critic_step, generator_step, n_critic):
    """(draw, critic_step, generator_step, n_critic): one turn; draw() gives noise, both steps take it.

    Symptom: of 5 draws of z the fifth serves the critic and the generator

    Seen in: PyTorch-GAN, implementations/wgan/wgan.py; the blog on WGAN and WGAN-GP
    """
    for _ in range(n_critic):
        z = draw()
        critic_step(z)
    generator_step(z)


def fresh_noise(draw, critic_step, generator_step, n_critic):
    for _ in range(n_critic):
        critic_step(draw())
    generator_step(draw())


def noise_of(turn) -> tuple[list[int], list[int]]:
    """Which draws the critic and the generator saw."""
    numbers, critic, generator = iter(range(100)), [], []
    turn(lambda: next(numbers), critic.append, generator.append, 5)
    return critic, generator


def draws_anew(turn) -> bool:
    critic, generator = noise_of(turn)
    return len(set(critic)) == 5 and len(generator) == 1 and not set(critic) & set(generator)


def early_record(critic_step, generator_loss, n_critic, turns):
    """(critic_step, generator_loss, n_critic, turns): the generator losses that are recorded.

    Symptom: the losses belong to critics with 4, 9 and 14 updates instead of 5, 10 and 15

    Seen in: the blog on WGAN and WGAN-GP
    """
    record = []
    for _ in range(turns):
        for _ in range(n_critic - 1):
            critic_step()
        record.append(generator_loss())  # before the last update
        critic_step()
    return record


def late_record(critic_step, generator_loss, n_critic, turns):
    record = []
    for _ in range(turns):
        for _ in range(n_critic):
            critic_step()
        record.append(generator_loss())
    return record


def counts_seen(loop) -> list[int]:
    """How many critic updates had been made at each record."""
    updates = []
    return loop(lambda: updates.append(1), lambda: len(updates), 5, 3)


def same_sign(f_gz):
    """(f_gz): the loss of the generator, whose critic minimises f_gz.mean() - f_x.mean().

    Symptom: fakes of score 1 cost 1 and fakes of score -1 cost -1: the generator makes what the critic calls
    fake
    """
    return f_gz.mean()


def raises_fakes(loss) -> bool:
    f_gz = torch.zeros(4, requires_grad=True)
    return bool((torch.autograd.grad(loss(f_gz), f_gz)[0] < 0).all())


def attached_fakes(generator, critic, x, z):
    """(generator, critic, x, z): the critic's loss, backward pass included.

    Symptom: with f(x) = 5 x and g(z) = z at z = 1 the generator's gradient is 5 instead of None
    """
    (critic(generator(z)).mean() - critic(x).mean()).backward()


def detached_fakes(generator, critic, x, z):
    (critic(generator(z).detach()).mean() - critic(x).mean()).backward()


def leaves_generator(step) -> bool:
    generator, critic = nn.Linear(1, 1), nn.Linear(1, 1)
    step(generator, critic, torch.ones(2, 1), torch.ones(2, 1))
    return generator.weight.grad is None and critic.weight.grad is not None


# Data and measurement


def unit_pixels(levels):
    """(levels): pixels 0 to 255 for a generator that ends in tanh.

    Symptom: black is 0 instead of -1, so half of what tanh can say is never real
    """
    return levels / 255


def signed_pixels(levels):
    return levels / 127.5 - 1


def fills_tanh(scale) -> bool:
    return bool(np.allclose(scale(np.array([0.0, 255.0])), [-1, 1]))


def squared_cost(x, y):
    """(x, y): the Wasserstein-1 distance of two samples (n, d).

    Symptom: for points at 0 and 3 it gives 9 instead of 3

    Seen in: the default of ot.dist in POT is sqeuclidean, which is right for W2
    """
    import ot  # here, because it takes as long to import as all the rest

    return ot.emd2([], [], ot.dist(x, y))  # the default metric is squared; [] for equal weights


def plain_cost(x, y):
    import ot

    return ot.emd2([], [], ot.dist(x, y, metric="euclidean"))


def scales_like_a_distance(w1) -> bool:
    x, y = np.zeros((2, 1)), np.full((2, 1), 3.0)
    return math.isclose(w1(x, y), 3) and math.isclose(w1(2 * x, 2 * y), 6)


def frames_wrong():
    """The iterations that a film of 200 shows.

    Symptom: the fifth of six pictures is from iteration 15: the generator seems to fall back

    Seen in: POT, examples/backends/plot_wass2_gan_torch.py, the list ivisu: harmless, but puzzling
    """
    return [0, 40, 80, 120, 15, 199]  # a digit was lost: 150


def frames_right():
    return [0, 40, 80, 120, 150, 199]


LOOPS = {
    "clamp-first": entry(clamp_first, clamp_last, lambda update: largest_after(update) <= 0.01),
    "clip-buffers": entry(clip_everything, clip_weights, spares_buffers),
    "partial-clip": entry(clip_some, clip_weights, spares_buffers),
    "separate-adam": entry(separate_steps, joint_step, adds_before_adam),
    "early-generator": entry(early_generator, late_generator, critic_first),
    "one-turn-more": entry(one_turn_more, n_turns, lambda turns: all(len(turns(n)) == n for n in (1, 5))),
    "reused-noise": entry(reused_noise, fresh_noise, draws_anew),
    "early-record": entry(early_record, late_record, lambda loop: counts_seen(loop) == [5, 10, 15]),
    "generator-sign": entry(same_sign, wasserstein.generator, raises_fakes),
    "attached-fakes": entry(attached_fakes, detached_fakes, leaves_generator),
    "tanh-range": entry(unit_pixels, signed_pixels, fills_tanh),
    "squared-cost": entry(squared_cost, plain_cost, scales_like_a_distance),
    "film-order": entry(frames_wrong, frames_right, lambda frames: frames() == sorted(set(frames()))),
}
