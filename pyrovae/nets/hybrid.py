"""A decoder of text of two parts: deconvolutions of the code, without words, and an LSTM of the words before upon them."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from pyrovae.nets.words import _Decoder

__all__ = ["Deconvolution", "HybridDecoder"]

FIRST_STEPS = 4  # positions that the code becomes first


class Deconvolution(nn.Module):
    """A code (..., C) to features of T positions, (..., T, channels), and by these alone to logits of words, (..., T, V).

    The logits see no other word. As a network of :class:`~pyrovae.distributions.Sentences` it takes words for their number.

    Args:
        context_dim: C.
        channels: of the deconvolutions, each of which doubles the number of positions.
        num_steps: T.
        num_words: V.

    References: Semeniuta, Severyn and Barth, A Hybrid Convolutional Variational Autoencoder for Text Generation, 2017.

    >>> net = Deconvolution(3, 8, 7, 9)
    >>> net.features(torch.zeros(5, 3)).shape, net(torch.zeros(5, 7, dtype=torch.int64), torch.zeros(5, 3)).shape
    (torch.Size([5, 7, 8]), torch.Size([5, 7, 9]))
    """

    def __init__(self, context_dim: int, channels: int, num_steps: int, num_words: int) -> None:
        super().__init__()
        self.step_dim, self.num_steps, self.channels = num_words, num_steps, channels
        self.first = nn.Linear(context_dim, channels * FIRST_STEPS)
        doublings = max(0, math.ceil(math.log2(num_steps / FIRST_STEPS)))
        self.layers = nn.ModuleList(nn.ConvTranspose1d(channels, channels, 4, 2, 1) for _ in range(doublings))
        self.out = nn.Linear(channels, num_words)

    def features(self, context: Tensor) -> Tensor:
        """The features, (..., T, channels)."""
        h = self.first(context.reshape(-1, context.shape[-1])).unflatten(1, (self.channels, FIRST_STEPS))
        for layer in self.layers:
            h = layer(relu(h))
        found = relu(h[..., : self.num_steps]).transpose(1, 2)
        return found.reshape(*context.shape[:-1], self.num_steps, self.channels)

    def read(self, context: Tensor) -> Tensor:
        """The logits, (..., T, V)."""
        logits: Tensor = self.out(self.features(context))
        return logits

    def next_word(self, words: Tensor, memory: Tensor) -> Tensor:
        """Logits of the last word, (..., V)."""
        return memory[..., words.shape[-1] - 1, :]

    def forward(self, words: Tensor, context: Tensor) -> Tensor:
        """The output of the module, of the shape that its class states."""
        logits = self.read(context)[..., : words.shape[-1], :]
        return logits.expand(*torch.broadcast_shapes(words.shape[:-1], logits.shape[:-2]), *logits.shape[-2:])


class HybridDecoder(_Decoder):
    """Words (..., T) and a code, (..., C), to logits (..., T, V), by an LSTM of the words before and of features of the code.

    Args:
        deconvolution: the code to features, and to logits of its own.
        embedding: size of a word's vector.
        hidden: size of the LSTM's state.
        word_dropout: share of the words before that training hides from the network.

    References: Semeniuta, Severyn and Barth, A Hybrid Convolutional Variational Autoencoder for Text Generation, 2017.

    >>> HybridDecoder(Deconvolution(3, 8, 7, 9), 4, 8)(torch.zeros(5, 7, dtype=torch.int64), torch.zeros(6, 5, 3)).shape
    torch.Size([6, 5, 7, 9])
    """

    def __init__(self, deconvolution: Deconvolution, embedding: int, hidden: int, word_dropout: float = 0.0) -> None:
        super().__init__(deconvolution.step_dim, embedding, hidden, 0, deconvolution.channels, word_dropout)
        self.deconvolution, self.out = deconvolution, nn.Linear(hidden, deconvolution.step_dim)

    def read(self, context: Any) -> Tensor:
        """The features of the code, (..., T, channels)."""
        return self.deconvolution.features(context)

    def write(self, words: Tensor, memory: Tensor) -> Tensor:
        """Logits of each word given those before it, (..., T, V)."""
        logits: Tensor = self.out(self.states(words, beside=memory[..., : words.shape[-1], :]))
        return logits

    def next_word(self, words: Tensor, memory: Tensor) -> Tensor:
        """Logits of the last word given those before it, (..., V)."""
        logits: Tensor = self.out(self.states(words, beside=memory[..., : words.shape[-1], :])[..., -1, :])
        return logits
