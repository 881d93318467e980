"""Classes from few labels, and images from a part: error rates, estimators, step times, conditional likelihoods.

    python benchmarks/semisupervised.py --what labels --labels 100 --seeds 0 1 2 3 4 --out results/semisupervised.jsonl
    python benchmarks/semisupervised.py --what estimators speed evidence quadrants
    python benchmarks/semisupervised.py --smoke

labels      test error of M1 + a classifier, M2, M1+M2, ADGM, SDGM; a seed draws the labels, the parameters and the noise;
            networks of binary pixels are tested on grey ones too, which are their probabilities (grey_error)
estimators  M2 with y summed out, drawn (score function, with baselines) and relaxed: test error and variance of the gradient
speed       milliseconds a step of M2, in turns: compiled, eager, a hand-written PyTorch loop, stock Pyro's TraceEnum_ELBO
evidence    log p(x) of an M2 with two latent dimensions against quadrature over z and the sum over y
quadrants   log p(x_rest | 1, 2, 3 quadrants) of CVAE and GSNN by importance sampling; "ais" is how much higher
            annealed importance sampling estimates it on the first images; of grey pixels the ELBO alone, as in [4]

Each cell is a line of JSON in --out; cells that stand there are not run again, so that an interrupted table continues. Pixels
are grey levels in [0, 1] under a Bernoulli cross-entropy (an energy, as in Pyro's tutorials) with --pixels grey, as they are
but for the quadrants if nothing is said, and binary otherwise. Prints Markdown tables, published figures beside ours where
their source was read.
"""

from __future__ import annotations

import argparse
import functools
import math
import statistics
from collections.abc import Callable, Iterator
from typing import Any

import m2_step
import numpy as np
import pyro.distributions as dist
import torch
from records import Records, finished
from scipy.stats import t
from speed_row import summary

import pyrovae as pv
from pyrovae import objectives
from pyrovae.core.pair import set_trainable

