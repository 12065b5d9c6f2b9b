"""The harness of benchmarks/: turns, ratios, limits, failures, the table and the page."""

import math
import os
import sys

import numpy as np
import pytest
import yaml
from conftest import ROOT

sys.path.append(str(ROOT))
from benchmarks import __main__ as command
from benchmarks import draw, harness, page, scaling, start_up, time_to_target, worker
from benchmarks.harness import FAILURE, RATIO, Contender, Match, play
from benchmarks.monte_carlo import agreement, unswapped
from qdflow import mcmc, tables
from qdflow.system import System


def contender(name, make, note="", work=None, **options):
    return Contender(name, f"contenders:{make}", options, work or {}, note)


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "tests"))


def silent(_text):
    pass


def value(rows, name, quantity):
    (found,) = [r for r in rows if r["contender"] == name and r["quantity"] == quantity]
    return found


def test_contenders_do_their_turns_one_after_the_other(tmp_path):
    log = tmp_path / "log"
    names = ["qdflow", "one", "two"]
    players = [contender(n, "sleeper", seconds=0.001, log=str(log), who=n) for n in names]
    rows = play(Match("test", "", players, cores=1, rounds=3), silent)
    assert log.read_text().split() == names * 3
    assert value(rows, "one", "cpus")["value"] == value(rows, "one", "threads")["value"] == 1
    assert value(rows, "one", "seconds")["value"] >= 0.001
    assert value(rows, "one", "set-up")["value"] > 0.01
    assert [value(rows, "two", "E")[k] for k in ("value", "low", "high")] == [1.0, 0.9, 1.1]


def test_ratios_are_those_of_the_same_round():
    players = [
        contender("qdflow", "counter", values=[1.0, 10.0, 2.0]),
        contender("other", "counter", values=[3.0, 40.0, 4.0], note="a note"),
    ]
    rows = play(Match("test", "", players, cores=1, rounds=3), silent)
    ratio = value(rows, "other", RATIO)
    assert [ratio[k] for k in ("value", "low", "high")] == [3.0, 2.0, 4.0]
    assert (ratio["against"], ratio["note"]) == ("qdflow", "a note")
    more = play(Match("test", "", players, cores=1, rounds=3, more=True), silent)
    assert value(more, "other", RATIO)["value"] == pytest.approx(1 / 3)


def test_the_fraction_of_the_limit_is_of_what_was_measured():
    limits = harness.LIMITS
    players = [contender("qdflow", "counter", values=[2.0], work={"float64 flops": 50.0})]
    match = Match("test", "", [*players, limits], cores=1, rounds=1)
    workers = []
    for each, turn in zip(match.contenders, ({"seconds": 2.0}, {"float64 flops": 100.0})):
        ready = harness.Worker(each, [0], 1)
        ready.stop()
        ready.turns = [turn]
        workers.append(ready)
    rows = harness._rows(match, workers, 1)
    assert value(rows, "qdflow", "fraction of the limit")["value"] == 0.25
    assert value(rows, "qdflow", "rate of float64 flops")["unit"] == "flop/s"


def test_who_fails_is_named_and_the_others_go_on():
    players = [
        contender("qdflow", "counter", values=[1.0, 1.0]),
        contender("absent", "broken"),
        contender("later", "later"),
        contender("dead", "dies"),
        contender("slow", "sleeper", seconds=60),
        contender("other", "counter", values=[2.0, 2.0]),
    ]
    rows = play(Match("test", "", players, cores=1, rounds=2, patience=5), silent)
    failed = {r["contender"]: r["note"] for r in rows if r["quantity"] == FAILURE}
    assert failed == {
        "absent": "ImportError: no module named that",
        "later": "ArithmeticError: F is nan",
        "dead": "the process ended by itself with 9",
        "slow": "no answer for 5 s",
    }
    assert value(rows, "other", RATIO)["value"] == 2.0
    assert value(rows, "later", RATIO)["value"] == 1.0  # of the round that it did


