"""Architectures, one file each: qdflow/flows/<name>.py names its class ``build``."""

import sys
from collections.abc import Mapping
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

from qdflow.flows import _options

if TYPE_CHECKING:
    import torch

    from qdflow.flows.base import Flow
    from qdflow.system import System

NAMES = sorted(p.stem for p in Path(__file__).parent.glob("[a-z]*.py") if p.stem != "base")


def build(flow: str, system: "System", generator: "torch.Generator", **options: Any) -> "Flow":
    """The architecture ``flow`` for ``system``, its parameters drawn from ``generator``.

    Raises:
        ValueError: no architecture has that name, or an option a value that it cannot have.
        TypeError: it has no such option.
    """
    make = load(flow)
    parameters = list(signature(make).parameters.values())[2:]
    known = [p.name for p in parameters]
    if unknown := [option for option in options if option not in known]:
        raise TypeError(
            f"flow {flow!r} has no option {unknown[0]!r}; choose from {', '.join(known)}"
        )
    hints = get_type_hints(make.__init__, include_extras=True)
    for name, value in options.items():
        if sentence := _options.refusal(name, value, _options.schema(hints[name])):
            raise ValueError(f"flow {flow!r}: {sentence}")
    complete = {p.name: p.default for p in parameters} | options
    if sentence := _impossible(make, system.n, complete):
        raise ValueError(f"flow {flow!r}: {sentence}")
    return make(system, generator, **options)


def _impossible(make: type, n: int, options: Mapping[str, Any]) -> str:
    """What the file of an architecture says of a whole set of options; empty if it is fine."""
    judge = getattr(sys.modules[make.__module__], "impossible", None)
    plain = {k: list(v) if isinstance(v, tuple) else v for k, v in options.items()}
    return judge(n, plain) if judge else ""


def load(flow: str) -> "type[Flow]":
    """The class of the architecture ``flow``; its parameters from the third on are the options.

    Raises:
        ValueError: no architecture has that name.
    """
    if flow not in NAMES:
        raise ValueError(f"unknown flow {flow!r}; choose from {', '.join(NAMES)}")
    return import_module(f"qdflow.flows.{flow}").build
