"""GAN and VAE as sleep and wake: generators that learn from weighted draws, VAEs that learn from their own."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import softplus

from pyrovae.core.keys import drawn_keys, write_values
from pyrovae.core.program import innermost
from pyrovae.core.sites import site_masks
from pyrovae.core.trace import PairTrace, trace_pair
from pyrovae.errors import ContractError, OptionError
from pyrovae.nets import Discriminator
from pyrovae.objectives.checks import distance_figures
from pyrovae.objectives.elbo import MeanField
from pyrovae.objectives.objective import Given, Objective, Update, Updates
from pyrovae.objectives.vae_gan import image_site

__all__ = ["AAVAE", "IWGAN", "energy_score", "log_reversed", "normalized_odds"]

USUAL_HIDDEN, DEPTH = 128, 2
WEIGHTINGS = ("importance", "uniform")


class Judging(Objective):
    """Base of objectives with a discriminator of data and the model's own draws.

    It is the model's own, where that has one (``model.discriminator``), else two dense layers of leaky rectified units.

    Args:
        hidden: width of the discriminator's layers; None for the model's own discriminator, or 128.
        num_particles: K.
    """

    optimizers = {"discriminator": {"name": "Adam", "betas": (0.5, 0.999)}}

    def __init__(self, hidden: int | None, num_particles: int) -> None:
        super().__init__(num_particles)
        if hidden is not None:
            self.require("hidden", hidden, at_least=1)
        self.hidden = hidden

    @property
    def lacks_networks(self) -> bool:
        """Whether the discriminator is not made yet."""
        return self.networks is None

    def build(self, traced: PairTrace) -> None:
        """Take the model's discriminator, or make one for data like these, once."""
        if self.networks is not None:
            return
        own = None if traced.program is None else getattr(innermost(traced.program), "discriminator", None)
        if own is not None and self.hidden is not None:
            raise ContractError(
                f"the model brings a discriminator of its own, which hidden={self.hidden} is not for; leave it out."
            )
        x = traced.model_sites[image_site(traced, self)]["value"]
        sizes = [self.hidden or USUAL_HIDDEN] * DEPTH
        self.networks = own if own is not None else Discriminator(x.shape[1:], (), sizes, 0).to(x.device)

    def own_draws(self, given: Given) -> tuple[str, dict[str, Any]]:
        """The name of the model's observed site, and that site drawn by the model, (K, B, *shape)."""
        sites = self.prior(given)
        name, *others = [name for name, site in sites.items() if site["infer"].get("was_observed")]
        if others or site_masks(sites[name]):
            raise ContractError(
                f"{self!r} compares one whole site by a discriminator, and the model observes {', '.join([name, *others])}, "
                "or a part of it; use 'elbo'."
            )
        return name, sites[name]

    def judge(self, x: Tensor) -> Tensor:
        """The logit of D, above 0 where it takes x for data, x (..., *shape): (...)."""
        assert self.networks is not None
        logits: Tensor = self.networks(x)
        return logits


