"""Any guide on a corrupted input: denoising autoencoders and denoising variational autoencoders."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

__all__ = ["Denoising"]


class Denoising(nn.Module):
    """q(z | c), c ~ p(c | x) a corruption of x that the data bring with them: over corruptions a mixture.

        q~(z | x) = E_p(c|x)[q(z | c)]

    The density of the mixture is an integral, and is nowhere needed: for each c the guide q(z | c) is a distribution of z
    like any other, so that E_q(z|c)[p(x, z) / q(z | c)] = p(x), and every bound and estimate of log p(x) that is made with
    the c of the batch is one. (Put differently, c is an auxiliary variable whose reverse model is p(c | x) itself, and
    cancels in the weight.) Averaged over c the ELBO is

        E_p(c|x) L[q(. | c)] = L[q~] - I(z; c | x) <= L[q~] <= log p(x)

    Where the batch has no corrupted input the guide sees x itself, which is as valid and usually tighter.

    Args:
        guide: of x.

    References: Vincent et al., Extracting and Composing Robust Features with Denoising Autoencoders, 2008; Im et al.,
    Denoising Criterion for Variational Auto-Encoding Framework, 2017; Agakov and Barber, An Auxiliary Variational Method,
    2004.
    """

    def __init__(self, guide: nn.Module) -> None:
        super().__init__()
        self.guide = guide

    def forward(self, x: Tensor, x_corrupted: Tensor | None = None) -> Any:
        """Run the guide, q, on a batch of B data."""
        return self.guide(x if x_corrupted is None else x_corrupted)
