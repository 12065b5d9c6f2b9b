"""The command line, on folders of results made up here."""

import json
from datetime import datetime, timedelta

import pandas as pd
import pytest
from click.testing import CliRunner

from qdflow import summary, tables, views, watching
from qdflow.cli import main
from qdflow.sketch import sketch
from qdflow.stats import CONVERGED, Estimate
from qdflow.train import HISTORY

NOW = datetime(2026, 1, 2, 12, 0, 0)
CELL = {"n": 3, "trap": "harmonic", "beta": 10.0, "system": "dot-3"}
TRAINED = {"symmetry": "none", "objective": "reverse", "seed": 0, "verdict": "passed"}


def table(cell, F, stderr=0.01, **more):
    columns = CELL | TRAINED | {"cell": cell, "architecture": "mlp"} | more
    if not cell:
        columns |= {"architecture": "reference", "verdict": CONVERGED}
    numbers = {"F": Estimate(F, stderr, 100.0), "E": Estimate(F + 1, 0.02, 100.0)}
    return summary.rows(
        numbers, dict.fromkeys(numbers, "variational" if cell else "ladder"), **columns
    )


@pytest.fixture
def results(tmp_path):
    """A run with a cell that is done, one at work, one that failed, one silent, others queued."""
    folder = tmp_path / "results"
    reference = planned(
        "reference", "reference/dot-3/beta10", "estimates", "reference/dot-3/beta10"
    )
    plan = {"references": [reference], "cells": [cell(name) for name in "abcdef"]}
    folder.mkdir()
    (folder / "plan.json").write_text(json.dumps(plan))
    write(folder / "reference/dot-3/beta10/estimates.parquet", table("", 5.0))
    write(folder / "flows/a/beta10/seed0/estimates.parquet", table("a", 5.5))
    (folder / "flows/a/beta10/seed0/model.pt").touch()
    log(folder, "b", NOW - timedelta(seconds=10), "50/200  F < 5.812  40 s")
    log(folder, "c", NOW, "stopped: RuntimeError: a", "train c: no space is left; make room")
    log(folder, "d", NOW - timedelta(hours=1), "50/200  F < 5.9  40 s")
    log(folder, "f", NOW, "done in 41 s  F < 5.7")
    (folder / "flows/f/beta10/seed0").mkdir(parents=True)
    (folder / "flows/f/beta10/seed0/model.pt").touch()
    write(
        folder / "summary.parquet", pd.concat([table("", 5.0), table("a", 5.5), table("b", 5.03)])
    )
    return folder


def planned(rule, folder, name, place):
    output = f"{folder}/{name}.parquet"
    step = {"log": f"logs/{place}.log", "outputs": [output]}
    return {"system": "dot-3", "beta": "10", "tables": [output], "steps": {rule: step}}


def cell(name):
    folder = f"flows/{name}/beta10/seed0"
    one = planned("estimate", folder, "estimates", f"estimate/{name}/beta10/seed0")
    train = {"log": f"logs/train/{name}/beta10/seed0.log", "outputs": [f"{folder}/model.pt"]}
    return one | {"cell": name, "seed": 0, "steps": {"train": train} | one["steps"]}


def write(path, frame):
    tables.write(frame.reset_index(drop=True), path, summary.COLUMNS, {})


def log(folder, name, when, line, *more):
    path = folder / f"logs/train/{name}/beta10/seed0.log"
    path.parent.mkdir(parents=True)
    path.write_text(
        "\n".join([f"{when:%Y-%m-%d %H:%M:%S},123  qdflow.train {name}  {line}", *more])
    )


def run(*arguments, code=0):
    result = CliRunner().invoke(main, [str(a) for a in arguments])
    assert result.exit_code == code, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.output


def test_a_run_is_seen_as_it_is(results):
    found = {row.name: row for row in watching.rows(results, NOW)}
    assert {name: row.state for name, row in found.items()} == {
        "dot-3": "done",
        "a": "done",
        "b": "train",
        "c": "failed",
        "d": "silent",
        "e": "queued",
        "f": "waiting",
    }
    assert found["f"].F.mean == 5.7
    assert found["a"].F.minus(found["a"].exact).mean == pytest.approx(0.5)
    assert found["b"].F.mean == 5.812
    assert found["b"].job.left == pytest.approx(50 * 150 / 50)
    assert found["c"].job.news == "train c: no space is left; make room"


