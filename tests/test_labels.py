"""Relabelling held against all permutations of few electrons."""

import math
from itertools import permutations

import numpy as np
import pytest
import torch

from qdflow import labels
from qdflow.symmetry import GROUPS, act


@pytest.fixture
def sites(rng):
    """Two sets of three sites, as of a flow with a symmetry."""
    return labels.Sites(rng.normal(size=(2, 3, 2)))


def test_the_nearest_relabelling_by_brute_force(sites, rng):
    x = rng.normal(size=(50, 3, 2))
    everything = np.array(list(permutations(range(3))))
    costs = np.square(x[:, None, everything] - sites.places[:, None]).sum((-1, -2))
    best = everything[costs.min(1).argmin(1)]
    assert (sites.order(x) == best).all()
    assert (sites.relabelled(x) == np.take_along_axis(x, best[..., None], 1)).all()


def test_one_relabelling_of_each_configuration_lies_in_the_domain(sites, rng):
    x = rng.normal(size=(20, 3, 2))
    home = [sites.order(x[:, list(p)]) == np.arange(3) for p in permutations(range(3))]
    assert (np.sum([h.all(1) for h in home], 0) == 1).all()


def test_sites_are_where_the_electrons_are(rng):
    place = np.array([[1.0, 0.3], [-0.5, 1.0], [0.2, -1.2]])
    x = place + 0.1 * rng.normal(size=(400, 3, 2))
    assert np.abs(labels.sites(x, "none").places[0] - place).max() < 4 * 0.1 / 400**0.5


def test_sites_of_a_symmetric_flow_are_those_of_its_images(rng):
    place = np.array([[1.0, 0.3], [-0.5, 1.0], [0.2, -1.2]])
    g = GROUPS["c4"][rng.integers(0, 4, 400)]
    x = act(g, torch.from_numpy(place + 0.1 * rng.normal(size=(400, 3, 2)))).numpy()
    found = labels.sites(x, "c4")
    assert found.places.shape == (4, 3, 2)
    away = [np.abs(image - place).max() for image in found.places]
    assert min(away) < 5 * 0.1 / 400**0.5
    assert (found.order(x) == np.arange(3)).all()


def orders(rng, domains, samples, n=5):
    """As if a flow visited so many domains alike."""
    visited = np.array(list(permutations(range(n))))[:domains]
    return visited[rng.integers(0, domains, samples)]


@pytest.mark.parametrize("domains", [1, 2, 24])
def test_what_labels_cost_a_flow_that_visits_some_domains(domains, rng):
    """KL(q || q_sym) is ln(n! / domains) then."""
    cost = labels.lost(orders(rng, domains, 4000), 5, beta=2.0).estimate
    assert cost.stderr > 0
    assert abs(cost.mean - math.log(120 / domains) / 2) < 4 * cost.stderr


@pytest.mark.parametrize("rare", [0.01, 0.05])
def test_domains_that_nobody_saw_are_never_taken_for_a_loss(rare, rng):
    """Some of q is spread over all 12! domains, of which no two samples share one."""
    away = rng.random(4000) < rare
    visited = np.where(away[:, None], rng.random((4000, 12)).argsort(1), np.arange(12))
    S = -(1 - rare) * math.log(1 - rare) - rare * math.log(rare) + rare * math.lgamma(13)
    exact = math.lgamma(13) - S
    cost = labels.lost(visited, 12, beta=1.0).estimate
    assert cost.sigmas_from(exact) < 4
    assert cost.mean > 0.95 * exact


def test_too_many_domains_are_refused(rng):
    found = labels.lost(orders(rng, 120, 60), 5, beta=1.0)
    assert "of the samples are alone in their domain" in found.refusal
