import math

import numpy as np
import pandas as pd
import pytest

from qdflow import plotting
from qdflow.rungs import ladder, show_ladder
from qdflow.summary import COLUMNS

BETA, N = 2.0, 4


def rows(cell, seed=0, verdict="by construction: shears", **found):
    """F of one cell by method; None where it is refused."""
    shared = {"system": "dot", "n": N, "beta": BETA, "cell": cell, "seed": seed, "quantity": "F"}
    return [
        shared
        | {"method": method, "mean": np.nan if F is None else F, "stderr": 0.01, "ess": 100.0}
        | {"verdict": "refused: 3 samples carry the weight" if F is None else verdict}
        for method, F in found.items()
    ]


TABLE = pd.DataFrame(
    rows("", ladder=10.0, verdict="converged")
    + rows("good", variational=10.5, lower=9.25, lfep=10.02, bar=10.01, annealed=10.0)
    + rows("good", 1, variational=10.75, lower=9.5, annealed_lower=9.875, annealed_upper=10.125)
    + rows("loose", variational=12.0, lower=None, lfep=None, bar=None)
    + rows("folded", verdict="failed: det J changes sign", variational=8.0, lower=9.0, lfep=None)
    + [row | {"system": "other"} for row in rows("elsewhere", variational=1.0)]
    + [row | {"quantity": "E"} for row in rows("good", variational=20.0)],
    columns=list(COLUMNS),
)


def cell(name, seed=0):
    return {"cell": name, "beta": BETA, "seed": seed}


def drawn(*names, marks=None):
    labels = [name for name, _ in names]
    shown = ladder(TABLE, [cell(*name) for name in names], labels)
    with plotting.style():
        return shown, show_ladder(shown, "title", marks or {})


def bars(axis):
    return {
        (round(bar.get_x(), 9), round(bar.get_x() + bar.get_width(), 9))
        for bar in axis.patches
        if bar.get_height() not in (0, 1)  # of the legend, and the band of the exact F
    }


def test_each_method_is_found_and_refusals_are_named():
    shown, _ = drawn(("good", 0), ("loose", 0), ("folded", 0))
    good, loose, folded = shown.rungs
    assert {m: e.mean for m, e in good.found.items()} == {
        "variational": 10.5,
        "lower": 9.25,
        "lfep": 10.02,
        "bar": 10.01,
        "annealed": 10.0,
    }
    assert (good.note, loose.note) == ("", "refused: LFEP, BAR, lower bound")
    assert set(loose.found) == {"variational"}
    assert (folded.note, dict(folded.found)) == ("failed: no bound", {})


def test_the_floor_is_one_relabelling_above_exact():
    shown, _ = drawn(("good", 0))
    assert shown.exact.mean == 10.0
    assert shown.floor == pytest.approx(10 + math.log(24) / BETA)


def test_bars_reach_from_bound_to_bound_in_both_panels():
    _, figure = drawn(("good", 0), ("good", 1), ("loose", 0), ("folded", 0))
    whole, distance = figure.axes
    assert bars(whole) == {(9.25, 10.5), (9.5, 10.75), (9.875, 10.125)}
    assert bars(distance) == {(-0.75, 0.5), (-0.5, 0.75), (-0.125, 0.125)}


def test_seeds_tell_rows_of_one_label_apart():
    shown, figure = drawn(("good", 0), ("good", 1), ("loose", 0))
    names = ["good, seed 0", "good, seed 1", "loose"]
    assert [rung.label for rung in shown.rungs] == names
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == names


def test_marks_and_the_floor_are_lines_with_labels():
    shown, figure = drawn(("good", 0), marks={"the talk": 12.5})
    for axis, origin in zip(figure.axes, (0.0, 10.0)):
        at = {line.get_xdata()[0] for line in axis.lines if line.get_linestyle() == "--"}
        assert at == {12.5 - origin, shown.floor - origin}
    assert "the talk" in [text.get_text().strip() for text in figure.axes[0].texts]


def test_every_row_is_in_sight():
    _, figure = drawn(("good", 0), ("loose", 0))
    whole, distance = figure.axes
    assert distance.get_xlim()[0] < -0.75 < 2 < distance.get_xlim()[1]
    assert whole.get_xlim()[0] < 9.25 < 12 < whole.get_xlim()[1]
    assert whole.get_ylim()[0] > 1 > 0 > whole.get_ylim()[1]
    assert "refused: LFEP, BAR, lower bound" in [text.get_text() for text in distance.texts]


def test_the_same_table_gives_the_same_bytes(tmp_path):
    for name in "ab":
        with plotting.style():
            shown = ladder(TABLE, [cell("good"), cell("folded")], ["good", "folded"])
            plotting.save(show_ladder(shown, "title", {}), tmp_path / f"{name}.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_what_cannot_be_shown_is_a_sentence():
    with pytest.raises(ValueError, match=r"no F of 'missing' at beta 2\.0, seed 0 in the table"):
        ladder(TABLE, [cell("missing")], ["missing"])
    with pytest.raises(ValueError, match="got dot at beta 2 and other at beta 2; make two figures"):
        ladder(TABLE, [cell("good"), cell("elsewhere")], ["good", "elsewhere"])
