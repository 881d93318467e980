"""Images compared by their structure at several scales: an energy of pixels, and no density."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import constraints
from torch.nn.functional import avg_pool2d, conv2d

from pyrovae.errors import OptionError

__all__ = ["StructuralSimilarity", "ms_ssim", "num_scales"]

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of the scales, from the finest
DEVIATION = 1.5  # of the Gaussian window, in pixels
LUMINANCE, CONTRAST = 0.01**2, 0.03**2  # C_1 and C_2, of pixels in [0, 1]
LEAST = 1e-4  # of a factor, whose power would else have no slope, or no value


def num_scales(shape: Sequence[int], window: int) -> int:
    """How many of the five scales images of a shape (..., H, W) have: the last is the coarsest that a window fits into.

    Raises:
        OptionError: the shape is of no image, the window is no odd number above 1, or wider than the image.

    >>> num_scales((28, 28), 11), num_scales((64, 64), 11), num_scales((8, 8), 5)
    (2, 3, 1)
    """
    if isinstance(window, bool) or not isinstance(window, int) or window < 3 or window % 2 == 0:
        raise OptionError(f"window of ms-ssim is {window!r}; expected an odd whole number of at least 3, in pixels.")
    if len(shape) not in (2, 3):
        raise OptionError(f"ms-ssim compares images (H, W) or (C, H, W), and the shape of x is {tuple(shape)}; use gaussian.")
    side = min(shape[-2:])
    if side < window:
        raise OptionError(
            f"a window of {window} pixels does not fit into images of shape {tuple(shape)}; give a smaller one, as in "
            f"likelihood='ms-ssim:window={max(3, side - 1 - side % 2)}'."
        )
    return next(scale for scale in range(len(WEIGHTS), 0, -1) if side // 2 ** (scale - 1) >= window)


def ms_ssim(one: Tensor, other: Tensor, window: int = 11) -> Tensor:
    """The multi-scale structural similarity of images in [0, 1], (..., H, W), each with its own: (...), at most 1.

        MS-SSIM = l_M^w_M prod_j cs_j^w_j,   cs_j = mean of (2 s_ab + C_2) / (s_a^2 + s_b^2 + C_2) at scale j
                                             l_M = mean of l cs / cs_M,  l = (2 m_a m_b + C_1) / (m_a^2 + m_b^2 + C_1)

    m, s^2 and s_ab are means, variances and covariance in a Gaussian window of standard deviation 1.5 around each pixel that
    it fits around; scale j + 1 has the means of 2x2 pixels of scale j, without an odd last row or column. The last factor is
    the mean of l cs, the SSIM itself, as public code has it. The published weights are of five scales; of M < 5 the first M,
    divided by their sum. A factor below 0.0001, as of images that are each other's negative, counts as 0.0001.

    Args:
        one: images, (..., H, W).
        other: images, (..., H, W), whose leading axes broadcast.
        window: its width in pixels.

    Raises:
        OptionError: as of :func:`num_scales`.

    References: Wang, Simoncelli and Bovik, Multi-scale Structural Similarity for Image Quality Assessment, 2003, Eq. (7);
    Wang, Bovik, Sheikh and Simoncelli, Image Quality Assessment: From Error Visibility to Structural Similarity, 2004.

    >>> ms_ssim(torch.eye(12), torch.eye(12))
    tensor(1.)
    """
    one, other = torch.broadcast_tensors(one, other)
    shape = one.shape[:-2]
    a, b = (each.reshape(-1, 1, *each.shape[-2:]) for each in (one, other))
    scales = num_scales(one.shape[-2:], window)
    total = sum(WEIGHTS[:scales]) if scales < len(WEIGHTS) else 1.0
    weights = [weight / total for weight in WEIGHTS[:scales]]
    result = torch.ones_like(a[:, 0, 0, 0])
    for scale, weight in enumerate(weights, 1):
        luminance, structure = _parts(a, b, window)
        factor = structure if scale < scales else luminance * structure
        result = result * factor.mean((1, 2, 3)).clamp_min(LEAST) ** weight
        a, b = avg_pool2d(a, 2), avg_pool2d(b, 2)
    return result.reshape(shape)


def _parts(a: Tensor, b: Tensor, window: int) -> tuple[Tensor, Tensor]:
    """Luminance l and contrast times structure cs at each place that the window fits around, of images (n, 1, H, W)."""
    places = torch.arange(window, dtype=a.dtype, device=a.device) - window // 2
    line = torch.exp(-places.square() / (2 * DEVIATION**2))
    line = line / line.sum()
    fields = torch.cat([a, b, a * a, b * b, a * b])
    means = conv2d(conv2d(fields, line.reshape(1, 1, -1, 1)), line.reshape(1, 1, 1, -1))
    mean_a, mean_b, square_a, square_b, product = means.chunk(5)
    luminance = (2 * mean_a * mean_b + LUMINANCE) / (mean_a**2 + mean_b**2 + LUMINANCE)
    variances = (square_a - mean_a**2) + (square_b - mean_b**2)
    return luminance, (2 * (product - mean_a * mean_b) + CONTRAST) / (variances + CONTRAST)


class StructuralSimilarity(TorchDistribution):
    """Minus a weight times how unlike an image x is, in nats, (*batch_shape): an energy, **not** a density.

        -energy(x) = -weight (1 - MS-SSIM(x, image)),   of images (C, H, W) the mean over channels

    It has no normalizer, which would depend on the image; it trains, and estimators of log p(x) refuse it. ``sample`` gives
    the image itself, where the energy is least: there is no distribution to draw from.

    Args:
        image: in [0, 1], (*batch_shape, H, W) or (*batch_shape, C, H, W).
        weight: nats of an image that is nothing like x.
        window: of :func:`ms_ssim`.
        event_dim: 2 or 3, of an image.

    References: Snell et al., Learning to Generate Images with Perceptual Similarity Metrics, 2017.

    >>> fn = StructuralSimilarity(torch.rand(5, 12, 12), 100.0)
    >>> fn.log_prob(fn.mean).abs(), fn.is_density
    (tensor([0., 0., 0., 0., 0.]), False)
    """

    arg_constraints: dict[str, constraints.Constraint] = {}
    is_density = False

    def __init__(self, image: Tensor, weight: float, window: int = 11, event_dim: int = 2) -> None:
        self.image, self.weight, self.window = image, weight, window
        super().__init__(image.shape[:-event_dim], image.shape[-event_dim:], validate_args=False)

    @property
    def support(self) -> constraints.Constraint:
        """Images in [0, 1]."""
        return constraints.independent(constraints.unit_interval, len(self.event_shape))

    def expand(self, batch_shape: torch.Size, _instance: TorchDistribution | None = None) -> StructuralSimilarity:
        """The same distribution with this batch shape."""
        image = self.image.expand(*batch_shape, *self.event_shape)
        return StructuralSimilarity(image, self.weight, self.window, len(self.event_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        """Minus the energy, in nats, (*batch_shape)."""
        similarity = ms_ssim(value, self.image, self.window)
        if len(self.event_shape) == 3:
            similarity = similarity.mean(-1)
        return -self.weight * (1 - similarity)

    def sample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008 - Pyro's signature
        """The image of least energy, (*sample_shape, *batch_shape, *event_shape)."""
        return self.image.detach().expand(*sample_shape, *self.image.shape)

    @property
    def mean(self) -> Tensor:
        """The image of least energy, (*batch_shape, *event_shape)."""
        return self.image
