"""Whole training steps for ``test_field``: thirteen right ones in different styles, and slips in one text."""

import itertools

import torch
import torch.nn.functional as F
from torch import nn

from wganlab import recipes
from wganlab.training import Game


def penalty(critic, x, y, weight=10.0):
    u = torch.rand(len(x), *[1] * (x.ndim - 1))
    p = (u * x + (1 - u) * y).detach().requires_grad_()
    (g,) = torch.autograd.grad(critic(p).sum(), p, create_graph=True)
    return weight * ((g.flatten(1).norm(2, 1) - 1) ** 2).mean()


def a_turn(generator, critic, optimizers, batch):
    for _ in range(5):
        fake = generator(torch.randn(len(batch), 16)).detach()
        loss = critic(fake).mean() - critic(batch).mean() + penalty(critic, batch, fake)
        optimizers.critic.zero_grad()
        loss.backward()
        optimizers.critic.step()
    optimizers.generator.zero_grad()
    (-critic(generator(torch.randn(len(batch), 16))).mean()).backward()
    optimizers.generator.step()


class Counting:
    """The generator moves in each fifth call."""

    def __init__(self):
        self.calls = 0

    def __call__(self, generator, critic, optimizers, batch):
        g_opt, c_opt = optimizers
        with torch.no_grad():
            fake = generator(torch.randn(batch.size(0), 100))
        c_opt.zero_grad()
        (-(critic(batch).mean() - critic(fake).mean()) + penalty(critic, batch, fake)).backward()
        c_opt.step()
        self.calls += 1
        if self.calls % 5 == 0:
            g_opt.zero_grad()
            (-torch.mean(critic(generator(torch.randn(batch.size(0), 100))))).backward()
            g_opt.step()


def clipped(generator, critic, optimizers, batch):
    for _ in range(5):
        optimizers[1].zero_grad()
        z = torch.randn(batch.size(0), 8, 1, 1)
        (critic(generator(z).detach()).mean() - critic(batch).mean()).backward()
        optimizers[1].step()
        for p in critic.parameters():
            p.data.clamp_(-0.01, 0.01)
    optimizers[0].zero_grad()
    (-critic(generator(torch.randn(batch.size(0), 8, 1, 1))).mean()).backward()
    optimizers[0].step()


def frozen(generator, critic, optimizers, batch):
    """The authors' way: the critic's weights are frozen while the generator learns; one backward a part."""
    for p in critic.parameters():
        p.requires_grad = True
    for _ in range(5):
        critic.zero_grad()
        with torch.no_grad():
            fake = generator(torch.rand(len(batch), 3))
        critic(batch).mean().backward(torch.tensor(-1.0))
        critic(fake).mean().backward(torch.tensor(1.0))
        penalty(critic, batch, fake).backward()
        optimizers.critic.step()
    for p in critic.parameters():
        p.requires_grad = False
    generator.zero_grad()
    critic(generator(torch.rand(len(batch), 3))).mean().backward(torch.tensor(-1.0))
    optimizers.generator.step()


def of_autograd_grad(generator, critic, optimizers, batch):
    weights = list(critic.parameters())
    for _ in range(5):
        fake = generator(torch.randn(len(batch), 2)).detach()
        loss = (critic(fake) - critic(batch)).mean()
        for p, g in zip(weights, torch.autograd.grad(loss, weights), strict=True):
            p.grad = g
        optimizers.critic.step()
        nn.utils.vector_to_parameters(nn.utils.parameters_to_vector(weights).clamp(-0.05, 0.05), weights)
    weights = list(generator.parameters())
    loss = -critic(generator(torch.randn(len(batch), 2))).mean()
    for p, g in zip(weights, torch.autograd.grad(loss, weights), strict=True):
        p.grad = g
    optimizers.generator.step()


def one_forward(generator, critic, optimizers, batch):
    for _ in range(5):
        fake = generator(torch.randn(len(batch), 4)).detach()
        f_x, f_gz = critic(torch.cat([batch, fake])).chunk(2)
        optimizers.critic.zero_grad(set_to_none=True)
        (f_gz.mean() - f_x.mean() + penalty(critic, batch, fake)).backward()
        optimizers.critic.step()
    optimizers.generator.zero_grad(set_to_none=True)
    critic(generator(torch.randn(len(batch), 4))).mean().neg().backward()
    optimizers.generator.step()


def noise_at_once(generator, critic, optimizers, batch):
    noises = torch.randn(6, len(batch), 4)
    for z in noises[:5]:
        fake = generator(z).detach()
        optimizers["critic"].zero_grad()
        (critic(fake).mean() - critic(batch).mean() + penalty(critic, batch, fake)).backward()
        optimizers["critic"].step()
    optimizers["generator"].zero_grad()
    (-critic(generator(noises[5])).mean()).backward()
    optimizers["generator"].step()


