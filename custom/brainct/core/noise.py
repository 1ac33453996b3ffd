"""Random numbers that follow from a secret, for noise that nobody without the secret can remove."""

import hashlib

import numpy as np
from scipy.special import ndtri


def uniform(secret: bytes, count: int) -> np.ndarray:
    """Independent values of (0, 1) that follow from the secret and can't be told from it: 53 bits each of SHAKE-256.

    A usual generator would not do: where an update is 0 its noise is seen, and from enough of that such a generator's
    state is found.
    """
    bits = np.frombuffer(hashlib.shake_256(secret).digest(8 * count), dtype="<u8") >> 11
    return (bits.astype(np.float64) + 0.5) / 2.0**53


def gaussian(secret: bytes, count: int) -> np.ndarray:
    """Independent standard normal values that follow from the secret and can't be told from it."""
    values: np.ndarray = ndtri(uniform(secret, count))
    return values
