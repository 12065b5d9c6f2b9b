"""Two cells held against each other: by how much is F lower, and is that more than chance?"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats as scipy_stats

from qdflow.stats import Estimate, iid_mean
from qdflow.summary import is_bound, pick
from qdflow.symmetry import log_order

COMPARISONS = {  # columns and their units
    "comparison": "",
    "system": "",
    "n": "electrons",
    "beta": "1/energy",
    "cell": "",
    "against": "",
    "symmetry": "",
    "ceiling": "energy",
    "seeds": "",
    "against_seeds": "",
    "F": "energy",
    "F_stderr": "energy",
    "against_F": "energy",
    "against_F_stderr": "energy",
    "gain": "energy",
    "gain_stderr": "energy",
    "gain_ess": "samples or seeds",
    "p_value": "1",
    "steps": "1",
    "against_steps": "1",
    "seconds": "s",
    "against_seconds": "s",
    "verdict": "",
}
CHANCE = 0.01  # two-sided p below which a difference is called one
ROUNDING = 1e-9  # energy
BEFORE = "itself, before averaging"


def compared(
    name: str,
    estimates: pd.DataFrame,
    work: pd.DataFrame,
    cell: str,
    beta: float,
    against: str = "",
    symmetry: str = "none",
) -> dict[str, Any]:
    """A row of the table of comparisons.

    The gain is F of the one minus F of the other. With several seeds its error is the scatter of
    the trainings, and p that of Welch's t-test; with one it is that of the samples alone, which
    the verdict says. Without another cell, the gain of averaging a flow over a group is that of
    the paired samples, which lies between 0 and the ceiling T ln|G|.

    Args:
        name: of the comparison.
        estimates: long table of all cells that are compared, with the verdict of `judged`.
        work: columns cell, beta, step and seconds, a row for each training.
        cell, against: names of the cells; no other: the cell before averaging.
        beta: at which they are compared.
        symmetry: what the one has and the other lacks.
    """
    ours, theirs = (_rows(estimates, side, beta) for side in (cell, against or cell))
    first = ours.iloc[0]
    F, other = _level(ours, "F"), _level(theirs, "F" if against else "F_before")
    gain = other.minus(F) if against else _level(ours, "symmetry_gain")
    ceiling = log_order(symmetry, int(first["n"])) / beta
    valid = is_bound(ours) and is_bound(theirs)
    p = _chance(gain, F, other) if against else _normal(gain)
    efforts = [_effort(work, side, beta) for side in (cell, against or cell)]
    return {
        "comparison": name,
        **{key: first[key] for key in ("system", "n", "beta", "cell")},
        "against": against or BEFORE,
        "symmetry": symmetry,
        "ceiling": ceiling,
        "seeds": _seeds(ours),
        "against_seeds": _seeds(theirs),
        "F": F.mean if is_bound(ours) else np.nan,
        "F_stderr": F.stderr if is_bound(ours) else np.nan,
        "against_F": other.mean if is_bound(theirs) else np.nan,
        "against_F_stderr": other.stderr if is_bound(theirs) else np.nan,
        "gain": gain.mean if valid else np.nan,
        "gain_stderr": gain.stderr if valid else np.nan,
        "gain_ess": gain.ess if valid else np.nan,
        "p_value": p if valid else np.nan,
        "steps": efforts[0][0],
        "against_steps": efforts[1][0],
        "seconds": efforts[0][1],
        "against_seconds": efforts[1][1],
        "verdict": _verdict(gain, p, ceiling, against, _seeds(ours) * _seeds(theirs))
        if valid
        else "no verdict: a flow failed, so its F is no bound",
    }


def select(table: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Some comparisons, in the order of their names.

    Raises:
        ValueError: the table holds no such comparison.
    """
    at = {name: index for index, name in table["comparison"].items()}
    if unknown := [name for name in names if name not in at]:
        raise ValueError(f"no comparison {unknown[0]!r} in the table")
    return table.loc[[at[name] for name in names], :]


def overview(table: pd.DataFrame) -> pd.DataFrame:
    """The comparisons at a glance, as text; steps and seconds are those of one training."""
    return pd.DataFrame(_glance(row) for _, row in table.iterrows())


def _glance(row: Any) -> dict[str, str]:
    def text(quantity: str) -> str:
        error = f"{quantity}_stderr"
        known = np.isfinite(row[quantity])
        return str(Estimate(row[quantity], row[error], np.nan)) if known else "no bound"

    return {
        "cell": row["cell"],
        "against": row["against"],
        "beta": f"{row['beta']:g}",
        "F": text("F"),
        "F of the other": text("against_F"),
        "gain": text("gain"),
        "ceiling": f"{row['ceiling']:.4f}" if row["symmetry"] != "none" else "",
        "symmetry": row["symmetry"],
        "seeds": f"{row['seeds']}, {row['against_seeds']}",
        "steps": f"{row['steps']:.0f}, {row['against_steps']:.0f}",
        "seconds": f"{row['seconds']:.0f}, {row['against_seconds']:.0f}",
        "verdict": row["verdict"],
    }


def _rows(estimates: pd.DataFrame, cell: str, beta: float) -> pd.DataFrame:
    found = estimates.loc[(estimates["cell"] == cell) & (estimates["beta"] == beta), :]
    if found.empty:
        raise ValueError(f"no estimate of cell {cell!r} at beta {beta:g} was given")
    return found


def _seeds(rows: pd.DataFrame) -> int:
    return len(rows["seed"].unique())


def _level(rows: pd.DataFrame, quantity: str) -> Estimate:
    """Over the seeds: their mean with their scatter, or the one there is."""
    each = [pick(one, quantity) for _, one in rows.groupby("seed")]
    return each[0] if len(each) == 1 else iid_mean([e.mean for e in each])


def _effort(work: pd.DataFrame, cell: str, beta: float) -> tuple[float, float]:
    """Steps and seconds of a training, on average over the seeds."""
    same = work.loc[(work["cell"] == cell) & (work["beta"] == beta), ["step", "seconds"]]
    steps, seconds = same.mean()
    return float(steps), float(seconds)


def _chance(gain: Estimate, F: Estimate, other: Estimate) -> float:
    """Two-sided p that the two differ by chance."""
    if min(F.ess, other.ess) < 2:
        raise ValueError("a comparison needs at least two samples of each")
    sides = [(e.mean, e.stderr * np.sqrt(e.ess), e.ess) for e in (F, other)]
    result: Any = scipy_stats.ttest_ind_from_stats(*sides[0], *sides[1], equal_var=False)
    return float(result.pvalue) if gain.stderr > 0 else float(gain.mean == 0)


def _normal(gain: Estimate) -> float:
    return float(2 * scipy_stats.norm.sf(abs(gain.sigmas_from(0))))


def _verdict(gain: Estimate, p: float, ceiling: float, against: str, seeds: int) -> str:
    if not against:
        # At a full gain all samples agree, and what is left of the error is rounding.
        low, high = gain.sigmas_from(-ROUNDING), gain.sigmas_from(ceiling + ROUNDING)
        if low < -4 or high > 4:
            return f"gain {gain} outside 0 ... {ceiling:.4f}: log_prob must be wrong"
        return f"gain {gain} of at most {ceiling:.4f}, paired on the same samples"
    if p >= CHANCE:
        sentence = f"undecided: F lower by {gain} (p = {p:.2g})"
    else:
        way = "lower" if gain.mean > 0 else "higher"
        sentence = f"F {way} by {gain._replace(mean=abs(gain.mean))} (p = {p:.1g})"
    alone = "; one training each, whose chance is not in the error" if seeds == 1 else ""
    return sentence + alone
