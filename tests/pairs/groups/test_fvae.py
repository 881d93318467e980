"""A table of numbers with a linear decoder: the objective's minimum is that of probabilistic matrix factorization, by SVD."""

from __future__ import annotations

import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import nn

import pyrovae as pv
from pyrovae.errors import ContractError, OptionError
from pyrovae.models import FVAE
from pyrovae.objectives import ELBO, MAP, Given

ROWS, COLUMNS, DIM = 6, 5, 3
Z_SCALE, X_SCALE = 0.6, 0.3
VARIANCE = DIM * Z_SCALE**2 + X_SCALE**2  # of x given the factors, x = sum_j z_j + noise


class Sum(nn.Module):
    """z, (..., d), to x = sum_j z_j."""

    def forward(self, z):
        return dist.Normal(z.sum(-1, keepdim=True), X_SCALE).to_event(1)


class Exact(nn.Module):
    """q(z | x, U, V), the posterior: the bound is log p(x | U, V)."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x, row, column):
        prior = self.model.expected(row, column)
        loc = prior + Z_SCALE**2 / VARIANCE * (x - prior.sum(-1, keepdim=True))
        covariance = Z_SCALE**2 * torch.eye(DIM, dtype=x.dtype) - Z_SCALE**4 / VARIANCE * torch.ones(DIM, DIM, dtype=x.dtype)
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("z", dist.MultivariateNormal(loc, covariance))


def table():
    """All entries of a table of numbers of two strong factors and a weak one."""
    generator = torch.Generator().manual_seed(0)
    u, v = (torch.randn(num, DIM, generator=generator, dtype=torch.float64) for num in (ROWS, COLUMNS))
    x = (u * torch.tensor([2.0, 1.5, 0.1])) @ v.mT
    row, column = (each.flatten() for each in torch.meshgrid(torch.arange(ROWS), torch.arange(COLUMNS), indexing="ij"))
    return x, {"x": x.flatten().unsqueeze(-1), "row": row, "column": column}


def minimum(x):
    """min over U, V of the sum of squared errors / 2 v and of squared norms / 2: singular values s, above v, become s - v."""
    s = torch.linalg.svdvals(x)
    kept = (s - VARIANCE).clamp_min(0)[:DIM]
    error = (s[:DIM] - kept).square().sum() + s[DIM:].square().sum()
    return error / (2 * VARIANCE) + kept.sum()


def constants():
    """What Gaussians add to the two."""
    return ROWS * COLUMNS * 0.5 * math.log(2 * math.pi * VARIANCE) + (ROWS + COLUMNS) * DIM * 0.5 * math.log(2 * math.pi)


def test_with_a_linear_decoder_the_minimum_is_that_of_regularized_matrix_factorization():
    torch.manual_seed(0)
    x, batch = table()
    model = FVAE(nn.Identity(), Sum(), (ROWS, COLUMNS), DIM, Z_SCALE).double()
    pair, objective = (model, Exact(model)), MAP(base="elbo", data_size=ROWS * COLUMNS)
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=300, line_search_fn="strong_wolfe", tolerance_grad=1e-12)

    def loss():
        optimizer.zero_grad()
        (update,) = objective.updates(Given(*pair, [batch]))
        update.loss.backward()
        return update.loss

    optimizer.step(loss)
    found = float(loss().detach()) * ROWS * COLUMNS
    assert found == pytest.approx(float(minimum(x)) + constants(), abs=1e-6)
    left, s, right = torch.linalg.svd(x)
    kept = (s - VARIANCE).clamp_min(0)[:DIM]
    product = (model.rows @ model.columns.mT).detach()
    torch.testing.assert_close(product, left[:, :DIM] * kept @ right[:DIM], rtol=1e-4, atol=1e-4)
    assert int((kept > 0).sum()) == 2  # the weak factor is not worth its norm


def test_each_batch_has_its_part_of_the_shared_prior_and_the_report_is_the_base_alone():
    """N/B of a batch's loss is in expectation that of all data: parts of equal size have the whole as their mean."""
    torch.manual_seed(1)
    _, batch = table()
    model = FVAE(nn.Identity(), Sum(), (ROWS, COLUMNS), DIM, Z_SCALE).double()
    pair, objective = (model, Exact(model)), MAP(base="elbo", data_size=ROWS * COLUMNS)
    parts = [{key: value[i : i + 10] for key, value in batch.items()} for i in (0, 10, 20)]
    whole, *some = [next(iter(objective.updates(Given(*pair, [each])))) for each in (batch, *parts)]
    torch.testing.assert_close(torch.stack([part.loss for part in some]).mean(), whole.loss)
    base = next(iter(ELBO().updates(Given(*pair, [batch]))))
    torch.testing.assert_close(whole.bound, base.bound)
    torch.testing.assert_close(whole.loss - base.loss, -model.log_prior() / (ROWS * COLUMNS))


def test_there_is_no_evidence_of_one_entry_and_elbo_trains_the_factors_freely(entries):
    torch.manual_seed(0)
    pair = pv.pairs.fvae(entries.spec, latent_dim=3, hidden=[8])
    with pytest.raises(ContractError, match="site 'z' is about points that all data share, which have a prior of their own"):
        pv.log_evidence(pair, entries.test[:4], num_samples=2)
    run = pv.fit(pair, entries, objective="elbo", epochs=1, progress=False)
    assert "valid" in run.records[0]


def test_what_it_cannot_serve_is_refused(digits, entries):
    with pytest.raises(OptionError, match="digits has no rows and columns"):
        pv.pairs.fvae(digits.spec)
    pair = pv.pairs.vae(digits.spec, latent_dim=2, hidden=[8])
    with pytest.raises(ContractError, match=r"VAE.* has no log_prior\(\) of parameters that all data share"):
        pv.fit(pair, digits, objective="map", epochs=1, progress=False)
    pair = pv.pairs.fvae(entries.spec, latent_dim=3, hidden=[8])
    with pytest.raises(OptionError, match="needs N, the number of training data"):
        next(iter(MAP().updates(Given(pair.model, pair.guide, [entries.train[:4]]))))


@pytest.fixture(scope="module")
def entries():
    generator = torch.Generator().manual_seed(0)
    row, column = (each.flatten() for each in torch.meshgrid(torch.arange(6), torch.arange(5), indexing="ij"))
    x = torch.rand(30, 4, generator=generator)
    kinds = {"row": "category:6", "column": "category:5"}
    return pv.data.load({"x": x, "row": row, "column": column}, kinds=kinds)
