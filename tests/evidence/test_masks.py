"""Latents that are masked in some rows: every method, and every bound, is of p(x) with what is masked left out."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine

import pyrovae as pv
from pyrovae.errors import ContractError
from pyrovae.evidence import gaps

W = torch.tensor([[1.1, 0.4], [-0.3, 0.8]])
ROWS = 500


def model(x, present):
    keep = present.bool()
    with pyro.plate("data", len(x), dim=-1):
        z = pyro.sample("z", dist.Normal(x.new_zeros(len(x), 2), 1.0).mask(keep).to_event(1))
        pyro.sample("x", dist.Normal(torch.where(keep, z, 0.0) @ W.T, 0.6).to_event(1), obs=x)


def guide(x, present):
    with pyro.plate("data", len(x), dim=-1):
        pyro.sample("z", dist.Normal(0.4 * x, 0.8).mask(present.bool()).to_event(1))


def by_rows(x, present):
    """The model with whole data masked by poutine."""
    keep = present[:, 0].bool()
    with pyro.plate("data", len(x), dim=-1), poutine.mask(mask=keep):
        z = pyro.sample("z", dist.Normal(x.new_zeros(2), 1.0).to_event(1))
    with pyro.plate("again", len(x), dim=-1):
        pyro.sample("x", dist.Normal(torch.where(keep.unsqueeze(-1), z, 0.0) @ W.T, 0.6).to_event(1), obs=x)


def its_guide(x, present):
    with pyro.plate("data", len(x), dim=-1), poutine.mask(mask=present[:, 0].bool()):
        pyro.sample("z", dist.Normal(0.4 * x, 0.8).to_event(1))


DATA = {
    "x": torch.tensor([[1.0, 0.3], [-0.5, 0.0], [0.2, 1.0]]),
    "present": torch.tensor([[1.0, 1.0], [1.0, 0.0], [0.0, 0.0]]),
}


def truth(present):
    loadings = W * present.unsqueeze(-2)
    return dist.MultivariateNormal(torch.zeros(2), loadings @ loadings.mT + 0.36 * torch.eye(2)).log_prob(DATA["x"])


METHODS = {
    "importance": {"num_samples": 4000},
    "ais": {"num_chains": 100, "num_distributions": 10, "num_leapfrog": 2},
    "smc": {"num_chains": 100, "num_distributions": 10, "num_leapfrog": 2},
    "bridge": {"num_steps": 40, "num_draws": 24, "num_warmup": 24, "num_leapfrog": 3},
}


@pytest.mark.parametrize("method", METHODS)
def test_every_method_leaves_out_what_is_masked(method):
    evidence = pv.log_evidence((model, guide), DATA, method=method, **METHODS[method])
    exact = truth(DATA["present"])
    assert ((evidence.value - exact).abs() < 4.5 * evidence.stderr + 1e-5).all() and evidence.stderr.max() < 0.2


def test_gaps_of_masked_latents_are_of_log_p():
    found = gaps((model, guide), DATA, num_samples=1000, num_steps=60, ais={"num_distributions": 4, "num_leapfrog": 1})
    exact = truth(DATA["present"])
    assert ((found.refined.value - exact).abs() < 4.5 * found.refined.stderr + 1e-5).all()
    assert (found.refined.elbo < exact + 1e-3).all()


@pytest.mark.parametrize("programs", [(model, guide), (by_rows, its_guide)])
def test_the_analytic_kl_obeys_masks_as_the_sampled_one_does(programs):
    """Of the same mask in both, of another one, and of none in the guide."""
    torch.manual_seed(0)
    other = DATA["present"].clone()
    other[0, :] = 0
    for in_guide in (DATA["present"], other, torch.ones(3, 2)):
        batch = {"x": DATA["x"], "present": DATA["present"]}
        masked = lambda x, present, keep=in_guide: programs[1](x, keep.repeat(len(x) // 3, 1))  # noqa: E731
        many = {key: value.repeat(ROWS, 1) for key, value in batch.items()}
        values = []
        for objective in ("elbo", "meanfield"):
            loss = pv.objectives.OBJECTIVES.build(objective, num_particles=20)
            values.append(loss.evaluate(programs[0], masked, many).reshape(ROWS, 3).double())
        difference = values[0] - values[1]
        assert (difference.mean(0).abs() < 4.5 * difference.std(0) / ROWS**0.5 + 1e-5).all()


def test_masks_that_differ_are_refused():
    unmasked = lambda x, present: guide(x, torch.ones_like(present))  # noqa: E731
    for call in (lambda: pv.log_evidence((model, unmasked), DATA), lambda: pv.check((model, unmasked), DATA)):
        with pytest.raises(ContractError, match="latent site 'z' is masked in one program where it is not in the other"):
            call()
    late = {key: torch.cat([value[:1], value]) for key, value in DATA.items()}
    late["present"][:2] = 1
    with pytest.raises(ContractError, match="masked in one program"):  # in the second batch
        pv.log_evidence((model, unmasked), late, batch_size=2)


def test_an_enumerated_class_that_is_masked_counts_once():
    """p(y) p(x | y) where y is present, else p(x) of no class: by sums in the guide, in the model and by draws."""
    means = torch.tensor([-1.0, 2.0, 0.5])

    def mixture(marked):
        def program(x, present):
            keep = present.bool()
            with pyro.plate("data", len(x), dim=-1):
                with poutine.mask(mask=keep):
                    y = pyro.sample("y", dist.Categorical(torch.tensor([0.2, 0.3, 0.5])), infer=dict(marked))
                loc = torch.where(keep, means[y], 0.0).unsqueeze(-1)
                pyro.sample("x", dist.Normal(loc, 0.7).to_event(1), obs=x)

        return program

    def posterior(marked):
        def program(x, present):
            with pyro.plate("data", len(x), dim=-1), poutine.mask(mask=present.bool()):
                pyro.sample("y", dist.Categorical(torch.tensor([0.3, 0.4, 0.3])), infer=dict(marked))

        return program

    data = {"x": torch.tensor([[0.4], [1.0], [-2.0]]), "present": torch.tensor([1.0, 0.0, 1.0])}
    parts = dist.Normal(means, 0.7).log_prob(data["x"]) + torch.tensor([0.2, 0.3, 0.5]).log()
    exact = torch.where(data["present"].bool(), parts.logsumexp(1), dist.Normal(0.0, 0.7).log_prob(data["x"][:, 0]))
    mark = {"enumerate": "parallel"}
    empty = lambda x, present: None  # noqa: E731
    for programs in ((mixture({}), posterior(mark)), (mixture(mark), empty)):
        value = pv.log_evidence(programs, data, num_samples=2).value
        torch.testing.assert_close(value.float(), exact, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(pv.log_evidence((mixture({}), posterior({})), data, method="exact").value.float(), exact)
