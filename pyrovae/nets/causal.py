"""Networks of sequences whose output at a step sees the steps before it alone: recurrent, convolutional, masked."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, linear, pad

from pyrovae.nets.recurrent import LSTMCell

__all__ = ["MADE", "CausalConv", "CausalRNN", "ContextRNN", "MaskedConv"]


class Causal(nn.Module):
    """Base: x, (..., T, D), and a context c of each datum, (..., C), to (..., T, out); step t sees x_1, ..., x_t-1 and c.

    Attributes:
        step_dim: D.
    """

    def __init__(self, step_dim: int, hidden: int, context_dim: int = 0) -> None:
        super().__init__()
        self.step_dim = step_dim
        self.from_context = nn.Linear(context_dim, hidden) if context_dim else None

    def context(self, c: Tensor | None) -> Tensor | float:
        """What a context adds to the hidden units of every step, (..., 1, hidden)."""
        return 0.0 if self.from_context is None or c is None else self.from_context(c).unsqueeze(-2)


class CausalRNN(Causal):
    """An LSTM of the steps before; draws take one pass, step by step.

    Args:
        step_dim: D.
        hidden: size of the LSTM's state.
        out_features: numbers for each step.
        context_dim: C, 0 for none.

    >>> CausalRNN(3, 8, 2)(torch.zeros(5, 7, 3)).shape
    torch.Size([5, 7, 2])
    """

    def __init__(self, step_dim: int, hidden: int, out_features: int, context_dim: int = 0) -> None:
        super().__init__(step_dim, hidden, context_dim)
        self.hidden, self.cell, self.out = hidden, LSTMCell([step_dim], hidden), nn.Linear(hidden, out_features)

    def start(self, lead: torch.Size, like: Tensor, c: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The state before the first step, (*lead, hidden)."""
        zeros = like.new_zeros(*lead, self.hidden)
        return zeros, zeros

    def at(self, state: tuple[Tensor, Tensor], c: Tensor | None = None) -> Tensor:
        """The output at a step, (..., out), given the state of those before."""
        added = self.context(c)
        h: Tensor = state[0] + (added.squeeze(-2) if isinstance(added, Tensor) else added)
        out: Tensor = self.out(h)
        return out

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """The output of the module, of the shape that its class states."""
        state, states = self.start(x.shape[:-2], x), []
        for t in range(x.shape[-2]):
            states.append(state[0])
            state = self.cell(*state, x[..., t, :])
        out: Tensor = self.out(torch.stack(states, -2) + self.context(c))
        return out


class ContextRNN(Causal):
    """A plain recurrent network that a context starts, and that sees nothing of it later; draws take one pass, step by step.

        h_1 = f(W_c c + b_c),   out_t = W_o h_t + b_o,   h_t+1 = f(W h_t + W_x x_t + b),   f = tanh

    Args:
        step_dim: D.
        hidden: size of h.
        out_features: numbers for each step.
        context_dim: C, at least 1.

    References: Fabius and van Amersfoort, Variational Recurrent Auto-Encoders, 2014.

    >>> ContextRNN(3, 8, 2, 4)(torch.zeros(5, 7, 3), torch.zeros(6, 5, 4)).shape
    torch.Size([6, 5, 7, 2])
    """

    def __init__(self, step_dim: int, hidden: int, out_features: int, context_dim: int) -> None:
        super().__init__(step_dim, hidden, context_dim)
        self.activation, self.out = nn.Tanh(), nn.Linear(hidden, out_features)
        self.recurrent, self.inputs = nn.Linear(hidden, hidden, bias=False), nn.Linear(step_dim, hidden)

    def start(self, lead: torch.Size, like: Tensor, c: Tensor | None = None) -> tuple[Tensor]:
        """The state before the first step, (*lead, hidden)."""
        first: Tensor = self.activation(self.from_context(c))  # type: ignore[misc]
        return (first.expand(*lead, -1),)

    def at(self, state: tuple[Tensor], c: Tensor | None = None) -> Tensor:
        """The output at a step, (..., out), given the state of those before."""
        out: Tensor = self.out(state[0])
        return out

    def cell(self, h: Tensor, x: Tensor) -> tuple[Tensor]:
        """The state after a step, (..., hidden)."""
        return (self.activation(self.recurrent(h) + self.inputs(x)),)

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """The output of the module, of the shape that its class states."""
        inputs, states = self.inputs(x), [self.activation(self.from_context(c))]  # type: ignore[misc]
        for t in range(x.shape[-2] - 1):
            states.append(self.activation(self.recurrent(states[-1]) + inputs[..., t, :]))
        states[0] = states[0].expand(states[-1].shape)
        out: Tensor = self.out(torch.stack(states, -2))
        return out


