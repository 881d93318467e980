"""Priors in the plane that the adversarial autoencoder was shown with: ten petals, and a swiss roll."""

from __future__ import annotations

import math

import numpy as np
import pyro.distributions as dist
import torch
from pyro.distributions import TorchDistribution
from torch import Tensor, nn
from torch.distributions import constraints

from pyrovae.distributions.gaussian_mixture import GaussianMixture
from pyrovae.errors import OptionError

__all__ = ["PetalsPrior", "SwissRoll", "SwissRollPrior", "class_draws", "classes_of"]


class PetalsPrior(nn.Module):
    """Called without arguments, a mixture of M Gaussians in the plane around the origin, exact in its density, in nats.

        p(z) = (1/M) sum_c N(z; R_c (radius, 0), R_c diag(radial, tangential)^2 R_c'),   R_c a turn by 2 pi c / M

    Args:
        num_modes: M.
        radius: distance of the modes from the origin.
        radial, tangential: standard deviations along a petal and across it.

    Raises:
        OptionError: for a number that is not above 0.

    References: Makhzani, Shlens, Jaitly, Goodfellow and Frey, Adversarial Autoencoders, 2016, Figure 4.
    """

    def __init__(self, num_modes: int = 10, radius: float = 1.4, radial: float = 0.5, tangential: float = 0.05) -> None:
        super().__init__()
        for name, value in {"num_modes": num_modes, "radius": radius, "radial": radial, "tangential": tangential}.items():
            if not 0 < value < math.inf:
                raise OptionError(f"{name} is {value!r}; expected a number above 0.")
        angles = 2 * math.pi * torch.arange(num_modes) / num_modes
        turns = torch.stack(
            [torch.stack([angles.cos(), -angles.sin()], -1), torch.stack([angles.sin(), angles.cos()], -1)], -2
        )
        self.register_buffer("loc", radius * turns[..., 0])
        self.register_buffer(
            "factor", torch.linalg.cholesky(turns @ torch.tensor([radial, tangential]).square().diag() @ turns.mT)
        )

    def forward(self) -> TorchDistribution:
        """p(z), of event (2,)."""
        modes = dist.MultivariateNormal(self.loc, scale_tril=self.factor)
        return dist.MixtureSameFamily(dist.Categorical(logits=self.loc.new_zeros(len(self.loc))), modes)


