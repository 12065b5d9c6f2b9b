"""Harm done on purpose: what the user sees, what is lost, and the command that goes on.

docs/operations.md says the same in a table.
"""

import errno
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml
from conftest import ROOT
from pipeline import MODEL, QUICK, SLOW, Pipeline, same, wait_for

sys.path.append(str(ROOT / "workflow/scripts"))
import failures
import faults

from qdflow import checkpoint, flows, groups, stats, tables
from qdflow.system import System
from qdflow.train import HISTORY, PATIENCE, Phase, StoppedError, TrainingDivergedError, train

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="macOS cannot limit a process like this")


@pytest.fixture(scope="session")
def finished(source, tmp_path_factory):
    """The quick pipeline, run to its end, and the undisturbed model of the slow one."""
    folder = tmp_path_factory.mktemp("finished") / "qdflow"
    shutil.copytree(source, folder)
    Pipeline(folder, QUICK).succeed()
    Pipeline(folder, SLOW, MODEL).succeed()
    return folder


@pytest.fixture
def quick(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "qdflow")
    return Pipeline(tmp_path / "qdflow", QUICK)


@pytest.fixture
def slow(source, tmp_path):
    shutil.copytree(source, tmp_path / "qdflow")
    return Pipeline(tmp_path / "qdflow", SLOW, MODEL)


@pytest.fixture
def whole(finished):
    """The bytes of the slow model that nothing happened to."""
    return (finished / SLOW["results"] / MODEL).read_bytes()


(PHASE,) = SLOW["trainings"]["long"]["phases"]


def trained(*phases):
    """The slow pipeline, trained in another way."""
    return SLOW | {"trainings": {"long": {"phases": list(phases)}}}


SHORT = trained(PHASE | {"steps": 10})


def ends_well(pipeline, whole, go_on=Pipeline.succeed):
    """The command goes on to the same bits, and tidies up."""
    go_on(pipeline)
    assert (pipeline.results / MODEL).read_bytes() == whole
    assert not pipeline.checkpoints()


def resumed(pipeline):
    return "resumed at step" in pipeline.log()


# --- killed -------------------------------------------------------------------------------------


def test_a_job_is_killed(slow, whole):
    """kill -9, as the kernel does it when memory runs out."""
    run, job = slow.started()
    wait_for(slow.checkpoints, run, slow)
    job.kill()
    assert run.wait(60) != 0
    said = slow.said()
    assert "A job of train was killed (SIGKILL); if nobody did, memory ran out" in said
    assert "Traceback" not in said
    assert not (slow.results / MODEL).exists()
    ends_well(slow, whole)
    assert resumed(slow)


def test_a_job_is_asked_to_end(slow, whole):
    """SIGTERM: the notice of SLURM's time limit and of a preemption, before the kill."""
    run, job = slow.started()
    job.terminate()
    assert run.wait(60) != 0
    said = slow.said()
    (saved,) = slow.checkpoints()
    sentence = "train one beta2 0: stopped by SIGTERM after step "
    step = int(said.partition(sentence)[2].split()[0])
    assert len(checkpoint.load(saved)["history"]) == step  # not that of two seconds before
    assert sentence in slow.log()
    assert f"the same command goes on from {SLOW['results']}/checkpoints/{saved.name}" in said
    assert "Traceback" not in said
    ends_well(slow, whole)
    assert resumed(slow)


def test_snakemake_is_killed(slow, whole):
    """Its job does not outlive it for long: the training is saved, and nobody writes any more."""
    run, job = slow.started()
    run.kill()
    run.wait()
    job.wait(30)
    assert "stopped, as snakemake was killed" in slow.log()
    assert len(slow.checkpoints()) == 1
    assert "It can be removed with the --unlock argument" in slow.fail()
    ends_well(slow, whole, Pipeline.go_on)
    assert resumed(slow)


def test_snakemake_is_asked_to_end_and_a_second_one_is_refused(slow, whole):
    """It waits for the job that runs, and starts no other; the second one changes nothing."""
    run, _ = slow.started()
    (slow.folder / "said.txt").rename(slow.folder / "first.txt")  # which it goes on writing
    said = slow.fail()
    assert "Error: Directory cannot be locked" in said
    run.terminate()
    run.wait(120)
    said = (slow.folder / "first.txt").read_text()
    assert "Will exit after finishing currently running jobs" in said
    assert "Traceback" not in said
    assert (slow.results / MODEL).read_bytes() == whole
    assert not slow.checkpoints()
    assert "Nothing to be done" in slow.succeed()


# --- disk and memory ----------------------------------------------------------------------------


