"""pyrovae's metadata. ``models/`` and ``guides/`` at the top level install as ``pyrovae.models`` and ``pyrovae.guides``."""

from pathlib import Path

from setuptools import setup

# found by mapping: top-level packages called "models" and "guides" would be in everybody's way
ROOM = {"pyrovae": "pyrovae", "pyrovae.models": "models", "pyrovae.guides": "guides"}
PACKAGES = {
    ".".join([name, *folder.relative_to(top).parts]): str(folder)
    for name, top in ROOM.items()
    for folder in sorted(init.parent for init in Path(top).rglob("__init__.py"))
}

setup(
    name="pyrovae",
    version="0.2.0",
    description="Variational autoencoders as pairs of Pyro programs: training, log p(x), generation and pictures for any pair",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=list(PACKAGES),
    package_dir=PACKAGES,
    package_data={
        "pyrovae": ["py.typed", "__init__.pyi"],
        "pyrovae.objectives": ["README.md"],
        "pyrovae.report": ["page.html.jinja"],
    },
    install_requires=[
        "torch>=2.4",
        "pyro-ppl>=1.9.1",
        "numpy>=1.24",
        "pandas>=2.1",
        "h5py>=3.8",  # through which ArviZ writes netCDF
        "arviz>=0.18,<1.0",  # 1.0 replaced InferenceData by xarray's DataTree
        "matplotlib>=3.7",
        "safetensors>=0.4.3",
        "scikit-learn>=1.2",
        "scipy>=1.10",
        "jsonargparse[signatures]>=4.35",  # brings docstring-parser
        "PyYAML>=6.0.1",
        "jinja2>=3.1",
        "pooch>=1.8",
        "lazy_loader>=0.3",
        "tqdm>=4.65",
        "zuko>=1.3",
    ],
    extras_require={
        "tensorboard": ["tensorboard>=2.14"],
        "distributed": ["lightning-fabric>=2.2"],
        "text": ["tokenizers>=0.15"],  # subwords
        "tables": ["palmerpenguins>=0.1.4", "statsmodels>=0.14"],  # tables that a benchmark imputes
        "test": [
            "lightning-fabric>=2.2",
            "mypy>=1.11",
            "pytest>=8.0",
            "pytest-xdist>=3.5",
            "ruff>=0.6",
            "setuptools>=77",
            "wheel>=0.43",
        ],
    },
    entry_points={"console_scripts": ["pyrovae = pyrovae.cli:main"]},
    classifiers=[
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
