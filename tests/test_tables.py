import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from qdflow import provenance, summary, tables
from qdflow.files import atomic
from qdflow.stats import CONVERGED, Estimate, Found

UNITS = {"step": "1", "F": "energy"}
FRAME = pd.DataFrame({"step": [1, 2], "F": [3.0, np.nan]})


def test_what_is_written_is_read_with_its_provenance(tmp_path):
    path = tmp_path / "deep" / "history.parquet"
    tables.write(FRAME, path, UNITS, config={"beta": 10.0, "code": "abc"}, seed=2**62, device="cpu")
    pd.testing.assert_frame_equal(tables.read(path, "train", UNITS), FRAME)
    note = tables.metadata(path, "train")
    assert note["units"] == UNITS
    assert note["config"] == {"beta": 10.0, "code": "abc"}
    assert note["seed"] == 2**62
    assert note["device"] == "cpu"
    assert {"python", "torch", "numpy", "qdflow"} <= set(note["versions"])


def test_configurations_keep_their_bits(tmp_path, rng):
    x, energy = rng.normal(size=(50, 3, 2)), rng.normal(size=50)
    tables.write(
        tables.configurations(x, energy=energy), tmp_path / "s.parquet", tables.SAMPLES, config={}
    )
    frame = tables.read(tmp_path / "s.parquet", "reference", tables.SAMPLES)
    assert np.array_equal(tables.positions(frame), x)
    assert np.array_equal(frame["energy"], energy)


def test_the_same_table_gives_the_same_bytes(tmp_path):
    for name in "ab":
        tables.write(FRAME, tmp_path / name, UNITS, config={"beta": 1})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_other_versions_of_a_package_are_seen(tmp_path, monkeypatch):
    paths = [tmp_path / f"{name}.parquet" for name in "abc"]
    for path, torch in zip(paths, ("2.13.0", "2.13.0", "2.14.1")):
        versions = {"torch": torch, "numpy": "2"}
        monkeypatch.setattr(provenance, "versions", lambda found=versions: found)
        tables.write(pd.DataFrame({"a": [1.0]}), path, {"a": "1"}, {})
    assert tables.mixed_versions(paths[:2]) == {}
    assert tables.mixed_versions(paths) == {"torch": {"2.13.0": paths[0], "2.14.1": paths[2]}}


@pytest.mark.parametrize("size", [0, 3, 100, -1])
def test_a_truncated_file_is_named_with_its_rule(tmp_path, size):
    path = tmp_path / "history.parquet"
    tables.write(FRAME, path, UNITS, config={})
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(
        tables.TableError, match=r"history\.parquet is not whole .* rerun rule train"
    ):
        tables.read(path, "train")


def test_damage_in_the_middle_is_named(tmp_path, rng):
    path = tmp_path / "s.parquet"
    samples = tables.configurations(rng.normal(size=(5000, 3, 2)), energy=rng.normal(size=5000))
    tables.write(samples, path, tables.SAMPLES, config={})
    content = bytearray(path.read_bytes())
    middle = len(content) // 3
    content[middle : middle + 4000] = bytes(4000)
    path.write_bytes(content)
    with pytest.raises(tables.TableError, match=r"s\.parquet is not whole .* rerun rule reference"):
        tables.read(path, "reference")


def test_other_faults_are_sentences_too(tmp_path):
    path = tmp_path / "x.parquet"
    with pytest.raises(tables.TableError, match="does not exist; run rule estimate"):
        tables.read(path, "estimate")
    pq.write_table(pa.table({"step": [1]}), path)
    with pytest.raises(tables.TableError, match="was not written by qdflow"):
        tables.read(path, "estimate")
    tables.write(FRAME, path, UNITS, config={})
    with pytest.raises(tables.TableError, match="lacks the columns E, S"):
        tables.read(path, "estimate", {"F": "", "E": "", "S": ""})
    with pytest.raises(ValueError, match="are not those with units"):
        tables.write(FRAME, path, {"F": "energy"}, config={})


