"""Films of a prior's Gibbs chains: their marginals by enumeration, the file and its frames."""

from __future__ import annotations

import pytest
import torch
from PIL import Image

import pyrovae as pv
from pyrovae import plots
from pyrovae.cli.pictures import draw_samples
from pyrovae.data import DataSpec
from pyrovae.distributions import RBM
from pyrovae.errors import ContractError, OptionError, RunError
from pyrovae.generate.decoding import decode
from pyrovae.generate.films import chain_film, gibbs_chain


def made(num_chains=4000):
    torch.manual_seed(0)
    pair = pv.pairs.rbm_vae(DataSpec("toy", (4, 4), "binary"), num_bits=4, num_chains=num_chains)
    with torch.no_grad():
        for p in pair.model.machine.parameters():
            p.copy_(torch.randn_like(p))
    return pair


def test_chains_come_to_the_machines_own_distribution_frame_by_frame():
    machine = made().model.machine.eval()
    prior = RBM(machine)
    with torch.no_grad():
        truth = prior.log_prob(prior.enumerate_support(expand=False)).exp()
        chain = gibbs_chain(machine, 20_000, 12, 3)
    assert chain.shape == (12, 20_000, 4)
    weights = 2 ** torch.arange(4)
    counts = (chain[-1] * weights).sum(-1).long().bincount(minlength=16) / 20_000
    order = (prior.enumerate_support(expand=False) * weights).sum(-1).long()
    z = (counts[order] - truth) / (truth * (1 - truth) / 20_000).sqrt()
    assert float(z.abs().max()) < 4
    first = (chain[0] * weights).sum(-1).long().bincount(minlength=16) / 20_000
    assert float((first[order] - truth).abs().max()) > 0.05  # at first the chains are those of an untrained machine
    same = (chain[1:] == chain[:-1]).float().mean()
    assert 0.5 < float(same) < 0.99  # and a frame goes on from the one before


def test_a_film_is_what_the_decoder_makes_of_the_chains_and_leaves_them_alone():
    pair = made(50)
    before, random = pair.model.machine.chains.clone(), torch.get_rng_state()
    film = chain_film(pair, num=3, frames=4, sweeps=2, seed=1)
    assert film.shape == (4, 3, 4, 4) and torch.equal(film, chain_film(pair, num=3, frames=4, sweeps=2, seed=1))
    assert torch.equal(pair.model.machine.chains, before) and torch.equal(torch.get_rng_state(), random)
    every = decode(pair, RBM(pair.model.machine).enumerate_support(expand=False)).flatten(1)
    assert float(torch.cdist(film.flatten(0, 1).flatten(1), every).min(1).values.max()) < 1e-5
    with pytest.raises(ContractError, match="none of z, x has a Boltzmann machine as prior"):
        chain_film(pv.pairs.vae(DataSpec("toy", (4, 4), "binary"), latent_dim=2))
    for options in ({"num": 0}, {"frames": 0}, {"sweeps": -1}):
        with pytest.raises(OptionError, match="expected a whole number of at least 1"):
            chain_film(pair, **options)


def test_a_film_is_one_file_of_all_its_frames_or_none(tmp_path):
    film = torch.zeros(3, 2, 4, 4)
    film[1:, 0, :2], film[2, 1] = 1.0, 1.0  # three frames that differ
    path = plots.save_film(film, tmp_path / "film.gif", milliseconds=200)
    with Image.open(path) as image:
        assert (image.n_frames, image.info["duration"], image.info["loop"]) == (3, 200, 0)
        shades = []
        for frame in range(3):
            image.seek(frame)
            shades.append(sum(image.convert("L").tobytes()))
    assert shades[0] < shades[1] < shades[2]
    assert [each.name for each in tmp_path.iterdir()] == ["film.gif"]
    with pytest.raises(RunError, match="does not exist"):
        plots.save_film(film, tmp_path / "no" / "film.gif")
    for bad, options in ((torch.zeros(3), {}), (film[:0], {}), (film, {"milliseconds": 0})):
        with pytest.raises(OptionError):
            plots.gif(bad, **options)


def test_the_command_writes_a_film(digits, tmp_path, capsys):
    pair = pv.pairs.rbm_vae(digits.spec, num_bits=6, num_chains=20, hidden=[])
    pv.fit(pair, digits, steps=2, progress=False, out=tmp_path / "run")
    assert draw_samples([str(tmp_path / "run"), "--num", "4", "--frames", "3", "--out", str(tmp_path / "a.gif")]) == 0
    assert "4 chains of 3 frames" in capsys.readouterr().out
    with Image.open(tmp_path / "a.gif") as image:
        assert image.n_frames >= 1 and image.format == "GIF"
