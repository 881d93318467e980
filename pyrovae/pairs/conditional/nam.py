"""Mapping between two domains without pairs and without an adversary, through a generator that stands still."""

from __future__ import annotations

from dataclasses import replace

from pyrovae import guides, models
from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.distributions.likelihoods import build
from pyrovae.nets import LocalMap
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.needs import OTHER
from pyrovae.pairs.tiny import tiny
from pyrovae.parts import Dense, OfOther

__all__ = ["nam"]


@recipe(
    "Hoshen",
    "Non-Adversarial Mapping with VAEs",
    2018,
    objective="meanfield",
    needs=[OTHER],
    tiny=[tiny("unpaired", latent_dim=3, hidden=[16], map_channels=[4])],
)
def nam(
    spec: DataSpec,
    *,
    latent_dim: int = 20,
    dense: Dense = Dense(),
    map_channels: list[int] | tuple[int, ...] = (16, 16),
    identity: bool = False,
) -> Pair:
    """Images x as a learned map of images of another domain, of which a VAE is trained first and then stands still.

    Data with a second domain by transform ``unpaired``. An x is mapped to G(E[z | x]), the generator's image at its code
    (``pair.model.image``); per image, without the guide, by :func:`pyrovae.evaluation.best_codes`. Several seeds find several
    maps, of which the bound tells the best without labels (``fit_seeds(...).ranked``). Without a map as narrow as convolutions
    are, z is known up to a rotation alone, and what maps to what is not told by data.

    Args:
        hidden: sizes of the hidden layers of both encoders, and reversed of the generator.
        likelihood: of the generator; x is Gaussian about its map.
        scale: of that Gaussian: a number, or 'shared', one that is learned; and of a generator with one.
        map_channels: of the 5x5 convolutions of the map, after the image is resized to x's size.
        identity: start the map at the identity.

    References: Hoshen, Non-Adversarial Mapping with VAEs, 2018; Hoshen and Wolf, NAM: Non-Adversarial Unsupervised Domain
    Mapping, 2018.
    """
    other = DataSpec(spec.name, keys={"x": spec.keys["other"]})
    there = replace(dense, spec=other)
    first = models.VAE(*there.decoder(latent_dim), latent_dim), guides.DiagonalGaussian(there.encoder(2 * latent_dim))
    stage = Pair(OfOther(first[0]), OfOther(first[1]), "meanfield", sites={"x": "other"})
    likelihood = build("gaussian", spec.shape, spec.kind, spec.levels, dense.scale)
    mapping = LocalMap(other.shape, spec.shape, map_channels, identity=identity)
    if spec.mean is not None:
        mapping.start_at(spec.mean.unsqueeze(0))
    model = models.NAM(first[0].decoder, first[0].likelihood, mapping, likelihood, latent_dim)
    return Pair(model, guides.DiagonalGaussian(dense.encoder(2 * latent_dim)), "meanfield", stages=(stage,))
