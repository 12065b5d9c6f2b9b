"""Compiled loops: the same bits whether they were compiled just now or come from numba's cache."""

import os
import subprocess
import sys

import pytest
from conftest import ROOT

TRAINED = """
import hashlib, sys, torch
from qdflow import flows
from qdflow.system import System
from qdflow.train import Phase, train

torch.set_num_threads(1)
name, options = sys.argv[1], eval(sys.argv[2])
for precision in (torch.float32, torch.float64):
    generator, system = torch.Generator().manual_seed(0), System(6)
    flow = flows.build(name, system, generator, **options).to(precision)
    train(flow, system, 5.0, [Phase(4, 300, 0.01)], generator, 10.0)
    found = b"".join(p.detach().numpy().tobytes() for p in flow.parameters())
    print(hashlib.sha256(found).hexdigest())
"""


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("leapfrog", {"layers": 2}),  # forces; pairs and eigenvalues of the base
        ("mlp", {"hidden": [16, 16]}),  # determinants; pairs of the energy
    ],
)
def test_a_fresh_clone_trains_to_the_bits_of_an_old_one(name, options, tmp_path):
    """Or else the first run on a machine would differ from all later ones, and from its resumption.

    It did: numba had helpers twice, as functions and in the loops that call them, with sums in
    another order, and which of them ran hung on the cache.
    """
    command = [sys.executable, "-c", TRAINED, name, repr(options)]
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    fresh, again = (
        subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    )
    assert list(tmp_path.rglob("*.nbc")), "nothing was cached"
    assert fresh == again
