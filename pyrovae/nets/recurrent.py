"""Recurrent cells on the last axes: state and inputs may have any leading axes, which broadcast."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.fx.experimental.proxy_tensor import get_proxy_mode
from torch.nn.functional import linear, relu, softplus

from pyrovae.nets.counts import as_float
from pyrovae.nets.mlp import MIN_SCALE, JointMLP

__all__ = ["GatedTransition", "LSTMCell", "Recurrent", "lstm_states"]


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


def lstm_states(lstm: nn.LSTM, x: Tensor, h: Tensor, c: Tensor) -> Tensor:
    """The states of an LSTM of one layer, batch first, (B, T, hidden), from h and c, (1, B, hidden).

    Step by step where a graph is traced: the gradient of oneDNN's own LSTM wants a workspace that a graph has not.
    """
    if get_proxy_mode() is None:
        found: Tensor = lstm(x, (h, c))[0]
        return found
    inputs, states, h, c = linear(x, lstm.weight_ih_l0, lstm.bias_ih_l0), [], h[0], c[0]
    for t in range(x.shape[1]):
        i, f, g, o = (inputs[:, t] + linear(h, lstm.weight_hh_l0, lstm.bias_hh_l0)).chunk(4, -1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        states.append(h)
    return torch.stack(states, 1)


CELLS = {"tanh": nn.RNN, "gru": nn.GRU}


class Recurrent(nn.Module):
    """A recurrent network over whole sequences, (B, T, *shape) to its states, (B, T, hidden), forwards or backwards.

        forwards h_t = cell(h_t-1, x_t);  backwards h_t = cell(h_t+1, x_t), from h = 0 beyond each datum's own last step

    Of data with ``lengths`` no state within a datum depends on what lies beyond it.

    Args:
        in_features: values of a step.
        hidden: size of h.
        cell: 'tanh', a plain layer of this nonlinearity (a rectifier's states explode), or 'gru' (Cho et al. 2014).
        backwards: from the last step to the first.

    >>> Recurrent(3, 8, "gru", backwards=True)(torch.zeros(5, 7, 3), torch.tensor([7, 1, 2, 3, 4])).shape
    torch.Size([5, 7, 8])
    """

    def __init__(self, in_features: int, hidden: int, cell: str = "tanh", backwards: bool = False) -> None:
        super().__init__()
        self.net = CELLS[cell](in_features, hidden, batch_first=True)
        self.hidden, self.backwards = hidden, backwards

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """The output of the module, of the shape that its class states."""
        steps = as_float(x).flatten(2)
        steps = reverse_steps(steps, lengths) if self.backwards else steps
        with torch.autocast(steps.device.type, enabled=False):
            states: Tensor = self.net(steps.to(self.net.weight_hh_l0.dtype))[0]
        return reverse_steps(states, lengths) if self.backwards else states

    def step(self, h: Tensor, x: Tensor) -> Tensor:
        """The state after one step of a 'gru', (..., hidden), by the same weights, whose leading axes broadcast."""
        net = self.net
        new = linear(x, net.weight_ih_l0, net.bias_ih_l0)
        r, u, n = new.chunk(3, -1)
        old_r, old_u, old_n = linear(h, net.weight_hh_l0, net.bias_hh_l0).chunk(3, -1)
        u = (u + old_u).sigmoid()
        return (1 - u) * (n + (r + old_r).sigmoid() * old_n).tanh() + u * h


def reverse_steps(x: Tensor, lengths: Tensor | None) -> Tensor:
    """Steps (B, T, D) from the last of each datum to the first; those beyond ``lengths`` stay where they are.

    >>> reverse_steps(torch.tensor([[[1], [2], [3]], [[4], [5], [6]]]), torch.tensor([3, 2]))[..., 0].tolist()
    [[3, 2, 1], [5, 4, 6]]
    """
    if lengths is None:
        return x.flip(1)
    t, last = torch.arange(x.shape[1], device=x.device), lengths.unsqueeze(1).long() - 1
    index = torch.where(t <= last, last - t, t)
    return x.gather(1, index.unsqueeze(-1).expand_as(x))


class GatedTransition(nn.Module):
    """The mean and scale, (..., d), of the next state of z, (..., d), and other inputs, whose leading axes broadcast.

        g = sigmoid(f(z, .)),   h = f'(z, .),   mean = (1 - g) (W z + b) + g h,   scale = softplus(V relu(h) + c)

    W starts as the identity, b at zero, so that the state starts near where it was; scales stay above 0.001.

    Args:
        latent_dim: d.
        hidden: size of the hidden layers of f and f'.
        others: sizes of the other inputs.

    References: Krishnan, Shalit and Sontag, Structured Inference Networks for Nonlinear State Space Models, 2017, the
    gated transition function.

    >>> [each.shape for each in GatedTransition(2, 8, [3])(torch.zeros(5, 7, 2), torch.zeros(7, 3))]
    [torch.Size([5, 7, 2]), torch.Size([5, 7, 2])]
    """

    def __init__(self, latent_dim: int, hidden: int, others: Sequence[int] = ()) -> None:
        super().__init__()
        self.gate = JointMLP([latent_dim, *others], [hidden], latent_dim, "relu")
        self.proposed = JointMLP([latent_dim, *others], [hidden], latent_dim, "relu")
        self.linear, self.raw_scale = nn.Linear(latent_dim, latent_dim), nn.Linear(latent_dim, latent_dim)
        nn.init.eye_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, z: Tensor, *others: Tensor) -> tuple[Tensor, Tensor]:
        """The output of the module, of the shape that its class states."""
        gate, proposed = self.gate(z, *others).sigmoid(), self.proposed(z, *others)
        loc = (1 - gate) * self.linear(z) + gate * proposed
        return loc, softplus(self.raw_scale(relu(proposed))) + MIN_SCALE
