"""Two cells held against each other: by how much is F lower, and is that more than chance?"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import stats as scipy_stats

from qdflow.groups import log_order
from qdflow.stats import Estimate, iid_mean
from qdflow.summary import is_bound, pick

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
NOTHING = Estimate(np.nan, np.nan, np.nan)
BEFORE = "itself, before averaging"


class _Side(NamedTuple):
    """A cell in a comparison: the trainings that did not fail, their F, and what one took."""

    name: str
    rows: pd.DataFrame
    seeds: int
    failed: int
    F: Estimate
    steps: float
    seconds: float


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
    the verdict says. Trainings that failed are left out, which the verdict says, too; where they
    leave one of several, nobody knows how these scatter, and nothing is decided. Without another
    cell, the gain of averaging a flow over a group is that of the paired samples, which
    lies between 0 and the ceiling T ln|G|.

    Args:
        name: of the comparison.
        estimates: long table of all cells that are compared, with the verdict of `judged`.
        work: columns cell, beta, step and seconds, a row for each training.
        cell, against: names of the cells; no other: the cell before averaging.
        beta: at which they are compared.
        symmetry: what the one has and the other lacks.
    """
    ours = _side(estimates, work, cell, beta)
    theirs = _side(estimates, work, against or cell, beta, "F" if against else "F_before")
    first = estimates.loc[estimates["cell"] == cell, :].iloc[0]
    ceiling = log_order(symmetry, int(first["n"])) / beta
    gain, p, verdict = _judged(ours, theirs, ceiling, paired=not against)
    return {
        "comparison": name,
        **{key: first[key] for key in ("system", "n")},
        "beta": beta,
        "cell": cell,
        "against": against or BEFORE,
        "symmetry": symmetry,
        "ceiling": ceiling,
        "seeds": ours.seeds,
        "against_seeds": theirs.seeds,
        "F": ours.F.mean,
        "F_stderr": ours.F.stderr,
        "against_F": theirs.F.mean,
        "against_F_stderr": theirs.F.stderr,
        "gain": gain.mean,
        "gain_stderr": gain.stderr,
        "gain_ess": gain.ess,
        "p_value": p,
        "steps": ours.steps,
        "against_steps": theirs.steps,
        "seconds": ours.seconds,
        "against_seconds": theirs.seconds,
        "verdict": verdict,
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


def _side(
    estimates: pd.DataFrame, work: pd.DataFrame, cell: str, beta: float, quantity: str = "F"
) -> _Side:
    found = estimates.loc[(estimates["cell"] == cell) & (estimates["beta"] == beta), :]
    if found.empty:
        raise ValueError(f"no estimate of cell {cell!r} at beta {beta:g} was given")
    trainings = [rows for _, rows in found.groupby("seed")]
    valid = [rows for rows in trainings if is_bound(rows)]
    rows = pd.concat(valid) if valid else found.iloc[:0]
    F = _level(rows, quantity) if valid else NOTHING
    same = work.loc[(work["cell"] == cell) & (work["beta"] == beta), ["step", "seconds"]]
    steps, seconds = map(float, same.mean())
    return _Side(cell, rows, len(valid), len(trainings) - len(valid), F, steps, seconds)


def _level(rows: pd.DataFrame, quantity: str) -> Estimate:
    """Over the seeds: their mean with their scatter, or the one there is."""
    each = [pick(one, quantity) for _, one in rows.groupby("seed")]
    return each[0] if len(each) == 1 else iid_mean([e.mean for e in each])


def _judged(
    ours: _Side, theirs: _Side, ceiling: float, paired: bool
) -> tuple[Estimate, float, str]:
    """The gain, the chance that there is none, and both in words."""
    if not (ours.seeds and theirs.seeds):
        return NOTHING, np.nan, "no verdict: all trainings of a cell failed, so no F is a bound"
    if paired:
        gain = _level(ours.rows, "symmetry_gain")
        return gain, _normal(gain), _within(gain, ceiling) + _left_out(ours)
    gain = theirs.F.minus(ours.F)
    way = "lower" if gain.mean > 0 else "higher"
    size = gain._replace(mean=abs(gain.mean))
    if left := [side.name for side in (ours, theirs) if side.seeds == 1 and side.failed]:
        verdict = f"undecided: F {way} by {size}, with one training left of {' and of '.join(left)}"
        return gain, np.nan, verdict + _left_out(ours, theirs)
    p = _chance(gain, ours.F, theirs.F)
    if p >= CHANCE:
        verdict = f"undecided: F {way} by {size} (p = {p:.2g})"
    else:
        verdict = f"F {way} by {size} (p = {p:.1g})"
    alone = [side.name for side in (ours, theirs) if side.seeds == 1]
    if alone:
        verdict += f"; one training of {' and of '.join(alone)}, whose chance is not in the error"
    return gain, p, verdict + _left_out(ours, theirs)


def _left_out(*sides: _Side) -> str:
    return "".join(
        f"; {side.failed} of {side.failed + side.seeds} trainings of {side.name} failed"
        for side in sides
        if side.failed
    )


def _within(gain: Estimate, ceiling: float) -> str:
    # At a full gain all samples agree, and what is left of the error is rounding.
    low, high = gain.sigmas_from(-ROUNDING), gain.sigmas_from(ceiling + ROUNDING)
    if low < -4 or high > 4:
        return f"gain {gain} outside 0 ... {ceiling:.4f}: log_prob must be wrong"
    return f"gain {gain} of at most {ceiling:.4f}, paired on the same samples"


def _chance(gain: Estimate, F: Estimate, other: Estimate) -> float:
    """Two-sided p that the two differ by chance."""
    if min(F.ess, other.ess) < 2:
        raise ValueError("a comparison needs at least two samples of each")
    sides = [(e.mean, e.stderr * np.sqrt(e.ess), e.ess) for e in (F, other)]
    result: Any = scipy_stats.ttest_ind_from_stats(*sides[0], *sides[1], equal_var=False)
    return float(result.pvalue) if gain.stderr > 0 else float(gain.mean == 0)


def _normal(gain: Estimate) -> float:
    return float(2 * scipy_stats.norm.sf(abs(gain.sigmas_from(0))))
