"""One training step of autoregressive and coupling layers at n = 20, beta = 10.

All in torch, with the same energy, loss, optimizer and batch: what differs is the layers.
"""

import time
from collections.abc import Callable
from typing import Any

from benchmarks import flops
from benchmarks.harness import LIMITS, Contender, Match

N, BETA, HIDDEN, LAYERS, STEPS = 20, 10.0, (128, 128), 2, 10


def matches(quick: bool) -> list[Match]:
    """One for each precision."""
    return [_match(precision, quick) for precision in ("float32", "float64")]


def _match(precision: str, quick: bool) -> Match:
    batch = 32 if quick else 512
    options = {"batch": batch, "precision": precision}
    work = {f"{precision} flops": flops.masked(2 * N, HIDDEN, LAYERS, batch)}
    return Match(
        "layers",
        f"batch {batch}, {precision}",
        [
            Contender("qdflow autoregressive", "benchmarks.layers:ours", options, work),
            Contender("zuko autoregressive", "benchmarks.layers:zuko", options, work),
            Contender(
                "normflows autoregressive",
                "benchmarks.layers:autoregressive",
                options,
                note="its masked networks have one matrix product more",
            ),
            Contender(
                "normflows coupling",
                "benchmarks.layers:coupling",
                options,
                note="affine; half as many inputs and outputs a network",
            ),
            LIMITS,
        ],
        rounds=3 if quick else 11,
        seconds=30,
    )


def ours(batch: int, precision: str) -> Callable[[], dict[str, float]]:
    """Some steps of `qdflow.train`."""
    import torch

    from benchmarks.worker import processors
    from qdflow import flows
    from qdflow.system import System
    from qdflow.train import Phase, train

    torch.set_num_threads(processors())
    system, generator = System(N), torch.Generator().manual_seed(0)
    flow = flows.build("autoregressive", system, generator, hidden=HIDDEN, layers=LAYERS)
    flow = flow.to(getattr(torch, precision))

    def turn() -> dict[str, float]:
        start = time.perf_counter()
        train(flow, system, BETA, [Phase(STEPS, batch, 1e-3)], generator, clip=10.0)
        return {"seconds": (time.perf_counter() - start) / STEPS}

    turn()
    return turn


def zuko(batch: int, precision: str) -> Callable[[], dict[str, float]]:
    """Masked autoregressive layers in their fast direction, forwards and backwards in order."""
    import torch
    from zuko.flows.autoregressive import MaskedAutoregressiveTransform

    order = torch.arange(2 * N)
    layers = torch.nn.ModuleList(
        MaskedAutoregressiveTransform(
            2 * N,
            order=order.flip(0) if k % 2 else order,
            hidden_features=HIDDEN,
            activation=torch.nn.Tanh,
        )
        for k in range(LAYERS)
    )

    def sample() -> Any:
        z = torch.randn(batch, 2 * N)
        x, log_q = z, _normal(z)
        for layer in layers:
            x, ladj = layer().call_and_ladj(x)
            log_q = log_q - ladj
        return x, log_q

    return _trained(sample, layers, precision)


def autoregressive(batch: int, precision: str) -> Callable[[], dict[str, float]]:
    """Masked affine autoregressive layers of normflows, with a permutation between them."""
    import normflows

    def layer() -> Any:
        return normflows.flows.MaskedAffineAutoregressive(
            2 * N, HIDDEN[0], num_blocks=len(HIDDEN), use_residual_blocks=False
        )

    return _normflows([layer(), _swap(), layer()], batch, precision)


def coupling(batch: int, precision: str) -> Callable[[], dict[str, float]]:
    """Affine coupling layers of normflows, with the halves swapped between them."""
    import normflows

    def layer() -> Any:
        network = normflows.nets.MLP([N, *HIDDEN, 2 * N], init_zeros=True)
        return normflows.flows.AffineCouplingBlock(network)

    return _normflows([layer(), _swap(), layer()], batch, precision)


def _swap() -> Any:
    import normflows

    return normflows.flows.Permute(2 * N, mode="swap")


def _normflows(layers: list[Any], batch: int, precision: str) -> Callable[[], dict[str, float]]:
    import normflows

    base = normflows.distributions.DiagGaussian(2 * N, trainable=False)
    model = normflows.NormalizingFlow(base, layers)
    return _trained(lambda: model.sample(batch), model, precision)


def _normal(z: Any) -> Any:
    import math

    return -0.5 * z.square().sum(1) - 0.5 * z.shape[1] * math.log(2 * math.pi)


def _trained(sample: Callable[[], Any], model: Any, precision: str) -> Any:
    import torch

    from benchmarks.worker import processors
    from qdflow.system import System

    torch.set_num_threads(processors())
    torch.manual_seed(0)
    torch.set_default_dtype(getattr(torch, precision))
    model.to(getattr(torch, precision))
    system = System(N)
    adam = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)

    def turn() -> dict[str, float]:
        start = time.perf_counter()
        for _ in range(STEPS):
            adam.zero_grad()
            x, log_q = sample()
            F = (system.energy(x.unflatten(1, (N, 2))) + log_q / BETA).mean()
            F.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 10.0)
            adam.step()
        return {"seconds": (time.perf_counter() - start) / STEPS}

    turn()
    return turn
