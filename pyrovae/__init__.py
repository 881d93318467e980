"""Variational autoencoders as pairs of Pyro programs: write p(x, z) and q(z | x), get everything else.

>>> import pyrovae as pv
>>> data = pv.data.load("digits")
>>> pair = pv.pairs.vae(data.spec, latent_dim=2)
>>> run = pv.fit(pair, data, epochs=1, progress=False)
>>> evidence = pv.log_evidence(run, data.test, num_samples=10)
"""

from importlib.metadata import version

import lazy_loader

__version__ = version("pyrovae")
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)  # the names of __init__.pyi, each at its first use
