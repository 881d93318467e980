"""``definition="locatello2019"`` against the formulas of Locatello et al. (2019), and their code, in plain loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
from known_codes import noise, perfect, rotated
from scipy import stats
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import mutual_info_score, roc_auc_score
from sklearn.svm import LinearSVC

from pyrovae.evaluation import disentanglement as metrics
from pyrovae.evaluation.disentanglement import interventions
from pyrovae.evaluation.disentanglement.arrays import halves, known

RNG = np.random.default_rng(0)
FACTORS = RNG.integers(0, [2, 3, 6, 9], (600, 4))
CODES = np.concatenate([rotated(perfect(FACTORS), 2, 3, 25), noise(600, 2, 0.02)], 1) + noise(600, 6, 0.1, seed=1)
NUM_CODES, NUM_FACTORS = CODES.shape[1], FACTORS.shape[1]


def near(value):
    return pytest.approx(value, abs=1e-6)


def binned():
    columns = []
    for i in range(NUM_CODES):
        edges = np.histogram(CODES[:, i], 20)[1]
        columns.append(np.digitize(CODES[:, i], edges[:-1]))
    return columns


def informations():
    columns = binned()
    return [[mutual_info_score(FACTORS[:, k], columns[i]) for k in range(NUM_FACTORS)] for i in range(NUM_CODES)]


def test_mig():
    table, total = informations(), 0.0
    for k in range(NUM_FACTORS):
        column = sorted((row[k] for row in table), reverse=True)
        total += (column[0] - column[1]) / mutual_info_score(FACTORS[:, k], FACTORS[:, k])
    assert metrics.mig_binned(CODES, FACTORS).value == near(total / NUM_FACTORS)


def test_modularity():
    scores = []
    for row in informations():
        top = max(row)
        rest = sum(value**2 for value in row) - top**2
        scores.append(1 - rest / (top**2 * (NUM_FACTORS - 1)) if top > 0 else 0)
    assert metrics.modularity(CODES, FACTORS, definition="locatello2019").value == near(sum(scores) / NUM_CODES)


def test_sap():
    train, test = halves(known(CODES, FACTORS), 3)
    total = 0.0
    for k in range(NUM_FACTORS):
        column = []
        for i in range(NUM_CODES):
            fitted = LinearSVC(C=0.01, class_weight="balanced", dual=False).fit(train.codes[:, [i]], train.values[:, k])
            guesses = fitted.predict(test.codes[:, [i]])
            column.append(sum(guess == truth for guess, truth in zip(guesses, test.values[:, k], strict=True)) / len(guesses))
        column.sort(reverse=True)
        total += column[0] - column[1]
    found = metrics.sap(CODES, FACTORS, definition="locatello2019", seed=3)
    assert found.value == near(total / NUM_FACTORS) and found.standard_error > 0


def test_irs():
    scores, weights = [], []
    for i in range(NUM_CODES):
        code = CODES[:, i]
        weights.append(max(abs(code - code.mean())))
        best = -math.inf
        for k in range(NUM_FACTORS):
            deviations = []
            for value in sorted(set(FACTORS[:, k].tolist())):
                some = code[FACTORS[:, k] == value]
                deviations.append(np.percentile(abs(some - some.mean()), 99))
            best = max(best, 1 - sum(deviations) / len(deviations) / weights[-1])
        scores.append(best)
    expected = sum(score * weight for score, weight in zip(scores, weights, strict=True)) / sum(weights)
    assert metrics.irs(CODES, FACTORS).value == near(expected)


def test_dci():
    importance = np.abs(RNG.normal(size=(NUM_CODES, NUM_FACTORS)))
    importance[2] = 0
    disentangled = complete = 0.0
    for i in range(NUM_CODES):
        one = 1 - stats.entropy(importance[i] + 1e-11, base=NUM_FACTORS)
        disentangled += one * importance[i].sum() / importance.sum()
    for k in range(NUM_FACTORS):
        one = 1 - stats.entropy(importance[:, k] + 1e-11, base=NUM_CODES)
        complete += one * importance[:, k].sum() / importance.sum()
    assert metrics.disentanglement_of(importance) == near(disentangled)
    assert metrics.completeness(importance) == near(complete)


class Recorder(interventions.Groups):
    """Keeps what rows were drawn."""

    drawn: list = []

    def draw(self, rng, factor, rows):
        other = super().draw(rng, factor, rows)
        assert (FACTORS[rows, factor] == FACTORS[other, factor]).all()
        self.drawn.append((factor, rows, other))
        return other


@pytest.fixture
def recorded(monkeypatch):
    Recorder.drawn = []
    monkeypatch.setattr(interventions, "Groups", Recorder)
    return Recorder.drawn


def cut(recorded, num):
    """What the first draws were, of so many groups in all, and what those after them."""
    count, place = 0, 0
    while count < num:
        count, place = count + len(recorded[place][1]), place + 1
    return recorded[:place], recorded[place:]


def test_factor_vae_score(recorded):
    found = metrics.factor_vae_score(CODES, FACTORS, 300, 100, 16).value
    train, rest = cut(recorded, 300)
    test, _ = cut(rest, 100)
    live = [i for i in range(NUM_CODES) if CODES[:, i].std() >= 0.05]

    def votes(groups):
        for factor, _, others in groups:
            for rows in others:
                ratios = [CODES[rows, i].var(ddof=1) / CODES[:, i].var(ddof=1) for i in live]
                yield live[ratios.index(min(ratios))], factor

    table = [[0] * NUM_FACTORS for _ in range(NUM_CODES)]
    for code, factor in votes(train):
        table[code][factor] += 1
    majority = [row.index(max(row)) for row in table]
    right = [majority[code] == factor for code, factor in votes(test)]
    assert len(right) == 100 and 0.3 < found == near(sum(right) / 100)


def test_beta_vae_score(recorded):
    found = metrics.beta_vae_score(CODES, FACTORS, 300, 100, 16).value
    train, rest = cut(recorded, 300)
    test, _ = cut(rest, 100)

    def features(groups):
        made = [
            (sum(abs(CODES[a] - CODES[b]) for a, b in zip(one, other, strict=True)) / 16, factor)
            for factor, ones, others in groups
            for one, other in zip(ones, others, strict=True)
        ]
        return np.array([each[0] for each in made]), np.array([each[1] for each in made])

    fitted = LogisticRegression(max_iter=2000).fit(*features(train))
    assert 0.3 < found == near(fitted.score(*features(test)))


def test_explicitness():
    data = known(CODES, FACTORS[:, :3])
    scaled = (CODES - CODES.mean(0)) / CODES.std(0)
    train, test = halves(data.of(scaled), 0)
    total = 0.0
    for k in range(3):
        fitted = LogisticRegression(max_iter=2000).fit(train.codes, train.values[:, k])
        guesses = fitted.predict_proba(test.codes)
        areas = [roc_auc_score(test.values[:, k] == value, guesses[:, value]) for value in range(guesses.shape[1])]
        total += sum(areas) / len(areas)
    assert metrics.explicitness(CODES, FACTORS[:, :3]).value == near(total / 3)


def test_mixture_mig_is_that_of_a_double_loop():
    factors, means = FACTORS[:25, 1:3], CODES[:25, 1:3]
    scales = np.exp(noise(25, 2, 0.3))
    found = metrics.mig(means, scales, factors, seed=5)
    import torch
    from pyro.distributions import Normal

    from pyrovae.core.inference import private_draws

    with private_draws(5, torch.device("cpu")):
        z = Normal(torch.from_numpy(means).float(), torch.from_numpy(scales).float()).sample().numpy()
    gaps = []
    for k in range(2):
        values, entropy = [], 0.0
        for j in range(2):
            total = 0.0
            for n in range(25):
                density = [stats.norm.pdf(z[n, j], means[m, j], scales[m, j]) for m in range(25)]
                same = [density[m] for m in range(25) if factors[m, k] == factors[n, k]]
                total += math.log(sum(same) / len(same)) - math.log(sum(density) / 25)
                entropy -= math.log(len(same) / 25) / 2
            values.append(total / 25)
        gaps.append((max(values) - min(values)) / (entropy / 25))
    assert found.value == pytest.approx(sum(gaps) / 2, abs=1e-5)
