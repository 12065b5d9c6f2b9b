"""Effective samples of E per second on one core, at n = 20.

All start in equilibrium, are tuned before they are timed, and have their samples counted alike, by
`qdflow.stats.chain_mean` over all chains and turns. Whoever finds another <E> has failed.
"""

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from benchmarks import flops
from benchmarks.harness import FAILURE, LIMITS, RATIO, Contender, Match, Row, row

N, CHAINS, SWEEPS = 20, 64, 4  # sweeps between two energies
RATE, ALL, MOVES = "effective samples", "effective samples, all turns", "float32 flops of moves"
NOTE = "initial walkers, which are independent, count as effective samples too"


def matches(quick: bool) -> list[Match]:
    """One for each beta."""
    return [_match(beta, quick) for beta in ((10.0,) if quick else (10.0, 1.5))]


def _match(beta: float, quick: bool) -> Match:
    options = {"beta": beta, "seconds": 0.1 if quick else 1.0}
    theirs = {
        "JAX Metropolis": "metropolis",
        "blackjax HMC": "hmc",
        "blackjax NUTS": "nuts",
        "emcee stretch": "stretch",
    }
    return Match(
        "monte_carlo",
        f"beta {beta:g}",
        [
            Contender("qdflow Metropolis", "benchmarks.monte_carlo:ours", options),
            *(
                Contender(
                    name,
                    f"benchmarks.monte_carlo:{make}",
                    options,
                    note=NOTE if "emcee" in name else "",
                )
                for name, make in theirs.items()
            ),
            LIMITS,
        ],
        cores=1,
        rounds=2 if quick else 9,
        seconds=60,
        compared=RATE,
        more=True,
        extra=follows,
    )


def follows(rows: list[Row]) -> list[Row]:
    """The agreement, the ratios over all turns, and how near we are to the limit."""
    rates = {r["contender"]: r["value"] for r in rows if r["quantity"] == ALL}
    for each in rows:
        if each["quantity"] == RATIO and {each["contender"], each["against"]} <= set(rates):
            # of a turn those that move slowly seem to have too many: one a chain
            each["value"] = rates[each["against"]] / rates[each["contender"]]
            each["low"] = min(each["low"], each["value"])
            each["high"] = max(each["high"], each["value"])
    limit = [r["value"] for r in rows if r["quantity"] == "float32 flops"]
    fractions = [
        row(r, "fraction of the limit", [r["value"] / limit[0]], against="float32 flops")
        for r in rows
        if limit and r["quantity"] == MOVES
    ]
    return agreement(rows) + fractions


def agreement(rows: list[Row]) -> list[Row]:
    """How many standard errors each <E> is from ours; beyond four it is a failure."""
    means = [each for each in rows if each["quantity"] == "E"]
    if not means or not means[0]["contender"].startswith("qdflow"):
        return []
    (own, *others), found = means, []
    for other in others:
        error = math.hypot(own["value"] - own["low"], other["value"] - other["low"])
        sigmas = (other["value"] - own["value"]) / error
        found.append(row(other, "sigmas from E of qdflow", [sigmas]))
        if not abs(sigmas) < 4:
            note = f"its <E> is {sigmas:.1f} standard errors from ours"
            found.append(row(other, FAILURE, note=note))
    return found


class Sampler:
    """Chains that go on from turn to turn.

    Attributes:
        advance: some draws; gives the energies (chains, draws).
        sweep_flops: of a draw of one chain, if they are known.
    """

    def __init__(self, advance: Callable[[], Any], seconds: float, draw_flops: float = 0) -> None:
        """Repeat ``advance`` in each turn until ``seconds`` are over."""
        self.advance, self.limit, self.draw_flops = advance, seconds, draw_flops
        self.energies: list[Any] = []
        self.seconds = 0.0
        advance()  # what is compiled is compiled here

    def __call__(self) -> dict[str, float]:
        """A turn."""
        start, found = time.perf_counter(), []
        while time.perf_counter() - start < self.limit or len(found) < 2:
            found.append(np.asarray(self.advance(), dtype=np.float64))
        seconds = time.perf_counter() - start
        energies = np.concatenate(found, axis=1)
        self.energies.append(energies)
        self.seconds += seconds
        values = {RATE: _mean(energies).ess / seconds, "draws": energies.size / seconds}
        if self.draw_flops:
            values[MOVES] = self.draw_flops * energies.size / seconds
        return values

    def summary(self) -> Mapping[str, tuple[float, float, float]]:
        """Of all turns together: <E> with its error, and what a turn had on the average."""
        length = min(map(lambda e: e.shape[1], self.energies))
        everything = np.concatenate([e[:, -length:] for e in self.energies], axis=1)
        E = _mean(np.concatenate(self.energies, axis=1))
        autocorrelation = everything.size / _mean(everything).ess
        return {
            "E": (E.mean, E.mean - E.stderr, E.mean + E.stderr),
            ALL: (E.ess / self.seconds,) * 3,
            "draws per effective sample": (autocorrelation,) * 3,
        }


