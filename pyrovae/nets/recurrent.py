"""Recurrent cells on the last axes: state and inputs may have any leading axes, which broadcast."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from pyrovae.nets.mlp import JointMLP

__all__ = ["LSTMCell"]


class LSTMCell(nn.Module):
    """A long short-term memory of several inputs, vectors (..., n), whose leading axes broadcast, without copies of them.

        i, f, o = sigmoid(.), g = tanh(.) of W u + V h + b,   c' = f c + i g,   h' = o tanh(c')

    Args:
        inputs: sizes of the inputs u.
        hidden: size of h and c.

    References: Hochreiter and Schmidhuber, Long Short-Term Memory, 1997; the forget gate's bias starts at 1 (Jozefowicz et al.
    2015).

    >>> h, c = LSTMCell([3, 2], 8)(torch.zeros(5, 7, 8), torch.zeros(5, 7, 8), torch.zeros(7, 3), torch.zeros(5, 7, 2))
    >>> h.shape
    torch.Size([5, 7, 8])
    """

    def __init__(self, inputs: Sequence[int], hidden: int) -> None:
        super().__init__()
        self.inputs = JointMLP(inputs, [], 4 * hidden)
        self.recurrent = nn.Parameter(torch.empty(4 * hidden, hidden))
        nn.init.xavier_uniform_(self.recurrent)
        with torch.no_grad():
            self.inputs[0].bias[hidden : 2 * hidden] = 1.0

    def forward(self, h: Tensor, c: Tensor, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        """The next h and c, (..., hidden) each."""
        i, f, o, g = (self.inputs(*inputs) + linear(h, self.recurrent)).chunk(4, -1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        return o.sigmoid() * c.tanh(), c
