"""The long table that all estimates share: one row a number."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from qdflow.stats import Estimate

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
QUANTITIES = {  # and their units: energies are in the trap's, S in Boltzmann's constant
    "F": "energy",
    "E": "energy",
    "V": "energy",
    "V_ee": "energy",
    "S": "k",
    "virial": "energy",
    "centre_of_mass": "1",
    "minority_sign": "1",
}


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


def pick(frame: pd.DataFrame, quantity: str) -> Estimate:
    """The one estimate of a quantity in the rows of one cell.

    Raises:
        ValueError: there is none, or more than one.
    """
    found = frame[frame["quantity"] == quantity]
    if len(found) != 1:
        raise ValueError(f"{len(found)} rows hold the quantity {quantity!r}, not one")
    row = found.iloc[0]
    return Estimate(float(row["mean"]), float(row["stderr"]), float(row["ess"]))
