"""Contractive autoencoders."""

from __future__ import annotations

from typing import Literal

from torch import nn

from pyrovae import models
from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.distributions import likelihoods
from pyrovae.errors import OptionError
from pyrovae.guides import Deterministic
from pyrovae.nets.codes import TiedDecoder, TiedEncoder
from pyrovae.nets.mlp import MLPEncoder
from pyrovae.pairs.ae import cross_entropy, decoder_of
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.vae import Activation, LikelihoodName, Scale, start_decoder

__all__ = ["cae"]


@recipe("cae", "Rifai et al., Contractive Auto-Encoders: Explicit Invariance During Feature Extraction", 2011)
def cae(
    spec: DataSpec,
    *,
    latent_dim: int = 200,
    of: Literal["encoder", "decoder"] = "encoder",
    jacobian: Literal["closed-form", "autograd"] | None = None,
    weight: float = 0.1,
    num_probes: int = 0,
    hidden: list[int] | tuple[int, ...] = (200,),
    activation: Activation = "tanh",
    likelihood: LikelihoodName | None = None,
    scale: Scale = 1.0,
) -> Pair:
    """A contractive autoencoder: energy(x) + weight ||df/dx||_F^2, f = sigmoid(W x + b), decoder W' z + c.

        ||df/dx||_F^2 = sum_j (h_j (1 - h_j))^2 sum_i W_ji^2,    h = f(x)

    The penalty is the objective's (modifier ``contraction``), in this closed form or by autograd, which are equal. Without
    tied weights it would cost nothing: a smaller code with a larger decoder reconstructs the same. ``of="decoder"`` penalizes
    ||dg/dz||_F^2 at z = f(x) instead, with networks of any depth and a prior N(0, I) of the code, which keeps it from growing.

    Args:
        of: whose Jacobian is penalized.
        jacobian: how it is computed; by default in closed form for the encoder, by autograd for the decoder.
        weight: of the penalty.
        num_probes: estimate the norm by so many random directions, for "autograd" in high dimensions; 0 for the exact norm.
        hidden: with of="decoder", sizes of the hidden layers of the encoder, and reversed of the decoder.
        likelihood: law of x given z; by default the cross-entropy, bernoulli for binary data and bernoulli-grey for others in
            [0, 1], gaussian for real data.

    References: Rifai et al., Contractive Auto-Encoders, 2011, Section 3; Ghosh et al., From Variational to Deterministic
    Autoencoders, 2020, Section 3 (the decoder's).
    """
    if of not in ("encoder", "decoder"):
        raise OptionError(f"of is {of!r}; expected 'encoder' or 'decoder'.")
    likelihood = likelihood or cross_entropy(spec)
    how = jacobian or {"encoder": "closed-form", "decoder": "autograd"}[of]
    objective = {"name": "contraction", "weight": weight, "of": of, "jacobian": how, "num_probes": num_probes}
    encoder: nn.Module
    if of == "decoder":
        decoder, law = decoder_of(spec, latent_dim, hidden, activation, likelihood, scale)
        encoder = MLPEncoder(spec.shape, hidden, latent_dim, activation)
        return Pair(models.VAE(decoder, law, latent_dim), Deterministic(encoder), objective)
    law = likelihoods.build(likelihood, spec.shape, spec.kind, spec.levels, scale)
    encoder = TiedEncoder(spec.shape, latent_dim, sigmoid=True)
    tied = TiedDecoder(encoder, law.num_params)
    start_decoder(tied, law, spec)
    return Pair(models.Autoencoder(tied, law, latent_dim), Deterministic(encoder), objective)