class SwissRoll(TorchDistribution):
    """Points of a roll in the plane, blurred by a Gaussian of standard deviation ``blur``.

        z = 3 t (cos 4 pi t, sin 4 pi t) + blur e,   t = sqrt u,   u ~ U(0, 1),   e ~ N(0, I_2)

    The log density, in nats, (*batch_shape), is an integral over t by Gauss-Legendre quadrature of 2,000 nodes, right for
    blur >= .02. Without a blur all mass would lie on a line, and there would be no density in the plane.

    Args:
        blur: at least .02.
        like: a tensor of the device and dtype of the draws.

    Raises:
        OptionError: for another blur.

    References: Makhzani, Shlens, Jaitly, Goodfellow and Frey, Adversarial Autoencoders, 2016, Figure 4.
    """

    arg_constraints: dict[str, constraints.Constraint] = {}
    support = constraints.real_vector
    has_rsample = False

    def __init__(self, blur: float = 0.05, like: Tensor | None = None) -> None:
        if not 0.02 <= blur < math.inf:
            raise OptionError(f"blur is {blur!r}; expected a standard deviation of at least .02.")
        self.blur, self.like = blur, torch.zeros(()) if like is None else like
        super().__init__(torch.Size(), torch.Size([2]), validate_args=False)

    def expand(self, batch_shape: torch.Size, _instance: TorchDistribution | None = None) -> SwissRoll:
        """The same distribution with this batch shape."""
        new = self._get_checked_instance(SwissRoll, _instance)
        new.blur, new.like = self.blur, self.like
        super(SwissRoll, new).__init__(torch.Size(batch_shape), self.event_shape, validate_args=False)
        return new

    @staticmethod
    def curve(t: Tensor) -> Tensor:
        """The point of the roll at t in (0, 1), (..., 2)."""
        return 3 * t.unsqueeze(-1) * torch.stack([(4 * math.pi * t).cos(), (4 * math.pi * t).sin()], -1)

    def sample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008 - Pyro's signature
        """Draws, (*sample_shape, *batch_shape, 2)."""
        shape = self._extended_shape(sample_shape)[:-1]
        return self.at(torch.rand(shape, dtype=self.like.dtype, device=self.like.device))

    def at(self, u: Tensor) -> Tensor:
        """Draws at the places u in (0, 1) along the roll, of equal mass, (*u.shape, 2)."""
        mean = self.curve(u.sqrt())
        return mean + self.blur * torch.randn_like(mean)

    def class_draws(self, y: Tensor, num_classes: int) -> Tensor:
        """Draws of the y-th of so many slices of equal mass, from the middle outwards, and of all where y is -1."""
        u = torch.rand(self.batch_shape, dtype=self.like.dtype, device=self.like.device)
        return self.at(torch.where(y < 0, u, (u + y) / num_classes))

    def classes_of(self, value: Tensor, num_classes: int) -> Tensor:
        """The slice whose curve is nearest to a point, (...)."""
        u = (torch.arange(100 * num_classes, device=value.device, dtype=value.dtype) + 0.5) / (100 * num_classes)
        nearest = torch.cdist(value.flatten(0, -2), self.curve(u.sqrt())).argmin(-1)
        return (nearest // 100).reshape(value.shape[:-1])

    def log_prob(self, value: Tensor) -> Tensor:
        """log p(value), in nats, (*batch_shape)."""
        nodes, weights = np.polynomial.legendre.leggauss(5)
        t = (torch.arange(400, dtype=torch.float64).unsqueeze(1) + (torch.as_tensor(nodes) + 1) / 2).flatten() / 400
        logits = (2 * t).log() + torch.as_tensor(weights).log().repeat(400)
        loc, logits = self.curve(t).to(self.like), logits.to(self.like)
        return GaussianMixture(loc, torch.full_like(loc, self.blur), logits).log_prob(value)


def class_draws(prior: TorchDistribution, y: Tensor, num_classes: int) -> Tensor:
    """Draws of the part of a prior that stands for a class: mode y of a mixture, slice y of a :class:`SwissRoll`.

    Args:
        prior: of event (d,).
        y: (B,), the class of each draw, 0 to C - 1; -1 for a draw of the whole prior.
        num_classes: C.

    Returns:
        (*batch_shape, d).

    Raises:
        OptionError: the prior has no such parts, or another number of them.
    """
    if hasattr(prior, "class_draws"):
        drawn: Tensor = prior.class_draws(y, num_classes)
        return drawn
    modes = modes_of(prior, num_classes).sample()  # (*batch_shape, C, d)
    index = y.clamp_min(0).expand(modes.shape[:-2])[..., None, None].expand(*modes.shape[:-2], 1, modes.shape[-1])
    return torch.where((y < 0).unsqueeze(-1), prior.sample(), modes.gather(-2, index).squeeze(-2))


def classes_of(prior: TorchDistribution, value: Tensor, num_classes: int) -> Tensor:
    """The part of a prior, as of :func:`class_draws`, that points most likely come from, (...).

    Args:
        prior: of event (d,).
        value: (..., d).
        num_classes: C.

    Raises:
        OptionError: the prior has no such parts, or another number of them.
    """
    if hasattr(prior, "classes_of"):
        found: Tensor = prior.classes_of(value, num_classes)
        return found
    scores = modes_of(prior, num_classes).log_prob(value.unsqueeze(-2)) + prior.mixture_distribution.logits
    return scores.argmax(-1)


def modes_of(prior: TorchDistribution, num_classes: int) -> TorchDistribution:
    """The components of a mixture, one for each class."""
    modes = getattr(prior, "component_distribution", None)
    if modes is None or modes.batch_shape[-1] != num_classes:
        came = f"a {type(prior).__name__} without modes" if modes is None else f"a mixture of {modes.batch_shape[-1]} modes"
        raise OptionError(
            f"a prior that is told the class needs a part for each of {num_classes} classes, and came as {came}; use a "
            "mixture of as many modes (MixtureSameFamily, PetalsPrior), or a SwissRoll."
        )
    return modes


class SwissRollPrior(nn.Module):
    """Called without arguments, a :class:`SwissRoll` on the device of the model; its ``log_prob`` is in nats, (*batch_shape).

    Args:
        blur: standard deviation of the blur.
    """

    def __init__(self, blur: float = 0.05) -> None:
        super().__init__()
        SwissRoll(blur)
        self.blur = blur
        self.register_buffer("like", torch.zeros(()))

    def forward(self) -> SwissRoll:
        """p(z), of event (2,)."""
        return SwissRoll(self.blur, self.like)
