"""Adversarial examples of a pair: the smallest change of a datum by which its code, or its reconstruction, is another's."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from pyrovae.calls import public
from pyrovae.core.doors import as_batch
from pyrovae.core.inference import inference
from pyrovae.core.keys import drawn_keys, main_key
from pyrovae.core.layout import settle_particles
from pyrovae.core.pair import Pair, PairLike, as_pair, known_spec
from pyrovae.core.program import Batch, batch_size, describe
from pyrovae.core.sites import Site, sample_sites
from pyrovae.core.trace import PairTrace, run_program
from pyrovae.data import Data, as_split
from pyrovae.distributions.divergence import analytic_kl
from pyrovae.errors import ContractError, DataError, OptionError, nearest
from pyrovae.generate.expectation import Expectations
from pyrovae.generate.reconstruction import reconstructions

__all__ = ["KINDS", "Attack", "DistortionCurve", "attack", "code_classifier", "distortion_curve"]

KINDS = ("latent", "kl", "output", "classifier")
BOUNDED = ("binary", "levels", "unit")  # kinds of data that lie in [0, 1]
COSTS = (100.0, 10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 0.001)
SHOWN_SAMPLES = 10  # draws of a reconstruction, where the attack itself has none
ROWS_PER_PASS = 500
Classifier = Callable[[Tensor], Tensor]


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
            f"what is made small fell from {each['before']:.4g} to {each['after']:.4g} by changes of {each['size']:.3f} of the "
            f"way to the targets; the reconstructions are at {each['distance']:.3f} of their distance from the targets' "
            f"(means of {each['num_data']} data)"
        )


@dataclass(frozen=True, repr=False)
class DistortionCurve:
    """What attacks of several costs reach, each datum's two distortions between 0 and 1 at the ends of the curve.

    Attributes:
        costs: c, (C,).
        size: :attr:`Attack.size` at each, (C, B).
        distance: :attr:`Attack.distance` at each, (C, B).
    """

    costs: tuple[float, ...]
    size: Tensor
    distance: Tensor

    @property
    def areas(self) -> Tensor:
        """The area under each datum's curve from (0, 1), no change, to (1, 0), the target itself, (B,), by the trapezoids.

        0.5 is the straight line: a pair whose reconstructions move no more than what it is given. Points beyond the target,
        of a change larger than the way there, are left out.
        """
        found = []
        for size, distance in zip(self.size.T.double(), self.distance.T.double(), strict=True):
            inside = size < 1
            places = torch.cat([torch.tensor([0.0, 1.0]).double(), size[inside]])
            values = torch.cat([torch.tensor([1.0, 0.0]).double(), distance[inside]])
            order = places.argsort()
            found.append(torch.trapezoid(values[order], places[order]))
        return torch.stack(found)

    @property
    def area(self) -> float:
        """The mean of :attr:`areas`; the smaller, the easier the pair is led astray."""
        return float(self.areas.mean())

    @property
    def stderr(self) -> float:
        """Standard error of the area over data."""
        return float(self.areas.std() / math.sqrt(len(self.areas))) if len(self.areas) > 1 else math.inf

    def to_json(self) -> dict[str, Any]:
        """All figures, means over the data."""
        means = {name: getattr(self, name).mean(1).tolist() for name in ("size", "distance")}
        return {"costs": list(self.costs), **means, "area": self.area, "area_stderr": self.stderr}

    def __repr__(self) -> str:
        return f"area under the distortion curve {self.area:.3f} +- {self.stderr:.3f} (0.5 is the straight line)"


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

    By L-BFGS-B from eta = 0, the gradient through the guide (and the model); the draws of ``output`` are the same at each step.
    No parameter moves. The pair is any that reads its main key (x) as real numbers; a linear encoder A has the answer
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
    _require(kind, cost, classifier, {"num_samples": num_samples, "num_steps": num_steps})
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
        measure = _measure(pair, goal, kind, classifier, num_samples, seed)
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


def _require(kind: str, cost: Any, classifier: Any, whole: Mapping[str, Any]) -> None:
    if kind not in KINDS:
        raise nearest("kind of attack", kind, KINDS)
    if isinstance(cost, bool) or not isinstance(cost, (int, float)) or not math.isfinite(cost) or cost < 0:
        raise OptionError(f"cost is {cost!r}; expected a number of at least 0.")
    for name, value in whole.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise OptionError(f"{name} is {value!r}; expected a whole number of at least 1.")
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


# ------------------------------------------------------------------------------------------------ what is made small
def _code_sites(pair: Pair, batch: Batch) -> dict[str, Site]:
    """The guide's continuous latent sites, each given the means of those before it."""
    with Expectations():
        sites = sample_sites(run_program(pair.guide, batch))
    found = {n: s for n, s in sites.items() if not s["is_observed"] and s["value"].is_floating_point()}
    found = {n: s for n, s in found.items() if not s["fn"].support.is_discrete}
    if not found:
        raise ContractError(f"{describe(pair.guide)} has no continuous latent site, and an attack moves codes little by little.")
    return found


def _codes(pair: Pair, batch: Batch) -> Tensor:
    """Means of the continuous sites side by side, (B, D)."""
    return torch.cat([site["value"].flatten(1) for site in _code_sites(pair, batch).values()], 1)


