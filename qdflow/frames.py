"""What a flow draws along its training."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import torch

from qdflow import tables
from qdflow.family import rebuild
from qdflow.system import System


@torch.no_grad()
def frames(
    snapshots: Mapping[str, Any], beta: float, symmetry: str, size: int, seed: int
) -> pd.DataFrame:
    """Samples of the flow at each snapshot, all from the same random numbers.

    Args:
        snapshots: what `Snapshots.gathered` gave, with the flow's `architecture`, `system` and,
            of a family, its options.
        beta: of the flow.
        symmetry: group that its density is averaged over, or `none`.
        size: samples of each.
        seed: of the random numbers.

    Returns:
        A table with the columns of `tables.FRAMES`.
    """
    system, parts = System(**snapshots["system"]), []
    for step, state in zip(snapshots["steps"], snapshots["states"], strict=True):
        flow = rebuild({**snapshots, "parameters": state}, beta, symmetry)
        x, log_q = flow.sample(size, torch.Generator().manual_seed(seed))
        energy = system.energy(x)
        frame = tables.configurations(x.numpy(), energy=energy.numpy(), log_q=log_q.numpy())
        parts.append(frame.assign(step=step)[list(tables.FRAMES)])
    return pd.concat(parts, ignore_index=True)
