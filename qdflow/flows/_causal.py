"""Transformer blocks that look back only, at all tokens at once or one more with a cache."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from qdflow.flows._dense import truncated_normal


class Past(NamedTuple):
    """Keys and values (size, heads, tokens, width / heads) of the tokens so far."""

    k: Tensor
    v: Tensor


class Block(nn.Module):
    """Attention with relative features, then an MLP, both added to the tokens.

    Vaswani et al., Attention is all you need (2017), with what token i knows of token j beyond
    their contents, pair features f_ij, in the logits and in the values: Shaw et al.,
    Self-attention with relative position representations (2018), eqs. 3 and 4.
    """

    def __init__(self, width: int, heads: int, pair: int, generator: torch.Generator) -> None:
        """For tokens of this width and ``pair`` features of a pair."""
        super().__init__()
        self.heads = heads
        self.before_attention, self.before_mlp = (nn.LayerNorm(width).double() for _ in range(2))
        self.qkv = linear(width, 3 * width, generator)
        self.bias = linear(pair, heads, generator)
        self.relative = linear(heads * pair, width, generator)
        self.out = linear(width, width, generator, gain=0.3)
        self.up = linear(width, 2 * width, generator)
        self.down = linear(2 * width, width, generator, gain=0.3)

    def forward(self, h: Tensor, f: Tensor, past: Past | None = None) -> tuple[Tensor, Past]:
        """The last tokens, each after a look at those up to itself.

        Args:
            h: (size, q, width) the last q tokens.
            f: (size, q, tokens, pair) what each knows of all tokens, of which it is the last ones.
            past: of the tokens before them.

        Returns:
            (size, q, width), and the past with them in it.
        """
        q, k, v = self.qkv(self.before_attention(h)).unflatten(-1, (3, self.heads, -1)).unbind(2)
        q, k, v = (t.transpose(1, 2) for t in (q, k, v))  # (size, heads, q, part)
        if past is not None:
            k, v = torch.cat([past.k, k], 2), torch.cat([past.v, v], 2)
        logits = q @ k.mT / math.sqrt(q.shape[-1]) + self.bias(f).movedim(-1, 1)
        rows, tokens = logits.shape[-2:]
        later = torch.ones(rows, tokens, dtype=torch.bool, device=h.device).triu(tokens - rows + 1)
        A = logits.masked_fill(later, -torch.inf).softmax(-1)
        about = A.transpose(1, 2) @ f  # (size, q, heads, pair)
        h = h + self.out((A @ v).transpose(1, 2).flatten(2)) + self.relative(about.flatten(2))
        return h + self.down(nn.functional.gelu(self.up(self.before_mlp(h)))), Past(k, v)


def linear(inputs: int, outputs: int, generator: torch.Generator, gain: float = 1.0) -> nn.Linear:
    """x -> W x + b in float64, W with variance gain^2 / inputs, b = 0."""
    layer = nn.Linear(inputs, outputs, dtype=torch.float64, device="meta").to_empty(device="cpu")
    layer.weight = truncated_normal((outputs, inputs), gain * inputs**-0.5, generator)
    nn.init.zeros_(layer.bias)
    return layer
