"""Planted faults: each is caught by name, and sound maps pass."""

import math

import pytest
import torch

from qdflow import audit, flows
from qdflow.bases import Gaussian
from qdflow.flows._dense import DenseFlow
from qdflow.flows.base import Flow
from qdflow.symmetry import Averaged
from qdflow.system import System


class Folding(DenseFlow):
    """x_1 = z_1^2: two z at each x, on either side of the fold."""

    def __init__(self, shift):
        super().__init__()
        self.base, self.shift = Gaussian(1), torch.nn.Parameter(torch.tensor(shift).double())

    def mapping(self, z):
        y = z[:, 0] + self.shift
        jacobian = torch.diag_embed(torch.stack([2 * y, torch.ones_like(y)], 1))
        return torch.stack([y * y, z[:, 1]], 1), jacobian


class RungeKutta(Flow):
    """dx/dt = -x^3 in one step of Runge and Kutta, with the divergence integrated beside it."""

    def __init__(self):
        super().__init__()
        self.base, self.rate = Gaussian(1), torch.nn.Parameter(torch.tensor(1.0).double())

    def transform(self, z):
        def slope(x):
            return -self.rate * x**3, (-3 * self.rate * x**2).sum((1, 2))

        k1, d1 = slope(z)
        k2, d2 = slope(z + 0.1 * k1)
        k3, d3 = slope(z + 0.1 * k2)
        k4, d4 = slope(z + 0.2 * k3)
        ladj = 0.2 * (d1 + 2 * d2 + 2 * d3 + d4) / 6
        return z + 0.2 * (k1 + 2 * k2 + 2 * k3 + k4) / 6, ladj, torch.ones_like(ladj)


def test_a_fold_is_caught_by_its_signs(generator):
    found = audit.signs(Folding(0.0), 1000, generator)
    assert abs(found["signs_samples"].estimate.sigmas_from(0.5)) < 4
    assert "det J changes sign on" in found["signs_samples"].fault


def test_a_fold_out_of_sight_of_the_samples_is_caught_farther_out(generator):
    found = audit.signs(Folding(5.0), 1000, generator)
    assert not found["signs_samples"].fault
    assert "of the inflated" in found["signs_inflated"].fault


def test_second_preimages_are_found_and_their_weight_restated(generator):
    """z_1 and -z_1 weigh the same: F is too low by ln 2 / beta."""
    found = audit.preimages(Folding(0.0), 2.0, 200, 8, generator)
    assert found["second_preimages"].estimate.mean > 0.95
    assert "have a second preimage" in found["second_preimages"].fault
    assert audit.verdict(Folding(0.0), found).startswith("failed: folds raise F by 0.3")
    lost = found["lost_in_folds"].estimate
    assert abs(lost.mean - found["second_preimages"].estimate.mean * math.log(2) / 2) < 0.01


def test_an_integrated_divergence_is_caught(generator):
    assert "ladj differs from ln |det dx/dz|" in audit.jacobian(RungeKutta(), 50, generator).fault


@pytest.mark.parametrize("name", ["autoregressive", "convex", "leapfrog"])
def test_sound_maps_pass(name, generator):
    flow = flows.build(name, System(3), generator)
    checks = audit.signs(flow, 100, generator)
    checks |= {"j": audit.jacobian(flow, 5, generator), "r": audit.round_trip(flow, 50, generator)}
    assert {check.fault for check in checks.values()} == {""}


def test_a_wrong_inverse_is_caught(generator):
    flow = flows.build("leapfrog", System(3), generator)
    exact = flow.inverse
    flow.inverse = lambda x: exact(x) + 1e-5
    assert "the inverse misses z by" in audit.round_trip(flow, 10, generator).fault


def test_a_map_without_folds_has_no_second_preimage(generator):
    flow = flows.build("mlp", System(2), generator, hidden=[4], activation="asinh")
    found = audit.preimages(flow, 2.0, 100, 6, generator)
    assert found["second_preimages"].estimate.mean == 0
    assert found["lost_in_folds"].estimate.mean == 0


def test_normalisation_of_one_electron(generator):
    assert abs(
        audit.normalisation(flows.build("convex", System(1), generator), 8, 201).mean - 1
    ) < (1e-6)
    with pytest.raises(ValueError, match="a grid for 3 electrons is too large"):
        audit.normalisation(flows.build("convex", System(3), generator), 8, 11)


BUDGET = audit.Budget(samples=200, preimages=50, starts=4)
SMALL = {"ordered": {"width": 8, "heads": 1, "blocks": 1, "modes": 4, "nodes": 16}}


SEARCH = {"jacobian", "second_preimages", "lost_in_folds"}
SEARCH |= {f"signs_{place}" for place in ("samples", "segments", "inflated")}


@pytest.mark.parametrize("name", flows.NAMES)
def test_every_flow_is_audited_as_its_claim_allows(name, generator):
    flow = flows.build(name, System(3), generator, **SMALL.get(name, {}))
    found = audit.audit(flow, 2.0, BUDGET, generator)
    if not flow.claim:
        assert set(found) == SEARCH
        return
    assert ("jacobian" in found) == flow.reparametrised
    assert audit.verdict(flow, found) == f"by construction: {flow.claim}"


def test_of_an_averaged_flow_both_are_audited(generator):
    flow = Averaged(flows.build("autoregressive", System(1), generator), "c4")
    assert set(audit.audit(flow, 2.0, BUDGET, generator)) == {
        "jacobian",
        "round_trip",
        "consistency",
        "normalisation",
    }


def test_a_density_that_is_not_normalised_is_caught(generator):
    flow = flows.build("convex", System(1), generator)
    exact = flow.log_prob
    flow.log_prob = lambda x: exact(x) + 0.1
    found = audit.audit(flow, 2.0, BUDGET, generator)
    assert "log_prob differs from a sample's log_q by 0.1" in found["consistency"].fault
    assert "the integral of q is 1.10" in found["normalisation"].fault
    assert audit.verdict(flow, found).startswith("failed: log_prob differs")


@pytest.mark.parametrize("off", [0.0, 0.5])
def test_the_integral_of_two_electrons_knows_a_wrong_density_from_a_coarse_grid(off, generator):
    """The flow is narrow: its grid alone has an error of a third or so, which excuses nothing."""
    flow = flows.build("autoregressive", System(2), generator, hidden=[4])
    exact, scale = flow.log_prob, 0.2
    flow.log_prob = lambda x: exact(x / scale) - 4 * math.log(scale) + off
    draw = flow.draw
    flow.draw = lambda size, g: draw(size, g)._replace(x=scale * draw(size, g).x)
    x = flow.draw(1000, generator).x
    found = audit.sampled_normalisation(flow, x, 20_000, generator)
    assert abs(found.sigmas_from(math.exp(off))) < 4
    check = audit.normalised(flow, 2, generator)
    assert bool(check.fault) == bool(off)


def test_folds_without_weight_are_told(generator):
    """At a shift of 5 the mirror image has a weight of e^-50: it is found, and F stays."""
    flow = Folding(5.0)
    found = audit.audit(flow, 2.0, audit.Budget(500, 100, 8), generator)
    assert found["second_preimages"].estimate.mean > 0.1
    assert "folds without weight, as det J changes" in audit.verdict(flow, found)