def test_a_table_keeps_what_did_not_run_again(tmp_path):
    path = tmp_path / "results/benchmarks.parquet"
    old = [harness.row(harness.blank(name, "", "qdflow", 1), "seconds", [1.0]) for name in "ab"]
    command.store(old, path)
    command.store([harness.row(old[0], "seconds", [5.0, 7.0, 6.0])], path)
    table = tables.read(path, "make bench", harness.COLUMNS)
    assert dict(zip(table["comparison"], table["value"])) == {"a": 6.0, "b": 1.0}
    assert (table["machine"] == harness.machine()).all()


def test_the_command_writes_what_it_has_and_says_that_something_failed(tmp_path, monkeypatch):
    players = [contender("qdflow", "counter", values=[1.0]), contender("absent", "broken")]
    match = Match("test", "all", players, cores=1, rounds=1)
    monkeypatch.setattr(command, "NAMES", ("test", "nothing"))
    module = type(sys)("benchmarks.test")
    module.matches = lambda _quick: [match]
    monkeypatch.setitem(sys.modules, "benchmarks.test", module)
    assert command.main(["--quick", "--results", str(tmp_path)]) == 1
    table = tables.read(tmp_path / "benchmarks.parquet", "make bench")
    assert list(table[table["quantity"] == FAILURE]["contender"]) == ["absent", "all"]
    assert value(table.to_dict("records"), "qdflow", "seconds")["value"] == 1.0
    with pytest.raises(SystemExit):
        command.main(["unknown"])


def test_all_comparisons_are_known_and_have_a_place_on_the_page():
    text = (ROOT / "docs/performance.md").read_text()
    for name in command.NAMES:
        assert (ROOT / f"benchmarks/{name}.py").exists()
        assert f"<!-- benchmarks: {name} -->" in text
        for quick in (False, True):
            found = sys.modules.get(f"benchmarks.{name}") or __import__(
                f"benchmarks.{name}", fromlist=["matches"]
            )
            for match in found.matches(quick):
                assert match.comparison == name
                assert match.contenders[0].name.startswith(harness.OURS)
                for each in match.contenders:
                    module, function = each.make.split(":")
                    assert hasattr(__import__(module, fromlist=[function]), function)


def test_the_page_is_filled_and_filled_again(tmp_path):
    rows = []
    for name in command.NAMES:
        like = harness.blank(name, "some", "qdflow", 1)
        rows += [harness.row(like, "seconds", [k]) for k in (1.0,)]
        rows += [harness.row(like, q, [2.5]) for q in ("F", "E", "set-up")]
        rows.append(harness.row(like, FAILURE, note="it broke"))
    like = harness.blank("train_step", "some", "other", 1)
    rows.append(harness.row(like, RATIO, [3.0, 4.0, 5.0], against="qdflow float64"))
    target = tmp_path / "performance.md"
    target.write_text((ROOT / "docs/performance.md").read_text())
    for _ in range(2):
        page.fill(harness.frame(rows), target, tmp_path)
        text = target.read_text()
        assert "not measured yet" not in text
        assert "4 (3 to 5) float64" in text
        assert text.count("qdflow failed: it broke.") == len(command.NAMES)
    assert text.count("<!-- benchmarks: ") == text.count("<!-- end of benchmarks -->")


def test_figures_are_drawn(tmp_path):
    like = harness.blank("scaling", "MLP", "qdflow MLP", 1)
    at = {n: 1e-6 * n**1.5 for n in (10, 20, 50, 100)}
    rows = [harness.row(like, scaling.key("seconds of a draw", n), [t]) for n, t in at.items()]
    rows += scaling.fits(rows)
    (exponent,) = [r for r in rows if r["quantity"] == "exponent of seconds of a draw"]
    assert exponent["value"] == pytest.approx(1.5)
    rows.append(harness.row(harness.blank("a", "", "b", 1), RATIO, [3.0, 9.0], against="qdflow"))
    draw.figures(harness.frame(rows), tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"benchmarks.pdf", "benchmarks.png", "scaling.pdf", "scaling.png"}


