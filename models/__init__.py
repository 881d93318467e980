"""Generative models p(x, z): one generative story a file, each a module whose forward is the Pyro program."""

from pyrovae.models.adgm import ADGM
from pyrovae.models.linear_gaussian import LinearGaussian
from pyrovae.models.m2 import M2
from pyrovae.models.sdgm import SDGM
from pyrovae.models.vae import VAE

__all__ = ["SDGM", "ADGM", "M2", "VAE", "LinearGaussian"]
