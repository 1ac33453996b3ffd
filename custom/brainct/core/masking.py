"""Masked numbers that can be summed unseen: fixed point, masks that cancel in pairs, and each site's own mask.

Bonawitz, Ivanov, Kreuter, Marcedone, McMahan, Patel, Ramage, Segal, Seth: Practical Secure Aggregation for
Privacy-Preserving Machine Learning, CCS 2017, sections 4.0.1 and 4.0.2: double masking. All arithmetic is modulo 2^64,
so that a sum is exact: it does not depend on the masks, nor on the order of the sites.
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

from brainct.core.weights import Weights
from brainct.errors import Refused

BITS = 32
"""Binary digits after the point: a value is rounded to the nearest multiple of 2^-32."""
Words = NDArray[np.uint64]


def public_key(private: bytes) -> str:
    """The X25519 public key that belongs to 32 private bytes, in 64 hex digits."""
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw().hex()


def is_key(value: object) -> bool:
    """Whether it has the form of what `public_key` gives."""
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None


def to_fixed_point(weights: Weights, share: float, sites: int) -> dict[str, Tensor]:
    """share * weights in fixed point, int64 of the same shapes; Refused if a sum over the sites could overflow."""
    most = 2.0 ** (62 - BITS) / sites
    return {key: _fixed(value.double() * share, most, f"tensor {key}") for key, value in weights.items()}


def _fixed(value: Tensor, most: float, what: str) -> Tensor:
    largest = float(value.abs().max()) if value.numel() else 0.0
    if not largest < most:
        raise Refused(f"{what}, times its scans, holds {largest:.3g}; a sum under masks takes less than {most:.3g}")
    return torch.round(value * 2.0**BITS).to(torch.int64)


def masked(
    weights: Weights,
    private: bytes,
    seed: bytes,
    own: str,
    keys: Mapping[str, str],
    words: Sequence[str | int],
) -> dict[str, Tensor]:
    """The int64 tensors plus this site's masks, modulo 2^64: noise to everyone without its seed.

    private, seed: 32 bytes each, of this sum alone. keys: public key of each site of the sum, this one included. words:
    different for each sum under the same keys, such as a digest of what sites were given: the masks of a pair cancel
    only if both sites use the same words.
    """
    flat = _flat(weights) + _expanded(seed, sum(value.numel() for value in weights.values()))
    for other in sorted(keys.keys() - {own}):
        stream = _stream(shared_secret(private, keys[other], other), _context(keys, words), len(flat))
        flat = flat + stream if own < other else flat - stream
    return _parts(flat, weights)


def total(
    masked: Mapping[str, Weights],
    seeds: Mapping[str, bytes],
    lost: Mapping[str, bytes],
    keys: Mapping[str, str],
    words: Mapping[str, Sequence[str | int]],
) -> dict[str, Tensor]:
    """The sum of the masked values, as float64, after the sites' own masks and those of lost sites are removed.

    seeds: of each site in the sum. lost: the private key of each site that shares masks with them and sent nothing.
    keys, words: as each site in the sum used them.
    """
    like = next(iter(masked.values()))
    numbers = sum(value.numel() for value in like.values())
    flat = np.zeros(numbers, np.uint64)
    for site, weights in sorted(masked.items()):
        flat = flat + _flat(weights) - _expanded(seeds[site], numbers)
        for gone, private in sorted(lost.items()):
            stream = _stream(shared_secret(private, keys[site], site), _context(keys, words[site]), numbers)
            flat = flat - stream if site < gone else flat + stream
    return {key: value.double() * 2.0**-BITS for key, value in _parts(flat, like).items()}


def mean_of_sum(total: Weights, shares: float, like: Weights) -> dict[str, Tensor]:
    """The sum divided by all shares, in like's dtypes; integers are rounded."""
    return {key: _cast(value / shares, like[key].dtype) for key, value in total.items()}


def _cast(value: Tensor, dtype: torch.dtype) -> Tensor:
    return value.to(dtype) if dtype.is_floating_point else value.round().to(dtype)


def _flat(weights: Weights) -> Words:
    """All tensors, by name, in a row."""
    return np.concatenate([_words(weights[key]) for key in sorted(weights)] or [np.empty(0, np.uint64)])


def _parts(flat: Words, like: Weights) -> dict[str, Tensor]:
    """The inverse of `_flat`."""
    names = sorted(like)
    parts = np.split(flat, np.cumsum([like[key].numel() for key in names])[:-1]) if names else []
    return {key: _tensor(part, like[key].shape) for key, part in zip(names, parts, strict=True)}


def _words(value: Tensor) -> Words:
    return value.detach().cpu().contiguous().reshape(-1).numpy().view(np.uint64)


def _tensor(words: Words, shape: torch.Size) -> Tensor:
    return torch.from_numpy(words.view(np.int64).copy()).reshape(shape)


def shared_secret(private: bytes, public: str, whose: str) -> bytes:
    """The secret of a pair of sites, which only these two can derive."""
    try:
        return X25519PrivateKey.from_private_bytes(private).exchange(
            X25519PublicKey.from_public_bytes(bytes.fromhex(public))
        )
    except ValueError:
        raise Refused(
            f"the public key of {whose} is not an X25519 key; did the server change what that site sent?"
        ) from None


def _context(keys: Mapping[str, str], words: Sequence[str | int]) -> bytes:
    return hashlib.sha256(json.dumps([*sorted(keys.items()), *words]).encode()).digest()


def _stream(secret: bytes, context: bytes, count: int) -> Words:
    """(count,) words of ChaCha20 under a key that HKDF-SHA256 derives from a pair's secret and the sum's context."""
    derived = HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=b"brainct masks" + context).derive(secret)
    return _expanded(derived, count)


def _expanded(key: bytes, count: int) -> Words:
    """(count,) words of ChaCha20 under a key that is used once."""
    stream = Cipher(algorithms.ChaCha20(key, bytes(16)), mode=None).encryptor().update(bytes(8 * count))
    return np.frombuffer(stream, "<u8")
