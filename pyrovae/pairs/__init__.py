"""Recipes: a description of the data and a few options -> a :class:`~pyrovae.pair.Pair`.

``pairs.vae(data.spec, latent_dim=50)`` builds one; :data:`CATALOGUE` lists them all with their papers.
"""

from pyrovae.pairs.auxiliary import adgm, sdgm
from pyrovae.pairs.catalogue import CATALOGUE, Recipe, get
from pyrovae.pairs.linear_gaussian import linear_gaussian
from pyrovae.pairs.m2 import m2
from pyrovae.pairs.vae import conv_vae, vae

__all__ = ["CATALOGUE", "Recipe", "adgm", "conv_vae", "get", "linear_gaussian", "m2", "sdgm", "vae"]
