"""Convex maps against sums by double loops, autograd, and what convexity promises."""

import math

import pytest
import torch
from scipy.integrate import quad

from qdflow import flows
from qdflow.flows import convex
from qdflow.flows._dense import InverseError
from qdflow.flows._radial import Radial
from qdflow.inverse import convex_newton
from qdflow.symmetry import GROUPS, act
from qdflow.system import TRAPS, System


def wild(generator, n=4, trap="harmonic", **options):
    """A flow with parameters far from where it starts, yet strictly convex."""
    options = {"layers": 2, "ramps": 3} | options
    flow = flows.build("convex", System(n, trap), generator, **options)
    for parameter in flow.parameters():
        parameter.data += torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    return flow


def configurations(size, n, generator):
    return torch.randn(size, n, 2, dtype=torch.float64, generator=generator)


def phi(radial, r):
    """The formula of the docstring, term by term; the parabola by quadrature."""
    q = math.sqrt(r**2 + math.exp(radial.log_delta) ** 2)
    total = math.exp(radial.log_w[0]) * q
    v, e, h = math.exp(radial.log_v), radial.e.item(), math.exp(radial.log_h)
    total += quad(lambda p: v * (p - e + math.hypot(h, p - e)) / 2, e, q, epsabs=0)[0]
    for k in range(len(radial.c)):
        d = math.exp(radial.log_d[k])
        total += math.exp(radial.log_w[k + 1]) * d * math.log1p(math.exp((q - radial.c[k]) / d))
    return total


def psi(layer, x):
    """Of one configuration (n, 2), by a double loop over electrons."""
    n, m = len(x), math.exp(layer.log_m)
    X, Y = (sum(row[a] for row in x) / n for a in (0, 1))
    total = m * n * (X**2 + Y**2) / 2
    for i, (a, b) in enumerate(x):
        total += ((a - X) ** 2 + (b - Y) ** 2) / 2 + phi(layer.A, math.hypot(a, b))
        for c, d in x[:i]:
            total += phi(layer.B, math.hypot(a - c, b - d))
        for k in range(convex.LINES * bool(layer.lines)):
            orbit = {0: 0, 4: 0, 2: 2, 6: 2}.get(k, 1)  # the axes, the diagonals, the rest
            angle = math.pi * k / convex.LINES
            along = a * math.cos(angle) + b * math.sin(angle)
            total += phi(layer.lines[orbit].phi, abs(along))
    return total


@torch.no_grad()
@pytest.mark.parametrize("trap", ["harmonic", "quartic"])
def test_the_potential_is_its_sum_over_electrons_and_pairs(trap, generator):
    layer = wild(generator, trap=trap).layers[0]
    assert len(layer.lines) == (0 if trap == "harmonic" else 3)
    x = configurations(6, 4, generator)
    exact = torch.tensor([psi(layer, one.tolist()) for one in x], dtype=torch.float64)
    torch.testing.assert_close(layer.potential(x.mT), exact, rtol=1e-10, atol=0)


@pytest.mark.parametrize("trap", TRAPS)
@pytest.mark.parametrize("n", [1, 2, 5])
def test_gradient_and_hessian_are_those_of_autograd(n, trap, generator):
    layer = wild(generator, n, trap).layers[0]
    y = configurations(4, n, generator).mT.contiguous()
    gradient, hessian = layer.derivatives(y)
    for k in range(4):

        def Psi(v):
            return layer.potential(v.view(1, 2, n))[0]

        flat = y[k].flatten()
        exact = torch.autograd.functional.jacobian(Psi, flat)
        torch.testing.assert_close(gradient[k].flatten(), exact, rtol=1e-8, atol=1e-8)
        exact = torch.autograd.functional.hessian(Psi, flat)
        torch.testing.assert_close(hessian[k], exact, rtol=1e-8, atol=1e-8)


def test_the_hessian_is_never_smaller_than_that_of_the_quadratic_form(generator):
    """Strong convexity, which makes the map a bijection; near coincidences and far away, too."""
    for k in range(20):
        layer = wild(generator, trap=["harmonic", "quartic"][k % 2]).layers[0]
        for width in (1e-3, 1, 30):
            hessian = layer.derivatives(width * configurations(50, 4, generator).mT)[1]
            least = min(1, math.exp(layer.log_m.item()))
            assert torch.linalg.eigvalsh(hessian).min() > least * (1 - 1e-9)


def test_the_slope_of_a_radial_function_rises_from_zero():
    radial = Radial(3, 2.0, linear=0.3, curvature=0.1, edge=1.0, height=0.5, soft=0.05)
    r = torch.linspace(0, 6, 400, dtype=torch.float64)
    slope = (radial.derivatives(r.square())[0] * r).detach()
    assert slope[0] == 0
    assert (slope.diff() > 0).all()
    assert slope[20] > 0.3 * 0.9  # beyond the softening electrons are pushed apart
    assert slope[-1].item() == pytest.approx(0.3 + 0.1 * (6 - 1) + 0.5, abs=1e-3)


