"""The catalogue of recipes, and the decorator that enters one with all that is true of it."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, get_type_hints

from pyrovae.core.pair import Pair, as_pair, remember_spec
from pyrovae.core.program import remember
from pyrovae.data import DataSpec
from pyrovae.data.spec import GREY_KINDS
from pyrovae.distributions.likelihoods import named
from pyrovae.effects.missing import observed_part
from pyrovae.errors import OptionError, UnusedOptionError
from pyrovae.pairs.needs import Need
from pyrovae.pairs.tiny import Tiny
from pyrovae.parts import Options, option_docs
from pyrovae.registry import Registry, refuse_values

__all__ = ["CATALOGUE", "Recipe", "families", "get", "recipe"]

# of arguments that every recipe has; the lists of pyrovae.parts say what theirs are
SHARED = {
    "spec": ("spec", "description of the data, ``data.spec``."),
    "latent_dim": ("latent_dim", "d, the dimension of z."),
}


@dataclass(frozen=True)
class Recipe:
    """A way to build a pair, ``build(spec, **options)``, and all that is true of it.

    Attributes:
        name: on the command line: the function's, with hyphens.
        authors, title, year: of the paper.
        sites: the latent sites; first the one that pictures traverse.
        objective: which usually trains the pair, with the recipe's default options.
        density: whether the pair's guide and model have densities, so that every estimate of log p(x) exists; or the option
            that gives them theirs where it is above 0, or {option: the value that does}.
        kinds: of data that it takes.
        needs: what it asks of the data beside x.
        only: option -> another option's name, which must be given with it, or {name: value}, the value that it must have.
        tiny: configurations for tests.
        family: the folder of the recipe's file, by which tables group.
    """

    name: str
    authors: str
    title: str
    year: int
    sites: tuple[str, ...]
    objective: str | Mapping[str, Any]
    density: bool | str | Mapping[str, Any]
    kinds: tuple[str, ...]
    needs: tuple[Need, ...]
    only: Mapping[str, str | Mapping[str, Any]]
    tiny: tuple[Tiny, ...]
    family: str
    build: Callable[..., Pair] = field(repr=False)

    def __call__(self, spec: DataSpec, **options: Any) -> Pair:
        """The pair of these options for such data."""
        return self.build(spec, **options)

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(self.build)

    @property
    def paper(self) -> str:
        """Authors and title."""
        return f"{self.authors}, {self.title}"

    @property
    def about(self) -> str:
        """The first line of the docstring."""
        return (self.build.__doc__ or "").partition("\n")[0]

    @property
    def defaults(self) -> dict[str, Any]:
        """The options and their defaults."""
        return {name: parameter.default for name, parameter in list(self.__signature__.parameters.items())[1:]}

    def has_density(self, options: Mapping[str, Any]) -> bool:
        """Whether the pair of these options has a log p(x)."""
        likelihood = options.get("likelihood")
        if likelihood is not None and not named(likelihood).is_density:
            return False
        if isinstance(self.density, Mapping):
            return all({**self.defaults, **options}[option] == value for option, value in self.density.items())
        return self.density if isinstance(self.density, bool) else bool(options.get(self.density))

    def refuse(self, spec: DataSpec, options: Mapping[str, Any]) -> None:
        """OptionError for an option that is not known or would be ignored, or for data that lack what the recipe needs."""
        if not isinstance(spec, DataSpec):
            raise OptionError(
                f"spec is {spec!r}; expected the description of data, as in pairs.get({self.name!r}).build(data.spec)."
            )
        CATALOGUE.check(self.name, options)
        refuse_values(options, inspect.signature(self.build).parameters)
        chosen = {**self.defaults, **options}
        for option, wanted in self.only.items():
            wanted = {wanted: ...} if isinstance(wanted, str) else wanted
            for other, value in wanted.items():
                met = chosen[other] is not None if value is ... else chosen[other] == value
                if not met and chosen[option] != self.defaults[option]:
                    goes = other if value is ... else f"{other}={value!r}"
                    raise UnusedOptionError(f"option {option} of pair {self.name} goes with {goes}; leave it out.", option)
        if spec.kind not in GREY_KINDS and spec.kind not in self.kinds:
            raise OptionError(
                f"pair {self.name} takes {', '.join(self.kinds)} data, and {spec.main} of {spec.name} is of kind {spec.kind}; "
                f"choose another pair, or say another kind where the data are loaded, as in kinds={{{spec.main!r}: 'real'}}."
            )
        for need in self.needs:
            if not need.met(spec):
                raise OptionError(need.refusal.format(name=spec.name, shape=spec.shape))

    def rebuild(self, spec: DataSpec, options: Mapping[str, Any]) -> Pair:
        """The pair of a saved run; options that had no effect, which earlier versions took, are dropped."""
        try:
            return self.build(spec, **options)
        except UnusedOptionError as unused:
            return self.rebuild(spec, {name: value for name, value in options.items() if name != unused.option})

    def to_json(self) -> dict[str, Any]:
        """What is true of the recipe, as plain JSON values."""
        own = ("name", "family", "authors", "title", "year", "about", "density", "objective")
        return {
            **{name: getattr(self, name) for name in own},
            "sites": list(self.sites),
            "kinds": list(self.kinds),
            "needs": [need.about for need in self.needs],
            "options": self.defaults,
        }


CATALOGUE: Registry[Recipe] = Registry("pair", given=1, group="pyrovae.pairs")


def get(name: str) -> Recipe:
    """The recipe of a name; an unknown name's error has the nearest match."""
    return CATALOGUE[name]


