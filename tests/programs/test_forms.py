"""What a program may look like: Pyro's primitives and handlers in both programs, keys and sites of any names."""

from __future__ import annotations

import warnings

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.infer import Trace_ELBO, TraceEnum_ELBO
from torch import nn

import pyrovae as pv
from pyrovae.core.contract import check_batch
from pyrovae.core.pair import as_pair
from pyrovae.errors import ContractError

X = torch.randn(6, 3)


def model(x):
    with pyro.plate("rows", len(x)):
        z = pyro.sample("z", dist.Normal(0.0, 1.0).expand([1]).to_event(1))
        pyro.sample("x", dist.Normal(z.expand(*z.shape[:-1], 3), 0.7).to_event(1), obs=x)


def guide(x):
    with pyro.plate("rows", len(x)):
        pyro.sample("z", dist.Normal(0.7 * x.mean(-1, keepdim=True), 0.4).to_event(1))


def log_p(x):
    covariance = torch.ones(3, 3) + 0.49 * torch.eye(3)
    return dist.MultivariateNormal(torch.zeros(3), covariance).log_prob(x)


def losses(model, guide, batch, theirs=None, objective="elbo"):
    """Pyro's loss and ours at the same draws."""
    values = []
    as_pair((model, guide))
    check_batch(as_pair((model, guide)), batch)
    for loss in (theirs or Trace_ELBO(), pv.objectives.get(objective)):
        torch.manual_seed(3)
        values.append(float(loss.loss(model, guide, **batch)))
    return values


def assert_evidence(pair, batch, truth, **options):
    evidence = pv.log_evidence(pair, batch, **{"num_samples": 4000, **options})
    assert ((evidence.value - truth).abs() < 5 * evidence.stderr + 1e-3).all()


