"""Recipes: a description of the data and a few options -> a :class:`~pyrovae.pair.Pair`.

``pairs.vae(data.spec, latent_dim=50)`` builds one; :data:`CATALOGUE` lists them all with their papers.
"""

from pyrovae.pairs.aae import aae
from pyrovae.pairs.ae import ae, deep_ae
from pyrovae.pairs.auxiliary import adgm, sdgm
from pyrovae.pairs.beta_vae import beta_vae
from pyrovae.pairs.cae import cae
from pyrovae.pairs.catalogue import CATALOGUE, Recipe, get
from pyrovae.pairs.cvae import cvae, gsnn
from pyrovae.pairs.dae import dae, dvae
from pyrovae.pairs.flow_vae import flow_vae
from pyrovae.pairs.linear_ae import linear_ae, logistic_pca
from pyrovae.pairs.linear_gaussian import linear_gaussian
from pyrovae.pairs.m1 import m1, m1_m2
from pyrovae.pairs.m2 import m2
from pyrovae.pairs.sparse_ae import sparse_ae
from pyrovae.pairs.two_layer_vae import two_layer_vae
from pyrovae.pairs.vae import conv_vae, vae
from pyrovae.pairs.vampprior import hvae, vamp_vae

__all__ = [
    "CATALOGUE",
    "Recipe",
    "aae",
    "adgm",
    "ae",
    "beta_vae",
    "cae",
    "conv_vae",
    "cvae",
    "dae",
    "deep_ae",
    "dvae",
    "flow_vae",
    "get",
    "gsnn",
    "hvae",
    "linear_ae",
    "linear_gaussian",
    "logistic_pca",
    "m1",
    "m1_m2",
    "m2",
    "sdgm",
    "sparse_ae",
    "two_layer_vae",
    "vae",
    "vamp_vae",
]