def _measure(
    pair: Pair, goal: Batch, kind: str, classifier: Classifier | None, num_samples: int, seed: int
) -> Callable[[Batch], Tensor]:
    """What is to be small of a batch, (B,)."""
    if kind == "output":
        return lambda batch: _surprise(pair, batch, goal, num_samples, seed)
    if kind == "kl":
        ends = _code_sites(pair, goal)
        return lambda batch: _divergence(_code_sites(pair, batch), ends)
    if kind == "latent":
        end = _codes(pair, goal)
        return lambda batch: (_codes(pair, batch) - end).square().sum(1)
    if "y" not in goal or bool((goal["y"] < 0).any()):
        raise DataError("target has no labels y (or -1 among them), and a classifier is led to the target's class; give them.")
    assert classifier is not None
    return lambda batch: cross_entropy(classifier(_codes(pair, batch)), goal["y"].long(), reduction="none")


def _divergence(sites: Mapping[str, Site], ends: Mapping[str, Site]) -> Tensor:
    total: Tensor | float = 0.0
    for name, site in sites.items():
        try:
            total = total + analytic_kl(site["fn"], ends[name]["fn"])
        except NotImplementedError as error:
            raise ContractError(f"site {name!r} has no KL in closed form ({error}); use kind='latent'.") from error
    assert isinstance(total, Tensor)
    return total


def _surprise(pair: Pair, batch: Batch, goal: Batch, num_samples: int, seed: int) -> Tensor:
    """-E_q(z | batch)[log p(goal | z)] by the same K draws at each call, (B,)."""
    torch.manual_seed(seed)
    guide = run_program(pair.guide, batch, num_samples)
    model = run_program(pair.model, goal, num_samples, replay=guide)
    traced = PairTrace(model, guide, (num_samples, batch_size(goal)), batch=goal, program=pair.model)
    return -traced.total({name: traced.log_p[name] for name in traced.observed}).mean(0)


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
    found = minimize(
        value_and_gradient, np.zeros_like(flat), jac=True, method="L-BFGS-B", bounds=bounds, options=options
    )
    return torch.from_numpy(found.x).to(x).reshape(x.shape)


# ------------------------------------------------------------------------------------------------ curves, classifiers
@public()
def distortion_curve(
    pair: PairLike, data: Any, target: Any, kind: str = "latent", costs: Sequence[float] = COSTS, **options: Any
) -> DistortionCurve:
    """Attacks of several costs: how near the reconstruction comes to the target's, against the size of the change.

    Args:
        pair: a Run, a run's folder, a Pair, or (model, guide).
        data: as for :func:`attack`.
        target: as many rows, or one.
        kind: as for :func:`attack`.
        costs: c of each attack; the curve is as good as they lie over all sizes.
        options: others of :func:`attack`.

    References: Tabacof, Tavares and Valle, Adversarial Images for Variational Autoencoders, 2016 (distortion-distortion plots).
    """
    if isinstance(costs, str) or not isinstance(costs, Sequence) or not costs:
        raise OptionError(f"costs is {costs!r}; expected a list of numbers of at least 0.")
    pair = as_pair(pair)
    found = [attack(pair, data, target, kind, cost, **options) for cost in costs]
    size, distance = (torch.stack([getattr(each, name) for each in found]) for name in ("size", "distance"))
    return DistortionCurve(tuple(map(float, costs)), size, distance)


def code_classifier(pair: PairLike, data: Any) -> Classifier:
    """Logistic regression from the codes that :func:`attack` moves to classes y, fitted to labelled data.

    Args:
        pair: a Run, a run's folder, a Pair, or (model, guide).
        data: with labels y; of a whole Data set the training part.

    Returns:
        A function from codes, (B, d), to logits, (B, C).
    """
    from sklearn.linear_model import LogisticRegression

    pair = as_pair(pair)
    split = as_split(data.train if isinstance(data, Data) else data, known_spec(pair))
    if "y" not in (first := next(iter(split.batches(1)))):
        raise DataError(f"the data have {', '.join(first)} and no labels y, of which a classifier of codes would be.")
    codes, labels = [], []
    with inference(pair):
        for rows in split.batches(ROWS_PER_PASS):
            batch = as_batch(pair, rows)
            codes.append(_codes(pair, batch).cpu())
            labels.append(batch["y"].cpu())
    x, y = torch.cat(codes).double(), torch.cat(labels)
    spread = x.std(0).max() + 1e-8
    known = y >= 0
    fitted = LogisticRegression(max_iter=2000).fit((x[known] / spread).numpy(), y[known].numpy())
    if len(fitted.classes_) < 3:
        raise DataError(f"y has {len(fitted.classes_)} classes among the labelled rows; expected 3 at least.")
    weight, bias = torch.from_numpy(fitted.coef_) / spread, torch.from_numpy(fitted.intercept_)
    classes = torch.from_numpy(fitted.classes_).long()

    def logits(z: Tensor) -> Tensor:
        found = z.new_full((len(z), int(classes.max()) + 1), -1e4)
        return found.index_copy(1, classes.to(z.device), z @ weight.to(z).T + bias.to(z))

    return logits

