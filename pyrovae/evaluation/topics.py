"""Documents and sentences: perplexity by both of its definitions, and whether the first words of a topic occur together."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from pyrovae.calls import public
from pyrovae.core.pair import PairLike, as_pair, open_run
from pyrovae.data import DataSpec, Split
from pyrovae.distributions.sentences import sentence_lengths
from pyrovae.errors import ContractError, DataError, OptionError

__all__ = ["Perplexity", "npmi", "perplexity", "top_words", "unigram"]

ROWS = 1_000


@dataclass(frozen=True, repr=False)
class Perplexity:
    """exp of nats a word, by two definitions that papers mix.

        corpus    exp(-sum_d log p(words_d) / sum_d n_d)
        document  exp(-mean_d [log p(words_d) / n_d])

    Attributes:
        corpus: with totals over totals, and ``corpus_error``, its standard error over documents.
        document: with the mean of each document's own nats a word.
        num_words: sum_d n_d.
        ends: how many of them are the ends of sentences, which are scored and counted too; None of bags of words.
    """

    corpus: float
    corpus_error: float
    document: float
    num_words: int
    ends: int | None = None

    def to_json(self) -> dict[str, float]:
        """All figures as JSON."""
        told = {name: getattr(self, name) for name in ("corpus", "corpus_error", "document", "num_words")}
        return told if self.ends is None else {**told, "ends": self.ends}

    def __repr__(self) -> str:
        ends, each = ("", "document") if self.ends is None else (f" ({self.ends:,} of them ends)", "sentence")
        return (
            f"{self.corpus:.1f} +- {self.corpus_error:.1f} a word of {self.num_words:,}{ends}, "
            f"{self.document:.1f} by the mean of each {each}'s nats a word"
        )


@public()
def perplexity(log_p: Any, counts: Tensor) -> Perplexity:
    """Perplexity of documents; an upper bound on the model's where log p is a lower bound, as by importance sampling.

    Args:
        log_p: log p of each document's words, (N,), in nats; or an Evidence.
        counts: words of each, (N,), or of each word, (N, V).

    Raises:
        DataError: a document without a word, or other shapes.

    References: Miao, Yu and Blunsom, Neural Variational Inference for Text Processing, 2016, Section 5.1 (document).

    >>> round(perplexity(torch.tensor([-1.0, -4.0]), torch.tensor([1, 2])).document, 3)  # exp((1 + 2) / 2)
    4.482
    """
    value = torch.as_tensor(getattr(log_p, "value", log_p)).double()
    words = counts.double()
    words = words.sum(-1) if words.dim() == 2 else words
    if value.shape != words.shape or value.dim() != 1:
        raise DataError(
            f"log_p came with shape {tuple(value.shape)} and counts with {tuple(counts.shape)}; expected (N,), and N rows."
        )
    if bool((words <= 0).any()):
        raise DataError(f"document {int((words <= 0).nonzero()[0])} has no word; expected one at least in each: leave it out.")
    ratio = value.sum() / words.sum()
    error = (value - ratio * words).std() * math.sqrt(len(words)) / words.sum() if len(words) > 1 else torch.tensor(math.nan)
    corpus = math.exp(-ratio)
    return Perplexity(corpus, corpus * float(error), math.exp(-(value / words).mean()), int(words.sum()))


@public()
def unigram(train: Split, test: Split) -> Perplexity:
    """Perplexity of words drawn by their frequency in ``train``, one added to each: what every model must beat.

    Args:
        train: documents as counts, (V,) each, or sentences, (T,) words up to their end, which is counted.
        test: those that are scored; documents without a word are left out.
    """
    found: Tensor | float = 1.0
    for part in _counts(train):
        found = found + part.sum(0)
    assert isinstance(found, Tensor)
    log_p = (found / found.sum()).log()
    scored = [(part @ log_p, part.sum(-1)) for part in _counts(test)]
    values, words = (torch.cat(parts) for parts in zip(*scored, strict=True))
    return of_documents(values, words, num_ends(test))


def of_documents(log_p: Tensor, words: Tensor, ends: int | None = None) -> Perplexity:
    """Perplexity of those documents, (N,), that have words; the others have log p = 0, and count in neither definition."""
    some = words > 0
    return replace(perplexity(log_p.cpu()[some], words[some]), ends=ends)


def num_words(documents: Split) -> Tensor:
    """The words of each document, (N,), the ends of sentences counted."""
    main, text = documents.spec.main, documents.spec.kind == "tokens"
    parts = [documents[rows][main].cpu() for rows in _rows(documents)]
    return torch.cat([sentence_lengths(part) if text else part.sum(-1) for part in parts])


def num_ends(documents: Split) -> int | None:
    """How many sentences end; None of bags of words."""
    if documents.spec.kind != "tokens":
        return None
    return sum(int((documents[rows][documents.spec.main] == 0).any(-1).sum()) for rows in _rows(documents))


def _rows(documents: Split) -> Iterable[Tensor]:
    return torch.arange(len(documents)).split(ROWS)


def _counts(documents: Split | Tensor) -> Iterator[Tensor]:
    """Counts of so many documents at once, (n, V); of sentences up to their ends."""
    if isinstance(documents, Tensor):
        yield documents
        return
    known = documents.spec.keys[documents.spec.main]
    for rows in _rows(documents):
        values = documents[rows][documents.spec.main].cpu()
        if known.kind == "tokens":
            here = torch.arange(values.shape[-1]) < sentence_lengths(values).unsqueeze(-1)
            counts = torch.zeros(len(values), known.size or 0, dtype=torch.double)
            values = counts.scatter_add_(1, values, here.double())
        yield values.double()


@public()
def top_words(pair: PairLike, num: int = 10, spec: DataSpec | None = None) -> list[list[str]]:
    """The words of each topic, most of it first: K lists of ``num``.

    Args:
        pair: a Run, a run's folder, a Pair, or (model, guide), of a topic model: ``prod-lda``, ``lda-vae``, or one whose
            decoder has ``topics()``, (K, V); of ``nvdm`` the columns of R.
        num: of words.
        spec: of the data, whose labels are the words; by default the run's; without any, words are their numbers.

    Raises:
        ContractError: the model has no topics.
    """
    source = open_run(pair, with_data=spec is None)
    weights = topics_of(as_pair(source).model)
    known = spec or getattr(getattr(source, "data", None), "spec", None)
    labels = None if known is None else known.keys[known.main].labels
    if not 1 <= num <= weights.shape[1]:
        raise OptionError(f"num is {num}; expected 1 to {weights.shape[1]}, the words that there are.")
    first = weights.topk(num, 1).indices.tolist()
    return [[str(word if labels is None else labels[word]) for word in topic] for topic in first]


def topics_of(model: Any) -> Tensor:
    """(K, V), larger for a word that is more of the topic."""
    decoder = getattr(model, "decoder", None)
    if decoder is not None and hasattr(decoder, "topics"):
        weights: Tensor = decoder.topics().detach()
        return weights
    layers = list(getattr(decoder, "mlp", []))
    if len(layers) == 1 and isinstance(layers[0], torch.nn.Linear):
        return layers[0].weight.detach().T
    raise ContractError(
        f"model {type(model).__name__} has no topics; expected a decoder with topics(), (K, V), or one of one layer."
    )


@public()
def npmi(topics: Tensor, documents: Split | Tensor) -> Tensor:
    """Normalized pointwise mutual information of the words of each topic, (K,), mean over pairs, in [-1, 1].

        NPMI(v, w) = log(P(v, w) / P(v) P(w)) / -log P(v, w),   -1 where no document has both

    P are shares of documents that have the words.

    Args:
        topics: numbers of the first words of each topic, (K, n), n at least 2; or weights of all words, (K, V), of which the
            first ten are taken.
        documents: a Split of counts, or counts (N, V): of the test part, so that the words were not fitted to them.

    Raises:
        DataError: fewer words than two a topic.

    References: Lau, Newman and Baldwin, Machine Reading Tea Leaves, 2014, Section 3.3; Bouma, 2009, Eq. (6).

    >>> npmi(torch.tensor([[0, 1], [0, 2]]), torch.tensor([[1, 1, 0], [2, 1, 0], [0, 0, 1], [0, 0, 3]]))
    tensor([ 1., -1.])
    """
    words = topics.topk(10, 1).indices if topics.is_floating_point() else topics
    if words.dim() != 2 or words.shape[1] < 2:
        raise DataError(f"topics came with shape {tuple(topics.shape)}; expected (K, n), n words of each, two at least.")
    used, place = words.unique(return_inverse=True)
    joint, total = torch.zeros(len(used), len(used), dtype=torch.double), 0
    for part in _counts(documents):
        has = (part[:, used] > 0).double()
        joint, total = joint + has.T @ has, total + len(part)
    shares = joint / total
    single = shares.diagonal()
    both = shares[place.unsqueeze(2), place.unsqueeze(1)]
    apart = single[place].unsqueeze(2) * single[place].unsqueeze(1)
    score = torch.where(both > 0, (both / apart).log() / -both.log(), -1.0).nan_to_num(1.0, posinf=1.0)
    rows, columns = torch.triu_indices(words.shape[1], words.shape[1], 1)
    return score[:, rows, columns].mean(1).float()
