"""The long table that all estimates share: one row a number."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from qdflow.stats import CONVERGED, Estimate, Found

COLUMNS = {  # and their units
    "system": "",
    "n": "electrons",
    "trap": "",
    "beta": "1/energy",
    "cell": "",
    "architecture": "",
    "symmetry": "",
    "objective": "",
    "seed": "",
    "method": "",
    "quantity": "",
    "mean": "of the quantity",
    "stderr": "of the quantity",
    "ess": "samples",
    "r_hat": "1",
    "verdict": "",
    "unit": "",
}
QUANTITIES = {  # and their units: energies are in the trap's, S and C in Boltzmann's constant
    "F": "energy",
    "E": "energy",
    "V": "energy",
    "V_ee": "energy",
    "S": "k",
    "C": "k",
    "closest": "length",
    "virial": "energy",
    "centre_of_mass": "1",
    "ess": "1",
    "pareto_k": "1",
    "seconds_per_sample": "s",
    "minority_sign": "1",
    "minority_sign_segments": "1",
    "minority_sign_inflated": "1",
    "second_preimages": "1",
    "lost_in_folds": "energy",
    "ladj_defect": "1",
    "log_q_defect": "1",
    "round_trip": "length",
    "normalisation": "1",
    "no_preimage": "1",
    "lost_relabellings": "energy",
    "misfit": "energy",
    "annealing_steps": "1",
    "annealing_accepted": "1",
    "F_before": "energy",
    "symmetry_gain": "energy",
}
OWN = ("variational", "weights", "clock", "metropolis", "ladder")  # methods of estimates by itself
TOO_GOOD = 4.0  # standard errors below exact
UNFOUNDED = ("F", "F_before", "S", "symmetry_gain")  # where ln q is no log-density


def rows(
    estimates: Mapping[str, Estimate],
    methods: Mapping[str, str],
    r_hat: Mapping[str, float] | None = None,
    **cell: Any,
) -> pd.DataFrame:
    """Estimates by quantity as rows of the table; ``cell`` gives the columns they share."""
    table = [
        cell
        | {"quantity": quantity, "method": methods[quantity], "unit": QUANTITIES[quantity]}
        | estimate._asdict()
        | {"r_hat": (r_hat or {}).get(quantity, np.nan)}
        for quantity, estimate in estimates.items()
    ]
    return pd.DataFrame(table, columns=list(COLUMNS))


def found_rows(found: Mapping[tuple[str, str], Found], note: str = "", **cell: Any) -> pd.DataFrame:
    """Estimates by (quantity, method) as rows; their verdict is why there is none, or the note."""
    return pd.concat(
        [
            rows({quantity: one.estimate}, {quantity: method}, verdict=one.refusal or note, **cell)
            for (quantity, method), one in found.items()
        ],
        ignore_index=True,
    )


def pick(frame: pd.DataFrame, quantity: str, method: str = "") -> Estimate:
    """The one estimate of a quantity in the rows of one cell.

    Args:
        frame: the rows.
        quantity: that is wanted.
        method: by which; if left out, one of those in `OWN`.

    Raises:
        ValueError: there is none, or more than one.
    """
    methods = [method] if method else list(OWN)
    found = frame[(frame["quantity"] == quantity) & frame["method"].isin(methods)]
    if len(found) != 1:
        by = f" by {method}" if method else ""
        raise ValueError(f"{len(found)} rows hold the quantity {quantity!r}{by}, not one")
    row = found.iloc[0]
    return Estimate(float(row["mean"]), float(row["stderr"]), float(row["ess"]))


def is_bound(rows: pd.DataFrame) -> bool:
    """Whether F of these rows bounds the free energy: not if a flow has failed."""
    return not rows["verdict"].str.startswith("failed").any()


def bound(rows: pd.DataFrame) -> str:
    """F of one density as text, or that it has none that means anything."""
    return f"F = {pick(rows, 'F')}" if is_bound(rows) else "no bound"


def is_unfounded(row: Mapping[Hashable, Any]) -> bool:
    """Whether a row holds what a flow says of ln q, and its map has failed: no number to show."""
    own = row["method"] in OWN and row["quantity"] in UNFOUNDED
    return own and row.get("verdict", "").startswith("failed")  # an album leaves those out


def judged(summary: pd.DataFrame) -> pd.DataFrame:
    """The table with the last word on every flow as the verdict of its estimates.

    That is the audit's, if there was one; and ``failed`` if F is too good to be true. The
    variational F of a density is an upper bound: one that lies `TOO_GOOD` standard errors below the
    F of a converged reference belongs to a log_q that is no log-density.
    """
    table = summary.copy()
    for rows in _densities(summary):
        audits = rows.loc[rows["method"] == "audit", "verdict"]
        own = rows.loc[rows["method"].isin(list(OWN)), :]
        if len(audits) and is_bound(own):
            table.loc[own.index, "verdict"] = audits.iloc[0]
        gap = _above_exact(rows, summary.loc[summary["verdict"] == CONVERGED, :])
        if gap and (sigmas := -gap.sigmas_from(0)) > TOO_GOOD:
            verdict = f"failed: F is {sigmas:.0f} sigma below the exact F, so ln q is no density"
            table.loc[rows.index, "verdict"] = verdict
    return table


def overview(summary: pd.DataFrame) -> pd.DataFrame:
    """The long table at a glance: a row of text for each reference and each flow.

    ``above exact`` is F minus the reference's F at the same system and beta; ``ESS`` is the
    effective share of the samples when they are reweighted to p, blind to modes without samples.
    """
    return pd.DataFrame(_glance(rows, summary) for rows in _densities(summary))


def select(summary: pd.DataFrame, names: Iterable[str]) -> pd.DataFrame:
    """The rows of some cells, each after the reference that it is to be held against.

    Args:
        summary: the long table.
        names: of cells, as CELL or CELL@BETA, in the order that is wanted.

    Raises:
        ValueError: the table holds no such cell.
    """
    chosen = {}  # by place, the cells wanted there
    for name in names:
        cell, _, beta = name.partition("@")
        same = summary["cell"] == cell
        if beta:
            same &= summary["beta"] == float(beta)
        if not bool(same.any()):
            raise ValueError(f"no estimate of {name!r} in the table")
        for place in zip(*(summary.loc[same, key] for key in ("system", "beta")), strict=True):
            chosen.setdefault(place, {"": None})[cell] = None
    return pd.concat(
        summary.loc[
            (summary["system"] == system) & (summary["beta"] == beta) & (summary["cell"] == cell), :
        ]
        for (system, beta), cells in chosen.items()
        for cell in cells
    )


def agreement(summary: pd.DataFrame) -> pd.DataFrame:
    """How far estimates of F by other methods are from the reference, the farthest first.

    Columns cell, beta, seed, method and sigmas. What is refused, or has no converged reference, is
    left out; bounds are no estimates.
    """
    known = summary.loc[summary["verdict"] == CONVERGED, :]
    found = []
    for rows in _densities(summary):
        for method in sorted({"lfep", "bar", "annealed"} & set(rows["method"])):
            gap = _above_exact(rows, known, method)
            if gap and np.isfinite(gap.mean):
                first = rows.iloc[0]
                place = (first["cell"], first["beta"], first["seed"], method)
                found.append((*place, gap.sigmas_from(0)))
    table = pd.DataFrame(found, columns=["cell", "beta", "seed", "method", "sigmas"])
    return table.sort_values("sigmas", key=abs, ascending=False, ignore_index=True)


def measured(summary: pd.DataFrame, quantities: Sequence[str]) -> pd.DataFrame:
    """Some quantities at a glance: a row of text for each density, empty where it lacks one.

    QUANTITY stands for the estimate of a density by itself, QUANTITY:METHOD for another. F of a
    failed flow is no bound, and none is shown.
    """
    return pd.DataFrame(_measured(rows, quantities) for rows in _densities(summary))


def differences(a: pd.DataFrame, b: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """The numbers that two tables have in common, side by side.

    Args:
        a, b: rows of the long table, each number once.
        keys: columns by which a number of the one finds its partner in the other.

    Returns:
        A table with the keys, the two estimates, `a` and `b`, their `difference` and the
        `sigmas` it is from zero. What either refused or has no right to say is left out, and so is
        what no sigma can judge: times, and numbers without an error on both sides.
    """
    known = [
        table.loc[[_is_judgeable(row) for row in table.to_dict("records")], :] for table in (a, b)
    ]
    paired = known[0].merge(known[1], on=list(keys), suffixes=("_a", "_b"))
    paired = paired.loc[(paired["stderr_a"] > 0) | (paired["stderr_b"] > 0), :]
    paired = paired.reset_index(drop=True)
    sides = [
        [
            Estimate(*row)
            for row in paired[[f"{c}_{s}" for c in ("mean", "stderr", "ess")]].to_numpy()
        ]
        for s in "ab"
    ]
    gaps = [x.minus(y) for x, y in zip(*sides, strict=True)]
    found = {"a": sides[0], "b": sides[1], "difference": gaps}
    return paired[list(keys)].assign(
        **{name: pd.Series(column, dtype=object) for name, column in found.items()},
        sigmas=[gap.sigmas_from(0) for gap in gaps],
    )


def _is_judgeable(row: Mapping[Hashable, Any]) -> bool:
    finite = bool(np.isfinite([row["mean"], row["stderr"]]).all())
    return finite and row["method"] != "clock" and not is_unfounded(row)


def per_electron(summary: pd.DataFrame) -> pd.DataFrame:
    """How far each flow is above exact and what its samples cost, by n.

    Columns architecture, beta and n; gap and gap_stderr, (F - exact F) / n; seconds and
    seconds_stderr of a sample. A flow that has failed, or lacks a reference or a time, is left
    out.
    """
    columns = ("architecture", "beta", "n", "gap", "gap_stderr", "seconds", "seconds_stderr")
    found = [_one_electron(rows, summary) for rows in _densities(summary)]
    table = pd.DataFrame([row for row in found if row], columns=columns)
    return table.sort_values(["architecture", "beta", "n"], ignore_index=True)


def _one_electron(rows: pd.DataFrame, summary: pd.DataFrame) -> tuple[Any, ...]:
    gap, first = _above_exact(rows, summary), rows.iloc[0]
    if not gap or not is_bound(rows) or "seconds_per_sample" not in set(rows["quantity"]):
        return ()
    cost = pick(rows, "seconds_per_sample")
    n = int(first["n"])
    place = (first["architecture"], first["beta"], n)
    return (*place, gap.mean / n, gap.stderr / n, cost.mean, cost.stderr)


def _measured(rows: pd.DataFrame, quantities: Sequence[str]) -> dict[str, str]:
    shown = {q: _text(rows, *q.partition(":")[::2]) for q in quantities}
    if "F" in shown:
        shown["F"] = bound(rows).removeprefix("F = ")
    return _name(rows) | shown | {"verdict": rows["verdict"].iloc[0]}


def _text(rows: pd.DataFrame, quantity: str, method: str) -> str:
    methods = [method] if method else list(OWN)
    if rows[(rows["quantity"] == quantity) & rows["method"].isin(methods)].empty:
        return ""
    value = pick(rows, quantity, method)
    return str(value) if np.isfinite(value.mean) else "refused"


def _name(rows: pd.DataFrame) -> dict[str, str]:
    first = rows.iloc[0]
    return {
        "system": first["system"],
        "beta": f"{first['beta']:g}",
        "cell": first["cell"] or "reference",
        "seed": str(first["seed"]) if first["cell"] else "",
    }


def _glance(rows: pd.DataFrame, summary: pd.DataFrame) -> dict[str, str]:
    first = rows.iloc[0]
    sign = pick(rows, "minority_sign") if first["cell"] else ""
    return _name(rows) | {
        "trained by": first["objective"],
        "symmetry": first["symmetry"],
        "F": bound(rows).removeprefix("F = "),
        "above exact": str(_above_exact(rows, summary) or "") if is_bound(rows) else "",
        "⟨E⟩": str(pick(rows, "E")),
        "ESS": _percent(rows, "ess"),
        "minority sign": str(sign),
        "verdict": first["verdict"],
    }


def _percent(rows: pd.DataFrame, quantity: str) -> str:
    """A share as text; empty where it was not estimated, as for a reference."""
    if quantity not in set(rows["quantity"]):
        return ""
    share = pick(rows, quantity)
    return f"{Estimate(100 * share.mean, 100 * share.stderr, share.ess)} %"


def _above_exact(rows: pd.DataFrame, summary: pd.DataFrame, method: str = "") -> Estimate | None:
    """F minus that of the reference; None without one, and for the reference itself."""
    first = rows.iloc[0]
    same = (summary["system"] == first["system"]) & (summary["beta"] == first["beta"])
    reference = summary.loc[same & (summary["cell"] == ""), :]
    if not first["cell"] or reference.empty:
        return None
    return pick(rows, "F", method).minus(pick(reference, "F"))


def _densities(summary: pd.DataFrame) -> list[pd.DataFrame]:
    """The rows of each reference and each flow."""
    keys = ["system", "beta", "cell", "seed"]
    return [rows for _, rows in summary.groupby(keys, sort=False)]
