"""DRAW's posterior, in steps: what is still wrong with the canvas, read and remembered."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
import torch
from torch import Tensor, nn

from pyrovae.nets import LSTMCell, Window

__all__ = ["DRAWGuide"]


class DRAWGuide(nn.Module):
    """q(z | x) = prod_t N(z_t; mu(e_t), s(e_t)^2), e_t = LSTM(e_t-1; r_t, h_t-1), r_t = read(x, x - sigmoid(c_t-1), h_t-1).

    h and the canvas c are the model's. The KL to the prior is sum_t (|mu|^2 + |s|^2 - log |s|^2 - d) / 2: with T/2 in place of
    T d / 2, as in some public code, it is too small by T (d - 1) / 2, and losses near 70 nats come of that.

    Site of a step: ``z``, (d,).

    Args:
        cell: e, its memory, r_t and h_t-1 to the next e and memory.
        out: e_t to the mean and logarithm of the scale of z_t, (..., 2d).
        window: through which the guide reads; None for the whole image.

    References: Gregor, Danihelka, Graves, Rezende and Wierstra, DRAW: A Recurrent Neural Network For Image Generation, 2015,
    Eq. (11) of the KL.
    """

    def __init__(self, cell: LSTMCell, out: nn.Module, window: Window | None = None) -> None:
        super().__init__()
        self.cell, self.out, self.window = cell, out, window

    def init(self, x: Tensor) -> dict[str, Tensor]:
        """e_0 and its memory, (B, hidden)."""
        zeros = self.cell.recurrent.new_zeros(len(x), self.cell.recurrent.shape[1])
        return {"seen": zeros, "seen_memory": zeros}

    def step(self, state: dict[str, Tensor], x: Tensor) -> dict[str, Tensor]:
        """One step of the guide, q, on the whole of x."""
        error = x - state["canvas"].sigmoid()
        whole = self.window is None
        read = torch.cat([x.expand(error.shape), error], -2) if whole else self.window.read(state["h"], x, error)
        seen, memory = self.cell(state["seen"], state["seen_memory"], read.flatten(-2), state["h"])
        loc, log_scale = self.out(seen).chunk(2, -1)
        pyro.sample("z", dist.Normal(loc, log_scale.exp()).to_event(1))
        return {"seen": seen, "seen_memory": memory}
