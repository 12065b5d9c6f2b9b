"""The symmetries that a density can have, by name, and how many elements they have."""

import math
from typing import NamedTuple


class Elements(NamedTuple):
    """A finite group of the plane: every mirror (or none) with every turn by 90 degrees times k."""

    quarter_turns: tuple[int, ...]
    mirrors: tuple[bool, ...]


POINT_GROUPS = {
    "c2": Elements((0, 2), (False,)),
    "c4": Elements((0, 1, 2, 3), (False,)),
    "c4v": Elements((0, 1, 2, 3), (False, True)),
    "c2v": Elements((0, 2), (False, True)),
}


def holds(whole: str, part: str) -> bool:
    """Whether all elements of a group are in another one, ``o2`` or in `POINT_GROUPS`."""
    if whole == "o2":
        return True
    ours, theirs = POINT_GROUPS[part], POINT_GROUPS[whole]
    turns, mirrors = set(theirs.quarter_turns), set(theirs.mirrors)
    return turns.issuperset(ours.quarter_turns) and mirrors.issuperset(ours.mirrors)


def log_order(symmetry: str, n: int) -> float:
    """ln |G| of a symmetry as the tables spell it: names joined by +, or `none`.

    T ln |G| is what averaging over the group can gain in F at most; infinite for `rotation`, by
    any angle, and for `o2`, which has the mirrors as well.

    Raises:
        ValueError: a name stands for no group.
    """
    sizes = {
        name: math.log(len(g.quarter_turns) * len(g.mirrors)) for name, g in POINT_GROUPS.items()
    }
    sizes |= {"none": 0.0, "permutation": math.lgamma(n + 1)}
    sizes |= {"rotation": math.inf, "o2": math.inf}
    if unknown := set(symmetry.split("+")) - set(sizes):
        raise ValueError(f"unknown symmetry {unknown.pop()!r}; choose from {', '.join(sizes)}")
    return sum(sizes[name] for name in symmetry.split("+"))