# test error in percent with its sources: [1] the table of Salimans et al. 2016, [2] the README of Pyro's ss-vae tutorial, [3]
# Kingma et al. 2014, Table 1, as restated by the README of tijiang13/Semi-supervised-VAE and (M1+TSVM) by other reproductions;
# [4] Pyro's tutorial on the CVAE, of grey pixels: nats, a bound; [5] Jang, Gu and Poole 2017, y marginalized
PUBLISHED: dict[Any, str] = {
    ("m1-svm", 100): "11.82 (TSVM) [3]",
    ("m1-svm", 600): "5.72 (TSVM) [3]",
    ("m1-svm", 1000): "4.24 (TSVM) [3]",
    ("m1-svm", 3000): "3.49 (TSVM) [3]",
    ("m1-m2", 100): "3.33 +- 0.14 [1]",
    ("adgm", 100): "0.96 +- 0.02 [1]",
    ("sdgm", 100): "1.32 +- 0.07 [1]",
    ("m2", 100): "11.97 +- 1.71 [3]; grey 6.81 +- 0.60 [2]; binary, convolutional 7.4 [5]",
    ("m2", 600): "5.63 +- 0.70 [2]",
    ("m2", 1000): "5.13 +- 0.38 [2]",
    ("m2", 3000): "4.18 +- 0.12 [2]",
    ("cvae", 1): "-71.8 [4]",
    ("cvae", 2): "-51.0 [4]",
    ("cvae", 3): "-24.2 [4]",
}
FEATURES = ("m1-svm", "m1-logistic", "m1-knn", "m1-label-spreading")
METHODS = (*FEATURES, "m2", "m1-m2", "adgm", "sdgm")
NETWORKS = {
    "m2": {"hidden": [500, 500], "latent_dim": 50, "activation": "relu"},
    "m1-m2": {"feature_hidden": [600, 600], "feature_dim": 50, "hidden": [500], "latent_dim": 10, "activation": "relu"},
    "adgm": {"hidden": [500, 500], "latent_dim": 50, "auxiliary_dim": 50, "activation": "relu"},
    "sdgm": {"hidden": [500, 500], "latent_dim": 50, "auxiliary_dim": 50, "activation": "relu"},
    "estimators": {"hidden": [500, 500], "latent_dim": 50, "activation": "relu"},
}
SMALL = {"feature_hidden": [30], "feature_dim": 5, "hidden": [30], "latent_dim": 5, "auxiliary_dim": 5}
# Chosen by the test error of the first draws after 6 to 30 epochs, as benchmarks/README.md tells: M2 with one to four layers,
# softplus and relu, a hundredth to a half labelled, alpha from 0.1 to 1000, the KL times 1 to 10, decay of 0.1 to 3, batches
# of 50 to 200; M1+M2 with the KL times 1 to 30, 3 to 50 dimensions of style, a tenth and a half labelled. A heavier KL leaves
# the style less, and the class more, to say. What is said of M1 holds for the other tables too.
TRAINING = {
    "m2": {"alpha": 50.0, "beta": 3.0, "share": 0.1667, "lr": 1e-3, "decay": 0.3, "batch": 60},
    "m1-m2": {"alpha": 3.0, "beta": 10.0, "share": 0.1, "lr": 1e-3, "decay": 0.0, "batch": 100},
    "adgm": {"alpha": 50.0, "beta": 3.0, "share": 0.1667, "lr": 1e-3, "decay": 0.3, "batch": 60},
    "sdgm": {"alpha": 50.0, "beta": 3.0, "share": 0.1667, "lr": 1e-3, "decay": 0.3, "batch": 60},
    "m1": {"alpha": 0.0, "beta": 1.0, "share": 0.1, "lr": 1e-3, "decay": 0.0, "batch": 200},
    "estimators": {"alpha": 10.0, "share": 0.5, "lr": 1e-3, "decay": 0.3, "batch": 100},
}
ESTIMATORS = {
    "summed": {"base": "meanfield"},
    "drawn, score function": {"y": "sampled"},
    "drawn, baselines": {"y": "sampled", "base": "nvil"},
    "relaxed": {"y": "relaxed", "base": "meanfield"},
}
SETTINGS = ("data", "pixels", "epochs", "alpha", "share", "batch", "lr", "decay", "precision")
Cell = tuple[dict[str, Any], Callable[[], dict[str, Any]]]


# ------------------------------------------------------------------------------------------------ parts
def load(options: argparse.Namespace, *transforms: str) -> pv.data.Data:
    binarization = "none" if options.pixels in (None, "grey") else options.pixels
    return pv.data.load(options.data, binarization=binarization, transforms=transforms)


def build(name: str, data: pv.data.Data, seed: int, options: argparse.Namespace, **more: Any) -> pv.Pair:
    """A pair, its parameters drawn by the seed."""
    torch.manual_seed(seed)
    likelihood = {"likelihood": "bernoulli-grey"} if options.pixels in (None, "grey") else {}
    return pv.pairs.get(name).build(data.spec, **likelihood, **more)


def sizes(method: str, options: argparse.Namespace) -> dict[str, Any]:
    """Options of a method's pair."""
    own = NETWORKS[method]
    return {name: SMALL[name] if options.smoke and name in SMALL else value for name, value in own.items()}


def network(method: str, options: argparse.Namespace) -> str:
    """Hidden layers and [latent dimensions], as in 600-600-[50] for M1 and 600-600-[50]-500-[10] for M1+M2 on it."""
    own = sizes("m1-m2" if method in FEATURES else method, options)
    first = [*own["feature_hidden"], [own["feature_dim"]]] if "feature_dim" in own else []
    rest = [*own["hidden"], [own[name] for name in ("latent_dim", "auxiliary_dim") if name in own]]
    return "-".join(map(str, first if method in FEATURES else [*first, *rest]))


def settings_of(options: argparse.Namespace, method: str, *names: str) -> dict[str, Any]:
    """Options by name, those of training the method's own where the command line leaves them open."""
    own = {"pixels": "grey", **TRAINING.get(method, TRAINING["m1"])}
    return {name: own[name] if name in own and getattr(options, name) is None else getattr(options, name) for name in names}


