"""The VAE of bits with a Boltzmann machine as prior."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from pyrovae import guides, models
from pyrovae.core.pair import Pair, as_pair
from pyrovae.data import DataSpec
from pyrovae.distributions import BoltzmannMachine
from pyrovae.errors import OptionError
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.tiny import tiny
from pyrovae.parts import BitGroups, Dense

__all__ = ["rbm_vae"]

Choice = Literal["exponential", "spike-exponential", "power", "uniform-exponential", "gaussian-integral"]


@recipe(
    "Vahdat et al.",
    "DVAE++: Discrete Variational Autoencoders with Overlapping Transformations",
    2018,
    objective="gumbel-kl",
    only={"beta": "smoothing", "num_groups": "smoothing"},
    tiny=[
        tiny("digits", num_bits=6, num_chains=20, num_sweeps=2),
        tiny("digits", num_bits=6, num_chains=20, num_sweeps=2, smoothing="power", beta=10.0, num_groups=2),
        tiny("digits", num_bits=6, num_chains=20, num_sweeps=2, smoothing="gaussian-integral"),
    ],
)
def rbm_vae(
    spec: DataSpec,
    *,
    num_bits: int = 200,
    num_chains: int = 1000,
    num_sweeps: int = 10,
    smoothing: Choice | None = None,
    beta: float | None = None,
    num_groups: int = 1,
    dense: Dense = Dense(hidden=()),
) -> Pair:
    """Bits whose prior is a restricted Boltzmann machine of two halves, and a factorial guide.

    The KL has a closed form, log Z being followed by chains while it trains. What is followed lags behind, by nats where the
    machine moves fast, so that the training column looks better than it is: validation and log p(x) find log Z anew, and
    log p(x) says how, and carries its error.

    Without a smoothing the decoder sees the bits, and log p(x) is that of sum_z p(z) p(x | z). It is trained by ``gumbel-kl``,
    no bound, since the reconstruction takes soft bits.

    With a smoothing (DVAE++) the decoder sees zeta ~ r(zeta | z), in training and ever after. Objective ``smoothed`` trains
    the ELBO of sum_z p(z) int r(zeta | z) p(x | zeta) dzeta with the KL of the bits, closed for one group, and every log
    p(x) is of this model, by importance weights of z and zeta together.

    With ``gaussian-integral`` (DVAE#) r is N(z, (M + beta I)^-1), M = [0 W; W' 0], and z is summed out: the one site zeta
    has a density known up to the machine's Z. ``iwae`` trains its importance-weighted bound, and every log p(x) is of int
    p(zeta) p(x | zeta) dzeta.

    Args:
        num_bits: n + m, an even number.
        num_chains: Markov chains of the prior.
        num_sweeps: Gibbs sweeps of the chains a step.
        smoothing: r(zeta | z), by which the decoder sees the bits; None for the bits themselves.
        beta: its sharpness; by default 10 of exponential, 4 of spike-exponential, 30 of power, 16 of uniform-exponential, and
            30 of gaussian-integral, where it must stay above the largest singular value of W.
        num_groups: of the guide's bits, each given the smoothed bits of those before; not of gaussian-integral.

    References: Vahdat, Macready, Bian, Khoshaman and Andriyash, DVAE++, 2018 (the prior, its KL from a factorial guide,
    overlapping smoothings, groups); Vahdat, Andriyash and Macready, DVAE#: Discrete Variational Autoencoders with Relaxed
    Boltzmann Priors, 2018 (power and uniform-exponential smoothings, Gaussian integral).
    """
    if num_bits % 2:
        raise OptionError(f"num_bits is {num_bits!r}; expected an even number, two halves of as many bits.")
    machine = BoltzmannMachine((num_bits // 2, num_bits // 2), num_chains, num_sweeps)
    if smoothing is None:
        return models.RBMVAE(machine, *dense.decoder(num_bits)), guides.IndependentCategorical(dense.encoder(num_bits), 2)
    groups = BitGroups(num_bits, num_groups, smoothing, beta)
    if smoothing == "gaussian-integral":
        if num_groups > 1:
            raise OptionError(f"num_groups is {num_groups!r}; expected 1 with smoothing 'gaussian-integral'.")
        guide = guides.RelaxedBits(dense.encoder(num_bits), groups.smoothing.beta)
        model = models.RelaxedRBMVAE(machine, groups.smoothing.beta, *dense.decoder(num_bits))
        return replace(as_pair((model, guide)), objective={"name": "iwae", "num_particles": 5})
    model = models.DiscreteVAE(machine, groups.smoothing, groups.sizes, *dense.decoder(num_bits))
    return replace(as_pair((model, guides.GroupedBits(groups.encoders(dense), groups.smoothing))), objective="smoothed")
