"""The talk's autoregressive MLP: masked networks, one coordinate after the other."""

from collections.abc import Sequence
from typing import Annotated, cast

import torch
from torch import Tensor, nn
from zuko.nn import MaskedLinear, MaskedMLP

from qdflow.bases import Gaussian
from qdflow.flows._dense import network, truncated_normal
from qdflow.flows._options import Count, NotNegative, Positive, Widths
from qdflow.flows.base import Flow
from qdflow.system import System

LOG_SCALE = 6.0  # the largest |ln s|


class Autoregressive(Flow):
    """Layers x_k = m_k + s_k z_k, where m_k and s_k depend on the coordinates before k.

    The coordinates come electron by electron, in every second layer backwards. One masked MLP a
    layer gives all m and s (Germain et al., MADE (2015); in this direction Kingma et al., Inverse
    Autoregressive Flow (2016), eq. 9). The Jacobian is triangular with a positive diagonal: the
    map is a bijection of R^{2n}, ln q a log-density, and the inverse exact.
    """

    claim = "triangular Jacobian with a positive diagonal"
    exact_log_prob = True
    exact_inverse = True

    def __init__(
        self,
        system: System,
        generator: torch.Generator,
        hidden: Annotated[Widths, {"minItems": 1}] = (128, 128),
        layers: Count = 2,
        position_std: NotNegative = 1.0,
        width: Positive = 0.3,
    ) -> None:
        """At first every electron stays near a place of its own, drawn at random.

        Args:
            system: gives n.
            generator: of the initial parameters.
            hidden: widths of each masked MLP.
            layers: masked MLPs, one after the other, every second one backwards.
            position_std: of the places where the electrons start.
            width: of each coordinate around its place at the start.
        """
        super().__init__()
        self.base = Gaussian(system.n)
        self.layers = nn.ModuleList(
            _Layer(2 * system.n, hidden, bool(k % 2), generator) for k in range(layers)
        )
        last = cast(_Layer, self.layers[-1])
        last.start_at(position_std * torch.randn(2 * system.n, generator=generator), width)

    def transform(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See `Flow.transform`; cost per sample O(hidden^2), no determinant."""
        x, ladj = z.flatten(1), torch.zeros_like(z[:, 0, 0])
        for layer in self.layers:
            x, log_s = layer(x)
            ladj = ladj + log_s.sum(1)
        return x.unflatten(1, (-1, 2)), ladj, torch.ones_like(ladj)

    def log_prob(self, x: Tensor) -> Tensor:
        """ln q(x), exact for every x.  x (size, n, 2) -> (size,)."""
        z, ladj = x.flatten(1), torch.zeros_like(x[:, 0, 0])
        for layer in reversed(self.layers):
            z = cast(_Layer, layer).inverse(z)
            ladj = ladj + layer(z)[1].sum(1)
        return self.base.log_prob(z.unflatten(1, (-1, 2))) - ladj

    def inverse(self, x: Tensor) -> Tensor:
        """See `Flow.inverse`."""
        z = x.flatten(1)
        for layer in reversed(self.layers):
            z = cast(_Layer, layer).inverse(z)
        return z.unflatten(1, (-1, 2))


class _Layer(nn.Module):
    def __init__(
        self, features: int, hidden: Sequence[int], backwards: bool, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.backwards = backwards
        order = torch.arange(features)
        before = (order < order[:, None]) != backwards  # (k, l): whether k may depend on l
        before &= ~torch.eye(features, dtype=torch.bool)
        # (m_1 ... m_2n, ln s_1 ... ln s_2n)
        adjacency = cast(torch.BoolTensor, torch.cat([before, before]))
        self.hyper = MaskedMLP(adjacency, hidden, nn.Tanh).double()
        for linear in self._linears():
            inputs = linear.get_buffer("mask").sum(1).clamp(min=1).double().mean().item()
            linear.weight = truncated_normal(tuple(linear.weight.shape), inputs**-0.5, generator)
            linear.bias = truncated_normal(tuple(linear.bias.shape), 0.5, generator)
        self._linears()[-1].weight.data *= 0.3
        self._linears()[-1].bias.data.zero_()

    def start_at(self, shift: Tensor, scale: float) -> None:
        """Set the biases of m and of ln s."""
        bias = torch.cat([shift, torch.full_like(shift, scale).log()])
        self._linears()[-1].bias.data.copy_(bias)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """x and ln s, (size, 2n) each, at z (size, 2n)."""
        m, log_s = self._terms(z)
        return m + log_s.exp() * z, log_s

    def inverse(self, x: Tensor) -> Tensor:
        """z with forward(z) = x, differentiable.  x (size, 2n) -> (size, 2n).

        Every pass settles at least one more coordinate for good; often they all settle sooner.
        The derivative is that of one Newton step from there: d z = J^-1 (d x - d f).
        """
        with torch.no_grad():
            z = torch.zeros_like(x)
            for _ in range(x.shape[1]):
                m, log_s = self._terms(z)
                z, old = (x - m) * (-log_s).exp(), z
                if torch.equal(z, old):
                    break
        if not torch.is_grad_enabled():
            return z
        miss = self(z)[0] - x
        step = torch.linalg.solve_triangular(
            self._jacobian(z), miss.unsqueeze(-1), upper=self.backwards
        )
        return z - step.squeeze(-1)

    def _terms(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """m and ln s, (size, 2n) each."""
        m, a = self.hyper(z).chunk(2, dim=1)
        return m, LOG_SCALE * torch.tanh(a / LOG_SCALE)

    @torch.no_grad()
    def _jacobian(self, z: Tensor) -> Tensor:
        layers = [
            (linear.get_buffer("mask") * linear.weight, linear.bias) for linear in self._linears()
        ]
        out, tangent = network(z, layers, "tanh")
        m, a = tangent.chunk(2, dim=1)
        t = torch.tanh(out.chunk(2, dim=1)[1] / LOG_SCALE)
        s = (LOG_SCALE * t).exp()
        return m + ((1 - t * t) * s * z).unsqueeze(2) * a + torch.diag_embed(s)

    def _linears(self) -> list[MaskedLinear]:
        return [module for module in self.hyper if isinstance(module, MaskedLinear)]


build = Autoregressive
