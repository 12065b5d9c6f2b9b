"""What the options of an architecture may be: annotations that the plan and `build` hold to.

Of an option ``depth: Annotated[int, {"minimum": 1}] = 2`` the annotation has the type and, in the
words of JSON schema, what else must hold. A plan reads it from the text of the file: it may use the
names of this module, and `Annotated`, `Literal`, `Sequence`, `int`, `float`, `bool` and `str`.
"""

from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import Annotated, Any, Literal, get_args, get_origin

Count = Annotated[int, {"minimum": 1}]
NotNegative = Annotated[float, {"minimum": 0}]
Positive = Annotated[float, {"exclusiveMinimum": 0}]
Widths = Sequence[Count]
Activation = Literal["softplus", "tanh", "asinh"]
OddActivation = Literal["tanh", "asinh"]  # sigma(-a) = -sigma(a), which a quarter turn needs
BaseName = Literal["gaussian", "ginibre"]

TYPES = {int: "integer", float: "number", bool: "boolean", str: "string"}


def schema(hint: Any) -> dict[str, Any]:
    """The JSON schema of an annotation.

    Raises:
        TypeError: it is none of those that are known here.
    """
    if get_origin(hint) is Annotated:
        inner, *more = get_args(hint)
        return schema(inner) | {key: value for part in more for key, value in part.items()}
    if get_origin(hint) is Literal:
        return {"enum": list(get_args(hint))}
    if get_origin(hint) is Sequence:
        return {"type": "array", "items": schema(get_args(hint)[0])}
    if hint not in TYPES:
        raise TypeError(f"no option has the type {hint}; see qdflow/flows/_options.py")
    return {"type": TYPES[hint]}


def refusal(name: str, value: Any, allowed: Mapping[str, Any]) -> str:
    """Why an option may not have this value, in a sentence; empty if it may."""
    if "enum" in allowed and value not in allowed["enum"]:
        return f"unknown {name} {value!r}; choose from {', '.join(map(str, allowed['enum']))}"
    if "type" in allowed and not _is_of(value, allowed["type"]):
        return f"{name} is {value!r}; it must be of type {allowed['type']}"
    if "minimum" in allowed and not value >= allowed["minimum"]:
        return f"{name} is {value!r}; it must be at least {allowed['minimum']}"
    if "exclusiveMinimum" in allowed and not value > allowed["exclusiveMinimum"]:
        return f"{name} is {value!r}; it must be above {allowed['exclusiveMinimum']}"
    if "maximum" in allowed and not value <= allowed["maximum"]:
        return f"{name} is {value!r}; it must be at most {allowed['maximum']}"
    if "minItems" in allowed and len(value) < allowed["minItems"]:
        return f"{name} is empty; it needs at least {allowed['minItems']} entry"
    found = (
        refusal(f"{name}[{k}]", entry, allowed["items"])
        for k, entry in enumerate(value if "items" in allowed else ())
    )
    return next(filter(None, found), "")


def _is_of(value: Any, kind: str) -> bool:
    if kind == "array":
        return isinstance(value, Sequence) and not isinstance(value, str)
    if kind in ("boolean", "string"):
        return isinstance(value, bool if kind == "boolean" else str)
    number = Integral if kind == "integer" else Real
    return isinstance(value, number) and not isinstance(value, bool)
