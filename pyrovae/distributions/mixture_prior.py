"""A prior p(z) that is a mixture of Gaussians with full covariances, fitted to codes."""

from __future__ import annotations

import pyro.distributions as dist
import torch
from pyro.distributions import TorchDistribution
from torch import Tensor, nn

from pyrovae.errors import DataError, OptionError

__all__ = ["MixturePrior"]


class MixturePrior(nn.Module):
    """Called without arguments, a mixture of M Gaussians on R^d, exact in its density, in nats; N(0, I) until it is fitted.

        p(z) = sum_m w_m N(z; loc_m, L_m L_m'),   L_m lower triangular, of a diagonal exp(raw)

    Args:
        num_components: M.
        latent_dim: d.

    Raises:
        OptionError: for fewer than one component.

    References: Ghosh, Sajjadi, Vergari, Black and Schoelkopf, From Variational to Deterministic Autoencoders, 2020, Section 4.

    >>> MixturePrior(3, 2)().log_prob(torch.zeros(5, 2)).shape
    torch.Size([5])
    """

    def __init__(self, num_components: int, latent_dim: int) -> None:
        super().__init__()
        if isinstance(num_components, bool) or num_components < 1:
            raise OptionError(f"num_components is {num_components!r}; expected a whole number of at least 1.")
        self.logits = nn.Parameter(torch.zeros(num_components))
        self.loc = nn.Parameter(torch.zeros(num_components, latent_dim))
        self.raw = nn.Parameter(torch.zeros(num_components, latent_dim, latent_dim))

    @property
    def factor(self) -> Tensor:
        """L, (M, d, d)."""
        return self.raw.tril(-1) + torch.diag_embed(self.raw.diagonal(dim1=-2, dim2=-1).exp())

    def forward(self) -> TorchDistribution:
        """p(z), of event (d,)."""
        components = dist.MultivariateNormal(self.loc, scale_tril=self.factor, validate_args=False)
        return dist.MixtureSameFamily(dist.Categorical(logits=self.logits), components)

    @torch.no_grad()
    def fit(self, codes: Tensor) -> None:
        """Become the mixture that expectation maximization fits to codes, (N, d), by scikit-learn's GaussianMixture.

        It starts at k-means with a seed of its own, so that the same codes give the same mixture.

        Raises:
            DataError: fewer codes than components, or codes that are not finite.
        """
        from sklearn.mixture import GaussianMixture  # a second to import

        if len(codes) < len(self.loc):
            raise DataError(f"{len(codes)} codes came for a mixture of {len(self.loc)} components; give fewer num_components.")
        if not bool(codes.isfinite().all()):
            raise DataError("codes are not finite, so no mixture is like them: the autoencoder has not been trained.")
        found = GaussianMixture(len(self.loc), random_state=0).fit(codes.double().cpu().numpy())
        factor = torch.linalg.cholesky(torch.from_numpy(found.covariances_))
        self.logits.copy_(torch.from_numpy(found.weights_).log())
        self.loc.copy_(torch.from_numpy(found.means_))
        self.raw.copy_(factor.tril(-1) + torch.diag_embed(factor.diagonal(dim1=-2, dim2=-1).log()))
