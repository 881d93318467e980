"""Warps of images: bilinear reading at moved places, affine maps by the matrix exponential, flows and where they fold."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pyrovae.errors import OptionError
from pyrovae.nets.mlp import MLP

__all__ = ["AffineVelocity", "affine_flow", "affine_matrix", "folds", "total_variation", "warp"]

SQUARINGS = 6  # of the matrix exponential: its series is of a 64th of the velocity
TERMS = 9  # of that series; the next is below 1e-12 for velocities up to 6
MOST_VELOCITY = 3.0  # of an entry, which keeps every place finite


def warp(images: Tensor, flow: Tensor) -> Tensor:
    """Images read at moved places, (..., H, W): ``out[i, j] = image(i + flow[0, i, j], j + flow[1, i, j])``.

    Bilinear between pixels; a place beyond the edge has the value at the edge, so that no pixel gets a value that the image
    has not (zeros outside would be a probability of 0). Displacements are in pixels, first of the row, then of the column:
    there is no second order of axes, and no question of ``align_corners``. At a flow of zero the output is the image, bitwise.

    Args:
        images: (..., H, W).
        flow: (..., 2, H, W), whose leading axes broadcast against those of the images.

    >>> image = torch.arange(6.0).reshape(2, 3)
    >>> warp(image, torch.stack([torch.zeros(2, 3), torch.full((2, 3), 0.5)]))
    tensor([[0.5000, 1.5000, 2.0000],
            [3.5000, 4.5000, 5.0000]])
    """
    height, width = images.shape[-2:]
    if flow.shape[-3:] != (2, height, width):
        raise OptionError(f"flow has shape {tuple(flow.shape)}; expected (..., 2, {height}, {width}), as the images have.")
    rows = torch.arange(height, device=flow.device, dtype=flow.dtype).unsqueeze(-1)
    columns = torch.arange(width, device=flow.device, dtype=flow.dtype)
    row = (rows + flow[..., 0, :, :]).clamp(0, height - 1)
    column = (columns + flow[..., 1, :, :]).clamp(0, width - 1)
    top, left = row.detach().floor(), column.detach().floor()
    down, right = row - top, column - left
    above, before = top.long(), left.long()
    below, after = (above + 1).clamp(max=height - 1), (before + 1).clamp(max=width - 1)
    lead = torch.broadcast_shapes(images.shape[:-2], flow.shape[:-3])
    flat = images.expand(*lead, height, width).flatten(-2)

    def at(i: Tensor, j: Tensor) -> Tensor:
        return flat.gather(-1, (i * width + j).expand(*lead, height, width).flatten(-2)).unflatten(-1, (height, width))

    upper = at(above, before) * (1 - right) + at(above, after) * right
    lower = at(below, before) * (1 - right) + at(below, after) * right
    return upper * (1 - down) + lower * down


def affine_matrix(velocity: Tensor) -> Tensor:
    """exp of a velocity, as the upper rows of the matrix of an affine map, (..., 2, 3): u -> M[:, :2] u + M[:, 2].

    exp(-v) is the inverse of exp(v), whatever v. By scaling and squaring, (sum_k (v/64)^k / k!)^64, which a compiled step can
    trace; relative error below 1e-5 in float32, for entries up to 3.

    Args:
        velocity: (..., 2, 3), the upper rows of a 3 x 3 matrix whose last row is zero.

    References: Detlefsen and Hauberg, Explicit Disentanglement of Appearance and Perspective in Generative Models, 2019,
    Section 3; Higham, The Scaling and Squaring Method for the Matrix Exponential Revisited, 2005.

    >>> affine_matrix(torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.0, 2.0]]))
    tensor([[1., 0., 1.],
            [0., 1., 2.]])
    """
    small = torch.cat([velocity, torch.zeros_like(velocity[..., :1, :])], -2) / 2**SQUARINGS
    result = one = torch.eye(3, dtype=velocity.dtype, device=velocity.device)
    for k in range(TERMS, 0, -1):  # Horner's rule
        result = one + small @ result / k
    for _ in range(SQUARINGS):
        result = result @ result
    return result[..., :2, :]


def affine_flow(matrix: Tensor, height: int, width: int) -> Tensor:
    """The displacements of an affine map about the middle of an image, in pixels, (..., 2, H, W).

    The unit of the map is half the longer side, first of the row and then of the column.

    Args:
        matrix: (..., 2, 3), u -> M[:, :2] u + M[:, 2].
        height: H.
        width: W.
    """
    unit = max(max(height, width) - 1, 1) / 2
    rows = (torch.arange(height, device=matrix.device, dtype=matrix.dtype) - (height - 1) / 2) / unit
    columns = (torch.arange(width, device=matrix.device, dtype=matrix.dtype) - (width - 1) / 2) / unit
    places = torch.stack(torch.meshgrid(rows, columns, indexing="ij"))
    moved = torch.einsum("...ij,jhw->...ihw", matrix[..., :2], places) + matrix[..., 2, None, None]
    return unit * (moved - places)


def total_variation(flow: Tensor) -> Tensor:
    """sum |f[i + 1, j] - f[i, j]| + |f[i, j + 1] - f[i, j]| over both displacements and all places, in pixels, (...).

    Args:
        flow: (..., 2, H, W).

    References: Rudin, Osher and Fatemi, Nonlinear Total Variation Based Noise Removal Algorithms, 1992 (each axis by itself).

    >>> total_variation(torch.arange(3.0).expand(2, 2, 3))
    tensor(8.)
    """
    return flow.diff(dim=-2).abs().sum((-3, -2, -1)) + flow.diff(dim=-1).abs().sum((-3, -2, -1))


def folds(flow: Tensor) -> Tensor:
    """The share of places at which a flow folds the image: det d(u + f)/du < 0 by differences to the next pixel, (...).

    Args:
        flow: (..., 2, H, W).

    >>> folds(torch.zeros(2, 4, 4)), folds(torch.stack([torch.zeros(3, 3), -2.0 * torch.arange(3.0).expand(3, 3)]))
    (tensor(0.), tensor(1.))
    """
    down, right = flow.diff(dim=-2)[..., :, :-1], flow.diff(dim=-1)[..., :-1, :]
    jacobian = (1 + down[..., 0, :, :]) * (1 + right[..., 1, :, :]) - down[..., 1, :, :] * right[..., 0, :, :]
    return (jacobian < 0).to(flow.dtype).mean((-2, -1))


class AffineVelocity(nn.Module):
    """z, (..., d), to a velocity of affine maps, (..., 2, 3), of entries in -3..3 that start around 0: no map at first.

    Args:
        latent_dim: d.
        hidden: sizes of the hidden layers.
        activation: of them.
    """

    def __init__(self, latent_dim: int, hidden: Sequence[int], activation: str = "tanh") -> None:
        super().__init__()
        self.mlp = MLP(latent_dim, hidden, 6, activation)
        with torch.no_grad():
            self.mlp[-1].weight.mul_(0.1)

    def forward(self, z: Tensor) -> Tensor:
        """The output of the module, of the shape that its class states."""
        return (MOST_VELOCITY * torch.tanh(self.mlp(z) / MOST_VELOCITY)).unflatten(-1, (2, 3))
