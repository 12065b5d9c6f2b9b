"""One training step of the talk's MLP flow, 40-64-64-40 at n = 20, beta = 10.

Draw, energy, reverse bound F = mean(H + ln q / beta), gradient, Adam. Ours is the training that
the pipeline runs; the other is what one writes in JAX: forward-mode Jacobian, slogdet, vmap, jit.
"""

import math
import time
from collections.abc import Callable
from typing import Any

from benchmarks import flops
from benchmarks.harness import LIMITS, Contender, Match

N, BETA, SIZES = 20, 10.0, (40, 64, 64, 40)


def matches(quick: bool) -> list[Match]:
    """One for each batch."""
    return [_match(batch, quick) for batch in ((64, 128) if quick else (1024, 8192))]


def _match(batch: int, quick: bool) -> Match:
    from qdflow.train import CACHED

    work = flops.mlp(SIZES, batch, flops.parts(batch, CACHED))
    ours = [
        Contender(
            f"qdflow {precision}",
            "benchmarks.train_step:ours",
            {"batch": batch, "precision": precision, "steps": max(1, 8192 // batch)},
            {f"{precision} flops": work},
        )
        for precision in ("float64", "float32")
    ]
    theirs = Contender("JAX float64", "benchmarks.train_step:jax", {"batch": batch})
    return Match(
        "train_step",
        f"batch {batch:,}",
        [*ours, theirs, LIMITS],
        rounds=3 if quick else 11,
        seconds=30,
    )


def ours(batch: int, precision: str, steps: int) -> Callable[[], dict[str, float]]:
    """Some steps of `qdflow.train`."""
    import torch

    from benchmarks.worker import processors
    from qdflow import flows
    from qdflow.system import System
    from qdflow.train import Phase, train

    torch.set_num_threads(processors())
    system, generator = System(N), torch.Generator().manual_seed(0)
    flow = flows.build("mlp", system, generator, hidden=SIZES[1:-1])
    flow = flow.to(getattr(torch, precision))

    def turn() -> dict[str, float]:
        start = time.perf_counter()
        history = train(flow, system, BETA, [Phase(steps, batch, 1e-3)], generator, clip=10.0)
        seconds = (time.perf_counter() - start) / steps
        return {"seconds": seconds, "F": _finite(history["F"][-1])}

    for _ in range(2):
        turn()
    return turn


def jax(batch: int, steps: int = 1) -> Callable[[], dict[str, float]]:
    """Some steps of a jitted function."""
    import jax
    import jax.numpy as jnp
    import optax

    jax.config.update("jax_enable_x64", True)
    above = jnp.triu_indices(N, 1)
    adam = optax.chain(optax.clip_by_global_norm(10.0), optax.adam(1e-3))

    def start(key: Any) -> Any:
        def layer(key: Any, rows: int, columns: int) -> Any:
            first, second = jax.random.split(key)
            W = 0.1 * jax.random.truncated_normal(first, -2, 2, (rows, columns))
            return W, jax.random.truncated_normal(second, -2, 2, (rows,))

        keys = jax.random.split(key, len(SIZES) - 1)
        return [layer(*each) for each in zip(keys, SIZES[1:], SIZES[:-1], strict=True)]

    def network(parameters: Any, z: Any) -> Any:
        *inner, (W, b) = parameters
        for V, c in inner:
            z = jax.nn.softplus(V @ z + c)
        return W @ z + b

    def energy(x: Any) -> Any:
        x = x.reshape(N, 2)
        apart = x[above[0]] - x[above[1]]
        return jnp.sum(x**2) + jnp.sum(1 / jnp.sqrt(jnp.sum(apart**2, axis=-1)))

    def bound(parameters: Any, z: Any) -> Any:
        _, ladj = jnp.linalg.slogdet(jax.jacfwd(network, argnums=1)(parameters, z))
        log_q = -0.5 * jnp.sum(z**2) - N * math.log(2 * math.pi) - ladj
        return energy(network(parameters, z)) + log_q / BETA

    def loss(parameters: Any, key: Any) -> Any:
        z = jax.random.normal(key, (batch, 2 * N))
        return jnp.mean(jax.vmap(bound, (None, 0))(parameters, z))

    @jax.jit
    def step(parameters: Any, state: Any, key: Any) -> Any:
        F, gradient = jax.value_and_grad(loss)(parameters, key)
        change, state = adam.update(gradient, state)
        return optax.apply_updates(parameters, change), state, F

    parameters = start(jax.random.key(0))
    run = {"parameters": parameters, "state": adam.init(parameters), "key": jax.random.key(1)}

    def turn() -> dict[str, float]:
        begin = time.perf_counter()
        F = jnp.nan
        for _ in range(steps):
            run["key"], key = jax.random.split(run["key"])
            run["parameters"], run["state"], F = step(run["parameters"], run["state"], key)
        F = float(jax.block_until_ready(F))
        return {"seconds": (time.perf_counter() - begin) / steps, "F": _finite(F)}

    turn()
    return turn


def _finite(F: float) -> float:
    if not math.isfinite(F):
        raise ArithmeticError(f"F is {F}: this is no training")
    return F
