"""The profile `slurm` on a cluster of one node, with real daemons: `make test-slurm`, as root."""

import hashlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import ClassVar

import pandas as pd
import psutil
import pytest
import torch
import yaml
from pipeline import SMOKE

from qdflow import checkpoint, tables
from qdflow.summary import COLUMNS

CLUSTER = Path(__file__).with_name("cluster.sh")
LONG = "results/smoke/flows/long/beta2/seed0/model.pt"
LOG = "results/smoke/logs/train/long/beta2/seed0.log"
CONFIG = ("--configfile", "config/long.yaml")
# Of the smoke matrix, what is computed without a cluster as well: each kind of job and of start.
COMPARED = ("c4-in-the-loss", "permutation", "ordered", "family", "taught")
SITE = {
    "QDFLOW_SLURM_GPU_PARTITION": "gpu",
    "QDFLOW_DEVICE": "cpu",  # as nothing is behind these GPUs
}
NO_DEVICE = {"QDFLOW_DEVICE": ""}
MOST = 600  # seconds that anything may take, on a busy machine


def order(*words):
    command = [str(CLUSTER), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=MOST)


def unavailable(why):
    """Without a cluster there is nothing to test; in CI that is a failure."""
    (pytest.fail if "CI" in os.environ else pytest.skip)(why)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A folder with its logs; what is asked of SLURM finds it."""
    if "QDFLOW_TEST_SLURM" not in os.environ:
        pytest.skip("installs SLURM and starts its daemons; run make test-slurm")
    folder = tmp_path_factory.mktemp("cluster")
    for words in (("install",), ("start", folder)):
        if (done := order(*words)).returncode:
            order("stop", folder)
            unavailable(done.stderr.strip().splitlines()[-1])
    yield folder
    for run in Run.all:
        run.process.kill()
    assert order("stop", folder).returncode == 0
    left = [p.name() for p in psutil.process_iter() if p.name() in ("slurmctld", "slurmd")]
    assert not left
    assert not [p for p in Path("/etc/slurm").glob("*.conf") if folder in p.resolve().parents]


class Run:
    """A pipeline in a copy of the repository, started and not waited for."""

    all: ClassVar[list["Run"]] = []

    def __init__(self, copy, *arguments, **environment):
        self.copy, self.text = copy, copy / f"output-{len(list(copy.glob('output-*')))}.txt"
        with self.text.open("w") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "snakemake", *arguments],
                cwd=copy,
                env=os.environ | {"PYTHONPATH": str(copy)} | SITE | environment,
                stdout=file,
                stderr=file,
            )
        self.all.append(self)

    def succeed(self):
        """The output, once it has ended well."""
        assert self.process.wait(MOST) == 0, self.text.read_text()
        return self.text.read_text()


@pytest.fixture(scope="module")
def copies(source, tmp_path_factory):
    """A maker of fresh copies, with another configuration: some of the cells, and a longer one."""
    smoke = yaml.safe_load((source / "config/smoke.yaml").read_text())
    phases = [{"steps": 3000, "batch": 64, "learning_rate": 0.01, "decay": 0.1}]
    smoke["trainings"]["long"] = {"phases": phases}
    cells = {name: smoke["cells"][name] for name in COMPARED}
    cells["long"] = cells["c4-in-the-loss"] | {"training": "long"}
    smoke |= {"cells": cells, "comparisons": {}, "figures": {}}

    def make(name):
        copy = tmp_path_factory.mktemp(name) / "qdflow"
        subprocess.run(["cp", "-r", source, copy], check=True)
        (copy / "config/long.yaml").write_text(yaml.safe_dump(smoke))
        return copy

    return make


def until(condition):
    """Wait for what is not nothing."""
    end = time.monotonic() + MOST
    while not (found := condition()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.2)
    return found


def half_trained(copy):
    """The process of the long training, once it has left a checkpoint."""
    until(lambda: list((copy / "results/smoke/checkpoints").glob("*.pt")))

    def training():
        for process in psutil.process_iter(["cmdline"]):
            words = process.info["cmdline"] or []
            if words[1:2] and re.fullmatch(rf"{copy}/.*\.train\.py", words[1]):
                return process
        return None

    return until(training)


@pytest.fixture(scope="module")
def hung(cluster, copies):  # noqa: ARG001
    """A training that stands still and has a minute; the other tests need not wait for its end."""
    run = Run(copies("hung"), "--profile", "slurm", LONG, *CONFIG, QDFLOW_SLURM_TIME="0.05")
    half_trained(run.copy).send_signal(signal.SIGSTOP)
    return run


@pytest.fixture(scope="module")
def smoke(hung, copies):  # noqa: ARG001
    """The smoke matrix on the cluster: the output, and where."""
    run = Run(copies("smoke"), "--profile", "slurm", *SMOKE)
    return run.succeed(), run.copy


@pytest.fixture(scope="module")
def local(smoke, copies):  # noqa: ARG001
    """Some of it without a cluster, and the long training; started and not waited for."""
    return Run(copies("local"), "--cores", "2", *CONFIG)


def submitted(output):
    """(rule or group, SLURM's number) of all jobs."""
    return re.findall(
        r"submitted with SLURM jobid (\d+) \(log: \S*/(?:rule|group)_([a-z]+)", output
    )


def jobs(output):
    """What SLURM says of each job, by rule or group."""
    found = {}
    for number, name in submitted(output):
        show = ["scontrol", "show", "job", number]
        text = subprocess.run(show, capture_output=True, text=True, check=True).stdout
        found.setdefault(name, []).append(dict(re.findall(r"(\S+?)=(\S*)", text)))
    return found


def states(run):
    """In which the jobs of a pipeline ended, one after the other."""
    return [job["JobState"] for kind in jobs(run.text.read_text()).values() for job in kind]


def test_what_trains_or_samples_gets_a_gpu_and_nothing_else_does(smoke):
    found = jobs(smoke[0])
    for name, kind in found.items():
        trains = name in ("train", "anneal", "samples")
        assert {job["Partition"] for job in kind} == {"gpu" if trains else "cpu"}, name
        assert {job.get("TresPerJob") for job in kind} == {"gres:gpu:1" if trains else None}, name
        assert {job["JobState"] for job in kind} == {"COMPLETED"}, name
    counts = {name: len(kind) for name, kind in found.items()}
    assert counts == {
        "reference": 4,
        "train": 12,
        "anneal": 1,
        "samples": 4,
        "looks": 8,
        "tables": 1,
    }


def test_jobs_ask_for_what_they_need(smoke):
    found = jobs(smoke[0])
    for job in found["train"]:
        assert job["TimeLimit"] in ("00:11:00", "00:12:00")
        assert 3000 <= int(job["MinMemoryNode"].removesuffix("M")) <= 3100
    assert {job["NumCPUs"] for job in found["reference"]} == {"4"}
    # one after the other, by the memory of one and the time of all
    (tables_job,) = found["tables"]
    assert (tables_job["NumCPUs"], tables_job["MinMemoryNode"]) == ("1", "1500M")
    drawn = list((smoke[1] / "results/smoke/figures").glob("*.[pg][ni][gf]"))  # and films
    hours, minutes = divmod(5 * (len(drawn) + 3), 60)
    assert tables_job["TimeLimit"] == f"{hours:02}:{minutes:02}:00"


def test_a_node_that_fails_costs_nothing_that_was_finished(smoke, local, cluster):
    _, copy = smoke
    before = contents(copy)
    run = Run(copy, "--profile", "slurm", LONG, *CONFIG)
    half_trained(copy)
    assert order("kill", cluster).returncode == 0
    assert order("revive", cluster).returncode == 0
    ((number, _),) = submitted(run.text.read_text())
    # SLURM has it in the queue again, but lets two minutes pass; who cannot wait cancels it
    subprocess.run(["scancel", number], check=True)
    run.succeed()
    requeued, again = jobs(run.text.read_text())["train"]
    assert (requeued["JobState"], requeued["Restarts"]) == ("CANCELLED", "1")
    assert again["JobState"] == "COMPLETED"
    assert "resumed at step" in (copy / LOG).read_text()
    after = contents(copy)
    assert {name: after.get(name) for name in before} == before
    assert {name.split("/")[1] for name in set(after) - set(before)} == {"flows"}
    local.succeed()
    assert_same_model(copy, local.copy)


def test_a_training_that_runs_out_of_time_goes_on_where_it_was(hung, local):
    hung.succeed()
    assert states(hung) == ["TIMEOUT", "COMPLETED"]
    limits = [job["TimeLimit"] for job in jobs(hung.text.read_text())["train"]]
    assert limits == ["00:01:00", "00:02:00"]
    assert "resumed at step" in (hung.copy / LOG).read_text()
    local.succeed()
    assert_same_model(hung.copy, local.copy)


def test_the_numbers_are_those_of_a_run_without_a_cluster(smoke, local):
    local.succeed()
    ours, theirs = (
        tables.read(copy / "results/smoke/summary.parquet", "summarize", COLUMNS)
        for copy in (smoke[1], local.copy)
    )
    chosen = [t["cell"].isin(("", *COMPARED)) & (t["method"] != "clock") for t in (ours, theirs)]
    ours, theirs = (t[rows].reset_index(drop=True) for t, rows in zip((ours, theirs), chosen))
    assert len(ours) > 100
    pd.testing.assert_frame_equal(ours, theirs, check_exact=True)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is not missing here")
def test_a_missing_gpu_is_an_error_and_not_a_slow_training(cluster, copies):  # noqa: ARG001
    run = Run(copies("missing"), "--profile", "slurm", "--retries", "0", LONG, *CONFIG, **NO_DEVICE)
    assert run.process.wait(MOST) == 1
    logs = (run.copy / ".snakemake/slurm_logs").rglob("*.log")
    assert any("device is 'cuda', but torch" in path.read_text() for path in logs)


def test_nothing_is_left_to_do_and_no_job_in_the_queue(smoke):
    text = Run(smoke[1], "--profile", "slurm", "--dry-run", *SMOKE).succeed()
    assert "Nothing to be done" in text
    queue = subprocess.run(["squeue", "-h"], capture_output=True, text=True, check=True)
    assert queue.stdout == ""


def contents(copy):
    """A hash of every model, table and figure."""
    root = copy / "results/smoke"
    files = (p for p in root.rglob("*.p*") if p.suffix in (".pt", ".parquet", ".pdf", ".png"))
    return {str(p.relative_to(root.parent)): hashlib.sha256(p.read_bytes()).digest() for p in files}


def assert_same_model(one, other):
    models = [checkpoint.load(copy / LONG)["parameters"] for copy in (one, other)]
    assert {k: v.tolist() for k, v in models[0].items()} == {
        k: v.tolist() for k, v in models[1].items()
    }
