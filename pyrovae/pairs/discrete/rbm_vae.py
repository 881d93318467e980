"""The VAE of bits with a Boltzmann machine as prior."""

from __future__ import annotations

from pyrovae import guides, models
from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.distributions import BoltzmannMachine
from pyrovae.errors import OptionError
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.tiny import tiny
from pyrovae.parts import Dense

__all__ = ["rbm_vae"]


@recipe(
    "Vahdat et al.",
    "DVAE++: Discrete Variational Autoencoders with Overlapping Transformations",
    2018,
    objective="gumbel-kl",
    tiny=[tiny("digits", num_bits=6, num_chains=20, num_sweeps=2)],
)
def rbm_vae(
    spec: DataSpec,
    *,
    num_bits: int = 200,
    num_chains: int = 1000,
    num_sweeps: int = 10,
    dense: Dense = Dense(hidden=()),
) -> Pair:
    """Bits whose prior is a restricted Boltzmann machine of two halves, and a factorial guide.

    The KL has a closed form, log Z being followed by chains while it trains; the reconstruction takes soft bits. What is
    followed lags behind, by nats where the machine moves fast, so that the training column looks better than it is: validation
    and log p(x) find log Z anew, and log p(x) says how, and carries its error.

    Args:
        num_bits: n + m, an even number.
        num_chains: Markov chains of the prior.
        num_sweeps: Gibbs sweeps of the chains a step.

    References: Vahdat, Macready, Bian, Khoshaman and Andriyash, DVAE++, 2018 (the prior, and its KL from a factorial guide).
    """
    if num_bits % 2:
        raise OptionError(f"num_bits is {num_bits!r}; expected an even number, two halves of as many bits.")
    machine = BoltzmannMachine((num_bits // 2, num_bits // 2), num_chains, num_sweeps)
    return models.RBMVAE(machine, *dense.decoder(num_bits)), guides.IndependentCategorical(dense.encoder(num_bits), 2)
