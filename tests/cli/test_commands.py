"""The installed command, as a user types it: each command works, and bad input ends with code 2 and one message."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

from pyrovae import load, log_evidence
from pyrovae.cli import main
from pyrovae.errors import RunError

MY_PAIR = textwrap.dedent('''
    import pyro, pyro.distributions as dist, torch
    from torch import nn

    class Model(nn.Module):
        def __init__(self, latent_dim, data_dim):
            super().__init__()
            self.decoder = nn.Linear(latent_dim, data_dim)

        def forward(self, x):
            with pyro.plate("data", x.shape[0], dim=-1):
                z = pyro.sample("z", dist.Normal(x.new_zeros(self.decoder.in_features), 1.0).to_event(1))
                pyro.sample("x", dist.Normal(self.decoder(z), 1.0).to_event(1), obs=x)

    class Guide(nn.Module):
        def __init__(self, latent_dim, data_dim):
            super().__init__()
            self.encoder = nn.Linear(data_dim, latent_dim)

        def forward(self, x):
            with pyro.plate("data", x.shape[0], dim=-1):
                pyro.sample("z", dist.Normal(self.encoder(x), 0.5).to_event(1))

    def build(spec, latent_dim: int = 2):
        """My pair.

        Args:
            latent_dim: size of z
        """
        return Model(latent_dim, *spec.shape), Guide(latent_dim, *spec.shape)

    def crash(spec):
        return undefined_name

    def outside(spec):
        def model(x):
            pyro.sample("z", dist.Normal(0.0, 1.0))
        return model, model
''')


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """A folder with a trained run, a pair of the user's own, and good and bad data."""
    folder = tmp_path_factory.mktemp("cli")
    (folder / "my_pair.py").write_text(MY_PAIR)
    (folder / "broken.py").write_text("import pyro\nx = 1 +\n")
    (folder / "raises.py").write_text("def build(spec): pass\n\nraise RuntimeError('no')\n")
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(200, 2)) @ rng.normal(size=(2, 5)) + 0.3 * rng.normal(size=(200, 5))).astype("float32")
    np.savez(folder / "my.npz", x=x)
    np.save(folder / "nan.npy", np.where(np.arange(200)[:, None] == 7, np.nan, x))
    np.save(folder / "empty.npy", x[:0])
    np.save(folder / "grey.npy", rng.random((100, 8, 8)).astype("float32"))
    (folder / "torn.npz").write_bytes((folder / "my.npz").read_bytes()[:500])
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        line = "train vae --latent_dim 2 --hidden [20] --epochs 3 --progress false --out runs/vae"
        assert main(line.split()) == 0
    return folder


def pyrovae(line, folder, **options):
    """Run the installed console script."""
    command = [str(Path(sys.executable).with_name("pyrovae")), *line.split()]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "XDG_CACHE_HOME": str(folder / "cache")}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=120, **options)


def run_main(line, folder, monkeypatch, capsys):
    """The same in this process, for the many bad inputs."""
    monkeypatch.chdir(folder)
    code = main(line.split())
    return code, capsys.readouterr()


def test_train_says_what_it_did_and_leaves_a_run_folder(here):
    assert {p.name for p in (here / "runs/vae").iterdir()} >= {"config.json", "metrics.csv", "checkpoint.safetensors"}
    config = json.loads((here / "runs/vae/config.json").read_text())
    assert config["pair"] == {"name": "vae", "options": {**config["pair"]["options"], "latent_dim": 2, "hidden": [20]}}
    assert config["data"]["spec"]["binarization"] == "dynamic"
    assert config["fit"]["objective"]["name"] == "elbo" and config["fit"]["objective"]["num_particles"] == 1


def test_evaluate_sample_report_to_arviz_resume(here, monkeypatch, capsys):
    code, out = run_main("evaluate runs/vae --num_samples 20", here, monkeypatch, capsys)
    figures = json.loads((here / "runs/vae/evaluation.json").read_text())
    assert code == 0 and "log p(x) = " in out.out and "+-" in out.out
    assert figures["num_data"] == 250 and figures["num_samples"] == 20 and figures["log_evidence"] > figures["elbo"]

    assert run_main("sample runs/vae --num 9 --out samples.png", here, monkeypatch, capsys)[0] == 0
    assert matplotlib.image.imread(here / "samples.png").std() > 0.05
    assert run_main("sample runs/vae --num 9 --out samples.npz --mean false", here, monkeypatch, capsys)[0] == 0
    with np.load(here / "samples.npz") as arrays:
        assert arrays["x"].shape == (9, 8, 8) and set(np.unique(arrays["x"])) <= {0.0, 1.0}

    assert run_main("report runs/vae", here, monkeypatch, capsys)[0] == 0
    page = (here / "runs/vae/report.html").read_text()
    assert page.count("data:image/png;base64") >= 5 and "log p(x)" in page and "<script" not in page
    assert len(list((here / "runs/vae/pictures").glob("*.png"))) >= 5

    assert run_main("to-arviz runs/vae --out run.nc --num_samples 5 --num_data 4", here, monkeypatch, capsys)[0] == 0
    assert (here / "run.nc").stat().st_size > 1000

    assert run_main("resume runs/vae --epochs 4", here, monkeypatch, capsys)[0] == 0
    assert len((here / "runs/vae/metrics.csv").read_text().splitlines()) == 5