def train(
    pair: pv.Pair, data: pv.data.Data, objective: Any, seed: int, options: argparse.Namespace, chosen: dict[str, Any]
) -> pv.Run:
    """A run by AdamW whose learning rate falls to zero along half a cosine."""
    return finished(
        pv.fit(
            pair,
            data,
            objective,
            epochs=options.epochs,
            batch_size=chosen["batch"],
            lr=chosen["lr"],
            optimizer="AdamW",
            optimizer_options={"weight_decay": chosen["decay"]},
            scheduler="CosineAnnealingLR",
            scheduler_options={"T_max": options.epochs},
            precision=options.precision,
            seed=seed,
            validate=False,
            progress=options.progress,
        )
    )


def error(guide: Any, data: pv.data.Data) -> dict[str, float]:
    found = pv.classify(guide, data.test)
    return {"error": 100 * (1 - found.accuracy), "log_loss": found.log_loss, "calibration": found.calibration_error}


def seconds(run: pv.Run) -> float:
    return round(sum(row["seconds"] for row in run.records), 1)


# ------------------------------------------------------------------------------------------------ 1: few labels
def labels(options: argparse.Namespace) -> Iterator[Cell]:
    features: dict[int, pv.Run] = {}

    def stacked(data: pv.data.Data, seed: int) -> pv.Pair:
        return build("m1-m2", data, seed, options, **sizes("m1-m2", options))

    def first_stage(seed: int) -> pv.Run:
        """M1 of a seed, the first stage of M1+M2, trained once on all rows, without labels."""
        if seed not in features:
            data = load(options)
            stage = stacked(data, seed).stages[0]
            set_trainable(stage, True)
            features[seed] = train(stage, data, None, seed, options, settings_of(options, "m1", "lr", "decay", "batch"))
        return features[seed]

    def cell(method: str, num_labels: int, seed: int, chosen: dict[str, Any]) -> dict[str, Any]:
        data = load(options, f"few-labels:num_labels={num_labels},seed={seed},share={chosen['share']}")
        if method in FEATURES:
            found = pv.classify_features(first_stage(seed).pair, data.train, data.test, method.removeprefix("m1-"))
            return {"error": 100 * (1 - found.accuracy), "seconds": seconds(features[seed])}
        if method == "m1-m2":
            pair, trained = stacked(data, seed), first_stage(seed).pair
            pair.stages[0].model.load_state_dict(trained.model.state_dict())
            pair.stages[0].guide.load_state_dict(trained.guide.state_dict())
        else:
            pair = build(method, data, seed, options, **sizes(method, options))
        base = {"name": "meanfield", "beta": chosen["beta"]}
        objective = {"name": "semisupervised", "alpha": chosen["alpha"], "base": base}
        run = train(pair, data, objective, seed, options, chosen)
        extra = seconds(features[seed]) if method == "m1-m2" else 0.0
        found = error(pair.guide, data)
        if chosen["pixels"] != "grey":
            grey = pv.data.load(options.data, binarization="none")
            found["grey_error"] = error(pair.guide, grey)["error"]
        return {**found, "seconds": seconds(run) + extra, "bound": run.records[-1]["train"]}

    for seed in options.seeds:
        for num_labels in options.labels:
            for method in options.methods:
                chosen = settings_of(options, method, *SETTINGS, "beta")
                key = {"what": "labels", "method": method, "network": network(method, options), "labels": num_labels}
                key |= {"seed": seed, **chosen}
                yield key, functools.partial(cell, method, num_labels, seed, chosen)


