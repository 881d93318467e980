"""Pictures: each function returns a :class:`matplotlib.figure.Figure` of its own, outside pyplot's global state."""

from pyrovae.plots.attacks import attacks
from pyrovae.plots.curves import estimates, gap_bars, learning_curves
from pyrovae.plots.figures import BLUE, DPI, GREY, ORANGE, png, save
from pyrovae.plots.films import gif, save_film
from pyrovae.plots.images import analogies, completions, image_grid, manifold, reconstructions, traversals
from pyrovae.plots.latents import code_bars, kl_bars, latent_scatter, posterior_histograms
from pyrovae.plots.rolls import piano_rolls

__all__ = [
    "BLUE",
    "DPI",
    "GREY",
    "ORANGE",
    "analogies",
    "attacks",
    "code_bars",
    "completions",
    "estimates",
    "gap_bars",
    "gif",
    "image_grid",
    "kl_bars",
    "latent_scatter",
    "learning_curves",
    "manifold",
    "piano_rolls",
    "png",
    "posterior_histograms",
    "reconstructions",
    "save",
    "save_film",
    "traversals",
]
