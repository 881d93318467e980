"""What a table consists of: cells, budgets, published figures. Declared here, computed by :mod:`benchmarks.lab.runner`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

__all__ = ["Budget", "Cell", "Published", "Table", "cosine", "joined"]

EVALUATION_MINUTES = 3.0  # of a cell's time, kept for its log p(x) by 5,000 samples and for compiling


@dataclass(frozen=True)
class Published:
    """A published log p(x) in nats per datum, as a table's own source or a third party has it.

    Attributes:
        log_p: the figure; papers print its negative.
        source: paper, table, and where the figure was read if not there.
        error: as published.
        active: active units as published, one number a latent layer.
    """

    log_p: float
    source: str
    error: float | None = None
    active: str | None = None


@dataclass(frozen=True)
class Cell:
    """One pair trained one way on one data set, and evaluated.

    Attributes:
        label: its row in the table; no part of what decides whether a finished cell is reused.
        protocol: the row's label without the pair, for pairs of the user's own.
        pair: of the catalogue, or FILE.py:FUNCTION.
        options: of the pair.
        data: arguments of :func:`pyrovae.data.load`.
        objective: of :func:`pyrovae.fit`; None is the pair's own.
        fit: further arguments of :func:`pyrovae.fit`.
        samples: of log p(x).
        bound_samples: of a second, looser bound that the source prints too.
        start: a cell from whose trained parameters this one goes on.
        published: the figure to compare with.
    """

    label: str
    protocol: str
    pair: str
    options: Mapping[str, Any]
    data: Mapping[str, Any]
    objective: str
    fit: Mapping[str, Any]
    samples: int = 5000
    bound_samples: int | None = None
    start: Cell | None = None
    published: Published | None = field(default=None)

    def settings(self) -> dict[str, Any]:
        """JSON of all that decides the result but the seed."""
        settings = {name: value for name, value in asdict(self).items() if name not in ("label", "protocol", "published")}
        settings["start"] = None if self.start is None else self.start.settings()
        if ".py" in self.pair:
            file = Path(self.pair.rpartition(":")[0] or self.pair)
            settings["pair_sha256"] = hashlib.sha256(file.read_bytes()).hexdigest()
        return settings

    @property
    def fingerprint(self) -> str:
        """Of the settings: results of other settings are never taken for this cell's."""
        text = json.dumps(self.settings(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def of_pair(self, pair: str) -> Cell:
        """The same protocol for a pair of the user's own."""
        start = None if self.start is None else self.start.of_pair(pair)
        name = pair.rpartition("/")[2]
        return replace(self, label=f"{name}, {self.protocol}", pair=pair, options={}, start=start, published=None)


@dataclass(frozen=True)
class Budget:
    """How much to spend on a cell: seconds ("smoke"), ``minutes`` on two cores ("cpu"), or what the paper did ("paper")."""

    name: str
    minutes: float = 30.0

    @property
    def label(self) -> str:
        """The budget's name in files and tables."""
        return self.name if self.name != "cpu" or self.minutes == 30 else f"cpu-{self.minutes:g}"

    @classmethod
    def of(cls, label: str) -> Budget:
        """The budget of a label."""
        name, _, minutes = label.partition("-")
        return cls(name, float(minutes or 30))

    def choose(self, **choices: Any) -> Any:
        """The choice for this budget; what is given for "paper" also holds for "cpu" where that is not given."""
        return choices[self.name] if self.name in choices else choices["paper"]

    def epochs(self, seconds: float) -> int:
        """How many epochs of so many seconds a cell of the "cpu" budget has time for, its evaluation beside them."""
        return max(1, int(60 * (self.minutes - EVALUATION_MINUTES) / seconds))

    def data(self, name: str, binarization: str | None = None) -> dict[str, Any]:
        """Arguments of :func:`pyrovae.data.load`; the embedded digits for "smoke", binarized alike."""
        return {"name": "digits" if self.name == "smoke" else name, **({"binarization": binarization} if binarization else {})}

    def published(self, figure: Published | None) -> Published | None:
        """The figure to compare with; none beside the digits of "smoke"."""
        return None if self.name == "smoke" else figure

    def samples(self, cpu: int = 5000) -> int:
        """How many samples of log p(x)."""
        return self.choose(smoke=10, cpu=cpu, paper=5000)


@dataclass(frozen=True)
class Table:
    """A published table: ``cells(budget)`` are its rows, ``about`` is what a reader must know to compare them."""

    name: str
    title: str
    about: str
    cells: Callable[[Budget], list[Cell]]


def cosine(epochs: int, **more: Any) -> dict[str, Any]:
    """Arguments of ``fit``: Adam, whose learning rate falls to zero along half a cosine, an epoch at a time."""
    return {"epochs": epochs, "scheduler": "CosineAnnealingLR", "scheduler_options": {"T_max": epochs}, **more}


def joined(cells: list[Cell], pairs: list[str]) -> list[Cell]:
    """The cells, and after those of each data set each protocol once for every pair of the user's own."""
    rows: list[Cell] = []
    for data in dict.fromkeys(json.dumps(cell.data) for cell in cells):
        group = [cell for cell in cells if json.dumps(cell.data) == data]
        own = {cell.fingerprint: cell for pair in pairs for cell in (each.of_pair(pair) for each in group)}
        rows += [*group, *own.values()]
    return rows
