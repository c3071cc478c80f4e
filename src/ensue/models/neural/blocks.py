"""What attention networks are built of: attention over past or real steps, feed-forward layers, blocks of the two.

A module with a cache advances by one event: keys and values of the steps before lie in `[B, H, L, h]`, written at
`step mod L`, so that rows at different steps share a batch and a cache that is full forgets its oldest step.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ensue.dropout import Dropout
from ensue.errors import ConfigError, nearest
from ensue.network import chosen

BLOCKS = ("pre-norm", "post-norm", "gated")
FEED_FORWARDS = ("gelu", "relu", "swiglu")
POSITIONS = ("learnt", "rotary")
SLOWEST = 10_000.0
"""The base of the rotary rates: the slowest pair turns once in about 2 pi times this many steps."""


def check_heads(model: str, width: int, heads: int, rotary: bool = False) -> None:
    """Nothing, if the width can be shared out.

    Raises:
        ConfigError: heads do not divide it, or leave rotary positions an entry without a partner.
    """
    if heads < 1 or width % heads:
        raise ConfigError(f"{model}: {heads} heads do not divide a width of {width}.")
    if rotary and width // heads % 2:
        raise ConfigError(
            f"{model}: rotary positions turn pairs, and {width // heads} entries a head are odd."
        )


def check_choice(model: str, setting: str, value: str, known: tuple[str, ...]) -> None:
    """Nothing, if a setting has one of the values that there are.

    Raises:
        ConfigError: it has another.
    """
    if value not in known:
        raise ConfigError(
            f"{model}: {setting}='{value}' must be {' or '.join(known)}.{nearest(value, known)}"
        )


def rotated(x: Tensor, steps: Tensor | None = None) -> Tensor:
    """Queries or keys `[B, H, T, h]`, each pair of entries turned by an angle that grows with the step.

    The product of a query and a key turned so depends on how many steps lie between them, not on where they stand.

    Args:
        x: what is turned.
        steps: `[B, T]` where each step stands; None counts them from 0.

    References:
        Su et al., "RoFormer: enhanced transformer with rotary position embedding", arXiv:2104.09864, equation 34.
    """
    count, size = x.shape[-2:]
    rates = SLOWEST ** (torch.arange(0, size, 2, dtype=x.dtype, device=x.device) / -size)
    if steps is None:
        angle = torch.arange(count, dtype=x.dtype, device=x.device)[:, None] * rates
    else:
        angle = steps.to(x.dtype)[:, None, :, None] * rates
    cos, sin = angle.cos(), angle.sin()
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)


def written(cache: Tensor, entry: Tensor, steps: Tensor) -> Tensor:
    """The cache `[B, H, L, h]` with the entries `[B, H, h]` of one more step written where it belongs.

    Args:
        cache: of the steps before.
        entry: of this step.
        steps: `[B]` how many steps went before in each row.
    """
    here = torch.arange(cache.shape[2], device=cache.device) == steps[:, None] % cache.shape[2]
    return torch.where(here[:, None, :, None], entry[:, :, None], cache)


def events(items: Tensor, later: Tensor, n: int) -> Tensor:
    """`[B, 1]` how many events each row of a training batch has, those that are read as no item among them.

    Args:
        items: `[B, T]`, `n` for no item.
        later: `[B, T]` one step later, `n` where nothing is told.
        n: `N`.
    """
    step = torch.arange(1, items.shape[1] + 1, device=items.device)
    return torch.where((items != n) | (later != n), step, 0).amax(dim=1, keepdim=True)


class Attention(nn.Module):
    """Multi-head self-attention, causal unless it is told what each row may see: `[B, T, D]` to `[B, T, D]`.

    There is no dropout on the attention weights: it keeps the fused kernel from being used, and dropout on the
    sublayer's output regularises as well.
    """

    def __init__(self, width: int, heads: int, rotary: bool = False) -> None:
        super().__init__()
        self.heads, self.rotary = heads, rotary
        self.project = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, seen: Tensor | None = None, steps: Tensor | None = None) -> Tensor:
        """Softmax(Q K^T / sqrt(D / heads)) V over the steps up to each one, or over those that are seen.

        Args:
            x: inputs.
            seen: `[B, T]` bool, the steps that all steps of a row may attend to, before and after; at least one.
            steps: `[B, T]` where each step stands, for rotary positions; None counts them from 0.
        """
        b, t, d = x.shape
        flat = self.project(
            x.reshape(-1, d)
        )  # products of two dimensions take the bias along in an exported graph
        q, k, v = flat.view(b, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        if self.rotary:
            q, k = rotated(q, steps), rotated(k, steps)
        mask = None if seen is None else seen[:, None, None].expand(b, 1, t, t)  # graphs do not widen it
        mixed = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=seen is None)
        out: Tensor = self.out(mixed.transpose(1, 2).reshape(-1, d))
        return out.view(b, t, d)

    def at(self, x: Tensor, here: Tensor, asked: Tensor) -> Tensor:
        """`[B, S, D]` of causal attention, computed for some steps alone.

        Few steps ask, and many are asked: no keys and values are made of those. A query is turned into what it asks of
        the inputs themselves, `q (K x) = (q K) x`, and of the inputs that it mixes the value is taken once. The bias of
        the keys adds the same to all steps, so nothing to the softmax. Rotary keys are turned, and have to be made.

        Args:
            x: `[B, T, D]` inputs.
            here: `[B, S, D]` those of the steps that are asked for.
            asked: `[B, S]` which steps they are.
        """
        b, t, d = x.shape
        heads, size = self.heads, d // self.heads
        own, key, value = self.project.weight.split([d, d, d])
        bias, key_bias, value_bias = self.project.bias.split([d, d, d])
        q = nn.functional.linear(here, own, bias).view(b, -1, heads, size).transpose(1, 2)
        if self.rotary:
            keys = nn.functional.linear(x, key, key_bias).view(b, t, heads, size).transpose(1, 2)
            asking = rotated(q, asked) @ rotated(keys).transpose(2, 3)
        else:
            turned = (q @ key.view(heads, size, d)).flatten(1, 2)
            asking = (turned @ x.transpose(1, 2)).view(b, heads, -1, t)
        hidden = torch.arange(t, device=x.device) > asked[:, None, :, None]
        shares = (asking * size**-0.5).masked_fill(hidden, -torch.inf).softmax(dim=-1)
        inputs = (shares.flatten(1, 2) @ x).view(b, heads, -1, d)
        mixed = (inputs @ value.view(heads, size, d).transpose(1, 2)).transpose(1, 2).flatten(2)
        out: Tensor = self.out(mixed + value_bias)
        return out

    def step(self, x: Tensor, keys: Tensor, values: Tensor, steps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """`[B, D]` of one more step, with the caches that hold it too.

        Args:
            x: `[B, D]` its input.
            keys: `[B, H, L, h]` of the steps before.
            values: `[B, H, L, h]` of the steps before.
            steps: `[B]` how many they are.
        """
        b, d = x.shape
        q, k, v = self.project(x).view(b, 3, self.heads, d // self.heads)[..., None, :].unbind(1)
        if self.rotary:
            q, k = rotated(q, steps[:, None]), rotated(k, steps[:, None])
        keys, values = written(keys, k[:, :, 0], steps), written(values, v[:, :, 0], steps)
        seen = torch.arange(keys.shape[2], device=x.device) <= steps[:, None]
        mixed = nn.functional.scaled_dot_product_attention(q, keys, values, attn_mask=seen[:, None, None])
        out: Tensor = self.out(mixed.reshape(b, d))
        return out, keys, values


class SwiGLU(nn.Module):
    """A feed-forward layer whose units are gated: `(SiLU(x W) * x V) U`, with the weights of an ungated one.

    Those of one that is so many times as wide inside, less its biases.

    References:
        Shazeer, "GLU variants improve Transformer", arXiv:2002.05202, equation 6; biases are left out there too.
    """

    def __init__(self, width: int, expansion: int = 4) -> None:
        super().__init__()
        hidden = -(-2 * expansion * width // 3)
        self.gate = nn.Linear(width, hidden, bias=False)
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """`[..., D]` to `[..., D]`."""
        out: Tensor = self.down(nn.functional.silu(self.gate(x)) * self.up(x))
        return out


def feed_forward_of(kind: str, width: int, expansion: int = 4) -> nn.Module:
    """A feed-forward layer, by its name in `FEED_FORWARDS`; `expansion` times as wide inside."""
    if kind == "swiglu":
        return SwiGLU(width, expansion)
    activation = nn.ReLU() if kind == "relu" else nn.GELU()
    inside = expansion * width
    return nn.Sequential(nn.Linear(width, inside), activation, nn.Linear(inside, width))


class Block(nn.Module):
    """Attention and a feed-forward layer, each added to what came in: `[B, T, D]` to `[B, T, D]`.

    With a sublayer F, dropout d and a layer norm n, an input x becomes x + d(F(n(x))) (pre-norm), n(x + d(F(x)))
    (post-norm), or x + sigmoid(W x + b) * d(F(n(x))) (gated).

    References:
        Pre-norm: Xiong et al., ICML 2020. Post-norm: Vaswani et al., "Attention is all you need", NeurIPS 2017,
        section 3.1. Gated: LiGR, in Borisyuk et al., "From features to Transformers: redefining ranking for
        scalable impact", arXiv:2502.03417.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        dropout: float,
        rotary: bool = False,
        kind: str = "pre-norm",
        feed_forward: str = "gelu",
        expansion: int = 4,
    ) -> None:
        super().__init__()
        self.after = kind == "post-norm"
        self.attention_norm, self.forward_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads, rotary)
        self.feed_forward = feed_forward_of(feed_forward, width, expansion)
        self.dropout = Dropout(dropout)
        gates = kind == "gated"
        self.attention_gate = nn.Linear(width, width) if gates else None
        self.forward_gate = nn.Linear(width, width) if gates else None

    def forward(self, x: Tensor, seen: Tensor | None = None, steps: Tensor | None = None) -> Tensor:
        """`[B, T, D]`; arguments as for the attention."""
        mixed = self.attention(self._before(x, self.attention_norm), seen, steps)
        return self._fed(self._joined(x, mixed, self.attention_norm, self.attention_gate))

    def at(self, x: Tensor, asked: Tensor) -> Tensor:
        """`[B, S, D]` of causal attention, for some steps `[B, S]` alone: what no later block asks for is left out."""
        normed = self._before(x, self.attention_norm)
        mixed = self.attention.at(normed, chosen(normed, asked), asked)
        return self._fed(self._joined(chosen(x, asked), mixed, self.attention_norm, self.attention_gate))

    def step(self, x: Tensor, keys: Tensor, values: Tensor, steps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """`[B, D]` of one more step, with the caches that hold it too; arguments as for the attention."""
        mixed, keys, values = self.attention.step(self._before(x, self.attention_norm), keys, values, steps)
        return self._fed(self._joined(x, mixed, self.attention_norm, self.attention_gate)), keys, values

    def _fed(self, x: Tensor) -> Tensor:
        fed = self.feed_forward(self._before(x, self.forward_norm).flatten(0, -2))
        return self._joined(x, fed.view(x.shape), self.forward_norm, self.forward_gate)

    def _before(self, x: Tensor, norm: nn.Module) -> Tensor:
        out: Tensor = x if self.after else norm(x)
        return out

    def _joined(self, x: Tensor, sublayer: Tensor, norm: nn.Module, gate: nn.Module | None) -> Tensor:
        added = self.dropout(sublayer)
        if gate is not None:
            added = torch.sigmoid(gate(x)) * added
        out: Tensor = norm(x + added) if self.after else x + added
        return out
