"""Any t of n shares give the secret back, t - 1 say nothing; a box opens for its receiver alone."""

import hashlib
import itertools
from collections import Counter

import pytest
from hypothesis import given, strategies

from brainct.core import masking, secret_sharing
from brainct.errors import Refused

A, B, C = (hashlib.sha256(name.encode()).digest() for name in "abc")
thirty_two = strategies.binary(min_size=32, max_size=32)


@given(thirty_two, thirty_two, strategies.integers(1, 12), strategies.data())
def test_any_t_shares_give_the_secret_back_and_more_do_too(secret, random, holders, data):
    needed = data.draw(strategies.integers(1, holders))
    shares = dict(enumerate(secret_sharing.shares_of(secret, holders, needed, random), 1))
    assert len(shares) == holders
    count = data.draw(strategies.integers(needed, holders))
    chosen = data.draw(strategies.permutations(sorted(shares)))[:count]
    assert secret_sharing.secret_of({x: shares[x] for x in chosen}) == secret
    assert all(0 <= share < secret_sharing.PRIME for share in shares.values())


def test_shares_of_a_number_too_large_for_a_secret_give_none():
    assert secret_sharing.secret_of({1: 2**256 - 1}) == b"\xff" * 32
    assert secret_sharing.secret_of({1: 2**256}) is None


@given(thirty_two, thirty_two)
def test_one_share_less_gives_something_else(secret, random):
    shares = dict(enumerate(secret_sharing.shares_of(secret, 7, 5, random), 1))
    assert all(
        secret_sharing.secret_of({x: shares[x] for x in four}) != secret for four in itertools.combinations(shares, 4)
    )


@pytest.mark.parametrize("xs", [(1, 2), (1, 3), (4, 6)])
def test_t_minus_one_shares_are_the_same_for_every_secret(xs):
    """All polynomials of degree 2 modulo 7: each pair of shares comes once with each secret."""
    prime = 7
    for secret in range(prime):
        seen = Counter(
            tuple(secret_sharing.value_at([secret, *rest], x, prime) for x in xs)
            for rest in itertools.product(range(prime), repeat=2)
        )
        assert seen == Counter({pair: 1 for pair in itertools.product(range(prime), repeat=2)})


def test_three_shares_are_of_one_secret():
    prime, secret = 7, 3
    for rest in itertools.product(range(prime), repeat=2):
        for xs in itertools.combinations(range(1, prime), 3):
            assert (
                secret_sharing.at_zero({x: secret_sharing.value_at([secret, *rest], x, prime) for x in xs}, prime)
                == secret
            )


def test_the_prime_is_one_and_the_least_above_all_secrets():
    assert _is_prime(secret_sharing.PRIME)
    assert not any(_is_prime(2**256 + more) for more in range(secret_sharing.PRIME - 2**256))
    assert secret_sharing.PRIME < 256**secret_sharing.LENGTH


def _is_prime(number):
    """Miller and Rabin's test, to forty bases."""
    odd, twos = number - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    return number % 2 == 1 and all(
        pow(base, odd, number) in (1, number - 1)
        or any(pow(base, odd << power, number) == number - 1 for power in range(1, twos))
        for base in range(2, 42)
    )


def test_the_threshold_leaves_no_room_for_two_lists_with_fewer_than_a_third_on_the_servers_side():
    assert [secret_sharing.threshold(members) for members in range(3, 9)] == [3, 3, 4, 5, 5, 6]
    for members in range(1, 200):
        needed = secret_sharing.threshold(members)
        assert needed <= members
        assert 2 * needed > members + (members - 1) // 3


def test_the_same_secret_shared_from_other_randomness_has_other_shares():
    first, second = (secret_sharing.shares_of(A, 5, 4, random) for random in (B, C))
    assert not set(first) & set(second)
    assert secret_sharing.shares_of(A, 5, 4, B) == first


def test_a_box_opens_for_its_receiver_under_its_words_alone():
    public = {name: masking.public_key(key) for name, key in (("a", A), ("b", B), ("c", C))}
    box = secret_sharing.encrypt_shares([5, secret_sharing.PRIME - 1], A, public["b"], ["run", 3, "a", "b"])
    assert secret_sharing.is_hex(box, secret_sharing.BOX)
    assert secret_sharing.decrypt_shares(box, B, public["a"], ["run", 3, "a", "b"]) == (5, secret_sharing.PRIME - 1)
    assert secret_sharing.decrypt_shares(box, C, public["a"], ["run", 3, "a", "b"]) is None
    for words in (["run", 4, "a", "b"], ["run", 3, "b", "a"], ["other", 3, "a", "b"]):
        assert secret_sharing.decrypt_shares(box, B, public["a"], words) is None
    for bad in ("", "zz", box[:-2], box[:-2] + f"{int(box[-2:], 16) ^ 1:02x}"):
        assert secret_sharing.decrypt_shares(bad, B, public["a"], ["run", 3, "a", "b"]) is None


def test_a_public_key_that_is_none_is_refused():
    with pytest.raises(Refused, match="the public key of the other site is not an X25519 key"):
        secret_sharing.encrypt_shares([1, 2], A, "00" * 32, ["run"])