def of_pictures(generator, critic, optimizers, batch):
    m, c, h, w = batch.shape
    for _ in range(5):
        fake = generator(torch.randn(m, 100, 1, 1)).view(m, c, h, w).detach()
        optimizers.critic.zero_grad()
        (critic(fake).mean() - critic(batch).mean() + penalty(critic, batch, fake)).backward()
        optimizers.critic.step()
    optimizers.generator.zero_grad()
    (-critic(generator(torch.randn(m, 100, 1, 1)).view(m, c, h, w)).mean()).backward()
    optimizers.generator.step()


def with_labels(generator, critic, optimizers, batch):
    x, labels = batch
    critic_optimizer, generator_optimizer = optimizers  # the critic's first
    for _ in range(5):
        fake = generator(torch.randn(len(x), 10), labels)
        critic_optimizer.zero_grad()
        (critic(fake.detach(), labels).mean() - critic(x, labels).mean()).backward()
        critic_optimizer.step()
        with torch.no_grad():
            for p in critic.parameters():
                p.clamp_(-0.1, 0.1)
    generator_optimizer.zero_grad()
    (-critic(generator(torch.randn(len(x), 10), labels), labels).mean()).backward()
    generator_optimizer.step()


def with_pictures_for_the_eye(generator, critic, optimizers, batch):
    a_turn(generator, critic, optimizers, batch)
    generator.eval(), critic.eval()
    with torch.no_grad():
        critic(generator(torch.ones(4, 16)))
    generator.train(), critic.train()


def hinge_of_columns(generator, critic, optimizers, batch):
    for _ in range(5):
        fake = generator(torch.randn(len(batch), 5)).detach()
        f_x, f_gz = critic(batch), critic(fake)
        assert f_x.shape == (len(batch), 1)
        optimizers.critic.zero_grad()
        (F.relu(1 - f_x).mean() + F.relu(1 + f_gz).mean()).backward()
        nn.utils.clip_grad_norm_(critic.parameters(), 1.0)
        optimizers.critic.step()
        assert (critic(batch).mean() - critic(fake).mean()).isfinite()  # a number to print
    optimizers.generator.zero_grad()
    (-critic(generator(torch.randn(len(batch), 5)))).mean().backward()
    optimizers.generator.step()


def with_slopes_at_the_data(generator, critic, optimizers, batch):
    x = batch.requires_grad_()
    for _ in range(5):
        f_gz = critic(generator(torch.randn(len(x), 5)).detach())
        optimizers.critic.zero_grad()
        (g,) = torch.autograd.grad(critic(x).sum(), x, create_graph=True)
        (f_gz.mean() - critic(x).mean() + 5 * g.flatten(1).square().sum(1).mean()).backward()
        optimizers.critic.step()
    optimizers.generator.zero_grad()
    (-critic(generator(torch.randn(len(x), 5)))).mean().backward()
    optimizers.generator.step()


class Library:
    """The package's own game."""

    game = None

    def __call__(self, generator, critic, optimizers, batch):
        game = Game(generator, critic, recipes.wgan_gp)
        game.generator_optimizer, game.critic_optimizer = optimizers
        for _ in range(5):
            game.critic_step(batch, torch.randn(len(batch), 2), torch.rand(len(batch)))
        game.generator_step(torch.randn(len(batch), 2))


def one_fake(first, noise=None):
    """The usual step of a GAN: one fake a turn for both players, of which that one moves first."""

    def step(generator, critic, optimizers, batch):
        fake = generator(torch.randn(len(batch), 2) if noise is None else noise)

        def critic_step():
            optimizers.critic.zero_grad()
            (F.softplus(-critic(batch)) + F.softplus(critic(fake.detach()))).mean().backward()
            optimizers.critic.step()

        def generator_step():
            optimizers.generator.zero_grad()
            F.softplus(-critic(fake)).mean().backward()
            optimizers.generator.step()

        for move in (critic_step, generator_step) if first == "critic" else (generator_step, critic_step):
            move()

    return step


OF_GLOBALS = """
import torch
from torch import nn

loss = nn.BCEWithLogitsLoss()
gen = nn.Sequential(nn.Linear(100, 784), nn.Unflatten(1, (1, 28, 28)))
disc = nn.Sequential(nn.Flatten(), nn.Linear(784, 1))
d_opt = torch.optim.Adam(disc.parameters())
g_opt = torch.optim.Adam(gen.parameters())


def train_step(real):
    for _ in range(5):
        d_opt.zero_grad()
        fake = gen(torch.randn(real.size(0), 100)).detach()
        (disc(fake).mean() - disc(real).mean()).backward()
        d_opt.step()
    g_opt.zero_grad()
    (-disc(gen(torch.randn(real.size(0), 100))).mean()).backward()
    g_opt.step()
    return 0.0
"""

