"""Five programs as Pyro's examples have them, written anew and tiny: names of plates and sites, styles and habits are theirs.

Each :class:`Example` is a pair, a batch by the programs' own keys, and Pyro's own ELBO for it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pyro
import pyro.distributions as dist
import torch
import torch.nn.functional as F
from pyro import poutine
from pyro.distributions import constraints
from pyro.infer import Trace_ELBO, TraceEnum_ELBO, config_enumerate
from torch import nn


@dataclass(frozen=True)
class Example:
    """A pair in Pyro's style; ``adapter`` holds the lines that a user writes beside the programs."""

    model: Callable
    guide: Callable
    batch: dict[str, torch.Tensor]
    loss: Any = field(default_factory=Trace_ELBO)
    sites: dict[str, str] = field(default_factory=dict)
    rows: bool = False


def grey_images(rows, side):
    return torch.rand(rows, 1, side, side)


# ------------------------------------------------------------------------------------------------ vae
class VAE(nn.Module):
    def __init__(self, pixels=16, z_dim=3, hidden=8):
        super().__init__()
        self.pixels, self.z_dim = pixels, z_dim
        self.encoder = nn.Sequential(nn.Linear(pixels, hidden), nn.Softplus(), nn.Linear(hidden, 2 * z_dim))
        self.decoder = nn.Sequential(nn.Linear(z_dim, hidden), nn.Softplus(), nn.Linear(hidden, pixels), nn.Sigmoid())

    def model(self, x):
        pyro.module("decoder", self.decoder)
        with pyro.plate("data", x.shape[0]):
            z_loc = torch.zeros(x.shape[0], self.z_dim, dtype=x.dtype, device=x.device)
            z_scale = torch.ones(x.shape[0], self.z_dim, dtype=x.dtype, device=x.device)
            z = pyro.sample("latent", dist.Normal(z_loc, z_scale).to_event(1))
            loc_img = self.decoder(z)
            pyro.sample("obs", dist.Bernoulli(loc_img, validate_args=False).to_event(1), obs=x.reshape(-1, self.pixels))
            return loc_img

    def guide(self, x):
        pyro.module("encoder", self.encoder)
        with pyro.plate("data", x.shape[0]):
            loc, log_scale = self.encoder(x.reshape(-1, self.pixels)).chunk(2, -1)
            pyro.sample("latent", dist.Normal(loc, log_scale.exp()).to_event(1))


def vae(grey=True):
    vae = VAE()
    x = grey_images(7, 4)
    return Example(vae.model, vae.guide, {"x": x if grey else (x > 0.5).float()})


# ------------------------------------------------------------------------------------------------ ss_vae_M2
class ConcatMLP(nn.Module):
    """A network of several inputs side by side, which it broadcasts over enumerated dimensions."""

    def __init__(self, size_in, size_out, hidden=8):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(size_in, hidden), nn.Softplus(), nn.Linear(hidden, size_out))

    def forward(self, inputs):
        shape = torch.broadcast_shapes(*[each.shape[:-1] for each in inputs])
        return self.layers(torch.cat([each.expand(*shape, -1) for each in inputs], -1))


class SSVAE(nn.Module):
    def __init__(self, output_size=4, input_size=16, z_dim=3):
        super().__init__()
        self.output_size, self.input_size, self.z_dim = output_size, input_size, z_dim
        self.encoder_y = nn.Sequential(nn.Linear(input_size, 8), nn.Softplus(), nn.Linear(8, output_size), nn.Softmax(-1))
        self.encoder_z = ConcatMLP(input_size + output_size, 2 * z_dim)
        self.decoder = ConcatMLP(z_dim + output_size, input_size)

    def model(self, xs, ys=None):
        pyro.module("ss_vae", self)
        batch_size = xs.size(0)
        with pyro.plate("data"):
            zs = pyro.sample(
                "z", dist.Normal(xs.new_zeros(batch_size, self.z_dim), xs.new_ones(batch_size, self.z_dim)).to_event(1)
            )
            alpha_prior = xs.new_ones(batch_size, self.output_size) / (1.0 * self.output_size)
            ys = pyro.sample("y", dist.OneHotCategorical(alpha_prior), obs=ys)
            loc = self.decoder([zs, ys]).sigmoid()
            pyro.sample("x", dist.Bernoulli(loc, validate_args=False).to_event(1), obs=xs)
            return loc

    def guide(self, xs, ys=None):
        with pyro.plate("data"):
            if ys is None:
                ys = pyro.sample("y", dist.OneHotCategorical(self.encoder_y(xs)))
            loc, log_scale = self.encoder_z([xs, ys]).chunk(2, -1)
            pyro.sample("z", dist.Normal(loc, log_scale.exp()).to_event(1))


