"""The rows of the entry ``speed`` as a good user would write them without any library: one module, its bound by hand.

Each takes the networks of the row's pair (plain torch layers), so that weights can be compared by name; none of its programs.
Constants cancel between log p(z) and log q(z | x); particles broadcast, the encoder runs once per datum.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, log_softmax

import pyrovae as pv
from benchmarks.speed.rows import Row

__all__ = ["hand_written"]


class Hand(nn.Module):
    """``forward(x)`` is the mean bound over the batch, x (B, 28, 28)."""

    def __init__(self, pair: pv.Pair, particles: int) -> None:
        super().__init__()
        self.model, self.guide, self.particles = pair.model, pair.guide, particles


def draw(features: Tensor, *lead: int) -> tuple[Tensor, Tensor]:
    """z (*lead, ..., d) from means and log scales (..., 2d), and log p(z) - log q(z) for a standard p, summed over d."""
    loc, log_scale = features.chunk(2, -1)
    noise = torch.randn(*lead, *loc.shape, device=loc.device)
    z = loc + log_scale.exp() * noise
    return z, (log_scale + 0.5 * (noise.square() - z.square())).sum(-1)


def log_bernoulli(logits: Tensor, x: Tensor) -> Tensor:
    """log p(x) of logits (..., D), summed over D."""
    return -binary_cross_entropy_with_logits(logits, x.expand_as(logits), reduction="none").sum(-1)


class VAE(Hand):
    """The sampled ELBO, dense or convolutional."""

    def networks(self, x: Tensor) -> tuple[Tensor, Tensor]:
        z, log_ratio = draw(self.guide.encoder.mlp(x.flatten(1)))
        return self.model.decoder.mlp(z), log_ratio

    def forward(self, x: Tensor) -> Tensor:
        logits, log_ratio = self.networks(x)
        return (log_ratio.sum() - binary_cross_entropy_with_logits(logits.view_as(x), x, reduction="sum")) / len(x)


class ConvVAE(VAE):
    """The same with convolutions."""

    def networks(self, x: Tensor) -> tuple[Tensor, Tensor]:
        z, log_ratio = draw(self.guide.encoder.layers(x.unsqueeze(1)))
        return self.model.decoder.layers(z), log_ratio


class IWAE(Hand):
    """log (1/K) sum_k w_k."""

    def log_weight(self, x: Tensor) -> Tensor:
        """log w, (K, B)."""
        x = x.flatten(1)
        z, log_ratio = draw(self.guide.encoder.mlp(x), self.particles)
        return log_bernoulli(self.model.decoder.mlp(z), x) + log_ratio

    def forward(self, x: Tensor) -> Tensor:
        return self.log_weight(x).logsumexp(0).mean() - math.log(self.particles)


class TwoLayers(IWAE):
    """Burda's two stochastic layers."""

    def log_weight(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        loc1, log_scale1 = self.guide.z1(x).chunk(2, -1)
        noise = torch.randn(self.particles, *loc1.shape, device=x.device)
        z1 = loc1 + log_scale1.exp() * noise
        z2, log_ratio = draw(self.guide.z2(z1))
        loc, log_scale = self.model.z1(z2).chunk(2, -1)
        prior = 0.5 * (noise.square() - ((z1 - loc) * (-log_scale).exp()).square()) + log_scale1 - log_scale
        return log_bernoulli(self.model.x(z1), x) + log_ratio + prior.sum(-1)


class Enumerated(Hand):
    """The ELBO with y summed out, z drawn for each of its values: tensors of (C, B, ...)."""

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        log_q = log_softmax(self.guide.y(x), -1).T
        from_y = (self.guide.from_y.weight.T.unsqueeze(1), self.model.from_y.weight.T.unsqueeze(1))  # (C, 1, H)
        z, log_ratio = draw(self.guide.z(torch.tanh(self.guide.from_x(x) + from_y[0])))
        logits = self.model.x(torch.tanh(self.model.from_z(z) + from_y[1]))
        values = log_bernoulli(logits, x) + log_ratio - log_q - math.log(len(log_q))
        return (log_q.exp() * values).sum(0).mean()


class Recurrent(Hand):
    """The ELBO of the sequence: one loop over time for both recurrences, priors and decoder of all steps after it."""

    def forward(self, x: Tensor) -> Tensor:
        model, guide = self.model, self.guide
        inputs, own_inputs = model.cell.inputs(x).unbind(1), guide.cell.inputs(x).unbind(1)
        features = guide.encoder(x).unbind(1)
        h = own_h = x.new_zeros(len(x), model.hidden)
        noise = torch.randn(x.shape[1], len(x), model.z.out_features // 2, device=x.device)
        states, latents, log_scales = [], [], []
        for t in range(x.shape[1]):
            loc, log_scale = guide.z(torch.tanh(features[t] + guide.from_h(own_h))).chunk(2, -1)
            z = loc + log_scale.exp() * noise[t]
            states.append(h)
            latents.append(z)
            log_scales.append(log_scale)
            own_h, h = guide.cell(own_inputs[t], z, own_h), model.cell(inputs[t], z, h)
        h, z = torch.stack(states), torch.stack(latents)  # (T, B, ...)
        loc, log_scale = model.z(h).chunk(2, -1)
        kl = 0.5 * (((z - loc) * (-log_scale).exp()).square() - noise.square()) + log_scale - torch.stack(log_scales)
        logits = model.x(torch.tanh(model.from_z(z) + model.from_h(h)))
        log_x = binary_cross_entropy_with_logits(logits, x.transpose(0, 1), reduction="sum")
        return -(log_x + kl.sum()) / len(x)


def hand_written(row: Row, pair: pv.Pair) -> Hand:
    """The row's module, which shares the pair's weights."""
    kinds = {"vae": VAE if row.particles == 1 else IWAE, "conv": ConvVAE, "two-layers": TwoLayers}
    return {**kinds, "enumerated": Enumerated, "sequence": Recurrent}[row.kind](pair, row.particles)
