"""IV consensus: policies, freshness, units of a whole chain, isolation of contracts, nothing from the future."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from argus_core.options.consensus import CONSENSUS_SCHEMA, atm_consensus, consensus, consensus_at
from argus_core.options.discrepancies import discrepancies_at, kept, rollup
from argus_core.options.observations import observations_of, provider_unit, standing_observations
from argus_core.settings.option_consensus import ConsensusSettings, SourceSettings

NOW = datetime(2026, 8, 3, 15, 0, tzinfo=UTC)
EXPIRY = date(2026, 9, 18)
STRIKES = tuple(np.arange(80.0, 121.0, 5.0))


def smile(strike: float, days: int = 46) -> float:
    return 0.2 + 0.3 * np.log(strike / 100) ** 2 + 0.0001 * days


def chain(
    source: str,
    *,
    shift: float = 0.0,
    age: float = 2.0,
    strikes=STRIKES,
    expiry: date = EXPIRY,
    half_spread: float = 0.004,
    scale: float = 1.0,
    priced: bool = True,
    recv_ts: datetime | None = None,
) -> pl.DataFrame:
    """One source's chain; without ``priced`` only its own volatilities, times ``scale``."""
    recv = recv_ts or NOW - timedelta(seconds=age)
    rows = []
    for strike in strikes:
        iv = smile(strike, (expiry - NOW.date()).days) + shift
        for right in "CP":
            row = {"provider": source, "underlying": "SPY", "expiry": expiry, "strike": strike, "right": right}
            row |= {"expiry_ts": datetime(expiry.year, expiry.month, expiry.day, 20, tzinfo=UTC)}
            row |= {"ts": recv - timedelta(seconds=1), "recv_ts": recv, "forward": 100.3, "provider_iv": iv * scale}
            if priced:
                row |= {"iv_mid": iv, "iv_bid": iv - half_spread, "iv_ask": iv + half_spread}
                row |= {"iv_se": half_spread / np.sqrt(3)}
            rows.append(row)
    return observations_of(pl.DataFrame(rows))


def at(frame: pl.DataFrame, strike: float, right: str = "P", expiry: date = EXPIRY) -> dict:
    return frame.row(
        by_predicate=(pl.col("strike") == strike) & (pl.col("right") == right) & (pl.col("expiry") == expiry),
        named=True,
    )


def using(policy: str, **more) -> ConsensusSettings:
    return ConsensusSettings(policy=policy, **more)


def test_prefer_dxlink_takes_it_while_fresh_and_the_surest_other_after_that():
    rows = pl.concat([chain("dxlink", shift=0.01), chain("wide", half_spread=0.01), chain("public", half_spread=0.002)])
    settings = using("prefer_dxlink")
    fresh = at(consensus_at(rows, NOW, settings), 95)
    assert (fresh["chosen"], fresh["iv"]) == ("dxlink", pytest.approx(smile(95) + 0.01))
    assert fresh["sources"] == ["dxlink", "public", "wide"]
    assert fresh["weights"] == [1, 0, 0]
    rows = pl.concat([chain("dxlink", age=60), chain("wide", half_spread=0.01), chain("public", half_spread=0.002)])
    late = at(consensus_at(rows, NOW, settings), 95)
    assert late["chosen"] == "public"
    assert late["refused"] == ["dxlink:STALE"]
    assert late["recv_ts"] == NOW - timedelta(seconds=2)


def test_winner_lies_inside_the_others_band_else_the_row_is_disputed():
    settings = using("winner_based")
    agreeing = pl.concat([chain("a", half_spread=0.002), chain("b", half_spread=0.006, shift=0.001)])
    won = at(consensus_at(agreeing, NOW, settings), 100)
    assert (won["chosen"], won["flag"], won["iv"]) == ("a", "agree", pytest.approx(smile(100)))
    # The surest lies outside the other's band; the other lies inside its own rival's.
    apart = pl.concat([chain("a", half_spread=0.002), chain("b", half_spread=0.002, shift=0.05)])
    lost = at(consensus_at(apart, NOW, settings), 100)
    assert lost["flag"] == "disputed"
    assert lost["score"] > settings.bad_score
    # The surest of three lies outside the others' bands and loses to the one that lies inside them.
    three = pl.concat(
        [chain("a", half_spread=0.001, shift=0.03), chain("b", half_spread=0.008), chain("c", half_spread=0.05)]
    )
    three = three.with_columns(
        iv_bid=pl.when(pl.col("source") == "a").then(None).otherwise("iv_bid"),
        iv_ask=pl.when(pl.col("source") == "a").then(None).otherwise("iv_ask"),
    )
    assert at(consensus_at(three, NOW, settings), 100)["chosen"] == "b"


