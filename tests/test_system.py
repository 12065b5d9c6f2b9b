import numpy as np
import pytest
import torch
from oracles import SHIPPED, energy_by_double_loop
from scipy.optimize import minimize

from qdflow.system import TRAPS, System

EVERY = [(n, trap) for n in (1, 2, 3, 20) for trap in SHIPPED]


@pytest.mark.parametrize(("n", "trap"), EVERY)
def test_energy_is_the_double_loop(n, trap, rng):
    x = rng.normal(size=(2, 3, n, 2))
    energy = System(n, trap).energy(torch.from_numpy(x))
    assert energy.shape == (2, 3)
    for index in np.ndindex(2, 3):
        assert energy[index].item() == pytest.approx(energy_by_double_loop(x[index], trap), 1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_energy_keeps_the_precision_it_is_given(dtype, generator):
    x = torch.randn(5, 20, 2, dtype=torch.float64, generator=generator)
    energy = System(20).energy(x.to(dtype))
    assert energy.dtype == dtype
    torch.testing.assert_close(energy.double(), System(20).energy(x), rtol=1e-4, atol=0)


@pytest.mark.parametrize(("n", "trap"), EVERY)
def test_forces_are_minus_the_gradient(n, trap, generator):
    x = torch.randn(4, n, 2, dtype=torch.float64, generator=generator, requires_grad=True)
    system = System(n, trap)
    (gradient,) = torch.autograd.grad(system.energy(x).sum(), x)
    torch.testing.assert_close(system.forces(x), -gradient)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("trap", TRAPS)
def test_coincident_electrons_have_infinite_energy_never_nan(trap, dtype):
    x = torch.zeros(3, 4, 2, dtype=dtype)
    x[1, 2:] = 1.0  # two pairs
    x[2] = torch.arange(8, dtype=dtype).reshape(4, 2)
    energy = System(4, trap).energy(x)
    assert torch.equal(energy.isinf(), torch.tensor([True, True, False]))
    assert (energy > 0).all()
    assert System(4, trap).forces(x).isfinite().all()


def test_known_minima():
    """E/N of Bedanov & Peeters, Phys. Rev. B 49, 2667 (1994), table I."""
    known = {2: 0.75, 3: 1.31037, 6: 2.80456, 10: 4.48494}
    rng = np.random.default_rng(3)
    for n, expected in known.items():
        best = min(_relaxed(System(n), rng) for _ in range(30))
        assert best / n == pytest.approx(expected, abs=6e-6)


def _relaxed(system, rng):
    def energy_and_gradient(flat):
        x = torch.from_numpy(flat.reshape(system.n, 2))
        return system.energy(x).item(), -system.forces(x).numpy().ravel()

    start = rng.normal(size=2 * system.n)
    return minimize(energy_and_gradient, start, jac=True, method="L-BFGS-B", tol=1e-14).fun


def test_symmetries_of_h(generator):
    x = torch.randn(6, 5, 2, dtype=torch.float64, generator=generator)
    angle = torch.tensor(0.7, dtype=torch.float64)
    c, s = angle.cos(), angle.sin()
    turned = x @ torch.tensor([[c, s], [-s, c]], dtype=torch.float64)
    quarter = torch.stack([-x[..., 1], x[..., 0]], -1)
    for trap in SHIPPED:
        system = System(5, trap)
        energy = system.energy(x)
        for image in (x[:, torch.randperm(5, generator=generator)], quarter, x.flip(-1)):
            torch.testing.assert_close(system.energy(image), energy)
        same = torch.allclose(system.energy(turned), energy)
        assert same == (trap == "harmonic")


def test_refusals():
    with pytest.raises(ValueError, match="n is 0; it must"):
        System(0)
    with pytest.raises(ValueError, match=r"'square'; choose from .*harmonic, quartic"):
        System(3, "square")


def test_log_weight(generator):
    x = torch.randn(6, 2, 2, dtype=torch.float64, generator=generator)
    log_q = torch.randn(6, dtype=torch.float64, generator=generator)
    weight = System(2).log_weight(x, log_q, 3.0)
    torch.testing.assert_close(weight, -3.0 * System(2).energy(x) - log_q)


def test_the_closest_pair_is_that_of_a_double_loop(generator):
    x = torch.randn(6, 4, 2, dtype=torch.float64, generator=generator)
    closest = System(4).closest(x)
    for k in range(6):
        pairs = [(x[k, i] - x[k, j]).norm() for i in range(4) for j in range(i)]
        assert closest[k].item() == pytest.approx(min(pairs).item())
    assert System(1).closest(x[:, :1]).isinf().all()
