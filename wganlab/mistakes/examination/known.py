"""What each bug does and how it is mended: the words of a report, by the bug's name.

A name is also the key of its twin in the ``ZOO``, if it has one.
"""

SEGMENT = "x_hat = eps * x + (1 - eps) * x_fake"
SHAPE = "eps.view(-1, *[1] * (x.ndim - 1))"

EFFECTS = {
    "global-norm": "the norm grows with the root of the batch size; "
    "the critic's slope settles near 1 / sqrt(m)",
    "channel-norm": "each place of the picture is asked for slope 1, so a row's slope is far above 1",
    "wrong-axes": "the numbers that are asked to be 1 are not the slopes of the rows",
    "other-norm": "the critic is 1-Lipschitz for another distance than the Euclidean one of W1",
    "squared-norm": "slopes above 1 cost far more and slopes below 1 far less than they should",
    "no-square": "the pull towards slope 1 does not fade near 1, or slopes below 1 are even rewarded",
    "wrong-side": "slopes below 1 cost and slopes above 1 are free, so nothing keeps the critic Lipschitz",
    "zero-centred": "the best slope is pulled towards 0, not 1: "
    "this is R1, which belongs to another objective",
    "wrong-target": "the critic estimates that number times W1 instead of W1",
    "sum-over-batch": "the weight of the penalty grows with the batch size",
    "no-mean": "there is no number to descend, or a later sum makes the weight grow with the batch size",
    "mean-slope": "rows of slope 0 and of slope 2 cancel and cost nothing",
    "mean-score": "every slope is divided by the batch size, so the critic ends up m times too steep",
    "wrong-variable": "each slope carries the factor eps or 1 - eps, so that the critic ends up too steep",
    "wrong-sign": "descending it drives the slopes away from 1",
    "no-graph": "its gradient in the weights is missing, so the critic trains as if there were no penalty",
    "wrong-weight-gradient": "the number is right and what the critic learns from it is not",
    "nan-at-zero": "the root has an infinite derivative at 0, "
    "so one row of slope 0 turns all weights into NaN",
    "not-finite": "training stops at the first step",
    "batch-eps": "all rows sit at the same place of their segments, which multiplies the variance",
    "pixel-eps": "the points are not on the segments between real and fake rows",
    "normal-eps": "about 66 % of the points are outside the segments",
    "eps-range": "parts of the segments are never visited, or points outside them are",
    "constant-eps": "the slope is only ever checked at the same places of the segments",
    "ends-only": "the slope is free between the two laws, where the critic does its work",
    "off-segment": "the slope is asked for at points where the theory does not need it, not where it does",
    "fixed-channels": "grey pictures, or coloured ones, fail",
    "fixed-batch": "the last, smaller batch of an epoch fails",
    "fixed-size": "data of another size fail",
    "changes-batch": "the caller's data are other data after the call",
    "changes-critic": "the critic is another one after the call",
    "writes-grad": "gradients pile up on the weights and enter the next optimizer step",
    "switches-mode": "dropout and normalisation act in another mode after the call",
    "mixes-rows": "a row's gradient then depends on the other rows, "
    "and the penalty is no longer one slope a row",
    "raises": "there is no penalty",
    "unknown": "something else than the penalty is computed",
}

ONE_NORM = "one norm a row: gradient.flatten(1).norm(dim=1), of shape (m,)"
TARGET = "subtract 1 from the slope before the square"
ONE_EPS = f"one eps a row: torch.rand(len(x)), as {SHAPE}"
NO_FIXED_SHAPE = f"take shapes from the tensor: {SHAPE}"

REMEDIES = {
    "global-norm": ONE_NORM,
    "channel-norm": ONE_NORM,
    "wrong-axes": ONE_NORM,
    "other-norm": "the Euclidean norm: gradient.flatten(1).norm(dim=1)",
    "squared-norm": "take the root: gradient.flatten(1).norm(dim=1), then (slope - 1) ** 2",
    "no-square": "square the excess: (slope - 1).square().mean()",
    "wrong-side": "one-sided means (slope - 1).relu().square()",
    "zero-centred": TARGET,
    "wrong-target": TARGET,
    "sum-over-batch": "average over rows: .mean() instead of .sum()",
    "no-mean": "average over rows: .mean() at the end",
    "mean-slope": "subtract 1 and square in each row, then average",
    "mean-score": "differentiate critic(x_hat).sum(), whose gradient in row i is that of score i",
    "wrong-variable": "differentiate with respect to x_hat itself, made by x_hat.detach().requires_grad_()",
    "wrong-sign": "add +weight * (slope - 1).square().mean() to the loss that the critic minimises",
    "no-graph": "pass create_graph=True to autograd.grad, and let no detach, data, item or float in between",
    "wrong-weight-gradient": "let no detach or no_grad stand between the critic and the penalty",
    "nan-at-zero": "gradient.flatten(1).norm(dim=1), whose derivative at 0 is 0, or sqrt(sum + 1e-12)",
    "not-finite": "look for a division by 0 or a root of 0",
    "batch-eps": ONE_EPS,
    "pixel-eps": ONE_EPS,
    "normal-eps": "torch.rand, which is uniform on [0, 1], instead of torch.randn",
    "eps-range": "eps = torch.rand(len(x)), uniform on [0, 1]",
    "constant-eps": "draw eps anew in each call, and seed no generator inside the function",
    "ends-only": f"{SEGMENT}, with eps uniform on [0, 1]",
    "off-segment": f"{SEGMENT} and nothing more",
    "fixed-channels": NO_FIXED_SHAPE,
    "fixed-batch": "take the batch size from the tensor: len(x)",
    "fixed-size": NO_FIXED_SHAPE,
    "changes-batch": "no operation in place on x or x_fake: make x_hat a new tensor",
    "changes-critic": "leave weights, buffers and flags alone",
    "writes-grad": "torch.autograd.grad(...) instead of backward() and zero_grad()",
    "switches-mode": "leave train() and eval() to the caller",
    "mixes-rows": "LayerNorm or GroupNorm instead of BatchNorm in the critic",
    "raises": "take (critic, x, x_fake), make x_hat by .detach().requires_grad_() "
    "outside no_grad, give one number",
    "unknown": "compare it line by line with Algorithm 1",
}

WITHOUT_ENTRY = {"raises", "unknown", "not-finite"}
