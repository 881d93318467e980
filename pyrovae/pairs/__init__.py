"""Recipes: a description of the data and a few options -> a :class:`~pyrovae.core.pair.Pair`.

``pairs.vae(data.spec, latent_dim=50)`` builds one; :data:`CATALOGUE` has them all, with what is true of each. Every recipe
below this package is found here by its name; those of other packages, which the entry points ``pyrovae.pairs`` announce, in
the catalogue.
"""

from typing import Any

from pyrovae.pairs.catalogue import CATALOGUE, Recipe, families, get, recipe
from pyrovae.registry import public_names

_FOUND: dict[str, Any] = public_names(__path__, __name__)
globals().update(_FOUND)
__all__ = ["CATALOGUE", "Recipe", "families", "get", "recipe", *sorted(_FOUND)]
