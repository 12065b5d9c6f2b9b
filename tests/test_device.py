"""Flows on another device: what can be known of it without one (see `elsewhere`)."""

import re

import elsewhere
import numpy as np
import pytest
import torch
from elsewhere import Elsewhere, MixedDevicesError
from test_flows import CASES, EXACT, every_flow, make

from qdflow import checkpoint, device, flows, narrowing, sandwich
from qdflow.audit import Budget, audit, normalisation, sampled_normalisation
from qdflow.estimate import estimate
from qdflow.family import Family, rebuild
from qdflow.flows.base import drawn
from qdflow.symmetry import Averaged
from qdflow.system import System
from qdflow.train import Phase, train

BETA = 2.0
REVERSE, MIXED = Phase(3, 8, 0.01), Phase(2, 8, 0.01, forward=0.5)


@pytest.fixture(autouse=True)
def _no_clock(monkeypatch):
    monkeypatch.setattr(torch.cuda, "synchronize", lambda _: None)


def everywhere(work, build):
    """What ``work`` makes of a flow on the processor, and of the same one elsewhere."""
    here = work(build())
    with Elsewhere():
        there = work(elsewhere.module(build()))
    return here, there


def assert_same(here, there):
    """The same numbers: elsewhere is in truth the same processor, up to other formulas."""
    np.testing.assert_allclose(there, here, rtol=1e-6, atol=1e-9, equal_nan=True)


def built(name, variant, n=2):
    return make(name, variant, torch.Generator().manual_seed(0), n)


def trained(flow, phases=(REVERSE,)):
    generator = torch.Generator().manual_seed(1)
    samples = torch.randn(32, 2, 2, generator=generator).double()
    history = train(flow, System(2), BETA, phases, generator, reference=samples)
    return history["F"] + history["gradient_norm"]


@every_flow
def test_training_stays_on_the_flow_s_device(name, variant):
    phases = [REVERSE] + [MIXED] * built(name, variant).exact_log_prob
    here, there = everywhere(lambda flow: trained(flow, phases), lambda: built(name, variant))
    assert_same(here, there)


@every_flow
def test_estimates_stay_on_the_flow_s_device(name, variant):
    def work(flow):
        generator = torch.Generator().manual_seed(1)
        result = estimate(flow, System(2), BETA, 60, generator, chunk=20)
        return [result.estimates[q].mean for q in ("F", "E", "ess")] + result.x.ravel().tolist()

    assert_same(*everywhere(work, lambda: built(name, variant)))


@every_flow
def test_audits_and_bounds_stay_on_the_flow_s_device(name, variant):
    def work(flow):
        generator = torch.Generator().manual_seed(1)
        checks = audit(flow, BETA, Budget(20, 2, 2), generator)
        x = 0.1 * np.random.default_rng(0).normal(size=(1, 2, 3, 2))
        log_q = sandwich._located(flow, x, generator, lambda *_: None)
        return [c.estimate.mean for c in checks.values()] + log_q.ravel().tolist()

    assert_same(*everywhere(work, lambda: built(name, variant, n=3)))


@pytest.mark.parametrize("name", EXACT)
def test_integrals_stay_on_the_flow_s_device(name):
    def work(flow):
        generator = torch.Generator().manual_seed(1)
        x = drawn(flow, 100, generator)
        grid = normalisation(flow, 4.0, nodes=21)
        return grid.mean, sampled_normalisation(flow, x, 500, generator).mean

    assert_same(*everywhere(work, lambda: built(name, 0, n=1)))


@pytest.mark.parametrize("name", ["convex", "leapfrog", "ordered"])
def test_annealing_stays_on_the_flow_s_device(name):
    def work(flow):
        generator = torch.Generator().manual_seed(1)
        x = np.random.default_rng(0).normal(size=(4, 16, 2, 2))
        budget = narrowing.Budget(0.3, 32, 12)
        result = narrowing.narrow(flow, System(2), BETA, x, budget, generator)
        return [*(one.estimate.mean for one in result.found.values()), result.accepted.mean]

    assert_same(*everywhere(work, lambda: built(name, 0)))


@pytest.mark.parametrize("name", ["convex", "ordered"])
def test_families_teachers_and_averages_stay_on_the_flow_s_device(name):
    def work(flow):
        generator = torch.Generator().manual_seed(1)
        family = Family(flow, 1.0, 4.0, degree=1, temperatures=2)
        family = elsewhere.module(family) if is_there(flow) else family
        taught = drawn(family.at(BETA), 10, generator)
        average = Averaged(flow, "c4")
        average = elsewhere.module(average) if is_there(flow) else average
        return trained(family) + taught.sum((1, 2)).tolist() + trained(average, [MIXED])

    assert_same(*everywhere(work, lambda: built(name, 0)))