def ss_vae(labels=False, grey=True):
    ss_vae = SSVAE()
    xs = grey_images(7, 4).flatten(1)
    batch = {"xs": xs if grey else (xs > 0.5).float()}
    if labels:
        batch["ys"] = F.one_hot(torch.arange(7) % 4, 4).float()
    guide = config_enumerate(ss_vae.guide, "parallel", expand=True)
    return Example(ss_vae.model, guide, batch, TraceEnum_ELBO(max_plate_nesting=1, strict_enumeration_warning=False))


# ------------------------------------------------------------------------------------------------ cvae
class Recognition(nn.Module):
    def __init__(self, pixels, z_dim, hidden=8):
        super().__init__()
        self.pixels, self.fc1, self.fc2 = pixels, nn.Linear(pixels, hidden), nn.Linear(hidden, 2 * z_dim)

    def forward(self, x, y):
        xc = x.clone()
        xc[x == -1] = y[x == -1]
        loc, log_scale = self.fc2(F.relu(self.fc1(xc.view(-1, self.pixels)))).chunk(2, -1)
        return loc, log_scale.exp()


class CVAE(nn.Module):
    def __init__(self, baseline_net, pixels=16, z_dim=3):
        super().__init__()
        self.pixels, self.baseline_net = pixels, baseline_net
        self.prior_net, self.recognition_net = Recognition(pixels, z_dim), Recognition(pixels, z_dim)
        self.generation_net = nn.Sequential(nn.Linear(z_dim, 8), nn.ReLU(), nn.Linear(8, pixels), nn.Sigmoid())

    def model(self, xs, ys=None):
        pyro.module("generation_net", self)
        batch_size = xs.shape[0]
        with pyro.plate("data"):
            with torch.no_grad():
                y_hat = self.baseline_net(xs.view(-1, self.pixels)).view(xs.shape)
            prior_loc, prior_scale = self.prior_net(xs, y_hat)
            zs = pyro.sample("z", dist.Normal(prior_loc, prior_scale).to_event(1))
            loc = self.generation_net(zs)
            if ys is not None:
                mask_loc = loc[(xs == -1).view(-1, self.pixels)].view(batch_size, -1)
                mask_ys = ys[xs == -1].view(batch_size, -1)
                pyro.sample("y", dist.Bernoulli(mask_loc, validate_args=False).to_event(1), obs=mask_ys)
            else:
                pyro.deterministic("y", loc.detach())
            return loc

    def guide(self, xs, ys=None):
        with pyro.plate("data"):
            if ys is None:
                y_hat = self.baseline_net(xs.view(-1, self.pixels)).view(xs.shape)
                loc, scale = self.prior_net(xs, y_hat)
            else:
                loc, scale = self.recognition_net(xs, ys)
            pyro.sample("z", dist.Normal(loc, scale).to_event(1))


def cvae(grey=True):
    cvae = CVAE(nn.Sequential(nn.Linear(16, 16), nn.Sigmoid()))
    ys = grey_images(7, 4).squeeze(1)
    ys = ys if grey else (ys > 0.5).float()
    xs = ys.clone()
    xs[:, :, :2] = -1
    return Example(cvae.model, cvae.guide, {"xs": xs, "ys": ys}, sites={"y": "ys"}, rows=True)


