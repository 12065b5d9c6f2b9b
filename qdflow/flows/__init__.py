"""Architectures, one file each: qdflow/flows/<name>.py holds a function ``build``."""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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
    if flow not in NAMES:
        raise ValueError(f"unknown flow {flow!r}; choose from {', '.join(NAMES)}")
    return import_module(f"qdflow.flows.{flow}").build(system, generator, **options)
