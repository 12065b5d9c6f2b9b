"""One flow for all temperatures: its parameters are polynomials in ln beta."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from qdflow import flows
from qdflow.flows.base import Draw, Flow
from qdflow.symmetry import Averaged
from qdflow.system import System


class Family(nn.Module):
    """Flows of one architecture, one for each beta of a range.

    Each parameter is theta(beta) = c_0 + sum_{k=1}^degree c_k T_k(t), with the Chebyshev
    polynomials T_k of t = -1 ... 1, which is ln beta over the range. c_0 are the parameters of the
    flow that is given; the other c_k start at 0, so that all temperatures start alike. Only a
    parameter that is best near ln beta starts there, which c_0 and c_1 can say exactly.
    """

    def __init__(
        self, flow: Flow, low: float, high: float, degree: int = 2, temperatures: int = 4
    ) -> None:
        """Make a family of ``flow``, which becomes a part of it.

        Args:
            flow: of any architecture.
            low, high: the range of beta.
            degree: of the polynomials.
            temperatures: that a step of the training sees.

        Raises:
            ValueError: the range is empty, or the degree or the temperatures are below 1.
        """
        super().__init__()
        if not 0 < low < high:
            raise ValueError(f"beta from {low} to {high} is no range; take 0 < low < high")
        if min(degree, temperatures) < 1:
            raise ValueError(
                f"degree is {degree} and temperatures is {temperatures}; both must be at least 1"
            )
        self.flow, self.low, self.high, self.temperatures = flow, low, high, temperatures
        self.terms = nn.ParameterList(p.new_zeros(degree, *p.shape) for p in flow.parameters())
        if flow.log_beta:
            names = [name for name, _ in flow.named_parameters()]
            with torch.no_grad():
                flow.get_parameter(flow.log_beta).fill_(math.log(low * high) / 2)
                self.terms[names.index(flow.log_beta)][0] = math.log(high / low) / 2

    def at(self, beta: float) -> "Member":
        """The flow at this beta; what it draws is differentiable in all c_k.

        Raises:
            ValueError: beta is outside of the range.
        """
        if not self.low <= beta <= self.high:
            raise ValueError(
                f"beta is {beta:g}, outside of the family's {self.low:g} to {self.high:g}"
            )
        return Member(self, beta)

    def parameters_at(self, beta: float) -> dict[str, Tensor]:
        """theta(beta) by name, each in the shape that it has in the flow."""
        angle = math.acos(2 * math.log(beta / self.low) / math.log(self.high / self.low) - 1)
        named = zip(self.flow.named_parameters(), self.terms, strict=True)
        return {
            name: c_0 + sum(math.cos(k * angle) * c_k for k, c_k in enumerate(c, 1))
            for (name, c_0), c in named
        }

    def betas(self, generator: torch.Generator) -> list[float]:
        """As many as `temperatures`: a random one in each of so many equal parts of ln beta."""
        part = torch.arange(self.temperatures, dtype=torch.float64)
        place = part + torch.rand(part.shape, generator=generator, dtype=torch.float64)
        beta = self.low * (self.high / self.low) ** (place / self.temperatures)
        return beta.clamp(self.low, self.high).tolist()


class Member(Flow):
    """A family at one beta: a flow as any other, whose parameters are the c_k of all."""

    def __init__(self, family: Family, beta: float) -> None:
        """See `Family.at`."""
        super().__init__()
        self.family, self.beta = family, beta
        flow = family.flow
        self.claim, self.symmetry, self.width = flow.claim, flow.symmetry, flow.width
        self.exact_log_prob, self.exact_inverse = flow.exact_log_prob, flow.exact_inverse
        self.reparametrised = flow.reparametrised
        if flow.reparametrised:
            self.base = flow.base

    def transform(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See `Flow.transform`."""
        return self._call("transform", z)

    def draw(self, size: int, generator: torch.Generator) -> Draw:
        """See `Flow.draw`."""
        return self._call("draw", size, generator)

    def image(self, z: Tensor) -> Draw:
        """See `Flow.image`."""
        return self._call("image", z)

    def inverse(self, x: Tensor) -> Tensor:
        """See `Flow.inverse`."""
        return self._call("inverse", x)

    def extended(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """See `Flow.extended`."""
        return self._call("extended", x, generator)

    def log_prob(self, x: Tensor) -> Tensor:
        """ln q(x), differentiable.  x (size, n, 2) -> (size,)."""
        return self._call("log_prob", x)

    def located(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """See `Flow.located`."""
        return self._call("located", x, generator)

    def forward(self, method: str, *arguments: Any) -> Any:
        """What a method of the architecture gives, with whatever parameters it has now."""
        return getattr(self.family.flow, method)(*arguments)

    def _call(self, method: str, *arguments: Any) -> Any:
        theta = self.family.parameters_at(self.beta)
        replaced = {f"family.flow.{name}": value for name, value in theta.items()}
        return functional_call(self, replaced, (method, *arguments))


def rebuild(model: Mapping[str, Any], beta: float, symmetry: str = "none") -> Flow:
    """A trained flow in float64, its parameters fixed; of a family the one at this beta.

    Args:
        model: the options of the `architecture` and of the `system`, the `parameters`, and of a
            family its options, too.
        beta: that is wanted; a flow of its own has but one.
        symmetry: group that its density is averaged over, or `none`.

    Raises:
        ValueError: beta is outside of the family's range.
    """
    system, generator = System(**model["system"]), torch.Generator()
    flow = flows.build(system=system, generator=generator, **model["architecture"]).double()
    made = Family(flow, **model["family"]) if "family" in model else flow
    made.load_state_dict(model["parameters"])
    made.requires_grad_(False)
    one = made.at(beta) if isinstance(made, Family) else made
    return one if symmetry == "none" else Averaged(one, symmetry)
