"""Adversarial examples of a pair: the smallest change of a datum by which its code, or its reconstruction, is another's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyrovae.calls import public
from pyrovae.core.doors import as_batch
from pyrovae.core.inference import inference
from pyrovae.core.keys import drawn_keys, main_key
from pyrovae.core.layout import settle_particles
from pyrovae.core.pair import Pair, PairLike, as_pair, known_spec
from pyrovae.core.program import Batch, batch_size
from pyrovae.errors import ContractError, OptionError, nearest
from pyrovae.evaluation.attack_measures import measure_of
from pyrovae.generate.reconstruction import reconstructions

__all__ = ["KINDS", "Attack", "attack"]

KINDS = ("latent", "kl", "output", "classifier")
BOUNDED = ("binary", "levels", "unit")  # kinds of data that lie in [0, 1]
SHOWN_SAMPLES = 10  # draws of a reconstruction, where the attack itself has none


@dataclass(frozen=True, repr=False)
class Attack:
    """What :func:`attack` found, for B data of the shape that the pair reads.

    Attributes:
        x, target: the data, and those that they are to be taken for, (B, *shape).
        eta: the change, (B, *shape).
        before, after: what was to be made small, without the change's cost, at x and at x + eta, (B,).
        clean, reconstruction, aim: E[x | z] of x, of x + eta and of the target, (B, *shape).
    """

    x: Tensor
    target: Tensor
    eta: Tensor
    before: Tensor
    after: Tensor
    clean: Tensor
    reconstruction: Tensor
    aim: Tensor

    @property
    def size(self) -> Tensor:
        """||eta|| over ||target - x||, (B,): 1 is as large a change as to the target itself."""
        return _norm(self.eta) / _norm(self.target - self.x)

    @property
    def distance(self) -> Tensor:
        """||E[x | z(x + eta)] - aim|| over the same of x, (B,): 1 is no effect, 0 the target's own reconstruction."""
        return _norm(self.reconstruction - self.aim) / _norm(self.clean - self.aim)

    def to_json(self) -> dict[str, Any]:
        """Means over the data."""
        means = {name: float(getattr(self, name).mean()) for name in ("before", "after", "size", "distance")}
        return {"num_data": len(self.x), **means}

    def __repr__(self) -> str:
        each = self.to_json()
        return (
            f"what is made small fell from {each['before']:.4g} to {each['after']:.4g} by changes of {each['size']:.3f} of "
            f"the way to the targets; the reconstructions are at {each['distance']:.3f} of their distance from the targets' "
            f"(means of {each['num_data']} data)"
        )


@public()
def attack(
    pair: PairLike,
    data: Any,
    target: Any,
    kind: str = "latent",
    cost: float = 1.0,
    *,
    classifier: Any = None,
    num_samples: int = 1,
    num_steps: int = 200,
    bounded: bool | None = None,
    seed: int = 0,
) -> Attack:
    """The change eta of each datum that makes the pair take x + eta for the target, at a cost c ||eta||^2.

        latent:      min ||m(x + eta) - m(x_t)||^2 + c ||eta||^2,  m the means of the guide's continuous sites, side by side
        kl:          min KL(q(z | x + eta) || q(z | x_t)) + c ||eta||^2, in nats
        output:      min -E_q(z | x + eta)[log p(x_t | z)] + c ||eta||^2, in nats
        classifier:  min -log p(y_t | m(x + eta)) + c ||eta||^2, in nats

    By L-BFGS-B from eta = 0, the gradient through the guide (and the model); the draws of ``output`` are the same at each
    step. No parameter moves. The pair is any that reads its main key (x) as real numbers; a linear encoder A has the answer
    A^T (A A^T + c I)^-1 (m(x_t) - m(x)).

    Args:
        pair: a Run, a run's folder, a Pair, or (model, guide).
        data: B rows, in any form that :func:`pyrovae.data.load` takes; of a whole Data set the test part.
        target: as many rows, or one.
        kind: latent, kl, output or classifier.
        cost: c, at least 0.
        classifier: of kind classifier, from codes, (B, d), to logits, (B, C), as :func:`code_classifier` gives; the target's
            classes are its key y.
        num_samples: K draws of z, of kind output.
        num_steps: at most.
        bounded: whether x + eta is held in [0, 1]; by default where data of the pair's kind lie there.
        seed: of the draws.

    Returns:
        An :class:`Attack`.

    Raises:
        ContractError: the guide does not read x, or has no continuous site (or no KL, of kind kl).

    References: Tabacof, Tavares and Valle, Adversarial Images for Variational Autoencoders, 2016 (latent); Kos, Fischer and
    Song, Adversarial Examples for Generative Models, 2017 (classifier, output and latent attacks).

    >>> from pyrovae.data import DataSpec
    >>> from pyrovae.pairs import vae
    >>> pair = vae(DataSpec("toy", (4,), "real"), latent_dim=2)
    >>> found = attack(pair, torch.zeros(3, 4), torch.ones(3, 4), cost=0.1)
    >>> found.eta.shape, bool((found.after < found.before).all())
    (torch.Size([3, 4]), True)
    """
    pair = as_pair(pair)
    _require(kind, cost, classifier)
    batch, goal = as_batch(pair, data), as_batch(pair, target)
    if batch_size(goal) == 1:
        goal = {key: value.expand(batch_size(batch), *value.shape[1:]) for key, value in goal.items()}
    if batch_size(goal) != batch_size(batch):
        raise OptionError(f"target has {batch_size(goal)} rows and data {batch_size(batch)}; expected as many, or one.")
    key = main_key(drawn_keys(pair.model, batch, given=batch))
    _require_real(pair, batch, key)
    inside = _lies_in_unit(pair) if bounded is None else bounded
    with inference(pair, seed=seed):
        settle_particles(pair.model, pair.guide, batch)
        measure = measure_of(pair, goal, kind, classifier, num_samples, seed)
        eta = _minimize(measure, batch, key, cost, num_steps, inside)
        moved = {**batch, key: batch[key] + eta}
        before, after = measure(batch), measure(moved)
        draws = num_samples if kind == "output" else SHOWN_SAMPLES
        shown = []
        for each in (batch, moved, goal):
            torch.manual_seed(seed)
            shown.append(reconstructions(pair, each, draws))
    clean, reconstruction, aim = shown
    return Attack(batch[key], goal[key], eta, before, after, clean, reconstruction, aim)


