"""Numbers that can be added up before anyone sees them: fixed point, and masks that cancel in the sum of all.

Bonawitz, Ivanov, Kreuter, Marcedone, McMahan, Patel, Ramage, Segal, Seth: Practical Secure Aggregation for
Privacy-Preserving Machine Learning, CCS 2017, section 4.0.1: the masks of pairs. All arithmetic is modulo 2^64, so that
a sum is exact: it does not depend on the masks, nor on the order of the sites.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from numpy.typing import NDArray
from torch import Tensor

from brainct.errors import Refused
from brainct.weights import Weights

BITS = 32
"""Binary digits after the point: a value is rounded to the nearest multiple of 2^-32."""
Words = NDArray[np.uint64]


def public_key(private: bytes) -> str:
    """The X25519 public key that belongs to 32 private bytes, in 64 hex digits."""
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw().hex()


def is_key(value: object) -> bool:
    """Whether it looks like what `public_key` gives."""
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None


def fixed(weights: Weights, share: float, sites: int) -> dict[str, Tensor]:
    """share * weights in fixed point, int64 of the same shapes; refuses what could overflow in a sum over the sites."""
    most = 2.0 ** (62 - BITS) / sites
    return {key: _fixed(value.double() * share, most, f"tensor {key}") for key, value in weights.items()}


def _fixed(value: Tensor, most: float, what: str) -> Tensor:
    largest = float(value.abs().max()) if value.numel() else 0.0
    if not largest < most:
        raise Refused(f"{what}, times its scans, holds {largest:.3g}; a sum under masks takes less than {most:.3g}")
    return torch.round(value * 2.0**BITS).to(torch.int64)


def masked(
    weights: Weights, private: bytes, own: str, keys: Mapping[str, str], words: Sequence[str | int]
) -> dict[str, Tensor]:
    """The int64 tensors plus this site's masks, modulo 2^64: alone they look like noise; over all sites masks cancel.

    keys: public key of each site whose values are added, this one's among them. words: what makes this sum another one
    than all others under the same keys.
    """
    names = sorted(weights)
    flat = np.concatenate([_words(weights[key]) for key in names] or [np.empty(0, np.uint64)])
    for other in sorted(keys.keys() - {own}):
        stream = _stream(_agreed(private, keys[other], other), [*sorted(keys.items()), *words], len(flat))
        flat = flat + stream if own < other else flat - stream
    parts = np.split(flat, np.cumsum([weights[key].numel() for key in names])[:-1]) if names else []
    return {key: _tensor(part, weights[key].shape) for key, part in zip(names, parts, strict=True)}


def mean(masked: Sequence[Weights], shares: float, like: Weights) -> dict[str, Tensor]:
    """The sum of fixed-point values whose masks cancel, over all shares, in like's dtypes; integers are rounded."""
    return {key: _cast(value / shares, like[key].dtype) for key, value in total(masked).items()}


def _cast(value: Tensor, dtype: torch.dtype) -> Tensor:
    return value.to(dtype) if dtype.is_floating_point else value.round().to(dtype)


def total(masked: Sequence[Weights]) -> dict[str, Tensor]:
    """The sum of fixed-point values whose masks cancel, as float64."""
    return {key: _sum([_words(weights[key]) for weights in masked], value.shape) for key, value in masked[0].items()}


def _sum(parts: Sequence[Words], shape: torch.Size) -> Tensor:
    words = np.zeros_like(parts[0])
    for part in parts:
        words = words + part
    return _tensor(words, shape).double() * 2.0**-BITS


def _words(value: Tensor) -> Words:
    return value.detach().cpu().contiguous().reshape(-1).numpy().view(np.uint64)


def _tensor(words: Words, shape: torch.Size) -> Tensor:
    return torch.from_numpy(words.view(np.int64).copy()).reshape(shape)


def _agreed(private: bytes, public: str, whose: str) -> bytes:
    """The secret of a pair of sites, which both derive and nobody else can."""
    try:
        return X25519PrivateKey.from_private_bytes(private).exchange(
            X25519PublicKey.from_public_bytes(bytes.fromhex(public))
        )
    except ValueError:
        raise Refused(
            f"the public key of {whose} is no X25519 key; did the server pass on what that site sent?"
        ) from None


def _stream(secret: bytes, words: Sequence[object], count: int) -> Words:
    """(count,) words of ChaCha20 under a key that HKDF-SHA256 makes of a pair's secret and the words."""
    context = hashlib.sha256(json.dumps(words).encode()).digest()
    key = HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=b"brainct masks" + context).derive(secret)
    stream = Cipher(algorithms.ChaCha20(key, bytes(16)), mode=None).encryptor().update(bytes(8 * count))
    return np.frombuffer(stream, "<u8")
