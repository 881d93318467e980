"""The discrete VAE."""

from __future__ import annotations

from typing import Literal

from pyrovae import guides, models
from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.distributions import BoltzmannMachine
from pyrovae.errors import OptionError
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.tiny import tiny
from pyrovae.parts import BitGroups, Dense

__all__ = ["discrete_vae"]


@recipe(
    "Rolfe",
    "Discrete Variational Autoencoders",
    2017,
    sites=["z", "zeta1", "zeta2", "y1"],
    objective="smoothed",
    tiny=[tiny("digits", num_bits=6, latent_dim=3, num_chains=20, num_sweeps=2, hidden=[16])],
)
def discrete_vae(
    spec: DataSpec,
    *,
    num_bits: int = 128,
    num_groups: int = 2,
    latent_dim: int = 64,
    num_layers: int = 1,
    smoothing: Literal["spike-exponential", "exponential", "power", "uniform-exponential"] = "spike-exponential",
    beta: float | None = None,
    num_chains: int = 1000,
    num_sweeps: int = 10,
    dense: Dense = Dense(hidden=()),
) -> Pair:
    """Bits of a Boltzmann machine, seen as spike and exponential, above layers of Gaussians; the guide's bits in groups.

        p(z) r(zeta | z) prod_l p(y_l | zeta, y_<l) p(x | zeta, y)
        prod_g q(z_g | x, zeta_<g) r(zeta_g | z_g) prod_l q(y_l | x, zeta, y_<l)

    The bound of objective ``smoothed``, and log p(x), are of this model, in which x and y see zeta. log Z is followed by
    chains in training, which lags behind, and found anew in validation and evaluation; log p(x) carries its error. The
    paper warms the KL up, ``fit(kl_warmup=40)``. Its batch normalization, its L1 penalty on W and the growth of beta are
    not here, and the guide's Gaussians have networks of their own.

    Args:
        num_bits: n + m, an even number.
        num_groups: G, of the guide's bits, each given x and the smoothed bits of the groups before.
        latent_dim: d, of each y.
        num_layers: L, of y; for bits alone there is ``rbm-vae`` with a smoothing.
        smoothing: r(zeta | z).
        beta: its sharpness; by default 4 of spike-exponential, 10 of exponential, 30 of power, 16 of uniform-exponential.
        num_chains: Markov chains of the prior.
        num_sweeps: Gibbs sweeps of the chains a step.

    References: Rolfe, Discrete Variational Autoencoders, 2017, Sections 2 to 4.
    """
    if num_bits % 2:
        raise OptionError(f"num_bits is {num_bits!r}; expected an even number, two halves of as many bits.")
    machine = BoltzmannMachine((num_bits // 2, num_bits // 2), num_chains, num_sweeps)
    groups = BitGroups(num_bits, num_groups, smoothing, beta)
    seen = [[num_bits, *[latent_dim] * layer] for layer in range(num_layers + 1)]
    prior = [dense.joint(inputs, 2 * latent_dim) for inputs in seen[:-1]]
    posterior = [dense.encoder(2 * latent_dim, inputs) for inputs in seen[:-1]]
    model = models.DiscreteVAE(machine, groups.smoothing, groups.sizes, *dense.decoder(seen[-1]), prior)
    return model, guides.GroupedBits(groups.encoders(dense), groups.smoothing, posterior)
