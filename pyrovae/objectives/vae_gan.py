"""VAE/GAN: reconstructions compared by the features of a discriminator, which is trained with them or stands still."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import softplus

from pyrovae.core.program import innermost
from pyrovae.core.sites import site_masks
from pyrovae.core.trace import PairTrace
from pyrovae.errors import ContractError, OptionError, UnusedOptionError
from pyrovae.nets import Discriminator
from pyrovae.objectives.checks import code_figures
from pyrovae.objectives.elbo import MeanField
from pyrovae.objectives.objective import Given, Objective, Update, Updates, refuse_sampled

__all__ = ["VAEGAN", "FeatureELBO", "Losses", "feature_log_density", "image_site"]

GENERATORS = ("non-saturating", "saturating")


class Losses(NamedTuple):
    """The three losses of VAE/GAN; which update has which is told by :meth:`VAEGAN.updates`.

    Attributes:
        prior: KL(q(z | x) || p(z)), (B,), in nats.
        like: -log N(h(x); h(G(z)), I), (B,), in nats.
        gan: what the discriminator is trained by, on x, G(z) and G(z_p), (3,).
        deceive: what the model is trained by against it, 0-d.
        figures: the discriminator's accuracy and mean logits, to log.
    """

    prior: Tensor
    like: Tensor
    gan: Tensor
    deceive: Tensor
    figures: dict[str, Tensor]


class ImageObjective(Objective):
    """Base of objectives that look at the mean of the model's one observed site, the picture G(z).

    Args:
        num_particles: K.
    """

    def trace(self, given: Given, batch: int = 0) -> PairTrace:
        """The pair's trace of K particles; refuses one that the estimator does not serve."""
        traced = super().trace(given, batch)
        refuse_sampled(traced, self, "use 'elbo'")
        if names := [*traced.enumerated, *traced.summed_out]:
            raise ContractError(f"site {names[0]!r} is summed out, and {self!r} needs draws of all latent sites; use 'elbo'.")
        image_site(traced, self)
        return traced