class IWGAN(Judging):
    """The importance-weighted GAN: the model's draws that are taken for data count most.

        generator (model):  sum_i w_i softplus(-D(x_i)),   w_i = (q_i / (1 - q_i)) / sum_j q_j / (1 - q_j) = softmax_i D(x_i)
        discriminator:      E_data[softplus(-D(x))] + E_model[softplus(D(x))]

    over the K B draws x_i = G(z_i), z_i ~ p(z), of a batch, G the mean of the model's observed site and q = sigmoid(D) the
    probability of data. In the view of Hu et al. q is an inference network of the class y = data, and a GAN the sleep phase
    that fits it; q^r, which has the classes exchanged (:func:`log_reversed`), takes the place of the posterior in the
    generator's bound, and w are importance weights of q^r to q. Where D is 0 they are uniform, and the gradient is that of the
    plain GAN. The guide has no part, and does not move.

    What is reported is the energy score of the draws at each datum, (B,), **no** bound and not in nats:
    -E|x - x_i| + 1/2 E|x_i - x_j|, in units of x, in expectation largest where the draws have the distribution of the data;
    the discriminator has no part in it.

    Logged beside the losses: ``accuracy`` of D, its mean on data and on draws (``logit_data``, ``logit_draw``),
    ``effective_share``, 1 / (n sum w^2), and at each epoch's end ``draw_distance``, the sliced Wasserstein distance of draws
    to data, with ``draw_distance_null``, its 95% quantile between draws.

    Args:
        weighting: "importance", or "uniform" for the plain GAN.
        hidden: width of the discriminator's two layers, of leaky rectified units; None for the model's own
            (``model.discriminator``), or 128 where it has none.
        num_particles: K draws a datum.

    Raises:
        ContractError: several observed sites, or a masked one.

    References: Hu, Yang, Salakhutdinov and Xing, On Unifying Deep Generative Models, 2018, Lemma 1 and Section 4 (importance
    weighted GANs); Gneiting and Raftery, Strictly Proper Scoring Rules, 2007 (the energy score).
    """

    bound = "none"
    separable = False
    moves = {"generator": ("model",), "discriminator": ("objective",)}

    def __init__(self, weighting: str = "importance", hidden: int | None = None, num_particles: int = 1) -> None:
        super().__init__(hidden, num_particles)
        if weighting not in WEIGHTINGS:
            raise OptionError(f"weighting is {weighting!r}; expected 'importance' or 'uniform'.")
        self.weighting = weighting

    def updates(self, given: Given) -> Updates:
        """Both updates, at the same parameters and the same draws."""
        _, site = self.own_draws(given)
        x, drawn = site["infer"]["obs"], site["fn"].mean
        score = energy_score(x.flatten(1), drawn.detach().flatten(2).flatten(0, 1))
        on_x, on_drawn = self.judge(x), self.judge(drawn).flatten()
        weights = normalized_odds(on_drawn.detach())
        if self.weighting == "uniform":
            weights = torch.full_like(weights, 1 / len(weights))
        generated = -(weights * log_reversed(on_drawn, generated=True)).sum()
        judged = softplus(-on_x).mean() + softplus(on_drawn).mean()
        right = ((on_x > 0).float().mean() + (on_drawn < 0).float().mean()) / 2
        figures = {"accuracy": right, "logit_data": on_x.mean(), "logit_draw": on_drawn.mean()}
        share = 1 / (len(weights) * weights.square().sum())
        yield (
            Update("generator", generated, score, figures={"effective_share": share}),
            Update("discriminator", judged, figures=figures),
        )
        return {}

    def epoch_figures(self, given: Given) -> dict[str, Tensor]:
        """The sliced Wasserstein distance of draws to data, and the 95% quantile of that between draws."""

        def draw() -> Tensor:
            mean: Tensor = self.own_draws(given)[1]["fn"].mean
            return mean[0].flatten(1)

        x = self.own_draws(given)[1]["infer"]["obs"].flatten(1).float()
        return distance_figures("draw_distance", x, draw)


