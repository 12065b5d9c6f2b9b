"""Architectures, one file each: qdflow/flows/<name>.py names its class ``build``."""

from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

    from qdflow.flows.base import Flow
    from qdflow.system import System

NAMES = sorted(p.stem for p in Path(__file__).parent.glob("[a-z]*.py") if p.stem != "base")


def build(flow: str, system: "System", generator: "torch.Generator", **options: Any) -> "Flow":
    """The architecture ``flow`` for ``system``, its parameters drawn from ``generator``.

    Raises:
        ValueError: no architecture has that name.
        TypeError: it has no such option.
    """
    make = load(flow)
    known = list(signature(make).parameters)[2:]
    if unknown := [option for option in options if option not in known]:
        raise TypeError(
            f"flow {flow!r} has no option {unknown[0]!r}; choose from {', '.join(known)}"
        )
    return make(system, generator, **options)


def rebuild(
    architecture: "Mapping[str, Any]", system: "System", parameters: "Mapping[str, torch.Tensor]"
) -> "Flow":
    """A trained flow in float64, from the arguments of `build` and its parameters."""
    from torch import Generator

    flow = build(system=system, generator=Generator(), **architecture).double()
    flow.load_state_dict(parameters)
    return flow


def load(flow: str) -> "type[Flow]":
    """The class of the architecture ``flow``; its parameters from the third on are the options.

    Raises:
        ValueError: no architecture has that name.
    """
    if flow not in NAMES:
        raise ValueError(f"unknown flow {flow!r}; choose from {', '.join(NAMES)}")
    return import_module(f"qdflow.flows.{flow}").build
