"""The talk's MLP + Transformer: the MLP, then transformer blocks over the electrons."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from qdflow.flows._dense import DenseFlow, truncated_normal
from qdflow.flows._options import Activation, Count, Widths
from qdflow.flows.mlp import MLP
from qdflow.system import System


class Transformer(DenseFlow):
    """An MLP whose electrons then move as blocks of attention over all of them tell them.

    Every block adds to the positions, and starts by adding 0: the flow starts as its MLP. The
    blocks treat the electrons alike; the MLP makes the flow labelled. Nothing makes it injective.
    """

    def __init__(
        self,
        system: System,
        generator: torch.Generator,
        hidden: Widths = (64, 64),
        activation: Activation = "softplus",
        blocks: Count = 1,
        width: Count = 16,
        heads: Count = 2,
    ) -> None:
        """The MLP's parameters come first from the generator: they are those of `MLP` alone.

        Args:
            system: gives n.
            generator: of the initial parameters.
            hidden: widths of the MLP between its 2 n inputs and outputs, none below 2 n.
            activation: between the layers of the MLP.
            blocks: transformer blocks after the MLP.
            width: of a token.
            heads: of the attention, a divisor of the width.
        """
        super().__init__()
        self.mlp = MLP(system, generator, hidden, activation)
        self.base = self.mlp.base
        self.blocks = nn.ModuleList(Block(width, heads, generator) for _ in range(blocks))

    def mapping(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """See `DenseFlow.mapping`; beyond the MLP's, O(n^2 width) and a product each block."""
        x, jacobian = self.mlp.mapping(z)
        for block in self.blocks:
            x, step = block(x)
            jacobian = step @ jacobian
        return x, jacobian


class Block(nn.Module):
    """x_i + W_out h_i, where the tokens h come from x by one transformer block.

    e = tanh(W_in x + b_in), g = e + W_o attention(e), h = g + W_2 tanh(W_1 g + b_1), with the
    softmax attention of Vaswani et al., Attention is all you need (2017), section 3.2.

    Its Jacobian is written by hand. The tokens are narrow at both ends, two coordinates, and
    electrons meet in the attention only: each pair's 2 x 2 block is a product of factors that
    belong to one electron each, and no derivative of a token by all coordinates is ever formed.
    """

    def __init__(self, width: int, heads: int, generator: torch.Generator) -> None:
        """W_out starts at 0, the other weights with variance 1 / inputs."""
        super().__init__()

        def weight(rows: int, columns: int) -> nn.Parameter:
            return truncated_normal((rows, columns), columns**-0.5, generator)

        def bias(rows: int) -> nn.Parameter:
            return truncated_normal((rows,), 1.0, generator)

        self.heads = heads
        self.W_in, self.b_in = weight(width, 2), bias(width)
        self.W_q, self.W_k, self.W_v, self.W_o = (weight(width, width) for _ in range(4))
        self.W_1, self.b_1 = weight(2 * width, width), bias(2 * width)
        self.W_2 = weight(width, 2 * width)
        self.W_out = nn.Parameter(torch.zeros(2, width, dtype=torch.float64))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The moved x (size, 2n) and the Jacobian (size, 2n, 2n) of the move, at x (size, 2n)."""
        e = torch.tanh(x.unflatten(1, (-1, 2)) @ self.W_in.T + self.b_in)  # (size, n, width)
        q, k, v = (self._split(e @ W.T) for W in (self.W_q, self.W_k, self.W_v))
        q = q / math.sqrt(q.shape[-1])
        A = (q @ k.mT).softmax(-1)  # (size, heads, n, n)
        m = A @ v
        g = e + m.transpose(1, 2).flatten(2) @ self.W_o.T
        u = torch.tanh(g @ self.W_1.T + self.b_1)
        move = (g + u @ self.W_2.T) @ self.W_out.T

        # dmove_i/dg_i (size, n, 2, width), and by each head's m_i; de_i/dx_i transposed.
        N = self.W_out + (self.W_out @ self.W_2 * (1 - u * u).unsqueeze(2)) @ self.W_1
        E = (1 - e * e).unsqueeze(2) * self.W_in.T
        pairs, own = self._attention_jacobian(q, k, v, m, A, N, E)
        own = own + _inner(N.unsqueeze(3), E.unsqueeze(2)) + torch.eye(2).to(x)
        diagonal = torch.diag_embed(own.permute(0, 2, 3, 1)).permute(0, 3, 1, 4, 2)
        return x + move.flatten(1), (pairs + diagonal).flatten(3).flatten(1, 2)

    def _attention_jacobian(
        self, q: Tensor, k: Tensor, v: Tensor, m: Tensor, A: Tensor, N: Tensor, E: Tensor
    ) -> tuple[Tensor, Tensor]:
        """What the move owes to m_i (j's value and key), and to i's own query.

        Args:
            q, k, v, m: (size, heads, n, width / heads) queries over the root of their length,
                keys, values, and their means under A.
            A: (size, heads, n, n) attention.
            N: (size, n, 2, width) the move by g.
            E: (size, n, 2, width) the transpose of e by x.

        Returns:
            (size, n, 2, n, 2) and (size, n, 2, 2).
        """
        size, heads, n, _ = q.shape
        P = self._split(N @ self.W_o)  # (size, heads, n, 2, width / heads)
        Q, K, V = (self._split(E @ W.T) for W in (self.W_q, self.W_k, self.W_v))
        rows = P.flatten(2, 3)  # (size, heads, 2n, width / heads)
        value = (rows @ V.flatten(2, 3).mT).view(size, heads, n, 2, n, 2)
        # An electron j that gets more attention moves m_i by what its value has in excess of m_i.
        excess = (rows @ v.mT).unflatten(2, (n, 2)) - _inner(P, m.unsqueeze(3)).unsqueeze(4)
        excess = excess * A.unsqueeze(3)  # (size, heads, n, 2, n)
        key = (q @ K.flatten(2, 3).mT).view(size, heads, n, 1, n, 2)
        pairs = A.view(size, heads, n, 1, n, 1) * value + excess.unsqueeze(5) * key
        query = (excess.flatten(2, 3) @ k).unflatten(
            2, (n, 2)
        )  # (size, heads, n, 2, width / heads)
        own = _inner(query.unsqueeze(4), Q.unsqueeze(3)).sum(1) / math.sqrt(q.shape[-1])
        return pairs.sum(1), own

    def _split(self, t: Tensor) -> Tensor:
        """Each head's channels apart.  (size, n, ..., width) -> (size, heads, n, ..., part)."""
        return t.unflatten(-1, (self.heads, -1)).movedim(-2, 1)


def _inner(a: Tensor, b: Tensor) -> Tensor:
    """Inner products over the last axis; for short ones faster than a batched product."""
    return (a * b).sum(-1)


def impossible(n: int, options: Mapping[str, Any]) -> str:
    """Why no flow of n electrons has these options; empty if one has. Known to the plan."""
    hidden, least = options["hidden"], 2 * n
    if hidden and min(hidden) < least:  # the determinant would vanish
        return f"hidden is {hidden}, but for {n} electrons use widths of at least {least}"
    width, heads = options["width"], options["heads"]
    if width % heads:
        return f"heads is {heads}, no divisor of width, which is {width}"
    return ""


build = Transformer
