"""DRAW's generative model, in steps: a canvas that is drawn on, and seen at the end."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
from torch import Tensor, nn

from pyrovae.nets import LSTMCell, Window

__all__ = ["DRAW"]


class DRAW(nn.Module):
    """p(x, z) = Bernoulli(x; sigmoid(c_T)) prod_t N(z_t; 0, I), c_t = c_t-1 + write(h_t), h_t = LSTM(h_t-1; z_t).

    The canvas c_0 is learned; each datum begins with it, and with h_0 = 0.

    Sites: at each step ``z``, (d,); after the last one ``x``, (H, W).

    Args:
        cell: h, c and z_t to the next h and c.
        out: h_t to what is written: (..., N N) through a window, or (..., H W).
        canvas: c_0, (H, W), as logits.
        latent_dim: d.
        num_steps: T.
        window: through which h_t writes; None for the whole image.

    References: Gregor, Danihelka, Graves, Rezende and Wierstra, DRAW: A Recurrent Neural Network For Image Generation, 2015.
    """

    def __init__(
        self,
        cell: LSTMCell,
        out: nn.Module,
        canvas: Tensor,
        latent_dim: int,
        num_steps: int,
        window: Window | None = None,
    ) -> None:
        super().__init__()
        self.cell, self.out, self.window, self.num_steps = cell, out, window, num_steps
        self.canvas, self.latent_dim = nn.Parameter(canvas), latent_dim

    def init(self, x: Tensor) -> dict[str, Tensor]:
        """h_0 and the cell's memory, (B, hidden), and c_0, (B, H, W)."""
        zeros = self.canvas.new_zeros(len(x), self.cell.recurrent.shape[1])
        return {"h": zeros, "memory": zeros, "canvas": self.canvas.expand(len(x), *self.canvas.shape)}

    def step(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """One step of the model, p."""
        z = pyro.sample("z", dist.Normal(self.canvas.new_zeros(self.latent_dim), 1.0).to_event(1))
        h, memory = self.cell(state["h"], state["memory"], z)
        drawn = self.out(h)
        if self.window is None:
            drawn = drawn.unflatten(-1, self.canvas.shape)
        else:
            drawn = self.window.write(h, drawn.unflatten(-1, (self.window.size, self.window.size)))
        return {"h": h, "memory": memory, "canvas": state["canvas"] + drawn}

    def last(self, state: dict[str, Tensor], x: Tensor) -> None:
        """The image, after the last step."""
        pyro.sample("x", dist.Bernoulli(logits=state["canvas"]).to_event(2), obs=x)