def test_the_bound_of_a_family_is_of_no_beta(results):
    plan = json.loads((results / "plan.json").read_text())
    training = plan["cells"][1]["steps"]["train"]
    assert training["log"] == "logs/train/b/beta10/seed0.log"
    training["log"] = "logs/train/b/family/seed0.log"
    (results / "logs/train/b/beta10").rename(results / "logs/train/b/family")
    (results / "plan.json").write_text(json.dumps(plan))
    (row,) = (row for row in watching.rows(results, NOW) if row.name == "b")
    assert (row.state, row.F) == ("train", None)


def test_a_resumed_training_takes_the_time_of_its_steps(results):
    """At step 5400 of 6000 after 10 s: those are of 400 steps, as it was resumed at 5000."""
    attempts = [
        "2026-01-02 11:00:00,000  qdflow.train b  5000/6000  F < 6.1  500 s",
        "2026-01-02 11:59:50,000  qdflow.train b  start",
        "2026-01-02 11:59:50,000  qdflow.train b  5000/6000  resumed at step 5000  0 s",
        "2026-01-02 12:00:00,000  qdflow.train b  5400/6000  F < 6  10 s",
    ]
    path = results / "logs/train/b/beta10/seed0.log"
    path.write_text("\n".join(attempts))
    assert watching.read_log(path, NOW).left == pytest.approx(600 * 10 / 400)
    path.write_text("\n".join(attempts[:-1]))
    assert watching.read_log(path, NOW).left is None
    path.write_text("\n".join(attempts[:-2]))
    assert watching.read_log(path, NOW).left is None


@pytest.mark.parametrize("rule", ["estimates", "audit"])
def test_a_flow_that_failed_has_no_bound(rule, results):
    """Whoever says it: its own estimates or the audit."""
    own = table("a", 5.45, verdict="failed: it folds" if rule == "estimates" else "passed")
    write(results / "flows/a/beta10/seed0/estimates.parquet", own)
    if rule == "audit":
        found = table("a", 0.1, verdict="failed: it folds").head(1)
        found = found.assign(method="audit", quantity="lost_in_folds")
        write(results / "flows/a/beta10/seed0/audit.parquet", found)
    plan = json.loads((results / "plan.json").read_text())
    plan["cells"][0]["tables"].append("flows/a/beta10/seed0/audit.parquet")
    (results / "plan.json").write_text(json.dumps(plan))
    shown = {"watch": run("watch", results), "show": run("show", "a", "--results", results)}
    for text in shown.values():
        assert "no bound" in text
        assert "5.450(10)" not in text
    text = run("compare", "a", "b", "--results", results)
    assert "a failed: it folds; its F is no bound" in text
    assert "1 numbers in common" in text  # of E


def test_seeds_are_named(results):
    seeds = [table("a", 5.5 + seed, seed=seed) for seed in (0, 2)]
    write(results / "summary.parquet", pd.concat([table("", 5.0), *seeds]))
    (results / "plan.json").unlink()
    text = run("compare", "a", "a:2", "--results", results)
    assert "a has 2 seeds; this is a:0, others are a:2" in text
    assert "-2.000(14)" in text
    text = run("show", "a@10:2", "--results", results)
    assert "7.500(10)" in text
    assert "5.500(10)" not in text


def test_the_curve_of_a_family_is_of_no_beta(results, tmp_path):
    history = pd.DataFrame({name: [1.0, 2.0, 3.0] for name in HISTORY})
    tables.write(history, results / "flows/a/family/seed0/history.parquet", HISTORY, {})
    text = run("show", "a", "--results", results)
    assert "training of a, a family, mean over its temperatures, seed 0" in text
    text = run("show", "a", "--results", results, "--curve", tmp_path / "a.png", code=1)
    assert "a is a family: its training has a mean over temperatures" in text