def test_blend_weighs_by_inverse_variance_and_age():
    rows = pl.concat([chain("a", half_spread=0.002), chain("b", half_spread=0.004, shift=0.001)])
    found = at(consensus_at(rows, NOW, using("blended", vol_of_vol=0.0)), 100)
    assert found["chosen"] == "blend"
    # Standard errors one to two: weights four to one.
    assert found["weights"] == pytest.approx([0.8, 0.2])
    assert found["iv"] == pytest.approx(smile(100) + 0.0002)
    assert found["iv_se"] == pytest.approx(np.sqrt(0.8**2 + 4 * 0.2**2) * 0.002 / np.sqrt(3))
    older = pl.concat([chain("a", half_spread=0.002), chain("b", half_spread=0.002, age=9.5)])
    found = at(consensus_at(older, NOW, using("blended", weights="age_decayed")), 100)
    assert found["weights"] == pytest.approx([2 / 3, 1 / 3])
    trusted = using("blended", weights="age_decayed", sources={"a": SourceSettings(trust=0.5)})
    assert at(consensus_at(older, NOW, trusted), 100)["weights"] == pytest.approx([0.5, 0.5])


def test_a_wild_source_hardly_moves_a_blend_of_three_and_widens_its_error():
    calm = [chain("a"), chain("b", shift=0.001)]
    wild = pl.concat([*calm, chain("c", shift=0.5)])
    settings = using("blended")
    found, without = (at(consensus_at(rows, NOW, settings), 100) for rows in (wild, pl.concat(calm)))
    assert abs(found["iv"] - without["iv"]) < 0.006
    assert found["weights"][2] < 0.02
    assert found["iv_se"] > 20 * without["iv_se"]
    assert found["flag"] == "disputed"


@pytest.mark.parametrize("policy", ["prefer_dxlink", "winner_based", "blended"])
def test_nothing_bleeds_between_strikes_or_expiries(policy):
    other = date(2026, 10, 16)
    rows = pl.concat(
        [chain("dxlink", strikes=(60.0,), shift=0.6), chain("public", strikes=(95.0, 100.0)), chain("b", expiry=other)]
    )
    settings = using(policy)
    found = consensus_at(rows, NOW, settings)
    assert at(found, 60)["iv"] == pytest.approx(smile(60) + 0.6)
    assert at(found, 100)["sources"] == ["public"]
    assert at(found, 100, expiry=other)["sources"] == ["b"]
    assert found.filter((pl.col("expiry") == EXPIRY) & (pl.col("strike") == 105)).is_empty()
    stale = pl.concat([chain("public", age=500, strikes=(95.0,)), chain("public", strikes=(100.0,))])
    left = at(consensus_at(stale, NOW, settings), 95)
    assert (left["iv"], left["reason"]) == (None, "no fresh observation: public:STALE")


def test_at_the_money_is_the_strike_nearest_the_forward():
    settings = using("prefer_dxlink")
    # The predecessor's fault: any newer DXLink strike took the at-the-money slot.
    rows = pl.concat([chain("dxlink", strikes=(60.0,), shift=0.65, age=1), chain("public", age=3)])
    found = atm_consensus(consensus_at(rows, NOW, settings), settings).row(0, named=True)
    assert (found["strike"], found["reason"]) == (100.0, None)
    assert found["iv"] == pytest.approx(smile(100))
    far = atm_consensus(consensus_at(chain("dxlink", strikes=(60.0,)), NOW, settings), settings).row(0, named=True)
    assert far["iv"] is None
    assert far["reason"] == "the nearest strike is too far from the forward"
    blind = consensus_at(chain("dxlink").with_columns(forward=pl.lit(None, pl.Float64)), NOW, settings)
    assert atm_consensus(blind, settings)["reason"].to_list() == ["no strike has both a consensus and a forward"]


def test_a_provider_in_percent_is_told_by_its_chain_and_no_value_is_guessed_alone():
    settings = using("prefer_dxlink")
    for scale, unit in ((1.0, "fraction"), (100.0, "percent")):
        for priced in (True, False):
            rows = chain("dxlink", scale=scale, priced=priced)
            assert provider_unit(rows, settings) == unit
            row = at(consensus_at(rows, NOW, settings), 90)
            assert row["iv"] == pytest.approx(smile(90))
            assert row["iv_from"] == ["price" if priced else "provider"]
    # 160 % and 200 % stay what they are: the predecessor made .016 and .02 of them.
    wing = chain("dxlink", priced=False).with_columns(
        provider_iv=pl.when(pl.col("strike") == 80)
        .then(1.6)
        .when(pl.col("strike") == 85)
        .then(2.0)
        .otherwise("provider_iv")
    )
    found = consensus_at(wing, NOW, settings)
    assert (at(found, 80)["iv"], at(found, 85)["iv"]) == (1.6, 2.0)
    panic = chain("dxlink", shift=1.4)
    assert provider_unit(panic, settings) == "fraction"
    # A whole chain at 160 (fraction) or 1.6 (percent) without a price to tell: refused, not guessed.
    assert provider_unit(chain("dxlink", shift=1.4, priced=False), settings) == "unknown"
    single = chain("dxlink", scale=100.0, priced=False, strikes=(100.0,))
    assert at(consensus_at(single, NOW, settings), 100)["reason"] == "no fresh observation: dxlink:UNIT_UNKNOWN"
    told = using("prefer_dxlink", sources={"dxlink": SourceSettings(unit="percent")})
    assert at(consensus_at(single, NOW, told), 100)["iv"] == pytest.approx(smile(100))
    between = chain("dxlink", priced=False).with_columns(provider_iv=pl.lit(2.0))
    assert provider_unit(between, settings) == "unknown"


