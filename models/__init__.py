"""Generative models p(x, z): one generative story a file, each a module whose forward is the Pyro program."""

from pyrovae.models.autoencoders.autoencoder import Autoencoder
from pyrovae.models.autoencoders.sparse_coding import SparseCoding
from pyrovae.models.basic.linear_gaussian import LinearGaussian
from pyrovae.models.basic.vae import VAE
from pyrovae.models.conditional.cvae import CVAE
from pyrovae.models.hierarchical.hvae import HVAE
from pyrovae.models.hierarchical.two_layer_vae import TwoLayerVAE
from pyrovae.models.semisupervised.adgm import ADGM
from pyrovae.models.semisupervised.m1m2 import M1M2
from pyrovae.models.semisupervised.m2 import M2
from pyrovae.models.semisupervised.sdgm import SDGM

__all__ = [
    "ADGM",
    "CVAE",
    "HVAE",
    "M1M2",
    "M2",
    "SDGM",
    "VAE",
    "Autoencoder",
    "LinearGaussian",
    "SparseCoding",
    "TwoLayerVAE",
]
