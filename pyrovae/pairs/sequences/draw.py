"""DRAW, which draws an image on a canvas step by step."""

from __future__ import annotations

import torch
from torch import nn

from pyrovae import guides, models
from pyrovae.core.pair import Pair
from pyrovae.core.steps import unroll
from pyrovae.data import DataSpec
from pyrovae.errors import OptionError
from pyrovae.nets import LSTMCell, Window
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.needs import IMAGES
from pyrovae.pairs.tiny import tiny

__all__ = ["draw"]


@recipe(
    "Gregor, Danihelka, Graves, Rezende and Wierstra",
    "DRAW: A Recurrent Neural Network For Image Generation",
    2015,
    kinds=["binary"],
    needs=[IMAGES],
    only={"read_size": {"attention": True}, "write_size": {"attention": True}},
    tiny=[
        tiny("digits", latent_dim=2, num_steps=3, recurrent_dim=9, read_size=2, write_size=3),
        tiny("digits", latent_dim=2, num_steps=2, recurrent_dim=9, attention=False),
    ],
)
def draw(
    spec: DataSpec,
    *,
    latent_dim: int = 100,
    num_steps: int = 10,
    recurrent_dim: int = 256,
    attention: bool = True,
    read_size: int = 2,
    write_size: int = 5,
) -> Pair:
    """A latent z_t at each of T steps, each of which adds to a canvas that is the image (H, W) at the end.

    Args:
        latent_dim: d, the dimension of each z_t.
        num_steps: T; 64 in the paper.
        recurrent_dim: size of the two LSTMs.
        attention: whether steps read and write through windows that they place, or the whole image.
        read_size: filters a side of the window that is read, at least 2.
        write_size: filters a side of the window that is written.

    References: Gregor, Danihelka, Graves, Rezende and Wierstra, DRAW: A Recurrent Neural Network For Image Generation, 2015;
    on MNIST as binarized once -80.97 nats with attention and -87.40 without were published, at T = 64, by the ELBO.
    """
    if spec.kind != "binary" or len(spec.shape) != 2:
        raise OptionError(
            f"pair draw does not score {spec.kind} data of shape {spec.shape}; it draws binary images (H, W): binarize them."
        )
    height, width = spec.shape
    sizes = (read_size, write_size) if attention else (None, None)
    reads, writes = (size and Window(recurrent_dim, (height, width), size) for size in sizes)
    drawn = write_size**2 if attention else height * width
    seen = 2 * read_size**2 if attention else 2 * height * width
    mean = torch.zeros(height, width) if spec.mean is None else spec.mean.reshape(height, width).clamp(1e-3, 1 - 1e-3).logit()
    cell = LSTMCell([latent_dim], recurrent_dim)
    model = models.DRAW(cell, nn.Linear(recurrent_dim, drawn), mean, latent_dim, num_steps, writes)
    encoder = LSTMCell([seen, recurrent_dim], recurrent_dim)
    return unroll(model, guides.DRAWGuide(encoder, nn.Linear(recurrent_dim, 2 * latent_dim), reads))
