"""Averaging over a group: normalised, invariant, and a gain between 0 and T ln|G|."""

import math

import numpy as np
import pytest
import torch
from oracles import SHIPPED
from scipy import stats

from qdflow import flows
from qdflow.estimate import estimate
from qdflow.groups import holds, log_order
from qdflow.stats import iid_mean
from qdflow.symmetry import GROUPS, Averaged, act, moved
from qdflow.system import TRAPS, System
from qdflow.train import Phase, train


def flow_of(n, generator, trap="quartic", **options):
    system = System(n, trap)
    return system, flows.build("autoregressive", system, generator, hidden=[16], **options)


@pytest.mark.parametrize("group", GROUPS)
def test_groups_are_groups(group):
    """Orthogonal, distinct, the identity first, and closed: every product is an element."""
    elements = GROUPS[group]
    assert torch.equal(elements[0], torch.eye(2).double())
    assert torch.equal(elements @ elements.mT, torch.eye(2).double().expand_as(elements))
    table = [
        [(a @ b - elements).abs().amax((1, 2)).argmin().item() for a in elements] for b in elements
    ]
    for line in table:
        assert sorted(line) == list(range(len(elements)))
    for a in elements:
        for b in elements:
            assert (a @ b - elements).abs().amax((1, 2)).min() == 0


def test_orders_are_those_of_the_groups():
    assert [len(GROUPS[g]) for g in ("c2", "c4", "c4v")] == [2, 4, 8]
    assert log_order("none", 5) == 0
    assert log_order("c4", 20) / 10 == pytest.approx(0.1386, abs=1e-4)
    assert log_order("permutation", 20) / 10 == pytest.approx(4.2336, abs=1e-4)
    assert log_order("permutation+c4", 3) == pytest.approx(math.log(24))
    assert log_order("permutation+o2", 3) == math.inf
    with pytest.raises(ValueError, match="unknown symmetry 'c5'; choose from c2, c4"):
        log_order("c5", 3)


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("trap", TRAPS)
def test_energies_do_not_change_under_the_groups(group, trap, generator):
    """All those of the trap's, and in no other one."""
    system = System(4, trap)
    x = torch.randn(10, 4, 2, dtype=torch.float64, generator=generator)
    same = [torch.allclose(system.energy(act(g, x)), system.energy(x)) for g in GROUPS[group]]
    assert all(same) == holds(TRAPS[trap].group, group)


def test_groups_hold_their_parts():
    parts = {whole: {part for part in GROUPS if holds(whole, part)} for whole in [*GROUPS, "o2"]}
    assert parts == {
        "c2": {"c2"},
        "c4": {"c2", "c4"},
        "c2v": {"c2", "c2v"},
        "c4v": set(GROUPS),
        "o2": set(GROUPS),
    }


@pytest.mark.parametrize("trap", SHIPPED)
def test_random_moves_keep_the_energy_and_reach_the_whole_group(trap, generator):
    """Of one configuration: every label everywhere, both hands, all angles or quarter turns."""
    system = System(3, trap)
    one = torch.tensor([[1.0, 0.0], [0.0, 2.0], [0.3, 0.4]], dtype=torch.float64)
    x = moved(one.expand(4000, 3, 2), system, generator)
    torch.testing.assert_close(system.energy(x), system.energy(one).expand(4000))
    order = x.square().sum(2).argsort(1)
    _, counts = order.unique(dim=0, return_counts=True)
    assert len(counts) == 6
    assert stats.chisquare(counts.numpy()).pvalue > 1e-3
    short, middle, long = x.gather(1, order[:, :, None].expand_as(x)).unbind(1)
    hand = (middle[:, 0] * long[:, 1] - middle[:, 1] * long[:, 0]).sign()
    assert abs(iid_mean(hand).sigmas_from(0)) < 4
    turn = (torch.atan2(middle[:, 1], middle[:, 0]) / (2 * math.pi) % 1)[hand > 0]
    if TRAPS[trap].group == "o2":
        assert stats.kstest(turn.numpy(), "uniform").pvalue > 1e-3
    else:
        counts = np.bincount((4 * turn).round().long().numpy() % 4)
        assert stats.chisquare(counts).pvalue > 1e-3
    assert (short.square().sum(1) - 0.25).abs().max() < 1e-12


@pytest.mark.parametrize("group", GROUPS)
def test_the_average_is_the_sum_of_the_definition(group, generator):
    _, flow = flow_of(3, generator)
    averaged = Averaged(flow, group)
    x = torch.randn(20, 3, 2, dtype=torch.float64, generator=generator)
    direct = [
        np.mean([flow.log_prob((x[k] @ g.T)[None]).exp().item() for g in GROUPS[group]])
        for k in range(20)
    ]
    assert np.allclose(averaged.log_prob(x).exp().detach(), direct, rtol=1e-12)


@pytest.mark.parametrize("group", GROUPS)
def test_the_average_is_invariant_and_its_samples_know_their_density(group, generator):
    averaged = Averaged(flow_of(3, generator)[1], group)
    x, log_q = averaged.sample(100, generator)
    torch.testing.assert_close(averaged.log_prob(x), log_q, rtol=0, atol=1e-10)
    for g in GROUPS[group]:
        torch.testing.assert_close(averaged.log_prob(act(g, x)), log_q, rtol=0, atol=1e-10)