def ours(beta: float, seconds: float) -> Sampler:
    """`qdflow.mcmc.step`: the rungs of a ladder, all at the coupling 1, are so many chains."""
    from qdflow import mcmc
    from qdflow.system import System

    state, width = _equilibrium(beta, CHAINS)
    system, rng = System(N), np.random.default_rng(1)
    ladder = mcmc.Ladder(beta, np.ones(CHAINS), np.full(CHAINS, width))
    run = {"state": state}

    def advance() -> Any:
        run["state"], info = mcmc.step(system, run["state"], ladder, 100, SWEEPS, rng)
        return unswapped(info.trap_energy + info.pair_energy)

    return Sampler(advance, seconds, SWEEPS * flops.sweep(N))


def unswapped(energies: Any) -> Any:
    """Energies (draws, rungs) in the order of the chains, (chains, draws).

    Rungs of one coupling always exchange, every other pair in every other draw: a chain goes from
    rung to rung, and its energies have to be followed there.
    """
    who = np.arange(energies.shape[1])
    followed = np.empty_like(energies)
    for t, values in enumerate(energies):
        first = who[t % 2 :]
        pairs = len(first) // 2 * 2
        first[:pairs] = first[:pairs].reshape(-1, 2)[:, ::-1].reshape(-1)
        followed[t, who] = values
    return followed.T


