"""Counter-based numbers of the Heston simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtri

from argus_core.accelerator import load_jax
from argus_core.options.heston import threefry


def word(text: str) -> np.ndarray:
    return np.array([int(text, 16)], np.uint32)


@pytest.mark.parametrize(
    ("rounds", "k0", "k1", "c0", "c1", "first", "second"),
    [
        (13, "00000000", "00000000", "00000000", "00000000", "9d1c5ec6", "8bd50731"),
        (13, "ffffffff", "ffffffff", "ffffffff", "ffffffff", "fd36d048", "2d17272c"),
        (13, "13198a2e", "03707344", "243f6a88", "85a308d3", "ba3e4725", "f27d669e"),
        (20, "00000000", "00000000", "00000000", "00000000", "6b200159", "99ba4efe"),
    ],
)
def test_known_answers_of_random123(rounds, k0, k1, c0, c1, first, second):
    out = threefry.words(np, word(k0), word(k1), word(c0), word(c1), rounds)
    assert [f"{int(w[0]):08x}" for w in out] == [first, second]


def test_twenty_rounds_are_the_generator_of_jax():
    jax = load_jax()
    from jax.extend.random import threefry_2x32

    counters = np.arange(64, dtype=np.uint32)
    theirs = np.asarray(threefry_2x32((np.uint32(7), np.uint32(11)), jax.numpy.asarray(counters)))
    ours = threefry.words(np, np.full(32, 7, np.uint32), np.full(32, 11, np.uint32), counters[:32], counters[32:], 20)
    assert np.array_equal(np.concatenate(ours), theirs)


def test_numpy_and_jax_give_the_same_words():
    jnp = load_jax().numpy
    path, step = np.arange(1000, dtype=np.uint32), np.uint32(3)
    key = [np.full(1000, k, np.uint32) for k in threefry.key(2**40 + 5)]
    ours = threefry.words(np, *key, path, np.full(1000, step))
    theirs = threefry.words(jnp, *(jnp.asarray(k) for k in key), jnp.asarray(path), jnp.full(1000, step))
    assert all(np.array_equal(a, np.asarray(b)) for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize(("dtype", "rtol"), [(np.float32, 5e-4), (np.float64, 1e-12)])
def test_normals_are_the_inverse_distribution_in_both_tails(dtype, rtol):
    jnp = load_jax().numpy
    words = np.concatenate([2 ** np.arange(1, 32), 2**32 - 2 ** np.arange(1, 31), [0, 2**32 - 1]]).astype(np.uint32)
    z = np.asarray(threefry.normal(jnp, threefry.tail(jnp, jnp.asarray(words), dtype)))
    low = (words & 0x7FFFFFFF).astype(float) + 0.5
    expected = np.where(words >> 31, -1.0, 1.0) * ndtri(low * 2.0**-32)
    assert z == pytest.approx(expected, rel=rtol, abs=2e-7)
    assert np.all(np.isfinite(z))


def test_normals_have_the_moments_of_normals_and_do_not_depend_on_neighbours():
    path = np.arange(2**18, dtype=np.uint32)
    key = [np.full(path.size, k, np.uint32) for k in threefry.key(0)]
    jnp = load_jax().numpy
    z = [
        np.asarray(threefry.normal(jnp, threefry.tail(jnp, w, np.float64)))
        for step in (0, 1)
        for w in threefry.words(np, *key, path, np.full(path.size, step, np.uint32))
    ]
    for one in z:
        assert abs(one.mean()) < 5 / 512
        assert abs((one**2).mean() - 1) < 5 * 2**0.5 / 512
        assert abs((one**4).mean() - 3) < 5 * 96**0.5 / 512
        assert abs((one[1:] * one[:-1]).mean()) < 5 / 512
    assert np.abs(np.corrcoef(z) - np.eye(4)).max() < 5 / 512


def test_a_seed_out_of_range_is_named():
    with pytest.raises(ValueError, match=r"seed = -1"):
        threefry.key(-1)
