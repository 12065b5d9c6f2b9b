"""A pipeline of a few seconds in a folder of its own, to do harm to."""

import os
import shutil
import subprocess
import sys
import time

import pandas as pd
import psutil
import yaml
from conftest import ROOT

from qdflow import tables
from qdflow.summary import COLUMNS

SMOKE = ("--configfile", "config/smoke.yaml")
# One flow for a range of temperatures needs no Monte Carlo: four jobs to the summary.
QUICK = {
    "results": "results/quick",
    "systems": {"dot": {"n": 2}},
    "architectures": {"mlp": {"flow": "mlp", "hidden": [4]}},
    "trainings": {"short": {"phases": [{"steps": 50, "batch": 32, "learning_rate": 0.01}]}},
    "cells": {
        "one": {
            "system": "dot",
            "architecture": "mlp",
            "beta": 2,
            "family": {"low": 1, "high": 4, "degree": 1, "temperatures": 2},
            "training": "short",
        }
    },
    "estimate": {"samples": 500, "keep": 200},
    "audit": {"samples": 100, "preimages": 10, "starts": 1},
    "figures": {},
}
# One training long enough to be hit in the middle.
SLOW = QUICK | {
    "results": "results/slow",
    "trainings": {"long": {"phases": [{"steps": 6000, "batch": 32, "learning_rate": 0.01}]}},
    "cells": {"one": {"system": "dot", "architecture": "mlp", "beta": 2, "training": "long"}},
}
MODEL = "flows/one/beta2/seed0/model.pt"  # of SLOW
LOG = "logs/train/one/beta2/seed0.log"


def checkout(folder):
    """The files git knows or would add, as a fresh clone has them."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout
    for name in filter(None, map(os.fsdecode, listed.split(b"\0"))):
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
    return folder


def snakemake(clone, *arguments, **environment):
    """Run the clone's pipeline on the clone's code, not on the installed one."""
    command = [sys.executable, "-m", "snakemake", "--cores", "2", *arguments]
    environment = os.environ | {"PYTHONPATH": str(clone)} | environment
    return subprocess.run(command, cwd=clone, env=environment, capture_output=True, text=True)


def succeed(clone, *arguments, **environment):
    run = snakemake(clone, *arguments, **environment)
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout + run.stderr


class Pipeline:
    """One configuration in one folder, and the command that a user gives there."""

    def __init__(self, folder, config, *targets):
        self.folder, self.config = folder, config
        self.results = folder / config["results"]
        self.targets = [f"{config['results']}/{target}" for target in targets]
        self.configure(config)

    def configure(self, config):
        (self.folder / "own.yaml").write_text(yaml.safe_dump(config))

    def start(self, *options, **how):
        """Snakemake, started and left alone; what it says goes to said.txt."""
        command = [sys.executable, "-m", "snakemake", *self.targets, "--cores", "1", *options]
        with (self.folder / "said.txt").open("w") as said:
            return subprocess.Popen(
                [*command, "--configfile", "own.yaml"],
                cwd=self.folder,
                env=os.environ | {"PYTHONPATH": str(self.folder), "OMP_NUM_THREADS": "1"},
                stdout=said,
                stderr=said,
                start_new_session=True,  # Ctrl-C of the tests is not theirs
                **how,
            )

    def run(self, *options, **how):
        """Its exit status, and what the user saw."""
        status = self.start(*options, **how).wait(300)
        return status, self.said()

    def said(self):
        return (self.folder / "said.txt").read_text()

    def succeed(self):
        status, said = self.run()
        assert status == 0, said
        return said

    def fail(self, **how):
        """What the user saw of a run that failed as it should: sentences only."""
        status, said = self.run(**how)
        assert status != 0, said
        assert "Traceback" not in said, said
        return said

    def unlock(self):
        status, said = self.run("--unlock")
        assert status == 0, said

    def go_on(self):
        """What is done after snakemake itself was killed."""
        self.unlock()
        return self.succeed()

    def started(self, **how):
        """Snakemake, and its training job, once that has done a step."""
        process = self.start(**how)
        wait_for(lambda: " F <" in self.log(), process, self)
        return process, self.job()

    def log(self):
        path = self.results / LOG
        return path.read_text() if path.exists() else ""

    def job(self):
        """The process of the training, wherever it hangs."""
        (found,) = (
            process
            for process in psutil.process_iter(["cmdline"])
            if str(self.folder) in " ".join(process.info["cmdline"] or ())
            and process.info["cmdline"][-1].endswith(".train.py")
            and process.info["cmdline"][0] == sys.executable
        )
        return found

    def checkpoints(self):
        return list((self.results / "checkpoints").glob("*.pt"))

    def summary(self):
        """All numbers but those of the clock, which no two runs share."""
        table = tables.read(self.results / "summary.parquet", "summarize", COLUMNS)
        return table[table["method"] != "clock"].reset_index(drop=True)


def wait_for(condition, process, pipeline, seconds=120):
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, "it ended too early: " + pipeline.said()
        assert time.monotonic() < deadline, f"nothing happened for {seconds} s"
        time.sleep(0.02)


def same(one, other):
    """Bit for bit, NaN like NaN."""
    try:
        pd.testing.assert_frame_equal(one, other, check_exact=True)
    except AssertionError:
        return False
    return True
