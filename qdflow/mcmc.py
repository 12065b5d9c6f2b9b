"""Metropolis sampling with replica exchange along a ladder of couplings.

Rung k samples exp(-beta (V + lambda_k V_ee)): lambda = 0 is the non-interacting gas, lambda = 1
is H. All randomness comes from the generator that is passed in; compiled code releases the GIL,
so that independent ladders run in threads.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from qdflow.system import TRAPS, System

Array = NDArray[np.float64]


class Ladder(NamedTuple):
    """What is held fixed while sampling.

    Attributes:
        beta: inverse temperature.
        couplings: (rungs,) lambda, from 0 up.
        widths: (rungs,) standard deviation of one electron's proposed displacement.
    """

    beta: float
    couplings: Array
    widths: Array


class State(NamedTuple):
    """One configuration on each rung.  x (rungs, n, 2); V and V_ee (rungs,)."""

    x: Array
    trap_energy: Array
    pair_energy: Array


class Info(NamedTuple):
    """What happened during a step.

    Attributes:
        trap_energy, pair_energy: (draws, rungs) V and V_ee after each draw.
        frames: (draws, n, 2) the configurations on the last rung.
        accepted: (rungs,) accepted fraction of the moves.
        swapped: (rungs - 1,) accepted fraction of the exchanges between neighbours.
    """

    trap_energy: Array
    pair_energy: Array
    frames: Array
    accepted: Array
    swapped: Array


def init(system: System, x: Array) -> State:
    """A state at the given configurations.  x (rungs, n, 2).

    Raises:
        ValueError: x has another shape, or is not finite.
    """
    if x.shape[1:] != (system.n, 2) or not np.isfinite(x).all():
        raise ValueError(
            f"need finite configurations (rungs, {system.n}, 2), got {x.shape}"
            f" with {(~np.isfinite(x)).sum()} numbers that are not finite"
        )
    potential = _compiled(TRAPS[system.trap].potential)
    trap_energy, pair_energy = np.empty((2, len(x)))
    _energies(potential, np.ascontiguousarray(x.T), trap_energy, pair_energy)
    return State(x.copy(), trap_energy, pair_energy)


def step(
    system: System,
    state: State,
    ladder: Ladder,
    draws: int,
    sweeps: int,
    generator: np.random.Generator,
) -> tuple[State, Info]:
    """Advance by ``draws`` times ``sweeps`` sweeps of single-electron moves and one exchange.

    The energies are summed afresh at every draw, so that no rounding error accumulates.
    Source of the exchange: Hukushima & Nemoto, J. Phys. Soc. Jpn. 65, 1604 (1996).
    """
    rungs = len(ladder.couplings)
    x = np.ascontiguousarray(state.x.T, np.float32)
    trap_energy, pair_energy = np.empty((2, draws, rungs))
    frames = np.empty((draws, system.n, 2))
    accepted, swapped = np.zeros(rungs, np.int64), np.zeros(max(rungs - 1, 0))
    for start in range(0, draws, _DRAWS):
        part = slice(start, start + _DRAWS)
        size = len(frames[part]), sweeps, system.n, rungs
        _run(
            _compiled(TRAPS[system.trap].potential),
            x,
            ladder,
            generator.random((2, *size), np.float32),
            generator.standard_exponential(size, np.float32),
            start,
            generator,
            trap_energy[part],
            pair_energy[part],
            frames[part],
            accepted,
            swapped,
        )
    tries = np.array([(draws + 1 - k % 2) // 2 for k in range(rungs - 1)])  # every other draw
    return (
        State(x.T.astype(float), trap_energy[-1], pair_energy[-1]),
        Info(
            trap_energy,
            pair_energy,
            frames,
            accepted / (draws * sweeps * system.n),
            swapped / np.maximum(tries, 1),
        ),
    )


@cache
def _compiled(potential: Callable[[Any, Any], Any]) -> Any:
    return numba.njit(potential)


# Sums may be reordered: that lets the compiler use wide registers.
_jit = numba.njit(nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "arcp"})
_DRAWS = 8  # for which random numbers are drawn at a time: they stay in the cache
# Two electrons at one point repel by 1e15, not by infinity: that times lambda = 0 would be NaN,
# which no comparison accepts, and the pair would stay together for ever.
_TINY = np.float32(1e-30)
_HALF, _ONE = np.float32(0.5), np.float32(1)
_SIDE = np.float32(12**0.5)  # of a square on which a uniform density has the deviations 1


@_jit
def _energies(potential, x, trap, pair):
    """V and V_ee on each rung, in double precision.  x (2, n, rungs)."""
    trap[:] = 0
    pair[:] = 0
    for i in range(x.shape[1]):
        for k in range(trap.size):
            trap[k] += potential(np.float64(x[0, i, k]), np.float64(x[1, i, k]))
        for j in range(i):
            for k in range(trap.size):
                u = np.float64(x[0, i, k]) - np.float64(x[0, j, k])
                v = np.float64(x[1, i, k]) - np.float64(x[1, j, k])
                pair[k] += 1.0 / np.sqrt(u * u + v * v)


@_jit
def _move(potential, x, i, beta, couplings, widths, uniform, exponential, work, accepted):
    """Propose to move electron i on every rung, and accept or not; all rungs at a time.

    In single precision, whose rounding changes an acceptance by a hundred thousandth at most; V
    and V_ee are summed in double precision, at the positions as they are.
    """
    old_x, old_y, new_x, new_y, rise = work[0], work[1], work[2], work[3], work[4]
    for k in range(rise.size):
        old_x[k], old_y[k] = x[0, i, k], x[1, i, k]
        new_x[k] = old_x[k] + widths[k] * (uniform[0, i, k] - _HALF)
        new_y[k] = old_y[k] + widths[k] * (uniform[1, i, k] - _HALF)
        rise[k] = 0
    for j in range(x.shape[1]):
        if j != i:
            for k in range(rise.size):
                a, b = new_x[k] - x[0, j, k], new_y[k] - x[1, j, k]
                u, v = old_x[k] - x[0, j, k], old_y[k] - x[1, j, k]
                new, old = a * a + b * b + _TINY, u * u + v * v + _TINY
                rise[k] += _ONE / np.sqrt(new) - _ONE / np.sqrt(old)
    for k in range(rise.size):
        gain = potential(new_x[k], new_y[k]) - potential(old_x[k], old_y[k])
        taken = beta * (gain + couplings[k] * rise[k]) < exponential[i, k]
        x[0, i, k] = new_x[k] if taken else old_x[k]
        x[1, i, k] = new_y[k] if taken else old_y[k]
        accepted[k] += 1 if taken else 0


@_jit
def _exchange(first, x, beta, couplings, trap_energy, pair_energy, swapped, rng):
    for k in range(first, couplings.size - 1, 2):
        log_ratio = beta * (couplings[k] - couplings[k + 1]) * (pair_energy[k] - pair_energy[k + 1])
        if rng.random() < np.exp(log_ratio):
            for a in range(2):
                for i in range(x.shape[1]):
                    x[a, i, k], x[a, i, k + 1] = x[a, i, k + 1], x[a, i, k]
            trap_energy[k], trap_energy[k + 1] = trap_energy[k + 1], trap_energy[k]
            pair_energy[k], pair_energy[k + 1] = pair_energy[k + 1], pair_energy[k]
            swapped[k] += 1


@_jit
def _run(
    potential,
    x,
    ladder,
    uniform,
    exponential,
    start,
    rng,
    trap_energy,
    pair_energy,
    frames,
    accepted,
    swapped,
):
    beta, couplings = np.float32(ladder.beta), ladder.couplings.astype(np.float32)
    sides = (ladder.widths * _SIDE).astype(np.float32)
    work = np.empty((5, couplings.size), np.float32)
    for t in range(len(frames)):
        for s in range(exponential.shape[1]):
            for i in range(x.shape[1]):
                _move(
                    potential,
                    x,
                    i,
                    beta,
                    couplings,
                    sides,
                    uniform[:, t, s],
                    exponential[t, s],
                    work,
                    accepted,
                )
        _energies(potential, x, trap_energy[t], pair_energy[t])
        _exchange(
            (start + t) % 2,
            x,
            ladder.beta,
            ladder.couplings,
            trap_energy[t],
            pair_energy[t],
            swapped,
            rng,
        )
        for i in range(x.shape[1]):
            frames[t, i, 0], frames[t, i, 1] = x[0, i, -1], x[1, i, -1]
