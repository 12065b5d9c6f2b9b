"""Shears in the space of positions and momenta, against loops and exact integrals."""

import math

import numpy as np
import pytest
import torch
from oracles import one_electron

from qdflow import flows
from qdflow.bases import Extended, Ginibre
from qdflow.estimate import estimate
from qdflow.flows._forces import (
    radial,
    radial_by_torch,
    repulsion,
    repulsion_by_torch,
    shears,
    shears_by_torch,
)
from qdflow.flows.leapfrog import Forces
from qdflow.stats import iid_mean
from qdflow.system import TRAPS, System


def awake(n, generator, **options):
    """A flow whose forces are of different strength."""
    flow = flows.build("leapfrog", System(n), generator, **options)
    for parameter in flow.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
    return flow


@pytest.mark.parametrize(
    ("compiled", "plain", "shapes"),
    [
        (radial, radial_by_torch, [(7, 5), (3,), (3,)]),
        (repulsion, repulsion_by_torch, [(2, 7, 5), (3,), (3,)]),
        (shears, shears_by_torch, [(4, 7, 5), (4,), (3,), (3,), (2,), (2,)]),
    ],
)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.float64, 1e-12)])
def test_compiled_loops_are_what_torch_does(compiled, plain, shapes, dtype, tolerance, generator):
    """With the gradients in all they depend on."""
    leaves = [torch.rand(s, dtype=dtype, generator=generator).requires_grad_() for s in shapes]
    up = torch.rand(shapes[0], dtype=dtype, generator=generator)
    values = [f(*leaves) for f in (compiled, plain)]
    gradients = [torch.autograd.grad(value, leaves, up) for value in values]
    for one, other in zip((values[0], *gradients[0]), (values[1], *gradients[1])):
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)


def test_compiled_sums_take_what_lies_otherwise_in_memory(generator):
    x = torch.randn(5, 7, 2, dtype=torch.float64, generator=generator)
    w, c = torch.rand(2, 2, 3, dtype=torch.float64, generator=generator)[:, 0]
    expected = repulsion_by_torch(x.permute(2, 1, 0), w, c)
    torch.testing.assert_close(repulsion(x.permute(2, 1, 0), w, c), expected)


@pytest.mark.parametrize("trap", TRAPS)
def test_forces_are_those_of_a_double_loop(trap, generator):
    forces = Forces(trap, 2.0, 2, 3)
    for parameter in forces.parameters():
        parameter.data += 0.3 * torch.randn(parameter.shape, generator=generator)
    x = torch.randn(5, 4, 2, dtype=torch.float64, generator=generator, requires_grad=True)
    (slope,) = torch.autograd.grad(System(4, trap).trap_energy(x).sum(), x)

    def sum_of(part, r):
        return (part.c[1] / (1 + (r / part.log_delta[1].exp()) ** 2) ** 1.5).sum()

    expected = torch.zeros_like(x)
    for s in range(5):
        for i in range(4):
            r = x[s, i].norm()
            expected[s, i] = (forces.k[1] + sum_of(forces.chi, r)) * x[s, i]
            if trap == "quartic":
                expected[s, i] += sum_of(forces.tau, r) * slope[s, i] / (4 * 2.0**2)
            for j in range(4):
                if i != j:
                    d = x[s, i] - x[s, j]
                    expected[s, i] += sum_of(forces.phi, d.norm()) * d
    torch.testing.assert_close(forces()[1](x.permute(2, 1, 0)).permute(2, 1, 0), expected)


def test_the_extended_base_is_the_product_of_its_parts(generator):
    base = Extended(Ginibre(3), momenta=2)
    z = base.sample(7, generator, torch.zeros(1, dtype=torch.float64))
    assert z.shape == (7, 3, 6)
    expected = Ginibre(3).log_prob(z[..., :2])
    expected += torch.distributions.Normal(0, 1).log_prob(z[..., 2:]).sum((1, 2))
    torch.testing.assert_close(base.log_prob(z), expected)


