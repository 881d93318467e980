"""What a report says in words: sentences of a pair of text, words of its topics."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import torch

from pyrovae import generate
from pyrovae.core.inference import device_of, private_random
from pyrovae.data import DataSpec, Split, as_text
from pyrovae.errors import ContractError, DataError, OptionError
from pyrovae.evaluation import top_words
from pyrovae.generate.reconstruction import shown_values

__all__ = ["has_text", "texts_of"]

SEED = 0
NUM_SAMPLES, NUM_RECONSTRUCTIONS, NUM_STEPS, NUM_WORDS = 16, 8, 7, 10


def has_text(spec: DataSpec) -> bool:
    """Whether x is words with names."""
    return spec.kind == "tokens" and spec.keys[spec.main].labels is not None


def texts_of(run: Any) -> list[tuple[str, list[str]]]:
    """Caption and lines of what applies to the pair; drawn with random numbers of their own."""
    spec = run.data.spec
    parts: list[tuple[str, Callable[[], list[str]]]] = []
    if has_text(spec):
        rows = _rows(run)
        parts = [
            ("Draws of x.", lambda: as_text(generate.sample(run, NUM_SAMPLES)[spec.main], spec)),
            ("Data, and the most probable words at each step given a draw of q(z | x).", lambda: _reconstructions(run, rows)),
            ("Between the posterior means of two data.", lambda: _between(run, rows)),
        ]
    elif spec.keys[spec.main].labels is not None and spec.kind == "count":
        parts = [("The words that there are most of in each topic, or for each latent dimension.", lambda: _topics(run))]
    found = []
    with private_random(SEED, device_of(run.model, run.guide)):
        for caption, say in parts:
            with suppress(ContractError, OptionError, DataError):  # what does not apply is left out
                found.append((caption, say()))
    return found


def _rows(run: Any) -> dict[str, torch.Tensor]:
    part = next(p for p in (run.data.test, run.data.valid, run.data.train) if p is not None)
    if not isinstance(part, Split):
        return dict(next(iter(part.batches(NUM_RECONSTRUCTIONS))))
    chosen = torch.randperm(len(part), generator=torch.Generator().manual_seed(SEED))[:NUM_RECONSTRUCTIONS]
    batch: dict[str, torch.Tensor] = part[chosen]
    return batch


def _reconstructions(run: Any, rows: dict[str, torch.Tensor]) -> list[str]:
    given, made = shown_values(run.pair, rows), generate.reconstruct(run, rows)
    both = zip(as_text(given, run.data.spec), as_text(made, run.data.spec), strict=True)
    return [line for one, other in both for line in (one, f"  \N{RIGHTWARDS ARROW} {other}")]


def _between(run: Any, rows: dict[str, torch.Tensor]) -> list[str]:
    first, second = ({key: value[i : i + 1] for key, value in rows.items()} for i in range(2))
    return as_text(generate.interpolate(run, first, second, NUM_STEPS), run.data.spec)


def _topics(run: Any) -> list[str]:
    return [f"{number}: {', '.join(words)}" for number, words in enumerate(top_words(run, NUM_WORDS, run.data.spec), 1)]
