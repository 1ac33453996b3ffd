"""Secret sharing: any t of n shares give the secret, t - 1 reveal nothing; and boxes that one holder can open.

Shamir: How to Share a Secret, CACM 1979. Which t: Bonawitz, Ivanov, Kreuter, Marcedone, McMahan, Patel, Ramage, Segal,
Seth: Practical Secure Aggregation for Privacy-Preserving Machine Learning, CCS 2017, section 6.2.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from brainct.core.masking import shared_secret

PRIME = 2**256 + 297
"""The least prime above all secrets of 32 bytes."""
LENGTH = 33
"""Bytes of a share."""
BOX = 2 * LENGTH + 16
"""Bytes of a box: two shares and the tag of ChaCha20-Poly1305."""


def threshold(members: int) -> int:
    """t, more than two thirds: no two groups of t have fewer than a third of all in common."""
    return 2 * members // 3 + 1


def shares_of(secret: bytes, holders: int, needed: int, random: bytes) -> list[int]:
    """The shares f(1), ..., f(holders) of the 32 bytes f(0), which any `needed` of them give.

    random: at least 32 bytes that nobody else can guess, different for each secret; f follows from them.
    """
    drawn = hashlib.shake_256(random).digest(64 * (needed - 1))
    parts = [int.from_bytes(drawn[start : start + 64], "big") % PRIME for start in range(0, len(drawn), 64)]
    return [value_at([int.from_bytes(secret, "big"), *parts], x) for x in range(1, holders + 1)]


def value_at(coefficients: Sequence[int], x: int, prime: int = PRIME) -> int:
    """f(x) modulo the prime, f's constant term first."""
    value = 0
    for coefficient in reversed(coefficients):
        value = (value * x + coefficient) % prime
    return value


def at_zero(points: Mapping[int, int], prime: int = PRIME) -> int:
    """f(0) modulo the prime of the polynomial of least degree through the points x: f(x), x > 0 (Lagrange)."""
    total = 0
    for x, value in points.items():
        above = below = 1
        for other in points.keys() - {x}:
            above, below = above * other % prime, below * (other - x) % prime
        total += value * above * pow(below, -1, prime)
    return total % prime


def secret_of(points: Mapping[int, int]) -> bytes | None:
    """The secret of 32 bytes, from as many shares as are needed; None if the shares belong to no such secret."""
    found = at_zero(points)
    return found.to_bytes(32, "big") if found < 2**256 else None


def in_hex(share: int) -> str:
    """A share in hex digits, as it travels."""
    return share.to_bytes(LENGTH, "big").hex()


def is_hex(value: object, length: int) -> bool:
    """Whether it is that many bytes in hex digits."""
    return isinstance(value, str) and re.fullmatch(f"[0-9a-f]{{{2 * length}}}", value) is not None


def encrypt_shares(shares: Sequence[int], private: bytes, public: str, words: Sequence[object]) -> str:
    """Two shares, encrypted for the holder of a public key, in hex digits.

    words: different for each box under the same pair of keys; sender and receiver are among them.
    """
    content = b"".join(share.to_bytes(LENGTH, "big") for share in shares)
    return _cipher(private, public, words).encrypt(bytes(12), content, _bytes(words)).hex()


def decrypt_shares(box: str, private: bytes, public: str, words: Sequence[object]) -> tuple[int, int] | None:
    """The two shares in a box; None if the holder of the public key did not make it under these words."""
    if not is_hex(box, BOX):
        return None
    try:
        content = _cipher(private, public, words).decrypt(bytes(12), bytes.fromhex(box), _bytes(words))
    except InvalidTag:
        return None
    return int.from_bytes(content[:LENGTH], "big"), int.from_bytes(content[LENGTH:], "big")


def _cipher(private: bytes, public: str, words: Sequence[object]) -> ChaCha20Poly1305:
    """A cipher under a key that is used once: it follows from the pair's secret and the words."""
    context = b"brainct shares" + hashlib.sha256(_bytes(words)).digest()
    derive = HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=context).derive
    return ChaCha20Poly1305(derive(shared_secret(private, public, "the other site")))


def _bytes(words: Sequence[object]) -> bytes:
    return json.dumps(list(words)).encode()
