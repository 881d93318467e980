"""VAEs of one and two levels with a VampPrior."""

from __future__ import annotations

from typing import Literal

from torch import nn

from pyrovae import guides, models
from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.distributions import likelihoods
from pyrovae.distributions.vampprior import PseudoInputs, VampPrior
from pyrovae.errors import nearest
from pyrovae.nets.mlp import MLP, BranchedMLP, MLPDecoder, MLPEncoder
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.vae import Activation, LikelihoodName, Scale, start_decoder

__all__ = ["hvae", "vamp_vae"]

Range = Literal["hardtanh", "sigmoid", "none"]


def _vamp_prior(encoder: nn.Module, spec: DataSpec, num: int, bounds: str | None, mean: float, std: float) -> VampPrior:
    bounds = bounds or ("none" if spec.kind == "real" else "hardtanh")
    return VampPrior(encoder, PseudoInputs(num, spec.shape, bounds, mean, std))


@recipe("vamp-vae", "Tomczak and Welling, VAE with a VampPrior", 2018)
def vamp_vae(
    spec: DataSpec,
    *,
    latent_dim: int = 40,
    hidden: list[int] | tuple[int, ...] = (300, 300),
    activation: Activation = "gated",
    pseudo_inputs: int = 500,
    pseudo_range: Range | None = None,
    pseudo_mean: float = 0.05,
    pseudo_std: float = 0.01,
    likelihood: LikelihoodName | None = None,
    scale: Scale = "shared",
) -> Pair:
    """A VAE with the prior p(z) = (1/M) sum_m q(z | u_m), u_m learned; its standard counterpart is ``vae`` of these options.

    The pseudo-inputs start at noise; to start them at M data, ``pair.model.prior.pseudo_inputs.start_at(x)`` before training.

    Args:
        pseudo_inputs: M, how many there are (K in the paper).
        pseudo_range: what keeps them in [0, 1]: by default hardtanh, as in the paper, or none for real data.
        pseudo_mean: of the normal law from which their pixels start (the paper's for MNIST).
        pseudo_std: of that law.

    References: Tomczak and Welling, VAE with a VampPrior, 2018, Eq. (9).
    """
    law = likelihoods.build(likelihood, spec.shape, spec.kind, spec.levels, scale)
    encoder = MLPEncoder(spec.shape, hidden, 2 * latent_dim, activation)
    decoder = MLPDecoder(latent_dim, list(reversed(hidden)), spec.shape, law.num_params, activation)
    start_decoder(decoder, law, spec)
    prior = _vamp_prior(encoder, spec, pseudo_inputs, pseudo_range, pseudo_mean, pseudo_std)
    return Pair(models.VAE(decoder, law, latent_dim, prior), guides.DiagonalGaussian(encoder))


@recipe("hvae", "Tomczak and Welling, VAE with a VampPrior", 2018)
def hvae(
    spec: DataSpec,
    *,
    prior: Literal["standard", "vampprior"] = "vampprior",
    latent_dim: int = 40,
    lower_dim: int = 40,
    hidden: list[int] | tuple[int, ...] = (300, 300),
    activation: Activation = "gated",
    pseudo_inputs: int = 500,
    pseudo_range: Range | None = None,
    pseudo_mean: float = 0.05,
    pseudo_std: float = 0.01,
    likelihood: LikelihoodName | None = None,
    scale: Scale = "shared",
) -> Pair:
    """The two-level VAE: p(z2) p(z1 | z2) p(x | z1, z2), guide q(z2 | x) q(z1 | x, z2), p(z2) standard or a VampPrior.

    Args:
        prior: p(z2): standard, N(0, I), or vampprior, (1/M) sum_m q(z2 | u_m).
        latent_dim: e, the dimension of z2.
        lower_dim: d, the dimension of z1.
        hidden: sizes of the hidden layers of every network; those of several inputs have the first layer for each of them.
        pseudo_inputs: M, how many there are (K in the paper).
        pseudo_range: what keeps them in [0, 1]: by default hardtanh, as in the paper, or none for real data.
        pseudo_mean: of the normal law from which their pixels start (the paper's for MNIST).
        pseudo_std: of that law.

    References: Tomczak and Welling, VAE with a VampPrior, 2018, Section 4.
    """
    if prior not in ("standard", "vampprior"):
        raise nearest("prior", prior, ["standard", "vampprior"])
    law = likelihoods.build(likelihood, spec.shape, spec.kind, spec.levels, scale)
    features = MLP(latent_dim, hidden, 2 * lower_dim, activation)
    decoder = MLPDecoder([lower_dim, latent_dim], hidden, spec.shape, law.num_params, activation, branched=True)
    start_decoder(decoder, law, spec)
    upper = MLPEncoder(spec.shape, hidden, 2 * latent_dim, activation)
    lower = BranchedMLP([spec.shape, latent_dim], hidden, 2 * lower_dim, activation)
    vamp = None
    if prior == "vampprior":
        vamp = _vamp_prior(upper, spec, pseudo_inputs, pseudo_range, pseudo_mean, pseudo_std)
    return Pair(models.HVAE(features, decoder, law, latent_dim, vamp), guides.TopDownGaussian(upper, lower))
