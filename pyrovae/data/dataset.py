"""A whole data set: its splits, its spec, and where it came from."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from typing import Any

import torch

from pyrovae.data.labelled import LabelledSplit
from pyrovae.data.spec import DataSpec
from pyrovae.data.split import Split
from pyrovae.data.stream import Stream
from pyrovae.errors import DataError

__all__ = ["Data"]


@dataclass(frozen=True, repr=False)
class Data:
    """Train, valid and test parts of one data set.

    Attributes:
        train, valid, test: the parts; valid and test may be None.
        spec: what x and y are.
        source: arguments of :func:`pyrovae.data.load` that rebuild it (plain JSON values), or None if it was
            made of objects in memory.
        cut: whether rows that came as one set were split 80/10/10.
    """

    train: Split | Stream
    valid: Split | Stream | None
    test: Split | Stream | None
    spec: DataSpec
    source: dict[str, Any] | None = None
    cut: bool = False

    def fingerprint(self) -> str:
        """sha256 (hex) of spec and raw rows; of bounded samples of rows where the data are not in memory."""
        digest = hashlib.sha256(json.dumps(self.spec.identity(), sort_keys=True).encode())
        for name, part in self.parts().items():
            digest.update(f"{name} {part.fingerprint() if part is not None else None};".encode())
        return digest.hexdigest()

    def to(self, device: torch.device | str) -> Data:
        """The same data with in-memory rows, and all batches, on ``device``."""
        return replace(self, **{name: part.to(device) for name, part in self.parts().items() if part is not None})

    def parts(self) -> dict[str, Split | Stream | None]:
        """Train, valid and test by name."""
        return {"train": self.train, "valid": self.valid, "test": self.test}

    def __repr__(self) -> str:
        spec = self.spec
        sizes = ", ".join(f"{_size(part)} {name}" for name, part in self.parts().items() if part is not None)
        levels = f" of {spec.levels}" if spec.levels else ""
        labels = f", {spec.classes} classes" if spec.classes else ""
        x = f"{spec.main} {spec.shape} {spec.kind}{levels}, binarization {spec.binarization}"
        return f"Data {spec.name}: {sizes}; {x}{labels}"


def _size(part: Split | Stream) -> str:
    try:
        known = f" ({len(part.rows[0]):,} labelled)" if isinstance(part, LabelledSplit) else ""
        return f"{len(part):,}{known}"
    except DataError:
        return "?"