def _require(kind: str, cost: float, classifier: Any) -> None:
    if kind not in KINDS:
        raise nearest("kind of attack", kind, KINDS)
    if cost < 0:
        raise OptionError(f"cost is {cost!r}; expected a number of at least 0.")
    if (kind == "classifier") != (classifier is not None):
        raise OptionError(
            "classifier goes with kind='classifier': give both, as in attack(pair, x, target, 'classifier', "
            "classifier=code_classifier(pair, data)), or neither."
        )
    if classifier is not None and not callable(classifier):
        raise OptionError(f"classifier is {classifier!r}; expected a function from codes, (B, d), to logits, (B, C).")


def _require_real(pair: Pair, batch: Batch, key: str) -> None:
    spec = known_spec(pair)
    kind = None if spec is None else spec.kind
    if not batch[key].is_floating_point() or kind not in (None, "real", *BOUNDED):
        raise ContractError(f"{key} is {kind or batch[key].dtype}, of which no small change is another; attack real numbers.")


def _lies_in_unit(pair: Pair) -> bool:
    spec = known_spec(pair)
    return spec is not None and spec.kind in BOUNDED


def _norm(values: Tensor) -> Tensor:
    return values.flatten(1).norm(dim=1)


def _minimize(
    measure: Callable[[Batch], Tensor], batch: Batch, key: str, cost: float, num_steps: int, bounded: bool
) -> Tensor:
    """eta, (B, *shape)."""
    from scipy.optimize import minimize  # half a second to import

    x = batch[key]

    def value_and_gradient(flat: np.ndarray) -> tuple[float, np.ndarray]:
        with torch.enable_grad():
            eta = torch.from_numpy(flat).to(x).reshape(x.shape).requires_grad_()
            total = (measure({**batch, key: x + eta})).sum()
            gradient = torch.autograd.grad(total, eta, allow_unused=True)[0] if total.requires_grad else None
        if gradient is None:
            raise ContractError(f"the codes do not depend on {key}, so that no change of it is an attack on this guide.")
        squared = float(np.square(flat).sum())
        return float(total.detach()) + cost * squared, gradient.double().cpu().numpy().ravel() + 2 * cost * flat

    flat = x.double().cpu().numpy().ravel()
    bounds = np.stack([np.minimum(-flat, 0), np.maximum(1 - flat, 0)], 1) if bounded else None
    options = {"maxiter": num_steps, "maxfun": 3 * num_steps, "ftol": 1e-13, "gtol": 1e-8}
    found = minimize(value_and_gradient, np.zeros_like(flat), jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    return torch.from_numpy(found.x).to(x).reshape(x.shape)
