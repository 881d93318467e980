"""The autoregressive model of data without latents."""

from __future__ import annotations

from typing import Literal

from pyrovae import guides, models
from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.distributions import AutoregressiveBernoulli, AutoregressiveGaussian
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.tiny import tiny
from pyrovae.parts import causal_network

__all__ = ["autoregressive"]


@recipe(
    "Germain, Gregor, Murray and Larochelle",
    "MADE: Masked Autoencoder for Distribution Estimation",
    2015,
    sites=[],
    kinds=["binary", "real"],
    tiny=[
        tiny("digits", hidden=[20]),
        tiny("digits", network="convolution", hidden=[6]),
    ],
)
def autoregressive(
    spec: DataSpec, *, network: Literal["made", "convolution", "recurrent"] = "made", hidden: tuple[int, ...] = (500,)
) -> Pair:
    """No latent: each value given those before it, with the exact log p(x), the baseline of every model with latents.

    Args:
        network: 'made', masked dense layers, or 'convolution', masked ones of an image (H, W): values in their order; or
            'recurrent', an LSTM of rows (T, D), whose values are independent given the rows before.
        hidden: sizes of the hidden layers; one number for a convolution's channels (of four layers) or an LSTM's state.

    References: Germain et al., MADE: Masked Autoencoder for Distribution Estimation, 2015; van den Oord, Kalchbrenner and
    Kavukcuoglu, Pixel Recurrent Neural Networks, 2016.
    """
    family = AutoregressiveBernoulli if spec.kind == "binary" else AutoregressiveGaussian
    net = causal_network(spec, network, hidden, 1 if spec.kind == "binary" else 2)
    return models.Autoregressive(net, spec.shape, family), guides.NoLatents()