RIGHT = [a_turn, Counting(), clipped, frozen, of_autograd_grad, one_forward, noise_at_once, of_pictures]
RIGHT += [with_labels, with_pictures_for_the_eye, hinge_of_columns, Library()]
RIGHT += [with_slopes_at_the_data]

TEXT = """
def step(generator, critic, optimizers, batch):
    m = len(batch)
    for _ in range(5):
        z = torch.randn(m, 4)
        fake = generator(z).detach()
        optimizers.critic.zero_grad()
        loss = critic(fake).mean() - critic(batch).mean()
        loss.backward()
        optimizers.critic.step()
        for p in critic.parameters():
            p.data.clamp_(-0.1, 0.1)
    z = torch.randn(m, 4)
    optimizers.generator.zero_grad()
    loss = -critic(generator(z)).mean()
    loss.backward()
    optimizers.generator.step()
"""
CLIP = "        for p in critic.parameters():\n            p.data.clamp_(-0.1, 0.1)\n"
STEP = "        optimizers.critic.step()\n"
SLIPS = {  # the name, and the lines that are changed
    "clamp-first": [(CLIP, ""), (STEP, CLIP + STEP)],
    "clamp-first, at the top": [(CLIP, ""), ("        z = torch", CLIP + "        z = torch")],
    "partial-clip": [("critic.parameters()", "[w for n, w in critic.named_parameters() if 'weight' in n]")],
    "partial-clip, of one layer": [("critic.parameters()", "list(critic.parameters())[:2]")],
    "clip-buffers": [("parameters():\n            p.data", "state_dict().values():\n            p")],
    "separate-adam": [(CLIP, ""), (STEP, STEP + """        optimizers.critic.zero_grad()
        penalty(critic, batch, fake).backward()
        optimizers.critic.step()
""")],
    "early-generator": [("range(5)", "range(next(COUNTS))")],
    "one-turn-more": [("range(5)", "range(5 + 1)")],
    "other-n-critic": [("range(5)", "range(3)")],
    "reused-noise": [("    z = torch.randn(m, 4)\n    optimizers", "    optimizers")],
    "reused-noise, in the critic": [("    for _", "    z = torch.randn(m, 4)\n    for _"),
        ("        z = torch.randn(m, 4)\n", "")],
    "reused-noise, old fakes": [("        fake = generator(z).detach()\n", ""),
        ("    for _", "    fake = generator(torch.randn(m, 4)).detach()\n    for _")],
    "attached-fakes": [(".detach()", "")],
    "moving-critic": [(CLIP, ""), ("    optimizers.generator.step()",
        "    optimizers.generator.step()\n    optimizers.critic.step()")],
    "stale-gradients, moving-critic": [("        optimizers.critic.zero_grad()\n", "")],
    "stale-gradients": [("    optimizers.generator.zero_grad()\n", "")],
    "sampling-mode": [("        fake = generator(z)", "        generator.eval(); fake = generator(z)"),
        ("    optimizers.generator.zero_grad()", "    generator.train(); optimizers.generator.zero_grad()")],
    "switches-mode": [("    optimizers.generator.step()", "    optimizers.generator.step(); critic.eval()")],
    "generator-sign": [("-critic(generator(z))", "critic(generator(z))")],
    "reversed-sign": [("critic(fake).mean() - critic(batch)", "critic(batch).mean() - critic(fake)")],
    "reversed-sign, both the same way": [("critic(fake).mean() - ", "-critic(fake).mean() - ")],
    "no-gradient": [("critic(generator(z))", "critic(generator(z).detach())")],
    "no-gradient, zeroed": [("    optimizers.generator.step()",
        "    optimizers.generator.zero_grad(); optimizers.generator.step()")],
    "no-gradient, of real rows": [("critic(generator(z))", "critic(batch)")],
    "no-gradient, zeroed in the critic": [(STEP, "        optimizers.critic.zero_grad()\n" + STEP)],
    "sampling-mode, of the critic": [("        loss", "        critic.eval()\n        loss"),
        (STEP, STEP + "        critic.train()\n")],
    "sampling-mode, of the critic for the generator": [("    loss = -critic(generator(z)).mean()",
        "    critic.eval(); loss = -critic(generator(z)).mean(); critic.train()")],
    "generator-clip": [("critic.parameters()", "generator.parameters()")],
}  # fmt: skip


def slip(name):
    """The text with these changes, as a function."""
    text = TEXT
    for old, new in SLIPS[name]:
        assert old in text, (name, old)
        text = text.replace(old, new, 1)
    space = {"torch": torch, "penalty": penalty, "COUNTS": itertools.chain([1], itertools.repeat(5))}
    exec(text, space)
    return space["step"]