def test_an_interrupted_write_leaves_what_was_there(tmp_path):
    path = tmp_path / "x.parquet"
    tables.write(FRAME, path, UNITS, config={})
    before = path.read_bytes()
    with pytest.raises(KeyboardInterrupt), atomic(path) as temporary:
        temporary.write_bytes(b"half")
        raise KeyboardInterrupt
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["x.parquet"]


def test_rows_of_the_long_table(tmp_path):
    words = ("system", "trap", "cell", "architecture", "symmetry", "objective", "verdict")
    cell = dict.fromkeys(words, "") | {"n": 2, "beta": 10.0, "seed": 0}
    frame = summary.rows(
        {"F": Estimate(1.5, 0.1, 100), "S": Estimate(2.0, 0.2, 50)},
        {"F": "ladder", "S": "metropolis"},
        {"F": 1.001},
        **cell,
    )
    assert list(frame.columns) == list(summary.COLUMNS)
    assert frame["method"].tolist() == ["ladder", "metropolis"]
    assert frame["unit"].tolist() == ["energy", "k"]
    tables.write(frame, tmp_path / "e.parquet", summary.COLUMNS, config={})
    back = tables.read(tmp_path / "e.parquet", "estimate", summary.COLUMNS)
    assert summary.pick(back, "S") == Estimate(2.0, 0.2, 50)
    assert back["r_hat"].isna().tolist() == [False, True]
    with pytest.raises(ValueError, match="0 rows hold the quantity 'E'"):
        summary.pick(back, "E")


def test_metadata_is_json_that_any_reader_understands(tmp_path):
    config = {"beta": 1, "clip": float("inf")}
    tables.write(FRAME, tmp_path / "x.parquet", UNITS, config=config)
    raw = pq.read_schema(tmp_path / "x.parquet").metadata[b"qdflow"]
    assert json.loads(raw)["config"] == {"beta": 1, "clip": "inf"}
    assert b"Infinity" not in raw


def _summary(*cells, verdict=CONVERGED):
    common = {"system": "dot", "n": 2, "trap": "harmonic", "beta": 10.0, "symmetry": "none"}
    of_a_flow = {"minority_sign": Estimate(0, 1e-4, 100), "ess": Estimate(0.015, 0.002, 100)}
    return pd.concat(
        [
            summary.rows(
                {"F": Estimate(F, error, 100), "E": Estimate(1, 1, 1)}
                | (of_a_flow if cell else {}),
                dict.fromkeys(("F", "E", *of_a_flow), "variational"),
                cell=cell,
                architecture="mlp" if cell else "reference",
                objective="reverse" if cell else "",
                seed=0,
                verdict="fine" if cell else verdict,
                **common,
            )
            for cell, F, error in cells
        ],
        ignore_index=True,
    )


def test_a_flow_better_than_exact_has_failed():
    table = _summary(("", 5.0, 0.03), ("good", 4.9, 0.04), ("folded", 4.7, 0.04))
    verdicts = summary.judged(table).groupby("cell")["verdict"].unique()
    assert verdicts["good"] == ["fine"]
    assert verdicts[""] == ["converged"]
    assert verdicts["folded"] == ["failed: F is 6 sigma below the exact F, so ln q is no density"]


def test_a_reference_that_did_not_converge_judges_nobody():
    table = _summary(("", 5.0, 0.03), ("any", 4.0, 0.04), verdict="not converged in 9 draws")
    assert set(summary.judged(table)["verdict"]) == {"fine", "not converged in 9 draws"}


def _held(cell, found, note=""):
    """More rows of a flow that `_summary` has."""
    first = _summary((cell, 1.0, 0.1)).iloc[0].to_dict()
    columns = ("method", "quantity", "mean", "stderr", "ess", "r_hat", "verdict", "unit")
    return summary.found_rows(
        found, note, **{key: v for key, v in first.items() if key not in columns}
    )