class VAEGAN(ImageObjective):
    """VAE/GAN: a VAE whose likelihood is of a discriminator's features h, and a GAN whose generator is its decoder G.

        L_prior = KL(q(z | x) || p(z)),   L_like = -E_q[log N(h(x); h(G(z)), I)],   z ~ q(z | x), z_p ~ p(z)
        L_GAN   = w log D(x) + log(1 - D(G(z))) + log(1 - D(G(z_p)))

        guide:          L_prior + L_like
        model:          gamma L_like - gan_weight L_GAN
        discriminator:  -L_GAN

    The three are made of one pass and differentiated at the same parameters, each for its own: the guide gets nothing of
    L_GAN, the discriminator nothing of L_like. (Pythae's VAEGAN runs its three backward passes over one graph before any
    step, and compares D with G(z_p) alone: the decoder there gets the discriminator's loss with the sign of the
    discriminator.) G(z) is the mean of the model's observed site. What the model gets of L_GAN does not saturate:
    softplus(-logit) of both draws, in place of -softplus(logit) as in Algorithm 1, ``generator="saturating"``.

    What is reported is -L_like - L_prior, in nats per datum, (B,), **no** bound on log p(x), and of features that move:
    compare it within an epoch at most. With ``layer=0``, h(x) = x, it is the ELBO of unit variance. No term looks at pixels
    else.

    Logged beside the losses: ``prior`` and ``like``, ``accuracy`` of the discriminator, its mean logits ``logit_data``,
    ``logit_reconstruction`` and ``logit_sample``, and at each epoch's end ``code_distance``, the sliced Wasserstein distance
    of codes to the prior, with ``code_distance_null``, its 95% quantile where codes are draws of the prior.

    Args:
        gamma: weight of L_like in the model's update.
        gan_weight: weight of L_GAN in the model's update; 0 for a VAE.
        real_weight: w, weight of the data in L_GAN; with 2 as much as that of the draws.
        generator: "non-saturating", or "saturating".
        channels: of the discriminator's 3x3 convolutions of stride 2; none by default.
        hidden: of its dense layers after them.
        layer: h, by its number from 1 through the convolutions and on; 0 for x itself.
        equilibrium: of the rule of ``margin``, the loss of a discriminator that can tell nothing.
        margin: skip the discriminator's step where one of its three losses is below equilibrium - margin, and the model's
            where one is above equilibrium + margin, unless that would skip both; by default neither. (In the authors' code,
            not in the paper: 0.68 and 0.4.)
        num_particles: K draws a datum.

    Raises:
        ContractError: several observed sites, or masked ones; a latent site without reparameterization.

    References: Larsen, Sonderby, Larochelle and Winther, Autoencoding beyond pixels using a learned similarity metric, 2016,
    Algorithm 1.
    """

    bound = "none"
    moves = {"guide": ("guide",), "model": ("model",), "discriminator": ("objective",)}
    optimizers = {"discriminator": {"name": "Adam", "betas": (0.5, 0.999)}}

    def __init__(
        self,
        gamma: float = 0.01,
        gan_weight: float = 1.0,
        real_weight: float = 1.0,
        generator: str = "non-saturating",
        channels: Sequence[int] = (),
        hidden: Sequence[int] = (256,),
        layer: int = 1,
        equilibrium: float = 0.68,
        margin: float | None = None,
        num_particles: int = 1,
    ) -> None:
        super().__init__(num_particles)
        for name, value in (("gamma", gamma), ("gan_weight", gan_weight), ("real_weight", real_weight)):
            self.require_weight(name, value)
        self.require_weight("equilibrium", equilibrium)
        self.require("layer", layer, at_least=0)
        for name, sizes in (("channels", channels), ("hidden", hidden)):
            if isinstance(sizes, (str, int)):
                raise OptionError(f"{name} is {sizes!r}; expected the sizes of layers, as in [32, 64].")
            for size in sizes:
                self.require(name, size, at_least=1)
        if layer > (depth := len(channels) + len(hidden)):
            raise OptionError(f"layer is {layer}; the discriminator has {depth} hidden layers.")
        if margin is not None:
            self.require_weight("margin", margin)
        elif equilibrium != 0.68:
            raise UnusedOptionError("equilibrium goes with margin; give that, or leave equilibrium out.", "equilibrium")
        if generator not in GENERATORS:
            raise OptionError(f"generator is {generator!r}; expected 'non-saturating' or 'saturating'.")
        self.gamma, self.gan_weight, self.real_weight, self.generator = gamma, gan_weight, real_weight, generator
        self.channels, self.hidden, self.layer = list(channels), list(hidden), layer
        self.equilibrium, self.margin = equilibrium, margin

    @property
    def weights(self) -> dict[str, float]:
        """The weights of the model's update, and that of the data."""
        return {"gamma": self.gamma, "gan_weight": self.gan_weight, "real_weight": self.real_weight}

    @property
    def lacks_networks(self) -> bool:
        """Whether the discriminator is not made yet."""
        return self.networks is None

    def build(self, traced: PairTrace) -> None:
        """Make the discriminator for data like these, once."""
        if self.networks is None:
            x = traced.model_sites[image_site(traced, self)]["value"]
            self.networks = Discriminator(x.shape[1:], self.channels, self.hidden, self.layer).to(x.device)

    def losses(self, given: Given, traced: PairTrace) -> Losses:
        """All three losses, of one draw of the guide and one of the prior."""
        network, name = self.networks, image_site(traced, self)
        assert isinstance(network, Discriminator)
        x, fake = traced.model_sites[name]["value"], traced.model_sites[name]["fn"].mean
        drawn = self.prior(given)[name]["fn"].mean
        (h_x, on_x), (h_fake, on_fake), on_drawn = network.both(x), network.both(fake), network(drawn)
        gan = torch.stack([softplus(-on_x).mean(), softplus(on_fake).mean(), softplus(on_drawn).mean()])
        deceive = softplus(-on_fake).mean() + softplus(-on_drawn).mean()
        if self.generator == "saturating":
            deceive = -gan[1] - gan[2]
        like = -feature_log_density(h_x, h_fake).mean(0)
        right = (on_x > 0).float().mean() + (on_fake < 0).float().mean() + (on_drawn < 0).float().mean()
        figures = {"accuracy": right / 3, "logit_data": on_x.mean()}
        figures |= {"logit_reconstruction": on_fake.mean(), "logit_sample": on_drawn.mean()}
        return Losses(kl_of(traced), like, gan, deceive, figures)

    def updates(self, given: Given) -> Updates:
        """All three updates, at the same parameters."""
        traced = self.trace(given)
        prior, like, gan, deceive, told = self.losses(given, traced)
        value = -like - prior
        gamma, weight, real = (given.schedule.get(name, option) for name, option in self.weights.items())
        judged = real * gan[0] + gan[1] + gan[2]
        move_model, move_discriminator = self.skips(gan.detach())
        parts = {"prior": prior.mean(), "like": like.mean()}
        yield (
            Update("guide", (prior + like).mean(), value, figures=parts),
            Update("model", gamma * like.mean() + weight * deceive, when=move_model),
            Update("discriminator", judged, when=move_discriminator, figures=told),
        )
        return traced.next_state()

    def skips(self, gan: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Whether the model and the discriminator step, 0 or 1 each, by the discriminator's three losses."""
        if self.margin is None:
            return None, None
        can_tell, cannot = (gan < self.equilibrium - self.margin).any(), (gan > self.equilibrium + self.margin).any()
        neither = can_tell & cannot
        return (~cannot | neither).float(), (~can_tell | neither).float()

    def epoch_figures(self, given: Given) -> dict[str, Tensor]:
        """The sliced Wasserstein distance of codes to the prior, and the 95% quantile of that of the prior to itself."""
        return code_figures(self, given)


class FeatureELBO(ImageObjective):
    """The bound of a VAE whose likelihood is of the features h of a discriminator that stands still.

        E_q[log N(h(x); h(G(z)), I)] - KL(q(z | x) || p(z))

    h is ``model.discriminator.features``, of a network that a stage has trained before (:func:`pyrovae.fit_stages`), and
    G(z) the mean of the model's observed site. A lower bound on the log density of h(x), in nats per datum, (B,), and **no**
    bound on log p(x).

    Args:
        num_particles: K draws a datum.

    Raises:
        ContractError: the model has no discriminator, or one whose parameters would be trained; several observed sites, or
            masked ones.

    References: Larsen et al., Autoencoding beyond pixels using a learned similarity metric, 2016, Section 4 (VAE with a
    discriminator trained before it).
    """

    bound = "none"

    def updates(self, given: Given) -> Updates:
        """The one update."""
        traced = self.trace(given)
        network = getattr(innermost(given.model), "discriminator", None)
        if not isinstance(network, Discriminator):
            raise ContractError(
                f"{self!r} needs a model with a discriminator, as models.VAEGAN has; or use 'vae-gan', which makes one."
            )
        if any(parameter.requires_grad for parameter in network.parameters()):
            raise ContractError(
                f"the discriminator of the model would be trained by {self!r} to call all data alike; train it in a stage "
                "before, Pair(..., stages=(first,)), or let it stand still (requires_grad_(False))."
            )
        site = traced.model_sites[image_site(traced, self)]
        like = feature_log_density(network.features(site["value"]), network.features(site["fn"].mean))
        value = like.mean(0) - kl_of(traced)
        yield Update("pair", -value.mean(), value)
        return traced.next_state()


def kl_of(traced: PairTrace) -> Tensor:
    """KL(q(z | x) || p(z)) of all latent sites, (B,), in closed form where there is one."""
    return traced.total({name: MeanField.kl(traced, name) for name in traced.guide_sites}).mean(0)


def feature_log_density(x: Tensor, mean: Tensor) -> Tensor:
    """log N(x; mean, I), in nats, of features (..., m): (...).

    >>> feature_log_density(torch.zeros(2), torch.zeros(2))
    tensor(-1.8379)
    """
    return -(x - mean).square().sum(-1) / 2 - x.shape[-1] / 2 * math.log(2 * math.pi)


def image_site(traced: PairTrace, objective: Objective) -> str:
    """The name of the model's one observed site; ContractError where there are more, or its values are masked."""
    name, *others = traced.observed
    if others:
        raise ContractError(
            f"{objective!r} compares one site by a discriminator, and the model observes {', '.join(traced.observed)}."
        )
    if site_masks(traced.model_sites[name]):
        raise ContractError(
            f"site {name!r} is masked, and {objective!r} compares whole data; impute them first, or use 'elbo'."
        )
    return name