def test_another_energy_is_a_failure():
    like = harness.blank("monte_carlo", "", "qdflow", 1)
    rows = [
        harness.row(like, "E", [10.0]) | {"low": 9.9},
        harness.row(like, "E", [10.3], contender="right") | {"low": 10.2},
        harness.row(like, "E", [11.0], contender="wrong") | {"low": 10.9},
    ]
    failed = [r["contender"] for r in agreement(rows) if r["quantity"] == FAILURE]
    assert failed == ["wrong"]


def test_chains_are_followed_from_rung_to_rung(rng):
    system, rungs = System(3), 5
    ladder = mcmc.Ladder(1.0, np.ones(rungs), np.full(rungs, 1e-4))  # they hardly move
    state = mcmc.init(system, rng.normal(size=(rungs, 3, 2)))
    start = state.trap_energy + state.pair_energy
    for draws in (1, 7, 8):
        state_after, info = mcmc.step(system, state, ladder, draws, 1, rng)
        assert (info.swapped[: 1 if draws == 1 else None : 2] == 1).all()
        energies = unswapped(info.trap_energy + info.pair_energy)
        assert energies.shape == (rungs, draws)
        assert np.allclose(energies, start[:, None], rtol=0.01)
    assert not np.allclose(state_after.trap_energy + state_after.pair_energy, start, rtol=0.01)


def test_the_clock_stands_while_f_is_looked_at(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time_to_target.time, "perf_counter", lambda: now[0])
    falls = iter([9.0, 5.0, 5.0, 1.0, 1.0])

    def look(_flow, _system, _samples, _generator):
        now[0] += 100
        return next(falls), 0.1

    monkeypatch.setattr(time_to_target, "free_energy", look)
    watch = time_to_target.Watch(None, None, [6.0, 2.0], 2, 80, 1e9, None)
    for done in range(1, 7):
        now[0] += 1
        watch.report(done, 100, "")
        assert bool(watch.stop()) == (done == 6)
    values = watch.values([6.0, 2.0, 0.0])
    assert values["seconds to F < 6"] == 4
    assert values["seconds to F < 2"] == values["seconds"] == 6
    assert values["seconds to F < 0"] == math.inf


def test_targets_are_trainings_that_there_are():
    from qdflow import flows
    from qdflow.train import Phase

    spec = yaml.safe_load(time_to_target.FILE.read_text())
    assert time_to_target.NOTEBOOK in spec["targets"]
    for cell in spec["cells"].values():
        assert cell["architecture"]["flow"] in flows.NAMES
        assert [Phase(**phase) for phase in cell["phases"]]
        assert cell["until"] in spec["targets"]


def test_submissions_are_counted_as_the_profile_groups_them():
    text = "Job stats:\njob  count\n---  ---\nall  1\nestimate  9\nfigure  3\ntrain  9\ntotal  22\n"
    counts = start_up.jobs(text + text)
    assert counts == {"estimate": 9, "figure": 3, "train": 9}
    assert start_up.submissions(counts) == 3 + 1 + 9
    assert "import" in start_up.statements("train")
    with pytest.raises(ValueError, match="no jobs"):
        start_up.jobs("nothing to be done")


def test_a_size_that_fails_says_why():
    def at(n):
        if n > 1:
            raise ValueError("too wide")
        return {"seconds of a draw": 1.0}

    found = scaling._forked(at, [1, 2, 3])
    assert found["seconds of a draw, n = 1"] == 1.0
    (failure,) = [name for name in found if name.startswith("failed")]
    assert failure == "failed at n = 2: ValueError: too wide"
    row = harness.row(harness.blank("scaling", "", "qdflow", 1), failure)
    assert scaling.fits([row])[0]["note"] == "it failed at n = 2: ValueError: too wide"


def test_threads_are_as_many_as_processors():
    assert worker.environment(2)["OMP_NUM_THREADS"] == "2"
    assert "intra_op_parallelism_threads=1" in worker.environment(1)["XLA_FLAGS"]
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        assert worker.processors() == len(os.sched_getaffinity(0))
    assert 0 < worker.processors() <= os.cpu_count()
