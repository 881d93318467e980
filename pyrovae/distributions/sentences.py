"""Sentences that end: words one after another up to an end, of which a row's padding is made too."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.nn.functional import cross_entropy

from pyrovae.distributions.autoregressive import AutoregressiveCategorical

__all__ = ["Sentences", "sentence_lengths"]

ENDS = 0  # the word that ends a sentence
MOST_BYTES = 2**27  # of logits at once, of which a few copies are made


def sentence_lengths(words: Tensor) -> Tensor:
    """How many words of each sentence count, (..., T) to (...): up to its first word 0 and with it, or all T.

    >>> sentence_lengths(torch.tensor([[3, 0, 5], [0, 0, 0], [2, 2, 2]]))
    tensor([2, 1, 3])
    """
    ends = words == ENDS
    counts: Tensor = (ends.cumsum(-1) - ends.long() == 0).sum(-1)
    return counts


class Sentences(AutoregressiveCategorical):
    """Words x, (T,) of 0..V-1, each given those before; word 0 ends them, and whatever follows it scores nothing.

        log p(x | c) = sum_{t <= n} log softmax(f_t(x_1, ..., x_t-1, c))[x_t],   x_n the first 0, or n = T

    The sentences of at most T words are a set whose probabilities sum to one. ``log_prob`` in nats, (*batch_shape); draws are
    filled up with 0.

    Args:
        network: (..., T) words and a context to logits (..., T, V) that see the words before each:
            :class:`~pyrovae.nets.WordDecoder`, ``AttentionDecoder`` or ``PointerNetwork``.
        shape: (T,).
        context: c of each datum, (*batch_shape, C): numbers, or the words of another sentence.

    >>> from pyrovae.nets import WordDecoder
    >>> fn = Sentences(WordDecoder(3, 4, 4), (2,))
    >>> strings = torch.tensor([[0, 0], [1, 0], [1, 1], [1, 2], [2, 0], [2, 1], [2, 2]])
    >>> round(float(fn.log_prob(strings).exp().sum().detach()), 4)
    1.0
    """

    def __init__(
        self, network: Any, shape: Sequence[int], context: Tensor | None = None, validate_args: bool | None = None
    ) -> None:
        super().__init__(network, shape, context)

    def seen(self, steps: Tensor) -> Tensor:
        """Words as they are."""
        return steps

    def expand(self, batch_shape: torch.Size, _instance: TorchDistribution | None = None) -> TorchDistribution:
        """The same distribution with this batch shape; the context stays as it is, and is read once for all particles."""
        new = self._get_checked_instance(type(self), _instance)
        Sentences.__init__(new, self.network, self.event_shape, self.context)
        new._batch_shape = torch.Size(batch_shape)
        expanded: TorchDistribution = new
        return expanded

    def log_prob(self, value: Tensor) -> Tensor:
        """log p(x), in nats, (*batch_shape); without gradients a few particles at a time, so that memory has a bound."""
        words, context = self._steps(value), self.context
        if torch.is_grad_enabled() or context is None or context.dim() < 3 or context.dim() - 1 < words.dim() - 1:
            total = self._scores(words, context)
        else:
            row = context.shape[1:-1].numel() * self.num_steps * self.num_names * context.element_size()
            parts = context.split(max(1, MOST_BYTES // max(1, row)))
            alike = words.dim() == context.dim() and len(words) == len(context)
            own = words.split([len(part) for part in parts]) if alike else [words] * len(parts)
            total = torch.cat([self._scores(some, part) for some, part in zip(own, parts, strict=True)])
        return total.expand(torch.broadcast_shapes(total.shape, self.batch_shape))

    def _scores(self, words: Tensor, context: Any) -> Tensor:
        logits = self.network(words, context)
        targets = words.expand(logits.shape[:-1])
        scores = -cross_entropy(logits.flatten(0, -2), targets.flatten(), reduction="none").view(targets.shape)
        here = torch.arange(self.num_steps, device=words.device) < sentence_lengths(words).unsqueeze(-1)
        return torch.where(here, scores, scores.new_zeros(())).sum(-1)

    @torch.no_grad()
    def sample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008 - Pyro's signature
        """Draws, (*sample_shape, *batch_shape, T), word by word."""
        return self._written(sample_shape, lambda logits: self.of_step(logits).sample())

    @property
    def mean(self) -> Tensor:
        """NaN, (*batch_shape, T): between words there is nothing."""
        like = next(self.network.parameters())
        return like.new_full((*self.batch_shape, self.num_steps), torch.nan)

    @property
    @torch.no_grad()
    def mode(self) -> Tensor:
        """The most probable word at each step given those chosen before, (*batch_shape, T): not always the best sentence."""
        return self._written(torch.Size(), lambda logits: logits.argmax(-1))

    def _written(self, sample_shape: torch.Size, choose: Callable[[Tensor], Tensor]) -> Tensor:
        lead = torch.Size([*sample_shape, *self.batch_shape])
        words = torch.zeros(*lead, self.num_steps, dtype=torch.int64, device=next(self.network.parameters()).device)
        memory = self.network.read(self.context)
        ended = torch.zeros(lead, dtype=torch.bool, device=words.device)
        for t in range(self.num_steps):
            chosen = choose(self.network.next_word(words[..., : t + 1], memory))
            words[..., t] = torch.where(ended, ENDS, chosen)
            ended = ended | (words[..., t] == ENDS)
        return words
