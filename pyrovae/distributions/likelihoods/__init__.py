"""Likelihoods p(x | h): modules from a decoder's output h, (..., P, *shape), to a distribution of one datum x, (*shape).

P (``num_params``) is how many numbers the decoder must give per dimension of x.
"""

from __future__ import annotations

from pyrovae.distributions.likelihoods.counts import (
    BagOfWords,
    Multinomial,
    NegativeBinomial,
    Poisson,
    ZeroInflatedNegativeBinomial,
    ZeroInflatedPoisson,
)
from pyrovae.distributions.likelihoods.likelihood import Likelihood, Scale
from pyrovae.distributions.likelihoods.pixels import (
    MSSSIM,
    Bernoulli,
    BernoulliGrey,
    Categorical,
    ContinuousBernoulli,
    DiscretizedLogisticLevels,
    LogisticMixture,
    OrdinalLevels,
)
from pyrovae.distributions.likelihoods.real import Beta, Gamma, Gaussian, Laplace, LogNormal, StudentT
from pyrovae.errors import OptionError
from pyrovae.registry import Registry, parse_choice

__all__ = [
    "LIKELIHOODS",
    "BagOfWords",
    "Bernoulli",
    "BernoulliGrey",
    "Beta",
    "Categorical",
    "ContinuousBernoulli",
    "DiscretizedLogisticLevels",
    "Gamma",
    "Gaussian",
    "Likelihood",
    "Laplace",
    "LogNormal",
    "LogisticMixture",
    "MSSSIM",
    "Multinomial",
    "NegativeBinomial",
    "OrdinalLevels",
    "Poisson",
    "Scale",
    "StudentT",
    "ZeroInflatedNegativeBinomial",
    "ZeroInflatedPoisson",
    "build",
    "named",
]

LIKELIHOODS: Registry[type[Likelihood]] = Registry(
    "likelihood",
    {
        "bernoulli": Bernoulli,
        "bernoulli-grey": BernoulliGrey,
        "continuous-bernoulli": ContinuousBernoulli,
        "gaussian": Gaussian,
        "discretized-logistic": DiscretizedLogisticLevels,
        "categorical": Categorical,
        "logistic-mixture": LogisticMixture,
        "ordinal": OrdinalLevels,
        "laplace": Laplace,
        "ms-ssim": MSSSIM,
        "student-t": StudentT,
        "log-normal": LogNormal,
        "gamma": Gamma,
        "beta": Beta,
        "poisson": Poisson,
        "negative-binomial": NegativeBinomial,
        "zero-inflated-poisson": ZeroInflatedPoisson,
        "zero-inflated-negative-binomial": ZeroInflatedNegativeBinomial,
        "multinomial": Multinomial,
        "bag-of-words": BagOfWords,
    },
    given=1,
)
USUAL = {  # by kind of data
    "binary": "bernoulli",
    "levels": "gaussian",
    "unit": "continuous-bernoulli",
    "real": "gaussian",
    "count": "negative-binomial",
}


def named(chosen: str) -> type[Likelihood]:
    """The class of ``"name"`` or ``"name:option=value,..."``; an unknown name's error has the nearest match."""
    return LIKELIHOODS[str(parse_choice(chosen, "likelihood")[0])]


def build(
    name: str | None,
    shape: tuple[int, ...],
    kind: str,
    levels: int | None = None,
    scale: Scale = "shared",
    usual_scale: Scale = "shared",
) -> Likelihood:
    """The likelihood of a name for data of a kind; refuses one that does not score such data, and options that it has not.

    Args:
        name: of :data:`LIKELIHOODS`, alone or with options as in "negative-binomial:dispersion=predicted"; None for the
            kind's usual one.
        shape: of a datum x.
        kind: of the data: "binary", "levels", "unit", "real" or "count".
        levels: how many x has, where kind is "levels".
        scale: of a gaussian, laplace, student-t, log-normal or discretized-logistic likelihood.
        usual_scale: the scale that others than those may be given, and leave unused.

    Raises:
        OptionError: an unknown name, or one that is not for such data.
        UnusedOptionError: a scale that the likelihood does not have.

    >>> build(None, (8, 8), "binary")
    Bernoulli()
    """
    name, given = parse_choice(USUAL[kind] if name is None else name, "likelihood")
    name = str(name)
    kinds = LIKELIHOODS[name].kinds
    if kind not in kinds:
        hint = (
            "; binarize the data (binarization='dynamic'), or ask for 'bernoulli-grey', which is an energy and no density"
            if name == "bernoulli" and kind in ("levels", "unit")
            else ""
        )
        raise OptionError(f"likelihood {name!r} does not score {kind} data (it takes {', '.join(kinds)}){hint}.")
    own = LIKELIHOODS.own(name, {"scale": scale}, {"scale": usual_scale})
    if "levels" in LIKELIHOODS.options(name):
        own["levels"] = levels or (2 if kind == "binary" else 256)
    return LIKELIHOODS.build(name, shape, **{**own, **given})