def metropolis(beta: float, seconds: float) -> Sampler:
    """Single-electron moves as ours, in jitted JAX, vmapped over as many chains as it likes."""
    import jax
    import jax.numpy as jnp

    energy = _energy()
    others = jnp.arange(N)

    def move(x: Any, i: Any, shift: Any, exponential: Any) -> Any:
        new = x[i] + shift
        repulsion = [
            jnp.sum(jnp.where(others == i, 0, jax.lax.rsqrt(_square(x - place))))
            for place in (new, x[i])
        ]
        rise = repulsion[0] - repulsion[1] + _square(new) - _square(x[i])
        return x.at[i].set(jnp.where(beta * rise < exponential, new, x[i]))

    def sampler(chains: int, limit: float) -> Sampler:
        state, width = _equilibrium(beta, chains)

        def draw(x: Any, key: Any) -> Any:
            first, second = jax.random.split(key)
            shifts = width * jax.random.normal(first, (SWEEPS, N, chains, 2), jnp.float32)
            levels = jax.random.exponential(second, (SWEEPS, N, chains), jnp.float32)

            def step(x: Any, k: Any) -> Any:
                i = k % N
                shift, level = shifts[k // N, i], levels[k // N, i]
                return jax.vmap(move, (0, None, 0, 0))(x, i, shift, level), None

            x, _ = jax.lax.scan(step, x, jnp.arange(SWEEPS * N))
            return x, jax.vmap(energy)(x)

        return _jitted(draw, jnp.asarray(state.x, jnp.float32), limit, 50)

    return _best([16, 128, 1024], lambda chains, limit: sampler(chains, limit), seconds)


def hmc(beta: float, seconds: float) -> Sampler:
    """Hamiltonian Monte Carlo; the step size and the number of steps are the best of a grid."""
    import blackjax
    import jax
    import jax.numpy as jnp

    energy, chains = _energy(), 64
    state, _ = _equilibrium(beta, chains)
    kernel = blackjax.hmc.build_kernel()

    def log_p(x: Any) -> Any:
        return -beta * energy(x.reshape(N, 2))

    start = jax.vmap(lambda x: blackjax.hmc.init(x, log_p))(
        jnp.asarray(state.x.reshape(chains, -1), jnp.float32)
    )

    def sampler(settings: tuple[float, int], limit: float) -> Sampler:
        size, steps = settings

        def draw(state: Any, key: Any) -> Any:
            def one(key: Any, state: Any) -> Any:
                return kernel(key, state, log_p, size, jnp.ones(2 * N, jnp.float32), steps)

            state, _ = jax.vmap(one)(jax.random.split(key, chains), state)
            return state, -state.logdensity / beta

        return _jitted(draw, start, limit, 20)

    scale = beta**-0.5  # of the momenta's unit mass: the fastest oscillation has beta in it
    grid = [(scale * size, steps) for size in (0.08, 0.12, 0.16) for steps in (8, 16)]
    return _best(grid, sampler, seconds)


def nuts(beta: float, seconds: float) -> Sampler:
    """NUTS, with step size and masses from blackjax's own adaptation."""
    import blackjax
    import jax
    import jax.numpy as jnp

    energy = _energy()

    def log_p(x: Any) -> Any:
        return -beta * energy(x.reshape(N, 2))

    state, _ = _equilibrium(beta, 8)
    x = jnp.asarray(state.x.reshape(8, -1), jnp.float32)
    warm = blackjax.window_adaptation(blackjax.nuts, log_p)
    adapted, _ = warm.run(jax.random.key(2), x[0], num_steps=200 if seconds < 0.5 else 1000)
    kernel = blackjax.nuts(log_p, **adapted.parameters)

    def sampler(chains: int, limit: float) -> Sampler:
        def draw(state: Any, key: Any) -> Any:
            state, _ = jax.vmap(kernel.step)(jax.random.split(key, chains), state)
            return state, -state.logdensity / beta

        return _jitted(draw, jax.vmap(kernel.init)(x[:chains]), limit, 10)

    return _best([2, 8], sampler, seconds)


def stretch(beta: float, seconds: float) -> Sampler:
    """Emcee as it comes."""
    import emcee

    walkers = 160
    state, _ = _equilibrium(beta, walkers)
    i, j = np.triu_indices(N, 1)

    def log_p(rows: Any) -> Any:
        x = rows.reshape(-1, N, 2)
        apart = x[:, i] - x[:, j]
        repulsion = (1 / np.sqrt(np.square(apart).sum(2))).sum(1)
        return -beta * (np.square(x).sum((1, 2)) + repulsion)

    np.random.seed(3)  # noqa: NPY002 - emcee takes its random numbers from there
    sampler = emcee.EnsembleSampler(walkers, 2 * N, log_p, vectorize=True)
    run = {"state": emcee.State(state.x.reshape(walkers, -1))}

    def advance() -> Any:
        sampler.reset()
        run["state"] = sampler.run_mcmc(run["state"], 50)
        return -sampler.get_log_prob().T / beta

    return Sampler(advance, seconds)


def _energy() -> Callable[[Any], Any]:
    """H(x) in JAX, x (n, 2)."""
    import jax
    import jax.numpy as jnp

    i, j = jnp.triu_indices(N, 1)
    return lambda x: jnp.sum(x**2) + jnp.sum(jax.lax.rsqrt(_square(x[i] - x[j])))


def _square(vectors: Any) -> Any:
    return (vectors**2).sum(-1)


def _jitted(draw: Callable[[Any, Any], Any], start: Any, seconds: float, draws: int) -> Sampler:
    """Chains of a jitted scan over ``draws`` draws."""
    import jax

    run = {"state": start, "key": jax.random.key(4)}
    many = jax.jit(lambda state, key: jax.lax.scan(draw, state, jax.random.split(key, draws)))

    def advance() -> Any:
        run["key"], key = jax.random.split(run["key"])
        run["state"], energies = many(run["state"], key)
        return np.asarray(energies).T

    return Sampler(advance, seconds)


def _best(settings: list[Any], make: Callable[[Any, float], Sampler], seconds: float) -> Sampler:
    """The sampler with the setting that gave most in a trial of half a second."""
    if seconds < 0.5:
        return make(settings[len(settings) // 2], seconds)
    rates = []
    for setting in settings:
        sampler = make(setting, seconds / 2)
        rates.append(sampler()[RATE])
    return make(settings[int(np.argmax(rates))], seconds)


def _equilibrium(beta: float, chains: int) -> tuple[Any, float]:
    """Configurations of so many chains after 4,000 sweeps, and a width with which 0.3 are taken."""
    from qdflow import ladder, mcmc
    from qdflow.system import System

    system, rng = System(N), np.random.default_rng(0)
    hot = mcmc.Ladder(beta, np.ones(chains), np.full(chains, beta**-0.5))
    state, width = ladder.gas(system, hot, rng), float(hot.widths[0])
    for _ in range(20):
        moves = hot._replace(widths=np.full(chains, width))
        state, info = mcmc.step(system, state, moves, 1, 200, rng)
        width *= float(np.exp(info.accepted.mean() - ladder.ACCEPTANCE))
    return state, width


def _mean(energies: Any) -> Any:
    from qdflow.stats import chain_mean

    return chain_mean(energies)
