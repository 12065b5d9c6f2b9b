"""What a flow says of itself, on samples that it was not trained on."""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from qdflow import checks, device
from qdflow.flows.base import Draw, Flow, minority_fraction
from qdflow.free_energy import variational, weights
from qdflow.stats import Estimate, iid_mean, proportion
from qdflow.symmetry import Averaged
from qdflow.system import System

Array = NDArray[np.float64]


class FlowEstimate(NamedTuple):
    """Estimates, and the samples they were made from.

    Attributes:
        estimates: by quantity; F, E, S, C, V, V_ee, the distance of the `closest` two electrons,
            `ess` and `pareto_k` of the importance weights, `seconds_per_sample` of processor time
            for x and ln q, and `minority_sign`, the share of the rarer sign of the Jacobian
            determinant. Of an averaged flow also `F_before` averaging, and the `symmetry_gain`
            F_before - F, whose error is that of the paired difference: both are estimated on the
            same samples.
        verdict: whether log_q is a log-density, as far as the signs tell.
        x: (samples, n, 2).
        energy, log_q, sign: (samples,).
        x_before, log_q_before: of an averaged flow, the same samples of the flow by itself.
    """

    estimates: dict[str, Estimate]
    verdict: str
    x: Array
    energy: Array
    log_q: Array
    sign: Array
    x_before: Array | None = None
    log_q_before: Array | None = None


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
        ValueError: beta is not above 0, there is nothing to draw, or an energy or a density is not
            finite.
    """
    checks.positive(beta=beta)
    checks.count(2, size=size)
    checks.count(1, chunk=chunk)
    pairs: list[tuple[Draw, Draw]] = []  # before and after averaging; the same without
    seconds: list[float] = []
    for start in range(0, size, chunk):
        since, most = time.process_time(), min(chunk, size - start)
        pairs.append(_drawn(flow, most, generator))
        device.finish(pairs[-1][1].log_q.device)
        seconds.append((time.process_time() - since) / most)
        report(min(start + chunk, size), size, "")
    before, after = (_joined(draws) for draws in zip(*pairs, strict=True))
    V, V_ee = system.trap_energy(after.x), system.pair_energy(after.x)
    energy = (V + V_ee).cpu().numpy()
    found = variational(energy, after.log_q.cpu().numpy(), beta)
    found |= {"V": iid_mean(V.cpu()), "V_ee": iid_mean(V_ee.cpu())}
    if system.n > 1:
        found["closest"] = iid_mean(system.closest(after.x).cpu())
    found |= weights(-beta * energy - after.log_q.cpu().numpy())
    found |= _cost(seconds)
    found["minority_sign"] = proportion(minority_fraction(after.sign), size)
    verdict = _verdict(flow, found["minority_sign"].mean, size)
    arrays = [t.cpu().numpy() for t in (after.x, after.log_q, after.sign)]
    result = FlowEstimate(found, verdict, arrays[0], energy, *arrays[1:])
    if isinstance(flow, Averaged):
        found["F_before"] = variational(energy, before.log_q.cpu().numpy(), beta)["F"]
        found["symmetry_gain"] = iid_mean((before.log_q - after.log_q).cpu() / beta)
        result = result._replace(
            x_before=before.x.cpu().numpy(), log_q_before=before.log_q.cpu().numpy()
        )
    return result


def _drawn(flow: Flow, size: int, generator: torch.Generator) -> tuple[Draw, Draw]:
    if isinstance(flow, Averaged):
        return flow.draw_both(size, generator)
    draw = flow.draw(size, generator)
    return draw, draw


def _cost(seconds: Sequence[float]) -> dict[str, Estimate]:
    """Of a sample, from those of the chunks but the first, which sets up what stays."""
    return {"seconds_per_sample": iid_mean(seconds[1:])} if len(seconds) > 2 else {}


def _joined(draws: Iterable[Draw]) -> Draw:
    return Draw(*(torch.cat(parts) for parts in zip(*draws, strict=True)))


def _verdict(flow: Flow, minority: float, size: int) -> str:
    if minority > 0:
        return f"failed: det J changes sign on {minority:.2g} of the samples, so the map folds"
    if flow.claim:
        return f"by construction: {flow.claim}"
    return f"passed the search: no fold in {size} samples"
