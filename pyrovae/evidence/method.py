"""What an estimator of log p(x) is: options that check themselves, and columns of figures for a batch."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from pyrovae.compile import Code
from pyrovae.core.program import Batch, Program
from pyrovae.errors import NonFiniteError, OptionError
from pyrovae.evidence.keeper import Keeper
from pyrovae.registry import Registry

__all__ = ["Job", "Method", "refuse_worthless", "require"]


@dataclass
class Job:
    """A batch to estimate on.

    Attributes:
        model, guide: the two programs.
        batch: B data, on the pair's device.
        size: B.
        first: number of the batch's first datum, for messages.
        max_rows: the most draws x data in one pass.
        tick: to be told how many of the job's ``work`` x B units are done.
        keeper: for chains that take long; None without a checkpoint.
        code: what has been compiled for this data; None where nothing shall be.
    """

    model: Program
    guide: Program
    batch: Batch
    size: int
    device: torch.device
    first: int = 0
    max_rows: int = 5000
    tick: Callable[[float], Any] = lambda done: None
    keeper: Keeper | None = None
    code: Code | None = None


@dataclass(frozen=True)
class Method:
    """Base: a frozen dataclass of options, with ``name`` and ``bound``."""

    name: ClassVar[str]
    long: ClassVar[float] = 10_000_000  # units of work x data, from which a method that can be compiled shall be

    @property
    def bound(self) -> str:
        """On which side of log p(x) the value lies in expectation: lower, upper, estimate, exact."""
        return "lower"

    @property
    def covers(self) -> str | None:
        """What to use in place of it where the guide is zero at draws of the prior; None where it does not matter."""
        return None

    @property
    def weighs_guide(self) -> bool:
        """Whether log q(z | x) enters the weights, so that the guide must have one."""
        return True

    @property
    def work(self) -> int:
        """Units of progress for each datum."""
        return 1

    def batch_size(self, asked: int, max_rows: int) -> int:
        """Data in one batch: fewer than asked where the draws of so many do not fit into one pass."""
        return asked

    @abstractmethod
    def estimate(self, job: Job) -> dict[str, Tensor]:
        """Columns of :class:`~pyrovae.evidence.Evidence`, (B,) each, float64."""

    def options(self) -> dict[str, Any]:
        """The options by name."""
        return asdict(self)

    @classmethod
    def build(cls, options: dict[str, Any]) -> Method:
        """From options; an unknown one's error names the nearest."""
        made: Method = Registry("method", {cls.name: cls}).build(cls.name, **options)
        return made


def require(name: str, value: Any, at_least: int) -> None:
    """OptionError unless a whole number of at least ``at_least``."""
    if isinstance(value, bool) or not isinstance(value, int) or value < at_least:
        raise OptionError(f"{name} is {value!r}; expected a whole number of at least {at_least}.")


def refuse_worthless(value: Tensor, job: Job, what: str) -> None:
    """NonFiniteError for the first datum all of whose weights are zero."""
    rows = (~torch.isfinite(value)).nonzero()
    if len(rows):
        raise NonFiniteError(
            f"all {what} of datum {job.first + int(rows[0])} are zero: the model gives it no density anywhere that the guide "
            "draws; check the supports of the two programs there."
        )
