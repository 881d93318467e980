"""Networks of sentences: an encoder, and decoders whose output at a word sees the words before it and a context.

Sentences are words 0..V-1, (..., T), that end with their first word 0. A decoder is called with them and with its context; to
draw a sentence word by word, ``read(context)`` is called once and ``next_word(words, memory)`` at each word.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from pyrovae.distributions.sentences import sentence_lengths
from pyrovae.errors import OptionError
from pyrovae.nets.recurrent import Recurrent, lstm_states

__all__ = ["AttentionDecoder", "PointerNetwork", "SentenceEncoder", "SentenceFeatures", "TextDecoder", "WordDecoder"]

LOG_ZERO = -1e9  # of what has no weight: 0 after a softmax
TINY = 1e-30  # what a logarithm sees of a probability of 0


class SentenceEncoder(nn.Module):
    """The states of a recurrent network at each word, both ways, and one vector of the sentence; nothing sees what follows 0.

    Args:
        num_words: V.
        embedding: size of a word's vector.
        hidden: size of the states, even: half of them forwards.

    >>> states, summary = SentenceEncoder(9, 4, 6)(torch.zeros(5, 7, dtype=torch.int64))
    >>> states.shape, summary.shape
    (torch.Size([5, 7, 6]), torch.Size([5, 6]))
    """

    def __init__(self, num_words: int, embedding: int, hidden: int) -> None:
        super().__init__()
        self.embedding, half = nn.Embedding(num_words, embedding), -(-hidden // 2)
        self.forwards = Recurrent(embedding, half, "gru")
        self.backwards = Recurrent(embedding, half, "gru", backwards=True)
        self.out_features = 2 * half

    @staticmethod
    def here(words: Tensor) -> Tensor:
        """Which words are of the sentence, (..., T): its first word 0 is the last."""
        return torch.arange(words.shape[-1], device=words.device) < sentence_lengths(words).unsqueeze(-1)

    def forward(self, words: Tensor) -> tuple[Tensor, Tensor]:
        """States, (..., T, hidden), and the last ones of both ways, (..., hidden)."""
        lead, flat = words.shape[:-1], words.reshape(-1, words.shape[-1])
        lengths = sentence_lengths(flat)
        vectors = self.embedding(flat)
        there, back = self.forwards(vectors, lengths), self.backwards(vectors, lengths)
        last = (lengths - 1).reshape(-1, 1, 1).expand(-1, 1, there.shape[-1])
        summary = torch.cat([there.gather(1, last).squeeze(1), back[:, 0]], -1)
        states = torch.cat([there, back], -1)
        return states.reshape(*lead, *states.shape[1:]), summary.reshape(*lead, summary.shape[-1])


class SentenceFeatures(nn.Module):
    """Words (..., T) to numbers of the whole sentence, (..., out), by the last states of a recurrent network of both ways.

    Args:
        encoder: the network.
        out_features: how many numbers.

    >>> SentenceFeatures(SentenceEncoder(9, 4, 6), 3)(torch.zeros(5, 7, dtype=torch.int64)).shape
    torch.Size([5, 3])
    """

    def __init__(self, encoder: SentenceEncoder, out_features: int) -> None:
        super().__init__()
        self.encoder, self.out = encoder, nn.Linear(encoder.out_features, out_features)

    def forward(self, words: Tensor) -> Tensor:
        """The output of the module, of the shape that its class states."""
        found: Tensor = self.out(self.encoder(words)[1])
        return found


class TextDecoder(nn.Module):
    """Base: words (..., T) and a context to logits (..., T, V), those of a word of the words before it alone.

    Attributes:
        step_dim: V.
    """

    def __init__(self, num_words: int, embedding: int, word_dropout: float) -> None:
        super().__init__()
        if not 0 <= word_dropout <= 1:
            raise OptionError(f"word_dropout is {word_dropout!r}; expected a share from 0 to 1.")
        self.step_dim, self.word_dropout = num_words, word_dropout
        self.embedding, self.first = nn.Embedding(num_words, embedding), nn.Parameter(torch.zeros(embedding))

    def before(self, words: Tensor) -> Tensor:
        """The vector of the word before each, (..., T, E), while training without those that word dropout hides."""
        before = self.embedding(words[..., :-1])
        if self.training and self.word_dropout:
            before = before * (torch.rand(before.shape[:-1], device=before.device) >= self.word_dropout).unsqueeze(-1)
        return torch.cat([self.first.expand(*before.shape[:-2], 1, -1), before], -2)

    def read(self, context: Any) -> Any:
        """What ``write`` needs of a context."""
        return context

    def write(self, words: Tensor, memory: Any) -> Tensor:
        """Logits of each word given those before it, (..., T, V)."""
        raise NotImplementedError

    def next_word(self, words: Tensor, memory: Any) -> Tensor:
        """Logits of the last word given those before it, (..., V); its own value changes nothing."""
        return self.write(words, memory)[..., -1, :]

    def forward(self, words: Tensor, context: Any = None) -> Tensor:
        """The output of the module, of the shape that its class states."""
        return self.write(words, self.read(context))


class _Decoder(TextDecoder):
    """Base: an LSTM of the words before, begun by a context, (..., start), beside another at each word, (..., beside)."""

    def __init__(self, num_words: int, embedding: int, hidden: int, start: int, beside: int, word_dropout: float) -> None:
        super().__init__(num_words, embedding, word_dropout)
        self.lstm = nn.LSTM(embedding + beside, hidden, batch_first=True)
        self.start = nn.Linear(start, hidden) if start else None

    def states(self, words: Tensor, start: Tensor | None = None, beside: Tensor | None = None) -> Tensor:
        """The states before each word, (..., T, hidden); those of a longer beginning are the same.

        Args:
            words: (..., T).
            start: (..., start), or None.
            beside: (..., 1 or T, beside), or None.
        """
        shapes = [() if start is None else start.shape[:-1], () if beside is None else beside.shape[:-2]]
        lead = torch.broadcast_shapes(words.shape[:-1], *shapes)
        before = self.before(words)
        steps = before.expand(*lead, *before.shape[-2:])
        if beside is not None:
            steps = torch.cat([steps, beside.expand(*lead, steps.shape[-2], -1)], -1)
        flat = steps.reshape(-1, *steps.shape[-2:])
        with torch.autocast(flat.device.type, enabled=False):
            weight = self.lstm.weight_hh_l0
            zeros = weight.new_zeros(1, flat.shape[0], weight.shape[1])
            h = zeros
            if self.start is not None and start is not None:
                h = self.start(start.to(weight.dtype)).tanh().expand(*lead, -1).reshape(zeros.shape)
            found = lstm_states(self.lstm, flat.to(weight.dtype), h, zeros)
        return found.reshape(*lead, *found.shape[1:])


class WordDecoder(_Decoder):
    """Words (..., T) and a context of numbers, (..., C), to logits (..., T, V), by an LSTM that sees the context.

    Args:
        num_words: V.
        embedding: size of a word's vector.
        hidden: size of the LSTM's state.
        context_dim: C, 0 for none.
        word_dropout: share of the words before that training hides from the network (zeros in place of their vectors).
        context_at: the 'start', where it makes the first state, the 'steps', beside each word, or 'both'.

    References: Bowman et al., Generating Sentences from a Continuous Space, 2016, Section 3.

    >>> WordDecoder(9, 4, 8, 3)(torch.zeros(5, 7, dtype=torch.int64), torch.zeros(6, 5, 3)).shape
    torch.Size([6, 5, 7, 9])
    """

    def __init__(
        self,
        num_words: int,
        embedding: int,
        hidden: int,
        context_dim: int = 0,
        word_dropout: float = 0.0,
        context_at: str = "both",
    ) -> None:
        start, beside = (context_dim if context_at in (place, "both") else 0 for place in ("start", "steps"))
        super().__init__(num_words, embedding, hidden, start, beside, word_dropout)
        self.beside, self.out = bool(beside), nn.Linear(hidden, num_words)

    def hidden(self, words: Tensor, memory: Tensor | None) -> Tensor:
        """The states before each word, (..., T, hidden)."""
        return self.states(words, memory, memory.unsqueeze(-2) if self.beside and memory is not None else None)

    def write(self, words: Tensor, memory: Tensor | None) -> Tensor:
        """Logits of each word given those before it, (..., T, V)."""
        logits: Tensor = self.out(self.hidden(words, memory))
        return logits

    def next_word(self, words: Tensor, memory: Tensor | None) -> Tensor:
        """Logits of the last word given those before it, (..., V)."""
        logits: Tensor = self.out(self.hidden(words, memory)[..., -1, :])
        return logits


def _whole(x: Tensor) -> Tensor:
    """x in float32 where it is of half precision, in which probabilities lose their sum."""
    return x.float() if x.element_size() < 4 else x


class _Attending(_Decoder):
    """Base: a decoder whose context is another sentence, (..., S) words, to whose words it attends.

    a_ti = softmax_i(v . tanh(W d_t + U e_i)),   d_t the state before word t, e_i the encoder's at word i
    """

    def __init__(self, num_words: int, embedding: int, hidden: int, encoder: SentenceEncoder) -> None:
        super().__init__(num_words, embedding, hidden, encoder.out_features, 0, 0.0)
        self.encoder = encoder
        self.of_state, self.of_word = nn.Linear(hidden, hidden), nn.Linear(encoder.out_features, hidden, bias=False)
        self.score = nn.Linear(hidden, 1, bias=False)

    def read(self, context: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The words, their states, what attention sees of them, and the vector of the sentence."""
        states, summary = self.encoder(context)
        return context, states, self.of_word(states), summary

    def attend(self, words: Tensor, memory: tuple[Tensor, Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """d, (..., T, hidden), and a, (..., T, S), which is 0 after the sentence's end."""
        others, _, keys, summary = memory
        d = self.states(words, summary)
        scores = self.score((self.of_state(d).unsqueeze(-2) + keys.unsqueeze(-3)).tanh()).squeeze(-1)
        return d, torch.where(self.encoder.here(others).unsqueeze(-2), _whole(scores), LOG_ZERO).softmax(-1)


class AttentionDecoder(_Attending):
    """Words (..., T) and another sentence, (..., S) words, to logits (..., T, V), by attention to that sentence's words.

    Args:
        num_words: V.
        embedding: size of a word's vector.
        hidden: size of the states.

    References: Miao and Blunsom, Language as a Latent Variable, 2016, Section 3.1.

    >>> AttentionDecoder(9, 4, 8)(torch.zeros(5, 7, dtype=torch.int64), torch.zeros(6, 5, 3, dtype=torch.int64)).shape
    torch.Size([6, 5, 7, 9])
    """

    def __init__(self, num_words: int, embedding: int, hidden: int) -> None:
        super().__init__(num_words, embedding, hidden, SentenceEncoder(num_words, embedding, hidden))
        self.join, self.out = nn.Linear(hidden + self.encoder.out_features, hidden), nn.Linear(hidden, num_words)

    def write(self, words: Tensor, memory: tuple[Tensor, Tensor, Tensor, Tensor]) -> Tensor:
        """Logits of each word given those before it, (..., T, V)."""
        d, weights = self.attend(words, memory)
        found = (weights @ _whole(memory[1])).to(d.dtype)
        logits: Tensor = self.out(self.join(torch.cat([d, found], -1)).tanh())
        return logits


class PointerNetwork(_Attending):
    """Words (..., T) and another sentence, (..., S) words, to log probabilities (..., T, V) of that sentence's own words.

        p(w) = g_t sum_{i: s_i = w} a_ti + (1 - g_t) softmax(W d_t)_w,   g_t = 1, or sigmoid(u . d_t) with the vocabulary

    A word that stands twice in the sentence has both weights; without the vocabulary other words have probability 0 (1e-30).

    Args:
        num_words: V.
        embedding: size of a word's vector.
        hidden: size of the states.
        vocabulary: whether words that are not in the sentence may be written.

    References: Miao and Blunsom, Language as a Latent Variable, 2016, Sections 3.1 and 3.3; Vinyals, Fortunato and Jaitly,
    Pointer Networks, 2015.

    >>> found = PointerNetwork(9, 4, 8)(torch.zeros(5, 7, dtype=torch.int64), torch.tensor([[2, 0, 0]] * 5))
    >>> round(float(found.exp()[..., [0, 2]].sum(-1).min().detach()), 4)
    1.0
    """

    def __init__(self, num_words: int, embedding: int, hidden: int, vocabulary: bool = False) -> None:
        super().__init__(num_words, embedding, hidden, SentenceEncoder(num_words, embedding, hidden))
        self.gate = nn.Linear(hidden, 1) if vocabulary else None
        self.words = nn.Linear(hidden, num_words) if vocabulary else None

    def write(self, words: Tensor, memory: tuple[Tensor, Tensor, Tensor, Tensor]) -> Tensor:
        """Logits of each word given those before it, (..., T, V)."""
        d, weights = self.attend(words, memory)
        names = torch.arange(self.step_dim, device=words.device)
        pointed = weights @ (memory[0].unsqueeze(-1) == names).to(weights.dtype)
        pointer = pointed.clamp_min(TINY).log()
        if self.gate is None or self.words is None:
            return pointer
        gate = _whole(self.gate(d))
        return torch.logaddexp(logsigmoid(gate) + pointer, logsigmoid(-gate) + _whole(self.words(d)).log_softmax(-1))
