"""Windows of an image through grids of Gaussian filters: what is read there, and what is written."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pyrovae.errors import OptionError

__all__ = ["Window", "filterbank"]


def filterbank(centre: Tensor, stride: Tensor, variance: Tensor, size: int, length: int) -> Tensor:
    """The weights of N filters over the pixels 1, ..., A of an axis, (..., N, A), each row of sum 1.

        F_ia proportional to exp(-(a - mu_i)^2 / (2 s^2)),   mu_i = g + (i - N/2 - 1/2) delta,   i = 1, ..., N

    Args:
        centre: g, (...), in pixels counted from 1.
        stride: delta, (...).
        variance: s^2, (...).
        size: N.
        length: A.

    References: Gregor et al., DRAW: A Recurrent Neural Network For Image Generation, 2015, of Eq. (19) to (29). (In
    public code grids lie one pixel beside the centre, where i or a counts from 0, and vertical filters are made of mu_x.)

    >>> bank = filterbank(torch.tensor(3.0), torch.tensor(1.0), torch.tensor(1e-4), 3, 5)
    >>> bank.round().int().tolist()
    [[0, 1, 0, 0, 0], [0, 0, 1, 0, 0], [0, 0, 0, 1, 0]]
    """
    i, a = (torch.arange(1, n + 1, device=centre.device, dtype=centre.dtype) for n in (size, length))
    means = centre.unsqueeze(-1) + (i - size / 2 - 0.5) * stride.unsqueeze(-1)
    distance = (a - means.unsqueeze(-1)).square() / (2 * variance[..., None, None])
    return (-distance).softmax(-1)  # normalized without a division by what may underflow


class Window(nn.Module):
    """A window of N x N filters on images (..., H, W), placed by the state of a network, (..., hidden).

        (g~_X, g~_Y, log s^2, log delta~, log gamma) = W h,   g_X = (A + 1) / 2 (g~_X + 1),   g_Y = (B + 1) / 2 (g~_Y + 1)
        delta = (max(A, B) - 1) / (N - 1) delta~,   read = gamma F_Y x F_X',   write = F_Y' w F_X / gamma

    Args:
        hidden: size of h.
        shape: H, W of the images: B and A in the paper.
        size: N, at least 2.

    References: Gregor et al., DRAW: A Recurrent Neural Network For Image Generation, 2015, Eq. (21) to (29).

    >>> Window(8, (5, 7), 2).read(torch.zeros(3, 4, 8), torch.zeros(4, 5, 7)).shape
    torch.Size([3, 4, 2, 2])
    """

    def __init__(self, hidden: int, shape: tuple[int, int], size: int) -> None:
        super().__init__()
        if size < 2:
            raise OptionError(f"a window of attention has size {size}; expected at least 2 filters a side.")
        self.shape, self.size = shape, size
        self.place = nn.Linear(hidden, 5)

    def filters(self, h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """F_Y, (..., N, H), F_X, (..., N, W), and gamma, (..., 1, 1)."""
        x, y, log_variance, log_stride, log_intensity = self.place(h).unbind(-1)
        height, width = self.shape
        stride = (max(self.shape) - 1) / (self.size - 1) * log_stride.exp()
        across = filterbank((width + 1) / 2 * (x + 1), stride, log_variance.exp(), self.size, width)
        down = filterbank((height + 1) / 2 * (y + 1), stride, log_variance.exp(), self.size, height)
        return down, across, log_intensity.exp()[..., None, None]

    def read(self, h: Tensor, *images: Tensor) -> Tensor:
        """What the window shows of each image, side by side, (..., n N, N)."""
        down, across, intensity = self.filters(h)
        return torch.cat([intensity * (down @ image @ across.mT) for image in images], -2)

    def write(self, h: Tensor, patch: Tensor) -> Tensor:
        """A patch, (..., N, N), on an empty image, (..., H, W)."""
        down, across, intensity = self.filters(h)
        return down.mT @ patch @ across / intensity
