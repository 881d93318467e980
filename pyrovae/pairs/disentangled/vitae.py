"""VITAE: appearance and perspective, each a latent of its own."""

from __future__ import annotations

from pyrovae import guides, models
from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.nets import AffineVelocity
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.needs import PLACES
from pyrovae.pairs.tiny import tiny
from pyrovae.parts import Dense

__all__ = ["vitae"]


@recipe(
    "Detlefsen and Hauberg",
    "Explicit Disentanglement of Appearance and Perspective in Generative Models",
    2019,
    sites=["z_A", "z_P"],
    objective="meanfield",
    needs=[PLACES],
    tiny=[
        tiny("digits", appearance_dim=3, perspective_dim=2, hidden=[16], perspective_hidden=[8]),
        tiny("grey", appearance_dim=3, perspective_dim=2, hidden=[16], perspective_hidden=[8], conditional=False),
    ],
)
def vitae(
    spec: DataSpec,
    *,
    appearance_dim: int = 10,
    perspective_dim: int = 2,
    conditional: bool = True,
    dense: Dense = Dense(),
    perspective_hidden: list[int] | tuple[int, ...] = (50,),
) -> Pair:
    """Images as an appearance z_A on a canvas, moved by an affine map of a perspective z_P, with exact inverse.

    Args:
        appearance_dim: d_A.
        perspective_dim: d_P.
        conditional: whether the guide reads the appearance off the image with its perspective taken back (C-VITAE), or off the
            image as it is (U-VITAE).
        hidden: sizes of the hidden layers of both encoders, and reversed of the canvas's decoder.
        perspective_hidden: sizes of the hidden layers from z_P to the velocity of the map.

    References: Detlefsen and Hauberg, Explicit Disentanglement of Appearance and Perspective in Generative Models, 2019.
    """
    velocity = AffineVelocity(perspective_dim, perspective_hidden, dense.activation)
    encoders = dense.encoder(2 * perspective_dim), dense.encoder(2 * appearance_dim)
    model = models.VITAE(*dense.decoder(appearance_dim), velocity, appearance_dim, perspective_dim)
    return model, guides.VITAEGuide(*encoders, velocity if conditional else None)
