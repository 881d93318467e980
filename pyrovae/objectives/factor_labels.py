"""S2-VAE's objective: the ELBO less a weight on how far codes are from the labels of factors, where these are known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from pyrovae.core.rescore import moments
from pyrovae.core.trace import PairTrace
from pyrovae.data.spec import factor_sizes
from pyrovae.errors import ContractError, OptionError, nearest
from pyrovae.objectives.objective import Given, Update, Updates
from pyrovae.objectives.total_correlation import Disentangling

__all__ = ["S2"]

FORMS = ("l2", "xent", "cov", "embed")
REDUCTIONS = ("sum", "mean")


class S2(Disentangling):
    """The ELBO, and for rows whose factors are known a pull of code j = E_q[z_j | x] towards factor y_j of V_j values.

        E_q[log p(x | z)] - beta KL(q || p) - weight R(mu, y),   R summed over the labelled rows of the batch, by its form:

        l2:     sum_j (b mu_j - y_j)^2, b a learned scale
        xent:   sum_j CE(sigmoid(mu_j), y_j / V_j)
        cov:    sum_{i != j} Cov(mu_i, y_j)^2, over the labelled
        embed:  sum_j CE(softmax_v(-(mu_j - e_jv)^2 / T), y_j), e learned

    The factors are keys of the batch, (B,) each, of numbers 0..V_j - 1, and -1 where they are not known; R is of the rows in
    which all are. The bound is trained on the other rows, where there are any, as if both came from streams of their own; what
    is reported is the ELBO of all rows, a lower bound on log p(x), in nats per datum, (B,).

    Args:
        factors: key -> V_j, in the order of the codes; None for all classes and ordered classes of the training data.
        form: of R.
        weight: of R.
        reduce: "sum" over the labelled rows, as published, so that the weight means another thing in each size of batch, or
            "mean".
        beta: weight of the KL.
        temperature: T, of form "embed".
        site: the latent site; None for the one there is.
        kl: "analytic" where it has a closed form, or "sampled".
        num_particles: K draws a datum.

    References: Locatello et al., Disentangling Factors of Variation Using Few Labels, 2020.
    """

    separable = False

    def __init__(
        self,
        factors: Mapping[str, int] | None = None,
        form: str = "xent",
        weight: float = 1.0,
        reduce: str = "sum",
        beta: float = 1.0,
        temperature: float = 1.0,
        site: str | None = None,
        kl: str = "analytic",
        num_particles: int = 1,
    ) -> None:
        super().__init__(kl, num_particles)
        for name, value, known in (("form of s2", form, FORMS), ("reduce of s2", reduce, REDUCTIONS)):
            if value not in known:
                raise nearest(name, value, known)
        for name, number in (("weight", weight), ("beta", beta), ("temperature", temperature)):
            self.require_weight(name, number)
        if temperature == 0:
            raise OptionError(f"temperature is {temperature!r}; expected a positive number.")
        if factors is not None and not (isinstance(factors, Mapping) and factors):
            raise OptionError(f"factors is {factors!r}; expected the number of values of each key, as in {{'scale': 6}}.")
        for key, size in (factors or {}).items():
            self.require(f"factors[{key!r}]", size, at_least=2)
        self.factors = None if factors is None else dict(factors)
        self.form, self.weight, self.reduce = form, weight, reduce
        self.beta, self.temperature, self.site = beta, temperature, site

    def observe_data(self, data: Any, num_processes: int) -> None:
        """Take the factors of the data where none are named."""
        if self.factors is None:
            self.factors = factor_sizes(data.spec) or None

    @property
    def sizes(self) -> dict[str, int]:
        """V_j of each factor."""
        if not self.factors:
            raise ContractError("s2 has no factors: name them with their numbers of values, as in factors={'scale': 6}.")
        return self.factors

    @property
    def weights(self) -> dict[str, float]:
        """Those of R and of the KL."""
        return {"weight": self.weight, "beta": self.beta}

    @property
    def lacks_networks(self) -> bool:
        """Whether the parameters of R are still to be made."""
        return self.form in ("l2", "embed") and self.networks is None

    def build(self, traced: PairTrace) -> None:
        """Make the parameters of R, once."""
        if self.lacks_networks:
            sizes = list(self.sizes.values())
            self.networks = (Scale() if self.form == "l2" else Embeddings(sizes)).to(traced.data.device)

    def codes(self, traced: PairTrace) -> Tensor:
        """E_q[z | x], (B, d)."""
        sites = list(traced.guide_sites)
        if self.site is None and len(sites) != 1:
            raise ContractError(f"the guide has the sites {', '.join(sites)}; say which has the codes, as in site={sites[0]}.")
        mean = moments(traced, self.site or sites[0]).mean
        codes = mean.reshape(len(mean), -1)
        if codes.shape[1] < len(self.sizes):
            given = f"{codes.shape[1]} codes and {len(self.sizes)} factors"
            raise ContractError(f"there are {given}; expected a code for each: raise latent_dim.")
        return codes

    def labels(self, batch: Mapping[str, Tensor]) -> Tensor:
        """y, (B, F), -1 where it is not known."""
        for name in self.sizes:
            if name not in batch:
                raise ContractError(
                    f"s2 needs the factor {name!r} in the batch, (B,), -1 where it is not known; data lack it."
                )
        labels = torch.stack([batch[name] for name in self.sizes], -1)
        if not torch.is_grad_enabled():  # before training and at validation; a compiled step must not look at values
            for (name, size), most in zip(self.sizes.items(), labels.amax(0).tolist(), strict=True):
                if most >= size:
                    raise ContractError(
                        f"factor {name!r} has the value {most}; expected 0..{size - 1}: say its size in factors."
                    )
        return labels

    def penalty(self, codes: Tensor, labels: Tensor) -> Tensor:
        """R, 0-d, over the rows whose factors are all known."""
        known = (labels >= 0).all(-1)
        mu, y = codes[:, : labels.shape[1]], labels.clamp(min=0).to(codes.dtype)
        count = known.sum().clamp(min=1)
        if self.form == "cov":
            share = known.to(codes.dtype).unsqueeze(-1) / count
            centred = [known.unsqueeze(-1) * (value - (share * value).sum(0)) for value in (codes, y)]
            covariance = centred[0].T @ centred[1] / count
            return covariance.square().sum() - covariance.diagonal().square().sum()
        if self.form == "l2":
            assert isinstance(self.networks, Scale)
            rows = (self.networks.scale * mu - y).square().sum(-1)
        elif self.form == "xent":
            sizes = mu.new_tensor(list(self.sizes.values()))
            rows = binary_cross_entropy_with_logits(mu, y / sizes, reduction="none").sum(-1)
        else:
            assert isinstance(self.networks, Embeddings)
            distances = [(mu[:, j, None] - each).square() for j, each in enumerate(self.networks.values)]
            each = [cross_entropy(-d / self.temperature, y[:, j].long(), reduction="none") for j, d in enumerate(distances)]
            rows = torch.stack(each, -1).sum(-1)
        total = torch.where(known, rows, 0).sum()
        return total if self.reduce == "sum" else total / count

    def updates(self, given: Given) -> Updates:
        """The one update."""
        traced = self.trace(given)
        self.build(traced)
        labels, codes = self.labels(given.batch), self.codes(traced)
        bound = self.elbo.terms(traced).bound
        weights = {name: given.schedule.get(name, value) for name, value in self.weights.items()}
        trained = bound - (weights["beta"] - 1) * (traced.log_likelihood.mean(0) - bound)
        unknown = (labels < 0).any(-1)
        share = torch.where(unknown.any(), unknown, True).to(bound.dtype)
        penalty = self.penalty(codes, labels)
        loss = weights["weight"] * penalty - (share * trained).sum() / share.sum()
        yield Update("pair", loss, bound, figures={"penalty": penalty.detach()})
        return traced.next_state()


class Scale(nn.Module):
    """b, 0-d, at first 1."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))


class Embeddings(nn.Module):
    """Of each factor its values' places on the line, (V_j,) each, at first standard normal."""

    def __init__(self, sizes: list[int]) -> None:
        super().__init__()
        self.values = nn.ParameterList([torch.randn(size) for size in sizes])