@pytest.mark.parametrize("trap", TRAPS)
def test_every_configuration_has_a_preimage(trap, generator):
    """Coinciding electrons, those inside of the Coulomb hole, and those far away."""
    flow = wild(generator, trap=trap)
    x = configurations(50, 4, generator)
    close, same, far, line = x.clone(), x.clone(), 1e4 * x, x * torch.tensor([1.0, 0.0])
    close[:, 1] = close[:, 0] + 1e-6
    same[:, 1] = same[:, 0]
    for cases in (x, close, far, line, 1e-9 * x, 30 * x):
        log_q, z = flow.log_prob(cases), cases.mT
        assert log_q.isfinite().all()
        for layer in reversed(flow.layers):
            z = layer.inverse(z)
        image = flow.transform(z.mT / flow.log_s.exp())[0]
        torch.testing.assert_close(image, cases, rtol=1e-9, atol=1e-9)
    assert (flow.log_prob(same) < -80).all()  # but for rounding, ln 0: such eigenvalues repel
    assert wild(generator, base="gaussian").log_prob(same).isfinite().all()


def test_memory_is_that_of_one_piece_and_nothing_else_changes(generator, monkeypatch):
    flow, kept = wild(generator), []
    z = configurations(60, 4, generator)

    def results():
        """x, ladj, ln q, and the gradients of a loss of all; counts the bytes kept for them."""
        kept.append(0)

        def keep(t):
            kept[-1] += t.numel() * t.element_size()
            return t

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
            x, ladj, _ = flow.transform(z)
        log_q = flow.log_prob(z)
        gradients = torch.autograd.grad(x.square().sum() + (ladj + log_q).sum(), flow.parameters())
        return x, ladj, log_q, *gradients

    whole = results()
    monkeypatch.setattr(convex, "PIECE", 7 * 4**2)
    for a, b in zip(whole, results()):
        torch.testing.assert_close(a, b)
    assert kept[1] < kept[0] / 20


def test_the_coulomb_hole_is_nearly_empty_and_not_forbidden(generator):
    flow = flows.build("convex", System(2), generator)
    r = torch.tensor([0.02, 0.1, 0.3, 1.0], dtype=torch.float64)
    x = torch.stack([r, 0 * r], 1).unsqueeze(1) * torch.tensor([[[0.5], [-0.5]]])
    log_q = flow.log_prob(x).detach()
    assert log_q.isfinite().all()
    assert (log_q[1:] > log_q[:-1]).all()
    assert log_q[0] < log_q[-1] - 8


def test_labels_directions_and_mirrors_do_not_matter(generator):
    flow = wild(generator, n=6)
    x = flow.sample(30, generator)[0].detach()
    log_q = flow.log_prob(x)
    c, s = math.cos(1.1), math.sin(1.1)
    for image in (
        x[:, torch.randperm(6, generator=generator)],
        x @ torch.tensor([[c, s], [-s, c]], dtype=x.dtype),
        x * torch.tensor([-1.0, 1.0], dtype=x.dtype),
    ):
        torch.testing.assert_close(flow.log_prob(image), log_q, rtol=0, atol=1e-10)


def test_an_anisotropic_trap_leaves_its_own_group_and_no_other_turn(generator):
    flow = wild(generator, n=6, trap="quartic")
    assert flow.symmetry == "permutation+c4v"
    x = flow.sample(30, generator)[0].detach()
    log_q = flow.log_prob(x)
    for g in GROUPS["c4v"]:
        torch.testing.assert_close(flow.log_prob(act(g, x)), log_q, rtol=0, atol=1e-10)
    c, s = math.cos(0.4), math.sin(0.4)
    turn = torch.tensor([[c, -s], [s, c]], dtype=x.dtype)
    assert (flow.log_prob(act(turn, x)) - log_q).abs().median() > 1e-3


@pytest.mark.parametrize("trap", ["harmonic", "quartic"])
def test_it_starts_with_the_size_of_the_dot(trap, generator):
    """Roughly at equilibrium: the virial theorem at T = 0 holds within 20 percent."""
    system = System(12, trap)
    x = flows.build("convex", system, generator).sample(500, generator)[0].detach()
    degree = 2 if trap == "harmonic" else 4
    ratio = system.pair_energy(x).mean() / (degree * system.trap_energy(x).mean())
    assert 0.8 < ratio < 1.2


def test_minimisation_finds_the_minimum_from_far_away():
    """A potential with kinks as sharp as rounding allows, whose full Newton steps diverge."""

    def Psi(z):
        return (z.square() / 2 + (z.square() + 1e-10).sqrt()).sum(1)

    def derivatives(z):
        q2 = z.square() + 1e-10
        return z + z / q2.sqrt(), torch.diag_embed(1 + 1e-10 / q2**1.5)

    x = torch.tensor([[3.0, -0.5], [0.999, 1.001], [1e6, 0.0], [0.3, -2.0]], dtype=torch.float64)
    z, solved = convex_newton(Psi, derivatives, x, tolerance=1e-9)
    assert solved.all()
    torch.testing.assert_close(derivatives(z)[0], x, rtol=1e-9, atol=1e-9)
    _, solved = convex_newton(Psi, derivatives, x, tolerance=1e-9, iterations=2)
    assert not solved.all()


def test_what_is_no_configuration_is_an_error(generator):
    flow = flows.build("convex", System(3), generator, layers=1, ramps=2)
    x = configurations(4, 3, generator)
    x[1, 0, 0] = torch.nan
    x[2, 0, 0] = torch.inf
    with pytest.raises(InverseError, match="not found for 2 of 4 configurations"):
        flow.log_prob(x)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"layers": 0}, "layers is 0; it must be at least 1"),
        ({"ramps": 0}, "ramps is 0"),
        ({"base": "uniform"}, "unknown base 'uniform'; choose from gaussian, ginibre"),
    ],
)
def test_impossible_options_are_sentences(options, sentence, generator):
    with pytest.raises(ValueError, match=sentence):
        flows.build("convex", System(2), generator, **options)
