from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argus_core.experiments.sweep import expand_sweep, load_sweep
from argus_core.settings import SettingsError


def values(form):
    return [one["k"] for one in expand_sweep({"k": form}, {}, source="sweep.yaml")]


def test_a_list_is_taken_as_it_is_and_a_scalar_is_one_value():
    assert values([3, None, "x"]) == [3, None, "x"]
    assert values(7) == [7]
    assert values(None) == [None]
    assert values({"values": [0.1, 0.2]}) == [0.1, 0.2]


def test_a_step_range_includes_its_maximum_only_when_a_step_hits_it():
    assert values({"min": 0.1, "max": 0.3, "step": 0.1}) == [0.1, 0.2, 0.3]
    assert values({"min": 1, "max": 10, "step": 4}) == [1, 5, 9]


def test_a_number_of_steps_gives_one_point_more_and_both_ends():
    assert values({"min": 0.0, "max": 1.0, "num_steps": 4}) == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert values({"min": 10, "max": 30, "num_steps": 2}) == [10, 20, 30]


def test_rounding_makes_integers_at_zero_decimals_and_drops_repeats():
    assert values({"min": 0.0, "max": 1.0, "num_steps": 3, "round": 2}) == [0.0, 0.33, 0.67, 1.0]
    rounded = values({"min": 0, "max": 2, "num_steps": 8, "round": 0})
    assert rounded == [0, 1, 2]
    assert all(isinstance(value, int) for value in rounded)


@given(st.integers(-50, 50), st.integers(1, 40), st.integers(1, 400))
@settings(max_examples=50, deadline=None)
def test_decimal_ranges_do_not_drift(low, step, count):
    form = {"min": low / 100, "max": (low + step * count) / 100, "step": step / 100}
    assert values(form) == [(low + step * i) / 100 for i in range(count + 1)]


def test_the_product_runs_in_key_order_over_the_base_params():
    sets = expand_sweep({"b": [1, 2], "a": [3, 4]}, {"a": 0, "c": 9}, source="s")
    assert sets == [{"a": a, "c": 9, "b": b} for b in (1, 2) for a in (3, 4)]


def test_constraints_drop_combinations():
    spec = {"params": {"fast": [5, 10, 20], "slow": [10, 20]}, "constraints": ["fast < slow", "slow >= 15.0"]}
    pairs = [(s["fast"], s["slow"]) for s in expand_sweep(spec, {}, source="s")]
    assert pairs == [(5, 20), (10, 20)]


def test_a_bare_mapping_may_carry_constraints_and_null_passes_them():
    spec = {"limit": [None, 1, 5], "constraints": ["limit < cap"]}
    assert [s["limit"] for s in expand_sweep(spec, {"cap": 3}, source="s")] == [None, 1]


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({"min": 1, "max": 2}, "cannot read"),
        ({"min": 1, "max": 2, "step": 1, "num_steps": 2}, "cannot read"),
        ({"min": 3, "max": 2, "step": 1}, "above max"),
        ({"min": 1, "max": 2, "step": 0}, "above 0"),
        ({"min": "a", "max": 2, "step": 1}, "must be a number"),
        ({"min": 1, "max": 2, "num_steps": 0}, "num_steps"),
        ({"min": 1, "max": 2, "num_steps": 2, "round": -1}, "round"),
        ({"values": 3}, "must be a list"),
        ([], "empty"),
        ({"valuess": [1]}, "values"),
    ],
)
def test_a_wrong_form_is_an_error_that_names_file_and_key(form, message):
    with pytest.raises(SettingsError, match=rf"sweep\.yaml: k: .*{message}"):
        values(form)


@pytest.mark.parametrize(
    "text", ["fast << slow", "__import__('os').system('true') < 1", "fast < slow and 1 < 2", "fast < 1.2.3", 5]
)
def test_a_constraint_is_never_evaluated_as_code(text):
    with pytest.raises(SettingsError, match=r"s\.yaml: constraints"):
        expand_sweep({"params": {"fast": [1], "slow": [2]}, "constraints": [text]}, {}, source="s.yaml")


def test_a_constraint_on_an_unknown_name_lists_the_known_ones():
    with pytest.raises(SettingsError, match=r"'fats'; known: fast, slow"):
        expand_sweep({"params": {"fast": [1], "slow": [2]}, "constraints": ["fats < slow"]}, {}, source="s.yaml")


def test_a_sweep_that_leaves_nothing_is_an_error():
    with pytest.raises(SettingsError, match="no combination is left of 1"):
        expand_sweep({"a": 2, "constraints": ["a < 1"]}, {}, source="s")


def test_a_key_beside_params_is_an_error():
    with pytest.raises(SettingsError, match="constraint'"):
        expand_sweep({"params": {"a": 1}, "constraint": []}, {}, source="s")


def test_a_sweep_file_is_read_and_named(tmp_path):
    path = tmp_path / "grid.yaml"
    path.write_text("params:\n  a: {values: [1, 2]}\n")
    assert load_sweep(path, {"b": 0}) == [{"b": 0, "a": 1}, {"b": 0, "a": 2}]
    path.write_text("params:\n  a: {min: 1}\n")
    with pytest.raises(SettingsError, match=r"grid\.yaml: a"):
        load_sweep(path)


def test_dotted_names_reach_into_nested_parameters_and_lists():
    base = {"inner": {"strategy_class": "X", "params": {"slow": 9}}, "routes": [{"params": {"a": 1}}, {"params": {}}]}
    spec = {"inner.params.fast": [1, 2], "routes.1.params.b": [3], "threshold": 0.5}
    sets = expand_sweep(spec, base, source="s")
    assert sets[1] == {
        "inner": {"strategy_class": "X", "params": {"slow": 9, "fast": 2}},
        "routes": [{"params": {"a": 1}}, {"params": {"b": 3}}],
        "threshold": 0.5,
    }
    assert base["inner"]["params"] == {"slow": 9}
    assert expand_sweep({"inner.params.fast": [1]}, {}, source="s") == [{"inner": {"params": {"fast": 1}}}]


def test_constraints_name_nested_parameters():
    base = {"inner": {"params": {"slow": 15}}}
    spec = {"params": {"inner.params.fast": [10, 20]}, "constraints": ["inner.params.fast < inner.params.slow"]}
    assert [s["inner"]["params"]["fast"] for s in expand_sweep(spec, base, source="s")] == [10]
    spec["constraints"] = ["inner.params.quick < 3"]
    with pytest.raises(SettingsError, match=r"names 'inner\.params\.quick'; known: inner\.params\.fast, "):
        expand_sweep(spec, base, source="s")
