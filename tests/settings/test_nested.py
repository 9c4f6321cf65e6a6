"""Parameters inside parameters."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argus_core.settings.nested import flattened, merged, with_value

NAMES = st.text("abc", min_size=1, max_size=2)
TREES = st.recursive(
    st.integers(), lambda inner: st.dictionaries(NAMES, inner, min_size=1, max_size=3) | st.lists(
        st.dictionaries(NAMES, inner, min_size=1, max_size=2), min_size=1, max_size=2
    ),
    max_leaves=8,
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(NAMES, TREES, min_size=1, max_size=3))
def test_a_value_written_to_each_leaf_is_read_back_and_moves_nothing_else(tree):
    flat = flattened(tree)
    for name in flat:
        changed = flattened(with_value(tree, name.split("."), "new"))
        assert changed == {**flat, name: "new"}
    assert flattened(tree) == flat


def test_plain_lists_and_empty_mappings_are_leaves():
    assert flattened({"labels": ["UP", "DOWN"], "when": {}}) == {"labels": ["UP", "DOWN"], "when": {}}


def test_mappings_merge_and_digits_reach_into_lists():
    base = [{"a": 1, "b": {"c": 2}}, {"a": 5}]
    assert merged(base, {"0": {"b": {"d": 3}}, 1: {"a": 6}}) == [{"a": 1, "b": {"c": 2, "d": 3}}, {"a": 6}]
    assert merged(base, [{"a": 9}]) == [{"a": 9}]
    assert base[0] == {"a": 1, "b": {"c": 2}}
    with pytest.raises(ValueError, match="no entry x, 2; there are 2, numbered from 0"):
        merged(base, {"x": {}, "2": {}})
