"""Bytes that tell requests apart."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def pattern(number: int) -> NDArray[np.uint8]:
    """An input of `echo` that no other number has."""
    length = 8 + number % 500
    return ((np.arange(length) * 7 + number * 31 + number // 250) % 256).astype(np.uint8)