def test_a_providers_own_volatility_is_less_certain_and_keeps_its_total_variance():
    settings = using("blended", sources={"own": SourceSettings(day_count=360.0)}, vol_of_vol=0.0)
    rows = pl.concat([chain("price"), chain("own", priced=False)])
    found = at(consensus_at(rows, NOW, settings), 100)
    assert found["iv_from"] == ["provider", "price"]
    assert found["ivs"][0] == pytest.approx(smile(100) * np.sqrt(365 / 360))
    assert found["errors"][0] == pytest.approx(np.hypot(settings.unknown_se, settings.provider_se))
    assert found["weights"][0] < 0.02


def test_observations_are_refused_with_a_reason():
    settings = using("prefer_dxlink")
    rows = chain("a")
    cases = {
        "FUTURE": rows.with_columns(ts=pl.col("recv_ts") + pl.duration(seconds=1)),
        "STALE": chain("a", age=16),
        "STALE_QUOTE": rows.with_columns(ts=pl.col("recv_ts") - pl.duration(hours=2)),
        "NO_VOLATILITY": rows.with_columns(iv_mid=None, provider_iv=None),
        "OUT_OF_RANGE": rows.with_columns(iv_mid=11.0),
    }
    for reason, frame in cases.items():
        standing = standing_observations(observations_of(frame), NOW, settings)
        assert set(standing["reason"]) == {reason}
    # Crossed and zero-bid quotes have no iv_mid; a negative or NaN volatility is none either.
    for bad in (float("nan"), -0.2, 0.0):
        standing = standing_observations(rows.with_columns(iv_mid=pl.lit(bad), provider_iv=None), NOW, settings)
        assert set(standing["reason"]) <= {"NO_VOLATILITY", "OUT_OF_RANGE"}


def test_the_newest_row_speaks_even_when_it_withdraws_the_quote():
    settings = using("prefer_dxlink")
    gone = chain("dxlink", age=1).with_columns(iv_mid=None, provider_iv=None)
    found = consensus_at(pl.concat([chain("dxlink", age=5), gone]), NOW, settings)
    assert found["iv"].null_count() == len(found)
    assert set(found["reason"]) == {"no fresh observation: dxlink:NO_VOLATILITY"}


def test_expired_contracts_are_gone_and_those_of_today_live_until_their_moment():
    rows = pl.concat([chain("dxlink", expiry=date(2026, 8, 3)), chain("dxlink", expiry=date(2026, 7, 31))])
    settings = using("prefer_dxlink")
    assert consensus_at(rows, NOW, settings)["expiry"].unique().to_list() == [date(2026, 8, 3)]
    assert consensus_at(rows, datetime(2026, 8, 3, 20, tzinfo=UTC), settings).is_empty()


def test_strikes_written_differently_are_one_and_settlements_of_a_day_are_two():
    rows = pl.concat([chain("a"), chain("b").with_columns(pl.col("strike") + 1e-8)])
    found = consensus_at(rows, NOW, using("blended"))
    assert found["sources"].list.len().to_list() == [2] * len(found)
    morning = chain("b").with_columns(expiry_ts=pl.col("expiry_ts") - pl.duration(hours=6))
    found = consensus_at(pl.concat([chain("a"), morning]), NOW, using("blended"))
    assert found["sources"].list.len().to_list() == [1] * (4 * len(STRIKES))


def test_one_strike_and_no_observation_at_all():
    settings = using("winner_based")
    assert consensus_at(chain("a", strikes=(100.0,)), NOW, settings)["flag"].to_list() == ["single"] * 2
    empty = consensus_at(chain("a").clear(), NOW, settings)
    assert empty.schema == pl.Schema(CONSENSUS_SCHEMA)
    assert consensus(chain("a"), [], settings).schema == pl.Schema(CONSENSUS_SCHEMA)
    with pytest.raises(ValueError, match="expiry_ts, strike missing"):
        observations_of(chain("a").drop("expiry_ts", "strike"))


