"""The worked examples run on small settings, and what they find is what their text says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks.worked.examples import SCRIPTS

FOLDER = Path(__file__).parents[2] / "benchmarks" / "worked"
README = (FOLDER / "README.md").read_text(encoding="utf-8")


def ring(found):
    assert found["mass"] == pytest.approx(1, abs=1e-4)  # quadrature integrates to one over the plane
    runs = {name: found[name] for name in found if name.startswith(("prior, ", "encoder, "))}
    assert len(runs) == 5
    for run in runs.values():
        assert run["ratio"] == pytest.approx(1, abs=4 * run["ratio_error"])  # unbiased, whatever the proposal
        assert run["elbo"] < run["exact"]
    assert runs["encoder, 100"]["median_error"] < runs["prior, 100"]["median_error"] / 2
    assert runs["encoder, 100"]["median_ess"] > 4 * runs["prior, 100"]["median_ess"]
    assert 0.5 < found["best_alpha"] < 2
    assert max(found["elbo"]) < found["log_p"]
    assert all(one <= hundred for one, hundred in zip(found["elbo"], found["bound_100"], strict=True))
    errors = found["median_error"]["prior, K = 100"]
    assert errors[-1] > errors[0]  # the smaller sigma, the fewer draws of the prior count


def linear_gaussian(found):
    assert found["elbo_at_the_posterior"] == pytest.approx(found["exact"], abs=1e-4)
    for run in found["elbo_at"].values():
        assert run["elbo"] == pytest.approx(run["formula"], abs=4 * run["error"] + 1e-4)
    for name in ("a", "s"):
        assert found[name] == pytest.approx(found[f"best_{name}"], abs=0.02)


def bump(found):
    plain, variational = found["autoencoder"], found["VAE"]
    assert plain["rmse"] < 0.05 and variational["rmse"] < 0.06 < found["rmse_of_the_mean_picture"] / 4
    assert plain["mean_scale"] == [0, 0] and all(0 < scale < 1 for scale in variational["mean_scale"])
    assert max(plain["sd_of_means"]) > 2 > max(variational["sd_of_means"])
    assert found["kl"][0] > found["kl"][1] > 1 and found["kl"][-1] < 1e-3 and found["active"][-1] == 0
    assert found["rmse"][0] < found["rmse"][1] < found["rmse"][-1]
    assert found["rmse"][-1] == pytest.approx(found["rmse_of_the_mean_picture"], rel=0.02)  # collapse: the mean picture
    moved = found["moved"]
    for made, chance in zip(moved["autoencoder, made"], moved["autoencoder, random"], strict=True):
        assert made > 2 * chance
    assert moved["denoising autoencoder, made"][0] < moved["autoencoder, made"][0]


def bounds(found):
    assert found["grid_largest_error"] < 1e-3
    lacks, errors = found["bound_minus_log_p"], found["error"]
    for small, large, error in zip(lacks, lacks[1:], errors[1:], strict=False):
        assert small < large + 4 * error  # Theorem 1
    assert lacks[0] < -10 * errors[0]
    assert lacks[-1] == pytest.approx(0, abs=5 * errors[-1] + 2e-3)
    assert found["ais_minus_log_p"] == pytest.approx(0, abs=4 * found["ais_error"])
    fits, error = found["log_likelihood"], found["log_likelihood"]["100"]["error"]
    assert fits["100"]["mean"] == pytest.approx(fits["posterior"]["mean"], abs=4 * error)


def pca_family(found):
    errors, many = found["squared_error"], 10
    for name in ("PCA", "logistic PCA", "deep AE", "VAE"):
        assert errors[f"{name}, {many}-d"] < errors[f"{name}, 2-d"]
    for d in (2, many):
        assert errors[f"deep AE, {d}-d"] < errors[f"PCA, {d}-d"]
    assert errors["VAE, 2-d"] < errors["VAE with noise, 2-d"]
    assert found["neighbours"]["t-SNE"] > found["neighbours"]["PCA"] > 0.3


def impossibility(found):
    as_it_is, rotated = found["linear"]["as it is"], found["linear"]["rotated"]
    assert rotated["log_p"] == pytest.approx(as_it_is["log_p"], abs=1e-5)  # Theorem 1
    assert as_it_is["mig"] > 0.5 > 0.05 > rotated["mig"]
    for run in (as_it_is, rotated):
        assert run["loss, full"] == pytest.approx(0, abs=1e-5)
        assert run["loss, diagonal"] == pytest.approx(run["loss by the formula"], abs=4 * run["error, diagonal"] + 1e-5)
    assert rotated["loss by the formula"] > 0.4 > 1e-5 > abs(as_it_is["loss by the formula"])
    trained = found["trained"]
    same = [trained[name]["log_p"] for name in ("as trained", "rotated, full covariance")]
    assert same[0] == pytest.approx(same[1], abs=0.5) and trained["loss by the formula"] >= 0
    assert set(found["mig"]) == {"trained", "rotated"}


def pca_directions(found):
    linear = {name: sum(one["axes"]) / 4 for name, one in found["linear"].items()}
    assert linear["diagonal"] > 0.93 > 0.9 > linear["full-rank"]  # |cosine| of axes and principal directions
    assert min(found["linear"]["full-rank"]["span"]) > 0.99  # though both span the same space
    assert found["linear"]["diagonal"]["cosine"] < found["linear"]["full-rank"]["cosine"]
    diagonal, full = found["digits"]["VAE"], found["digits"]["full-rank guide"]
    assert diagonal["distance"] + 4 * diagonal["distance_error"] < min(diagonal["rotated"]["distance"], full["distance"])
    assert full["distance"] > 0.95 * full["rotated"]["distance"]
    assert diagonal["alignment"] > full["alignment"]
    assert found["correlation"] > 0.7 and found["ratio"] == pytest.approx(1, abs=0.2)


def frey_faces(found):
    fits = [found[name] for name in ("ELBO", "ELBO, longer", "beta = 8")]
    for one in fits:
        value, error, _ = one["ais"]
        assert one["elbo"][0] < one["importance"][0] < value + 4 * error + 4 * one["importance"][1]
    assert fits[1]["squared_error"] < 1.2 * found["pca_error"]
    assert fits[2]["kl"] < 0.8 * fits[1]["kl"]
    assert sum(fits[2]["sd_of_codes"]) < sum(fits[1]["sd_of_codes"])


def rate_distortion(found):
    train, test = found["train"], found["test"]
    assert all(a > b for a, b in zip(train["R"][:3], train["R"][1:4], strict=True))  # a larger beta, a smaller rate
    assert all(a < b for a, b in zip(train["D"][:3], train["D"][1:4], strict=True))  # and a larger distortion
    assert test["R"][-1] < 0.01 and found["active_units"][-1] == 0
    assert found["best_beta"] == 1
    assert all(elbo < log_p + 0.05 for elbo, log_p in zip(found["test_elbo"], found["log_p"], strict=True))
    between = [tuple(map(float, name.split(" to "))) for name in found["slopes"]]
    for (low, high), slope in zip(between, found["slopes"].values(), strict=True):
        assert low / 2 < -slope < high * 2  # dD/dR = -beta somewhere between the two


def iw_gan(found):
    assert found["lemma_largest_difference"] < 1e-8 < 1e-2 < found["lemma_largest_gradient"]  # Lemma 1
    assert set(found) >= {"GAN", "weighted GAN", "VAE", "VAE on own draws"}
    for name in ("GAN", "weighted GAN", "VAE", "VAE on own draws"):
        assert found[name]["energy_score"] < found["data"]["energy_score"] + 0.02  # the score is proper
        assert 0 <= found[name]["near_a_cluster"] <= 1 and 0 <= found[name]["clusters"] <= 8


CHECKS = [
    ring,
    linear_gaussian,
    bump,
    bounds,
    pca_family,
    pca_directions,
    frey_faces,
    rate_distortion,
    impossibility,
    iw_gan,
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_example(check, smoke, tmp_path):
    (found,) = smoke(check.__name__.replace("_", "-"), folder=tmp_path)
    check(found)
    figures = [*(tmp_path / "smoke" / "figures" / "worked").iterdir()]
    assert figures and all(path.stat().st_size > 2000 for path in figures)
    for path in figures:
        assert f"figures/worked/{path.name}" in README  # the README shows every figure


def test_every_example_is_tested_and_every_figure_is_there():
    scripts = {path.stem for path in FOLDER.glob("*.py")} - {"__init__", "example", "examples"}
    assert scripts == set(SCRIPTS) == {check.__name__ for check in CHECKS}
    assert all((FOLDER / figure).exists() for figure in re.findall(r"\]\((\.\./.*?)\)", README))


@pytest.mark.parametrize("path", [FOLDER / f"{script}.py" for script in SCRIPTS], ids=lambda path: path.stem)
def test_cells(path):
    """Percent cells, so that Jupyter (with jupytext) opens the script: each starts at a marker, text in one raw string."""
    head, *cells = path.read_text(encoding="utf-8").split("# %%")
    assert head == "" and len(cells) > 6
    for cell in cells:
        if cell.startswith(" [markdown]\n"):
            text = cell.removeprefix(" [markdown]\n").strip()
            assert text.startswith('r"""') and text.endswith('"""') and text.count('"""') == 2
        else:
            assert cell.startswith("\n") and not cell.strip().startswith(('"""', 'r"""'))
