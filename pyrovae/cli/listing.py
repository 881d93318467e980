"""What there is, from what each thing says of itself: as text, as JSON, and as the tables of the documentation."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from pyrovae import data as data_sets
from pyrovae.data.spec import GREY_KINDS
from pyrovae.distributions.flows import FLOWS
from pyrovae.distributions.likelihoods import LIKELIHOODS
from pyrovae.evidence import METHODS
from pyrovae.objectives import OBJECTIVES
from pyrovae.pairs.catalogue import Recipe, families
from pyrovae.parts import POSTERIORS

__all__ = ["as_json", "as_markdown", "as_text", "family_rows"]


def _others() -> dict[str, dict[str, str]]:
    """What there is besides pairs: kind -> name -> one line."""
    tables: dict[str, Mapping[str, Any]] = {
        "transforms of data": data_sets.TRANSFORMS,
        "objectives": OBJECTIVES,
        "likelihoods": LIKELIHOODS,
        "posteriors": POSTERIORS,
        "flows": FLOWS,
        "methods for log p(x)": METHODS,
    }
    lines = {kind: {name: _first_line(entry) for name, entry in table.items()} for kind, table in tables.items()}
    return {"data": dict(data_sets.DATASETS), **lines}


def _first_line(documented: Any) -> str:
    return (documented.__doc__ or "").partition("\n")[0]


def as_text() -> str:
    """Pairs by family, data sets, transforms, objectives and the rest, a line each."""
    lines = []
    for family, recipes in families().items():
        lines.append(f"pairs: {family}")
        lines += [f"  {each.name:18s}{each.paper} ({each.year})" for each in recipes]
    for kind, table in _others().items():
        lines.append(kind)
        lines += [f"  {name:18s}{text}" for name, text in table.items()]
    return "\n".join(lines)


def as_json() -> dict[str, Any]:
    """The same as plain JSON values, with all that is true of each pair."""
    recipes = [each.to_json() for own in families().values() for each in own]
    return {"pairs": recipes, **{kind.partition(" ")[0]: table for kind, table in _others().items()}}


def as_markdown() -> str:
    """The catalogue of the documentation: a table for each family."""
    lines = ["# The catalogue", "", "Written by `make catalogue` from what each recipe says of itself. The options of a pair:"]
    lines += ["`pyrovae train PAIR --help`, or `help(pyrovae.pairs.NAME)`; as JSON: `pyrovae list --json`."]
    for family, recipes in families().items():
        package = sys.modules.get(recipes[0].build.__module__.rpartition(".")[0])
        about = "" if package is None else _first_line(package)
        lines += ["", f"## {family}", "", f"{about} {len(recipes)} in all.".strip(), ""]
        lines += [
            "| pair | what it is | paper | data | latent sites | log p(x) | objective |",
            "|---|---|---|---|---|---|---|",
        ]
        lines += [_row(each) for each in recipes]
    return "\n".join(lines) + "\n"


def _row(each: Recipe) -> str:
    kinds = "any" if set(each.kinds) >= set(GREY_KINDS) else ", ".join(each.kinds)
    data = "; ".join([kinds, *(need.about for need in each.needs)])
    if isinstance(each.density, Mapping):
        density = "with " + " and ".join(f"`{option}={value}`" for option, value in each.density.items())
    else:
        density = f"with `{each.density}` above 0" if isinstance(each.density, str) else "yes" if each.density else "no"
    sites = ", ".join(f"`{site}`" for site in each.sites)
    cells = [f"`{each.name}`", each.about, f"{each.paper}, {each.year}", data, sites, density, f"`{_text(each.objective)}`"]
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _text(chosen: str | Mapping[str, Any]) -> str:
    """``name:option=value,...`` of what :func:`~pyrovae.registry.parse_choice` reads."""
    if isinstance(chosen, str):
        return chosen
    options = ",".join(f"{option}={value}" for option, value in chosen.items() if option != "name")
    return f"{chosen['name']}:{options}" if options else chosen["name"]


def family_rows() -> list[str]:
    """The README's table: a line for each family with its count."""
    return [
        f"| [{family}](docs/catalogue.md#{family}) | {len(recipes)} | {', '.join(f'`{each.name}`' for each in recipes)} |"
        for family, recipes in families().items()
    ]
