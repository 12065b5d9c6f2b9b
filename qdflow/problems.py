"""Problems with known answers, on which the error bars of all estimates are tried."""

import math
from collections.abc import Callable

import numpy as np
import torch
from scipy.integrate import quad
from torch import Tensor

from qdflow import annealing, bounds, ladder, mcmc
from qdflow.coverage import Array, Estimates, Problem, autoregressive
from qdflow.free_energy import ideal_free_energy, ladder_free_energy, variational
from qdflow.stats import (
    chain_mean,
    effective_share,
    iid_mean,
    pareto_k,
    proportion,
    squares_about_mean,
)
from qdflow.system import System

BETA = 2.0
SAMPLES, CHAINS, DRAWS, RHO = 4000, 8, 250, 0.5
TWO_ELECTRONS = 1.5767893599  # F at beta = 10, by the quadrature of tests/oracles.py

Run = Callable[[np.random.Generator], Estimates]


def all_problems() -> list[Problem]:
    """Every problem, of which each estimate is the kind of one at least."""
    return [
        _normal("shifted by half a sigma", 0.5, 1.0, 1),
        _normal("shifted by one sigma", 1.0, 1.0, 1),
        _normal("shifted by 1.4 sigma", 1.4, 1.0, 1),
        _normal("half as wide again, in 4 dimensions", 0.0, 1.5, 4),
        _normal("a tenth too narrow, in 2 dimensions", 0.0, 0.9, 2),
        _normal("a fifth too narrow", 0.0, 0.8, 1),
        _few(),
        _gain(),
        _chains("chains of correlation 0.5", 0.5),
        _chains("chains of correlation 0.9", 0.9),
        _ladder(),
        _two_electrons(),
        _crooks(),
        _annealing(),
        _tail(),
        _rare(),
    ]


def _normal(name: str, shift: float, s: float, d: int) -> Problem:
    """q = N(0, s^2) and beta H = (y - shift)^2 / 2, both in d dimensions."""
    log_2pi = math.log(2 * math.pi)
    spread = s * s + shift * shift  # E_q[(y - shift)^2] in each dimension

    def log_q(y: Array) -> Array:
        return -(np.square(y / s).sum(-1) + d * log_2pi) / 2 - d * math.log(s)

    def energy(y: Array) -> Array:
        return np.square(y - shift).sum(-1) / 2 / BETA

    def run(rng: np.random.Generator) -> Estimates:
        x = s * rng.normal(size=(SAMPLES, d))
        y = shift + np.stack([autoregressive(rng, CHAINS, DRAWS, RHO) for _ in range(d)], -1)
        w_q, w_p = (-BETA * energy(v) - log_q(v) for v in (x, y))
        return (
            variational(energy(x), log_q(x), BETA)
            | {"ess": effective_share(w_q)}
            | bounds.free_energies(w_q, w_p, BETA)
            | {f"E, {k}": f for k, f in bounds.energies(energy(x), w_q, w_p, rng).items()}
        )

    E, S = d * spread / 2 / BETA, d * (1 + log_2pi + 2 * math.log(s)) / 2
    F = -d * log_2pi / 2 / BETA
    lost = d * (math.log(s) + (1 + shift**2) / s**2 / 2 - 0.5) / BETA  # KL(p || q) / beta
    truth = {"F": E - S / BETA, "E": E, "S": S, "C": d * (s**4 / 2 + s**2 * shift**2)}
    truth |= {"ess": _share(shift, s) ** d, "lower": F - lost, "lfep": F, "bar": F}
    return Problem(name, truth | {f"E, {k}": d / 2 / BETA for k in ("snis", "independence")}, run)


def _few() -> Problem:
    """F by LFEP from N(0, 1) for N(1.8, 1): 4 % of the samples carry it."""
    shift, draws = 1.8, 5000

    def run(rng: np.random.Generator) -> Estimates:
        x, y = rng.normal(size=draws), shift + rng.normal(size=(CHAINS, DRAWS))
        w_q, w_p = (shift * v - shift**2 / 2 for v in (x, y))
        return {"lfep": bounds.lfep(w_q, w_p, BETA)}

    return Problem("shifted by 1.8 sigma", {"lfep": 0.0}, run)


def _share(shift: float, s: float) -> float:
    """(E_q w)^2 / E_q w^2 = 1 / E_p[p / q] in one dimension."""
    return math.sqrt(2 * s**2 - 1) / s**2 * math.exp(-(shift**2) / (2 * s**2 - 1))


def _gain() -> Problem:
    """q = N(1, 1), averaged over the mirror: ln q - ln q_averaged = ln 2 - ln(1 + e^{-2 x})."""

    def gain(x: Array) -> Array:
        return (math.log(2) - np.logaddexp(0, -2 * x)) / BETA

    def density(x: float) -> float:
        return math.exp(-((x - 1) ** 2) / 2) / math.sqrt(2 * math.pi)

    truth, _ = quad(lambda x: density(x) * float(gain(np.array(x))), -9, 11)
    return Problem(
        "the mirror of a normal density",
        {"symmetry_gain": truth},
        lambda rng: {"symmetry_gain": iid_mean(gain(1 + rng.normal(size=1000)))},
    )


