"""What must stay fast, by counting instead of timing: flops, calls into torch, sizes of arrays."""

import sys
from collections import Counter

import numpy as np
import pytest
import torch
from conftest import ROOT
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from qdflow import flows, mcmc, train
from qdflow.system import System

sys.path.append(str(ROOT))
from benchmarks.flops import masked, mlp_products, pairs, parts

OPTIONS = {"rotation": {"hidden": [20, 20, 20]}}
# Calls into torch of one training step of 64 samples at n = 20, as they were counted. A tenth more
# is let pass; whoever needs fewer writes that down here.
CALLS = {
    "autoregressive": 274,
    "convex": 3889,
    "leapfrog": 878,
    "mlp": 231,
    "ordered": 17313,
    "permutation": 372,
    "rotation": 339,
    "transformer": 754,
}


class Calls(TorchDispatchMode):
    """Counts what torch is asked to do, and remembers the largest tensor that comes of it."""

    def __init__(self):
        super().__init__()
        self.of, self.largest = Counter(), 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        self.of[str(func)] += 1
        tensors = out if isinstance(out, tuple | list) else [out]
        sizes = [t.numel() for t in tensors if isinstance(t, torch.Tensor)]
        self.largest = max([self.largest, *sizes])
        return out


def step(name, batch, generator, **options):
    """A training step, ready to be run; one was done before, which compiles."""
    system = System(20)
    flow = flows.build(name, system, generator, **OPTIONS.get(name, {}), **options)
    phase = train.Phase(1, batch, 1e-4)

    def run():
        train.train(flow, system, 10.0, [phase], generator, clip=10.0)

    run()
    return run


@pytest.mark.parametrize("batch", [64, 600])
def test_products_of_a_step_of_the_mlp_are_those_of_the_closed_form(batch, generator):
    run = step("mlp", batch, generator, hidden=[64, 64])
    with FlopCounterMode(display=False) as counter:
        run()
    expected = mlp_products((40, 64, 64, 40), batch, parts(batch, train.CACHED))
    assert counter.get_total_flops() == pytest.approx(expected, rel=0.03)


def test_products_of_a_step_of_masked_layers_are_those_of_the_closed_form(generator):
    run = step("autoregressive", 128, generator, hidden=[128, 128], layers=2)
    with FlopCounterMode(display=False) as counter:
        run()
    expected = masked(40, [128, 128], 2, 128) - 128 * pairs(20)
    assert counter.get_total_flops() == pytest.approx(expected, rel=0.03)


def test_a_step_in_parts_costs_no_more_products(generator):
    counts = []
    for batch in (train.CACHED, 4 * train.CACHED):
        run = step("mlp", batch, generator)
        with FlopCounterMode(display=False) as counter:
            run()
        counts.append(counter.get_total_flops())
    assert counts[1] == 4 * counts[0]


def test_every_architecture_has_its_calls_counted():
    assert set(CALLS) == set(flows.NAMES)


@pytest.mark.parametrize("name", flows.NAMES)
def test_a_step_makes_no_more_calls_than_were_counted(name, generator):
    run = step(name, 64, generator)
    with Calls() as calls:
        run()
    assert calls.of.total() <= 1.1 * CALLS[name], calls.of.most_common(8)


def test_the_determinant_of_an_mlp_is_not_left_to_lapack(generator):
    run = step("mlp", 64, generator)
    with Calls() as calls:
        run()
    assert not [name for name in calls.of if "linalg" in name and "norm" not in name]


def test_calls_do_not_grow_with_the_samples_of_a_part(generator):
    totals = []
    for batch in (16, train.CACHED):
        run = step("mlp", batch, generator)
        with Calls() as calls:
            run()
        totals.append(calls.of.total())
    assert totals[0] == totals[1]


def test_the_energy_makes_no_array_of_all_pairs(generator):
    size, n = 32, 40
    x = torch.randn(size, n, 2, generator=generator, requires_grad=True)
    with Calls() as calls:
        System(n).energy(x).sum().backward()
    assert calls.largest == 2 * size * n


def test_monte_carlo_does_not_come_back_to_python_between_sweeps(rng):
    system, rungs = System(5), 3
    ladder = mcmc.Ladder(2.0, np.linspace(0, 1, rungs), np.full(rungs, 0.5))
    state = mcmc.init(system, rng.normal(size=(rungs, 5, 2)))
    mcmc.step(system, state, ladder, 2, 2, rng)  # compiles

    def calls(draws, sweeps):
        count = Counter()
        sys.setprofile(lambda _frame, event, _argument: count.update([event]))
        try:
            mcmc.step(system, state, ladder, draws, sweeps, rng)
        finally:
            sys.setprofile(None)
        return count["call"] + count["c_call"]

    few = calls(1, 1)
    assert calls(1, 50) == few
    assert calls(8, 1) == few  # draws, a few at a time
