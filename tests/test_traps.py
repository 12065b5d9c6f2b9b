"""The contract of all traps, which are found by themselves."""

import math

import numpy as np
import pytest
import torch

from qdflow import groups, mcmc
from qdflow.free_energy import ideal_free_energy
from qdflow.reference import Budget, reference
from qdflow.symmetry import GROUPS, act, moved
from qdflow.system import TRAPS, System

QUICK = Budget(ladders=4, draws=300, warmup=100, stderr_F=0.1, stderr_E=0.1)
every_trap = pytest.mark.parametrize("name", TRAPS)


def places(generator, size=50):
    return torch.randn(size, 2, dtype=torch.float64, generator=generator)


@every_trap
def test_its_gradient_is_that_of_its_potential(name, generator):
    x = places(generator).requires_grad_()
    (slope,) = torch.autograd.grad(TRAPS[name].potential(*x.T).sum(), x)
    torch.testing.assert_close(torch.stack(TRAPS[name].gradient(*x.T), -1), slope)


@every_trap
def test_it_is_homogeneous_and_holds_the_electrons(name, generator):
    trap, x = TRAPS[name], places(generator)
    V = trap.potential(*x.T)
    assert (V > 0).all()
    torch.testing.assert_close(trap.potential(*(3 * x).T), 3**trap.degree * V)
    is_quadratic = torch.allclose(V, x.square().sum(1))
    assert trap.isotropic_quadratic == is_quadratic


@every_trap
def test_numbers_arrays_tensors_and_compiled_code_agree(name, generator):
    x = places(generator).numpy()
    compiled = mcmc._compiled(TRAPS[name].potential)
    V = TRAPS[name].potential(*x.T)
    for k, (a, b) in enumerate(x.tolist()):
        assert TRAPS[name].potential(a, b) == pytest.approx(V[k], 1e-14)
        assert compiled(a, b) == pytest.approx(V[k], 1e-12)
    state = mcmc.init(System(3, name), x[:30].reshape(10, 3, 2))
    np.testing.assert_allclose(state.trap_energy, V[:30].reshape(10, 3).sum(1))


@every_trap
def test_it_has_the_group_it_names_and_no_larger_one(name, generator):
    trap, x = TRAPS[name], places(generator)
    V = trap.potential(*x.T)
    c, s = math.cos(0.3), math.sin(0.3)
    any_turn = torch.tensor([[c, -s], [s, c]], dtype=torch.float64)
    assert trap.group in {"o2", *groups.POINT_GROUPS}
    kept = {g for g, elements in GROUPS.items() if _keeps(trap, V, elements, x)}
    if _keeps(trap, V, any_turn[None], x):
        kept.add("o2")
    assert trap.group in kept
    size = {g: len(GROUPS[g]) for g in GROUPS} | {"o2": math.inf}
    assert size[trap.group] == max(size[g] for g in kept)


def _keeps(trap, V, elements, x):
    return all(torch.allclose(trap.potential(*(g @ x.T)), V) for g in elements)


@every_trap
def test_random_moves_keep_the_energy(name, generator):
    system = System(4, name)
    x = torch.randn(100, 4, 2, dtype=torch.float64, generator=generator)
    image = moved(x, system, generator)
    torch.testing.assert_close(system.energy(image), system.energy(x))
    assert (image - x).abs().amax((1, 2)).count_nonzero() > 90
    for g in GROUPS.get(TRAPS[name].group, []):
        torch.testing.assert_close(system.energy(act(g, x)), system.energy(x))


@every_trap
@pytest.mark.parametrize("beta", [0.5, 10.0])
def test_the_ideal_gas_is_that_of_polar_coordinates(name, beta):
    """The radial integral is a gamma function; the angle is left to the trapezoidal rule."""
    trap = TRAPS[name]
    angle = 2 * np.pi * np.arange(2000) / 2000
    strength = trap.potential(np.cos(angle), np.sin(angle))
    radial = math.gamma(2 / trap.degree) / trap.degree * (beta * strength) ** (-2 / trap.degree)
    exact = -3 / beta * math.log(2 * np.pi * radial.mean())
    assert ideal_free_energy(System(3, name), beta) == pytest.approx(exact, 1e-9)


@every_trap
def test_monte_carlo_obeys_the_virial_theorem(name):
    result = reference(System(2, name), 2.0, QUICK, seed=1)
    assert abs(result.estimates["virial"].sigmas_from(0)) < 4
    assert ("centre_of_mass" in result.estimates) == TRAPS[name].isotropic_quadratic
