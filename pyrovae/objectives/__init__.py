"""Objectives: Pyro ELBOs whose value is a bound per datum in nats, and whose gradient is a named estimator's.

``get("iwae", num_particles=50)`` finds one by name; every class is a :class:`pyro.infer.ELBO`, so that it also serves
``pyro.infer.SVI(model, guide, optim, loss=...)`` and ``objective(model, guide)`` with a torch optimizer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyro.infer

from pyrovae.errors import OptionError
from pyrovae.objectives import bounds
from pyrovae.objectives.adversarial import AAE
from pyrovae.objectives.adversarial_bayes import AVB
from pyrovae.objectives.adversarial_classes import AAEClasses
from pyrovae.objectives.aggressive import Aggressive
from pyrovae.objectives.auxiliary import Auxiliary
from pyrovae.objectives.clamped import Clamped
from pyrovae.objectives.code_density import CodeDensity
from pyrovae.objectives.constrained import Constrained
from pyrovae.objectives.control import Control
from pyrovae.objectives.control_variates import ARM, REBAR, RELAX
from pyrovae.objectives.covariance import DIP
from pyrovae.objectives.discrete import RWS, VIMCO, WakeSleep
from pyrovae.objectives.elbo import ELBO, Enum, MeanField
from pyrovae.objectives.energy import Energy
from pyrovae.objectives.factor_labels import S2
from pyrovae.objectives.filtering import FIVO
from pyrovae.objectives.gumbel_kl import GumbelKL
from pyrovae.objectives.importance import CIWAE, IWAE, MIWAE, PIWAE, DReG, Renyi
from pyrovae.objectives.nested import Nested
from pyrovae.objectives.nvil import NVIL
from pyrovae.objectives.objective import Given, Objective, Terms, Update, Updates
from pyrovae.objectives.penalties import Contraction, Sparsity
from pyrovae.objectives.quantization import VQ
from pyrovae.objectives.semisupervised import SemiSupervised
from pyrovae.objectives.shared import MAP
from pyrovae.objectives.smoothed import Smoothed
from pyrovae.objectives.smoothness import Smoothness
from pyrovae.objectives.stl import STL
from pyrovae.objectives.total_correlation import Factor, TotalCorrelation
from pyrovae.objectives.vae_gan import VAEGAN, FeatureELBO
from pyrovae.objectives.wake_sleep_gan import AAVAE, IWGAN
from pyrovae.objectives.wasserstein import WAE, WAEGAN, InfoVAE
from pyrovae.objectives.weight_decay import WeightDecay
from pyrovae.registry import Registry, parse_choice

__all__ = [
    "AAE",
    "AAEClasses",
    "AAVAE",
    "ARM",
    "AVB",
    "CIWAE",
    "DIP",
    "ELBO",
    "FIVO",
    "IWAE",
    "IWGAN",
    "MAP",
    "MIWAE",
    "NVIL",
    "OBJECTIVES",
    "PIWAE",
    "REBAR",
    "RELAX",
    "RWS",
    "S2",
    "Nested",
    "STL",
    "VAEGAN",
    "VIMCO",
    "VQ",
    "Aggressive",
    "Auxiliary",
    "WAE",
    "WAEGAN",
    "Clamped",
    "CodeDensity",
    "Constrained",
    "Contraction",
    "Control",
    "DReG",
    "Energy",
    "Enum",
    "Factor",
    "FeatureELBO",
    "Given",
    "GumbelKL",
    "InfoVAE",
    "MeanField",
    "Objective",
    "Renyi",
    "SemiSupervised",
    "Smoothed",
    "Smoothness",
    "Terms",
    "Sparsity",
    "TotalCorrelation",
    "Update",
    "Updates",
    "WakeSleep",
    "WeightDecay",
    "bounds",
    "get",
]

OBJECTIVES: Registry[type[Objective]] = Registry(
    "objective",
    {
        "elbo": ELBO,
        "meanfield": MeanField,
        "enum": Enum,
        "stl": STL,
        "nested": Nested,
        "iwae": IWAE,
        "renyi": Renyi,
        "fivo": FIVO,
        "miwae": MIWAE,
        "ciwae": CIWAE,
        "piwae": PIWAE,
        "dreg": DReG,
        "vimco": VIMCO,
        "nvil": NVIL,
        "rebar": REBAR,
        "relax": RELAX,
        "arm": ARM,
        "gumbel-kl": GumbelKL,
        "rws": RWS,
        "wake-sleep": WakeSleep,
        "semisupervised": SemiSupervised,
        "energy": Energy,
        "contraction": Contraction,
        "sparsity": Sparsity,
        "map": MAP,
        "smoothness": Smoothness,
        "weight-decay": WeightDecay,
        "code-density": CodeDensity,
        "aae": AAE,
        "aae-classes": AAEClasses,
        "wae": WAE,
        "wae-gan": WAEGAN,
        "info-vae": InfoVAE,
        "avb": AVB,
        "vae-gan": VAEGAN,
        "feature-elbo": FeatureELBO,
        "iw-gan": IWGAN,
        "aa-vae": AAVAE,
        "tc": TotalCorrelation,
        "factor": Factor,
        "dip": DIP,
        "s2": S2,
        "control": Control,
        "auxiliary": Auxiliary,
        "aggressive": Aggressive,
        "clamped": Clamped,
        "constrained": Constrained,
        "vq": VQ,
        "smoothed": Smoothed,
    },
)

# objectives with options of their own
ESTIMATORS = {("iwae", "vimco"): "vimco", **{("elbo", word): name for word, name in ELBO.elsewhere.items()}}


def get(objective: str | Mapping[str, Any] | pyro.infer.ELBO, **options: Any) -> pyro.infer.ELBO:
    """The objective of a name, ``"name:option=value,..."``, a mapping with ``name``, or a Pyro ELBO (as it is).

    >>> get("iwae:num_particles=50")
    IWAE(num_particles=50)
    >>> get("elbo:estimator=score,baseline=average"), get("iwae:estimator=concrete,temperature=1")
    (NVIL(num_particles=1, baseline=average), IWAE(num_particles=50, estimator=concrete, temperature=1))
    """
    if isinstance(objective, pyro.infer.ELBO):
        return objective
    if isinstance(objective, type) and issubclass(objective, pyro.infer.ELBO):
        raise OptionError(f"objective is the class {objective.__name__}; give an instance, {objective.__name__}().")
    if not isinstance(objective, (str, Mapping)):
        raise OptionError(f"objective is {objective!r}; expected a name with options, a mapping or one of Pyro's ELBOs.")
    name, own = parse_choice(objective, "objective")
    options = {**own, **options}
    alias = ESTIMATORS.get((name, options.get("estimator")))  # type: ignore[arg-type]
    if alias is not None:
        name = alias
        del options["estimator"]
    built: Objective = OBJECTIVES.build({**options, "name": name})
    return built
