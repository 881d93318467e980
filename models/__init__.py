"""Generative models p(x, z): one generative story a file, each a module whose forward is the Pyro program."""

from pyrovae.models.linear_gaussian import LinearGaussian
from pyrovae.models.vae import VAE

__all__ = ["VAE", "LinearGaussian"]
