"""Lines of the plane of one electron's z, bent into x by a map, while the others keep their z."""

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from qdflow.flows.base import Flow
from qdflow.system import System

LINES, POINTS = 17, 161  # of each direction, and on each
OTHERS = -1  # number of the line of the electrons
CHOICES = 500  # samples, of which the one of median energy is shown


@torch.no_grad()
def grid(flow: Flow, system: System, generator: torch.Generator) -> pd.DataFrame:
    """Lines of the first electron's z-plane and their images, at a sample of typical energy.

    A map moves all electrons at once: where the others are in x depends on the z of this one, too.
    They are shown as they are in the sample. Auxiliary momenta keep their values.

    Args:
        flow: a map of z, in float64.
        system: gives H.
        generator: of the sample.

    Returns:
        A table with the columns of `tables.GRID`: the electrons of the sample, the first one first,
        as line `OTHERS`, and points of lines, upright ones first.

    Raises:
        ValueError: the flow is no map.
    """
    if not flow.reparametrised:
        raise ValueError(
            f"{type(flow).__name__} draws its samples one electron after the other, and is no map"
            " of z; choose another flow"
        )
    drawn = flow.base.sample(CHOICES, generator, like=torch.zeros(1, dtype=torch.float64))
    energy = system.energy(flow.transform(drawn)[0][..., :2])
    z = drawn[energy.argsort()[CHOICES // 2]]
    lines = _lines(_half(drawn[..., :2]))
    moved = z.expand(len(lines), -1, -1).clone()
    moved[:, 0, :2] = lines
    ends = torch.cat([flow.transform(part)[0][:, 0, :2] for part in moved.split(500)])
    here = flow.transform(z[None])[0][0, :, :2]
    line = np.repeat(np.arange(2 * LINES), POINTS)
    return pd.DataFrame(
        {
            "line": np.concatenate([np.full(system.n, OTHERS), line]),
            "z": list(torch.cat([z[:, :2], lines]).numpy()),
            "x": list(torch.cat([here, ends]).numpy()),
        }
    )


def _half(z: Tensor) -> float:
    """Half the side of a square around nearly all of a base's z (size, n, 2)."""
    return float(z.abs().flatten().quantile(0.985))


def _lines(half: float) -> Tensor:
    """Upright and level lines of a square, one after the other, (2 LINES POINTS, 2)."""
    at = torch.linspace(-half, half, LINES, dtype=torch.float64).repeat_interleave(POINTS)
    along = torch.linspace(-half, half, POINTS, dtype=torch.float64).repeat(LINES)
    return torch.cat([torch.stack([at, along], -1), torch.stack([along, at], -1)])