def test_a_pair_of_the_users_own(here, monkeypatch, capsys):
    """Trained by one process, and run by others."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(here / "cache"))
    done = pyrovae("train my_pair.py:build --data my.npz --latent_dim 3 --epochs 2 --out runs/mine", here)
    assert done.returncode == 0 and "pyrovae report runs/mine\n" in done.stdout and "changed" not in done.stderr, done.stderr
    for line, said in [
        ("check my_pair.py:build --data my.npz", "latent z (2,): Normal, reparameterized, analytic KL"),
        ("evaluate runs/mine --num_samples 10", "z: "),
        ("resume runs/mine --epochs 3", "Run(3 epochs, finished"),
        ("report runs/mine --pair my_pair.py:build", "report.html"),
    ]:
        code, out = run_main(line, here, monkeypatch, capsys)
        assert code == 0 and said in out.out, (line, out.out, out.err)
        assert "changed" not in out.err and "is not what it was" not in out.err


def test_a_users_file_is_run_again_only_as_it_was(here, monkeypatch, capsys, tmp_path):
    """What a run remembers of a file, and who may have it executed."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    file, mine = here / "own.py", here / "runs/own"
    file.write_text(MY_PAIR)
    assert (
        run_main("train own.py:build --data my.npz --latent_dim 3 --epochs 1 --out runs/own", here, monkeypatch, capsys)[0]
        == 0
    )
    recipe = json.loads((mine / "config.json").read_text())["pair"]
    assert recipe["file"] == f"{file}:build" and recipe["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    monkeypatch.chdir(tmp_path)  # wherever one stands
    run = load(mine)
    assert run.pair.recipe == recipe and log_evidence(mine, run.data, num_samples=5).value.isfinite().all()

    def refused(message):
        code, out = run_main("sample runs/own --num 1", here, monkeypatch, capsys)
        assert code == 2 and message in out.err and "--pair own.py:build" in out.err and out.err.count("\n") == 1
        with pytest.raises(RunError, match=r"pyrovae.load\(folder, pair="):
            load(mine)

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "of another user"))
    refused("with which you have not trained here")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    file.write_text(MY_PAIR + "\nraise RuntimeError('executed')\n")
    refused("has changed since")
    file.write_text(MY_PAIR + "\n# changed\n")
    code, out = run_main("sample runs/own --num 1 --pair own.py:build", here, monkeypatch, capsys)
    assert code == 0 and f"{file} is not what it was when runs/own was trained" in out.err
    file.unlink()
    refused("which is gone")
    recipe["name"] = None
    del recipe["sha256"]  # as earlier versions wrote it
    config = json.loads((mine / "config.json").read_text())
    (mine / "config.json").write_text(json.dumps({**config, "pair": {**recipe, "file": "own.py:build"}}))
    refused("never executes what lies in it")


def test_yaml_config_round_trip(here, monkeypatch, capsys):
    code, out = run_main("train vae --latent_dim 4 --hidden [11] --epochs 1 --print_config", here, monkeypatch, capsys)
    assert code == 0, out.err
    (here / "settings.yaml").write_text(out.out)
    code, out = run_main("train --config settings.yaml --out runs/from-yaml", here, monkeypatch, capsys)
    assert code == 0, out.err
    config = json.loads((here / "runs/from-yaml/config.json").read_text())
    assert config["pair"]["options"]["latent_dim"] == 4 and config["pair"]["options"]["hidden"] == [11]


def test_help_and_list(here, monkeypatch, capsys):
    for line, said in [
        ("--help", "evaluate"),
        ("train --help", "PAIR is one of"),
        ("list", "binary-mnist"),
        ("train vae --help", "epochs over which the weight of the KL, beta, grows"),
        ("--version", "pyrovae 0"),
        ("train my_pair.py:build --help", "size of z"),
        ("evaluate --help", "--num_samples"),
    ]:
        code, out = run_main(line, here, monkeypatch, capsys)
        assert code == 0 and said in " ".join(out.out.split()), line