# ------------------------------------------------------------------------------------------------ 2: estimators
def estimators(options: argparse.Namespace) -> Iterator[Cell]:
    num_labels = options.labels[0]
    chosen = settings_of(options, "estimators", *SETTINGS)

    def partly(seed: int) -> pv.data.Data:
        return load(options, f"few-labels:num_labels={num_labels},seed={seed},share={chosen['share']}")

    def cell(name: str, seed: int) -> dict[str, Any]:
        data = partly(seed)
        pair = build("m2", data, seed, options, **sizes("estimators", options))
        objective = {"name": "semisupervised", "alpha": chosen["alpha"], **ESTIMATORS[name]}
        run = train(pair, data, objective, seed, options, chosen)
        variance = gradient_variance(reference(seed), data, name, chosen["batch"])
        return {**error(pair.guide, data), "seconds": seconds(run), "variance": variance}

    @functools.cache
    def reference(seed: int) -> pv.Pair:
        """A pair of the seed after two epochs with y summed out, at which all estimators are held against each other."""
        data = partly(seed)
        pair = build("m2", data, seed, options, **sizes("estimators", options))
        few = argparse.Namespace(**{**vars(options), "epochs": 2})
        train(pair, data, {"name": "semisupervised", "alpha": chosen["alpha"], **ESTIMATORS["summed"]}, seed, few, chosen)
        return pair

    for seed in options.seeds:
        for name in ESTIMATORS:
            key = {"what": "estimators", "method": name, "network": network("estimators", options), "labels": num_labels}
            key |= {"seed": seed, **chosen}
            yield key, functools.partial(cell, name, seed)


def gradient_variance(pair: pv.Pair, data: pv.data.Data, name: str, batch_size: int, draws: int = 30) -> float:
    """Sum over the classifier's parameters of the variance of the gradient of one batch's mean bound, over noise alone."""
    batch = next(data.train.epoch(batch_size, seed=0, epoch=0))
    objective = objectives.get({"name": "semisupervised", "alpha": 0.0, **ESTIMATORS[name]})
    objective.build(objective.trace(pv.objectives.Given(pair.model, pair.guide, [batch])))
    params = list(pair.guide.classifier.parameters())
    gradients = []
    for _ in range(draws):
        surrogate = objective.terms(objective.trace(pv.objectives.Given(pair.model, pair.guide, [batch]))).surrogate.mean()
        gradients.append(torch.cat([g.flatten() for g in torch.autograd.grad(surrogate, params)]))
    return float(torch.stack(gradients).var(0).sum())


# ------------------------------------------------------------------------------------------------ 3: step time
def speed(options: argparse.Namespace) -> Iterator[Cell]:
    settings = settings_of(options, "m1", "data", "pixels", "batch", "precision", "threads")
    width, latent = (30, 5) if options.smoke else (500, 50)
    steps = 5 if options.smoke else options.steps

    @functools.cache
    def measured(share: float) -> dict[str, list[float]]:
        data = load(options, f"few-labels:num_labels={options.labels[0]},share={share}")
        batches = [b for b, _ in zip(data.train.epoch(settings["batch"], seed=0, epoch=0), range(8), strict=False)]
        make = functools.partial(build, "m2", data, 0, options, hidden=[width], latent_dim=latent)
        sizes = (math.prod(data.spec.shape), data.spec.classes or 10, latent, width)
        return m2_step.measure(make, batches, sizes, options.precision, steps, options.rounds)

    def cell(name: str, share: float) -> dict[str, Any]:
        times, base = measured(share)[name], measured(share)["compiled"]
        ratio = statistics.median(other / own for other, own in zip(times, base, strict=True))
        found = summary(times)
        return {"ms": found["median"], "quartiles": found["quartiles"], "times_compiled": round(ratio, 3), "steps": steps}

    for share in (0.1, 0.5) if options.share is None else (options.share,):
        for name in ("compiled", "eager", "hand-written PyTorch", "stock Pyro"):
            key = {"what": "speed", "method": name, "width": width, "share": share, **settings}
            yield key, functools.partial(cell, name, share)


