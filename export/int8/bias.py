"""Bias correction: what rounding shifts an output by on average is taken back through the bias.

Nagel et al. 2019, arXiv:1906.04721, section 4.2, with the mean measured on calibration images.
"""

from __future__ import annotations

import numpy as np

from .canonical import Float


def mean_shift(exact: Float, rounded: Float) -> Float:
    """What to add to the bias, (G · N,): the mean over the sample of the exact outputs less the rounded ones.

    Args:
        exact: (G, R, N), the float layer's outputs on the sampled rows.
        rounded: (G, R, N), those of the 8-bit layer.
    """
    shift: Float = (exact - rounded).mean(axis=1, dtype=np.float64).astype(np.float32).ravel()
    return shift