@LINUX
def test_the_disk_is_full(slow, whole):
    """From some step on the job may write no large file, as on a full disk."""
    run, job = slow.started()
    wait_for(slow.checkpoints, run, slow)
    least = len(slow.said()) + 1000  # for the sentence; what is to be saved is a hundred times that
    resource.prlimit(job.pid, resource.RLIMIT_FSIZE, (least, least))
    assert run.wait(60) != 0
    said = slow.said()
    assert f"train one beta2 0: no space is left for {SLOW['results']}/flows/one/beta2" in said
    assert "MB free" in said
    assert "make room, and run the same command again" in said
    assert "Traceback" not in said
    for whole_file in filter(Path.is_file, (slow.results / "checkpoints").rglob("*")):
        checkpoint.load(whole_file)  # no half one
    ends_well(slow, whole)
    assert resumed(slow)


def test_a_small_disk_is_full_or_read_only(source, tmp_path):
    """A file system of its own: what the system itself says there."""
    with mounted(tmp_path / "disk", "size=512k") as disk:
        pipeline = Pipeline(
            shutil.copytree(source, tmp_path / "qdflow"),
            SHORT | {"results": str(disk / "results")},
            MODEL,
        )
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        said = pipeline.fail()
        assert f"{disk}/results, cannot be written (Read-only file system); make it" in said
        assert "rule train:" not in said  # no job was started
        subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
        (disk / "filler").write_bytes(bytes(512 * 1024))
        said = pipeline.fail()
        assert f"{disk}/results, cannot be written (No space left on device); make it" in said
        assert "rule train:" not in said
        (disk / "filler").write_bytes(bytes(508 * 1024))  # room for the plan, for no model
        said = pipeline.fail()
        assert f"no space is left for {disk}/results" in said
        (disk / "filler").unlink()
        pipeline.succeed()


class mounted:
    """A small file system in memory, which root can make."""

    def __init__(self, folder, options):
        self.folder = folder
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            refuse = pytest.fail if "CI" in os.environ else pytest.skip
            refuse("needs to mount a file system, which only root can")

    def __enter__(self):
        return self.folder

    def __exit__(self, *_):
        subprocess.run(["umount", "--lazy", self.folder], check=True)


@LINUX
def test_memory_runs_out(slow):
    """An allocation fails: a batch that is too large, in an address space of eight GB."""
    slow.configure(trained(PHASE | {"batch": 2_000_000_000}))
    limit = 8 * 2**30
    said = slow.fail(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)))
    assert "train one beta2 0: out of memory (" in said
    assert "run fewer jobs at once (--cores), take a smaller batch" in said
    slow.configure(SHORT)
    slow.succeed()


# --- damaged files ------------------------------------------------------------------------------


def flip(path, position, bit=3):
    content = bytearray(path.read_bytes())
    content[position] ^= 1 << bit
    path.write_bytes(content)


def test_a_half_finished_training_is_damaged(slow, whole):
    """It is named, and the training begins anew: the bits are the same, the time is lost."""
    run, job = slow.started()
    job.terminate()
    run.wait(60)
    (saved,) = slow.checkpoints()
    flip(saved, saved.stat().st_size // 2)
    said = slow.succeed()
    sentence = f"{SLOW['results']}/checkpoints/{saved.name} cannot be read as a checkpoint"
    assert sentence in said
    assert "this training begins anew, and replaces it" in said
    assert sentence in slow.log()
    assert not resumed(slow)
    assert (slow.results / MODEL).read_bytes() == whole
    assert not slow.checkpoints()


def test_ctrl_c_saves_and_other_settings_leave_it_alone(slow):
    """The terminal sends SIGINT to snakemake and to its jobs."""
    # else ignored where the tests run in the background
    hear = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)  # noqa: E731
    run, _ = slow.started(preexec_fn=hear)
    os.killpg(run.pid, signal.SIGINT)
    assert run.wait(60) != 0
    said = slow.said()
    assert "train one beta2 0: stopped by SIGINT after step " in said
    assert "Traceback" not in said
    before = slow.checkpoints()
    slow.configure(SHORT)
    slow.succeed()
    assert not resumed(slow)
    assert slow.checkpoints() == before != []


def test_models_and_tables_are_damaged(quick):
    """Each is named with the rule that makes it; without it the command makes it again."""
    model = quick.results / "flows/one/family/seed0/model.pt"
    table = quick.results / "flows/one/beta2/seed0/estimates.parquet"
    before = quick.summary()
    (quick.results / "summary.parquet").unlink()
    for damage in (lambda: flip(table, 200), lambda: os.truncate(table, 2000)):
        damage()
        said = quick.fail()
        name = f"{QUICK['results']}/flows/one/beta2/seed0/estimates.parquet"
        assert f"summarize: {name} is not whole" in said
        assert "delete it and rerun rule reference or estimate, which makes it" in said
        assert name in (quick.results / "logs/summarize.log").read_text()
    table.unlink()
    weights = next(iter(checkpoint.load(model)["parameters"].values())).numpy().tobytes()
    flip(model, model.read_bytes().index(weights))
    said = quick.fail()
    # the first that reads it: snakemake may start with either
    first = re.search(r"(estimate|audit) one 2 0: .*", said)
    assert first, said
    assert "model.pt cannot be read as a checkpoint (BadZipFile); delete it" in first[0]
    model.unlink()
    quick.succeed()
    assert same(quick.summary(), before)