def test_other_methods_stand_beside_the_estimates_of_a_flow():
    bounds = _held(
        "a",
        {
            ("F", "lower"): Found(Estimate(4.5, 0.1, 50)),
            ("F", "bar"): Found(Estimate(np.nan, np.nan, 3), "refused: too little overlap"),
        },
    )
    table = pd.concat([_summary(("a", 5.5, 0.04)), bounds], ignore_index=True)
    assert bounds["verdict"].tolist() == ["", "refused: too little overlap"]
    assert summary.pick(table, "F").mean == 5.5
    assert summary.pick(table, "F", "lower").mean == 4.5
    with pytest.raises(ValueError, match="0 rows hold the quantity 'F' by lfep"):
        summary.pick(table, "F", "lfep")
    shown = summary.measured(table, ["F", "F:lower", "F:bar", "F:lfep"]).iloc[0]
    assert shown.tolist()[4:-1] == ["5.50(4)", "4.50(10)", "refused", ""]


def test_agreement_is_in_sigma_and_leaves_out_what_is_refused():
    found = {
        ("F", "lower"): Found(Estimate(4.0, 0.01, 50)),
        ("F", "lfep"): Found(Estimate(5.1, 0.04, 50)),
        ("F", "bar"): Found(Estimate(4.8, 0.04, 50)),
        ("F", "annealed"): Found(Estimate(np.nan, np.nan, 3), "refused: too little overlap"),
    }
    table = pd.concat([_summary(("", 5.0, 0.03), ("a", 5.5, 0.04)), _held("a", found)])
    others = summary.agreement(table.reset_index(drop=True))
    assert others["method"].tolist() == ["bar", "lfep"]
    assert others["sigmas"].tolist() == pytest.approx([-4, 2])
    assert summary.agreement(_summary(("", 5.0, 0.03), ("a", 5.5, 0.04))).empty


@pytest.mark.parametrize("verdict", ["passed the search: no fold", "failed: ladj differs"])
def test_the_audit_has_the_last_word(verdict):
    audit = _held("a", {("ladj_defect", "audit"): Found(Estimate(0.0, 0.0, 5))}, verdict)
    table = pd.concat([_summary(("a", 5.5, 0.04), ("b", 5.2, 0.04)), audit], ignore_index=True)
    verdicts = summary.judged(table).groupby("cell")["verdict"].unique()
    assert verdicts["a"] == [verdict]
    assert verdicts["b"] == ["fine"]


@pytest.mark.parametrize(("F", "verdict"), [(4.0, "fine"), (5.5, "failed: det J changes sign")])
def test_no_audit_saves_a_flow_that_has_failed(F, verdict):
    audit = _held("a", {("ladj_defect", "audit"): Found(Estimate(0.0, 0.0, 5))}, "passed")
    table = _summary(("", 5.0, 0.03), ("a", F, 0.04))
    table.loc[table["cell"] == "a", "verdict"] = verdict
    table = pd.concat([table, audit], ignore_index=True)
    assert not summary.is_bound(summary.judged(table).query("cell == 'a'"))


def test_chains_of_a_reference_stay_apart(rng):
    x = rng.normal(size=(12, 2, 2))
    frame = tables.configurations(x, energy=x[:, 0, 0], chain=np.repeat([0, 1, 2], 4))
    assert (tables.chains(frame, 12) == x.reshape(3, 4, 2, 2)).all()
    assert (tables.chains(frame, 7) == x.reshape(3, 4, 2, 2)[:, ::2]).all()
    with pytest.raises(tables.TableError, match=r"have \[3, 4, 4\] samples; rerun it"):
        tables.chains(frame[1:], 12)