# ------------------------------------------------------------------------------------------------ scanvi
def make_fc(dims):
    layers = []
    for in_dim, out_dim in itertools.pairwise(dims):
        layers += [nn.Linear(in_dim, out_dim), nn.BatchNorm1d(out_dim), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def split_in_half(t):
    return t.reshape(*t.shape[:-1], 2, -1).unbind(-2)


class FlattenedFC(nn.Module):
    """Two inputs side by side, flattened to two dimensions so that batch norm takes them, and put back."""

    def __init__(self, dims):
        super().__init__()
        self.fc = make_fc(dims)

    def forward(self, one, other):
        shape = torch.broadcast_shapes(one.shape[:-1], other.shape[:-1])
        both = torch.cat([one.expand(*shape, -1), other.expand(*shape, -1)], -1)
        hidden = self.fc(both.reshape(-1, both.size(-1)))
        loc, scale = split_in_half(hidden.reshape(*shape, -1))
        return loc, F.softplus(scale)


class SCANVI(nn.Module):
    def __init__(self, num_genes=6, num_labels=3, latent_dim=2, l_loc=2.0, l_scale=0.4, alpha=0.1, scale_factor=1.0):
        super().__init__()
        self.num_genes, self.num_labels, self.latent_dim = num_genes, num_labels, latent_dim
        self.l_loc, self.l_scale, self.alpha, self.scale_factor = l_loc, l_scale, alpha, scale_factor
        self.z2_decoder = FlattenedFC([latent_dim + num_labels, 5, 2 * latent_dim])
        self.x_decoder = make_fc([latent_dim, 5, 2 * num_genes])
        self.z2l_encoder = make_fc([num_genes, 5, 2 * latent_dim + 2])
        self.classifier = make_fc([latent_dim, 5, num_labels])
        self.z1_encoder = FlattenedFC([num_labels + latent_dim, 5, 2 * latent_dim])
        self.epsilon = 5.0e-3

    def model(self, x, y=None):
        pyro.module("scanvi", self)
        theta = pyro.param("inverse_dispersion", 10.0 * x.new_ones(self.num_genes), constraint=constraints.positive)
        with pyro.plate("batch", len(x)), poutine.scale(scale=self.scale_factor):
            z1 = pyro.sample("z1", dist.Normal(0, x.new_ones(self.latent_dim)).to_event(1))
            y = pyro.sample("y", dist.OneHotCategorical(logits=x.new_zeros(self.num_labels)), obs=y)
            z2_loc, z2_scale = self.z2_decoder(z1, y)
            z2 = pyro.sample("z2", dist.Normal(z2_loc, z2_scale).to_event(1))
            l_scale = self.l_scale * x.new_ones(1)
            size = pyro.sample("l", dist.LogNormal(self.l_loc, l_scale).to_event(1))
            gate_logits, mu = split_in_half(self.x_decoder(z2))
            nb_logits = (size * mu.softmax(-1) + self.epsilon).log() - (theta + self.epsilon).log()
            x_dist = dist.ZeroInflatedNegativeBinomial(gate_logits=gate_logits, total_count=theta, logits=nb_logits)
            pyro.sample("x", x_dist.to_event(1), obs=x)

    def guide(self, x, y=None):
        pyro.module("scanvi", self)
        with pyro.plate("batch", len(x)), poutine.scale(scale=self.scale_factor):
            one, other = split_in_half(self.z2l_encoder(torch.log1p(x)))
            pyro.sample("l", dist.LogNormal(one[..., -1:], F.softplus(other[..., -1:])).to_event(1))
            z2 = pyro.sample("z2", dist.Normal(one[..., :-1], F.softplus(other[..., :-1])).to_event(1))
            y_dist = dist.OneHotCategorical(logits=self.classifier(z2))
            if y is None:
                y = pyro.sample("y", y_dist)
            else:
                classification_loss = y_dist.log_prob(y)
                pyro.factor("classification_loss", -self.alpha * classification_loss, has_rsample=False)
            z1_loc, z1_scale = self.z1_encoder(z2, y)
            pyro.sample("z1", dist.Normal(z1_loc, z1_scale).to_event(1))


def scanvi(labels=False):
    scanvi = SCANVI(scale_factor=1.0 / 50)
    batch = {"x": torch.poisson(torch.full((8, 6), 2.0))}
    if labels:
        batch["y"] = F.one_hot(torch.arange(8) % 3, 3).float()
    guide = config_enumerate(scanvi.guide, "parallel", expand=True)
    loss = TraceEnum_ELBO(max_plate_nesting=1, strict_enumeration_warning=False)
    return Example(scanvi.model, guide, batch, loss, rows=True)


# ------------------------------------------------------------------------------------------------ ProdLDA
class ProdLDA(nn.Module):
    def __init__(self, vocab_size=9, num_topics=3, hidden=6, dropout=0.2):
        super().__init__()
        self.num_topics = num_topics
        self.encoder = nn.Sequential(nn.Linear(vocab_size, hidden), nn.Softplus(), nn.Dropout(dropout))
        self.fcmu, self.fclv = nn.Linear(hidden, num_topics), nn.Linear(hidden, num_topics)
        self.bnmu = nn.BatchNorm1d(num_topics, affine=False)
        self.bnlv = nn.BatchNorm1d(num_topics, affine=False)
        self.decoder = nn.Sequential(nn.Dropout(dropout), nn.Linear(num_topics, vocab_size, bias=False))
        self.bn = nn.BatchNorm1d(vocab_size, affine=False)

    def model(self, docs):
        pyro.module("decoder", self.decoder)
        with pyro.plate("documents", docs.shape[0]):
            logtheta_loc = docs.new_zeros((docs.shape[0], self.num_topics))
            logtheta_scale = docs.new_ones((docs.shape[0], self.num_topics))
            logtheta = pyro.sample("logtheta", dist.Normal(logtheta_loc, logtheta_scale).to_event(1))
            count_param = F.softmax(self.bn(self.decoder(F.softmax(logtheta, -1))), dim=1)
            total_count = int(docs.sum(-1).max())
            pyro.sample("obs", dist.Multinomial(total_count, count_param), obs=docs)

    def guide(self, docs):
        pyro.module("encoder", self.encoder)
        with pyro.plate("documents", docs.shape[0]):
            h = self.encoder(docs)
            logtheta_loc, logtheta_logvar = self.bnmu(self.fcmu(h)), self.bnlv(self.fclv(h))
            pyro.sample("logtheta", dist.Normal(logtheta_loc, (0.5 * logtheta_logvar).exp()).to_event(1))


def prodlda():
    prodlda = ProdLDA()
    return Example(prodlda.model, prodlda.guide, {"docs": torch.poisson(torch.full((8, 9), 1.5))}, rows=True)


EXAMPLES = {
    "vae": vae,
    "vae, binary": lambda: vae(grey=False),
    "ss_vae": ss_vae,
    "ss_vae, labels": lambda: ss_vae(labels=True),
    "cvae": cvae,
    "scanvi": scanvi,
    "scanvi, labels": lambda: scanvi(labels=True),
    "prodlda": prodlda,
}

# what a user of pyrovae writes beside each program
ADAPTERS = {
    "vae": """
pair = pv.Pair(model, guide)
data = pv.data.load({"x": x})
like = None
""",
    "ss_vae": """
pair = pv.Pair(model, config_enumerate(guide, "parallel", expand=True))
data = pv.data.load({"xs": xs})
like = None
""",
    "ss_vae, labels": """
pair = pv.Pair(model, guide)
data = pv.data.load({"xs": xs, "ys": ys})
like = None
""",
    "cvae": """
pair = pv.Pair(model, guide, sites={"y": "ys"})
data = pv.data.load({"xs": xs, "ys": ys}, kinds={"xs": "real", "ys": "unit"})
like = {"xs": xs[:3]}
""",
    "scanvi": """
pair = pv.Pair(model, config_enumerate(guide, "parallel", expand=True))
data = pv.data.load({"x": x})
like = None
""",
    "scanvi, labels": """
pair = pv.Pair(model, guide)
data = pv.data.load({"x": x, "y": y}, kinds={"y": "binary"})
like = None
""",
    "prodlda": """
pair = pv.Pair(model, guide)
data = pv.data.load({"docs": docs})
like = {"docs": docs[:3]}
""",
}
ADAPTERS["vae, binary"] = ADAPTERS["vae"]
