"""Sparse autoencoders: an L1 penalty that is a Laplace prior, or a penalty of the codes' mean activation that is no prior."""

from __future__ import annotations

from typing import Literal

from torch import nn

from pyrovae import models
from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.distributions import likelihoods
from pyrovae.errors import OptionError, nearest
from pyrovae.nets.codes import Dictionary
from pyrovae.nets.mlp import MLPEncoder
from pyrovae.pairs.ae import decoder_of, point_or_gaussian
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.vae import Activation, LikelihoodName, Scale, start_decoder

__all__ = ["sparse_ae"]


@recipe("sparse-ae", "Ng, Sparse Autoencoder (CS294A lecture notes)", 2011)
def sparse_ae(
    spec: DataSpec,
    *,
    latent_dim: int = 200,
    hidden: list[int] | tuple[int, ...] = (200,),
    activation: Activation = "relu",
    penalty: Literal["l1", "kl-to-rate"] = "l1",
    strength: float = 1.0,
    rate: float = 0.05,
    likelihood: LikelihoodName | None = None,
    scale: Scale = 1.0,
    relax: float = 0.0,
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
    encoder = MLPEncoder(spec.shape, hidden, latent_dim, activation)
    if not strength > 0:
        raise OptionError(f"strength is {strength!r}; expected a positive number, the weight of the penalty.")
    if penalty == "l1":
        law = likelihoods.build(likelihood, spec.shape, spec.kind, spec.levels, scale)
        dictionary = Dictionary(latent_dim, spec.shape, law.num_params)
        start_decoder(dictionary, law, spec)
        guide = point_or_gaussian(nn.Sequential(encoder, nn.ReLU()), relax)
        return Pair(models.SparseCoding(dictionary, law, latent_dim, strength), guide, "elbo" if relax else "energy")
    if penalty != "kl-to-rate":
        raise nearest("penalty", penalty, ("l1", "kl-to-rate"))
    if relax:
        raise OptionError("relax goes with penalty='l1', whose Laplace law is a prior; 'kl-to-rate' has no density.")
    decoder, law = decoder_of(spec, latent_dim, (), activation, likelihood, scale)
    guide = point_or_gaussian(nn.Sequential(encoder, nn.Sigmoid()), 0)
    objective = {"name": "sparsity", "weight": strength, "rate": rate}
    return Pair(models.Autoencoder(decoder, law, latent_dim), guide, objective)
