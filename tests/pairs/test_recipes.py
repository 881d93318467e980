"""The form of a recipe: one stem for one thing, a short body of parts, and a new one that needs no edit anywhere else."""

from __future__ import annotations

import ast
import inspect
import json
import sys
import textwrap
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import test_catalogue as suite
import tiny_pairs

import pyrovae as pv
from pyrovae import guides, models, registry
from pyrovae.cli import main
from pyrovae.cli.listing import as_markdown, family_rows
from pyrovae.errors import OptionError
from pyrovae.pairs.catalogue import CATALOGUE
from pyrovae.pairs.catalogue import recipe as enter

ROOT = Path(__file__).parent.parent.parent
FILES = {room: sorted((ROOT / room).glob("*/[a-z]*.py")) for room in ("pyrovae/pairs", "models", "guides", "tests/pairs")}
RECIPES = {(path.parent.name, path.stem): path for path in FILES["pyrovae/pairs"]}
MOST_LINES_OF_A_BODY = 15


def functions(path):
    return [node for node in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(node, ast.FunctionDef)]


@pytest.mark.parametrize("path", RECIPES.values(), ids=lambda path: path.stem)
def test_a_recipes_file_has_its_stem_and_one_short_body_and_imports_no_other(path):
    (function,) = functions(path)
    assert function.name == path.stem and pv.pairs.get(path.stem.replace("_", "-")).family == path.parent.name
    first = function.body[1]  # after the docstring
    code = path.read_text(encoding="utf-8").splitlines()[first.lineno - 1 : function.end_lineno]
    assert len([line for line in code if line.strip() and not line.strip().startswith("#")]) <= MOST_LINES_OF_A_BODY
    imported = {
        node.module for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.ImportFrom)
    }
    assert not {module for module in imported if module.startswith("pyrovae.pairs.") and module.count(".") > 2}


@pytest.mark.parametrize("room", ["models", "guides"])
def test_models_and_guides_have_the_stem_of_their_one_class(room):
    package, families = {"models": models, "guides": guides}[room], {family for family, _ in RECIPES}
    for path in FILES[room]:
        (name,) = [node.name for node in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(node, ast.ClassDef)]
        assert name.lower() == path.stem.replace("_", ""), path
        assert getattr(package, name).__module__ == f"pyrovae.{room}.{path.parent.name}.{path.stem}"
        variants = [stem for family, stem in RECIPES if path.parent.name == family and f"_{path.stem}".endswith(f"_{stem}")]
        assert path.parent.name in families if room == "guides" else variants, path
    assert set(dir(package)) >= set(package.__all__)


def test_tests_of_pairs_have_the_stem_of_a_recipe():
    tests = {(path.parent.name, path.stem.removeprefix("test_")) for path in FILES["tests/pairs"]}
    assert tests <= RECIPES.keys()