def is_there(flow):
    return elsewhere.is_elsewhere(next(flow.parameters()))


def test_half_a_training_goes_on_elsewhere(tmp_path):
    """A GPU's checkpoint on a laptop, and the other way round."""
    saved = tmp_path / "half.pt"
    whole = trained(built("convex", 0), [REVERSE, REVERSE])

    def half(flow, phases):
        generator = torch.Generator().manual_seed(1)
        torch.randn(32, 2, 2, generator=generator)
        history = train(flow, System(2), BETA, phases, generator, saved=saved, save_seconds=0)
        return history["F"] + history["gradient_norm"]

    half(built("convex", 0), [REVERSE])
    with Elsewhere():
        there = half(elsewhere.module(built("convex", 0)), [REVERSE, REVERSE])
    assert_same(whole, there)


def test_a_model_is_read_onto_the_processor_and_moved_from_there(tmp_path):
    flow = built("ordered", 0)
    model = {
        "parameters": flow.state_dict(),
        "architecture": {"flow": "ordered", "width": 8, "heads": 2, "blocks": 2}
        | {"components": 3, "modes": 3, "nodes": 12},
        "system": {"n": 2},
    }
    checkpoint.save(model, tmp_path / "model.pt")
    with Elsewhere():
        again = elsewhere.module(rebuild(checkpoint.load(tmp_path / "model.pt"), BETA))
        x = drawn(again, 5, torch.Generator().manual_seed(0))
        assert elsewhere.is_elsewhere(x)
    assert torch.equal(x, drawn(flow, 5, torch.Generator().manual_seed(0)))


# What the tests above would miss if `Elsewhere` were too kind.
@pytest.mark.parametrize(
    "mistake",
    [
        lambda x: x + torch.ones(3),
        lambda x: x @ torch.eye(3, dtype=x.dtype),
        lambda x: torch.cat([x, torch.zeros(1, 3, dtype=x.dtype)]),
        lambda x: torch.where(x > 0, torch.zeros(3, dtype=x.dtype), x),
        lambda x: x.numpy(),
        lambda x: np.asarray(x),
        lambda x: torch.ones(3)[x.argmax(1)],
        lambda x: x + torch.ones(2, 3).to(x.cpu()),
        lambda x: torch.rand(3, generator=torch.Generator(), device=x.device),
        lambda x: x.cpu() + x,
    ],
)
def test_elsewhere_refuses_what_a_gpu_refuses(mistake):
    with Elsewhere(), pytest.raises(MixedDevicesError):
        mistake(elsewhere.put(torch.zeros(2, 3)))


def test_elsewhere_allows_what_a_gpu_allows():
    with Elsewhere():
        x = elsewhere.put(torch.zeros(2, 3, dtype=torch.float64))
        assert x.device.type == "cuda"
        assert x.cpu().device.type == "cpu"
        assert x.device.type == "cuda"  # that of the copy, not its own, was changed
        assert (x + 1.5 * torch.tensor(2.0)).device.type == "cuda"
        assert x[torch.tensor([1])].device.type == "cuda"
        assert (torch.ones(3).to(x) + x).device.type == "cuda"
        assert torch.arange(3, device=x.device).device.type == "cuda"
        y = torch.ones(3)
        assert y.to(x.device).device.type == "cuda"
        assert y.device.type == "cpu"
        assert x.cpu().numpy().shape == (2, 3)


def test_a_gpu_is_taken_if_there_is_one(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert device.pick().type == device.pick("cuda").type == "cuda"
    assert device.pick("cpu").type == "cpu"


def test_without_a_gpu_only_who_insists_on_one_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device.pick().type == device.pick("cpu").type == "cpu"
    with pytest.raises(device.DeviceError, match=r"device is 'cuda', but torch .* take 'cpu'"):
        device.pick("cuda")
    with pytest.raises(ValueError, match=re.escape("'gpu'; choose from auto, cpu, cuda")):
        device.pick("gpu")


def test_the_tables_say_which_gpu_it_was(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "Model 1")
    assert device.name(torch.device("cpu")) == "cpu"
    assert device.name(torch.device("cuda")) == "cuda (Model 1)"


def test_the_clock_waits_for_a_gpu(monkeypatch):
    waited = []
    monkeypatch.setattr(torch.cuda, "synchronize", waited.append)
    device.finish(torch.device("cpu"))
    device.finish(torch.device("cuda"))
    assert [d.type for d in waited] == ["cuda"]


def test_all_flows_are_looked_at():
    assert {name for name, _ in CASES} == set(flows.NAMES)
