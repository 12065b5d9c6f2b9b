"""What the processors can do, measured on the spot: matrix products and copies."""

import time
from collections.abc import Callable


def limits(side: int = 1024, megabytes: int = 128) -> Callable[[], dict[str, float]]:
    """The best of several matrix products in both precisions, and of several copies."""
    import torch

    from benchmarks.worker import processors

    torch.set_num_threads(processors())
    bytes_ = torch.ones(megabytes * 2**20, dtype=torch.uint8)
    target = torch.empty_like(bytes_)

    def rate(precision: torch.dtype) -> float:
        a = torch.randn(side, side, dtype=precision)
        out = torch.empty_like(a)
        return 2 * side**3 / min(_time(lambda: torch.mm(a, a, out=out)) for _ in range(8))

    def turn() -> dict[str, float]:
        seconds = min(_time(lambda: target.copy_(bytes_)) for _ in range(5))
        return {
            "float64 flops": rate(torch.float64),
            "float32 flops": rate(torch.float32),
            "copied bytes": 2 * len(bytes_) / seconds,  # read and written
        }

    turn()
    return turn


def _time(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start
