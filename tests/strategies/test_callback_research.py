"""What every callback research strategy and wrapper offers: ranges, meanings, a family, a sweep of moderate size."""

from __future__ import annotations

import pytest

from argus_core.experiments.sweep import load_sweep
from argus_core.settings import Project
from argus_core.settings.nested import flattened
from argus_core.strategies import load_strategy

SWEEPS = {
    "CryptoEtfBasis": "crypto_etf_basis",
    "EventStraddle": "event_straddle",
    "HighVolCredit": "high_vol_credit",
    "PairSpread": "pair_spread",
    "RegimeRouter": "regime_router",
    "WeekdayGate": "weekday_gate",
}
every = pytest.mark.parametrize("name", sorted(SWEEPS))


@every
def test_every_parameter_has_a_meaning_and_every_number_a_range(name, project: Project):
    for field, about in load_strategy(name, root=project.root).Params.model_fields.items():
        assert about.description, field
        kinds = str(about.annotation)
        if "Literal" not in kinds and any(kind in kinds for kind in ("int", "float")):
            limits = {type(m).__name__ for m in about.metadata}
            assert limits & {"Ge", "Gt"}, field
            assert limits & {"Le", "Lt"}, field


@every
def test_the_sweep_is_valid_moderate_and_within_what_the_family_may_vary(name, project: Project):
    cls = load_strategy(name, root=project.root)
    sets = load_sweep(project.resolve(f"config/sweeps/{SWEEPS[name]}.yaml"))
    assert 10 <= len(sets) <= 100
    assert len({cls.Params.model_validate(params).model_dump_json() for params in sets}) == len(sets)
    flat = [flattened(params) for params in sets]
    varied = [key for key in flat[0] if len({str(one[key]) for one in flat}) > 1]
    assert len(varied) <= (cls.family.max_swept_parameters or 6)


@pytest.mark.parametrize("name", [name for name in sorted(SWEEPS) if name not in ("RegimeRouter", "WeekdayGate")])
def test_the_family_says_what_it_trades_and_how_much(name, project: Project):
    family = load_strategy(name, root=project.root).family
    assert family.name != "free"
    assert family.asset_classes
    assert family.max_trades_per_day
    assert family.max_annual_turnover
    assert family.needs_options or family.min_references
