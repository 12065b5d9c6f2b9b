"""Numbers that cannot be are refused where they come in, in a sentence with the value."""

import math
from numbers import Integral, Real
from typing import Any


def count(least: int, **values: Any) -> None:
    """Refuse what is no whole number from ``least`` up.

    Raises:
        ValueError: one of the values; its name is in the sentence.
    """
    for name, value in values.items():
        if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
            raise ValueError(f"{name} is {value!r}; it must be a whole number from {least} up")


def positive(**values: Any) -> None:
    """Refuse what is no finite number above 0.

    Raises:
        ValueError: one of the values; its name is in the sentence.
    """
    for name, value in values.items():
        is_number = isinstance(value, Real) and not isinstance(value, bool)
        if not is_number or not 0 < float(value) < math.inf:
            raise ValueError(f"{name} is {value!r}; it must be a number above 0")
