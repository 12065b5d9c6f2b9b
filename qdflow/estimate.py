"""What a flow says of itself, on samples that it was not trained on."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from qdflow.flows.base import Draw, Flow, minority_fraction
from qdflow.free_energy import variational
from qdflow.stats import Estimate, proportion
from qdflow.system import System

Array = NDArray[np.float64]


class FlowEstimate(NamedTuple):
    """Estimates, and the samples they were made from.

    Attributes:
        estimates: by quantity; F, E, S, and `minority_sign`, the share of the rarer sign of the
            Jacobian determinant.
        verdict: whether log_q is a log-density, as far as the signs tell.
        x: (samples, n, 2).
        energy, log_q, sign: (samples,).
    """

    estimates: dict[str, Estimate]
    verdict: str
    x: Array
    energy: Array
    log_q: Array
    sign: Array


@torch.no_grad()
def estimate(
    flow: Flow,
    system: System,
    beta: float,
    size: int,
    generator: torch.Generator,
    chunk: int = 2500,
    report: Callable[[int, int, str], None] = lambda _done, _total, _news: None,
) -> FlowEstimate:
    """Draw ``size`` fresh samples, ``chunk`` at a time, and estimate from them.

    Raises:
        ValueError: an energy or a density is not finite.
    """
    draws: list[Draw] = []
    for start in range(0, size, chunk):
        draws.append(flow.draw(min(chunk, size - start), generator))
        report(min(start + chunk, size), size, "")
    x, log_q, sign = (torch.cat(parts) for parts in zip(*draws, strict=True))
    energy = system.energy(x)
    found = variational(energy.cpu().numpy(), log_q.cpu().numpy(), beta)
    found["minority_sign"] = proportion(minority_fraction(sign), size)
    verdict = _verdict(flow, found["minority_sign"].mean, size)
    return FlowEstimate(found, verdict, *(t.cpu().numpy() for t in (x, energy, log_q, sign)))


def _verdict(flow: Flow, minority: float, size: int) -> str:
    if minority > 0:
        return f"failed: det J changes sign on {minority:.2g} of the samples, so the map folds"
    if flow.claim:
        return f"by construction: {flow.claim}"
    return f"no fold seen in {size} samples"