def test_what_is_half_written_is_not_there_yet(results):
    path = results / "flows/a/beta10/seed0/estimates.parquet"
    path.write_bytes(path.read_bytes()[:100])
    (results / "logs/train/b/beta10/seed0.log").write_text("2026-01-02 11:")
    found = {row.name: row for row in watching.rows(results, NOW)}
    assert found["a"].F is None
    assert found["b"].state == "queued"


def test_a_table_is_read_once_for_as_long_as_it_stays_as_it_is(results, monkeypatch):
    read, path = [], results / "flows/a/beta10/seed0/estimates.parquet"
    real = tables.read
    monkeypatch.setattr(tables, "read", lambda *it: read.append(it[0]) or real(*it))
    assert [watching.rows(results, NOW)[1].F.mean for _ in range(3)] == [5.5] * 3
    assert read.count(path) == 1
    write(path, table("a", 7.25))
    assert watching.rows(results, NOW)[1].F.mean == 7.25
    assert read.count(path) == 2


def test_where_not_all_fits_the_urgent_come_first(results):
    shown = views.watched(watching.rows(results, NOW), 4)
    assert list(shown.columns[0].cells) == ["c", "", "b", "d"]
    assert "and 4 lines more" in shown.caption


def test_watch_prints_what_it_sees_and_changes_nothing(results):
    before = {path: path.stat().st_mtime_ns for path in results.rglob("*")}
    text = run("watch", results)
    assert "2 done" in text
    assert "0.500(14)" in text
    assert "make room" in text
    assert {path: path.stat().st_mtime_ns for path in results.rglob("*")} == before


def test_show_prints_all_numbers_and_draws_the_training(results, tmp_path):
    history = pd.DataFrame({name: [1.0, 2.0, 3.0] for name in HISTORY})
    tables.write(history, results / "flows/a/beta10/seed0/history.parquet", HISTORY, {})
    text = run("show", "a", "--results", results, "--curve", tmp_path / "a.png")
    assert "5.500(10)" in text
    assert "reference: dot-3" in text
    assert (tmp_path / "a.png").stat().st_size > 10_000
    assert "training of a, β = 10, seed 0" in text
    assert any(0x2800 < ord(letter) < 0x2900 for letter in text)


def test_show_tells_of_a_run_before_its_end(results):
    (results / "summary.parquet").unlink()
    text = run("show", "a@10", "--results", results)
    assert "5.500(10)" in text
    assert "reference: dot-3" in text
    path = results / "flows/a/beta10/seed0/estimates.parquet"
    path.write_bytes(path.read_bytes()[:100])
    text = run("show", "a", "--results", results, code=1)
    assert f"a has no numbers yet; qdflow watch {results} shows" in text.replace("\n", "")


def test_a_sketch_rises_with_its_curve():
    assert sketch(range(8), range(8), width=4, height=2).split("\n") == [
        "7 ┤⠀⠀⡠⠊",  # of each letter the dots (row 3, left), (2, right); (1, left), (0, right)
        "0 ┤⡠⠊⠀⠀",
        "   0  7",
    ]


def test_a_sketch_leaves_out_what_would_hide_the_rest():
    y = [1e6, *(10 + 100 / k for k in range(1, 201))]
    y[50] = float("nan")
    lines = [line.split("┤") for line in sketch(range(201), y, [8.0], 20, 5).split("\n")[:5]]
    assert [label.strip() for label, _ in lines] == ["35", "", "", "", "8"]
    assert lines[0][1][0] == "⠉"  # what is far above is drawn at the top
    assert lines[4][1].count("⠀") < 4  # the curve's end, on top of the line at 8
    assert sketch([1], [float("nan")]) == ""


def test_cells_are_compared_in_sigma(results):
    text = run("compare", "a", "b", "--results", results)
    assert "+33.2" in text  # 0.47 / 0.01414
    run("compare", "a", "b", "--results", results, "--fail-above", "4", code=1)
    run("compare", "a", "a", "--results", results, "--fail-above", "4")


