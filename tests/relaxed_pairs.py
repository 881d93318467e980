"""A categorical VAE of four pixels, small enough to enumerate; programs that look their latent up."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pyro
import pyro.distributions as dist
import torch
from torch import nn

import pyrovae as pv

X = torch.tensor([[1.0, 0, 1, 1], [0, 0, 1, 0]])


def tiny_pair(num_variables=2, num_classes=3, scale=0.7):
    """A categorical VAE of four pixels, far from its posterior."""
    torch.manual_seed(0)
    spec = pv.data.DataSpec("toy", (4,), "binary")
    pair = pv.pairs.categorical_vae(spec, num_variables=num_variables, num_classes=num_classes, hidden=[5])
    with torch.no_grad():
        for p in [*pair.model.parameters(), *pair.guide.parameters()]:
            p.copy_(scale * torch.randn_like(p))
    return SimpleNamespace(model=pair.model, guide=pair.guide, batch={"x": X}, pair=pair)


def every_value(pair):
    """log p(x, z) and log q(z | x) at all values of z, (V, B) each, by hand."""
    n, c = pair.model.num_variables, pair.model.num_classes
    index = torch.cartesian_prod(*[torch.arange(c)] * n).reshape(-1, n)
    hot = index.float() if c == 2 else torch.eye(c)[index]
    logits = pair.guide.encoder(X)
    if c == 2:
        log_q = (hot.unsqueeze(1) * logits - nn.functional.softplus(logits)).sum(-1)
    else:
        log_q = (hot.unsqueeze(1) * logits.unflatten(-1, (n, c)).log_softmax(-1)).sum((-1, -2))
    likelihood = pair.model.likelihood(pair.model.decoder(hot.flatten(1))).log_prob(X.unsqueeze(1)).T
    return likelihood - n * math.log(c), log_q


def gradient(loss, pair, select="guide"):
    """The gradient of a loss of the guide's or the model's parameters, flat."""
    params = list(getattr(pair, select).parameters())
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, params, retain_graph=True)])


class Looks(nn.Module):
    """A model whose latent is a class by number, or a one-hot vector that it looks up."""

    def __init__(self, by):
        super().__init__()
        self.by, self.table = by, nn.Embedding(3, 4)

    def forward(self, x):
        logits = torch.zeros(3)
        with pyro.plate("data", len(x), dim=-1):
            if self.by == "number":
                h = self.table(pyro.sample("z", dist.Categorical(logits=logits)))
            elif self.by == "vector":
                z = pyro.sample("z", dist.OneHotCategorical(logits=logits))
                h = self.table.weight[z.bool().nonzero()[:, -1]].unflatten(0, z.shape[:-1])
            else:
                z = pyro.sample("z", dist.Normal(torch.zeros(4), 1.0).to_event(1))
                h = z
            pyro.sample("x", dist.Bernoulli(logits=h).to_event(1), obs=x)


class LooksGuide(nn.Module):
    """Its guide, without an encoder."""

    def __init__(self, by):
        super().__init__()
        self.by, self.logits = by, nn.Parameter(torch.zeros(3 if by != "normal" else 4))

    def forward(self, x):
        family = {"number": dist.Categorical, "vector": dist.OneHotCategorical}.get(self.by)
        fn = dist.Normal(self.logits, 1.0).to_event(1) if family is None else family(logits=self.logits)
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("z", fn)
