"""The deep convolutional inverse graphics network on groups that vary in one factor."""

from __future__ import annotations

from pyrovae import guides, models
from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.needs import VARYING
from pyrovae.pairs.tiny import tiny
from pyrovae.parts import Convolutional

__all__ = ["dc_ign"]


@recipe(
    "Kulkarni et al.",
    "Deep Convolutional Inverse Graphics Network",
    2015,
    sites=["z", "v"],
    objective="meanfield",
    needs=[VARYING],
    tiny=[tiny("varying", rest_dim=2, channels=[2], hidden=8)],
)
def dc_ign(spec: DataSpec, *, rest_dim: int = 10, convolutional: Convolutional = Convolutional()) -> Pair:
    """Groups that vary in one factor, by transform ``varying``: its code is drawn for each datum, all others once a group.

    The first F codes are the named factors', in their order. The paper's own rule of gradients is of
    ``clamped-dc-ign``.

    Args:
        rest_dim: codes of all that has no code of its own.
        hidden: size of the dense layer between the convolutions and the codes.

    References: Kulkarni, Whitney, Kohli and Tenenbaum, Deep Convolutional Inverse Graphics Network, 2015.
    """
    each, latent_dim = convolutional.of_steps(), spec.keys["varied"].shape[0] - 1 + rest_dim
    return models.DCIGN(*each.decoder(latent_dim), latent_dim), guides.DCIGNGuide(each.encoder(2 * latent_dim))
