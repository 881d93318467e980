"""Metrics of perfect, rotated, noisy, constant, doubled and permuted codes: closed forms, and figures computed elsewhere."""

from __future__ import annotations

import math

import numpy as np
import pytest
from known_codes import grid, noise, perfect, rotated, sprites

from pyrovae.errors import PyrovaeError
from pyrovae.evaluation import disentanglement as metrics
from pyrovae.evaluation.disentanglement.arrays import known
from pyrovae.evaluation.disentanglement.importance import importances

F10 = sprites(10_000)
PERFECT = perfect(F10)
TURNED = rotated(PERFECT, 3, 4)
SQUARE = grid(12, 12)
FIVE = grid(2, 3, 4, 5, 5)
SMALL = np.full(FIVE.shape, 1e-3)


def near(expected, within=0.01):
    return pytest.approx(expected, abs=within)


# ------------------------------------------------------------------------------------------------ exact
def test_mig_of_grids():
    assert metrics.mig_binned(SQUARE, SQUARE).value == near(1, 1e-6)
    assert metrics.mig_binned(rotated(perfect(SQUARE), 0, 1), SQUARE).value == near(0, 1e-6)
    assert metrics.mig(perfect(FIVE), SMALL, FIVE).value == near(1, 1e-6)
    assert metrics.mig(rotated(perfect(FIVE), 3, 4), SMALL, FIVE).value == near(0.6, 1e-6)
    found = metrics.mig(perfect(FIVE), SMALL, FIVE, definition="chen2018")
    assert found.value == near(1, 1e-6) and found.ceiling == near(1, 1e-6)


def test_the_ceiling_of_bins_lies_below_one():
    factors = grid(40, 32)
    found = metrics.mig_binned(factors, {"orientation": factors[:, 0], "posX": factors[:, 1]})
    assert found.parts == {"orientation": near(0.8121, 5e-5), "posX": near(0.8500, 5e-5)}
    assert found.ceiling == found.value
    assert np.mean([1, 1, 0.8121, 0.85, 0.85]) == near(0.9024, 5e-5)  # dSprites: shape and scale lose nothing


def test_modularity_of_grids():
    assert metrics.modularity(SQUARE, SQUARE).value == near(1, 1e-6)
    assert metrics.modularity(rotated(perfect(SQUARE), 0, 1), SQUARE).value == near(0, 1e-6)
    factors = grid(4, 4, 3)
    both = factors[:, :1] * 4 + factors[:, 1:2]  # one code of two of three factors: 1 - 1/(F - 1)
    assert metrics.modularity(both, factors).value == near(0.5, 1e-6)
    dead = np.concatenate([perfect(factors), np.zeros((len(factors), 2))], 1)
    assert metrics.modularity(dead, factors).value == near(1, 1e-6)
    assert metrics.modularity(dead, factors, definition="locatello2019").value == near(0.6, 1e-6)


@pytest.mark.parametrize("definition", ["locatello2019", "suter2019"])
def test_irs_of_grids(definition):
    assert metrics.irs(SQUARE, SQUARE, definition=definition).value == near(1, 1e-6)
    factors = grid(30, 30)
    assert metrics.irs(rotated(perfect(factors), 0, 1), factors, 1.0, definition=definition).value == near(0.5, 1e-6)


def test_dci_of_importances():
    turned = np.eye(5)
    turned[3:, 3:] = 0.5
    assert (metrics.disentanglement_of(np.eye(5)), metrics.completeness(np.eye(5))) == (near(1, 1e-6), near(1, 1e-6))
    assert metrics.disentanglement_of(turned) == near(0.8277, 5e-5) == metrics.completeness(turned)
    dead = np.vstack([turned, np.zeros((5, 5))])
    assert (metrics.disentanglement_of(dead), metrics.completeness(dead)) == (near(0.8277, 5e-5), near(0.8796, 5e-5))
    split = np.vstack([np.eye(5), np.zeros((1, 5))])
    split[[0, 5], 0] = 0.5
    assert (metrics.disentanglement_of(split), metrics.completeness(split)) == (near(1, 1e-6), near(0.9226, 5e-5))
    assert metrics.disentanglement_of(np.zeros((3, 2))) == 0