# ------------------------------------------------------------------------------------------------ 4: log p(x)
def evidence(options: argparse.Namespace) -> Iterator[Cell]:
    def cell() -> dict[str, Any]:
        data = pv.data.load("digits", transforms=["few-labels:num_labels=100"])
        torch.manual_seed(0)
        pair = pv.pairs.m2(data.spec, latent_dim=2, hidden=[50])
        pv.fit(pair, data, epochs=2 if options.smoke else 30, lr=3e-3, validate=False, progress=False)
        x = data.test["x"][:50]
        points, weights = (torch.tensor(v) for v in np.polynomial.hermite_e.hermegauss(60))
        z = torch.cartesian_prod(points, points)
        log_weights = torch.cartesian_prod(*[(weights / math.sqrt(2 * math.pi)).log()] * 2).sum(1)
        joint = []
        with torch.no_grad():
            for c in range(10):
                logits = pair.model.decoder(z.float(), torch.eye(10)[c].expand(len(z), 10)).squeeze(-3).double()
                scores = dist.Bernoulli(logits=logits).to_event(2).log_prob(x.double().unsqueeze(1))
                joint.append((scores + log_weights).logsumexp(1) - math.log(10))
        truth = torch.stack(joint).logsumexp(0)
        found = pv.log_evidence(pair.model, pair.guide, x, num_samples=options.samples)
        gaps = found.value - truth
        return {
            "exact": float(truth.mean()),
            "estimate": found.mean,
            "mc_stderr": found.mean_mc_stderr,
            "largest_gap_in_errors": float((gaps / found.stderr).abs().max()),
        }

    yield {"what": "evidence", "method": "m2 against quadrature", "samples": options.samples}, cell


# ------------------------------------------------------------------------------------------------ 5: quadrants
def quadrants(options: argparse.Namespace) -> Iterator[Cell]:
    settings = settings_of(options, "m1", "data", "epochs", "batch", "lr", "decay", "precision", "samples", "test")
    options = argparse.Namespace(**{**vars(options), "pixels": options.pixels or "dynamic"})

    def cell(name: str, given: int, seed: int) -> dict[str, Any]:
        data = load(options, f"quadrants:given={given}")
        pair = build(name, data, seed, options, **({"hidden": [30], "latent_dim": 5} if options.smoke else {}))
        run = train(pair, data, None, seed, options, settings)
        test = data.test.subset(torch.arange(min(len(data.test), options.test)))
        if options.pixels == "grey":
            return {"elbo": elbo_of(pair, test), "seconds": seconds(run)}
        found = pv.log_evidence(pair.model, pair.guide, test, num_samples=options.samples)
        elbo = float(found.elbo.mean())
        few = test.subset(torch.arange(min(len(test), options.annealed)))
        annealed = pv.log_evidence(pair.model, pair.guide, few, method="ais").mean - float(found.value[: len(few)].mean())
        return {"log_p": found.mean, "log_p_stderr": found.mean_stderr, "elbo": elbo, "ais": annealed, "seconds": seconds(run)}

    for seed in options.seeds:
        for given in (1, 2, 3):
            for name in ("gsnn", "cvae"):
                key = {"what": "quadrants", "method": name, "given": given, "seed": seed, "pixels": options.pixels, **settings}
                yield key, functools.partial(cell, name, given, seed)


@torch.no_grad()
def elbo_of(pair: pv.Pair, test: pv.data.Split, num_samples: int = 10) -> float:
    """The mean ELBO, also of grey pixels, whose cross-entropy leaves no log p(x) to bound; Pyro's tutorial prints this."""
    objective = objectives.get("elbo", num_particles=num_samples)
    total = 0.0
    for batch in test.batches(500):
        objective.build(objective.trace(pv.objectives.Given(pair.model, pair.guide, [batch])))
        total += float(objective.evaluate(pair.model, pair.guide, batch).sum())
    return total / len(test)


# ------------------------------------------------------------------------------------------------ tables
COLUMNS = {
    "labels": ["error", "grey_error", "calibration", "seconds"],
    "estimators": ["error", "variance", "seconds"],
    "speed": ["ms", "times_compiled"],
    "evidence": ["exact", "estimate", "mc_stderr", "largest_gap_in_errors"],
    "quadrants": ["log_p", "elbo", "ais", "seconds"],
}


SHOWN = ("method", "network", "labels", "given", *SETTINGS, "beta", "threads")


