"""Electrons placed one after the other, from the centre outwards, where the others leave room."""

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, cast

import torch
from torch import Tensor, nn

from qdflow.flows._causal import Block, Past, linear
from qdflow.flows._conditionals import Ring, Weibulls, uniform
from qdflow.flows._dense import truncated_normal
from qdflow.flows._options import Count, Positive
from qdflow.flows.base import Draw, Flow
from qdflow.system import TRAPS, System

TURNS = 4  # of an angle a token sees the sines and cosines of so many multiples
PAIR = 2 * TURNS + 2  # features of a pair of tokens
SOFT = 0.1  # added to the squared distances that tokens see, and
HARD = 1e-4  # to those in the energy of a place: both stay finite, and ln q with them
PLACES = 24  # on a ring of which only the free energy counts


class Ordered(Flow):
    """Electrons are identical: a density of the configuration sorted by radius says it all.

    With w_i = r_i^2 - r_{i-1}^2 of the sorted radii, d^2 x_i = (1/2) dw_i dphi_i, and

        q(x) = (1/n!) prod_i 2 p(w_i | before) p(phi_i | r_i, before),

    one of n! relabellings each, exactly symmetric. A causal transformer over the electrons reads
    what came before. w_i has a mixture of Weibull distributions; phi_i a density on a fine ring
    of nodes, to which the network gives a Fourier series around each electron before, times

        exp(-c E(r_i, phi)),   E the energy of that place: Coulomb's, and an anisotropic trap's,

    so that no electron comes close to another by mistake. Only c, near beta, is left to learn.
    The weights of the mixture know what that leaves of each ring: its free energy at the radius
    where the component has its place at the start.

    In an isotropic trap all angles are relative to the first electron's, which is uniform: the
    density does not change under rotations. Elsewhere the trap's axis takes that place.
    Reflections are left to the training.
    """

    claim = "a product of normalised conditional densities"
    symmetry = "permutation"  # and rotation, in an isotropic trap
    exact_log_prob = True
    reparametrised = False
    log_beta = "angle.log_c.bias"

    def __init__(
        self,
        system: System,
        generator: torch.Generator,
        width: Count = 64,
        heads: Count = 4,
        blocks: Count = 3,
        components: Count = 10,
        modes: Count = 16,
        nodes: Annotated[int, {"minimum": 3}] = 128,
        stiffness: Positive = 10.0,
    ) -> None:
        """Starts with every electron somewhere around, but clear of those before.

        Args:
            system: gives n and the trap.
            generator: of the initial parameters.
            width: of a token.
            heads: of the attention, a divisor of the width.
            blocks: of the transformer.
            components: of the mixture of Weibull distributions for the next radius.
            modes: of the Fourier series for the angle around each electron before.
            nodes: angles between which ln p is linear; more than twice the modes.
            stiffness: factor of the energy of a place in the exponent of its probability, at the
                start of the training; near beta. A family starts with beta.
        """
        super().__init__()
        self.n = system.n
        self.isotropic = TRAPS[system.trap].isotropic_quadratic
        self.symmetry = "permutation+rotation" if self.isotropic else "permutation"
        self.place = truncated_normal((system.n, width), 0.3, generator)
        self.embed = linear(3, width, generator)
        self.blocks = nn.ModuleList(Block(width, heads, PAIR, generator) for _ in range(blocks))
        self.norm = nn.LayerNorm(width).double()
        self.gap = _Gap(system, width, components, stiffness, generator)
        self.angle = _Angle(system, width, modes, nodes, stiffness, generator)

    def log_prob(self, x: Tensor) -> Tensor:
        """ln q(x), exact for every x; one pass of the transformer.  x (size, n, 2) -> (size,)."""
        r, phi = self._polar(x)
        w = _gaps(r).clamp(min=torch.finfo(r.dtype).tiny)
        # token 0 stands for the trap, token i for the i-th electron; the last one is not needed
        R, Phi = (nn.functional.pad(t[:, :-1], (1, 0)) for t in (r, phi))
        h, _ = self._tokens(R, Phi, [None] * len(self.blocks))
        keys = self.angle.keys(h)
        rings = [self.gap.rings(R[:, : i + 1], Phi[:, : i + 1]) for i in range(self.n)]
        log_q = (self.gap(h, torch.stack(rings, 1)).log_prob(w.log()) - w.log()).sum(1)
        for i in range(self.n):
            ring = self._ring(h[:, i], r[:, i], keys, R, Phi, i + 1)
            log_q = log_q + ring.log_prob(phi[:, i])
        return log_q + self._log_factor()

    def draw(self, size: int, generator: torch.Generator) -> Draw:
        """Independent samples; where gradients are wanted, only ln q has one."""
        x, log_q = self._placed(size, generator)
        if torch.is_grad_enabled():
            log_q = self.log_prob(x)
        return Draw(x, log_q, torch.ones_like(log_q))

    @torch.no_grad()
    def _placed(self, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Samples, one electron at a time with the transformer's past kept, and their ln q."""
        R = Phi = self.place.new_zeros(size, 1)
        past: Sequence[Past | None] = [None] * len(self.blocks)
        keys, log_q = R.new_empty(size, 0, self.place.shape[1]), R.new_zeros(size)
        for i in range(self.n):
            h, past = self._tokens(R, Phi, past)
            keys = torch.cat([keys, self.angle.keys(h)], 1)
            gap = self.gap(h[:, 0], self.gap.rings(R, Phi))
            u = gap.sample(generator)
            r = (R[:, -1].square() + u.exp()).sqrt()
            ring = self._ring(h[:, 0], r, keys, R, Phi, i + 1)
            phi = ring.sample(generator)
            log_q += gap.log_prob(u) - u + ring.log_prob(phi)
            if self.isotropic and i == 0:
                phi = torch.zeros_like(phi)
            R, Phi = torch.cat([R, r[:, None]], 1), torch.cat([Phi, phi[:, None]], 1)
        return self._scattered(R[:, 1:], Phi[:, 1:], generator), log_q + self._log_factor()

    def _scattered(self, r: Tensor, phi: Tensor, generator: torch.Generator) -> Tensor:
        """x (size, n, 2) in a random order, turned at random if the trap does not care."""
        if self.isotropic:
            phi = phi + 2 * math.pi * uniform(phi[:, :1], generator)
        order = uniform(r, generator).argsort(1)
        x = torch.stack([r * phi.cos(), r * phi.sin()], -1)
        return x.gather(1, order.unsqueeze(-1).expand_as(x))

    def _polar(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """r and phi (size, n), sorted by r."""
        r, order = x.square().sum(-1).sqrt().sort(1)
        phi = torch.atan2(x[..., 1], x[..., 0]).gather(1, order)
        return r, phi - phi[:, :1] if self.isotropic else phi

    def _log_factor(self) -> float:
        """ln of the 2^n of the area elements over n!."""
        return self.n * math.log(2) - math.lgamma(self.n + 1)

    def _tokens(
        self, R: Tensor, Phi: Tensor, past: Sequence[Past | None]
    ) -> tuple[Tensor, list[Past]]:
        """The tokens that the past does not hold yet, and the past with them.

        Args:
            R, Phi: (size, tokens) polar coordinates of all, 0 of token 0.
            past: of each block.

        Returns:
            (size, tokens - those of the past, width), and the past.
        """
        first = 0 if past[0] is None else past[0].k.shape[2]
        about = torch.stack([R, R.square(), _gaps(R)], -1)[:, first:]
        h = self.embed(about) + self.place[first : R.shape[1]]
        f = self._pairs(R, Phi, first)
        kept = []
        for block, before in zip(self.blocks, past, strict=True):
            h, now = cast(Block, block)(h, f, before)
            kept.append(now)
        return self.norm(h), kept

    def _pairs(self, R: Tensor, Phi: Tensor, first: int) -> Tensor:
        """What tokens from ``first`` on know of all, (size, q, tokens, `PAIR`)."""
        r, phi = R[:, first:, None], Phi[:, first:, None]
        delta = Phi.unsqueeze(1) - phi
        d2 = r.square() + R.square().unsqueeze(1) - 2 * r * R.unsqueeze(1) * delta.cos()
        turns = delta.unsqueeze(-1) * torch.arange(1, TURNS + 1).to(R)
        waves = torch.cat([turns.cos(), turns.sin()], -1)
        return torch.cat([waves, torch.stack([(d2 + SOFT).rsqrt(), d2], -1)], -1)

    def _ring(
        self, h: Tensor, r: Tensor, keys: Tensor, R: Tensor, Phi: Tensor, tokens: int
    ) -> Ring:
        """The angle's density, given r (size,) and the first so many tokens."""
        seen = slice(int(self.isotropic), tokens)
        return self.angle(h, r, keys[:, seen], R[:, seen], Phi[:, seen])


class _Gap(nn.Module):
    """p(w | before), from the last token and the free energies of the rings around it."""

    def __init__(
        self,
        system: System,
        width: int,
        components: int,
        stiffness: float,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.potential = TRAPS[system.trap].potential
        self.stiffness = stiffness
        self.up = linear(width + components, width, generator)
        self.down = linear(width, 3 * components + 1, generator, gain=0.3)
        m, log_s = self.down.bias.data[:-1].view(3, components)[1:]
        m.copy_(torch.linspace(-3, 1, components))
        log_s.fill_(-0.7)
        self.down.bias.data[-1] = math.log(0.3)
        self.register_buffer("w", m.exp(), persistent=False)
        theta = torch.arange(PLACES, dtype=torch.float64) * (2 * math.pi / PLACES)
        self.register_buffer("directions", _directions(theta), persistent=False)

    def forward(self, h: Tensor, G: Tensor) -> Weibulls:
        """From h (*batch, width) and the `rings` G (*batch, components)."""
        k = G.shape[-1]
        seen = torch.cat([h, (G / 10).clamp(min=-3)], -1)  # how far a far ring is is no matter
        law = self.down(nn.functional.gelu(self.up(seen)))
        log_weight, m, log_s, log_a = law.split([k, k, k, 1], -1)
        return Weibulls(log_weight + log_a.exp() * G, m, log_s)

    def rings(self, R: Tensor, Phi: Tensor) -> Tensor:
        """ln of what e^{-c H} leaves of each ring around the last of the tokens, normalised.

        Args:
            R, Phi: (size, tokens) polar coordinates, 0 of token 0.

        Returns:
            (size, components).
        """
        r = (R[:, -1:].square() + self.get_buffer("w")).sqrt()
        directions = self.get_buffer("directions")
        cos, sin, _ = directions
        E = self.potential(r.unsqueeze(-1) * cos, r.unsqueeze(-1) * sin)
        E = E + _coulomb(r.unsqueeze(1), R[:, 1:, None], Phi[:, 1:, None], directions).sum(1)
        return (-self.stiffness * E).logsumexp(-1).log_softmax(-1)


class _Angle(nn.Module):
    """p(phi | r, before), from the last token and what all of them say of their surroundings."""

    def __init__(
        self,
        system: System,
        width: int,
        modes: int,
        nodes: int,
        stiffness: float,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        trap = TRAPS[system.trap]
        self.potential = None if trap.isotropic_quadratic else trap.potential
        self.query = linear(width + 2, width, generator)
        self.ask = linear(width, width, generator)
        self.keys = linear(width, width, generator)
        self.coefficients = linear(width, 2 * modes, generator, gain=0.3)
        self.log_c = linear(width, 1, generator, gain=0.1)
        nn.init.constant_(self.log_c.bias, math.log(stiffness))
        k = torch.arange(1, modes + 1, dtype=torch.float64)
        theta = torch.arange(nodes, dtype=torch.float64) * (2 * math.pi / nodes)
        self.register_buffer("k", k, persistent=False)
        waves = torch.polar(torch.ones(()).double(), k[:, None] * theta)
        self.register_buffer("cos", waves.real.contiguous(), persistent=False)
        self.register_buffer("sin", waves.imag.contiguous(), persistent=False)
        self.register_buffer("directions", _directions(theta), persistent=False)

    def forward(self, h: Tensor, r: Tensor, keys: Tensor, R: Tensor, Phi: Tensor) -> Ring:
        """See `Ordered._ring`: h (size, width), r (size,), keys (size, tokens, width), R, Phi."""
        r = r.unsqueeze(1)
        s = nn.functional.gelu(self.query(torch.cat([h, r, r.square()], 1)))
        pair = nn.functional.gelu(self.ask(s).unsqueeze(1) + keys)
        # sum_j a_jk cos k(theta - phi_j) + b_jk sin k(theta - phi_j), theta and phi_j apart
        a, b = self.coefficients(pair).chunk(2, -1)
        turns = Phi.unsqueeze(-1) * self.get_buffer("k")
        c, d = turns.cos(), turns.sin()
        series = (a * c - b * d).sum(1) @ self.get_buffer("cos")
        series = series + (a * d + b * c).sum(1) @ self.get_buffer("sin")
        return Ring(series - self.log_c(s).exp() * self._energy(r, R, Phi))

    def _energy(self, r: Tensor, R: Tensor, Phi: Tensor) -> Tensor:
        """Of the nodes at radius r (size, 1): 1 / distance to the others, and the trap's.

        -> (size, nodes).
        """
        cos, sin = self.get_buffer("cos")[0], self.get_buffer("sin")[0]
        pairs = _coulomb(r, R, Phi, self.get_buffer("directions"))
        if self.potential is None:
            return pairs.sum(1)
        return pairs[:, 1:].sum(1) + self.potential(r * cos, r * sin)


def _directions(theta: Tensor) -> Tensor:
    """Cosines, sines and ones (3, nodes), which `_coulomb` wants."""
    return torch.stack([theta.cos(), theta.sin(), torch.ones_like(theta)])


def _coulomb(r: Tensor, R: Tensor, Phi: Tensor, directions: Tensor) -> Tensor:
    """1 / distance of the places at r, in all directions, to (R, Phi).

    Args:
        r, R, Phi: of shapes that go together, (*batch).
        directions: (3, nodes).

    Returns:
        (*batch, nodes).
    """
    # all distances by one product of matrices: passes over so many numbers are what costs
    across = -2 * r * R
    square = (r.square() + R.square() + HARD).expand_as(across)
    d2 = torch.stack([across * Phi.cos(), across * Phi.sin(), square], -1) @ directions
    return d2.rsqrt_()


def _gaps(r: Tensor) -> Tensor:
    """r_i^2 - r_{i-1}^2, r_0 = 0.  (size, k) -> (size, k)."""
    return r.square().diff(dim=1, prepend=torch.zeros_like(r[:, :1]))


def impossible(_: int, options: Mapping[str, Any]) -> str:
    """Why no flow has these options; empty if one has. Known to the plan."""
    width, heads, modes, nodes = (options[key] for key in ("width", "heads", "modes", "nodes"))
    if width % heads:
        return f"heads is {heads}, no divisor of width, which is {width}"
    if nodes <= 2 * modes:
        return f"nodes is {nodes}; take more than twice the {modes} modes"
    return ""


build = Ordered
