"""Clusters take the label of the one datum that is most probably in them, and heads are pushed apart."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
import pytest
import torch

import pyrovae as pv
from pyrovae.errors import ContractError, DataError
from pyrovae.objectives.adversarial_classes import spread


class Thirds(torch.nn.Module):
    """q(k | x) of three clusters, told by x itself, (B, 3)."""

    def forward(self, x):
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("k", dist.OneHotCategorical(probs=x), infer={"enumerate": "parallel"})


class Told(torch.nn.Module):
    """p(k) p(x | k)."""

    def forward(self, x):
        with pyro.plate("data", len(x), dim=-1):
            k = pyro.sample("k", dist.OneHotCategorical(logits=x.new_zeros(3)))
            pyro.sample("x", dist.Normal(k, 1.0).to_event(1), obs=x)


def test_a_cluster_takes_the_label_of_its_most_probable_datum():
    # of cluster 0 the surest datum is a 1, of cluster 1 a 0, of cluster 2 a 1
    labelled = {"x": torch.tensor([[0.8, 0.1, 0.1], [0.6, 0.3, 0.1], [0.1, 0.7, 0.2], [0.2, 0.2, 0.6]])}
    labelled["y"] = torch.tensor([1, 0, 0, 1])
    data = {"x": torch.tensor([[0.5, 0.2, 0.3], [0.3, 0.4, 0.3], [0.1, 0.8, 0.1]]), "y": torch.tensor([1, 0, 0])}
    found = pv.classify_clusters((Told(), Thirds()), data, labelled)
    torch.testing.assert_close(found.probabilities, torch.tensor([[0.2, 0.8], [0.4, 0.6], [0.8, 0.2]]))
    assert found.correct.tolist() == [True, False, True]  # clusters 0 and 2 together outweigh 1 in the second


def test_what_clusters_cannot_be_named_by_is_refused(digits):
    pair = pv.pairs.aae_cluster(digits.spec, num_clusters=3, latent_dim=2, hidden=[8], discriminator_hidden=6)
    with pytest.raises(DataError, match="labelled: no labels y, by which clusters are named"):
        pv.classify_clusters(pair, digits.test, {"x": digits.valid["x"][:5]})
    with pytest.raises(ContractError, match="no latent site 'k', so it has no classifier"):
        pv.classify_clusters(pv.pairs.m2(digits.spec, hidden=[8]), digits.test, digits.valid)
    assert pv.evaluate(pair, digits.test[:20]).classification is None  # clusters are no classes


def test_heads_are_pushed_apart_and_no_further_and_the_map_is_z_beside_them(digits):
    torch.manual_seed(0)
    sizes = {"latent_dim": 2, "num_clusters": 4, "hidden": [8], "discriminator_hidden": 6, "head_distance": 4.0}
    pair = pv.pairs.aae_cluster(digits.spec, **sizes)
    heads = pair.model.decoder.heads
    optimizer = torch.optim.SGD([heads], 0.05)
    for _ in range(200):  # as the update "separate" alone would
        optimizer.zero_grad()
        (-spread(heads, 4.0)).backward()
        optimizer.step()
    apart = torch.pdist(heads.detach())
    assert float(apart.min()) > 3.9 and float(apart.max()) < 8.0
    z, k = torch.randn(5, 2), torch.eye(4)[torch.tensor([0, 1, 2, 3, 0])]
    torch.testing.assert_close(pair.model.decoder.place(z, k).detach(), z + heads.detach()[k.argmax(-1)])
    assert pv.class_samples(pair, 3, site="k").shape == (4, 3, 8, 8)