class CausalConv(Causal):
    """Dilated convolutions of the steps before, each layer reaching twice as far back.

    Args:
        step_dim: D.
        hidden: channels.
        out_features: numbers for each step.
        context_dim: C, 0 for none.
        layers: of dilations 1, 2, 4, ...
        kernel: steps that a convolution sees.

    References: van den Oord et al., WaveNet, 2016, Section 2.1.

    >>> CausalConv(3, 8, 2)(torch.zeros(4, 5, 7, 3)).shape
    torch.Size([4, 5, 7, 2])
    """

    def __init__(
        self, step_dim: int, hidden: int, out_features: int, context_dim: int = 0, layers: int = 3, kernel: int = 2
    ) -> None:
        super().__init__(step_dim, hidden, context_dim)
        self.first = nn.Conv1d(step_dim, hidden, kernel)
        self.layers = nn.ModuleList(nn.Conv1d(hidden, hidden, kernel, dilation=2 ** (i + 1)) for i in range(layers))
        self.out = nn.Linear(hidden, out_features)

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """The output of the module, of the shape that its class states."""
        steps = x.reshape(-1, *x.shape[-2:]).transpose(-1, -2)
        h = self.first(pad(steps, (self.first.kernel_size[0], -1)))  # of the steps before, not of this one
        h = h.transpose(-1, -2).reshape(*x.shape[:-1], -1) + self.context(c)
        lead = h.shape[:-2]
        h = h.reshape(-1, *h.shape[-2:]).transpose(-1, -2).tanh()
        for layer in self.layers:
            reach = layer.dilation[0] * (layer.kernel_size[0] - 1)
            h = h + layer(pad(h, (reach, 0))).tanh()
        out: Tensor = self.out(h.transpose(-1, -2).reshape(*lead, x.shape[-2], -1))
        return out


class MADE(Causal):
    """Dense layers of T single numbers in their order, masked so that the output at one sees the numbers before it.

        m_j of hidden unit j spread evenly over 1, ..., T - 1;  W_ji kept where m_j >= i,  V_ij kept where i > m_j

    Args:
        num_steps: T; D is 1.
        hidden: sizes of the hidden layers.
        out_features: numbers for each step.
        context_dim: C, 0 for none.

    References: Germain, Gregor, Murray and Larochelle, MADE: Masked Autoencoder for Distribution Estimation, 2015, Eq. (8)
    and (9).

    >>> MADE(6, [20], 2)(torch.zeros(5, 6, 1)).shape
    torch.Size([5, 6, 2])
    """

    def __init__(self, num_steps: int, hidden: Sequence[int], out_features: int, context_dim: int = 0) -> None:
        super().__init__(1, hidden[0], context_dim)
        self.out_features = out_features
        degrees = [torch.arange(1, num_steps + 1)]
        degrees += [1 + torch.arange(size) * max(1, num_steps - 1) // size for size in hidden]
        sizes = [len(each) for each in degrees]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(sizes))
        self.layers.append(nn.Linear(sizes[-1], num_steps * out_features))
        masks = [later.unsqueeze(1) >= before for before, later in itertools.pairwise(degrees)]
        masks.append((degrees[0].unsqueeze(1) > degrees[-1]).repeat_interleave(out_features, 0))
        for i, mask in enumerate(masks):
            self.register_buffer(f"mask_{i}", mask.float(), persistent=False)

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """The output of the module, of the shape that its class states."""
        h, *others = x.squeeze(-1), *self.layers
        for i, layer in enumerate(others):
            h = linear(h if i == 0 else h.relu(), layer.weight * getattr(self, f"mask_{i}"), layer.bias)
            added = self.context(c) if i == 0 else 0.0
            h = h + (added.squeeze(-2) if isinstance(added, Tensor) else added)
        return h.unflatten(-1, (-1, self.out_features))


class MaskedConv(Causal):
    """Convolutions of an image (H, W) whose output at a pixel sees those above it and to the left, row by row.

    The first layer leaves the pixel itself out (mask A), the others see its features (mask B), each with a shortcut.

    Args:
        shape: H, W; T is H W.
        hidden: channels.
        out_features: numbers for each pixel.
        context_dim: C, 0 for none.
        layers: after the first.
        kernel: odd, the width of the first; the others have 3.
        step_dim: D, numbers of a pixel.

    References: van den Oord, Kalchbrenner and Kavukcuoglu, Pixel Recurrent Neural Networks, 2016, Section 3.4 and Figure 2.

    >>> MaskedConv((4, 4), 8, 1)(torch.zeros(5, 16, 1)).shape
    torch.Size([5, 16, 1])
    """

    def __init__(
        self,
        shape: tuple[int, int],
        hidden: int,
        out_features: int,
        context_dim: int = 0,
        layers: int = 3,
        kernel: int = 5,
        step_dim: int = 1,
    ) -> None:
        super().__init__(step_dim, hidden, context_dim)
        self.shape = tuple(shape)
        self.layers = nn.ModuleList([nn.Conv2d(step_dim, hidden, kernel, padding=kernel // 2)])
        self.layers.extend(nn.Conv2d(hidden, hidden, 3, padding=1) for _ in range(layers))
        for i, layer in enumerate(self.layers):
            size = layer.kernel_size[0]
            order, centre = torch.arange(size * size).reshape(size, size), (size * size) // 2
            self.register_buffer(f"mask_{i}", (order < centre + (i > 0)).float(), persistent=False)
        self.out = nn.Linear(hidden, out_features)

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """The output of the module, of the shape that its class states."""
        pixels = x.reshape(-1, *x.shape[-2:]).transpose(1, 2).unflatten(2, self.shape)
        h = self._convolve(pixels, 0)
        h = h.flatten(2).transpose(1, 2).reshape(*x.shape[:-1], -1) + self.context(c)
        lead, image = h.shape[:-1], (-1, *self.shape)
        h = h.reshape(-1, *h.shape[-2:]).transpose(1, 2).unflatten(2, image[1:])
        for i in range(1, len(self.layers)):
            h = h + self._convolve(h.relu(), i)
        out: Tensor = self.out(h.relu().flatten(2).transpose(1, 2).reshape(*lead, -1))
        return out

    def _convolve(self, h: Tensor, i: int) -> Tensor:
        layer = self.layers[i]
        return conv2d(h, layer.weight * getattr(self, f"mask_{i}"), layer.bias, padding=layer.padding)