@pytest.fixture(scope="module")
def feed() -> pl.DataFrame:
    """Three sources over a minute, in random order."""
    rng = np.random.default_rng(5)
    parts = [
        chain(source, recv_ts=NOW - timedelta(seconds=float(rng.uniform(0, 60))), shift=float(rng.normal(0, 0.01)),
              scale=100.0 if source == "public" else 1.0, priced=source != "public")
        for source in ("dxlink", "public", "rest") for _ in range(12)
    ]  # fmt: skip
    return pl.concat(parts).sample(fraction=1.0, shuffle=True, seed=6)


@settings(max_examples=20, deadline=None)
@given(
    policy=st.sampled_from(["prefer_dxlink", "winner_based", "blended"]),
    seconds=st.floats(0, 60),
    seed=st.integers(0, 99),
)
def test_cutting_off_or_altering_the_future_changes_nothing_and_order_does_not_matter(feed, policy, seconds, seed):
    moment, chosen = NOW - timedelta(seconds=seconds), using(policy)
    whole = consensus_at(feed, moment, chosen)
    past = feed.filter(pl.col("recv_ts") <= moment)
    assert_frame_equal(consensus_at(past, moment, chosen), whole, check_exact=True)
    later = pl.col("recv_ts") > moment
    altered = feed.with_columns(
        pl.when(later).then(5.0).otherwise("iv_mid").alias("iv_mid"),
        pl.when(later).then(900.0).otherwise("provider_iv").alias("provider_iv"),
    ).sample(fraction=1.0, shuffle=True, seed=seed)
    assert_frame_equal(consensus_at(altered, moment, chosen), whole, check_exact=True)
    if not whole.is_empty():
        assert whole["recv_ts"].drop_nulls().max() is None or whole["recv_ts"].drop_nulls().max() <= moment


@settings(max_examples=40, deadline=None)
@given(
    shifts=st.lists(st.floats(-0.1, 0.1), min_size=1, max_size=4),
    policy=st.sampled_from(["prefer_dxlink", "winner_based", "blended"]),
)
def test_consensus_lies_between_its_sources_and_weights_add_up_to_one(shifts, policy):
    rows = pl.concat([chain(f"s{n}", shift=shift, strikes=(100.0,)) for n, shift in enumerate(shifts)])
    found = at(consensus_at(rows, NOW, using(policy)), 100)
    assert sum(found["weights"]) == pytest.approx(1.0)
    assert min(found["ivs"]) - 1e-12 <= found["iv"] <= max(found["ivs"]) + 1e-12
    assert (found["score"] is None) == (len(shifts) == 1)


def test_discrepancies_use_the_policies_score_and_roll_up_within_bounds():
    settings = using("blended", rollup_size=40)
    rows = pl.concat([chain("a"), chain("b", shift=0.02), chain("c")])
    pairs = discrepancies_at(rows, NOW, settings)
    assert len(pairs) == 3 * 2 * len(STRIKES)
    assert pairs.group_by("source_a", "source_b").agg(pl.col("difference").max()).sort("source_a", "source_b")[
        "difference"
    ].to_list() == pytest.approx([0.02, 0.0, 0.02])
    scores = consensus_at(rows, NOW, settings)["score"]
    assert (
        pairs.group_by("strike", "right", maintain_order=True).agg(pl.col("score").max())["score"].to_list()
        == scores.to_list()
    )
    many = pl.concat([pairs.with_columns(as_of=pl.col("as_of") + pl.duration(seconds=n)) for n in range(9)])
    assert len(kept(many, settings)) == 3 * 40
    table = rollup(many, settings)
    assert table["count"].to_list() == [40] * 3
    assert table["last_as_of"].to_list() == [NOW + timedelta(seconds=8)] * 3
    assert table["disputed_share"].to_list() == [1.0, 0.0, 1.0]
    assert table["score_p50"][1] == 0.0
    # Rolling on with what was kept is the same as with everything.
    assert_frame_equal(rollup(kept(many, settings), settings), table)
    spread = pl.concat([pairs.head(1).with_columns(difference=pl.lit(v / 100)) for v in range(101)])
    levels = rollup(spread, using("blended")).row(0, named=True)
    assert [levels[f"difference_p{p}"] for p in (50, 90, 99)] == pytest.approx([0.5, 0.9, 0.99])


def test_settings_explain_themselves():
    with pytest.raises(ValueError, match="must not exceed bad_score"):
        ConsensusSettings(warn_score=5, bad_score=4)
    with pytest.raises(ValueError, match="prefer_dxlink"):
        ConsensusSettings(policy="average")  # type: ignore[arg-type]
