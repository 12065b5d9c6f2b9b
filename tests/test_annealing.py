"""Annealing between a flow and two electrons, whose F is known by quadrature."""

import pytest
import torch
from oracles import boltzmann_of_two, two_electrons

from qdflow import annealing, bounds, flows
from qdflow.stats import iid_mean
from qdflow.system import System

BETA, PAIR = 2.0, System(2)
EXACT = [name for name in flows.NAMES if flows.load(name).exact_inverse]
SMALL = {
    "autoregressive": {"hidden": [4], "layers": 1, "position_std": 0.1, "width": 0.5},
    "convex": {"layers": 1, "ramps": 2},
    "leapfrog": {"layers": 1, "radial": 2},
    "ordered": {
        "width": 4,
        "heads": 1,
        "blocks": 1,
        "components": 2,
        "modes": 2,
        "nodes": 16,
        "stiffness": 2.0,
    },
}


def works(name, steps, size, generator):
    flow = flows.build(name, PAIR, generator, **SMALL[name])
    path = annealing.path(flow, PAIR, BETA, generator)
    schedule = annealing.pilot(path, generator).schedule(steps)
    u_p = path.from_reference(boltzmann_of_two(BETA, size, generator))
    return annealing.anneal(path, schedule, path.from_flow(size), u_p, generator)


@pytest.mark.parametrize("name", [*EXACT, "ordered"])
def test_works_bound_the_free_energy_and_obey_crooks(name, generator, monkeypatch):
    """Crooks' relation holds however few the steps, as the moves keep their densities.

    Bennett's ratio rests on it, and has no heavy tail where the mean of e^w has one.
    """
    F, _ = two_electrons(BETA)
    found = works(name, 8, 400, generator)
    upper, lower = (iid_mean(-w / BETA) for w in (found.forward, found.backward))
    assert upper.sigmas_from(F) > -4
    assert lower.sigmas_from(F) < 4
    monkeypatch.setattr(bounds, "LEAST_ESS", 10)
    between = bounds.bar(-found.forward, found.backward.view(4, -1), BETA).estimate
    assert abs(between.sigmas_from(F)) < 4
    assert between.stderr < 0.2
    assert (found.accepted > 0.5).all()


def test_more_steps_bring_the_bounds_together(generator):
    widths = []
    for steps in (1, 4, 32):
        found = works("convex", steps, 250, generator)
        widths.append((found.backward.mean() - found.forward.mean()).item() / BETA)
    assert widths[0] > 2 * widths[1] > 4 * widths[2] > 0


def test_annealing_leaves_a_perfect_flow_as_it_is(generator):
    """One electron: the base, scaled, is p itself, and every work is ln Z."""
    one = System(1)
    flow = flows.build("autoregressive", one, generator, hidden=[2], layers=1, width=1.0)
    for p in flow.parameters():
        p.data.zero_()
    path = annealing.path(flow, one, 0.5, generator)  # beta r^2 = r^2 / 2
    schedule = annealing.pilot(path, generator).schedule(3)
    found = annealing.anneal(path, schedule, path.from_flow(20), path.from_flow(20), generator)
    log_Z = torch.tensor(2 * torch.pi).log().double().expand(20)
    torch.testing.assert_close(found.forward, log_Z)
    torch.testing.assert_close(found.backward, log_Z)


def test_a_flow_that_cannot_start_from_p_is_refused(generator):
    flow = flows.build("mlp", PAIR, generator, hidden=[4])
    with pytest.raises(ValueError, match="MLP has no exact inverse to start from"):
        annealing.path(flow, PAIR, BETA, generator)
