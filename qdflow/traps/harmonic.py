"""V = x^2 + y^2."""

from typing import Any

from qdflow.traps import Trap


def potential(x: Any, y: Any) -> Any:
    """V."""
    return x * x + y * y


def gradient(x: Any, y: Any) -> tuple[Any, Any]:
    """dV/dx and dV/dy."""
    return 2 * x, 2 * y


trap = Trap(potential, gradient, degree=2, group="o2", isotropic_quadratic=True)
