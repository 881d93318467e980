"""Tables of named things, each with options of its own, and their one text form: ``"iwae:num_particles=50"``."""

from __future__ import annotations

import importlib
import importlib.metadata
import inspect
import math
import pkgutil
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from typing import Any, TypeVar

import yaml

from pyrovae.errors import OptionError, UnusedOptionError, nearest

__all__ = ["Registry", "parse_choice", "public_names", "refuse_values"]

T = TypeVar("T")


class Registry(MutableMapping[str, T]):
    """Named things of one kind. An entry is a class or a function, and its options are those of its signature.

    Args:
        kind: what the entries are, in messages: "flow".
        entries: the first of them.
        given: how many of an entry's first arguments are no options, but what it is made for: the data, a shape.
        group: of the entry points by which other packages add entries; importing what one names must enter its name.

    Attributes:
        entries: those that are here, without what other packages announce.

    >>> def planar(latent_dim, num_flows=4): return (latent_dim, num_flows)
    >>> flows = Registry("flow", {"planar": planar}, given=1)
    >>> flows.build("planar:num_flows=2", 10)
    (10, 2)
    >>> flows.build("planer", 10)
    Traceback (most recent call last):
    pyrovae.errors.OptionError: no flow is called 'planer'; did you mean 'planar'? Known: planar.
    """

    def __init__(self, kind: str, entries: Mapping[str, T] | None = None, given: int = 0, group: str | None = None) -> None:
        self.kind, self.given, self.group = kind, given, group
        self.entries: dict[str, T] = dict(entries or {})

    def enter(self, name: str) -> Callable[[T], T]:
        """A decorator that enters what it decorates, as it is; a name is given once."""

        def decorate(entry: T) -> T:
            self[name] = entry
            return entry

        return decorate

    def options(self, name: str) -> dict[str, inspect.Parameter]:
        """The options of an entry by name."""
        return dict(list(inspect.signature(self[name]).parameters.items())[self.given :])  # type: ignore[arg-type]

    def check(self, name: str, options: Iterable[str]) -> None:
        """OptionError for an option that the entry does not have, with the nearest that it has."""
        known = self.options(name)
        for option in options:
            if option not in known:
                raise nearest(f"option of {self.kind} {name}", option, known)

    def build(self, chosen: str | Mapping[str, Any], /, *given: Any, **options: Any) -> Any:
        """What an entry makes of ``given`` and options, its own and those of ``"name:option=value,..."``.

        Raises:
            OptionError: an unknown name or option, with the nearest match.
        """
        name, own = parse_choice(chosen, self.kind)
        if name is None:
            raise OptionError(f"{self.kind} is {chosen!r}, which has no 'name'; known: {', '.join(sorted(self))}.")
        options = {**own, **options}
        self.check(str(name), options)
        refuse_values(options, self.options(str(name)))
        return self[str(name)](*given, **options)  # type: ignore[operator]

    def own(self, name: str, shared: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
        """Of a list of options that serves all entries, those that this one has.

        Raises:
            UnusedOptionError: another one is not at its default, and would be ignored.
        """
        known = self.options(name)
        for option, value in shared.items():
            if option not in known and value != defaults[option]:
                others = [other for other in self if option in self.options(other)]
                raise UnusedOptionError(
                    f"{self.kind} {name!r} has no option {option!r}, which is {value!r}; leave it out, or choose one that has "
                    f"it ({', '.join(others)}).",
                    option,
                )
        return {option: value for option, value in shared.items() if option in known}

    # ---------------------------------------------------------------------------------------- the face of a dict
    def __getitem__(self, name: str) -> T:
        if name not in self.entries and (point := self._points().get(name)) is not None:
            try:
                point.load()
            except Exception as error:
                raise OptionError(
                    f"{self.kind} {name!r} ({point.value}) does not load: {type(error).__name__}: {error}"
                ) from error
            if name not in self.entries:
                raise OptionError(f"{point.value} is announced as {self.kind} {name!r}, and enters none of that name.")
        if name not in self.entries:
            raise nearest(self.kind, name, self)
        return self.entries[name]

    def __setitem__(self, name: str, entry: T) -> None:
        self.entries[name] = entry

    def __delitem__(self, name: str) -> None:
        del self.entries[name]

    def __contains__(self, name: object) -> bool:
        return name in self.entries or name in self._points()

    def __iter__(self) -> Iterator[str]:
        return iter([*self.entries, *(name for name in self._points() if name not in self.entries)])

    def __len__(self) -> int:
        return len(list(iter(self)))

    def get(self, name: str, default: Any = None) -> Any:
        """The entry of a name, or the default."""
        return self[name] if name in self else default  # noqa: SIM401 - not KeyError, but OptionError, is what [] raises

    def _points(self) -> dict[str, importlib.metadata.EntryPoint]:
        """What other packages announce."""
        if self.group is None:
            return {}
        return {point.name: point for point in importlib.metadata.entry_points(group=self.group)}


def refuse_values(options: Mapping[str, Any], declared: Mapping[str, inspect.Parameter]) -> None:
    """OptionError for a value that is not of the type that its option declares, no finite number, or a size below one.

    >>> def flow(latent_dim: int = 4, scale: float = 1.0): ...
    >>> refuse_values({"scale": float("nan")}, inspect.signature(flow).parameters)
    Traceback (most recent call last):
    pyrovae.errors.OptionError: scale is nan; expected a finite number.
    """
    for option, value in options.items():
        parameter = declared.get(option)
        if parameter is None:
            continue
        kinds = re.split(r" \| (?![^\[]*\])", getattr(parameter.annotation, "__name__", None) or str(parameter.annotation))
        kinds = [kind.removesuffix("[int, ...]").removesuffix("[int]") for kind in kinds]
        plain = value.item() if hasattr(value, "item") and getattr(value, "ndim", 0) == 0 else value
        if plain is None and ("None" in kinds or parameter.default is None):
            continue
        expected = _expected(plain, kinds, 0 if parameter.default == 0 else 1)
        if expected is not None:
            raise OptionError(f"{option} is {value!r}; expected {expected}.")


def _expected(value: Any, kinds: list[str], least: int) -> str | None:
    """What a value of these types is to be; None where it is."""
    plain = [kind for kind in kinds if kind != "None"]
    if isinstance(value, float) and not math.isfinite(value):
        return "a finite number"
    if plain == ["int"] and (type(value) is not int or value < least):
        return f"a whole number of at least {least}"
    if plain == ["float"] and type(value) not in (int, float):
        return "a number"
    if plain == ["bool"] and type(value) is not bool:
        return "True or False"
    if plain == ["list", "tuple"]:
        fits = isinstance(value, (list, tuple)) and all(type(each) is int and each >= 1 for each in value)
        return None if fits else "a list of whole numbers of at least 1"
    return None


def public_names(path: Iterable[str], package: str) -> dict[str, Any]:
    """What the modules of a package's sub-packages export by ``__all__``: ``public_names(__path__, __name__)``."""
    found: dict[str, Any] = {}
    for folder in pkgutil.iter_modules(path, f"{package}."):
        if folder.ispkg:
            inside = importlib.import_module(folder.name)
            for info in pkgutil.iter_modules(inside.__path__, f"{folder.name}."):
                module = importlib.import_module(info.name)
                found |= {name: getattr(module, name) for name in module.__all__}
    return found


def parse_choice(chosen: str | Mapping[str, Any], what: str) -> tuple[str | None, dict[str, Any]]:
    """Name and options of ``"name:option=value,..."``, or of a mapping with ``name``; ``what`` begins the message.

    An option that is itself something named takes its own options after a dot.

    >>> parse_choice("iwae:num_particles=50", "objective")
    ('iwae', {'num_particles': 50})
    >>> parse_choice("semisupervised:alpha=3,base=meanfield,base.beta=10", "objective")
    ('semisupervised', {'alpha': 3, 'base': {'name': 'meanfield', 'beta': 10}})
    >>> parse_choice("few-labels:num_labels=50,keys=[scale,posX]", "transform")
    ('few-labels', {'num_labels': 50, 'keys': ['scale', 'posX']})
    """
    if isinstance(chosen, Mapping):
        given = dict(chosen)
        name = given.pop("name", None)
        if name is not None and not isinstance(name, str):
            raise OptionError(f"{what} has the name {name!r}; expected a text.")
        return name, given
    name, _, text = str(chosen).partition(":")
    options: dict[str, Any] = {}
    for item in filter(None, re.split(r",(?![^\[{]*[\]}])", text)):  # no comma of a list or a mapping
        key, equals, value = item.partition("=")
        if not equals:
            raise OptionError(f"{what} {chosen!r}: {item!r} is not option=value.")
        outer, dot, inner = key.strip().partition(".")
        own = options.get(outer, {})
        if dot:
            options[outer] = {**(own if isinstance(own, dict) else {"name": own}), inner: _value(value)}
        else:
            options[outer] = {**own, "name": _value(value)} if own and isinstance(own, dict) else _value(value)
    return name, options


def _value(text: str) -> Any:
    """The number, truth value or word that an option's text is."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise OptionError(f"{text!r} is no value: expected a number, a word, or a list or mapping, as in [a, b].") from error
