"""A trained flow as every step after its training opens it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from qdflow import checkpoint, device, tables
from qdflow.family import rebuild
from qdflow.flows.base import Flow
from qdflow.system import System


@dataclass(frozen=True)
class Trained:
    """One flow at one beta, with what names it in the tables.

    Attributes:
        flow: in float64, its parameters fixed, on the device that was asked for.
        system: whose energy it was trained on.
        columns: of its rows in the summary, by name; `symmetry` has what the flow has by itself.
        note: provenance of the tables that are made from it.
    """

    flow: Flow
    system: System
    columns: dict[str, Any]
    note: dict[str, Any]

    @property
    def beta(self) -> float:
        """In the inverse of the energy unit."""
        return self.columns["beta"]

    def unseen(self, reference: pd.DataFrame) -> pd.DataFrame:
        """The samples of the reference that its training had no part of: all, or half of them."""
        if self.columns["objective"].startswith("reverse"):
            return reference
        return tables.halves(reference)[1]


def load(path: Path, job: Mapping[str, Any], wanted: str = "auto") -> Trained:
    """Open what a training has saved.

    Args:
        path: of the model.
        job: of the step that is to use it, with its `columns` and `seed`.
        wanted: device to compute on, see `device.pick`.

    Raises:
        CheckpointError: the file is damaged.
        DeviceError: there is no such device.
    """
    model, where = checkpoint.load(path), device.pick(wanted)
    columns = dict(job["columns"])
    flow = rebuild(model, columns["beta"], columns["symmetry"]).to(where)
    columns["symmetry"] = flow.symmetry
    note = {"config": job, "seed": job["seed"], "device": device.name(where)}
    return Trained(flow, System(**model["system"]), columns, note)