def test_folders_are_compared_the_farthest_first(results, tmp_path):
    other = tmp_path / "other"
    write(other / "summary.parquet", pd.concat([table("", 5.02), table("a", 5.5, 0.01)]))
    text = run("compare", results, other)
    assert "4 numbers in common" in text
    lines = [line for line in text.splitlines() if "dot-3" in line]
    assert "-1.4" in lines[0]
    assert "+0.0" in lines[-1]


def test_of_folders_those_numbers_are_compared_that_should_agree(results, tmp_path):
    """A flow of another machine is another flow, and no error judges times and roundings."""
    other = tmp_path / "other"
    odd = table("a", 1e-15, 0.0).head(1).assign(method="audit", quantity="ladj_defect")
    clock = table("a", 0.2, 0.001).head(1).assign(method="clock", quantity="seconds_per_sample")
    for folder, factor in ((other, 2.0), (results, 1.0)):
        parts = [table("", 5.0), table("a", 5.5 * factor)]
        parts += [one.assign(mean=factor * one["mean"]) for one in (odd, clock)]
        write(folder / "summary.parquet", pd.concat(parts))
    assert "4 numbers in common" in run("compare", results, other)
    run("compare", results, other, "--fail-above", "4", code=1)
    text = run("compare", results, other, "--references", "--fail-above", "4")
    assert "2 numbers in common" in text


def test_differences_stay_beside_their_names():
    """What is left out comes first here, in the middle and last."""
    a = pd.concat([table("a", float(k)) for k in range(4)], ignore_index=True)
    a = a.assign(quantity=[*"pqrstuvw"])
    a.loc[[0, 3, 7], "stderr"] = 0.0
    found = summary.differences(a, a.assign(mean=a["mean"] - 10 * a.index), ["quantity"])
    assert list(found["quantity"]) == [*"qrtuv"]
    assert [one.mean for one in found["difference"]] == [10, 20, 40, 50, 60]
    assert [one.mean for one in found["a"]] == [1, 1, 2, 3, 3]
    assert (found["sigmas"] > 0).all()


def test_differences_leave_out_what_was_refused():
    a, b = table("a", 1.0), table("a", 2.0)
    b.loc[b["quantity"] == "F", ["mean", "stderr"]] = float("nan")
    found = summary.differences(a, b, ["quantity"])
    assert list(found["quantity"]) == ["E"]
    assert found["sigmas"].iloc[0] == pytest.approx(-1 / (0.02 * 2**0.5))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["watch", "nowhere"], "nowhere holds no plan.json"),
        (["show", "a", "--results", "nowhere"], "summary.parquet does not exist; run rule"),
        (["show", "z"], "no estimate of 'z' in the table of"),
        (["show", "a@cold"], "'cold' in 'a@cold' is no beta; write it like a@10"),
        (["show", "z"], "it has a, b"),
        (["show", "e"], "e has no numbers yet; qdflow watch"),
        (["show", "a", "--curve", "a.gif"], "'a.gif' is neither .pdf nor .png"),
        (["show", "a", "--curve", "a.png"], "history.parquet does not exist; run rule train"),
        (["compare", "a", "z"], "no estimate of 'z' in the table of"),
        (["compare", "a", "."], "are not both folders of results, nor both cells"),
        (["show", "a:cold"], "'cold' in 'a:cold' is no seed; write it like a:0"),
        (["show", "a:7"], "a has no seed 7 so far; it has 0"),
        (["compare", "a", "b", "--references"], "is for two folders of results, not 'a' and 'b'"),
        (["watch", "--every", "0"], "0.0 is not in the range x>=0.1"),
        (["see", "a"], "No such command 'see'"),
    ],
)
def test_bad_command_lines_are_sentences(results, arguments, sentence):
    if arguments[0] in ("show", "compare") and "nowhere" not in arguments:
        arguments = [*arguments, "--results", results]
    result = CliRunner().invoke(main, [str(a) for a in arguments])
    assert result.exit_code != 0
    assert sentence in result.output.replace("\n", " ")
    assert "Traceback" not in result.output


def test_help_names_every_command():
    text = run("--help")
    assert all(name in text for name in ("watch", "show", "compare"))
