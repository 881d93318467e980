"""Generative models p(x, z): one generative story a file, each a module whose forward is the Pyro program."""

from pyrovae.models.adgm import ADGM
from pyrovae.models.autoencoder import Autoencoder
from pyrovae.models.cvae import CVAE
from pyrovae.models.linear_gaussian import LinearGaussian
from pyrovae.models.m1m2 import M1M2
from pyrovae.models.m2 import M2
from pyrovae.models.sdgm import SDGM
from pyrovae.models.sparse_coding import SparseCoding
from pyrovae.models.vae import VAE

__all__ = ["CVAE", "M1M2", "SDGM", "ADGM", "M2", "VAE", "Autoencoder", "LinearGaussian", "SparseCoding"]
