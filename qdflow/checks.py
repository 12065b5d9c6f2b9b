"""Numbers that cannot be are refused where they come in, in a sentence with the value."""

import math
from numbers import Integral, Real


def count(least: int, **values: object) -> None:
    """Refuse what is no whole number from ``least`` up.

    Raises:
        ValueError: one of the values; its name is in the sentence.
    """
    for name, value in values.items():
        if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
            raise ValueError(f"{name} is {value!r}; it must be a whole number from {least} up")


def positive(**values: object) -> None:
    """Refuse what is no finite number above 0.

    Raises:
        ValueError: one of the values; its name is in the sentence.
    """
    for name, value in values.items():
        good = isinstance(value, Real) and not isinstance(value, bool)
        if not (good and math.isfinite(value) and value > 0):
            raise ValueError(f"{name} is {value!r}; it must be a number above 0")
