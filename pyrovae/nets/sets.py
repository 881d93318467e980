"""Networks of sets: what is pooled over items does not depend on their order."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pyrovae.nets.counts import as_float

__all__ = ["SetEncoder", "items_there", "of_items", "pooled"]


def items_there(x: Tensor, lengths: Tensor | None) -> Tensor | None:
    """Which of the n items of x, (B, n, ...), each set has, (B, n); None where it has all.

    >>> items_there(torch.zeros(2, 3, 1), torch.tensor([3, 1]))
    tensor([[ True,  True,  True],
            [ True, False, False]])
    """
    return None if lengths is None else torch.arange(x.shape[1], device=x.device) < lengths.unsqueeze(-1)


def of_items(loc: Tensor, scale: Tensor, size: int, there: Tensor | None) -> tuple[Tensor, Tensor]:
    """Mean and scale of the latent of each item, (..., n, d), which are 0 and 1 of items that are none.

    Both programs say so of them, so that their terms cancel, in every estimate and in a closed KL.

    Args:
        loc: the means, (..., n, d), or (..., 1, d) the same of all.
        scale: of the same shape.
        size: n.
        there: which of the items there are, (..., n); None for all.

    >>> of_items(torch.ones(1, 1, 2), torch.ones(1, 1, 2), 3, torch.tensor([[True, True, False]]))[0][0, :, 0]
    tensor([1., 1., 0.])
    """
    loc, scale = (each.expand(*each.shape[:-2], size, each.shape[-1]) for each in (loc, scale))
    if there is None:
        return loc, scale
    one = there.unsqueeze(-1)
    return torch.where(one, loc, torch.zeros_like(loc)), torch.where(one, scale, torch.ones_like(scale))


def pooled(h: Tensor, weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The mean of items' features, (..., n, F) to (..., F), and log(1 + n), (..., 1).

        mean = sum_i w_i h_i / max(1, sum_i w_i),   n = sum_i w_i

    Args:
        h: features, (..., n, F).
        weights: w, (..., n), 1 of the items that count and 0 of others; all count by default.

    >>> pooled(torch.tensor([[1.0], [3.0], [9.0]]), torch.tensor([1.0, 1.0, 0.0]))
    (tensor([2.]), tensor([1.0986]))
    """
    w = h.new_ones(h.shape[:-1]) if weights is None else weights.to(h.dtype)
    count = w.sum(-1, keepdim=True)
    return (w.unsqueeze(-1) * h).sum(-2) / count.clamp_min(1.0), torch.log1p(count)


class SetEncoder(nn.Module):
    """Items of one or several keys, (..., n, *shape) each, to the features of their set, (..., out), in any order the same.

        joint(mean_i each(item_i), log(1 + n))

    Args:
        each: of one item, from all its keys, to (..., F).
        joint: of the mean and the logarithm of one more than the number of items, to (..., out).

    References: Edwards and Storkey, Towards a Neural Statistician, 2017, Section 4.1; Zaheer et al., Deep Sets, 2017.
    """

    def __init__(self, each: nn.Module, joint: nn.Module) -> None:
        super().__init__()
        self.each, self.joint = each, joint

    def forward(self, *items: Tensor, weights: Tensor | None = None) -> Tensor:
        """The output of the module, of the shape that its class states; ``weights`` (..., n) say which items count."""
        found: Tensor = self.joint(*pooled(self.each(*map(as_float, items)), weights))
        return found