def test_dependence_of_a_correlated_pair():
    codes = np.array([[3.0, 3.0], [-3.0, -3.0], [1.0, -1.0], [-1.0, 1.0]])  # correlation 16/20
    scaled = codes / codes.std(0)
    assert metrics.gaussian_tc(codes).value == near(-0.5 * math.log(1 - 0.64), 1e-6)
    assert metrics.wasserstein_dependence(scaled, False).value == near(0.4223, 5e-5)
    assert metrics.wasserstein_dependence(scaled).value == near(0.2111, 5e-5)
    assert metrics.pairwise_information(SQUARE).value == near(0, 1e-6)
    assert metrics.pairwise_information(SQUARE[:, [0, 0]]).value == near(math.log(12), 1e-6)


@pytest.mark.parametrize(("definition", "expected"), [("spearman", 1), ("duan2020", 0.9)])
def test_udr_of_permuted_and_reflected_codes(definition, expected):
    codes = perfect(grid(4, 5, 6))
    dead = np.concatenate([-codes[:, [2, 0, 1]], np.zeros((120, 1))], 1)
    found = metrics.udr([codes, dead, codes[:, ::-1]], definition=definition)
    assert found.value == near(expected, 1e-6) and found.ceiling == expected and found.standard_error < 0.1
    other = rotated(codes, 0, 1)
    assert metrics.udr([codes, other], definition=definition).value < expected - 0.2
    some = metrics.udr([codes, other], kl=[np.array([0, 0, 1]), np.array([0, 0, 1])], definition=definition)
    assert some.value == near(expected, 1e-6)


# ------------------------------------------------------------------------------------------------ dSprites
@pytest.mark.parametrize(
    ("name", "options", "straight", "turned"),
    [
        ("mig_binned", {}, 0.896, 0.560),
        ("modularity", {"definition": "locatello2019"}, 1, 0.903),
        ("sap", {"definition": "kumar2018"}, 1, 0.600),
        ("sap", {"nominal": ["factor 0"]}, 1, 0.600),
        ("beta_vae_score", {"num_test": 20_000}, 1, 0.80),
        ("factor_vae_score", {"num_test": 20_000}, 1, 0.80),
        ("irs", {}, 1, 0.734),
    ],
)
def test_perfect_and_rotated_codes_of_sprites(name, options, straight, turned):
    metric, rows = getattr(metrics, name), slice(4_000 if name in ("irs", "factor_vae_score", "beta_vae_score") else None)
    found = metric(TURNED[rows], F10[rows], **options)
    assert found.ceiling == near(straight) and found.value == near(turned) and 0 < found.standard_error < 0.01


def test_a_linear_classifier_cannot_name_the_middle():
    found = metrics.sap(TURNED, F10, definition="locatello2019")
    assert found.ceiling == near(0.250) and found.value == near(0.239)


def test_order_and_sign_of_codes_do_not_matter():
    some, order = F10[:1_000], [4, 2, 0, 1, 3]
    codes = rotated(perfect(some), 1, 2, degrees=25)
    for name in ("mig_binned", "sap", "irs", "gaussian_tc"):
        given = () if name == "gaussian_tc" else (some,)
        one, other = (getattr(metrics, name)(each, *given).value for each in (codes, codes[:, order]))
        assert one == near(other, 1e-9), name


def test_a_code_of_mixed_and_dead_dimensions():
    """The variants of each metric lie far apart on one code (their figures were computed elsewhere, with other noise)."""
    codes = rotated(rotated(PERFECT, 1, 2, degrees=25), 3, 4, degrees=10) + noise(10_000, 5, 0.1)
    codes = np.concatenate([codes, noise(10_000, 5, 0.02, seed=1)], 1)
    assert metrics.gaussian_tc(codes).value == near(0.0015, 0.003)
    codes, factors = codes[:4_000], F10[:4_000]
    assert metrics.mig_binned(codes, factors).value == near(0.459)
    assert metrics.mig_binned(codes, factors[:, 1:]).value == near(0.334)
    assert metrics.sap(codes, factors, definition="kumar2018").value == near(0.824)
    assert metrics.modularity(codes, factors).value == near(0.988)
    assert metrics.irs(codes, factors).value == near(0.727)
    assert metrics.factor_vae_score(codes, factors, 2_000, 2_000).value == 1


