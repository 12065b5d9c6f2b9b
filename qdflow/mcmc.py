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
    energies = np.array([_energies(potential, *np.ascontiguousarray(y.T)) for y in x])
    return State(x.copy(), energies[:, 0], energies[:, 1])


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
    x = np.moveaxis(state.x, -1, 1).copy()  # the state passed in stays as it is
    trap_energy, pair_energy = np.empty((2, draws, rungs))
    frames = np.empty((draws, system.n, 2))
    accepted, swapped = np.zeros(rungs), np.zeros(max(rungs - 1, 0))
    _run(
        _compiled(TRAPS[system.trap].potential),
        x,
        *ladder,
        sweeps,
        generator,
        trap_energy,
        pair_energy,
        frames,
        accepted,
        swapped,
    )
    tries = np.array([(draws + 1 - k % 2) // 2 for k in range(rungs - 1)])  # every other draw
    return (
        State(np.moveaxis(x, 1, -1).copy(), trap_energy[-1], pair_energy[-1]),
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


# Sums may be reordered (that is what lets the compiler use wide registers), but infinities and
# NaN keep their meaning: two electrons at one point must come out as +inf.
_jit = numba.njit(nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "arcp"})
_FAR = 1e150


@_jit
def _energies(potential, x, y):
    trap, pair = 0.0, 0.0
    for i in range(x.size):
        trap += potential(x[i], y[i])
        for j in range(i):
            pair += 1.0 / np.sqrt((x[i] - x[j]) ** 2 + (y[i] - y[j]) ** 2)
    return trap, pair


@_jit
def _sweep(potential, x, y, beta, coupling, width, rng):
    accepted = 0
    for i in range(x.size):
        old_x, old_y = x[i], y[i]
        new_x = old_x + width * rng.standard_normal()
        new_y = old_y + width * rng.standard_normal()
        # The electron is put out of reach meanwhile: a loop without a branch runs vectorised.
        x[i] = y[i] = _FAR
        old, new = 0.0, 0.0
        for j in range(x.size):
            old += 1.0 / np.sqrt((old_x - x[j]) ** 2 + (old_y - y[j]) ** 2)
            new += 1.0 / np.sqrt((new_x - x[j]) ** 2 + (new_y - y[j]) ** 2)
        rise = potential(new_x, new_y) - potential(old_x, old_y) + coupling * (new - old)
        # Leaving a coincident pair is always right. At lambda = 0 the rise is 0 * inf, NaN, which
        # no comparison accepts: the pair would stay together for ever.
        if old == np.inf or rng.random() < np.exp(-beta * rise):
            x[i], y[i] = new_x, new_y
            accepted += 1
        else:
            x[i], y[i] = old_x, old_y
    return accepted


@_jit
def _exchange(first, x, beta, couplings, trap_energy, pair_energy, swapped, rng):
    for k in range(first, couplings.size - 1, 2):
        log_ratio = beta * (couplings[k] - couplings[k + 1]) * (pair_energy[k] - pair_energy[k + 1])
        if rng.random() < np.exp(log_ratio):
            kept = x[k].copy()
            x[k] = x[k + 1]
            x[k + 1] = kept
            trap_energy[k], trap_energy[k + 1] = trap_energy[k + 1], trap_energy[k]
            pair_energy[k], pair_energy[k + 1] = pair_energy[k + 1], pair_energy[k]
            swapped[k] += 1


@_jit
def _run(
    potential,
    x,
    beta,
    couplings,
    widths,
    sweeps,
    rng,
    trap_energy,
    pair_energy,
    frames,
    accepted,
    swapped,
):
    for t in range(trap_energy.shape[0]):
        for k in range(couplings.size):
            for _ in range(sweeps):
                accepted[k] += _sweep(
                    potential, x[k, 0], x[k, 1], beta, couplings[k], widths[k], rng
                )
            trap_energy[t, k], pair_energy[t, k] = _energies(potential, x[k, 0], x[k, 1])
        _exchange(t % 2, x, beta, couplings, trap_energy[t], pair_energy[t], swapped, rng)
        frames[t, :, 0] = x[-1, 0]
        frames[t, :, 1] = x[-1, 1]
