"""The deep convolutional inverse graphics network as it was trained: clamped codes and replaced gradients."""

from __future__ import annotations

from typing import Literal

from pyrovae import guides, models
from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.needs import VARYING
from pyrovae.pairs.tiny import tiny
from pyrovae.parts import Convolutional

__all__ = ["clamped_dc_ign"]


@recipe(
    "Kulkarni et al.",
    "Deep Convolutional Inverse Graphics Network",
    2015,
    objective="clamped",
    needs=[VARYING],
    tiny=[tiny("varying", rest_dim=2, channels=[2], hidden=8)],
)
def clamped_dc_ign(
    spec: DataSpec,
    *,
    rest_dim: int = 10,
    clamp: Literal["mean", "first"] = "mean",
    convolutional: Convolutional = Convolutional(),
) -> Pair:
    """Groups that vary in one factor, by transform ``varying``: codes of the others are clamped to a value of the group.

    Trained by objective ``clamped``: no slope of the reconstruction reaches a clamped code's encoder, and a small pull to the
    group's mean does. ``dc-ign`` is the model of such groups in which they share the codes.

    Args:
        rest_dim: codes of all that has no code of its own.
        clamp: to the group's mean, as the paper says, or to its first datum's code, as its code does.
        hidden: size of the dense layer between the convolutions and the codes.

    References: Kulkarni, Whitney, Kohli and Tenenbaum, Deep Convolutional Inverse Graphics Network, 2015.
    """
    each, latent_dim = convolutional.of_steps(), spec.keys["varied"].shape[0] - 1 + rest_dim
    model = models.ClampedDCIGN(*each.decoder(latent_dim), latent_dim, clamp)
    return model, guides.EachGaussian(each.encoder(2 * latent_dim))