# ------------------------------------------------------------------------------------------------ primitives
def test_what_deterministic_notes_is_no_site_and_is_sampled_beside_them():
    def noting(x):
        with pyro.plate("rows", len(x)):
            z = pyro.sample("z", dist.Normal(0.0, 1.0).expand([1]).to_event(1))
            loc = pyro.deterministic("loc", z.expand(*z.shape[:-1], 3), event_dim=1)
            pyro.sample("x", dist.Normal(loc, 0.7).to_event(1), obs=x)

    def noting_guide(x):
        with pyro.plate("rows", len(x)):
            loc = pyro.deterministic("mean", 0.7 * x.mean(-1, keepdim=True), event_dim=1)
            pyro.sample("z", dist.Normal(loc, 0.4).to_event(1))

    assert [site.name for site in check_batch(as_pair((noting, noting_guide)), {"x": X}).sites] == ["z", "x"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # Pyro's own, of a note that the guide alone makes
        theirs, ours = losses(noting, noting_guide, {"x": X})
    assert ours == pytest.approx(theirs, rel=1e-5)
    assert_evidence((noting, noting_guide), {"x": X}, log_p(X))
    drawn = pv.sample((noting, noting_guide), 4)
    assert drawn.keys() == {"z", "x"}


def test_a_factor_of_the_model_trains_and_has_neither_evidence_nor_draws():
    def weighed(x):
        model(x)
        with pyro.plate("again", len(x)):
            pyro.factor("f", -x.square().sum(-1))

    theirs, ours = losses(weighed, guide, {"x": X})
    assert ours == pytest.approx(theirs, rel=1e-5)
    assert not check_batch(as_pair((weighed, guide)), {"x": X}).is_density
    for verb in (lambda: pv.log_evidence((weighed, guide), X), lambda: pv.sample((weighed, guide), 3)):
        with pytest.raises(ContractError, match="site 'f' .*is a factor"):
            verb()


def test_one_shared_scale_multiplies_the_loss_and_no_evidence():
    def scaled(program):
        def run(x):
            with poutine.scale(scale=0.25):
                return program(x)

        return run

    theirs, ours = losses(scaled(model), scaled(guide), {"x": X})
    assert ours == pytest.approx(theirs, rel=1e-5)
    assert_evidence((scaled(model), scaled(guide)), {"x": X}, log_p(X))


def test_rows_that_obs_mask_leaves_out_count_as_missing():
    seen = torch.tensor([True, False, True, True, False, True])

    def partly(x, seen):
        with pyro.plate("rows", len(x)):
            z = pyro.sample("z", dist.Normal(0.0, 1.0).expand([1]).to_event(1))
            pyro.sample("x", dist.Normal(z.expand(*z.shape[:-1], 3), 0.7).to_event(1), obs=x, obs_mask=seen.bool())

    def guide_of_both(x, seen):
        known = seen.bool().unsqueeze(-1)
        with pyro.plate("rows", len(x)):
            loc = torch.where(known, 0.7 * x.mean(-1, keepdim=True), 0.0)
            pyro.sample("z", dist.Normal(loc, torch.where(known, 0.4, 1.0)).to_event(1))

    batch = {"x": X, "seen": seen.float()}
    check_batch(as_pair((partly, guide_of_both)), batch)
    for options in ({"num_samples": 4000}, {"method": "ais", "num_chains": 30, "num_distributions": 15}):
        evidence = pv.log_evidence((partly, guide_of_both), batch, **options)
        truth = torch.where(seen, log_p(X), 0.0)
        assert ((evidence.value - truth).abs() < 5 * evidence.stderr + 0.02).all()


class Steps(nn.Module):
    """z_t | z_t-1 and x_t | z_t, x's steps under names of their own; with ``marked`` discrete states that are summed out."""

    def __init__(self, marked=False):
        super().__init__()
        self.marked, self.logits, self.means = marked, nn.Parameter(torch.randn(3, 3)), nn.Parameter(torch.randn(3))

    def forward(self, x):
        with pyro.plate("sequences", len(x)):
            state = 0 if self.marked else x.new_zeros(len(x))
            for t in pyro.markov(range(x.shape[1])):
                if self.marked:
                    p_z = dist.Categorical(logits=self.logits[state])
                    state = pyro.sample(f"z_{t}", p_z, infer={"enumerate": "parallel"})
                    mean = self.means[state]
                else:
                    state = pyro.sample(f"z_{t}", dist.Normal(0.9 * state, 1.0))
                    mean = state
                pyro.sample(f"x_{t}", dist.Normal(mean, 0.5), obs=x[:, t])

    def forward_algorithm(self, x):
        transitions = self.logits.log_softmax(-1)
        emissions = dist.Normal(self.means, 0.5).log_prob(x.unsqueeze(-1))
        alpha = transitions[0] + emissions[:, 0]
        for t in range(1, x.shape[1]):
            alpha = (alpha.unsqueeze(-1) + transitions).logsumexp(1) + emissions[:, t]
        return alpha.logsumexp(-1)


def guide_of_steps(x):
    with pyro.plate("sequences", len(x)):
        z = x.new_zeros(len(x))
        for t in pyro.markov(range(x.shape[1])):
            z = pyro.sample(f"z_{t}", dist.Normal(0.2 * z + 0.8 * x[:, t], 0.45))


def no_latents(x):
    pass


def test_markov_in_both_programs_scores_as_pyro_does():
    steps = Steps()
    theirs, ours = losses(steps, guide_of_steps, {"x": X})
    assert ours == pytest.approx(theirs, rel=1e-5)
    covariance = torch.tensor([[1.0, 0.9, 0.81], [0.9, 1.81, 1.629], [0.81, 1.629, 2.4661]]) + 0.25 * torch.eye(3)
    truth = dist.MultivariateNormal(torch.zeros(3), covariance).log_prob(X)
    for options in ({}, {"method": "ais", "num_chains": 30, "num_distributions": 20}):
        evidence = pv.log_evidence((steps, guide_of_steps), X, **(options or {"num_samples": 4000}))
        assert ((evidence.value - truth).abs() < 5 * evidence.stderr + 0.01).all()
    assert pv.sample((steps, guide_of_steps), 5).keys() == {"z_0", "x_0", "z_1", "x_1", "z_2", "x_2"}


def test_states_that_share_dimensions_under_markov_are_summed_out_exactly():
    steps, x = Steps(marked=True), torch.randn(4, 7)
    truth = steps.forward_algorithm(x)
    for objective in ("elbo", "iwae:num_particles=2", "rws:num_particles=2"):
        value = pv.objectives.get(objective).evaluate(steps, no_latents, {"x": x})
        torch.testing.assert_close(value, truth, rtol=1e-5, atol=1e-5)
    value = pv.log_evidence((steps, no_latents), x, method="exact").value
    torch.testing.assert_close(value.float(), truth.detach(), rtol=1e-5, atol=1e-5)
    theirs, ours = losses(steps, no_latents, {"x": x}, TraceEnum_ELBO(max_plate_nesting=1))
    assert ours == pytest.approx(theirs, rel=1e-5)
    gradients = []
    for loss in (-truth.sum(), pv.objectives.get("rws:num_particles=2").differentiable_loss(steps, no_latents, x=x)):
        gradients.append(torch.autograd.grad(loss, list(steps.parameters()), retain_graph=True))
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-5)


def test_states_enumerated_by_the_guide_under_markov_are_refused():
    steps, x = Steps(marked=True), torch.randn(4, 4)

    def guessing(x):
        with pyro.plate("sequences", len(x)):
            for t in pyro.markov(range(x.shape[1])):
                pyro.sample(f"z_{t}", dist.Categorical(logits=torch.zeros(3)), infer={"enumerate": "parallel"})

    with pytest.raises(ContractError, match="share a dimension; leave them to the model"):
        pv.objectives.get("elbo").loss(steps, guessing, x=x)