def families() -> dict[str, list[Recipe]]:
    """The recipes of each family, in the order of their names."""
    found: dict[str, list[Recipe]] = {}
    for each in sorted(CATALOGUE.values(), key=lambda each: (each.family, each.name)):
        found.setdefault(each.family, []).append(each)
    return found


def recipe(
    authors: str,
    title: str,
    year: int,
    *,
    tiny: Sequence[Tiny],
    sites: Sequence[str] = ("z",),
    objective: str | Mapping[str, Any] = "elbo",
    density: bool | str | Mapping[str, Any] = True,
    kinds: Sequence[str] | None = None,
    needs: Sequence[Need] = (),
    only: Mapping[str, str | Mapping[str, Any]] | None = None,
) -> Callable[[Callable[..., Any]], Callable[..., Pair]]:
    """Enter a function ``(spec, *, option=default, ...)`` into the catalogue under its own name; see :class:`Recipe`.

    It returns (model, guide), which get the recipe's objective, or a Pair with another. An argument whose default is a list of
    :mod:`pyrovae.parts` stands for the options in it. The pairs remember how they were made, and on data with missing values
    they are those of the observed part of x.
    """

    def enter(body: Callable[..., Any]) -> Callable[..., Pair]:
        lists, signature = _flatten(body)
        plain = inspect.signature(body).parameters.keys() - lists.keys()

        @functools.wraps(body)
        def build(spec: DataSpec, **options: Any) -> Pair:
            known.refuse(spec, options)
            given = {name: value for name, value in options.items() if name in plain}
            made = body(spec, **given, **{name: each.with_options(spec, options) for name, each in lists.items()})
            pair = made if isinstance(made, Pair) else replace(as_pair(made), objective=objective)
            if spec.roles.get("missing"):
                pair = observed_part(pair)
            pair = replace(pair, recipe={"name": known.name, "options": options})
            remember(pair.model, spec.zeros(1))
            remember_spec(pair, spec)
            return pair

        del build.__wrapped__
        build.__signature__ = signature  # type: ignore[attr-defined]
        build.__annotations__ = {name: each.annotation for name, each in signature.parameters.items()}
        build.__doc__ = _documented(body, signature, lists)
        name, file = body.__name__.replace("_", "-"), inspect.getfile(body)
        other = CATALOGUE.entries.get(name)
        if other is not None and inspect.getfile(other.build) != file:
            raise OptionError(f"two recipes are called {name!r}: {other.build.__module__} and {body.__module__}.")
        usual = (*GREY_KINDS, "count") if "likelihood" in signature.parameters else GREY_KINDS  # counts have likelihoods
        facts = tuple(sites), objective, density, tuple(kinds or usual), tuple(needs), only or {}, tuple(tiny)
        known = CATALOGUE.entries[name] = Recipe(name, authors, title, year, *facts, Path(file).parent.name, build)
        return build

    return enter


def _flatten(body: Callable[..., Any]) -> tuple[dict[str, Options], inspect.Signature]:
    """The lists of options among a recipe's arguments, and the signature with their options in place of them."""
    parameters, lists = [], {}
    hints = get_type_hints(body)
    for name, each in inspect.signature(body).parameters.items():
        if isinstance(each.default, Options):
            lists[name] = each.default
            types, values = each.default.types(), each.default.values()
            parameters += [each.replace(name=n, annotation=types[n], default=values[n]) for n in types]
        else:
            parameters.append(each.replace(annotation=hints.get(name, each.annotation)))
    return lists, inspect.Signature(parameters, return_annotation=Pair)


def _documented(body: Callable[..., Any], signature: inspect.Signature, lists: Mapping[str, Options]) -> str:
    """A recipe's docstring with an entry for every option of its signature, in that order, the shared ones filled in."""
    about, _, rest = inspect.cleandoc(body.__doc__ or "").partition("\nArgs:\n")
    if rest:
        tail = rest.partition("\n\n")[2]
    else:
        about, _, tail = about.partition("\nReferences:")
        tail = f"References:{tail}" if tail else ""
    own = option_docs(body)
    covered = {name.strip() for names, _ in own.values() for name in names.split(",")}
    entries = dict(SHARED)
    for each in lists.values():
        entries |= {name: entry for name, entry in option_docs(type(each)).items() if name in each.types()}
    entries = {name: entry for name, entry in entries.items() if name not in covered} | own
    lines = ["    {}: {}".format(*entries[name]) for name in signature.parameters if name in entries]
    return "\n".join([about.rstrip(), "", "Args:", *lines]) + (f"\n\n{tail}" if tail else "")
