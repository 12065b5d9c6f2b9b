"""Traps, one file each: qdflow/traps/<name>.py names what it describes ``trap``.

Its docstring says what V is. A file is imported when its trap is asked for, so that a job depends
on its own trap only.
"""

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple


class Trap(NamedTuple):
    """A trap V(x, y), homogeneous of some degree: V(s x, s y) = s^degree V(x, y), above 0.

    Attributes:
        potential: V of two numbers or two arrays; plain arithmetic only, so that one
            definition serves torch, numpy and numba.
        gradient: dV/dx and dV/dy of the same.
        degree: enters the virial theorem, degree <V> - <V_ee> = 2 n / beta.
        group: of the plane under which V does not change, the largest in `groups.POINT_GROUPS`; or
            o2, under all rotations and mirrors.
        isotropic_quadratic: whether V = x^2 + y^2, for which the centre of mass is Gaussian.
    """

    potential: Callable[[Any, Any], Any]
    gradient: Callable[[Any, Any], tuple[Any, Any]]
    degree: int
    group: str
    isotropic_quadratic: bool = False


class _Traps(Mapping[str, Trap]):
    """All traps by name, in the order of the alphabet; each is imported at first sight."""

    def __init__(self) -> None:
        self._names = sorted(p.stem for p in Path(__file__).parent.glob("[a-z]*.py"))

    def __getitem__(self, name: str) -> Trap:
        if name not in self._names:
            raise KeyError(name)
        return import_module(f"qdflow.traps.{name}").trap

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


TRAPS = _Traps()
