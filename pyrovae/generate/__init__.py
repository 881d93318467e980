"""Draws and pictures of any pair: ancestral samples, reconstructions, completions, walks through the latent space.

No model has hooks for this. Its program is run on a batch of the right shape, with observed sites drawn
(``poutine.uncondition``) or latent sites held at given values (``poutine.replay``).
"""

from pyrovae.generate.ancestral import sample
from pyrovae.generate.classes import analogies, class_samples
from pyrovae.generate.completion import complete, conditional_samples, impute
from pyrovae.generate.continuation import continuations, stream
from pyrovae.generate.decoding import decode
from pyrovae.generate.filtering import one_step_ahead, smooth
from pyrovae.generate.latent_space import interpolate, manifold, traverse
from pyrovae.generate.reconstruction import encode, posterior, reconstruct

__all__ = [
    "analogies",
    "class_samples",
    "complete",
    "conditional_samples",
    "continuations",
    "decode",
    "encode",
    "impute",
    "interpolate",
    "manifold",
    "one_step_ahead",
    "posterior",
    "reconstruct",
    "sample",
    "smooth",
    "stream",
    "traverse",
]
