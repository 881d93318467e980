"""Sparse autoencoders: an L1 penalty that is a Laplace prior, or a penalty of the codes' mean activation that is no prior."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from torch import nn

from pyrovae import guides, models
from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.errors import OptionError, nearest
from pyrovae.nets import Dictionary
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.tiny import tiny
from pyrovae.parts import Dense, Relaxation

__all__ = ["sparse_ae"]


@recipe(
    "Ng",
    "Sparse Autoencoder (CS294A lecture notes)",
    2011,
    objective="energy",
    density="relax",
    only={"relax": {"penalty": "l1"}, "rate": {"penalty": "kl-to-rate"}},
    tiny=[
        tiny("digits", latent_dim=6, hidden=[20]),
        tiny("digits", latent_dim=6, hidden=[20], relax=0.5),
        tiny("digits", latent_dim=6, hidden=[20], penalty="kl-to-rate", strength=0.1),
    ],
)
def sparse_ae(
    spec: DataSpec,
    *,
    latent_dim: int = 200,
    dense: Dense = Dense(hidden=(200,), activation="relu", scale=1.0),
    penalty: Literal["l1", "kl-to-rate"] = "l1",
    strength: float = 0.1,
    rate: float = 0.05,
    relaxation: Relaxation = Relaxation(),
) -> Pair:
    """A wide code of which few values are on: energy + strength ||z||_1, or energy + strength sum_j KL(rate || mean of z_j).

    The L1 norm is a prior, z_j ~ Laplace(0, 1 / strength): log p(z) = -strength ||z||_1 + d log(strength / 2), so that the
    pair trains by its log joint at the code (objective ``energy``). The code is rectified, so that it has zeros, and the
    decoder is a dictionary of atoms of length 1, since otherwise a smaller code with larger atoms would cost nothing. The
    divergence to a rate is of the mean activation over a batch, the prior of no datum: it is a modifier of the objective
    (``sparsity``). Its code is a sigmoid; let the optimizer decay the weights, which are free there.

    Args:
        hidden: sizes of the hidden layers of the encoder; the decoder is linear.
        penalty: "l1" or "kl-to-rate".
        strength: weight of the penalty.
        rate: mean activation of "kl-to-rate".
        scale: of a gaussian (a number, 'shared' or 'predicted') or discretized-logistic likelihood; 1 is half the squared
            error.
        relax: with "l1", scale of a Gaussian around the code, which makes of the pair a density; 0 for a point.

    References: Olshausen and Field, Emergence of Simple-Cell Receptive Field Properties by Learning a Sparse Code for Natural
    Images, 1996 (the Laplace prior); Ng, Sparse Autoencoder (CS294A lecture notes), 2011 (the rate).
    """
    if not strength > 0:
        raise OptionError(f"strength is {strength!r}; expected a positive number, the weight of the penalty.")
    if penalty not in ("l1", "kl-to-rate"):
        raise nearest("penalty", penalty, ("l1", "kl-to-rate"))
    encoder = dense.encoder(latent_dim)
    if penalty == "l1":
        dictionary, likelihood = dense.start(lambda n: Dictionary(latent_dim, spec.shape, n))
        model = models.SparseAE(dictionary, likelihood, latent_dim, strength)
        guide = relaxation.guide(nn.Sequential(encoder, nn.ReLU()))
        return Pair(model, guide, "elbo" if relaxation.relax else "energy")
    model = models.AE(*replace(dense, hidden=()).decoder(latent_dim), latent_dim)
    guide = guides.Deterministic(nn.Sequential(encoder, nn.Sigmoid()))
    return Pair(model, guide, {"name": "sparsity", "weight": strength, "rate": rate})
