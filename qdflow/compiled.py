"""How numba compiles what is worth it, and how it runs."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import Tensor

# Sums may be reordered: that lets the compiler use wide registers. NaN and infinities keep their
# meaning. (numba's cache looks at the file of a loop only: after a change here, remove the *.nbi.)
FAST: dict[str, Any] = {
    "nogil": True,
    "cache": True,
    "error_model": "numpy",
    "fastmath": {"reassoc", "contract", "nsz"},
}
# Also reciprocals and roots by Newton's method, to which 1 / sqrt(0) is NaN.
FASTEST = FAST | {"fastmath": FAST["fastmath"] | {"arcp", "afn"}}
_LEAST = 64  # samples that are worth a thread


def in_threads(loop: Callable[..., Any], *arrays: Tensor) -> None:
    """Run a compiled loop over samples, in as many threads as torch may use.

    Args:
        loop: of arrays, which it reads and fills.
        arrays: (size, ...) each, of which each thread sees its own samples.
    """
    parts = min(torch.get_num_threads(), max(len(arrays[0]) // _LEAST, 1))
    if parts == 1:
        loop(*(array.numpy() for array in arrays))
        return
    shares = zip(*(array.tensor_split(parts) for array in arrays), strict=True)
    jobs = [_pool(parts).submit(loop, *(part.numpy() for part in share)) for share in shares]
    for job in jobs:
        job.result()


@contextmanager
def each_alone(parts: int) -> Iterator[Callable[..., Any]]:
    """What maps a function over so many parts, each of them in one of the threads torch may use.

    With parts that are large, that scales better than many threads for each call into torch; and
    the result has the same bits whatever their number.
    """
    threads = torch.get_num_threads()
    if min(threads, parts) == 1:
        yield map
        return
    torch.set_num_threads(1)
    try:
        yield _pool(threads).map
    finally:
        torch.set_num_threads(threads)


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads)
