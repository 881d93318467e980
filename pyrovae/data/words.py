"""Lines of text as numbers of words: how a line is cut, which words there are, and how numbers are said again.

Word 0 ends each sentence and fills its row, word 1 stands for all that training did not know.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyrovae.calls import public
from pyrovae.data.columns import Table, Text
from pyrovae.data.spec import END, TEXTS, DataSpec, KeySpec
from pyrovae.data.store import Arrays, Store
from pyrovae.errors import DataError

__all__ = ["UNKNOWN", "as_lines", "as_text", "cut_text", "read_words", "vocabulary", "word_numbers"]

UNKNOWN = "<unk>"
INSIDE = "##"  # begins a piece that goes on with a word, as WordPiece has it
LONGEST_LINE = 1_000  # words
SHOWN = 5  # unknown words in a message
log = logging.getLogger("pyrovae")


# ------------------------------------------------------------------------------------------------ lines to words
def cut_text(column: Text, text: str, labels: Sequence[str] = (), where: str = "data") -> list[list[str]]:
    """The words of each row; a row of a matrix is cut already.

    Args:
        column: lines, (N,), or words, (N, T), None where a row has ended.
        text: 'words' between spaces, 'characters', or 'subwords', pieces of words by :func:`piece_words`.
        labels: the pieces.
        where: begins the messages.
    """
    if column.values.ndim == 2:
        rows = [[str(word) for word in row if word is not None] for row in column.values]
    else:
        pieces = set(labels)
        rows = [_cut_line("" if line is None else str(line), text, pieces) for line in column.values]
    for number, row in enumerate(rows):
        if len(row) >= LONGEST_LINE:
            raise DataError(
                f"{where}: line {number + 1} has {len(row):,} words; expected fewer than {LONGEST_LINE:,}: a line is a "
                "sentence, so begin a new line at each."
            )
        if END in row:
            raise DataError(f"{where}: line {number + 1} has the word {END}, which ends each line by itself; take it out.")
    return rows


def _cut_line(line: str, text: str, pieces: Set[str]) -> list[str]:
    if text == "characters":
        return list(line.rstrip("\n"))
    if text == "words":
        return line.split()
    return [piece for word in line.split() for piece in piece_words(word, pieces)]


def piece_words(word: str, known: Set[str]) -> list[str]:
    """A word as the longest pieces that there are, from its beginning on; ``<unk>`` where there are none.

    References: Wu et al., Google's Neural Machine Translation System, 2016, Section 4.1.

    >>> piece_words("unseen", {"un", "##see", "##seen"})
    ['un', '##seen']
    """
    pieces, start = [], 0
    while start < len(word):
        before = INSIDE if start else ""
        end = next((end for end in range(len(word), start, -1) if before + word[start:end] in known), None)
        if end is None:
            return [UNKNOWN]
        pieces.append(before + word[start:end])
        start = end
    return pieces


def train_pieces(lines: Iterable[str], size: int | None, where: str) -> list[str]:
    """At most ``size`` pieces of the words of lines, by the library ``tokenizers``."""
    try:
        from tokenizers import Tokenizer, models, pre_tokenizers, trainers  # for subwords alone
    except ImportError as error:
        raise DataError(
            f"{where}: subwords need a library that finds them; install it: pip install tokenizers, or say 'tokens' for words."
        ) from error
    trained = Tokenizer(models.WordPiece(unk_token=UNKNOWN))
    trained.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    options = {} if size is None else {"vocab_size": size}
    trained.train_from_iterator(
        lines, trainers.WordPieceTrainer(special_tokens=[END, UNKNOWN], show_progress=False, **options)
    )
    found: dict[str, int] = trained.get_vocab()
    return sorted(found, key=found.__getitem__)


# ------------------------------------------------------------------------------------------------ words to numbers
def vocabulary(parts: Mapping[str, Text], told: str, size: int | None, where: str) -> KeySpec:
    """The words of the training part, the most frequent first, as a key of sentences, (T,), or of counts of words, (V,).

    Sentences have ``<eos>`` and ``<unk>`` before them, and room for the longest line of any part and its end.

    Args:
        parts: train, and perhaps valid and test.
        told: tokens, characters, subwords or count.
        size: the most words, ``<eos>`` and ``<unk>`` counted; None for all.
        where: begins the messages.

    Raises:
        DataError: fewer than two words, or a line that is too long.
    """
    text, train = TEXTS[told], parts["train"]
    labels: list[str] = []
    if text == "subwords":
        labels = train_pieces(["" if line is None else str(line) for line in train.values.ravel()], size, where)
    rows = {part: cut_text(column, text, labels, where) for part, column in parts.items()}
    own = [] if told == "count" else [END, UNKNOWN]
    if text != "subwords":
        counts = Counter(word for row in rows["train"] for word in row if word != UNKNOWN)
        frequent = sorted(counts, key=lambda word: (-counts[word], word))
        labels = [*own, *frequent[: None if size is None else max(0, size - len(own))]]
    if len(labels) - len(own) < 2:
        words = ", ".join(map(repr, labels[len(own) :])) or "none"
        raise DataError(f"{where} has {len(labels) - len(own)} word(s) to learn from ({words}); expected two at least.")
    if told == "count":
        return KeySpec((len(labels),), "count", labels=tuple(labels), text=text)
    steps = 1 + max(len(row) for several in rows.values() for row in several)
    return KeySpec((steps,), "tokens", size=len(labels), labels=tuple(labels), text=text)


def word_numbers(column: Text, known: KeySpec, where: str, level: int = logging.WARNING) -> Tensor:
    """Lines as numbers of words, (N, T), each ended and filled by 0, or as counts of words, (N, V).

    Words that are not known become ``<unk>``, or are not counted, and are said at this level of the log.

    Raises:
        DataError: a line that has no room, or a word without a number where there is no ``<unk>``.
    """
    numbers = {word: number for number, word in enumerate(known.labels or ())}
    rows = cut_text(column, known.text or "words", known.labels or (), where)
    unknown = Counter(word for row in rows for word in row if word not in numbers)
    if known.text == "subwords" and (lost := sum(row.count(UNKNOWN) for row in rows)):
        unknown[UNKNOWN] = lost
    if known.kind == "tokens" and unknown and UNKNOWN not in numbers:
        raise DataError(
            f"{where}: {_listed(unknown)} is none of the {len(numbers):,} words, of which none stands for what is not known; "
            "take it out."
        )
    if count := sum(unknown.values()):
        total, become = sum(map(len, rows)), "are not counted" if known.kind == "count" else f"become {UNKNOWN}"
        said = where, f"{count:,}", f"{total:,}", 100 * count / total, become, _listed(unknown)
        log.log(level, "%s: %s of %s words (%.1f%%) are not known and %s: %s.", *said)
    return torch.from_numpy((_counts if known.kind == "count" else _sentences)(rows, numbers, known.shape[-1], where))


def _counts(rows: list[list[str]], numbers: Mapping[str, int], num_words: int, where: str) -> np.ndarray:
    found = np.zeros((len(rows), num_words), np.int64)
    for number, row in enumerate(rows):
        np.add.at(found[number], [numbers[word] for word in row if word in numbers], 1)
    return found


def _sentences(rows: list[list[str]], numbers: Mapping[str, int], steps: int, where: str) -> np.ndarray:
    found = np.zeros((len(rows), steps), np.int64)
    for number, row in enumerate(rows):
        if len(row) >= steps:
            raise DataError(
                f"{where}: line {number + 1} has {len(row)} words, and there is room for {steps - 1} and the end: cut it, or "
                "leave it out."
            )
        found[number, : len(row)] = [numbers.get(word, 1) for word in row]
    return found


def _listed(words: Counter[str]) -> str:
    first = ", ".join(word for word, _ in words.most_common(SHOWN))
    return first + (", ..." if len(words) > SHOWN else "")


# ------------------------------------------------------------------------------------------------ keys of text
def as_lines(column: Any) -> Text | None:
    """The lines of a key, which may be the one column of a table; None of all else."""
    if isinstance(column, Table) and len(column.columns) == 1:
        (column,) = column.columns.values()
    return column if isinstance(column, Text) else None


def text_keys(stores: Iterable[Any], kinds: Mapping[str, Any], like: DataSpec | None) -> dict[str, Any]:
    """The keys that are read as text: what is told of each, or the key of ``like`` that it is read as."""
    found: dict[str, Any] = {}
    for store in stores:
        for key, column in store.columns.items() if isinstance(store, Arrays) else ():
            lines = as_lines(column)
            inner = list(column.columns) if isinstance(column, Table) else []
            told = next((kinds[name] for name in (key, *inner) if name in kinds), None)
            known = None if like is None else like.keys.get(key)
            if lines is None or (known is not None and known.text is None and told is None):
                continue
            if known is not None and (told is None or TEXTS.get(told.kind) == known.text):
                found[key] = known
            elif told is not None and told.kind in TEXTS:
                found[key] = told
            elif told is None and lines.values.ndim == 2 and key != "y":
                found[key] = None
    return found


def read_words(
    parts: Mapping[str, Store], keys: Mapping[str, Any], main: str, where: str, known: bool = False
) -> tuple[dict[str, Store], dict[str, KeySpec]]:
    """The parts with their text as numbers, and what the keys then are; ``lengths`` are beside the main one.

    Args:
        parts: train, and perhaps valid and test.
        keys: as of :func:`text_keys`.
        main: the key whose lengths are a key, too, each end counted.
        where: begins the messages.
        known: whether what is not known needs no saying, as of a named set.
    """
    made: dict[str, Store] = dict(parts)
    specs: dict[str, KeySpec] = {}
    for key, told in keys.items():
        texts = {part: as_lines(store.columns[key]) for part, store in parts.items()}
        spec = told
        if not isinstance(told, KeySpec):
            kind, size = ("tokens", None) if told is None else (told.kind, told.size)
            spec = vocabulary(texts, kind, size, f"{where}, {key}")
        specs[key] = spec
        for part, column in texts.items():
            level = logging.INFO if known or part == "train" else logging.WARNING
            level = logging.DEBUG if spec is told and part != "test" else level  # said when the vocabulary was made
            numbers = word_numbers(column, spec, f"{where} ({part}), {key}", level)
            columns = {**made[part].columns, key: numbers}
            if key == main and spec.kind == "tokens" and "lengths" not in columns:
                columns["lengths"] = (numbers != 0).sum(-1) + 1
            made[part] = Arrays(columns, made[part].device)
    return made, specs


# ------------------------------------------------------------------------------------------------ numbers to lines
JOINED: dict[str | None, Callable[[list[str]], str]] = {
    "characters": "".join,
    "subwords": lambda words: " ".join(words).replace(f" {INSIDE}", ""),
}


@public()
def as_text(words: Tensor, spec: Any) -> list[str]:
    """Sentences that numbers of words stand for, each up to its end.

    Args:
        words: (N, T) of 0..V-1, or dialogues (N, n, T), whose utterances are told apart by `` | ``.
        spec: of the data, ``run.data.spec``, or of their key.

    Raises:
        DataError: the key's words have no names.

    >>> key = KeySpec((4,), "tokens", size=3, labels=("<eos>", "the", "cat"), text="words")
    >>> as_text(torch.tensor([[1, 2, 0, 0], [0, 0, 0, 0]]), key)
    ['the cat', '']
    """
    known: KeySpec = spec if isinstance(spec, KeySpec) else spec.keys[spec.main]
    if known.kind != "tokens" or known.labels is None:
        raise DataError(f"the key is of kind {known.kind} and its words have no names; expected tokens with labels.")
    if words.dim() == 3:
        return [" | ".join(text for text in as_text(each, known) if text) for each in words]
    join = JOINED.get(known.text, " ".join)
    lines = []
    for row in words.tolist():
        end = row.index(0) if known.labels[0] == END and 0 in row else len(row)
        lines.append(join([str(known.labels[word]) for word in row[:end]]))
    return lines
