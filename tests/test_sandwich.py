"""Two electrons, whose F and <E> are known by quadrature, between the bounds of planted flows."""

import math

import numpy as np
import pytest
import torch
from oracles import boltzmann_of_two, two_electrons

from qdflow.flows.base import Draw, Flow
from qdflow.sandwich import NEVER, SHARE, Samples, _covering, _Sides, sandwich
from qdflow.stats import Estimate
from qdflow.system import System

BETA, PAIR = 2.0, System(2)
F, E = two_electrons(BETA)
POINTS = [("F", "lfep"), ("F", "bar"), ("E", "snis"), ("E", "independence")]


class Sitting(Flow):
    """Two electrons around two sites: normal, with labels or without."""

    def __init__(self, symmetry):
        super().__init__()
        self.symmetry, self.spread = symmetry, 0.75
        self.place = torch.tensor([[0.5, 0.0], [-0.5, 0.0]], dtype=torch.float64)

    def draw(self, size, generator):
        z = torch.randn(size, 2, 2, generator=generator, dtype=torch.float64)
        x = self.place + self.spread * z
        if self.symmetry != "none":
            turned = torch.rand(size, 1, 1, generator=generator) < 0.5
            x = torch.where(turned, x.flip(1), x)
        return Draw(x, self.log_prob(x), torch.ones(size))

    def log_prob(self, x):
        if self.symmetry == "none":
            return self._labelled(x)
        return torch.logaddexp(self._labelled(x), self._labelled(x.flip(1))) - math.log(2)

    def _labelled(self, x):
        z2 = ((x - self.place) / self.spread).square().sum((1, 2))
        return -z2 / 2 - 4 * math.log(self.spread * math.sqrt(2 * math.pi))


class Gapped(Sitting):
    """Finds no preimage on one side of the centre."""

    def located(self, x, generator):
        found = x.mean((1, 2)) < 0.2
        assert generator is not None
        return torch.where(found, self.log_prob(x), -torch.inf)


def look(flow, generator, rng, size=20_000):
    draw = flow.draw(size, generator)
    reference = boltzmann_of_two(BETA, 4000, generator).numpy().reshape(8, -1, 2, 2)
    samples = Samples(draw.x.numpy(), draw.log_q.numpy(), reference)
    return draw, sandwich(flow, PAIR, BETA, samples, Estimate(F, 0.0, 1.0), generator, rng)


@pytest.mark.parametrize("symmetry", ["none", "permutation"])
def test_bounds_and_estimates_hold_the_truth(symmetry, generator, rng):
    _, (found, note) = look(Sitting(symmetry), generator, rng)
    for key in POINTS:
        assert not found[key].refusal
        truth = F if key[0] == "F" else E
        assert abs(found[key].estimate.sigmas_from(truth)) < 4
    for method in ("snis", "independence"):
        assert abs(found["virial", method].estimate.sigmas_from(0)) < 4
    assert found["F", "lower"].estimate.sigmas_from(F) < 4
    assert bool(note) == (symmetry == "none")


def test_the_lower_bound_of_a_labelled_flow_is_that_of_its_symmetric_mean(generator, rng):
    """Nearly: one of two terms is kept, and a hundredth of another density is mixed in."""
    lower = [
        look(Sitting(s), generator, rng)[1].found["F", "lower"] for s in ("none", "permutation")
    ]
    labelled, alike = (one.estimate for one in lower)
    assert labelled.minus(alike).sigmas_from(0) < 4
    assert labelled.mean > alike.mean - 0.35


def test_labels_and_misfit_make_up_what_is_lost(generator, rng):
    draw, (found, _) = look(Sitting("none"), generator, rng)
    lost, misfit = (found[q, "domain"].estimate for q in ("lost_relabellings", "misfit"))
    above = (PAIR.energy(draw.x) + draw.log_q / BETA).mean().item() - F
    assert lost.mean + misfit.mean == pytest.approx(above)
    # it does not lie in one domain, and loses less than ln 2
    q, mirrored = (Sitting("none").log_prob(x) for x in (draw.x, draw.x.flip(1)))
    exact = -(torch.logaddexp(q, mirrored) - math.log(2) - q).mean().item() / BETA
    assert 0 < lost.mean < exact < math.log(2) / BETA


def test_what_has_no_preimage_is_counted_and_told(generator, rng):
    _, (found, note) = look(Gapped("permutation"), generator, rng)
    assert "no preimage was found for" in found["F", "bar"].refusal
    assert found["no_preimage", "located"].estimate.mean > 0.1
    assert "lost a part" in found["F", "lfep"].refusal
    assert math.isfinite(found["F", "lower"].estimate.mean)
    assert found["F", "lower"].estimate.sigmas_from(F) < 4
    assert "1% of a Ginibre ensemble" in note


def test_what_is_mixed_in_is_normalised(generator, rng):
    """Of one electron it is a Gaussian: nothing else is left where no preimage is found at all."""

    class Nowhere(Gapped):
        def located(self, x, generator):
            assert generator is not None
            return torch.full((len(x),), -torch.inf, dtype=x.dtype)

    s2 = 0.7
    x, reference = (
        scale * torch.randn(8, 500, 1, 2, generator=generator, dtype=torch.float64).numpy()
        for scale in ((s2 / 2) ** 0.5, (2 * BETA) ** -0.5)
    )
    x = x.reshape(-1, 1, 2)
    samples = Samples(x, np.zeros(len(x)), reference)
    exact = Estimate(-math.log(math.pi / BETA) / BETA, 0.0, 1.0)
    found, _ = sandwich(Nowhere("permutation"), System(1), BETA, samples, exact, generator, rng)
    s2 = np.square(x).sum(2).mean()
    bound = 1 / BETA + (math.log(0.01 / (math.pi * s2)) - 1 / BETA / s2) / BETA
    assert abs(found["F", "lower"].estimate.sigmas_from(bound)) < 4
    assert "lost a part" in found["F", "lfep"].refusal


def test_what_is_mixed_in_has_its_share_of_a_domain():
    """Of two electrons with labels, by a grid over all places of both, of which half is home."""
    axis = np.linspace(-3.5, 3.5, 36)
    x = np.stack(np.meshgrid(*[axis] * 4, indexing="ij"), -1).reshape(-1, 2, 2)
    x = x[x[:, 0, 0] < x[:, 1, 0]]  # a domain, but for its edge, where next to nothing is
    nothing = np.full(len(x), -np.inf)
    sides = _Sides(x, nothing, x, offset=math.log(2) / BETA)
    wide = np.array([[[0.6, 0.0], [-0.6, 0.0]]])
    share = np.exp(_covering(nothing, sides, wide)).sum() * (axis[1] - axis[0]) ** 4
    assert share == pytest.approx(SHARE, rel=0.1)


def test_a_flow_that_wanders_is_refused_what_takes_weights(generator, rng):
    """It has no domain of its own: nearly no sample is where the sites say."""

    class Wandering(Sitting):
        def draw(self, size, generator):
            draw = super().draw(size, generator)
            away = torch.arange(size) > size / 10 + 20  # after those that give the sites
            x = torch.where(away[:, None, None], draw.x.flip(1), draw.x)
            return Draw(x, self.log_prob(x), draw.sign)

    flow = Wandering("none")
    flow.spread = 0.05
    _, (found, _) = look(flow, generator, rng, size=4000)
    for key in POINTS:
        assert "samples of the flow are in the domain of its labels" in found[key].refusal
    assert math.isfinite(found["F", "lower"].estimate.mean)


def test_weights_outside_of_the_domain_count_for_nothing():
    assert np.exp(NEVER) == 0