class AAVAE(Judging):
    """The adversary-activated VAE: an ELBO of the data and of the model's own draws, each weighted by how like data it is.

        pair (model, guide):  -E_data[q(x) ELBO(x)] - E_model[q(x') ELBO(x')],   q = sigmoid(D), x' ~ p(x)
        discriminator (D):     E_data[softplus(-D(x))] + E_model[softplus(D(x'))]

    A plain VAE is the case of a perfect discriminator, q = 1 on data and 0 on draws. What is reported is the ELBO of the
    data, a lower bound on log p(x), in nats per datum, (B,), its KL in closed form where there is one.

    Logged beside the losses: ``accuracy`` of D, its mean on data and on draws (``logit_data``, ``logit_draw``), and at each
    epoch's end ``draw_distance``, the sliced Wasserstein distance of draws to data, with ``draw_distance_null``.

    Args:
        hidden: as for :class:`IWGAN`.
        num_particles: K draws of the guide a datum.

    Raises:
        ContractError: several observed sites, or a masked one; one whose values no key of the batch has as they are; a
            latent site without reparameterization.

    References: Hu, Yang, Salakhutdinov and Xing, On Unifying Deep Generative Models, 2018, Section 4 (adversary activated
    VAEs).
    """

    moves = {"pair": ("model", "guide"), "discriminator": ("objective",)}

    def __init__(self, hidden: int | None = None, num_particles: int = 1) -> None:
        super().__init__(hidden, num_particles)
        self.elbo = MeanField(num_particles)

    def trace(self, given: Given, batch: int = 0) -> PairTrace:
        """The pair's trace of K particles; refuses one that the ELBO does not serve."""
        traced = self.elbo.trace(given, batch)
        image_site(traced, self)
        return traced

    def updates(self, given: Given) -> Updates:
        """Both updates, at the same parameters and the same draws."""
        traced = self.trace(given)
        bound = self.elbo.terms(traced).bound
        if not torch.is_grad_enabled():
            yield Update("pair", -bound.mean(), bound)
            return {}
        with torch.no_grad():
            name, site = self.own_draws(given)
            drawn = site["value"][0]
        again = self.elbo.terms(
            trace_pair(given.model, given.guide, self.in_place(given, name, drawn), self.num_particles)
        ).bound
        on_x, on_drawn = self.judge(traced.model_sites[name]["value"]), self.judge(drawn)
        weighted = on_x.detach().sigmoid() * bound + on_drawn.detach().sigmoid() * again
        right = ((on_x > 0).float().mean() + (on_drawn < 0).float().mean()) / 2
        figures = {"accuracy": right, "logit_data": on_x.mean(), "logit_draw": on_drawn.mean()}
        judged = softplus(-on_x).mean() + softplus(on_drawn).mean()
        yield Update("pair", -weighted.mean(), bound), Update("discriminator", judged, figures=figures)
        return traced.next_state()

    def in_place(self, given: Given, name: str, drawn: Tensor) -> dict[str, Tensor]:
        """The batch with the model's draws, (B, *shape), in place of the data."""
        sources = drawn_keys(given.model, given.batch, given=given.batch)
        if name not in sources or sources[name].places is None:
            raise ContractError(f"{self!r} draws {name!r}, which no key of the batch has as it is; use 'elbo'.")
        return write_values(given.batch, sources, {name: drawn})

    epoch_figures = IWGAN.epoch_figures


def log_reversed(logits: Tensor, generated: bool) -> Tensor:
    """log q^r(y | x) = log q(1 - y | x), q(y = 1 | x) = sigmoid(logit) the probability of data, of the shape of the logits.

    Args:
        logits: of data.
        generated: y = 0, of what the model drew, else y = 1.

    References: Hu et al., On Unifying Deep Generative Models, 2018, Section 3 (generators of GANs maximize its mean).

    >>> log_reversed(torch.zeros(1), generated=True)
    tensor([-0.6931])
    """
    return -softplus(-logits) if generated else -softplus(logits)


def normalized_odds(logits: Tensor) -> Tensor:
    """q / (1 - q), normalized over all draws, (n,), of logits of data, (n,).

    >>> normalized_odds(torch.tensor([0.0, 0.0])), normalized_odds(torch.tensor([3.0]).log()).sum()
    (tensor([0.5000, 0.5000]), tensor(1.))
    """
    return logits.softmax(0)


def energy_score(x: Tensor, draws: Tensor) -> Tensor:
    """-E|x - x_i| + 1/2 E|x_i - x_j|, i != j, of each datum, x (B, d), and draws of a model, (n, d): (B,).

    >>> energy_score(torch.zeros(1, 1), torch.tensor([[1.0], [-1.0]]))
    tensor([0.])
    """
    x, draws = x.float(), draws.float()
    among = torch.cdist(draws, draws).sum() / max(len(draws) * (len(draws) - 1), 1)
    return among / 2 - torch.cdist(x, draws).mean(1)