BAD = [
    ("trian vae", "did you mean 'train'"),
    ("train", "say first which pair"),
    ("train vea", "did you mean 'vae'"),
    ("train vae --latnt_dim 3", "no option --latnt_dim; did you mean --latent_dim"),
    ("train vae --latent_dim 2.5", "--latent_dim is 2.5; expected a whole number"),
    ("train vae --lr abc", "--lr is abc; expected a number or null"),
    ("train vae --data minst", "did you mean 'mnist'"),
    ("train vae --binarization dinamic", "did you mean 'dynamic'"),
    ("train vae --data nothing.npy", "does not exist"),
    ("train vae --data nan.npy", "NaN"),
    ("train vae --data empty.npy", "empty"),
    ("train vae --data torn.npz", "torn.npz"),
    ("train vae --data grey.npy --likelihood bernoulli", "bernoulli-grey"),
    ("train vae --data my.npz --likelihood bernoulli", "does not score real data"),
    ("train conv-vae --data my.npz", "need images"),
    ("train vae --out runs/vae", "exists and is not empty"),
    ("train vae --out my.npz/run", "cannot make run folder"),
    ("train vae --objective iwe", "did you mean 'iwae'"),
    ("train vae --objective iwae:particles=3", "did you mean 'num_particles'"),
    ("train vae --optimizer Adamm", "did you mean 'Adam'"),
    ("train vae --epochs 0", "epochs is 0"),
    ("train vae --threads 0", "threads is 0"),
    ("train nofile.py:build", "no file 'nofile.py'"),
    ("train my_pair.py:biuld --data my.npz", "did you mean 'build'"),
    ("train broken.py:build", "line 2: SyntaxError"),
    ("train raises.py:build", "line 3: RuntimeError: no"),
    ("train my_pair.py:crash --data my.npz", "NameError: name 'undefined_name' is not defined"),
    ("check my_pair.py:outside --data my.npz", "site 'z' of the guide lies outside the data plate"),
    ("check my_pair.py:build --data grey.npy", "fails"),
    ("evaluate runs/none", "is no run folder"),
    ("evaluate runs/vae --split tests", "did you mean 'test'"),
    ("evaluate runs/vae --num_samples 0", "at least 1"),
    ("evaluate runs/vae --weights newest", "expected 'best' or 'last'"),
    ("sample runs/vae --num 0", "at least 1"),
    ("sample runs/vae --out samples.jpg", "expected a name that ends in .png, .npz, .gif (a film) or .mid"),
    ("sample runs/vae --out samples.gif", "none of z, x has a Boltzmann machine as prior"),
    ("sample runs/vae --out samples.gif --mean false", "leave out by_site, given, mean and num_steps"),
    ("sample runs/vae --frames 3", "samples.png is no film; leave it out, or let out end in .gif"),
    ("sample runs/vae --out no/folder/samples.png", "does not exist"),
    ("resume runs/vae --epochs -3", "epochs is -3"),
    ("train vae --config nothing.yaml", "nothing.yaml"),
]


@pytest.mark.parametrize(("line", "message"), BAD, ids=[line for line, _ in BAD])
def test_bad_input_ends_with_code_2_and_one_message(here, monkeypatch, capsys, line, message):
    before = {p: p.read_bytes() for p in here.rglob("*") if p.is_file()}
    code, out = run_main(line, here, monkeypatch, capsys)
    assert code == 2 and message in out.err, out.err
    own = [line for line in out.err.strip().splitlines() if ": x (" not in line]  # but for what the data are taken for
    assert "Traceback" not in out.err and len(own) == 1, out.err
    assert {p: p.read_bytes() for p in here.rglob("*") if p.is_file() and "__pycache__" not in p.parts} == {
        p: content for p, content in before.items() if "__pycache__" not in p.parts
    }


def test_corrupt_checkpoint_and_debug(here, monkeypatch, capsys):
    path = here / "runs/vae/checkpoint.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:100])
    try:
        code, out = run_main("evaluate runs/vae", here, monkeypatch, capsys)
        assert code == 2 and "corrupt or truncated" in out.err and "Traceback" not in out.err
        code, out = run_main("evaluate runs/vae --debug", here, monkeypatch, capsys)
        assert code == 2 and "Traceback" in out.err
    finally:
        path.write_bytes(whole)


def test_a_wheel_installs_models_and_guides_under_pyrovae(tmp_path):
    root = Path(__file__).parent.parent.parent
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run(
        [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path), str(root)],
        check=True,
        timeout=120,
    )
    (wheel,) = tmp_path.glob("pyrovae-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {
        "pyrovae/models/basic/vae.py",
        "pyrovae/guides/basic/diagonal_gaussian.py",
        "pyrovae/report/page.html.jinja",
    } <= set(names)
    assert not [name for name in names if name.startswith(("models/", "guides/", "tests/", "benchmarks/"))]
    subprocess.run([*pip, "install", "--no-deps", "--target", str(tmp_path / "site"), str(wheel)], check=True, timeout=120)
    code = "import pyrovae, pyrovae.models, pyrovae.guides; print(pyrovae.__file__, pyrovae.models.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout.split() == [str(tmp_path / f"site/pyrovae/{p}__init__.py") for p in ("", "models/")], done.stderr


def test_the_editable_install_reaches_the_working_tree():
    import pyrovae.guides
    import pyrovae.models

    root = Path(__file__).parent.parent.parent
    assert Path(pyrovae.models.__file__) == root / "models/__init__.py"
    assert Path(pyrovae.guides.__file__) == root / "guides/__init__.py"
