"""What a public docstring must say, wherever it applies: the formula, the shapes, the units."""

from __future__ import annotations

import importlib
import inspect
import re

import pytest
from pyro.infer import ELBO
from torch import Tensor, nn
from torch.distributions import Distribution

from pyrovae.evidence.method import Method

PACKAGES = ["data", "objectives", "distributions", "nets", "models", "guides", "pairs", "evidence", "generate", "evaluation"]
PACKAGES = ["pyrovae", *(f"pyrovae.{name}" for name in [*PACKAGES, "plots", "train", "runs", "compile"])]
ROOT = "pyrovae."
SHAPE = re.compile(r"\(\*\w+\)|\((?:\w+|\*\w+|\.\.\.)(?: [+x-] \w+)?,(?: ?(?:[\w*]+|\.\.\.),?)*\)")
FORMULA = re.compile(r"(?m)^ {4,}\S.*(?: = |<=|sum|log|grad|E_|->)")  # indented, under the first sentence
EQUATION = re.compile(r"[pqEzx]\w*(?:\(.*\)|\[.*\])? (?:=|~) |E\[|Var_|\(1/|KL\(|log p\(")
# a verb or an estimator on whose first line, or in whose type, one of these stands gives nats
IN_NATS = re.compile(r"log p\(x(?:_b)?\)|\bELBO\b|\bKL\b")


def public():
    """Each public function and class once, under the first name by which it is exported."""
    found = {}
    for package in PACKAGES:
        module = importlib.import_module(package)
        for name in module.__all__:
            item = getattr(module, name)
            if inspect.isfunction(item) or inspect.isclass(item):
                found.setdefault(id(item), (f"{package}.{name}".removeprefix(ROOT), item))
    return sorted(found.values(), key=lambda pair: pair[0])


def room(item):
    return item.__module__.removeprefix(ROOT).split(".")[0]


def text(item):
    return inspect.getdoc(item) or ""


def is_estimator(item):
    """An objective, an estimator of log p(x), or a distribution: what stands for one formula."""
    if not inspect.isclass(item) or inspect.isabstract(item):
        return False
    objective = issubclass(item, ELBO) and item.__name__ != "Objective"
    distribution = issubclass(item, Distribution)
    return objective or distribution or (issubclass(item, Method) and item is not Method)


def gives_nats(item):
    """Estimators all do; a function does whose first sentence speaks of a bound, an evidence or a KL as what it returns."""
    if is_estimator(item):
        return True
    returns = str(getattr(item, "__annotations__", {}).get("return", ""))
    return returns in ("Evidence", "Evaluation", "Gaps", "BDMC") or (
        room(item) in ("evidence", "evaluation") and bool(IN_NATS.search(text(item).split("\n")[0]))
    )


def has_tensors(item):
    """Whether a tensor, a batch or an array comes in or goes out: of a class through its constructor, fields or forward."""
    if inspect.isclass(item):
        if issubclass(item, (nn.Module, Distribution)):
            return True
        hints = [*inspect.get_annotations(item).values(), *inspect.get_annotations(item.__init__).values()]
    else:
        hints = list(inspect.get_annotations(item).values())
    return any(re.search(r"\bTensor\b|ndarray", hint if isinstance(hint, str) else repr(hint)) for hint in hints)


def faults(item):
    """What an item's docstring lacks of what it must say."""
    doc, found = text(item), []
    head = re.split(r"\n(?:Args|Attributes|Returns):", doc)[0]
    if is_estimator(item) and not FORMULA.search(head):
        found.append("an indented formula")
    if room(item) in ("models", "guides") and not (FORMULA.search(head) or EQUATION.search(head)):
        found.append("its density")
    if gives_nats(item) and "nats" not in doc:
        found.append("its unit, nats")
    if has_tensors(item) and room(item) not in ("compile", "train") and not SHAPE.search(doc):
        found.append("shapes, as in (K, B)")
    return found


PUBLIC = public()


@pytest.mark.parametrize("name, item", PUBLIC, ids=[name for name, _ in PUBLIC])
def test_a_public_docstring_says_what_applies(name, item):
    assert not faults(item), f"{name} lacks {', '.join(faults(item))}"


def test_the_rules_apply_to_many():
    items = [item for _, item in PUBLIC]
    assert sum(map(is_estimator, items)) >= 28
    assert sum(map(gives_nats, items)) >= 30
    assert sum(map(has_tensors, items)) >= 80


def test_the_rules_would_catch_what_is_missing():
    def estimate(x: Tensor) -> Tensor:
        """A number for x."""
        return x

    class Unsaid(Method):
        """An estimator."""

        def estimate(self, job):
            """The columns."""

    assert faults(estimate) == ["shapes, as in (K, B)"]
    estimate.__doc__ = "The number of each datum, (B,)."
    assert not faults(estimate)
    assert faults(Unsaid) == ["an indented formula", "its unit, nats"]
    Unsaid.__doc__ = "An estimator, in nats.\n\n        log (1/K) sum_k w_k\n\n    By K draws."
    assert not faults(Unsaid)


def test_shapes_are_told_from_calls_and_lists():
    assert all(
        SHAPE.search(shape) for shape in ("(K, B)", "(B,)", "(..., d)", "(N, *shape)", "(n, H, W)", "(T + 1, B)", "(*batch)")
    )
    assert not SHAPE.search("f(x) of p(z | x), E[x] = log(1/K)")
