"""The table of implied volatilities of a chain: one convention for every provider, a reason for every quote left out.

Only prices are inverted, never a provider's volatility: European Black on the implied forward, discounted with the
forward's rate, over the calendar clock. American prices lose their early-exercise premium first, computed at the
volatility of the out-of-the-money side of the strike.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from argus_core.calendar import TradingCalendar
from argus_core.market.schemas import conform, empty
from argus_core.options.american import early_exercise_premium
from argus_core.options.forwards import shrunk_yields
from argus_core.options.greeks import greeks
from argus_core.options.hygiene import judged_quotes
from argus_core.options.normalised_black import AT_BOUND, AT_INTRINSIC, implied_vols
from argus_core.options.schemas import ImpliedVols
from argus_core.settings import Instrument
from argus_core.settings.option_chains import OptionChainSettings

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

#: Reasons of a clean quote that is not used, after those of hygiene.
VOL_REASONS = ("NO_FORWARD", "IN_THE_MONEY", "BELOW_INTRINSIC", "ABOVE_BOUND", "NO_IV")
#: Reasons of hygiene under which not even the ask means a volatility.
_MEANINGLESS = ("FUTURE", "EXPIRED", "DUPLICATE", "NON_STANDARD", "SPLIT_DAY", "NO_QUOTE", "NEGATIVE", "CROSSED")


def implied_vols_of(
    quotes: pl.DataFrame,
    forwards: pl.DataFrame,
    instrument: Instrument,
    calendar: TradingCalendar,
    settings: OptionChainSettings,
) -> pl.DataFrame:
    """One row of `ImpliedVols` per quote.

    Args:
        quotes: rows of `OptionQuotes` of one underlying: whole snapshots, each one ``recv_ts``.
        forwards: `forwards_of` the same quotes.

    Returns:
        ``used`` marks clean contracts out of the money with a volatility; the others say why not. Contracts in the
        money get volatilities too, which rest on the premium at their twin's volatility. ``iv_se`` is one standard
        error of ``iv_mid``: half the spread as a uniform error, a share of the premium, the forward's error, and the
        move of the underlying that a quote older than the snapshot's newest has missed.
    """
    rows = judged_quotes(quotes, instrument, calendar, settings)
    if rows.is_empty():
        return empty(ImpliedVols)
    key = ["provider", "underlying", "recv_ts", "expiry", "expiry_ts"]
    known = (
        forwards.sort("recv_ts", "expiry_ts")
        .with_columns(_yields(forwards, settings))
        .select(*key, "forward", "forward_se", "discount", "rate", "q", pl.col("spot").alias("standing_spot"))
    )
    rows = rows.join(known, on=key, how="left", maintain_order="left")
    # Expiries that ``forwards`` lacks still get a discount.
    days = rows["moment"].dt.date()
    by_day = {day: settings.rate_on(day, crypto=instrument.is_crypto) for day in days.unique()}
    rate = days.replace_strict(by_day, return_dtype=pl.Float64)
    rows = rows.with_columns(pl.col("rate").fill_null(rate)).with_columns(
        pl.col("discount").fill_null((-pl.col("rate") * pl.col("t_cal").clip(0.0)).exp())
    )
    found = _volatilities(rows, settings, american=instrument.american)
    code = found.pop("code")
    strike, forward = _array(rows, "strike"), _array(rows, "forward")
    call = (rows["right"] == "C").to_numpy()
    sensitivities = greeks(
        forward,
        strike,
        _array(rows, "t_cal"),
        found["iv_mid"],
        call,
        _array(rows, "discount"),
        spot=_array(rows, "standing_spot"),
    )
    found.update({name: getattr(sensitivities, name) for name in ("delta", "gamma", "vega", "theta", "rho")})
    found["iv_se"] = _standard_error(rows, found)
    del found["premium_se"]
    with np.errstate(divide="ignore", invalid="ignore"):
        moneyness = np.log(strike / forward)
        inside = call != (strike >= forward)
    later = np.select(
        [~np.isfinite(forward), inside, code == AT_INTRINSIC, code == AT_BOUND, ~np.isfinite(found["iv_mid"])],
        VOL_REASONS,
        default="",
    )
    rows = rows.with_columns(
        *(pl.Series(name, values) for name, values in found.items()),
        pl.Series("log_moneyness", moneyness),
        pl.col("reason").fill_null(pl.Series(later.tolist(), dtype=pl.String).replace("", None)),
        provider_iv=pl.col("iv"),
    ).with_columns(used=pl.col("reason").is_null())
    return conform(rows.with_columns(pl.col(pl.Float64).fill_nan(None)), ImpliedVols)


def _yields(forwards: pl.DataFrame, settings: OptionChainSettings) -> pl.Series:
    """Yield of every row of ``forwards``, sorted by recv_ts and expiry_ts, for the early-exercise premium."""
    rows = forwards.sort("recv_ts", "expiry_ts")
    columns = [_array(rows, name) for name in ("forward", "forward_se", "spot", "rate", "t_cal")]
    return pl.Series("q", shrunk_yields(*columns, rows["recv_ts"].rle_id().to_numpy(), settings.exercise))


def _volatilities(rows: pl.DataFrame, settings: OptionChainSettings, *, american: bool) -> dict[str, NDArray[Any]]:
    """iv_bid, iv_mid, iv_ask, premium, its standard error, and the code of `normalised_black.REASONS` of iv_mid."""
    bid, ask = _array(rows, "bid"), _array(rows, "ask")
    bad = rows["reason"].is_in(_MEANINGLESS).fill_null(False).to_numpy()
    bid, ask = np.where(bad, np.nan, bid), np.where(bad, np.nan, ask)
    with np.errstate(invalid="ignore"):
        bid = np.where(bid > 0, bid, np.nan)
    mid = 0.5 * (bid + ask)
    forward, strike, t, discount = (_array(rows, name) for name in ("forward", "strike", "t_cal", "discount"))
    call = (rows["right"] == "C").to_numpy()
    nothing = np.zeros(len(mid))
    premium, premium_se = _premium(rows, mid, call, settings) if american else (nothing, nothing)
    found = {
        name: implied_vols(price - np.nan_to_num(premium), forward, strike, t, call, discount)
        for name, price in (("iv_bid", bid), ("iv_mid", mid), ("iv_ask", ask))
    }
    result = {name: vols.iv for name, vols in found.items()}
    return {**result, "premium": premium, "premium_se": premium_se, "code": found["iv_mid"].code}


def _premium(rows: pl.DataFrame, mid: Floats, call: Flags, settings: OptionChainSettings) -> tuple[Floats, Floats]:
    """Early-exercise premium of every contract at the volatility of the out-of-the-money side of its strike.

    Its standard error: a share of it, and for puts out of the money a share of what it would grow by if the dividends
    until expiry fell at once, after which nothing speaks against exercise: the truth lies between that and the yield.
    """
    forward, strike, t, discount, rate, dividend, spot = (
        _array(rows, name) for name in ("forward", "strike", "t_cal", "discount", "rate", "q", "standing_spot")
    )
    with np.errstate(invalid="ignore"):
        outside = (call == (strike >= forward)) & np.isfinite(forward) & np.isfinite(mid) & (t > 0)
    out = np.flatnonzero(outside)
    arguments = (forward[out], strike[out], t[out], call[out], discount[out])
    vol = implied_vols(mid[out], *arguments).iv
    premium = np.zeros(len(mid))
    for _ in range(settings.exercise.passes):
        premium[out] = early_exercise_premium(spot[out], strike[out], t[out], vol, call[out], rate[out], dividend[out])
        vol = implied_vols(mid[out] - np.nan_to_num(premium[out]), *arguments).iv
    # In the money: the twin's volatility, from the contract of the same expiry and strike on the other side.
    key = rows.select("recv_ts", "expiry_ts", "strike").with_row_index("row")
    twins = key[out].with_columns(pl.Series("vol", vol)).filter(pl.col("vol").is_not_nan())
    twins = twins.unique(["recv_ts", "expiry_ts", "strike"], keep="first", maintain_order=True).drop("row")
    inside = np.flatnonzero(~outside & np.isfinite(forward) & np.isfinite(mid) & (t > 0))
    other = key[inside].join(twins, on=["recv_ts", "expiry_ts", "strike"], how="left", maintain_order="left")
    twin = other["vol"].fill_null(np.nan).to_numpy()
    premium[inside] = early_exercise_premium(
        spot[inside], strike[inside], t[inside], twin, call[inside], rate[inside], dividend[inside]
    )
    doubt = np.zeros(len(mid))
    some = ~call[out] & (dividend[out] > 0) & (premium[out] > 0)
    paid, after = out[some], spot[out[some]] * np.exp(-dividend[out[some]] * t[out[some]])
    at_once = early_exercise_premium(after, strike[paid], t[paid], vol[some], False, rate[paid], 0.0)
    doubt[paid] = settings.exercise.dividend_share * np.nan_to_num(np.maximum(at_once - premium[paid], 0.0))
    return premium, np.hypot(settings.exercise.relative_error * np.nan_to_num(premium), doubt)


def _standard_error(rows: pl.DataFrame, found: dict[str, Floats]) -> Floats:
    """One standard error of iv_mid; NaN where there is none."""
    forward, spot, discount, error = (_array(rows, n) for n in ("forward", "standing_spot", "discount", "forward_se"))
    half = 0.5 * (_array(rows, "ask") - _array(rows, "bid"))
    age = np.maximum(_array(rows, "lag"), 0.0) / (365.0 * 86_400.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        vega = found["vega"]
        slope = np.where(np.isfinite(spot / forward), spot / forward, discount)
        spread = 0.5 * (found["iv_ask"] - found["iv_bid"])
        spread = np.where(np.isfinite(spread), spread, half / vega)
        per_dollar = np.abs(found["delta"]) / vega
        parts = (
            spread / np.sqrt(3.0),
            found["premium_se"] / vega,
            per_dollar * slope * error,
            per_dollar * spot * found["iv_mid"] * np.sqrt(age),
        )
        total = np.sqrt(sum(np.square(part) for part in parts))
    return np.where(np.isfinite(found["iv_mid"]), total, np.nan)


def _array(rows: pl.DataFrame, name: str) -> Floats:
    return rows[name].cast(pl.Float64).fill_null(np.nan).to_numpy()
