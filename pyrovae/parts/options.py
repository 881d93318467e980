"""A list of options that several recipes share, with what it builds."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar, get_type_hints

from pyrovae.data import DataSpec
from pyrovae.registry import Registry

__all__ = ["Options", "option_docs"]

Self = TypeVar("Self", bound="Options")


@dataclass(frozen=True, kw_only=True)
class Options:
    """Base: a frozen dataclass whose fields are options, and whose methods build what they say.

    A recipe that has such a list as the default of an argument has its fields as options, with the list's values as their
    defaults; its body gets the list with what the user chose.

    Attributes:
        spec: the description of the data that is built for.
        defaults: the list as the recipe has it.
    """

    spec: DataSpec = field(default=None, repr=False)  # type: ignore[assignment]
    defaults: Options | None = field(default=None, repr=False)

    @classmethod
    def types(cls) -> dict[str, Any]:
        """The type of each option, those of a subclass before those of its base."""
        hints = get_type_hints(cls)
        owners = [base for base in cls.__mro__ if base not in (Options, object)]
        names = [name for owner in owners for name in inspect.get_annotations(owner)]
        return {name: hints[name] for name in dict.fromkeys(names)}

    def values(self) -> dict[str, Any]:
        """The options by name."""
        return {name: getattr(self, name) for name in self.types()}

    def with_options(self: Self, spec: DataSpec, options: Mapping[str, Any]) -> Self:
        """This list for such data, with those of the options that are in it."""
        return replace(self, spec=spec, defaults=self, **{name: options[name] for name in self.types() if name in options})

    def own(self, registry: Registry[Any], name: str) -> dict[str, Any]:
        """Those of the options that an entry of a registry has; refuses others that were given (:meth:`Registry.own`)."""
        options = {option: value for option, value in self.values().items() if option != registry.kind}
        return registry.own(name, options, (self.defaults or self).values())


def option_docs(owner: Any) -> dict[str, tuple[str, str]]:
    """What the docstring of a function, or of a class and its bases, says of each argument: first name -> (names, text)."""
    found: dict[str, tuple[str, str]] = {}
    for each in reversed(owner.__mro__) if inspect.isclass(owner) else [owner]:
        doc = inspect.cleandoc(each.__doc__ or "")
        _, _, rest = re.sub(r"\nAttributes:\n", "\nArgs:\n", doc).partition("\nArgs:\n")
        for entry in re.split(r"\n(?=    \S)", rest.partition("\n\n")[0]):
            names, _, text = entry.strip().partition(":")
            found |= {names.split(",")[0]: (names, text.strip())} if names else {}
    return found
