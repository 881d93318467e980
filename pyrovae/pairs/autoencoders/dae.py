"""Denoising autoencoders: the guide reads a corrupted x, the model scores the clean one."""

from __future__ import annotations

from pyrovae import guides, models
from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.needs import CORRUPTION
from pyrovae.pairs.tiny import tiny
from pyrovae.parts import Dense

__all__ = ["dae"]


@recipe(
    "Vincent et al.",
    "Extracting and Composing Robust Features with Denoising Autoencoders",
    2008,
    objective="energy",
    density=False,
    needs=[CORRUPTION],
    tiny=[tiny("noise", latent_dim=3, hidden=[20])],
)
def dae(spec: DataSpec, *, latent_dim: int = 50, dense: Dense = Dense()) -> Pair:
    """A denoising autoencoder: z = f(c), c ~ p(c | x) a corruption of x, energy -log p(x | f(c)); no log p(x).

        energy(x) = E_p(c|x)[-log p(x | f(c))]

    The mean of x given c is the best reconstruction under a squared error, so that what is learned points from corrupted
    inputs back to where data are. Its relaxation to a density is ``dvae``.

    Args:
        spec: description of data with corrupted inputs (transform ``corrupt``), ``data.spec``.

    References: Vincent et al., Extracting and Composing Robust Features with Denoising Autoencoders, 2008; Vincent et al.,
    Stacked Denoising Autoencoders, 2010.
    """
    model = models.AE(*dense.decoder(latent_dim), latent_dim)
    return model, guides.Denoising(guides.Deterministic(dense.encoder(latent_dim)))
