"""Every public function, and one right call of each, by names, on one tiny run: what the table of bad values varies."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

import torch
import walks

import pyrovae as pv
from pyrovae import evaluation

X = (torch.rand(6, 8, 8, generator=torch.Generator().manual_seed(0)) > 0.5).float()
LABELLED = {"x": X, "y": torch.arange(6)}
HOLES = {"x": X, "mask": torch.ones(6, 8, 8).index_fill(1, torch.arange(4), 0.0)}
FACTORS = {"x": X.repeat(10, 1, 1), "left": torch.arange(60) % 2, "right": torch.arange(60) // 2 % 2}
QUIET = {"epochs": 1, "steps": 1, "progress": False, "tensorboard": False}
TABLE = "a run of table-vae"
CONDITIONAL = "a run of cvae"
RUN = "a run of m2"
PATH = "a folder of a run"
BUILDER = "a builder of a VAE"
DIGITS = "the digits"
QUADRANTS = "the digits by quadrants"
ROWS = "rows of the table"
VAE = "a run of a VAE"
VRNN = "a run of a VRNN"
GAPS = "a pair of data with gaps"
FILE = "a new file"


@dataclass(frozen=True)
class Verb:
    """A public function, its right arguments by name, and the names of those that are data."""

    function: Any
    right: dict[str, Any]
    data: tuple[str, ...] = ()
    pair: str | None = "pair"

    @property
    def parameters(self) -> dict[str, inspect.Parameter]:
        return dict(inspect.signature(self.function).parameters)


def verb(function, rows=(), first="pair", /, **right):
    right = {**({} if first is None else {first: RUN}), **right}
    return Verb(function, right, (rows,) if isinstance(rows, str) else tuple(rows), first)


VERBS: dict[str, Verb] = {
    "analogies": verb(pv.analogies, "data", data=X),
    "bdmc": verb(pv.bdmc, num_data=2, num_chains=1, num_distributions=2, pilot_chains=2, num_leapfrog=1),
    "check": verb(pv.check, "data", data=X),
    "class_samples": verb(pv.class_samples, num=2),
    "classify": verb(pv.classify, "data", data=LABELLED, num_samples=2),
    "classify_clusters": verb(
        pv.classify_clusters, ("data", "labelled"), data=LABELLED, labelled=LABELLED, num_samples=2, site="y"
    ),
    "classify_features": verb(pv.classify_features, ("train", "test"), train=LABELLED, test=LABELLED, classifier="knn"),
    "complete": verb(pv.complete, "data", data=HOLES, num_steps=2),
    "compile_step": verb(pv.compile_step, "data", data={"x": X}, objective="enum", backend="graph"),
    "conditional_samples": Verb(pv.conditional_samples, {"pair": CONDITIONAL, "data": QUADRANTS}, ("data",)),
    "continuations": Verb(pv.continuations, {"pair": VRNN, "data": X[:2], "num_steps": 2, "num_particles": 3}, ("data",)),
    "decode": verb(pv.decode, z={"y": torch.arange(3), "z": torch.zeros(3, 2)}),
    "disentanglement_scores": Verb(
        pv.disentanglement_scores,
        {"pair": VAE, "data": FACTORS, "num_draws": 9, "num_votes": 20, "importance": "lasso"},
        ("data",),
    ),
    "encode": verb(pv.encode, "data", data=X),
    "evaluate": verb(pv.evaluate, "data", data=LABELLED, num_samples=2),
    "fit": verb(pv.fit, "data", data=X, objective="enum", **QUIET),
    "fit_seeds": verb(pv.fit_seeds, "data", None, builder=BUILDER, data=DIGITS, seeds=[0], **QUIET),
    "fit_stages": verb(pv.fit_stages, "data", None, builder=BUILDER, data=DIGITS, **QUIET),
    "gaps": verb(pv.gaps, "data", data=X[:2], num_samples=2, num_steps=2, ais={"num_chains": 1, "num_distributions": 2}),
    "impute": verb(pv.impute, "data", data=HOLES, num_samples=2),
    "impute_table": Verb(pv.impute_table, {"pair": TABLE, "data": ROWS}, ("data",)),
    "interpolate": verb(pv.interpolate, ("data_a", "data_b"), data_a=X[:1], data_b=X[1:2], num=2),
    "load": verb(pv.load, (), None, path=PATH),
    "log_evidence": verb(pv.log_evidence, "data", data=X, num_samples=2),
    "log_evidence_table": Verb(pv.log_evidence_table, {"pair": TABLE, "data": ROWS, "num_samples": 2}, ("data",)),
    "manifold": verb(pv.manifold, num=2, site="z"),
    "observed_part": Verb(pv.observed_part, {"pair": GAPS}),
    "one_step_ahead": Verb(pv.one_step_ahead, {"pair": VRNN, "data": X[:2], "num_particles": 3}, ("data",)),
    "posterior": verb(pv.posterior, "data", data=X),
    "reconstruct": verb(pv.reconstruct, "data", data=X),
    "reconstruct_table": Verb(pv.reconstruct_table, {"pair": TABLE, "data": ROWS, "num_samples": 2}, ("data",)),
    "reconstruction_error": verb(pv.reconstruction_error, "data", data=X),
    "resume": verb(pv.resume, (), None, path=PATH, progress=False),
    "sample": verb(pv.sample, num=2),
    "sample_table": Verb(pv.sample_table, {"pair": TABLE, "num": 2}),
    "smooth": Verb(pv.smooth, {"pair": VRNN, "data": X[:2], "num_particles": 3}, ("data",)),
    "stream": Verb(pv.stream, {"pair": VRNN, "data": X[:2], "num_steps": 2, "num_particles": 3}, ("data",)),
    "to_arviz": verb(pv.to_arviz, "data", data=X, num_samples=2, num_chains=1),
    "traverse": verb(pv.traverse, "data", data=X[:1], site="z"),
    "unroll": verb(pv.unroll, (), None, model=walks.Walk(), guide=walks.Filtering()),
    "verdict": verb(pv.verdict, (), "run", run=VAE),
    "write_report": verb(pv.write_report, (), "run", path=FILE),
    "data.load": verb(pv.data.load, (), None, name="digits"),
    "data.as_data": verb(pv.data.as_data, (), None, obj=X),
    "data.as_split": verb(pv.data.as_split, (), None, obj=X),
    "evaluation.aggregate_posterior": Verb(evaluation.aggregate_posterior, {"pair": VAE, "data": X}, ("data",)),
    "evaluation.kl_per_dim": verb(evaluation.kl_per_dim, "data", data=X),
    "evaluation.posterior_moments": verb(evaluation.posterior_moments, "data", data=X),
}


def is_public(name):
    return inspect.isfunction(getattr(pv, name))


# ------------------------------------------------------------------------------------------------ bad values
NAN = float("nan")
PAIRS = {
    "None": None,
    "a number": 3,
    "no folder": "no/such/run",
    "an empty list": [],
    "one program": lambda x: None,
    "three programs": (1, 2, 3),
    "two numbers": (1, 2),
    "a module": torch.nn.Linear(2, 2),
    "swapped": "swapped programs",
}
DATA = {
    "None": None,
    "a number": 3,
    "no file": "no/such/file.npz",
    "no name": "digitz",
    "an empty list": [],
    "an empty dict": {},
    "no rows": X[:0],
    "one item": X[0],
    "NaN": X.masked_fill(X > 0, NAN),
    "infinite": X.masked_fill(X > 0, float("inf")),
    "outside the support": X * 7.5,
    "another width": X[:, :4],
    "flat": X.flatten(1)[:, :3],
    "an unknown key": {"q": X},
    "rows that differ": {"x": X, "y": torch.arange(5)},
    "complex": X.to(torch.complex64),
    "texts": ["one", "two"],
    "a dict of texts": {"x": "one"},
    "a function": lambda: X,
}
BY_KIND = {
    "int": {"zero": 0, "negative": -1, "half": 2.5, "text": "3", "True": True, "NaN": NAN, "list": [1]},
    "float": {"NaN": NAN, "infinite": float("inf"), "text": "3", "list": [1.0], "True": True},
    "bool": {"text": "yes", "number": 3, "list": []},
    "str": {"number": 3, "unknown": "nope", "list": ["a"]},
    "os.PathLike": {"number": 3, "list": ["a"]},
    "Mapping": {"number": 3, "list": ["a"], "unknown": {"nope": 1}, "text": "nope"},
    "dict": {"number": 3, "list": ["a"], "unknown": {"nope": 1}},
    "Sequence": {"number": 3, "text": "nope"},
    "Iterable": {"number": 3, "text": "nope"},
}
STEPS = {"None": None, "number": 3, "a module": torch.nn.Linear(2, 2), "text": "nope"}
BY_NAME = {
    "seed": {"negative": -1, "huge": 2**70, "half": 0.5, "text": "a"},
    "z": {
        "text": "nope",
        "number": 3,
        "unknown": {"nope": torch.zeros(2, 2)},
        "width": {"z": torch.zeros(3, 5)},
        "None": None,
    },
    "objective": {"unknown": "nope", "option": "elbo:bta=1", "NaN": "elbo:beta=nan", "number": 3, "class": pv.objectives.ELBO},
    "optimizer": {"unknown": "Adm", "number": 3},
    "lr": {"NaN": NAN, "negative": -1.0, "text": "fast"},
    "precision": {"unknown": "float8", "number": 3},
    "device": {"unknown": "gpu7", "number": 3},
    "method": {"unknown": "importanse", "number": 3},
    "schedule": {"unknown": ["nope"], "number": 3},
    "builder": {"None": None, "number": 3, "a pair": RUN},
    "seeds": {"none": [], "twice": [1, 1], "texts": ["a"], "negative": [-1], "number": 3},
    "values": {"text": "nope", "NaN": [NAN], "number": 3},
    "dims": {"number": 3, "far": [99], "texts": ["a"]},
    "weights": {"unknown": "nope", "number": 3},
    "evaluation": {"number": 3, "text": "nope"},
    "fabric": {"number": 3, "text": "nope"},
    "callbacks": {"number": 3, "texts": ["a"], "class": [pv.train.Callback]},
    "binarization": {"unknown": "nope", "number": 3},
    "transforms": {"unknown": ["nope"], "number": 3, "option": ["missing:rat=1"]},
    "columns": {"number": 3, "text": "nope"},
    "kinds": {"number": 3, "unknown": {"nope": "count"}, "kind": {"x": "cnt"}},
    "missing": {"unknown": "nope", "number": 3},
    "root": {"number": 3},
    "optimizer_options": {"number": 3, "unknown": {"nope": 1}},
    "name": {"None": None, "number": 3, "unknown": "digitz", "an empty list": []},
    "obj": {
        key: DATA[key] for key in ("None", "a number", "no file", "an empty list", "an empty dict", "texts", "a function")
    },
    "path": {"None": None, "number": 3, "nowhere": "no/such/run", "list": []},
    "run": {"number": 3, "nowhere": "no/such/run"},
    "stage_options": {"number": 3, "unknown": {"nope": 1}},
    "ais": {"number": 3, "unknown": {"nope": 1}, "zero": {"num_chains": 0}},
    "like": {"number": 3},
    "given": {"number": 3, "unknown": {"nope": 1}, "value": {"y": 99}, "text": {"y": "nope"}},
    "model": STEPS,
    "guide": STEPS,
    "site": {"unknown": "nope", "number": 3},
}
# data of which a builder makes another pair
FORMS_OF_THEIR_OWN = ("one item", "outside the support", "another width", "flat")
# values in these tables that are right for one function or another
RIGHT = {
    ("fit_stages", "builder", "a pair"),
    *((name, "data", kind) for name in ("fit_seeds", "fit_stages") for kind in FORMS_OF_THEIR_OWN),
    ("observed_part", "pair", "swapped"),  # nothing is run yet
    ("traverse", "data", "one item"),
    *((name, "data", "another width") for name in ("continuations", "one_step_ahead", "smooth", "stream")),  # fewer steps
    ("interpolate", "data_a", "one item"),
    ("interpolate", "data_b", "one item"),
    ("write_report", "path", "None"),
    ("data.as_data", "name", "unknown"),
    *(("unroll", "objective", kind) for kind in BY_NAME["objective"]),  # looked at when the pair is used, as Pair's is
}


def bad_calls():
    """Function, argument, kind of value, value: what must be refused."""
    for name, verb in VERBS.items():
        for argument, parameter in verb.parameters.items():
            if parameter.kind is parameter.VAR_KEYWORD:
                continue
            if argument == verb.pair and argument != "run":
                values = PAIRS
            elif argument in verb.data:
                values = DATA if parameter.default is parameter.empty else {k: v for k, v in DATA.items() if k != "None"}
            elif argument in BY_NAME:
                values = BY_NAME[argument]
            else:
                kinds = [word.partition("[")[0].strip() for word in str(parameter.annotation).split(" | ")]
                values = next((BY_KIND[kind] for kind in reversed(kinds) if kind in BY_KIND), {})
            for kind, value in values.items():
                if (name, argument, kind) not in RIGHT:
                    yield name, argument, kind, value


def words(argument, value):
    """What a sentence about a bad value may name in place of the argument: the value, a key, a program, the data."""
    if argument in ("pair", "run"):
        return [
            "pair",
            "model",
            "guide",
            "run",
            "folder",
            "stage",
            "Run",
            "reads 'x'",
            "the shape of",
            "which the batch lacks",
        ]
    if argument in ("data", "train", "test", "data_a", "data_b", "name", "obj"):
        rows = ["x came", "x has", "x is", "data", "key", "row", "file", "x ", "digitz"]
        return ["which the batch lacks", "on a batch of", "the batch is empty", *rows]
    if argument == "builder":
        return ["builder", "a function of the data's description"]
    if argument in ("model", "guide"):
        return ["has no method init"]
    if argument == "lr":
        return ["lr", "learning rate"]
    if isinstance(value, dict):
        return [*map(str, value), *(repr(each) for each in value.values())]
    if isinstance(value, (list, tuple)):
        return [repr(value), *(word for each in value for word in str(each).replace(":", "=").split("="))]
    if isinstance(value, str) and (":" in value or "/" in value):  # "elbo:bta=1"
        return value.replace(":", "/").replace("=", "/").split("/")
    return [repr(value), str(value)]
