"""A flow beside its reference, as the talk's slides show them."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qdflow import tables
from qdflow.stats import CONVERGED, Estimate
from qdflow.summary import COLUMNS, pick


class Comparison(NamedTuple):
    """First the flow, then Monte Carlo.

    Attributes:
        n, beta: of the system.
        samples: (size, n, 2) of each.
        F: of each.
        names: of each, with a warning where Monte Carlo did not converge.
    """

    n: int
    beta: float
    samples: list[NDArray[np.float64]]
    F: list[Estimate]
    names: list[str]


def read_comparison(
    flow_samples: Path | str,
    flow_estimates: Path | str,
    mc_samples: Path | str,
    mc_estimates: Path | str,
) -> Comparison:
    """From the tables of one flow and of its reference.

    Raises:
        TableError: one of them is missing or damaged.
    """
    flow = tables.read(flow_estimates, "estimate", COLUMNS)
    mc = tables.read(mc_estimates, "reference", COLUMNS)
    samples = [
        tables.read(flow_samples, "estimate", tables.SAMPLES),
        tables.read(mc_samples, "reference", tables.SAMPLES),
    ]
    converged = mc["verdict"].iloc[0] == CONVERGED
    return Comparison(
        int(flow["n"].iloc[0]),
        float(flow["beta"].iloc[0]),
        [tables.positions(frame) for frame in samples],
        [pick(flow, "F"), pick(mc, "F")],
        ["flow", "Monte Carlo" if converged else "Monte Carlo (not converged)"],
    )
