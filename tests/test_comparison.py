"""Which of two cells has the lower F, and when that is chance."""

import numpy as np
import pandas as pd
import pytest

from qdflow.comparison import COMPARISONS, compared, overview, select
from qdflow.stats import Estimate
from qdflow.summary import judged, rows


def cell(name, values, stderr=0.01, verdict="by construction: it is", **more):
    """The rows of a cell with one F for each seed."""
    parts = [
        rows(
            {"F": Estimate(F, stderr, 1000.0)} | {k: v[seed] for k, v in more.items()},
            dict.fromkeys(["F", *more], "variational"),
            cell=name,
            seed=seed,
            system="dot",
            n=3,
            beta=2.0,
            verdict=verdict,
        )
        for seed, F in enumerate(values)
    ]
    return pd.concat(parts)


WORK = pd.DataFrame(
    {"cell": ["a", "a", "b"], "beta": 2.0, "step": [10, 20, 30], "seconds": [1.0, 3.0, 5.0]}
)


def judge(*cells, **spec):
    spec = {"cell": "a", "beta": 2.0, "against": "b"} | spec
    row = compared("it", pd.concat(cells), WORK, **spec)
    assert list(row) == list(COMPARISONS)
    return row


def test_a_clear_difference_is_called_one():
    row = judge(cell("a", [1.0, 1.1, 0.9]), cell("b", [2.0, 2.1, 1.9]))
    assert row["gain"] == pytest.approx(1.0)
    assert row["gain_stderr"] == pytest.approx(np.sqrt(2) * 0.1 / np.sqrt(3))
    assert row["verdict"].startswith("F lower by 1.00(8) (p = ")
    assert row["verdict"].endswith(")")
    assert (row["seeds"], row["against_seeds"]) == (3, 3)
    assert (row["steps"], row["seconds"], row["against_seconds"]) == (15, 2.0, 5.0)
    assert judge(cell("a", [3.0, 3.1]), cell("b", [2.0, 2.1]))["verdict"].startswith("F higher by")


def test_scatter_between_trainings_makes_it_undecided():
    """The samples alone would call it 10 sigma."""
    row = judge(cell("a", [1.0, 1.6, 0.6]), cell("b", [1.2, 1.9, 0.7]))
    assert row["verdict"].startswith("undecided: F lower by 0.2(5) (p = 0.")


def test_the_p_value_is_uniform_where_nothing_differs(rng):
    p = []
    for _ in range(300):
        a, b = rng.normal(5.0, 0.3, 3), rng.normal(5.0, 0.1, 4)
        p.append(judge(cell("a", a), cell("b", b))["p_value"])
    assert abs(np.mean(np.array(p) < 0.25) - 0.25) < 4 * np.sqrt(0.25 * 0.75 / 300)


def test_one_training_is_said():
    row = judge(cell("a", [1.0]), cell("b", [2.0]))
    assert row["verdict"].endswith("; one training of a and of b, whose chance is not in the error")
    assert row["gain_stderr"] == pytest.approx(np.hypot(0.01, 0.01))
    row = judge(cell("a", [1.0, 1.1, 0.9]), cell("b", [2.0]))
    assert row["verdict"].endswith("; one training of b, whose chance is not in the error")


def test_a_cell_that_failed_gets_no_verdict():
    row = judge(cell("a", [1.0]), cell("b", [2.0, 2.1], verdict="failed: it folds"))
    assert np.isnan(row["gain"])
    assert np.isnan(row["p_value"])
    assert row["F"] == 1.0
    assert np.isnan(row["against_F"])
    (shown,) = overview(pd.DataFrame([row])).itertuples()
    assert shown[4:7] == ("1.000(10)", "no bound", "no bound")
    assert row["verdict"] == "no verdict: all trainings of a cell failed, so no F is a bound"


def test_trainings_that_failed_are_left_out_and_counted():
    a, b = cell("a", [1.0, 1.1, 0.9, -50.0]), cell("b", [2.0, 2.1, 1.9])
    a.loc[a["seed"] == 3, "verdict"] = "failed: it folds"
    row = judge(a, b)
    assert (row["F"], row["seeds"]) == (pytest.approx(1.0), 3)
    assert row["gain"] == pytest.approx(1.0)
    assert row["verdict"].startswith("F lower by 1.00(8) (p = ")
    assert row["verdict"].endswith("; 1 of 4 trainings of a failed")