@pytest.mark.parametrize("draws", [4, 5])
def test_halves_of_a_reference_share_no_sample_and_have_all_chains(draws, rng):
    x = rng.normal(size=(3 * draws, 2, 2))
    frame = tables.configurations(x, energy=x[:, 0, 0], chain=np.repeat([0, 1, 2], draws))
    learned, unseen = tables.halves(frame.sample(frac=1, random_state=0).sort_values("chain"))
    assert not set(learned["energy"]) & set(unseen["energy"])
    assert set(learned["energy"]) | set(unseen["energy"]) == set(frame["energy"])
    assert tables.chains(learned, 100).shape == (3, (draws + 1) // 2, 2, 2)
    assert tables.chains(unseen, 100).shape == (3, draws // 2, 2, 2)


def test_the_overview_has_a_row_for_every_density():
    shown = summary.overview(_summary(("", 5.0, 0.03), ("a", 5.5, 0.04)))
    assert shown["cell"].tolist() == ["reference", "a"]
    assert shown["above exact"].tolist() == ["", "0.50(5)"]
    assert shown["F"].tolist() == ["5.00(3)", "5.50(4)"]
    assert shown["ESS"].tolist() == ["", "1.50(20) %"]


def test_a_failed_flow_shows_no_f():
    table = _summary(("", 5.0, 0.03), ("a", 5.5, 0.04))
    table.loc[table["cell"] == "a", "verdict"] = "failed: det J changes sign"
    shown = summary.overview(table)
    assert shown["F"].tolist() == ["5.00(3)", "no bound"]
    assert shown["above exact"].tolist() == ["", ""]


def test_gaps_per_electron_are_those_of_flows_that_are_timed_and_bounds():
    table = _summary(("", 5.0, 0.03), ("a", 5.5, 0.04), ("b", 5.2, 0.04), ("c", 5.3, 0.04))
    common = table[table["cell"] == "a"].iloc[0].to_dict()
    timed = [
        common | {"cell": cell, "quantity": "seconds_per_sample", "mean": 0.01, "stderr": 0.001}
        for cell in ("a", "b")
    ]
    table = pd.concat([table, pd.DataFrame(timed)], ignore_index=True)
    table.loc[table["cell"] == "b", "verdict"] = "failed: it folds"
    found = summary.per_electron(table)
    assert found[["architecture", "beta", "n"]].to_numpy().tolist() == [["mlp", 10.0, 2]]
    numbers = found[["gap", "gap_stderr", "seconds", "seconds_stderr"]].to_numpy()
    assert numbers == pytest.approx(np.array([[0.25, 0.025, 0.01, 0.001]]))
    assert summary.per_electron(_summary(("a", 5.5, 0.04))).empty


def test_chosen_cells_come_with_their_reference():
    cold, hot = (
        _summary(("", 5.0, 0.03), ("a", 5.5, 0.04), ("b", 5.2, 0.04)),
        _summary(("", 1, 0.1)),
    )
    table = pd.concat([cold, hot.assign(beta=1.5)], ignore_index=True)
    assert summary.overview(summary.select(table, ["b"]))["cell"].tolist() == ["reference", "b"]
    both = summary.measured(summary.select(table, ["b@10", "a"]), ["F", "minority_sign", "x"])
    assert both["cell"].tolist() == ["reference", "b", "a"]
    assert both["F"].tolist() == ["5.00(3)", "5.20(4)", "5.50(4)"]
    assert both["minority_sign"].tolist() == ["", "0.00000(10)", "0.00000(10)"]
    assert set(both["x"]) == {""}
    for unknown in ("c", "a@1.5"):
        with pytest.raises(ValueError, match=f"no estimate of '{unknown}' in the table"):
            summary.select(table, [unknown])


def test_a_failed_flow_has_no_f_among_its_quantities():
    table = _summary(("", 5.0, 0.03), ("a", 5.5, 0.04)).assign(verdict="failed: it folds")
    assert summary.measured(table, ["F", "E"]).iloc[1][["F", "E"]].tolist() == [
        "no bound",
        "1.0(10)",
    ]
