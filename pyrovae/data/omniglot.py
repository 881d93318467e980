"""The two small background sets of Omniglot, split by alphabet."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import adaptive_avg_pool2d

from pyrovae.data.remote import find
from pyrovae.errors import DataError

__all__ = ["read_omniglot"]

SIDE, SHOWN = 105, 28
ALPHABETS = {"train": (0, 1, 2, 3, 4), "valid": (5,), "test": (6, 7)}
LEAST_INK = 0.2  # of a pixel of 28 x 28 that counts as ink


def read_omniglot(root: str | Path | None = None) -> dict[str, dict[str, np.ndarray]]:
    """4,840 characters of 8 alphabets, 20 drawings of each, (28, 28) of 0 and 1; y the character, ``alphabet`` its alphabet.

    Five alphabets are to train (157 characters), one to validate (26), two to test (59): no character is in two parts.
    """
    path = find("OmniglotSmall", ("omniglot_small.npz",), root)
    with np.load(path, allow_pickle=False) as file:
        if file["images"].shape[1:] != (-(-(SIDE**2) // 8),):
            raise DataError(
                f"{path} holds images {file['images'].shape}; expected packed bits of {SIDE} x {SIDE} pixels each."
            )
        bits = np.unpackbits(file["images"], axis=1, count=SIDE**2).reshape(-1, SIDE, SIDE)
        alphabet, character = file["alphabet"], file["character"].astype(np.int64)
    ink = adaptive_avg_pool2d(torch.from_numpy(bits).float().unsqueeze(1), SHOWN).squeeze(1).numpy()
    _, y = np.unique(np.stack([alphabet, character]), axis=1, return_inverse=True)
    parts = {}
    for part, chosen in ALPHABETS.items():
        rows = np.isin(alphabet, chosen)
        parts[part] = {"x": (ink[rows] > LEAST_INK).astype(np.uint8), "y": y.ravel()[rows], "alphabet": alphabet[rows]}
    return parts