# ------------------------------------------------------------------------------------------------ arguments and names
def test_the_rows_numbers_are_given_to_programs_that_name_them_alone():
    seen = {}

    def open_model(x, **others):
        seen["others"] = set(others)
        model(x)

    def naming(x, index):
        seen["index"] = index
        guide(x)

    batch = {"x": X, "c": X, "index": torch.arange(6)}
    check_batch(as_pair((open_model, naming)), batch)
    assert seen["others"] == {"c"} and seen["index"].dtype == torch.int64


def test_arguments_by_position_only_are_refused():
    def by_position(x, /):
        model(x)

    with pytest.raises(ContractError, match="by_position takes x by position only; take the / off"):
        check_batch(as_pair((by_position, guide)), {"x": X})


def observing(name, make):
    def run(**batch):
        x = next(iter(batch.values()))
        with pyro.plate("rows", len(x)):
            z = pyro.sample("z", dist.Normal(0.0, 1.0).expand([1]).to_event(1))
            value = make(batch)
            pyro.sample(name, dist.Normal(z.expand(*z.shape[:-1], value.shape[-1]), 0.7).to_event(1), obs=value)

    return run


def guide_of_any(**batch):
    x = next(iter(batch.values()))
    with pyro.plate("rows", len(x)):
        pyro.sample("z", dist.Normal(torch.zeros(len(x), 1), 0.4).to_event(1))


@pytest.mark.parametrize(
    "make",
    [
        lambda batch: batch["counts"],
        lambda batch: batch["counts"].reshape(-1, 3),
        lambda batch: batch["counts"].double(),
        lambda batch: batch["counts"][:, 1:],
        lambda batch: batch["counts"].flip(0).flip(0),
    ],
)
def test_an_observed_site_belongs_to_the_key_whose_values_it_is_given(make):
    pair, batch = (observing("obs", make), guide_of_any), {"counts": X, "other": torch.randn(6, 3)}
    check_batch(as_pair(pair), batch)
    held = torch.randn(2, make(batch).shape[-1]).float()
    assert torch.equal(
        pv.sample(pair, 2, given={"z": torch.zeros(1), "obs": held}, like={"other": X[:1]})["obs"].float(), held
    )


def test_values_of_no_key_and_of_anothers_are_refused_and_told_ones_are_taken():
    batch = {"x": X, "y": torch.randn(6, 3)}
    exponents = observing("obs", lambda batch: batch["x"].exp())
    with pytest.raises(ContractError, match="'obs' bears no key .* values that are no key's; .* sites={'obs': 'x'}"):
        check_batch(as_pair((exponents, guide_of_any)), batch)
    check_batch(as_pair(pv.Pair(exponents, guide_of_any, sites={"obs": "x"})), batch)
    with pytest.raises(ContractError, match="site 'y' of .* is given the values of 'x', while 'y' is a key"):
        check_batch(as_pair((observing("y", lambda batch: batch["x"]), guide_of_any)), batch)
    with pytest.raises(ContractError, match="'obs' has the values of x and of y"):
        check_batch(as_pair((observing("obs", lambda batch: 1 * batch["x"]), guide_of_any)), {"x": X, "y": X.clone()})
    for sites in ({"obs": "z"}, {"oops": "x"}):
        with pytest.raises(pv.errors.OptionError, match="sites="):
            check_batch(as_pair(pv.Pair(exponents, guide_of_any, sites=sites)), batch)


def test_a_factor_of_the_guide_on_a_drawn_site_has_the_gradient_of_its_expectation():
    """E_q[log p - log q - f(k)] by enumeration of k, f of the draw and of the guide's parameter."""
    a, x = torch.tensor(0.5, requires_grad=True), torch.tensor([0.4, -1.2])

    def model(x):
        with pyro.plate("data", len(x), dim=-1):
            k = pyro.sample("k", dist.Bernoulli(logits=torch.tensor(0.3)))
            pyro.sample("x", dist.Normal(2 * k - 1, 1.0), obs=x)

    def guide(x):
        with pyro.plate("data", len(x), dim=-1):
            k = pyro.sample("k", dist.Bernoulli(logits=a * x))
            pyro.factor("f", 3 * (k - 0.2).square() + 1.7 * k * a, has_rsample=False)

    truth = torch.zeros(())
    for k in (torch.zeros(2), torch.ones(2)):
        log_q = dist.Bernoulli(logits=a * x).log_prob(k)
        log_p = dist.Bernoulli(logits=torch.tensor(0.3)).log_prob(k) + dist.Normal(2 * k - 1, 1.0).log_prob(x)
        truth = truth + (log_q.exp() * (log_p - log_q - 3 * (k - 0.2).square() - 1.7 * k * a)).sum()
    (expected,) = torch.autograd.grad(truth, a)
    torch.manual_seed(0)
    objective, grads = pv.objectives.ELBO(num_particles=2000), []
    for _ in range(30):
        (grad,) = torch.autograd.grad(objective.differentiable_loss(model, guide, x=x), a)
        grads.append(-grad)
    found = torch.stack(grads)
    assert abs(found.mean() - expected) < 4 * found.std() / len(found) ** 0.5