@pytest.mark.parametrize(
    ("rest", "sentence"),
    [(-1, "own.yaml is no YAML: in line "), (0, "own.yaml is empty; config/README.md says")],
)
def test_the_configuration_is_damaged(quick, rest, sentence):
    config = quick.folder / "own.yaml"
    text = yaml.safe_dump(QUICK, default_flow_style=True).strip()
    config.write_text(text[:rest])
    said = quick.fail()
    assert sentence in said
    assert "rule " not in said
    quick.configure(QUICK)
    assert "Nothing to be done" in quick.succeed()


def test_no_flipped_bit_of_a_table_changes_a_number(tmp_path, rng):
    """Everywhere in the file it is found, or it does no harm."""
    path = tmp_path / "table.parquet"
    frame = pd.DataFrame({"a": rng.normal(size=20), "b": ["x", "y"] * 10})
    tables.write(frame, path, {"a": "1", "b": "1"}, config={})
    content, found = path.read_bytes(), 0
    for position in rng.choice(len(content), 500, replace=False):
        flip(path, position, rng.integers(8))
        try:
            assert same(tables.read(path, "any", ("a", "b")), frame), position
        except tables.TableError:
            found += 1
        path.write_bytes(content)
    assert found > 300


def test_no_flipped_bit_of_a_model_changes_a_number(tmp_path, rng):
    path = tmp_path / "model.pt"
    model = {"w": torch.randn(20), "name": "mlp", "hidden": [4, 4]}
    checkpoint.save(model, path)
    content, found = path.read_bytes(), 0
    for position in rng.choice(len(content), 500, replace=False):
        flip(path, position, rng.integers(8))
        try:
            read = checkpoint.load(path)
            assert torch.equal(read.pop("w"), model["w"]), position
            assert read == {"name": "mlp", "hidden": [4, 4]}, position
        except checkpoint.CheckpointError:
            found += 1
        path.write_bytes(content)
    assert found > 200


# --- numbers that are none ----------------------------------------------------------------------


def test_a_training_diverges(slow):
    """NaN in the middle: a sentence with the cell, the step and the remedy."""
    deep = {"architectures": {"mlp": {"flow": "mlp", "hidden": [8] * 6}}}
    deep |= {"systems": {"dot": {"n": 2, "trap": "quartic"}}}
    fast = trained(PHASE | {"steps": 20}, PHASE | {"steps": 300, "learning_rate": 1})
    slow.configure(fast | deep)
    said = slow.fail()
    sentence = "train one beta2 0: loss or gradient was not finite for the 50 steps up to "
    assert sentence in said
    assert "at a learning rate of 1; lower it, or clip the gradient more" in said
    assert sentence in slow.log()
    assert not (slow.results / MODEL).exists()
    slow.configure(SHORT | deep)
    slow.succeed()


def test_what_is_saved_is_from_before_the_nan(tmp_path):
    """A fatal step, then steps that are skipped: neither is saved."""
    saved = tmp_path / "saved.pt"
    generator = torch.Generator().manual_seed(0)
    flow = flows.build("mlp", System(2), generator, hidden=[4])
    phases = [Phase(5, 16, 0.01), Phase(100, 16, 1e38)]
    with pytest.raises(TrainingDivergedError, match="learning rate of 1e\\+38") as raised:
        train(flow, System(2), 2.0, phases, generator, saved=saved, save_seconds=0)
    last = checkpoint.load(saved)
    assert all(parameter.isfinite().all() for parameter in last["flow"].values())
    (given_up,) = re.findall(r"steps up to (\d+)", str(raised.value))
    assert len(last["history"]) <= int(given_up) - PATIENCE
    assert not last["history"][-1, list(HISTORY).index("skipped")]


def test_a_step_that_fails_is_a_divergence(monkeypatch):
    """A matrix that has no factorisation any more, as parameters have run away."""

    def fail(*_):
        raise torch.linalg.LinAlgError("no factorization")

    generator = torch.Generator().manual_seed(0)
    flow = flows.build("mlp", System(2), generator, hidden=[4])
    monkeypatch.setattr(flow, "image", fail)
    with pytest.raises(TrainingDivergedError, match="step 1 failed at a learning rate of 0"):
        train(flow, System(2), 2.0, [Phase(5, 16, 0.5)], generator)