def test_a_single_one_that_is_left_decides_nothing():
    """Its samples alone would call it 70 sigma; how its trainings scatter is unknown."""
    a = cell("a", [1.0, -50.0, -50.0])
    a.loc[a["seed"] > 0, "verdict"] = "failed: it folds"
    row = judge(a, cell("b", [2.0, 2.1, 1.9]))
    assert np.isnan(row["p_value"])
    assert row["verdict"] == (
        "undecided: F lower by 1.00(6), with one training left of a; 2 of 3 trainings of a failed"
    )


def test_a_flow_that_only_its_audit_refutes_is_left_out():
    """As the pipeline gives it: estimates that passed, and rows of the audit."""
    audit = rows(
        {"lost_in_folds": Estimate(0.5, 0.1, 100.0)},
        {"lost_in_folds": "audit"},
        cell="a",
        seed=0,
        system="dot",
        n=3,
        beta=2.0,
        verdict="failed: the audit says so",
    )
    parts = [cell("a", [1.0], verdict="passed: no fold"), cell("b", [2.0]), audit]
    row = judge(judged(pd.concat(parts, ignore_index=True)))
    assert row["verdict"].startswith("no verdict: all trainings of a cell failed")
    assert np.isnan(row["F"])


def test_the_ceiling_is_that_of_the_symmetry():
    row = judge(cell("a", [1.0]), cell("b", [2.0]), symmetry="permutation")
    assert row["ceiling"] == pytest.approx(np.log(6) / 2)


@pytest.mark.parametrize(
    ("gain", "sentence"),
    [
        (0.5, "gain 0.500(10) of at most 0.6931, paired on the same samples"),
        (-0.1, "gain -0.100(10) outside 0 ... 0.6931: log_prob must be wrong"),
        (0.8, "gain 0.800(10) outside 0 ... 0.6931: log_prob must be wrong"),
    ],
)
def test_the_gain_of_averaging_is_the_paired_one(gain, sentence):
    more = {
        "F_before": [Estimate(2.0, 0.2, 100.0)],
        "symmetry_gain": [Estimate(gain, 0.01, 100.0)],
    }
    row = judge(cell("a", [2.0 - gain], **more), against="", symmetry="c4")
    assert row["gain"] == gain
    assert row["gain_stderr"] == 0.01
    assert row["against_F"] == 2.0
    assert row["verdict"] == sentence


def test_a_full_gain_may_exceed_its_ceiling_by_rounding():
    full = np.log(4) / 2
    for gain, fine in ((full + 1e-15, True), (-1e-15, True), (full + 1e-6, False), (-1e-6, False)):
        more = {
            "F_before": [Estimate(2.0, 0.2, 100.0)],
            "symmetry_gain": [Estimate(gain, 1e-18, 100.0)],
        }
        row = judge(cell("a", [2.0 - gain], **more), against="", symmetry="c4")
        assert ("must be wrong" in row["verdict"]) != fine


def test_a_missing_cell_is_named():
    with pytest.raises(ValueError, match="no estimate of cell 'b' at beta 2"):
        judge(cell("a", [1.0]))


def test_the_overview_takes_the_chosen_in_order():
    cells = cell("a", [1.0, 1.2]), cell("b", [2.0])
    table = pd.DataFrame([judge(*cells) | {"comparison": name} for name in ("one", "two", "three")])
    assert select(table, ["three", "one"])["comparison"].tolist() == ["three", "one"]
    with pytest.raises(ValueError, match="no comparison 'four' in the table"):
        select(table, ["one", "four"])
    shown = overview(table).iloc[0]
    assert shown[["F", "F of the other", "gain"]].tolist() == ["1.10(10)", "2.000(10)", "0.90(10)"]
    assert shown[["seeds", "steps", "seconds"]].tolist() == ["2, 1", "15, 30", "2, 5"]