# ------------------------------------------------------------------------------------------------ fitted predictors
def test_dci_by_its_sources():
    factors = np.tile(grid(2, 2), (30, 1))
    codes = perfect(factors)
    for each in metrics.dci(codes, factors).values():
        assert each.value == near(1) and each.ceiling == near(1) and each.standard_error < 0.01
    order = perfect(grid(6, 6))
    turned = metrics.dci(rotated(order, 0, 1), grid(6, 6), "lasso", definition="eastwood2018")
    assert turned["disentanglement"].value == near(0) and turned["informativeness"].value > 0.99
    doubled = metrics.dci(order[:, [0, 0, 1]] + noise(36, 3, 0.01), grid(6, 6), "lasso", definition="eastwood2018")
    assert doubled["disentanglement"].value == near(1) and doubled["disentanglement"].definition == "eastwood2018"


def test_importances_of_a_forest_spread():
    some = known(PERFECT[:300], F10[:300, :2])
    spread, straight = (metrics.disentanglement_of(importances(some, source)[0]) for source in ("forest", "lasso"))
    assert spread < 0.8 and straight == near(1, 0.05)


def test_explicitness_is_blind_to_rotation():
    factors = np.tile(grid(2, 4), (12, 1))
    codes = perfect(factors)
    one, other = metrics.explicitness(codes, factors), metrics.explicitness(rotated(codes, 0, 1), factors)
    assert 0.9 < one.value == one.ceiling and other.value == near(one.value, 1e-3)
    assert metrics.explicitness(np.zeros((96, 2)), factors).value == 0.5


# ------------------------------------------------------------------------------------------------ useless codes
def useless(factors):
    some = perfect(factors)
    return {
        "constant": np.zeros((len(some), 3)),
        "constant, far off": np.full((len(some), 2), 1e9 / 3),
        "noise": noise(len(some), 3),
        "doubled": some[:, [0, 0, 1]],
        "one": some[:, :1],
        "large": 1e12 * some,
        "small": 1e-12 * some,
    }


def supervised(codes, factors, **votes):
    found = [metrics.mig_binned(codes, factors), metrics.mig(codes, np.full(codes.shape, 0.1), factors)]
    found += [metrics.modularity(codes, factors), metrics.modularity(codes, factors, definition="locatello2019")]
    found += [metrics.sap(codes, factors, nominal=[0]), metrics.sap(codes, factors, definition="locatello2019")]
    found += [metrics.irs(codes, factors), metrics.explicitness(codes, factors)]
    return [*found, metrics.beta_vae_score(codes, factors, **votes), metrics.factor_vae_score(codes, factors, **votes)]


@pytest.mark.parametrize("kind", useless(SQUARE))
def test_no_code_has_a_figure_that_is_no_number(kind):
    factors = np.tile(grid(2, 3), (20, 1))
    codes = useless(factors)[kind]
    scores = supervised(codes, factors, num_train=100, num_test=50)
    if codes.shape[1] > 1:
        scores += metrics.dci(codes, factors, "lasso", definition="eastwood2018").values()
    scores += [metrics.wasserstein_dependence(codes), metrics.pairwise_information(codes), metrics.udr([codes, codes])]
    for each in scores:
        figures = [each.value, each.standard_error, each.ceiling, *each.parts.values()]
        assert np.isfinite(figures).all(), each
        assert -0.1 < each.value <= 1 + 1e-6 or each.name == "pairwise information", each
    assert metrics.gaussian_tc(codes).value == (math.inf if kind == "doubled" else near(0, 0.05))


def test_constant_and_noisy_codes_have_next_to_nothing():
    for codes in (np.full((10_000, 5), 0.3), noise(10_000, 5, 0.04)):
        assert metrics.mig_binned(codes, F10).value == near(0)
        assert metrics.sap(codes, F10, definition="kumar2018").value == near(0)
        assert metrics.factor_vae_score(codes, F10, 500, 500).value == 0  # all are pruned
    assert metrics.factor_vae_score(noise(10_000, 5), F10).value == near(1 / 5, 0.03)
    doubled = metrics.mig_binned(perfect(SQUARE)[:, [0, 0, 1]], SQUARE)
    assert list(doubled.parts.values()) == [near(0, 1e-6), near(1, 1e-6)]


