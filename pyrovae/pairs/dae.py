"""Denoising autoencoders, deterministic and variational: the guide reads a corrupted x, the model scores the clean one."""

from __future__ import annotations

from pyrovae import guides, models
from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.errors import OptionError
from pyrovae.nets.mlp import MLPEncoder
from pyrovae.pairs.ae import decoder_of
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.vae import Activation, LikelihoodName, Posterior, Scale, vae

__all__ = ["dae", "dvae"]


def _require_corruption(spec: DataSpec) -> None:
    if "x_corrupted" not in spec.covariates:
        raise OptionError(
            f"{spec.name} has no corrupted x: transform the data, as in transforms=['corrupt:process=masking,rate=0.25'], or "
            "process=gaussian, or process=salt-and-pepper."
        )


@recipe("dae", "Vincent et al., Extracting and Composing Robust Features with Denoising Autoencoders", 2008)
def dae(
    spec: DataSpec,
    *,
    latent_dim: int = 50,
    hidden: list[int] | tuple[int, ...] = (200, 200),
    activation: Activation = "tanh",
    likelihood: LikelihoodName | None = None,
    scale: Scale = "shared",
) -> Pair:
    """A denoising autoencoder: z = f(c), c ~ p(c | x) a corruption of x, energy -log p(x | f(c)); no log p(x).

        energy(x) = E_p(c|x)[-log p(x | f(c))]

    The mean of x given c is the best reconstruction under a squared error, so that what is learned points from corrupted
    inputs back to where data are. Its relaxation to a density is ``dvae``.

    Args:
        spec: description of data with corrupted inputs (transform ``corrupt``), ``data.spec``.

    References: Vincent et al., Extracting and Composing Robust Features with Denoising Autoencoders, 2008; Vincent et al.,
    Stacked Denoising Autoencoders, 2010.
    """
    _require_corruption(spec)
    decoder, law = decoder_of(spec, latent_dim, hidden, activation, likelihood, scale)
    encoder = MLPEncoder(spec.shape, hidden, latent_dim, activation)
    return Pair(models.Autoencoder(decoder, law, latent_dim), guides.Denoising(guides.Deterministic(encoder)), "energy")


@recipe("dvae", "Im et al., Denoising Criterion for Variational Auto-Encoding Framework", 2017)
def dvae(
    spec: DataSpec,
    *,
    latent_dim: int = 50,
    hidden: list[int] | tuple[int, ...] = (200, 200),
    activation: Activation = "tanh",
    likelihood: LikelihoodName | None = None,
    scale: Scale = "shared",
    posterior: Posterior = "diagonal",
    num_components: int = 5,
) -> Pair:
    """The denoising VAE: z ~ q(z | c), c ~ p(c | x), over corruptions a mixture; E_p(c|x)[ELBO(q(. | c))] <= log p(x).

        L = E_p(c|x) E_q(z|c)[log p(x, z) - log q(z | c)]

    For each c this is the ELBO of a guide of z, so that L is a lower bound whatever the corruption. It lies below the ELBO of
    the mixture q~(z | x) = E_p(c|x)[q(z | c)], whose density nobody has, by the mutual information I(z; c | x): what noise
    teaches the encoder, the bound pays for. log p(x) is estimated with the x_corrupted of the data at hand, given which
    q(z | c) is a proposal like any other; with the transform's ``parts="train"`` that is the clean x of valid and test data.

    Args:
        spec: description of data with corrupted inputs (transform ``corrupt``), ``data.spec``.
        posterior: family of q(z | c).
        num_components: of a mixture.

    References: Im et al., Denoising Criterion for Variational Auto-Encoding Framework, 2017.
    """
    _require_corruption(spec)
    options = {"hidden": hidden, "activation": activation, "likelihood": likelihood, "scale": scale}
    pair = vae(spec, latent_dim=latent_dim, posterior=posterior, num_components=num_components, **options)
    return Pair(pair.model, guides.Denoising(pair.guide), "meanfield")