# --- the parts ----------------------------------------------------------------------------------


def test_a_training_that_is_asked_to_stops_at_the_next_step(tmp_path):
    """And goes on to the bits of one that was left alone, whatever was asked at its end."""

    def parameters(stop, saved):
        generator = torch.Generator().manual_seed(0)
        flow = flows.build("mlp", System(2), generator, hidden=[4])
        train(flow, System(2), 2.0, [Phase(9, 16, 0.01)], generator, saved=saved, stop=stop)
        return torch.cat([p.flatten() for p in flow.parameters()])

    steps = iter(range(100))
    saved = tmp_path / "saved.pt"
    sentence = f"stopped by X after step 4 of 9; the same command goes on from {saved}"
    with pytest.raises(StoppedError, match=sentence):
        parameters(lambda: "X" if next(steps) == 3 else "", saved)
    assert torch.equal(parameters(lambda: "", saved), parameters(lambda: "", None))


@pytest.mark.parametrize("number", failures.NOTICES)
def test_a_notice_is_heard_and_then_forgotten(number):
    def own(*_):
        pass

    before = signal.signal(number, own)  # tests in the background are born deaf to SIGINT
    try:
        with failures.stopping() as stop:
            assert stop() == ""
            os.kill(os.getpid(), number)
            assert stop() == number.name
        assert signal.getsignal(number) is own
    finally:
        signal.signal(number, before)


def test_what_is_ignored_stays_ignored():
    """As of a job in the background, which Ctrl-C of another must not stop."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with failures.stopping() as stop:
            os.kill(os.getpid(), signal.SIGINT)
            assert stop() == ""
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("command", ["exec {}", "{}; true"])
def test_a_job_ends_after_the_process_that_started_it(tmp_path, command):
    """Whether or not the shell between them has made way for the job."""
    child = textwrap.dedent(f"""
        import os, sys, time
        sys.path.append({str(ROOT / "workflow/scripts")!r})
        import failures
        failures.end_with_parent(lambda: open("words", "w").write("bye"), 0.05)
        open("pid", "w").write(str(os.getpid()))
        time.sleep(60)
    """)
    (tmp_path / "child.py").write_text(child)
    shell = command.format(f"{sys.executable} child.py")
    parent = f"import subprocess; subprocess.run(['bash', '-c', {shell!r}])"
    process = subprocess.Popen([sys.executable, "-c", parent], cwd=tmp_path)
    pid = tmp_path / "pid"
    deadline = time.monotonic() + 30
    while not (pid.exists() and pid.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(0.2)
    assert failures._is_alive(int(pid.read_text()))
    process.kill()
    process.wait()
    while not (tmp_path / "words").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert (tmp_path / "words").read_text() in ("", "bye")


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "no space is left for "),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "no space is left for "),
        (OSError(errno.EROFS, "Read-only file system", "f.txt"), "f.txt cannot be written"),
        (PermissionError(errno.EACCES, "Permission denied", "f.txt"), "f.txt cannot be written"),
        (MemoryError(), "out of memory (MemoryError)"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), "out of mem"),
        (tables.TableError("a sentence"), "a sentence"),
        (KeyboardInterrupt(), "stopped by SIGINT"),
    ],
)
def test_what_can_be_foreseen_is_a_sentence(tmp_path, error, sentence):
    assert failures.explained(error, tmp_path).startswith(sentence)


@pytest.mark.parametrize("error", [ValueError("odd"), FileNotFoundError(2, "none"), KeyError("k")])
def test_what_nobody_foresaw_keeps_its_traceback(tmp_path, error):
    assert failures.explained(error, tmp_path) == ""


def caught(work):
    try:
        work()
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


def test_what_the_library_refuses_is_a_sentence(tmp_path):
    """Of errors of one kind, those that it raises by itself; others tell of a bug."""
    refused = caught(lambda: groups.log_order("c5", 3))
    assert failures.explained(refused, tmp_path).startswith("unknown symmetry 'c5'; choose from")
    bug = caught(lambda: stats.iid_mean(["a"]))
    assert isinstance(bug, ValueError)
    assert failures.explained(bug, tmp_path) == ""


def test_a_shell_between_hides_no_signal():
    log = "'set -euo pipefail;  python /x/tmpab.anneal.py' returned non-zero exit status {}."
    assert faults.killed(log.format(137)) == faults.killed(
        "'set -euo pipefail;  python /x/tmpab.anneal.py' died with <Signals.SIGKILL: 9>."
    )
    assert faults.killed(log.format(1)) == []
    assert "(SIGTERM)" in faults.killed(log.format(143))[0]
