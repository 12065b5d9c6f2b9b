"""Normalizing flows for electrons in a quantum dot, held against Monte Carlo.

Nothing is imported here, so that a script depends on exactly the modules it names, and starts as
fast. What `qdflow/public.py` lists can be had from here all the same: `from qdflow import System`.
"""

from importlib import import_module


def __getattr__(name: str) -> object:
    """A public name, imported when it is first asked for."""
    where = import_module("qdflow.public").WHERE
    if name not in where:
        raise AttributeError(f"qdflow has no {name!r}; it has {', '.join(where)}, and its modules")
    return getattr(import_module(where[name]), name)


def __dir__() -> list[str]:
    """The public names, for completion."""
    return sorted({*globals(), *import_module("qdflow.public").WHERE})
