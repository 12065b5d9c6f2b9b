"""What several test files need."""

import fcntl
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(Path(__file__).parent), str(ROOT / "workflow")]


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def source(tmp_path_factory):
    """A fresh clone, not to be changed: what runs there runs in a copy."""
    from pipeline import checkout  # which imports this file

    return checkout(tmp_path_factory.mktemp("source") / "qdflow")


@pytest.fixture(scope="session")
def finished(source, tmp_path_factory):
    """A clone in which the smoke configuration has been run, once for all workers."""
    from pipeline import SMOKE, succeed

    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    clone = shared / "finished" / "qdflow"
    with (shared / "finished.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (clone / "output.txt").exists():
            shutil.rmtree(clone, ignore_errors=True)
            shutil.copytree(source, clone)
            text = succeed(clone, *SMOKE)
            (clone / "output.txt").write_text(text)
    return clone
