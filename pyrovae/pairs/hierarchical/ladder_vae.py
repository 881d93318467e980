"""The ladder VAE."""

from __future__ import annotations

from itertools import pairwise

from pyrovae import guides, models
from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.errors import OptionError
from pyrovae.nets import Ladder, NormalizedMLP
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.tiny import tiny
from pyrovae.parts import Dense

__all__ = ["ladder_vae"]


@recipe(
    "Sonderby et al.",
    "Ladder Variational Autoencoders",
    2016,
    sites=["z2", "z1"],
    objective="meanfield",
    tiny=[tiny("digits", latent_dims=[4, 3], widths=[16, 8], hidden=[16])],
)
def ladder_vae(
    spec: DataSpec,
    *,
    latent_dims: list[int] | tuple[int, ...] = (64, 32, 16, 8, 4),
    widths: list[int] | tuple[int, ...] = (512, 256, 128, 64, 64),
    dense: Dense = Dense(hidden=(512,), activation="elu"),
) -> Pair:
    """Several layers of latents whose guide corrects what the model expects by what the data say, with layer normalization.

    Upper layers are lost early in training without a warmup of the KL, ``fit(kl_warmup=...)``.

    Args:
        latent_dims: d_1, ..., d_L, from the lowest layer up.
        widths: units of the networks at each layer, as many.
        hidden: sizes of the hidden layers of the decoder.

    References: Sonderby, Raiko, Maaloe, Sonderby and Winther, Ladder Variational Autoencoders, 2016.
    """
    if len(latent_dims) != len(widths) or not latent_dims:
        raise OptionError(f"latent_dims has {len(latent_dims)} layers and widths {len(widths)}; give one width for each.")
    levels = list(zip(pairwise(latent_dims), widths, strict=False))
    top_down = [NormalizedMLP(above, [width, width], 2 * below) for (below, above), width in reversed(levels)]
    model = models.LadderVAE(top_down, *dense.decoder(latent_dims[0]), latent_dims[-1])
    return model, guides.LadderGaussian(Ladder(spec.shape, widths, latent_dims), top_down)
