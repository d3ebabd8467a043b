"""Write tests/lab/fixture.json: losses and gradients by autograd, for the tests of the lab's core in node.

``python -m tests.make_lab_fixture``, in the folder above, writes it anew. Weights and points are short
decimals, so that the file can be read; the answers are those of ``wganlab.objectives`` and
``wganlab.constraints`` in float64. tests/test_lab_core.py asks the same questions of larger networks.
"""

import itertools
import json
from pathlib import Path

import torch
from torch import Tensor, nn

from wganlab import objectives
from wganlab.constraints import Constraint, GradientPenalty, WeightClipping, input_gradient
from wganlab.networks import mlp

PATH = Path(__file__).parent / "lab" / "fixture.json"
SIZES = {"critic": [2, 4, 3, 1], "generator": [2, 4, 2]}
M, WEIGHT = 4, 10.0
CRITIC_CASES = [
    ("wasserstein", "none"),
    ("wasserstein", "clipping"),
    ("wasserstein", "penalty"),
    ("wasserstein", "one_sided"),
    ("non_saturating", "none"),
    ("minimax", "none"),
]


def constraint(name: str, weight: float = WEIGHT, c: float = 0.01) -> Constraint:
    """wganlab's constraint of the lab's name."""
    return {
        "none": Constraint(),
        "clipping": WeightClipping(c),
        "penalty": GradientPenalty(weight),
        "one_sided": GradientPenalty(weight, one_sided=True),
    }[name]


def network(sizes: list[int], weights: list[float], slope: float) -> nn.Sequential:
    """The perceptron with these weights, layer by layer: matrix, then biases."""
    net = mlp(sizes[0], sizes[-1], hidden=sizes[1:-1], slope=slope).double()
    flat = torch.tensor(weights, dtype=torch.float64)
    nn.utils.vector_to_parameters(flat, net.parameters())
    return net


def solved(loss: Tensor, net: nn.Module) -> dict:
    """The loss and its gradient in the weights of ``net``."""
    gradients = torch.autograd.grad(loss, list(net.parameters()), materialize_grads=True)
    return {"loss": loss.item(), "gradient": torch.cat([g.flatten() for g in gradients]).tolist()}


def critic_answer(critic: nn.Module, x: Tensor, fake: Tensor, eps: Tensor, objective: str, limit: Constraint):
    """What the critic minimises, and its gradient."""
    loss = getattr(objectives, objective).critic(critic(x), critic(fake))
    return solved(loss + limit.penalty(critic, x, fake, eps), critic)


def generator_answer(generator: nn.Module, critic: nn.Module, z: Tensor, objective: str):
    """What the generator minimises, and its gradient."""
    return solved(getattr(objectives, objective).generator(critic(generator(z))), generator)


def fixture() -> dict:
    """The fixture; refuses numbers with which a fault could hide."""
    rng = torch.Generator().manual_seed(23)

    def numbers(*shape, scale=1.0):
        return ((scale * torch.randn(*shape, generator=rng, dtype=torch.float64)) * 100).round() / 100

    def count(sizes):
        return sum(after * (before + 1) for before, after in itertools.pairwise(sizes))

    weights = {player: numbers(count(sizes), scale=0.8).tolist() for player, sizes in SIZES.items()}
    x, fake, z = numbers(M, 2), numbers(M, 2, scale=2.0), numbers(M, 2)
    eps = torch.tensor([0.125, 0.9, 0.35, 0.75], dtype=torch.float64)
    cases = []
    for slope in (0.0, 0.2):
        critic, generator = (network(SIZES[p], weights[p], slope) for p in ("critic", "generator"))
        between = eps[:, None] * x + (1 - eps[:, None]) * fake
        slopes = input_gradient(critic, between).norm(dim=1)
        others = input_gradient(critic, (1 - eps[:, None]) * x + eps[:, None] * fake).norm(dim=1)
        assert ((slopes - 1).abs() > 0.05).all(), slopes
        assert 0 < (slopes > 1).sum() < M, "some slopes above 1 and some below"
        assert ((slopes - others).abs() > 1e-3).any(), "which end eps belongs to is seen"
        assert all((weight != 0).all() for weight in critic.parameters()), "biases too"
        for objective, limit in CRITIC_CASES:
            answer = critic_answer(critic, x, fake, eps, objective, constraint(limit))
            of = {"player": "critic", "slope": slope, "objective": objective, "constraint": limit}
            cases.append(of | answer)
        for objective in ("wasserstein", "non_saturating", "minimax"):
            answer = generator_answer(generator, critic, z, objective)
            assert sum(g != 0 for g in answer["gradient"]) > len(answer["gradient"]) / 2, "few units are dead"
            of = {"player": "generator", "slope": slope, "objective": objective, "constraint": None}
            cases.append(of | answer)
    rows = {"x": x, "fake": fake, "z": z, "eps": eps}
    flat = {name: values.flatten().tolist() for name, values in rows.items()}
    return {"m": M, "weight": WEIGHT, "sizes": SIZES, "weights": weights, **flat, "cases": cases}


if __name__ == "__main__":
    made = fixture()
    cases = ",\n".join(json.dumps(case) for case in made.pop("cases"))
    head = "".join(f"{json.dumps(name)}: {json.dumps(value)},\n" for name, value in made.items())
    PATH.write_text(f'{{\n{head}"cases": [\n{cases}\n]\n}}\n', encoding="utf-8")
    print(PATH)