# ------------------------------------------------------------------------------------------------ a new recipe
NEW = '''
"""A VAE of two Gaussians, for a test."""

from pyrovae import guides, models
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.tiny import tiny
from pyrovae.parts import Dense


@recipe("Nobody", "A New Paper", 2031, objective="iwae:num_particles=2", tiny=[tiny("digits", latent_dim=2, hidden=[9])])
def brand_new(spec, *, latent_dim: int = 5, dense: Dense = Dense()):
    """A brand new pair."""
    guide = guides.DiagonalGaussian(dense.encoder(2 * latent_dim))
    return models.VAE(*dense.decoder(latent_dim), latent_dim), guide


def plain(spec, latent_dim: int = 5):
    return brand_new(spec, latent_dim=latent_dim, hidden=[9])
'''


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package that announces a recipe by an entry point."""
    folder = tmp_path / "newcomers" / "novel"
    folder.mkdir(parents=True)
    (folder / "brand_new.py").write_text(NEW.lstrip())
    (folder / "__init__.py").write_text('"""Pairs that are new."""\n')
    (folder.parent / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    yield [EntryPoint("brand-new", "newcomers.novel.brand_new:brand_new", "pyrovae.pairs")]
    CATALOGUE.entries.pop("brand-new", None)
    for name in ("newcomers.novel.brand_new", "newcomers.novel", "newcomers"):
        sys.modules.pop(name, None)


@pytest.fixture
def announced(package, monkeypatch):
    monkeypatch.setattr(registry.importlib.metadata, "entry_points", lambda group: package)


def test_a_new_recipe_needs_no_edit_anywhere_else(announced, capsys, tmp_path):
    (row,) = [row for row in tiny_pairs.rows_of(CATALOGUE.values()) if row[0] == "brand-new"]
    suite.test_check_passes_the_facts_hold_and_every_parameter_gets_a_gradient(row)
    fitted = suite.fit_row(row, tmp_path)
    for test in (suite.test_its_bound_rises_and_is_estimated, suite.test_it_reconstructs_and_generates):
        test(fitted)
    suite.test_it_is_saved_and_loaded(fitted)
    assert main(["list", "--json"]) == 0
    listed = {each["name"]: each for each in json.loads(capsys.readouterr().out)["pairs"]}
    assert set(listed) == set(CATALOGUE) and listed["brand-new"]["family"] == "novel"
    assert listed["brand-new"]["options"]["hidden"] == [200, 200] and listed["brand-new"]["sites"] == ["z"]
    assert main(["list"]) == 0 and "Nobody, A New Paper (2031)" in capsys.readouterr().out
    assert "## novel\n\nPairs that are new. 1 in all.\n" in as_markdown()
    assert (
        "| `brand-new` | A brand new pair. | Nobody, A New Paper, 2031 | any | `z` | yes | `iwae:num_particles=2` |"
        in as_markdown()
    )
    assert "| [novel](docs/catalogue.md#novel) | 1 | `brand-new` |" in family_rows()


def test_train_finds_pairs_of_other_packages_by_name_and_by_path(announced, capsys):
    short = "--epochs 1 --latent_dim 2 --progress false --tensorboard false --compile false"
    assert main(f"train brand-new --hidden [9] {short} --out runs/named".split()) == 0, capsys.readouterr().err
    assert pv.load("runs/named").pair.recipe["name"] == "brand-new"
    assert main(f"train newcomers.novel.brand_new:plain {short}".split()) == 0, capsys.readouterr().err
    assert main(["evaluate", "runs/brand_new", "--pair", "newcomers.novel.brand_new:plain", "--num_samples", "2"]) == 0
    assert main(f"train brand-newer {short}".split()) == 2 and "did you mean 'brand-new'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("nowhere.at_all:build", "no module 'nowhere.at_all' (from 'nowhere.at_all:build') can be imported from here"),
        (
            "newcomers.novel.brand_new:plane",
            "no function of newcomers.novel.brand_new is called 'plane'; did you mean 'plain'",
        ),
        ("newcomers.broken:build", "newcomers.broken does not load: line 2: ZeroDivisionError"),
        ("newcomers.lacking:build", "newcomers.lacking does not load: No module named 'not_installed'"),
    ],
)
def test_what_cannot_be_imported_is_said_in_one_sentence(package, capsys, spec, message):
    Path("newcomers/broken.py").write_text("a = 1\nb = a / 0\n")
    Path("newcomers/lacking.py").write_text("import not_installed\n")
    assert main(["check", spec]) == 2
    assert message in capsys.readouterr().err


def test_two_recipes_of_one_name_are_refused():
    def vae(spec, *, latent_dim: int = 5):
        """Another one."""

    with pytest.raises(OptionError, match="two recipes are called 'vae': pyrovae.pairs.basic.vae and "):
        enter("Nobody", "Nothing", 2031, tiny=[])(vae)


def test_every_option_of_every_recipe_is_documented_once():
    for name, each in CATALOGUE.items():
        documented = textwrap.dedent(inspect.getdoc(each.build).partition("\nArgs:\n")[2].partition("\n\n")[0])
        entries = [line.partition(":")[0] for line in documented.splitlines() if line and not line.startswith(" ")]
        assert entries == list(each.__signature__.parameters), name
