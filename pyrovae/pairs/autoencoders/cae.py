"""Contractive autoencoders."""

from __future__ import annotations

from typing import Literal

from pyrovae import guides, models
from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.errors import OptionError
from pyrovae.nets import TiedDecoder, TiedEncoder
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.tiny import tiny
from pyrovae.parts import Dense

__all__ = ["cae"]


@recipe(
    "Rifai et al.",
    "Contractive Auto-Encoders: Explicit Invariance During Feature Extraction",
    2011,
    objective="contraction",
    density=False,
    only={"hidden": {"of": "decoder"}, "activation": {"of": "decoder"}},
    tiny=[
        tiny("digits", latent_dim=6),
        tiny("digits", latent_dim=6, jacobian="autograd"),
        tiny("digits", latent_dim=3, of="decoder", hidden=[20]),
    ],
)
def cae(
    spec: DataSpec,
    *,
    latent_dim: int = 200,
    of: Literal["encoder", "decoder"] = "encoder",
    jacobian: Literal["closed-form", "autograd"] | None = None,
    weight: float = 0.1,
    num_probes: int = 0,
    dense: Dense = Dense(hidden=(200,), scale=1.0),
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
        activation: with of="decoder", of the hidden layers.
        likelihood: distribution of x given z; by default the cross-entropy, bernoulli for binary data and bernoulli-grey for
            others in [0, 1], gaussian for real data.

    References: Rifai et al., Contractive Auto-Encoders, 2011, Section 3; Ghosh et al., From Variational to Deterministic
    Autoencoders, 2020, Section 3 (the decoder's).
    """
    if of not in ("encoder", "decoder"):
        raise OptionError(f"of is {of!r}; expected 'encoder' or 'decoder'.")
    how = jacobian or {"encoder": "closed-form", "decoder": "autograd"}[of]
    objective = {"name": "contraction", "weight": weight, "of": of, "jacobian": how, "num_probes": num_probes}
    if of == "decoder":
        model = models.VAE(*dense.decoder(latent_dim, dense.cross_entropy), latent_dim)
        return Pair(model, guides.Deterministic(dense.encoder(latent_dim)), objective)
    encoder = TiedEncoder(spec.shape, latent_dim, sigmoid=True)
    decoder, likelihood = dense.start(lambda n: TiedDecoder(encoder, n), dense.cross_entropy)
    return Pair(models.AE(decoder, likelihood, latent_dim), guides.Deterministic(encoder), objective)
