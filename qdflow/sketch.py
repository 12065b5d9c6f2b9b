"""A curve as text, for terminals far from any screen."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

_DOTS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])  # of a braille letter


def sketch(
    x: ArrayLike,
    y: ArrayLike,
    lines: Sequence[float] = (),
    width: int = 64,
    height: int = 12,
) -> str:
    """y against x in braille dots, four in a letter's height and two in its width.

    The first fiftieth of the curve, which is often far away, does not count for the scale: what is
    above it is drawn at the top. Values that are not finite are left out.

    Args:
        x: (points,) rising.
        y: (points,).
        lines: levels to draw dotted, and to have on the scale.
        width, height: of the drawing in letters, without its labels.

    Returns:
        Lines of text; empty if nothing is finite.
    """
    x, y = (np.asarray(values, float) for values in (x, y))
    x, y = (values[np.isfinite(y)] for values in (x, y))
    if not len(y):
        return ""
    scale = [*y[len(y) // 50 :], *lines]
    low, high = min(scale), max(scale)
    dots = np.zeros((4 * height, 2 * width), bool)
    for level in lines:
        dots[_rows(level, low, high, 4 * height), ::4] = True
    dots[_rows(y, low, high, 4 * height), _columns(x, 2 * width)] = True
    labels = {0: f"{high:.6g}", height - 1: f"{low:.6g}"}
    margin = max(map(len, labels.values()))
    drawn = [f"{labels.get(k, ''):>{margin}} ┤{line}" for k, line in enumerate(_letters(dots))]
    foot = f"{x[0]:.6g}{f'{x[-1]:.6g}':>{width - len(f'{x[0]:.6g}')}}"
    return "\n".join([*drawn, f"{'':{margin}}  {foot}"])


def _rows(y: ArrayLike, low: float, high: float, rows: int) -> NDArray[np.int64]:
    """The highest value is in row 0."""
    share = (high - np.asarray(y)) / ((high - low) or 1.0)
    return np.clip(np.rint(share * (rows - 1)), 0, rows - 1).astype(int)


def _columns(x: NDArray[np.float64], columns: int) -> NDArray[np.int64]:
    share = (x - x[0]) / ((x[-1] - x[0]) or 1.0)
    return np.rint(share * (columns - 1)).astype(int)


def _letters(dots: NDArray[np.bool_]) -> list[str]:
    """A letter for each block of 4 x 2 dots."""
    height, width = dots.shape[0] // 4, dots.shape[1] // 2
    blocks = dots.reshape(height, 4, width, 2).transpose(0, 2, 1, 3)
    codes = 0x2800 + (blocks * _DOTS).sum((2, 3))
    return ["".join(map(chr, row)) for row in codes]
