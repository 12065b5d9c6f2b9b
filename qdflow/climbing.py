"""How a replica-exchange ladder did: moves, swaps, <V_ee> and R-hat of its rungs."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray

from qdflow.plotting import COLOURS, EXACT, FLOW, GREY, scaled

Array = NDArray[np.float64]
COLUMNS = {  # of the table of a ladder that are shown, and their units
    "coupling": "1",
    "accepted": "1",
    "swapped": "1",
    "V_ee": "energy",
    "V_ee_stderr": "energy",
    "V_ee_r_hat": "1",
}
AGREED = 1.01  # R-hat, above which chains of a reference are taken to disagree
WANTED = 0.3  # share of the moves to be accepted


class Climb(NamedTuple):
    """The rungs of a ladder.

    Attributes:
        coupling: (rungs,) lambda, from 0 to 1.
        accepted: (rungs,) share of the moves of one electron.
        swapped: (rungs - 1,) share of the exchanges with the next rung.
        V_ee, stderr: (rungs,) mean Coulomb energy, without its lambda.
        r_hat: (rungs,) of it.
    """

    coupling: Array
    accepted: Array
    swapped: Array
    V_ee: Array
    stderr: Array
    r_hat: Array


def climb(rungs: pd.DataFrame) -> Climb:
    """From the table of a reference's ladder."""
    coupling, accepted, swapped, *rest = (rungs[name].to_numpy() for name in COLUMNS)
    return Climb(coupling, accepted, swapped[:-1], *rest)


def show_moves(axis: Axes, one: Climb) -> None:
    """Shares of moves and of exchanges that were accepted, against the rung."""
    rung = np.arange(len(one.coupling))
    axis.plot(rung, one.accepted, "o-", color=EXACT, ms=scaled(5), label="moves of an electron")
    if len(one.swapped):
        axis.plot(
            rung[:-1] + 0.5,
            one.swapped,
            "s-",
            color=FLOW,
            ms=scaled(5),
            label="swaps of neighbours",
        )
    axis.axhline(WANTED, color=GREY, ls="--", lw=scaled(1), label="wanted of moves")
    axis.set(xlabel="rung, from the ideal gas to H", ylabel="share that is accepted", ylim=(0, 1))
    axis.legend(loc="best")


def show_pair_energy(axis: Axes, one: Climb) -> None:
    """<V_ee> along the coupling, whose area is what the interaction adds to F."""
    axis.errorbar(
        one.coupling, one.V_ee, one.stderr, fmt="o-", color=EXACT, ms=scaled(4), capsize=scaled(3)
    )
    axis.fill_between(one.coupling, one.V_ee, color=EXACT, alpha=0.12, lw=0)
    axis.set(xlabel="coupling λ", ylabel="⟨V_ee⟩ at λ  [trap energy]", ylim=(0, None))


def show_r_hat(axis: Axes, one: Climb) -> None:
    """R-hat of each rung, with where chains are taken to disagree."""
    rung = np.arange(len(one.coupling))
    axis.plot(rung, one.r_hat - 1, "o", color=COLOURS[3], ms=scaled(5), label="⟨V_ee⟩")
    axis.axhline(AGREED - 1, color=FLOW, ls="--", lw=scaled(1.2), label="they disagree")
    axis.set(xlabel="rung, from the ideal gas to H", ylabel="R-hat - 1 of the chains")
    axis.set_yscale("symlog", linthresh=1e-3)
    off = one.r_hat - 1  # a little below 0, where chains happen to agree better than they should
    axis.set_ylim(min(0.0, 2 * float(off.min())), 3 * max(AGREED - 1, float(off.max())))
    axis.legend(loc="best")


def weakest(shares: Array) -> tuple[float, int]:
    """The smallest of some shares (rungs,), and its rung."""
    k = int(np.argmin(shares))
    return float(shares[k]), k
