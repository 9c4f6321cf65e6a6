"""Variance risk premium: the strip against exact expectations, one window for both sides, nothing from the future."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from argus_core.market.schemas import conform
from argus_core.options.black import black_price, implied_vol
from argus_core.options.heston.parameters import HestonParameters
from argus_core.options.premium import VariancePremiums, strip_variance, variance_premiums
from argus_core.options.schemas import ImpliedVols
from argus_core.settings.realised_volatility import VariancePremiumSettings
from tests.options.heston_chains import heston_price

RECV = datetime(2026, 8, 3, 20, 15, tzinfo=UTC)
SETTINGS = VariancePremiumSettings()


def chain(days=(20, 48), vols=(0.2, 0.2), reach=3.0, count=25, recv=RECV, smile=0.0) -> pl.DataFrame:
    """Clean out-of-the-money rows of ImpliedVols, one flat (or sloping) smile per expiry, forward 100."""
    parts = []
    for left, vol in zip(days, vols, strict=True):
        t = left / 365
        k = np.linspace(-reach, reach, count) * vol * np.sqrt(abs(t))
        parts.append(
            pl.DataFrame(
                {
                    "expiry_ts": recv + timedelta(days=left),
                    "strike": 100 * np.exp(k),
                    "log_moneyness": k,
                    "iv_mid": vol + smile * k,
                    "t_cal": t,
                }
            )
        )
    frame = pl.concat(parts).with_columns(
        recv_ts=pl.lit(recv),
        provider=pl.lit("a"),
        underlying=pl.lit("SPY"),
        used=pl.lit(True),
        expiry=pl.col("expiry_ts").dt.date(),
    )
    return conform(frame, ImpliedVols)


def realised(last=date(2026, 8, 3), sessions=40, variance=1e-4) -> pl.DataFrame:
    days = [last - timedelta(days=n) for n in range(sessions)][::-1]
    at = [datetime(d.year, d.month, d.day, 20, tzinfo=UTC) for d in days]
    return pl.DataFrame(
        {"available_at": at, "expected_variance": variance * (1 + np.arange(sessions) / 1e3), "expected_by": "har"},
        schema_overrides={"available_at": pl.Datetime("us", "UTC")},
    )


def test_a_flat_smile_pays_its_own_variance():
    for vol, years in ((0.1, 1 / 365), (0.2, 0.1), (0.9, 2.0)):
        k = np.linspace(-2, 2, 9) * vol * np.sqrt(years)
        assert strip_variance(k, np.full(9, vol), years) == pytest.approx(vol**2 * years, rel=1e-9)


def test_a_mixture_of_lognormals_pays_the_mean_of_their_variances():
    years, k = 0.25, np.linspace(-4, 4, 801) * 0.15
    strike = np.exp(k)
    price = 0.5 * (black_price(1, strike, years, 0.2, k > 0) + black_price(1, strike, years, 0.4, k > 0))
    iv = implied_vol(price, 1, strike, years, k > 0)
    assert strip_variance(k, iv, years) == pytest.approx(0.5 * (0.2**2 + 0.4**2) * years, rel=2e-4)


def test_a_heston_smile_pays_the_expected_variance():
    parameters, years = HestonParameters(0.04, 2.0, 0.05, 0.6, -0.7), 45 / 365
    k = np.linspace(-0.45, 0.25, 141)
    strike = 100 * np.exp(k)
    iv = implied_vol(heston_price(parameters, 100, strike, years, k > 0), 100, strike, years, k > 0)
    wanted = parameters.expected_variance(years) * years
    assert strip_variance(k, iv, years) == pytest.approx(wanted, rel=2e-3)


def test_both_sides_cover_the_same_thirty_days(calendar):
    found = variance_premiums(chain(), realised(), calendar, SETTINGS).row(0, named=True)
    # 3 August 2026 after the close to 2 September: 22 closes.
    assert found["sessions"] == 22
    assert found["implied_by"] == "strip"
    assert found["implied_variance"] == pytest.approx(0.04 * 30 / 365, rel=1e-9)
    assert found["realised_variance"] == pytest.approx(22 * 1e-4 * (1 + 39 / 1e3))
    assert found["premium"] == pytest.approx(found["implied_variance"] - found["realised_variance"])
    assert found["implied_vol"] == pytest.approx(0.2)
    assert found["realised_vol"] == pytest.approx(np.sqrt(found["realised_variance"] * 365 / 30))
    assert found["reason"] is None


def test_total_variance_is_linear_in_time_between_expiries(calendar):
    found = variance_premiums(chain(vols=(0.3, 0.2)), realised(), calendar, SETTINGS)["implied_variance"].item()
    first, second = 0.09 * 20 / 365, 0.04 * 48 / 365
    assert found == pytest.approx(first + (second - first) * 10 / 28, rel=1e-6)


def test_sources_fall_back_in_order(calendar):
    fit = {"provider": "a", "underlying": "SPY", "recv_ts": RECV, "converged": True}
    fit |= dict(zip(HestonParameters._fields, (0.05, 2.0, 0.06, 0.5, -0.7), strict=True))
    heston = pl.DataFrame([fit], schema_overrides={"recv_ts": pl.Datetime("us", "UTC")})
    thin = chain(reach=0.4, count=4)

    def source(rows, **more):
        return variance_premiums(rows, realised(), calendar, SETTINGS, **more).row(0, named=True)

    assert source(chain(), heston=heston)["implied_by"] == "strip"
    by_model = source(thin, heston=heston)
    assert by_model["implied_by"] == "heston"
    wanted = HestonParameters(0.05, 2.0, 0.06, 0.5, -0.7).expected_variance(30 / 365) * 30 / 365
    assert by_model["implied_variance"] == pytest.approx(wanted)
    assert source(thin, heston=heston.with_columns(converged=False))["implied_by"] == "atm"
    assert source(thin)["implied_variance"] == pytest.approx(0.04 * 30 / 365)


def test_what_is_missing_is_named(calendar):
    def reason(rows, side):
        found = variance_premiums(rows, side, calendar, SETTINGS).row(0, named=True)
        assert found["premium"] is None
        return found["reason"]

    far = chain(days=(200, 300))
    one_strike = chain(reach=0.0, count=1).with_columns(log_moneyness=pl.lit(0.5))
    for rows in (far, one_strike, chain().with_columns(used=False), chain(days=(0, 1)), chain(days=(-3, -1))):
        assert "no implied variance" in reason(rows, realised())
    assert reason(chain(), realised(last=date(2026, 7, 20))) == "realised volatility is stale"
    assert "available yet" in reason(chain(), realised().clear())
    assert "no forecast" in reason(chain(), realised().with_columns(expected_variance=pl.lit(None, pl.Float64)))
    late = datetime(2200, 1, 1, tzinfo=UTC)
    assert "calendar's table" in reason(chain(recv=late), realised())
    assert (
        variance_premiums(chain().clear(), realised(), calendar, SETTINGS).schema
        == VariancePremiums.create_empty().schema
    )


def test_no_row_changes_when_the_future_is_cut_off_or_altered(calendar):
    moments = [RECV + timedelta(days=n, hours=-5) for n in range(4)]
    rows = pl.concat([chain(recv=m, vols=(0.2 + 0.01 * n, 0.21)) for n, m in enumerate(moments)])
    side = realised(last=date(2026, 8, 7))
    whole = variance_premiums(rows, side, calendar, SETTINGS)
    assert whole["realised_variance"].n_unique() == 4
    for moment in moments:
        known = variance_premiums(
            rows.filter(pl.col("recv_ts") <= moment), side.filter(pl.col("available_at") <= moment), calendar, SETTINGS
        )
        assert_frame_equal(known, whole.filter(pl.col("recv_ts") <= moment))
        altered = side.with_columns(
            expected_variance=pl.when(pl.col("available_at") > moment).then(9.0).otherwise("expected_variance")
        )
        again = variance_premiums(rows, altered, calendar, SETTINGS).filter(pl.col("recv_ts") <= moment)
        assert_frame_equal(again, known)
