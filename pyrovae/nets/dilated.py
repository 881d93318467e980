"""A decoder of text that sees a few words back: dilated convolutions of the words before."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, relu

from pyrovae.nets.words import TextDecoder

__all__ = ["DilatedDecoder"]

KERNEL = 3  # words that a convolution sees


class _Block(nn.Module):
    """h + W_3 f(C f(W_1 f(h))), C a dilated convolution of this position and those before, f = relu; (N, channels, T)."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.reach = (KERNEL - 1) * dilation
        self.reduce, self.expand = nn.Conv1d(channels, channels // 2, 1), nn.Conv1d(channels // 2, channels, 1)
        self.dilated = nn.Conv1d(channels // 2, channels // 2, KERNEL, dilation=dilation)

    def forward(self, h: Tensor) -> Tensor:
        """The output of the module, of the shape that its class states."""
        inner = pad(relu(self.reduce(relu(h))), (self.reach, 0))
        found: Tensor = h + self.expand(relu(self.dilated(inner)))
        return found


class DilatedDecoder(TextDecoder):
    """Words (..., T) and a context, (..., C), to logits (..., T, V), by residual blocks of dilated convolutions.

    A word is given the context and the ``receptive_field`` words before it, 1 + 2 sum_i dilation_i of them, and no other.

    Args:
        num_words: V.
        embedding: size of a word's vector.
        channels: of the blocks, at least 2.
        dilations: one a block.
        context_dim: C, 0 for none; the context is beside the words at every position.
        word_dropout: share of the words before that training hides from the network.

    References: Yang et al., Improved Variational Autoencoders for Text Modeling using Dilated Convolutions, 2017.

    >>> net = DilatedDecoder(9, 4, 8, [1, 2, 4], 3)
    >>> net(torch.zeros(5, 7, dtype=torch.int64), torch.zeros(6, 5, 3)).shape, net.receptive_field
    (torch.Size([6, 5, 7, 9]), 15)
    """

    def __init__(
        self,
        num_words: int,
        embedding: int,
        channels: int,
        dilations: Sequence[int],
        context_dim: int = 0,
        word_dropout: float = 0.0,
    ) -> None:
        super().__init__(num_words, embedding, word_dropout)
        self.receptive_field = 1 + (KERNEL - 1) * sum(dilations)
        self.join = nn.Conv1d(embedding + context_dim, channels, 1)
        self.blocks = nn.Sequential(*(_Block(channels, dilation) for dilation in dilations))
        self.out = nn.Linear(channels, num_words)

    def features(self, words: Tensor, memory: Tensor | None, last: int | None = None) -> Tensor:
        """What the logits are made of, (..., T, channels), or of as many of the last positions."""
        steps = self.before(words)
        steps = steps if last is None else steps[..., -last:, :]
        if memory is not None:
            lead = torch.broadcast_shapes(steps.shape[:-2], memory.shape[:-1])
            beside = memory.unsqueeze(-2).expand(*lead, steps.shape[-2], -1)
            steps = torch.cat([steps.expand(*lead, -1, -1), beside.to(steps.dtype)], -1)
        flat = steps.reshape(-1, *steps.shape[-2:]).transpose(1, 2)
        found: Tensor = relu(self.blocks(self.join(flat))).transpose(1, 2)
        return found.reshape(*steps.shape[:-1], -1)

    def write(self, words: Tensor, memory: Tensor | None) -> Tensor:
        """Logits of each word given those before it, (..., T, V)."""
        logits: Tensor = self.out(self.features(words, memory))
        return logits

    def next_word(self, words: Tensor, memory: Tensor | None) -> Tensor:
        """Logits of the last word, (..., V), of the receptive field before it."""
        logits: Tensor = self.out(self.features(words, memory, self.receptive_field)[..., -1, :])
        return logits