def test_samples_are_turned_evenly(generator):
    """The first electron, which the flow keeps in one corner, is found in all four."""
    _, flow = flow_of(1, generator)
    flow.layers[-1].start_at(torch.tensor([3.0, 0.5]), 0.1)
    x = Averaged(flow, "c4").sample(8000, generator)[0].detach()[:, 0]
    quarter = ((torch.atan2(x[:, 1], x[:, 0]) + math.pi / 4) // (math.pi / 2)).long() % 4
    counts = torch.bincount(quarter, minlength=4)
    assert ((counts - 2000).abs() < 4 * math.sqrt(8000 * 3 / 16)).all()


def test_the_average_of_one_electron_integrates_to_one(generator):
    averaged = Averaged(flow_of(1, generator)[1], "c4v")
    axis = torch.linspace(-9, 9, 601, dtype=torch.float64)
    with torch.no_grad():
        density = averaged.log_prob(torch.cartesian_prod(axis, axis).unsqueeze(1)).exp()
    assert (density.sum() * (axis[1] - axis[0]) ** 2).item() == pytest.approx(1, abs=1e-4)


def test_the_gain_is_ln_4_where_images_are_apart_and_0_where_they_coincide(generator):
    system, flow = flow_of(1, generator, layers=1)
    for parameter in flow.parameters():
        parameter.data.zero_()
    flow.layers[-1].start_at(torch.tensor([9.0, 0.0]), 0.1)  # far from its images
    apart = estimate(Averaged(flow, "c4"), system, 2.0, 2000, generator).estimates
    assert apart["symmetry_gain"].mean == pytest.approx(math.log(4) / 2, abs=1e-12)
    flow.layers[-1].start_at(torch.tensor([0.0, 0.0]), 0.7)  # a round Gaussian is its own image
    round_ = estimate(Averaged(flow, "c4"), system, 2.0, 2000, generator).estimates
    assert abs(round_["symmetry_gain"].mean) < 1e-12


def test_the_gain_lies_in_between_and_is_paired(generator):
    system, flow = flow_of(2, generator)
    flow.layers[-1].start_at(torch.tensor([0.4, 0.0, -0.3, 0.1]), 0.5)
    result = estimate(Averaged(flow, "c4"), system, 2.0, 20_000, generator)
    found = result.estimates
    gain = found["symmetry_gain"]
    assert 5 * gain.stderr < gain.mean < math.log(4) / 2 - 5 * gain.stderr
    assert gain.mean == pytest.approx(found["F_before"].mean - found["F"].mean, abs=1e-9)
    assert gain.stderr < 0.5 * math.hypot(found["F_before"].stderr, found["F"].stderr)
    direct = iid_mean((result.log_q_before - result.log_q) / 2)
    assert gain == direct


def test_x_before_is_turned_into_x(generator):
    system, flow = flow_of(3, generator)
    result = estimate(Averaged(flow, "c4"), system, 2.0, 200, generator)
    with torch.no_grad():
        assert np.allclose(
            flow.log_prob(torch.from_numpy(result.x_before)), result.log_q_before, atol=1e-10
        )
    images = np.stack([result.x_before @ g.numpy().T for g in GROUPS["c4"]])
    which = np.abs(images - result.x).max((2, 3)).argmin(0)
    assert set(which) == {0, 1, 2, 3}
    assert np.abs(images - result.x).max((2, 3)).min(0).max() == 0


def test_training_sees_the_average(generator):
    """The gradient of its loss is that of finite differences, through the inverse as well."""
    system, flow = flow_of(2, generator)
    averaged = Averaged(flow, "c4")

    def loss():
        x, log_q = averaged.sample(50, torch.Generator().manual_seed(1))
        return (system.energy(x) + log_q / 2).mean()

    parameters = list(flow.parameters())
    gradients = torch.autograd.grad(loss(), parameters)
    for parameter, gradient in zip(parameters, gradients):
        direction = torch.randn(parameter.shape, dtype=parameter.dtype, generator=generator)
        values = []
        for step in (1e-5, -1e-5):
            parameter.data += step * direction
            values.append(loss().item())
            parameter.data -= step * direction
        measured = (values[0] - values[1]) / 2e-5
        assert (gradient * direction).sum().item() == pytest.approx(measured, rel=1e-4, abs=1e-6)


def test_a_trained_average_bounds_the_free_energy_of_one_electron(generator):
    from oracles import one_electron

    system, flow = flow_of(1, generator)
    averaged = Averaged(flow, "c4")
    train(averaged, system, 2.0, [Phase(300, 128, 0.02, 0.1)], generator)
    F = estimate(averaged, system, 2.0, 20_000, generator).estimates["F"]
    exact, _ = one_electron("quartic", 2.0)
    assert F.sigmas_from(exact) > -4
    assert F.mean < exact + 0.05


def test_what_cannot_be_averaged_is_refused(generator):
    mlp = flows.build("mlp", System(2), generator, hidden=[4])
    with pytest.raises(
        ValueError, match="MLP has no exact log_prob, which averaging over c4 needs"
    ):
        Averaged(mlp, "c4")
    with pytest.raises(ValueError, match="unknown group 'c3'; choose from c2, c4, c4v"):
        Averaged(flow_of(2, generator)[1], "c3")
