"""Choosing the ladder: which couplings, how wide the moves.

Neighbouring rungs are placed at one distance from each other, measured by the square root of
their Jeffreys divergence beta dlambda (<V_ee>_k - <V_ee>_k+1): a distance of 1 exchanges about
half of the time and loses little to reweighting.
"""

import numpy as np

from qdflow import mcmc
from qdflow.mcmc import Array, Ladder, State
from qdflow.system import TRAPS, System

ACCEPTANCE = 0.3  # of single-electron moves; the efficiency is flat around it
_ROUNDS, _DRAWS, _SWEEPS = 12, 25, 4
_PILOT_RUNGS = 32


def spaced(system: System, beta: float, distance: float, generator: np.random.Generator) -> Ladder:
    """A ladder with its rungs in place and its moves tuned.

    The rungs are placed by two pilot runs, the first on couplings spaced evenly in ln lambda.
    """
    ladder = Ladder(beta, np.zeros(1), np.full(1, _size(system, beta)))
    ladder, state, pair_energy = _tuned(system, ladder, gas(system, ladder, generator), generator)
    if system.n == 1:  # nothing interacts: both ends are the same gas
        return _moved(ladder, state, np.array([0.0, 1.0]))[0]
    couplings = _geometric(beta, pair_energy[0])
    for _ in range(2):
        ladder, state, pair_energy = _tuned(system, *_moved(ladder, state, couplings), generator)
        couplings = respaced(ladder, pair_energy, distance)
    return _tuned(system, *_moved(ladder, state, couplings), generator)[0]


def gas(system: System, ladder: Ladder, generator: np.random.Generator) -> State:
    """A start on every rung that remembers nothing: independent electrons about the centre."""
    shape = (len(ladder.couplings), system.n, 2)
    return mcmc.init(system, generator.normal(0, _size(system, ladder.beta), shape))


def respaced(ladder: Ladder, pair_energy: Array, distance: float) -> Array:
    """Couplings at equal distances, from <V_ee> measured on a ladder.

    pair_energy (rungs,) -> (new rungs,). The first and the last coupling stay.
    """
    # <V_ee> falls along lambda, its noise does not
    fall = np.maximum.accumulate(pair_energy[::-1])[::-1]
    steps = np.sqrt(ladder.beta * np.diff(ladder.couplings) * -np.diff(fall))
    length = np.concatenate([[0.0], np.cumsum(np.maximum(steps, 1e-3))])
    rungs = max(int(np.ceil(length[-1] / distance)), 1) + 1
    return np.interp(np.linspace(0, length[-1], rungs), length, ladder.couplings)


def _size(system: System, beta: float) -> float:
    return beta ** (-1 / TRAPS[system.trap].degree)  # where beta V is about 1


def _geometric(beta: float, pair_energy: float) -> Array:
    """From a coupling too weak to matter (0.1 kT in all) to 1."""
    weakest = min(0.1 / (beta * pair_energy), 0.1)
    return np.concatenate([[0.0], np.geomspace(weakest, 1, _PILOT_RUNGS - 1)])


def _moved(ladder: Ladder, state: State, couplings: Array) -> tuple[Ladder, State]:
    """The ladder with other couplings; each new rung starts where the nearest old one stands."""
    nearest = np.abs(couplings[:, None] - ladder.couplings).argmin(1)
    return (
        Ladder(ladder.beta, couplings, ladder.widths[nearest]),
        State(state.x[nearest], state.trap_energy[nearest], state.pair_energy[nearest]),
    )


def _tuned(
    system: System, ladder: Ladder, state: State, generator: np.random.Generator
) -> tuple[Ladder, State, Array]:
    """Widths that reach the wanted acceptance, and the mean V_ee of the second half of the run."""
    seen = []
    for _ in range(_ROUNDS):
        state, info = mcmc.step(system, state, ladder, _DRAWS, _SWEEPS, generator)
        ladder = ladder._replace(widths=ladder.widths * np.exp(info.accepted - ACCEPTANCE))
        seen.append(info.pair_energy.mean(0))
    return ladder, state, np.mean(seen[_ROUNDS // 2 :], axis=0)
