"""Bounds that annealing brings together, around two electrons whose F is known by quadrature."""

import math
from types import SimpleNamespace

import pytest
from oracles import boltzmann_of_two, two_electrons

from qdflow import flows, narrowing
from qdflow.narrowing import LEAST_STEPS, Budget, narrow, width
from qdflow.stats import Estimate, Found
from qdflow.system import System

BETA, PAIR = 2.0, System(2)
F, _ = two_electrons(BETA)


@pytest.fixture
def reference(generator):
    return boltzmann_of_two(BETA, 800, generator).numpy().reshape(8, -1, 2, 2)


def flow(generator, name="convex", **options):
    return flows.build(name, PAIR, generator, **options)


def test_the_bounds_come_as_close_as_they_are_asked_to(generator, reference):
    convex = flow(generator, layers=1, ramps=2)
    wide, close = (
        narrow(convex, PAIR, BETA, reference, Budget(target, 320, 200), generator)
        for target in (3.0, 0.1)
    )
    assert wide.steps.mean == LEAST_STEPS
    assert close.steps.mean > LEAST_STEPS
    assert width(close.found).sigmas_from(0.1) < 4
    for found, *_ in (wide, close):
        assert found["annealed_lower"].estimate.sigmas_from(F) < 4
        assert found["annealed_upper"].estimate.sigmas_from(F) > -4
    assert abs(close.found["annealed"].estimate.sigmas_from(F)) < 4
    assert 0.5 < close.accepted.mean < 1
    assert 0 < wide.ess.mean < close.ess.mean <= 1
    lost = close.found["annealed_upper"].estimate.mean - F
    assert close.ess.mean > 1 - 4 * BETA * lost  # of narrow normal works it is 1 - 2 beta lost


@pytest.mark.parametrize("power", [0.7, 1.0, 2.0])
def test_no_more_steps_than_it_takes(power, monkeypatch):
    """A width that falls as steps^-power, and a first trial that asks for more than allowed."""

    def annealed(_way, steps, *_):
        apart = Found(Estimate((steps / LEAST_STEPS) ** -power, 0.0, 100))
        return {"annealed_upper": apart, "annealed_lower": Found(Estimate(0.0, 0.0, 100))}, None

    monkeypatch.setattr(narrowing, "_annealed", annealed)
    plan = SimpleNamespace(schedule=lambda steps: steps)
    enough = LEAST_STEPS * 0.05 ** (-1 / power)
    most = math.ceil(1.5 * enough) if power <= 1 else 150
    steps = narrowing._enough(None, plan, None, Budget(0.05, 64, most), 1.0, None)
    assert enough <= steps <= 1.5 * enough
    if power >= 1:
        assert steps < most


def test_no_more_steps_than_are_allowed(generator, reference):
    convex = flow(generator, layers=1, ramps=2)
    assert narrow(convex, PAIR, BETA, reference, Budget(1e-4, 64, 9), generator).steps.mean == 9


def test_a_labelled_flow_is_refused(generator, reference):
    labelled = flow(generator, "autoregressive", hidden=[4])
    with pytest.raises(ValueError, match="covers one relabelling of each configuration"):
        narrow(labelled, PAIR, BETA, reference, Budget(0.1, 64, 20), generator)


@pytest.mark.parametrize("chains", [16, 1600])
def test_chains_that_the_reference_cannot_start_are_refused(chains, generator, reference):
    with pytest.raises(ValueError, match=f"{chains} chains are {chains // 8} for each of the 8"):
        narrow(flow(generator), PAIR, BETA, reference, Budget(0.1, chains, 20), generator)