def _chains(name: str, rho: float) -> Problem:
    def run(rng: np.random.Generator) -> Estimates:
        x = 5 + autoregressive(rng, CHAINS, 1000, rho)
        return {"reference mean": chain_mean(x), "reference C": chain_mean(squares_about_mean(x))}

    return Problem(name, {"reference mean": 5.0, "reference C": 1.0}, run)


def _ladder() -> Problem:
    """V_ee normal on each rung, so that F rises by lambda mean - beta (lambda sd)^2 / 2."""
    couplings, mean, sd = np.linspace(0, 1, 5), 3.0, 1.5

    def run(rng: np.random.Generator) -> Estimates:
        common = autoregressive(rng, CHAINS, DRAWS, RHO)  # replica exchange correlates the rungs
        own = [autoregressive(rng, CHAINS, DRAWS, RHO) for _ in couplings]
        noise = np.stack([math.sqrt(0.3) * common + math.sqrt(0.7) * one for one in own], -1)
        works = mean - BETA * couplings * sd**2 + sd * noise
        return {"reference F": chain_mean(ladder_free_energy(works, couplings, BETA))}

    return Problem("a ladder of normal energies", {"reference F": mean - BETA * sd**2 / 2}, run)


def _two_electrons() -> Problem:
    """Short runs of the sampler itself at beta = 10, against quadrature."""
    system, beta = System(2), 10.0
    tuned = ladder.spaced(system, beta, 1.0, np.random.default_rng(0))
    ideal = ideal_free_energy(system, beta)

    def chain(rng: np.random.Generator) -> Array:
        state, _ = mcmc.step(system, ladder.gas(system, tuned, rng), tuned, 50, 2, rng)
        return mcmc.step(system, state, tuned, 250, 1, rng)[1].pair_energy

    def run(rng: np.random.Generator) -> Estimates:
        works = np.stack([chain(one) for one in rng.spawn(4)])
        F = ideal + ladder_free_energy(works, tuned.couplings, beta)
        return {"reference F": chain_mean(F)}

    return Problem("two electrons, the whole sampler", {"reference F": TWO_ELECTRONS}, run)


def _crooks() -> Problem:
    """Normal works of a process and of its reversal, as Crooks' theorem has them together."""
    log_Z, sd = 3.0, 1.2

    def run(rng: np.random.Generator) -> Estimates:
        forward = log_Z - sd**2 / 2 + sd * rng.normal(size=SAMPLES)
        backward = log_Z + sd**2 / 2 + sd * autoregressive(rng, CHAINS, 250, RHO)
        return bounds.annealed(forward, backward, BETA)

    F, dissipated = -log_Z / BETA, sd**2 / 2 / BETA
    truth = {"annealed_upper": F + dissipated, "annealed_lower": F - dissipated, "annealed": F}
    return Problem("normal works", truth, run)


class _Shifted:
    """N(0, 1) and e^{-(u - 2)^2 / 2} in two dimensions; u is a configuration of one electron."""

    def __init__(self, generator: torch.Generator) -> None:
        self.generator = generator

    def from_flow(self, size: int) -> Tensor:
        """See `qdflow.annealing.Path`."""
        return torch.randn(size, 1, 2, generator=self.generator, dtype=torch.float64)

    def from_reference(self, x: Tensor) -> Tensor:
        """See `qdflow.annealing.Path`."""
        return x

    def densities(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """See `qdflow.annealing.Path`."""
        log_q = -u.square().sum((1, 2)) / 2 - math.log(2 * math.pi)
        return log_q, -(u - 2).square().sum((1, 2)) / 2 - log_q


def _annealing() -> Problem:
    """Three steps of the annealing itself, from a density to one of known Z."""
    generator = torch.Generator().manual_seed(0)
    schedule = annealing.pilot(_Shifted(generator), generator).schedule(3)

    def run(rng: np.random.Generator) -> Estimates:
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        path = _Shifted(generator)
        x = 2 + np.stack([autoregressive(rng, CHAINS, 200, RHO) for _ in range(2)], -1)
        u_p = torch.from_numpy(x.reshape(-1, 1, 2))
        works = annealing.anneal(path, schedule, path.from_flow(CHAINS * 200), u_p, generator)
        backward = works.backward.view(CHAINS, -1)
        return {"annealed": bounds.annealed(works.forward, backward, BETA)["annealed"]}

    F = -math.log(2 * math.pi) / BETA
    return Problem("annealing between normal densities", {"annealed": F}, run)


def _tail() -> Problem:
    k = 0.6

    def run(rng: np.random.Generator) -> Estimates:
        found = pareto_k(k * rng.exponential(size=SAMPLES))
        return {"pareto_k": found} if found else {}

    return Problem("weights of a Pareto tail", {"pareto_k": k}, run)


def _rare() -> Problem:
    share, samples = 0.02, 1000
    return Problem(
        "a sign that one in fifty has",
        {"minority_sign": share},
        lambda rng: {"minority_sign": proportion(rng.binomial(samples, share) / samples, samples)},
    )
