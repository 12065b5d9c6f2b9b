"""The Monte Carlo answer for (system, beta), sampled until its error bars are small enough."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from qdflow import checks, mcmc
from qdflow import ladder as ladders
from qdflow.free_energy import ideal_free_energy, ladder_free_energy
from qdflow.stats import CONVERGED, Estimate, chain_mean, r_hat, squares_about_mean
from qdflow.system import TRAPS, System

Array = NDArray[np.float64]

R_HAT = 1.01  # Vehtari et al., Bayesian Analysis 16, 667 (2021)
_IDENTITY_SIGMAS = 5.0  # beyond which an identity that holds for any n is called broken
RUNGS = {  # columns of the table of rungs, and their units
    "coupling": "1",
    "width": "length",
    "accepted": "1",
    "swapped": "1",
    "V_ee": "energy",
    "V_ee_stderr": "energy",
    "V_ee_ess": "samples",
    "V_ee_r_hat": "1",
}


class FrozenChainError(RuntimeError):
    """A chain does not move, or stays where no other chain goes: its averages mean nothing."""


COUNTS = ("sweeps", "warmup", "draws", "max_draws", "keep")  # of a budget, from 1 up


class Budget(NamedTuple):
    """How long to sample.

    Attributes:
        ladders: independent replica-exchange ladders; their agreement gives R-hat.
        distance: between neighbouring rungs, see `qdflow.ladder`.
        sweeps: of all electrons between two draws.
        warmup: draws thrown away.
        draws: draws of each ladder before the first look at the errors.
        max_draws: draws of each ladder at which to give up.
        stderr_F, stderr_E: the errors to reach, in units of 1/beta.
        keep: decorrelated configurations to return, at most.
    """

    ladders: int = 8
    distance: float = 1.5
    sweeps: int = 4
    warmup: int = 500
    draws: int = 2000
    max_draws: int = 100_000
    stderr_F: float = 0.02
    stderr_E: float = 0.01
    keep: int = 20_000


class Reference(NamedTuple):
    """What sampling found.

    Attributes:
        estimates: by quantity; F, E, V, V_ee, S, the specific heat C, the distance of the
            `closest` two electrons, and the identities `virial` and `centre_of_mass`, whose exact
            value is 0.
        r_hat: by quantity.
        verdict: `CONVERGED`, or a sentence that says what was not reached.
        rungs: by column, one entry for each rung of the ladder.
        x: (configurations, n, 2) decorrelated samples of p.
    """

    estimates: dict[str, Estimate]
    r_hat: dict[str, float]
    verdict: str
    rungs: dict[str, Array]
    x: Array


class Chains(NamedTuple):
    """The draws of all ladders.

    Attributes:
        trap_energy: (ladders, draws) V at lambda = 1.
        pair_energy: (ladders, draws, rungs) V_ee on every rung.
        centre2: (ladders, draws) squared distance of the centre of mass from the origin, at
            lambda = 1.
        frames: (ladders, frames, n, 2) configurations at lambda = 1, every `spacing` draws.
        spacing: draws between two frames.
        accepted: (ladders, rungs).
        swapped: (ladders, rungs - 1).
    """

    trap_energy: Array
    pair_energy: Array
    centre2: Array
    frames: Array
    spacing: int
    accepted: Array
    swapped: Array

    @property
    def draws(self) -> int:
        """Of each ladder."""
        return self.trap_energy.shape[1]

    @property
    def energy(self) -> Array:
        """(ladders, draws) H at lambda = 1."""
        return self.trap_energy + self.pair_energy[..., -1]


def reference(
    system: System,
    beta: float,
    budget: Budget,
    seed: int,
    threads: int = 1,
    report: Callable[[int, int, str], None] = lambda _done, _total, _news: None,
) -> Reference:
    """Sample p and estimate F and the averages of H = V + V_ee with their errors.

    The result depends on the seed and the budget, not on the threads.

    Args:
        system: what to sample.
        beta: inverse temperature.
        budget: how long.
        seed: of all random numbers.
        threads: ladders that run at a time.
        report: called with the draws done (of each ladder), the draws wanted, and a line of news
            (empty between two looks at the errors).

    Raises:
        FrozenChainError: a chain is stuck at the end of the budget.
        ValueError: beta, the threads or an entry of the budget is too small.
    """
    checks.positive(beta=beta, distance=budget.distance)
    checks.positive(stderr_F=budget.stderr_F, stderr_E=budget.stderr_E)
    checks.count(2, ladders=budget.ladders)
    checks.count(1, **{key: getattr(budget, key) for key in COUNTS}, threads=threads)
    pilot, *generators = map(
        np.random.default_rng, np.random.SeedSequence(seed).spawn(budget.ladders + 1)
    )
    ladder = ladders.spaced(system, beta, budget.distance, pilot)
    states = [ladders.gas(system, ladder, generator) for generator in generators]

    def extended(chains: Chains | None, draws: int) -> Chains:
        def advance(k: int) -> tuple[mcmc.State, mcmc.Info]:
            return mcmc.step(system, states[k], ladder, draws, budget.sweeps, generators[k])

        with ThreadPoolExecutor(threads) as pool:
            ran = list(pool.map(advance, range(budget.ladders)))
        states[:] = [state for state, _ in ran]
        new = _gathered([info for _, info in ran])
        return _thinned(new if chains is None else _joined(chains, new), 4 * budget.keep)

    extended(None, budget.warmup)
    chains = extended(None, budget.draws)
    while True:
        estimates, hats = analysed(system, beta, ladder, chains)
        draws = chains.draws
        verdict, factor = _judged(estimates, hats, beta, budget, draws)
        wanted = min(max(int(draws * factor), draws), budget.max_draws)
        news = f"F = {estimates['F']}, <E> = {estimates['E']}, R-hat {hats['E']:.3f}"
        report(draws, wanted, news)
        if not factor:
            break
        while (draws := chains.draws) < wanted:  # in pieces, so that progress shows
            chains = extended(chains, min(wanted - draws, max(budget.draws, wanted // 20)))
            report(chains.draws, wanted, "")
    refuse_stuck(chains.energy, chains.accepted[:, -1])
    x = _decorrelated(chains, estimates["E"].ess, budget.keep)
    _check_energies(system, states)
    return Reference(estimates, hats, verdict, _rungs(ladder, chains), x)


def analysed(
    system: System, beta: float, ladder: mcmc.Ladder, chains: Chains
) -> tuple[dict[str, Estimate], dict[str, float]]:
    """Estimates and R-hat by quantity.

    The identities are reported as what should vanish: degree <V> - <V_ee> - 2 n / beta (virial
    theorem) and, in the harmonic trap, n beta <X^2 + Y^2> - 1 of the centre of mass.
    """
    trap = TRAPS[system.trap]
    V, V_ee = chains.trap_energy, chains.pair_energy[..., -1]
    ideal = ideal_free_energy(system, beta)
    F = ideal + ladder_free_energy(chains.pair_energy, ladder.couplings, beta)
    series = {
        "F": F,
        "E": V + V_ee,
        "V": V,
        "V_ee": V_ee,
        "S": beta * (V + V_ee - F),
        "C": beta**2 * squares_about_mean(V + V_ee),
        "virial": trap.degree * V - V_ee - 2 * system.n / beta,
    }
    if system.n > 1:
        series["closest"] = system.closest(torch.from_numpy(chains.frames)).numpy()
    if trap.isotropic_quadratic:
        series["centre_of_mass"] = system.n * beta * chains.centre2 - 1
    return (
        {name: chain_mean(values) for name, values in series.items()},
        {name: r_hat(values) for name, values in series.items()},
    )


def refuse_stuck(energy: Array, accepted: Array) -> None:
    """Refuse chains that hardly move, or that sample other energies than the rest.

    A chain counts as apart if its mean lies 8 of its own standard errors from the median of the
    chains' means: a pooled error bar, small because each chain is steady, would hide it.

    Args:
        energy: (chains, draws).
        accepted: (chains,) accepted fraction of the moves.

    Raises:
        FrozenChainError: naming the chains.
    """
    still = accepted < 0.1 * np.median(accepted)
    still |= (accepted == 0) | (np.ptp(energy, axis=1) == 0)
    halves = energy[:, : energy.shape[1] // 2 * 2].reshape(len(energy), 2, -1)
    errors = np.array([chain_mean(pair).stderr for pair in halves])
    apart = np.abs(energy.mean(1) - np.median(energy.mean(1))) > 8 * np.maximum(errors, 1e-300)
    for k in np.flatnonzero(still | apart):
        raise FrozenChainError(
            f"chain {k} is frozen: it accepted {accepted[k]:.1%} of its moves (median of all:"
            f" {np.median(accepted):.1%}) and its <E> is {energy[k].mean():.4f}(median:"
            f" {np.median(energy.mean(1)):.4f}); start from another seed or raise max_draws"
        )


def _gathered(infos: list[mcmc.Info]) -> Chains:
    frames = np.stack([info.frames for info in infos])
    return Chains(
        np.stack([info.trap_energy[:, -1] for info in infos]),
        np.stack([info.pair_energy for info in infos]),
        np.square(frames.mean(2)).sum(-1),
        frames,
        1,
        np.stack([info.accepted for info in infos]),
        np.stack([info.swapped for info in infos]),
    )


def _joined(old: Chains, new: Chains) -> Chains:
    """``new``, whose frames are at every draw, behind ``old``."""
    share = new.draws / (old.draws + new.draws)
    return Chains(
        np.concatenate([old.trap_energy, new.trap_energy], axis=1),
        np.concatenate([old.pair_energy, new.pair_energy], axis=1),
        np.concatenate([old.centre2, new.centre2], axis=1),
        np.concatenate([old.frames, new.frames[:, :: old.spacing]], axis=1),
        old.spacing,
        (1 - share) * old.accepted + share * new.accepted,
        (1 - share) * old.swapped + share * new.swapped,
    )


def _thinned(chains: Chains, most: int) -> Chains:
    """Every other frame dropped until there are at most ``most``: they are the bulk of memory."""
    while chains.frames.shape[0] * chains.frames.shape[1] > most:
        chains = chains._replace(frames=chains.frames[:, ::2].copy(), spacing=2 * chains.spacing)
    return chains


def _decorrelated(chains: Chains, ess: float, keep: int) -> Array:
    """At most ``keep`` frames, apart by the autocorrelation time of H or more."""
    ladders, frames, *shape = chains.frames.shape
    apart = max(chains.trap_energy.size / ess / chains.spacing, ladders * frames / keep)
    return chains.frames[:, :: int(np.ceil(apart))].reshape(-1, *shape)


def _judged(
    estimates: dict[str, Estimate],
    hats: dict[str, float],
    beta: float,
    budget: Budget,
    draws: int,
) -> tuple[str, float]:
    """The verdict so far, and the factor by which to lengthen the chains (0: stop)."""
    wanted = {"F": budget.stderr_F / beta, "E": budget.stderr_E / beta}
    excess = max((estimates[q].stderr / error) ** 2 for q, error in wanted.items())
    worst = max(hats, key=lambda q: hats[q])
    missed = [
        f"stderr of {q} is {estimates[q].stderr:.2g}, wanted {error:.2g}"
        for q, error in wanted.items()
        if estimates[q].stderr > error
    ]
    if hats[worst] > R_HAT:
        missed.append(f"R-hat of {worst} is {hats[worst]:.3f}, wanted {R_HAT}")
    missed += [
        f"{q} is {estimates[q]}, which should be 0"
        for q in ("virial", "centre_of_mass")
        if q in estimates and abs(estimates[q].sigmas_from(0)) > _IDENTITY_SIGMAS
    ]
    if not missed:
        return CONVERGED, 0.0
    if draws >= budget.max_draws:
        return f"not converged in {draws} draws: " + "; ".join(missed), 0.0
    return "", float(np.clip(1.15 * excess, 1.25, 4.0))


def _check_energies(system: System, states: list[mcmc.State]) -> None:
    """The compiled energies against `System.energy`, which shares no code with them."""
    compiled = np.array([s.trap_energy[-1] + s.pair_energy[-1] for s in states])
    direct = system.energy(torch.from_numpy(np.stack([s.x[-1] for s in states]))).numpy()
    if not np.allclose(compiled, direct, rtol=1e-9):
        raise RuntimeError(f"the compiled energies {compiled} differ from H(x) = {direct}")


def _rungs(ladder: mcmc.Ladder, chains: Chains) -> dict[str, Array]:
    by_rung = [chains.pair_energy[..., k] for k in range(len(ladder.couplings))]
    V_ee = [chain_mean(draws) for draws in by_rung]
    return {
        "coupling": ladder.couplings,
        "width": ladder.widths,
        "accepted": chains.accepted.mean(0),
        "swapped": np.append(chains.swapped.mean(0), np.nan),
        "V_ee": np.array([e.mean for e in V_ee]),
        "V_ee_stderr": np.array([e.stderr for e in V_ee]),
        "V_ee_ess": np.array([e.ess for e in V_ee]),
        "V_ee_r_hat": np.array([r_hat(draws) for draws in by_rung]),
    }
