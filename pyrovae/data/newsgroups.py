"""20 Newsgroups as bags of words."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from pyrovae.data.files import read_npz
from pyrovae.data.remote import find
from pyrovae.errors import DataError

__all__ = ["news_words", "read_news"]

FILE = "20news-1995.npz"


def read_news(root: str | Path | None) -> dict[str, dict[str, Any]]:
    """Counts x (N, 1995) of 11,258 and 7,487 documents, sparse, split by date; valid is the last tenth of train."""
    path, arrays = _read(root)
    rows = {part: _counts(path, arrays, part) for part in ("train", "test")}
    cut = rows["train"].shape[0] - rows["train"].shape[0] // 10
    return {"train": {"x": rows["train"][:cut]}, "valid": {"x": rows["train"][cut:]}, "test": {"x": rows["test"]}}


def news_words(root: str | Path | None) -> tuple[str, ...]:
    """The 1,995 words that are counted."""
    return tuple(map(str, _read(root)[1]["vocabulary"]))


def _read(root: str | Path | None) -> tuple[Path, Mapping[str, np.ndarray]]:
    path = find("20News", (FILE,), root)
    arrays = read_npz(path, map_members=False)
    wanted = [f"{part}_{name}" for part in ("train", "test") for name in ("indices", "counts", "indptr")]
    if missing := [key for key in [*wanted, "vocabulary"] if key not in arrays]:
        raise DataError(f"{path} lacks {missing[0]}; expected {', '.join(wanted)} and vocabulary: copy the file again.")
    return path, arrays


def _counts(path: Path, arrays: Mapping[str, np.ndarray], part: str) -> csr_matrix:
    counts, indices, indptr = (arrays[f"{part}_{name}"] for name in ("counts", "indices", "indptr"))
    if int(indptr[-1]) != len(indices) or len(counts) != len(indices):
        raise DataError(
            f"{path} holds {len(indices):,} indices and {len(counts):,} counts of {part}; expected {int(indptr[-1]):,} of "
            "each: copy the file again."
        )
    shape = len(indptr) - 1, len(arrays["vocabulary"])
    return csr_matrix((counts.astype(np.int32), indices.astype(np.int32), indptr), shape=shape)
