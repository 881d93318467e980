"""Layers whose weights are divided by their largest singular value, so that no layer stretches a difference."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from pyrovae.errors import OptionError
from pyrovae.nets.mlp import MLPDecoder

__all__ = ["SpectralDecoder", "SpectralLinear", "spectral_norm"]

CONTRACTIONS = ("tanh", "sigmoid", "relu", "elu", "softplus")  # activations whose slope is at most 1


def spectral_norm(weight: Tensor) -> Tensor:
    """The largest singular value of a matrix, (m, n), 0-d, with its gradient u v', exact and without a state.

    From the eigenvectors of the smaller of W W' and W' W. Power iteration, which other code keeps in buffers, is below it
    until it converges.

    >>> spectral_norm(torch.tensor([[3.0, 0.0], [0.0, 4.0]]))
    tensor(4.)
    """
    with torch.no_grad():
        wide = weight.shape[0] < weight.shape[1]
        w = weight.T if wide else weight
        v = torch.linalg.eigh(w.T @ w).eigenvectors[:, -1]
        u = w @ v
        u = u / u.norm().clamp_min(torch.finfo(u.dtype).tiny)
        left, right = (v, u) if wide else (u, v)
    return left @ weight @ right


class SpectralLinear(nn.Linear):
    """x W' / sigma(W) + b, (..., in) to (..., out), sigma the largest singular value: a map of Lipschitz constant 1.

    References: Miyato, Kataoka, Koyama and Yoshida, Spectral Normalization for Generative Adversarial Networks, 2018, Eq. (8).
    """

    def forward(self, x: Tensor) -> Tensor:
        """The output of the module, of the shape that its class states."""
        return linear(x, self.weight / spectral_norm(self.weight), self.bias)


class SpectralDecoder(MLPDecoder):
    """z, (..., d), to the parameters of a likelihood, (..., P, *shape), of Lipschitz constant at most 1.

    Every layer is a :class:`SpectralLinear`, and the activation one of those that stretch nothing.

    Raises:
        OptionError: for another activation.
    """

    def __init__(
        self, latent_dim: int, hidden: Sequence[int], shape: Sequence[int], num_params: int = 1, activation: str = "tanh"
    ) -> None:
        if activation not in CONTRACTIONS:
            raise OptionError(
                f"activation is {activation!r}, which stretches differences, so that spectral norms of 1 do not bound the "
                f"decoder; expected one of {', '.join(CONTRACTIONS)}."
            )
        super().__init__(latent_dim, hidden, shape, num_params, activation)
        for number, layer in enumerate(self.mlp):
            if isinstance(layer, nn.Linear):
                new = SpectralLinear(layer.in_features, layer.out_features)
                new.load_state_dict(layer.state_dict())
                self.mlp[number] = new