# ------------------------------------------------------------------------------------------------ bad calls
BAD = {
    "NaN": (np.where(SQUARE > 10, np.nan, SQUARE), SQUARE),
    "infinite": (np.where(SQUARE > 10, np.inf, SQUARE), SQUARE),
    "one row of codes": (SQUARE[:1], SQUARE[:1]),
    "flat": (SQUARE[:, 0], SQUARE),
    "no codes": (SQUARE[:, :0], SQUARE),
    "texts": (np.array([["a", "b"]] * 144), SQUARE),
    "rows that differ": (SQUARE[:-1], SQUARE),
    "fractions": (SQUARE, SQUARE + 0.5),
    "factors with NaN": (SQUARE, np.where(SQUARE > 10, np.nan, SQUARE)),
    "a constant factor": (SQUARE, SQUARE * [0, 1]),
    "no factor": (SQUARE, SQUARE[:, :0]),
    "names of other lengths": (SQUARE, {"a": SQUARE[:, 0], "b": SQUARE[:5, 0]}),
    "no names": (SQUARE, {}),
}
METRICS = ["mig_binned", "modularity", "sap", "irs", "explicitness", "beta_vae_score", "factor_vae_score", "dci"]


@pytest.mark.parametrize("kind", BAD)
def test_bad_arrays_are_refused_in_a_sentence(kind):
    codes, factors = BAD[kind]
    calls = [lambda name=name: getattr(metrics, name)(codes, factors) for name in METRICS]
    calls.append(lambda: metrics.mig(codes, np.ones((144, 2)), factors))
    if kind in ("NaN", "infinite", "one row of codes", "flat", "no codes", "texts"):
        names = ("gaussian_tc", "wasserstein_dependence", "pairwise_information")
        calls += [lambda name=name: getattr(metrics, name)(codes) for name in names]
        calls.append(lambda: metrics.udr([SQUARE, codes]))
    for call in calls:
        with pytest.raises(PyrovaeError) as caught:
            call()
        assert "\n" not in str(caught.value) and str(caught.value).endswith(".")


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: metrics.mig(SQUARE, np.zeros((144, 2)), SQUARE), "scales"),
        (lambda: metrics.mig(SQUARE, np.ones((144, 3)), SQUARE), "scales"),
        (lambda: metrics.mig_binned(SQUARE, SQUARE, definition="locatelo2019"), "did you mean 'locatello2019'"),
        (lambda: metrics.mig_binned(SQUARE, SQUARE, 1), "num_bins"),
        (lambda: metrics.irs(SQUARE, SQUARE, 99.0), "quantile"),
        (lambda: metrics.sap(SQUARE, SQUARE, nominal=["factor 7"]), "factor 7"),
        (lambda: metrics.sap(SQUARE, SQUARE, nominal=[0], definition="kumar2018"), "nominal"),
        (lambda: metrics.modularity(SQUARE, SQUARE, active=[True]), "active"),
        (lambda: metrics.modularity(SQUARE, SQUARE, np.ones(2, bool), definition="locatello2019"), "active"),
        (lambda: metrics.modularity(SQUARE, SQUARE[:, :1]), "F at least 2"),
        (lambda: metrics.dci(SQUARE, SQUARE, "forest"), "forest"),
        (lambda: metrics.dci(SQUARE, SQUARE, "trees"), "trees"),
        (lambda: metrics.dci(SQUARE[:, :1], SQUARE), "two codes"),
        (lambda: metrics.beta_vae_score(SQUARE, np.arange(288).reshape(144, 2)), "one row"),
        (lambda: metrics.factor_vae_score(SQUARE, SQUARE, group_size=1), "group_size"),
        (lambda: metrics.udr([SQUARE]), "two at least"),
        (lambda: metrics.udr([SQUARE, SQUARE[:9]]), "same rows"),
        (lambda: metrics.udr([SQUARE, SQUARE], kl=[np.ones(2), np.ones(3)]), "kl"),
        (lambda: metrics.disentanglement_of(-np.eye(2)), "importance"),
        (lambda: metrics.completeness(np.ones((1, 3))), "two codes"),
    ],
)
def test_bad_options_are_refused_by_name(call, told):
    with pytest.raises(PyrovaeError, match=told):
        call()
