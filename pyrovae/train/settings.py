"""The settings of a fit: their names, defaults and bounds, which ``fit``, the command line and ``config.json`` share."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from pyrovae.compile.optimizers import OptimizerLike, SchedulerLike
from pyrovae.errors import OptionError, RunError
from pyrovae.train.callbacks import Callback
from pyrovae.train.early_stopping import EarlyStopping

__all__ = ["FitSettings", "Unrecorded"]


@dataclass(frozen=True)
class Unrecorded:
    """Stands for an object that a configuration can only name."""

    name: str


def setting(default: Any, expected: str, fits: Callable[[Any], bool]) -> Any:
    """A field with its default, and what its values must be."""
    return field(default=default, metadata={"expected": expected, "fits": fits})


def whole(default: int | None, least: int = 1, below: int | None = None) -> Any:
    """A whole number in a range; None where it is the default."""

    def fits(value: Any) -> bool:
        return type(value) is int and value >= least and (below is None or value < below)

    return setting(
        default,
        f"a whole number of at least {least}{'' if below is None else f', below {below}'}{or_none(default)}",
        lambda value: (default is None and value is None) or fits(value),
    )


def number(default: float | None, *, zero: bool = False, optional: bool = False) -> Any:
    """A finite number above zero (or zero, too); None where it is optional."""

    def fits(value: Any) -> bool:
        return type(value) in (int, float) and math.isfinite(value) and (value > 0 or (zero and value == 0))

    return setting(
        default,
        f"{'a number of at least 0' if zero else 'a positive number'}{' or None' if optional else ''}",
        lambda value: (optional and value is None) or fits(value),
    )


def switch(default: bool | None) -> Any:
    """True or False; None where it is the default."""
    return setting(
        default,
        "True or False" if default is not None else "True, False or None",
        lambda value: type(value) is bool or (default is None and value is None),
    )


def choice(default: str, *names: str) -> Any:
    """One of a few names."""
    return setting(default, " or ".join(repr(name) for name in names), lambda value: value in names)


def options() -> Any:
    """A mapping of names to values, or None."""

    def fits(value: Any) -> bool:
        return value is None or (isinstance(value, Mapping) and all(isinstance(key, str) for key in value))

    return setting(None, "a mapping of names to values, or None", fits)


def tool(default: str | None, kind: type, expected: str) -> Any:
    """A name, or an object of a kind, or (of objects) a callable that makes one; None where it is the default."""

    def fits(value: Any) -> bool:
        made = callable(value) and kind is not str
        return isinstance(value, (str, kind)) or made or (default is None and value is None)

    return setting(default, expected, fits)


def listed(kind: type) -> Any:
    """A list of objects of a kind, empty by default."""

    def fits(value: Any) -> bool:
        return isinstance(value, (list, tuple)) and all(isinstance(each, (kind, Unrecorded)) for each in value)

    return setting((), f"a list of objects of pyrovae.train.{kind.__name__}", fits)


def or_none(default: Any) -> str:
    """What a sentence of expectation adds for None."""
    return " or None" if default is None else ""


@dataclass(frozen=True, kw_only=True)
class FitSettings:
    """The settings of :func:`~pyrovae.fit`, whose docstring explains each.

    Raises:
        OptionError: a value of a wrong type or range.

    >>> FitSettings(epochs=0)
    Traceback (most recent call last):
    pyrovae.errors.OptionError: epochs is 0; expected a whole number of at least 1.
    """

    objective: Any = None
    epochs: int = whole(50)
    steps: int | None = whole(None)
    batch_size: int = whole(100)
    optimizer: OptimizerLike = tool("Adam", Optimizer, "a name in torch.optim, a callable or an optimizer")
    lr: float | None = number(1e-3, optional=True)
    optimizer_options: Mapping[str, Any] | None = options()
    optimizers: Mapping[str, Any] | None = options()
    scheduler: SchedulerLike = tool(None, LRScheduler, "a name in torch.optim.lr_scheduler, a callable, a scheduler or None")
    scheduler_options: Mapping[str, Any] | None = options()
    scheduler_interval: str = choice("epoch", "epoch", "step")
    clip_norm: float | None = number(None, optional=True)
    kl_warmup: float = number(0.0, zero=True)
    schedule: Mapping[str, Any] | None = options()
    patience: int | None = whole(None)
    callbacks: Sequence[Callback] = listed(Callback)
    validate: bool = switch(True)
    seed: int = whole(0, least=0, below=2**32)
    device: str = tool("cpu", str, "'cpu', 'cuda' or 'auto'")
    precision: str = choice("float32", "float32", "bf16")
    compile: bool | None = switch(None)
    checkpoint_seconds: float = number(30.0, zero=True)
    tensorboard: bool = switch(True)

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if isinstance(value, numpy.generic):
                value = value.item()
                object.__setattr__(self, each.name, value)
            if each.metadata and not isinstance(value, Unrecorded) and not each.metadata["fits"](value):
                raise OptionError(f"{each.name} is {value!r}; expected {each.metadata['expected']}.")
        object.__setattr__(self, "callbacks", tuple(self.callbacks))
        if len([each for each in self.callbacks if isinstance(each, EarlyStopping)]) + (self.patience is not None) > 1:
            raise OptionError(
                "early stopping is asked for twice, and the best parameters are kept by one metric; give patience or one "
                "EarlyStopping."
            )

    @property
    def early_stopping(self) -> EarlyStopping | None:
        """The callback that ends training early: one of the user's, or that of ``patience``."""
        given = next((each for each in self.callbacks if isinstance(each, EarlyStopping)), None)
        return EarlyStopping(patience=self.patience) if given is None and self.patience is not None else given

    @property
    def stops_early(self) -> bool:
        """Whether training ends with the best parameters."""
        names = [each.name for each in self.callbacks if isinstance(each, Unrecorded)]
        return self.early_stopping is not None or any(name.startswith("EarlyStopping(") for name in names)

    # ------------------------------------------------------------------------------------------------ config.json
    def to_json(self) -> dict[str, Any]:
        """The settings as JSON; objects by the names of their kinds."""
        return {each.name: plain(getattr(self, each.name)) for each in fields(self)}

    @classmethod
    def from_json(cls, saved: Mapping[str, Any], **objects: Any) -> FitSettings:
        """The settings of a configuration, of an earlier version too, with ``objects`` in place of what it can only name.

        Raises:
            RunError: a setting that this version does not know.
        """
        known = {each.name for each in fields(cls)}
        for name in saved:
            if name not in known:
                raise RunError(f"the run was trained with a setting {name!r}, which this version of pyrovae does not have.")
        values = {name: filled(value) for name, value in saved.items()}
        values["callbacks"] = tuple(early_stopping(each) for each in saved.get("callbacks", ()))
        try:
            return cls(**{**values, **objects})
        except OptionError as error:
            if not objects:
                raise RunError(f"the configuration of the run does not hold: {error}") from error
            raise

    def unrecorded(self) -> Iterator[tuple[str, str]]:
        """Settings that must be given again, with what their objects were called."""
        for each in fields(self):
            for found in placeholders(getattr(self, each.name)):
                yield each.name, found.name


def plain(value: Any) -> Any:
    """JSON of a setting."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Callback):
        return value.to_json()
    if isinstance(value, Unrecorded):
        return {"object": value.name}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return {"object": getattr(value, "__qualname__", type(value).__name__)}


def filled(value: Any) -> Any:
    """A setting of a configuration, with placeholders where objects were."""
    if isinstance(value, Mapping):
        if set(value) == {"object"}:
            return Unrecorded(value["object"])
        return {key: filled(item) for key, item in value.items()}
    return [filled(item) for item in value] if isinstance(value, list) else value


def early_stopping(saved: Mapping[str, Any]) -> EarlyStopping | Unrecorded:
    """A callback of a configuration, of which early stopping by a logged metric can be made again."""
    monitor = saved.get("monitor")
    if saved.get("name") != "EarlyStopping" or not isinstance(monitor, str):
        return Unrecorded(saved.get("object") or f"EarlyStopping({monitor and monitor['object']})")
    return EarlyStopping(monitor, saved["patience"], saved["mode"])


def placeholders(value: Any) -> Iterator[Unrecorded]:
    """All that lie in a setting."""
    if isinstance(value, Unrecorded):
        yield value
    elif isinstance(value, (Mapping, list, tuple)):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from placeholders(item)
