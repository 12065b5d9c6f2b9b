"""What a figure shows side by side: Monte Carlo and flows, with what may be said of their F."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qdflow import tables
from qdflow.stats import CONVERGED, Estimate
from qdflow.summary import COLUMNS, bound, is_bound, judged, pick

Paths = Sequence[Path | str]


class Panel(NamedTuple):
    """One density.

    Attributes:
        label: its name.
        x: (size, n, 2) samples.
        rows: its estimates, with the verdict of `judged`.
        energy: (size,) H of the samples.
        log_q: (size,) of the samples of a flow.
    """

    label: str
    x: NDArray[np.float64]
    rows: pd.DataFrame
    energy: NDArray[np.float64]
    log_q: NDArray[np.float64] | None = None

    @property
    def title(self) -> str:
        """Its name and F if that is a bound, and below why it is one."""
        return f"{self.label}: {bound(self.rows)}\n{self.standing}"

    @property
    def standing(self) -> str:
        """The verdict in a few words, and the share of the rarer sign of the determinant."""
        verdict = self.rows["verdict"].iloc[0].split(":")[0]
        if "minority_sign" not in set(self.rows["quantity"]):
            return verdict if verdict == CONVERGED else "not converged"
        return f"{verdict}, minority sign {self.pick('minority_sign')}"

    @property
    def is_bound(self) -> bool:
        """Whether F is the free energy of a density, as far as is known."""
        return is_bound(self.rows)

    def pick(self, quantity: str) -> Estimate:
        """One of its estimates."""
        return pick(self.rows, quantity)

    def above(self, exact: "Panel") -> str:
        """Its F and how far that is above the exact one, in words."""
        if not self.is_bound:
            return f"{self.label} has failed, and its F is no bound"
        F = self.pick("F")
        return f"F of {self.label} is {F}, {F.minus(exact.pick('F'))} above exact"


class Shown(NamedTuple):
    """A system, its reference, and flows.

    Attributes:
        n, beta: of the system.
        mc: the reference.
        flows: one or more.
        before: (size, n, 2) samples of each averaged flow before averaging.
    """

    n: int
    beta: float
    mc: Panel
    flows: list[Panel]
    before: list[NDArray[np.float64]]

    @property
    def place(self) -> str:
        """Which system at which beta, in words."""
        return f"n = {self.n} electrons at β = {self.beta:g}"

    @property
    def gaps(self) -> str:
        """The exact F, and that of each flow above it, in words."""
        flows = "; ".join(flow.above(self.mc) for flow in self.flows)
        return f"The exact F, from Monte Carlo, is {self.mc.pick('F')}; {flows}."


def read_shown(
    flow_samples: Paths,
    flow_estimates: Paths,
    flow_audit: Paths,
    mc_samples: Path | str,
    mc_estimates: Path | str,
    labels: Sequence[str],
) -> Shown:
    """From the tables of flows and of their reference.

    Raises:
        TableError: one of them is missing or damaged.
    """
    parts = [
        pd.concat([tables.read(own, "estimate", COLUMNS), tables.read(look, "audit", COLUMNS)])
        for own, look in zip(flow_estimates, flow_audit, strict=True)
    ]
    mc = tables.read(mc_estimates, "reference", COLUMNS)
    verdicts = judged(pd.concat([mc, *parts], ignore_index=True))
    frames = [tables.read(path, "estimate", tables.FLOW_SAMPLES) for path in flow_samples]
    flows = [
        Panel(
            label,
            tables.positions(frame),
            _same(verdicts, rows),
            frame["energy"].to_numpy(),
            frame["log_q"].to_numpy(),
        )
        for label, frame, rows in zip(labels, frames, parts, strict=True)
    ]
    sampled = tables.read(mc_samples, "reference", tables.SAMPLES)
    exact = Panel("Monte Carlo", tables.positions(sampled), mc, sampled["energy"].to_numpy())
    before = [tables.positions(f, "x_before") for f in frames if "x_before" in f.columns]
    first = mc.iloc[0]
    return Shown(int(first["n"]), float(first["beta"]), exact, flows, before)


def _same(verdicts: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    first = rows.iloc[0]
    same = (verdicts["cell"] == first["cell"]) & (verdicts["seed"] == first["seed"])
    return verdicts.loc[same, :]
