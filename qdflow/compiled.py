"""How numba compiles what is worth it, and how it runs."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
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


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads)
