"""What a step after a training opens."""

import pandas as pd
import pytest
import torch

from qdflow import checkpoint, flows, tables, trained
from qdflow.device import DeviceError
from qdflow.system import System

SYSTEM = System(2, "quartic")


@pytest.fixture
def saved(tmp_path):
    """A flow in float32 as a training leaves it, and the path of what it saved."""
    generator = torch.Generator().manual_seed(1)
    flow = flows.build("ordered", SYSTEM, generator, width=8)
    model = {"architecture": {"flow": "ordered", "width": 8}}
    model |= {"system": {"n": 2, "trap": "quartic"}, "parameters": flow.float().state_dict()}
    checkpoint.save(model, tmp_path / "model.pt")
    return flow.double(), tmp_path / "model.pt"


def job(symmetry="none", objective="reverse"):
    columns = {"system": "dot", "beta": 3.0, "symmetry": symmetry, "objective": objective}
    return {"columns": columns, "seed": 7}


def test_the_flow_is_the_one_that_was_saved(saved):
    flow, path = saved
    one = trained.load(path, job(), "cpu")
    x = torch.randn(5, 2, 2, dtype=torch.float64)
    torch.testing.assert_close(one.flow.log_prob(x), flow.log_prob(x).detach(), rtol=1e-5, atol=0)
    for parameter, was in zip(one.flow.parameters(), flow.parameters(), strict=True):
        assert torch.equal(parameter, was)
    assert not any(parameter.requires_grad for parameter in one.flow.parameters())
    assert (one.system, one.beta) == (SYSTEM, 3.0)


def test_rows_name_the_symmetry_that_the_flow_has_by_itself(saved):
    given = job()
    one = trained.load(saved[1], given, "cpu")
    assert one.columns == given["columns"] | {"symmetry": "permutation"}
    assert one.note == {"config": given, "seed": 7, "device": "cpu"}
    assert given == job(), "what the caller gave was changed"
    assert "c4" in trained.load(saved[1], job("c4"), "cpu").columns["symmetry"]


@pytest.mark.parametrize(
    ("objective", "half"),
    [("reverse", False), ("reverse, after convex", False), ("forward", True), ("mixed", True)],
)
def test_who_learned_from_the_reference_is_judged_on_the_rest(objective, half, saved):
    samples = pd.DataFrame({"chain": [0, 0, 0, 1, 1, 1], "energy": range(6)})
    unseen = trained.load(saved[1], job(objective=objective), "cpu").unseen(samples)
    assert list(unseen["energy"]) == ([1, 4] if half else list(range(6)))
    if half:
        assert not set(unseen["energy"]) & set(tables.halves(samples)[0]["energy"])


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_is_not_there_is_an_error(saved):
    with pytest.raises(DeviceError, match="sees no GPU here"):
        trained.load(saved[1], job(), "cuda")