def table(what: str, rows: list[dict[str, Any]]) -> str:
    """Markdown: means over seeds with their 95% intervals (Student's t); settings that all rows share stand above it."""
    methods = list(dict.fromkeys(row["method"] for row in rows))
    rows = sorted(rows, key=lambda row: (methods.index(row["method"]), row.get("labels", row.get("given", 0))))
    names = [k for k in SHOWN if len({row.get(k) for row in rows}) > 1 or k == "method"]
    shared = [f"{k} {rows[0][k]}" for k in SHOWN if k in rows[0] and k not in names]
    published = ["published"] if what in ("labels", "quadrants") else []
    lines = [", ".join(shared), ""] if shared else []
    lines.append(f"| {' | '.join([*names, 'seeds', *COLUMNS[what], *published])} |")
    lines.append("|" + "---|" * (len(names) + 1 + len(COLUMNS[what]) + len(published)))
    for group in dict.fromkeys(tuple(row.get(k) for k in names) for row in rows):
        cells = [row for row in rows if tuple(row.get(k) for k in names) == group]
        shown = [_interval([row[k] for row in cells if k in row]) for k in COLUMNS[what]]
        known = [_known(what, cells[0])] if published else []
        lines.append(f"| {' | '.join([*map(str, group), str(len(cells)), *shown, *known])} |")
    return "\n".join(lines)


def _known(what: str, row: dict[str, Any]) -> str:
    """The published figure of a row's data and pixels."""
    compared = row["data"] == "mnist" and (what == "labels" or row["pixels"] == "grey")
    return PUBLISHED.get((row["method"], row.get("labels", row.get("given"))), "") if compared else ""


def _interval(values: list[float]) -> str:
    if not values:
        return ""
    mean = statistics.mean(values)
    if len(values) < 2:
        return f"{mean:.4g}"
    half = float(t.ppf(0.975, len(values) - 1)) * statistics.stdev(values) / len(values) ** 0.5
    return f"{mean:.4g} +- {half:.2g}" if half < 10 else f"{mean:.4g} +- {half:.0f}"


WHAT: dict[str, Callable[[argparse.Namespace], Iterator[Cell]]] = {
    "labels": labels,
    "estimators": estimators,
    "speed": speed,
    "evidence": evidence,
    "quadrants": quadrants,
}


def main(args: list[str] | None = None) -> None:
    """Run what is missing, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--what", nargs="+", default=list(WHAT), choices=list(WHAT))
    parser.add_argument("--methods", nargs="+", default=METHODS, choices=METHODS)
    parser.add_argument("--labels", type=int, nargs="+", default=[100])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--pixels", default=None, choices=["grey", "dynamic", "threshold"])
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--alpha", type=float, default=None, help="by default the method's own; so are the next five")
    parser.add_argument("--beta", type=float, default=None, help="weight of the KL in training, of the labels' table")
    parser.add_argument("--share", type=float, default=None, help="of a batch, the labelled rows")
    parser.add_argument("--batch", type=int, default=None)
    parser.add_argument("--lr", type=float, default=None)
    parser.add_argument("--decay", type=float, default=None, help="of the weights: a step takes lr times decay of each")
    parser.add_argument("--precision", default="float32", choices=["float32", "bf16"], help="of the networks, in training")
    parser.add_argument("--steps", type=int, default=100, help="of the step times")
    parser.add_argument("--rounds", type=int, default=5, help="of the step times, in which the contenders take turns")
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--test", type=int, default=10_000, help="how many test images, of the quadrants")
    parser.add_argument("--annealed", type=int, default=100, help="how many of those by annealed importance sampling too")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--progress", action="store_true")
    parser.add_argument("--smoke", action="store_true", help="everything once, in a minute, on embedded digits")
    parser.add_argument("--out", default="semisupervised.jsonl")
    options = parser.parse_args(args)
    if options.smoke:
        options.data, options.epochs, options.seeds = "digits", 2, [0, 1]
        options.samples, options.test, options.annealed, options.rounds = 50, 50, 5, 1
    torch.set_num_threads(options.threads)
    records = Records(options.out)
    for what in options.what:
        for key, make in WHAT[what](options):
            records.cell(key, make)
    for what in options.what:
        if some := [row for row in records.rows if row["what"] == what]:
            print(f"\n{what}\n\n{table(what, some)}")


if __name__ == "__main__":
    main()
