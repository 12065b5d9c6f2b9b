"""V = x^4 + y^4 - x^2 y^2."""

from typing import Any

from qdflow.traps import Trap


def potential(x: Any, y: Any) -> Any:
    """V."""
    return x * x * x * x + y * y * y * y - x * x * y * y


def gradient(x: Any, y: Any) -> tuple[Any, Any]:
    """dV/dx and dV/dy."""
    return 2 * x * (2 * x * x - y * y), 2 * y * (2 * y * y - x * x)


trap = Trap(potential, gradient, degree=4, group="c4v")
