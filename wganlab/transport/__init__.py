r"""Exact optimal transport that certifies its answer, and the ways around its cost.

The problem: move masses a on points x to masses b on points y at the least total cost,

.. math:: \min_{\gamma \ge 0} \sum_{ij}\gamma_{ij}C_{ij},\quad \gamma 1 = a,\ \gamma^T 1 = b,

whose dual is :math:`\max \langle a,\varphi\rangle + \langle b,\psi\rangle` subject to
:math:`\varphi_i + \psi_j \le C_{ij}`. A plan bounds the value from above, potentials from below:
together they are a certificate, and no number leaves this package without one.

- ``exact``: any points, any cost matrix; ``special_cases``: the line, many lines, normal laws.
- ``potentials``: the exact critic; ``entropic``: Sinkhorn; ``samples``: what a finite sample does to the
  distance.
- ``congested``: the other problem that a critic with a gradient penalty solves.

Arrays may be numpy, torch or lists; arrays in a result are of the kind that came in. The
computation is in float64 on the CPU and never changes an input.
"""

from .congested import (
    CongestedFlow,
    PenalisedCritic,
    PenalisedSample,
    congested_flow,
    interpolate_density,
    penalised_line,
    penalised_sample,
)
from .entropic import entropic_potentials, sinkhorn, sinkhorn_divergence
from .exact import Transport, emd, emd_from_cost, emd_lp, ground_cost
from .potentials import Potential, c_transform, kantorovich_potential
from .samples import bridge_constant, sample_w1
from .special_cases import cumulative_flow, gaussian_w2, sliced_wasserstein, wasserstein_1d

__all__ = ["Transport", "cumulative_flow", "emd", "emd_from_cost", "emd_lp", "ground_cost", "wasserstein_1d"]
__all__ += ["Potential", "c_transform", "kantorovich_potential"]
__all__ += ["entropic_potentials", "gaussian_w2", "sinkhorn", "sinkhorn_divergence", "sliced_wasserstein"]
__all__ += ["bridge_constant", "sample_w1"]
__all__ += ["CongestedFlow", "PenalisedCritic", "PenalisedSample"]
__all__ += ["congested_flow", "interpolate_density", "penalised_line", "penalised_sample"]