@pytest.mark.parametrize(("base", "refresh"), [("gaussian", 0), ("ginibre", 0), ("ginibre", 2)])
def test_weights_are_proper_and_both_bounds_hold(base, refresh, generator):
    """One electron in the quartic trap: exp(-beta H - log_q) has the mean Z."""
    beta, system = 2.0, System(1, "quartic")
    flow = flows.build(
        "leapfrog", system, generator, base=base, layers=2, radial=3, refresh=refresh
    )
    for parameter in flow.parameters():
        parameter.data += 0.03 * torch.randn(parameter.shape, generator=generator)
    flow.log_r.data -= 0.5  # narrower than the momenta of q: weights have a variance
    exact, _ = one_electron("quartic", beta)
    with torch.no_grad():
        draw = flow.draw(200_000, generator)
        weights = torch.exp(system.log_weight(draw.x, draw.log_q, beta))
        assert abs(iid_mean(weights).sigmas_from(math.exp(-beta * exact))) < 4
        upper = iid_mean(system.energy(draw.x) + draw.log_q / beta)
        assert upper.sigmas_from(exact) > 20
        y = _boltzmann(system, beta, 100_000, generator)
        log_q = flow.log_prob(y, generator)
        lower = iid_mean(system.energy(y) + log_q / beta)
        assert lower.sigmas_from(exact) < -20


def _boltzmann(system, beta, size, generator):
    """One electron, by rejection from a square."""
    x = 4 * torch.rand(40 * size, 1, 2, dtype=torch.float64, generator=generator) - 2
    u = torch.rand(len(x), dtype=torch.float64, generator=generator)
    return x[u < torch.exp(-beta * system.energy(x))][:size]


def test_log_prob_draws_other_momenta_from_another_generator(generator):
    flow = awake(3, generator, layers=2)
    x = torch.randn(4, 3, 2, dtype=torch.float64, generator=generator)
    one, two, three = (flow.log_prob(x, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(one, two)
    assert (one - three).abs().min() > 1e-6
    assert torch.equal(flow.log_prob(x), flow.log_prob(x))


def test_a_refreshment_turns_momenta_and_keeps_what_they_were(generator):
    """Without forces and with steps of no length, by an angle of 60 degrees."""
    flow = flows.build("leapfrog", System(3), generator, layers=1, refresh=1)
    flow.forces.phi.c.data.zero_()
    flow.b.data.fill_(-100.0)
    flow.angle.data.fill_(math.pi / 3)
    flow.log_p.data = torch.tensor([2.0, 5.0], dtype=torch.float64).log()
    z = torch.randn(5, 3, 6, dtype=torch.float64, generator=generator)
    _, p, old = flow.transform(z)[0].split(2, dim=2)
    _, p0, eta = z.split(2, dim=2)
    torch.testing.assert_close(p, p0 + 5 * math.sqrt(3) / 2 * eta)
    torch.testing.assert_close(old, 2.5 * eta - math.sqrt(3) * p0)


def test_refreshments_come_at_even_distances(generator):
    after = {}
    for layers, refresh in ((12, 3), (12, 0), (5, 2), (2, 2)):
        flow = flows.build("leapfrog", System(1), generator, layers=layers, refresh=refresh)
        after[layers, refresh] = [k + 1 for k in flow.before]
    assert after == {(12, 3): [3, 6, 9], (12, 0): [], (5, 2): [2, 4], (2, 2): [1, 2]}


def test_it_is_valid_by_construction(generator):
    flow = flows.build("leapfrog", System(3), generator, layers=1)
    assert estimate(flow, System(3), 2.0, 100, generator).verdict.startswith("by construction: ")


def test_it_starts_at_the_size_of_the_dot(generator):
    flow = flows.build("leapfrog", System(20), generator)
    found = estimate(flow, System(20), 10.0, 4000, generator).estimates
    assert found["V_ee"].mean / found["V"].mean == pytest.approx(2, rel=0.3)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"layers": 0}, "layers is 0; it must be at least 1"),
        ({"radial": 0}, "radial is 0; it must be at least 1"),
        ({"layers": 3, "refresh": 4}, "refresh is 4; choose from 0 to the 3 layers"),
        ({"refresh": -1}, "refresh is -1; it must be at least 0"),
        ({"base": "gausian"}, "unknown base 'gausian'; choose from"),
    ],
)
def test_impossible_options_are_sentences(options, sentence, generator):
    with pytest.raises(ValueError, match=sentence):
        flows.build("leapfrog", System(2), generator, **options)


def test_a_draw_from_the_exact_density_has_no_spread(generator):
    """Harmonic n = 1 with a Gaussian base: scale and no force give p itself, and r the momenta."""
    beta, system = 3.0, System(1)
    flow = flows.build("leapfrog", system, generator, base="gaussian", layers=1)
    flow.log_s.data.fill_(-0.5 * math.log(2 * beta))
    flow.b.data.fill_(-100.0)
    flow.forces.phi.c.data.zero_()
    draw = flow.draw(100, generator)
    F = (system.energy(draw.x) + draw.log_q / beta).detach().numpy()
    np.testing.assert_allclose(F, -math.log(math.pi / beta) / beta, atol=1e-12)
