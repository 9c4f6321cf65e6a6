"""Schemas of the option tables, in the order in which they are made: forwards, implied vols, surface, anomalies,
Heston parameters, probabilities of profit. One row belongs to one snapshot (``recv_ts``) of one underlying.

Nothing in a row rests on what was received after its ``recv_ts``. Volatilities are annualised fractions over the
calendar clock ``t_cal`` (ACT/365 to the exact expiry); ``t_var`` is the variance clock and is never mixed in.
"""

from __future__ import annotations

import dataframely as dy


class Snapshot(dy.Schema):
    """What every option table begins with: whose chain, and when it was received."""

    provider = dy.String(nullable=False)
    underlying = dy.String(nullable=False)
    recv_ts = dy.Datetime(time_unit="us", time_zone="UTC", nullable=False)


class Forwards(Snapshot):
    """One row per expiry: the forward implied by put-call parity."""

    expiry = dy.Date(nullable=False)
    expiry_ts = dy.Datetime(time_unit="us", time_zone="UTC", nullable=False)
    settlement = dy.String(nullable=False)  # AM or PM
    t_cal = dy.Float64(nullable=False)
    t_var = dy.Float64(nullable=False)
    spot = dy.Float64(nullable=True)
    forward = dy.Float64(nullable=True)
    forward_se = dy.Float64(nullable=True)
    discount = dy.Float64(nullable=False)
    rate = dy.Float64(nullable=False)  # continuously compounded, used for the discount
    carry = dy.Float64(nullable=True)  # ln(forward / spot) / t_cal
    implied_yield = dy.Float64(nullable=True)  # rate - carry: dividends and borrow
    n_pairs = dy.Int32(nullable=False)
    reason = dy.String(nullable=True)  # why there is no forward; null: there is one


class ImpliedVols(Snapshot):
    """One row per contract of a snapshot; European-equivalent volatilities of bid, mid and ask."""

    ts = dy.Datetime(time_unit="us", time_zone="UTC", nullable=False)
    contract = dy.String(nullable=False)
    expiry = dy.Date(nullable=False)
    expiry_ts = dy.Datetime(time_unit="us", time_zone="UTC", nullable=False)
    strike = dy.Float64(nullable=False)
    right = dy.String(nullable=False)
    bid = dy.Float64(nullable=True)
    ask = dy.Float64(nullable=True)
    bid_size = dy.Float64(nullable=True)
    ask_size = dy.Float64(nullable=True)
    open_interest = dy.Float64(nullable=True)
    forward = dy.Float64(nullable=True)
    discount = dy.Float64(nullable=False)
    t_cal = dy.Float64(nullable=False)
    t_var = dy.Float64(nullable=False)
    log_moneyness = dy.Float64(nullable=True)  # ln(strike / forward)
    iv_bid = dy.Float64(nullable=True)
    iv_mid = dy.Float64(nullable=True)
    iv_ask = dy.Float64(nullable=True)
    iv_se = dy.Float64(nullable=True)  # of iv_mid: half spread, early exercise, forward
    premium = dy.Float64(nullable=True)  # early-exercise premium taken off bid, mid and ask, dollars
    delta = dy.Float64(nullable=True)  # with respect to spot, of one share
    gamma = dy.Float64(nullable=True)
    vega = dy.Float64(nullable=True)  # per unit of volatility
    theta = dy.Float64(nullable=True)  # per calendar day
    rho = dy.Float64(nullable=True)  # per unit of rate
    provider_iv = dy.Float64(nullable=True)
    quote_age = dy.Float64(nullable=False)  # seconds, recv_ts - ts
    used = dy.Bool(nullable=False)  # out of the money, clean: goes into the surface
    reason = dy.String(nullable=True)  # why it is not used; null where used


class SurfaceSlices(Snapshot):
    """One row per expiry of the eSSVI surface w(k) = theta/2 (1 + rho phi k + sqrt((phi k + rho)^2 + 1 - rho^2)),
    w = iv^2 t_cal, phi = psi / theta."""

    expiry = dy.Date(nullable=False)
    expiry_ts = dy.Datetime(time_unit="us", time_zone="UTC", nullable=False)
    t_cal = dy.Float64(nullable=False)
    t_var = dy.Float64(nullable=False)
    forward = dy.Float64(nullable=False)
    discount = dy.Float64(nullable=False)
    theta = dy.Float64(nullable=False)
    psi = dy.Float64(nullable=False)
    rho = dy.Float64(nullable=False)
    n_quotes = dy.Int32(nullable=False)
    k_min = dy.Float64(nullable=False)
    k_max = dy.Float64(nullable=False)
    atm_iv = dy.Float64(nullable=False)
    skew = dy.Float64(nullable=False)  # d iv / d k at the forward
    rmse_iv = dy.Float64(nullable=False)
    rmse_half_spreads = dy.Float64(nullable=False)  # residual over half the spread, both in volatility
    inside_share = dy.Float64(nullable=False)  # share of quotes whose fit lies inside bid and ask
    svi_a = dy.Float64(nullable=True)
    svi_b = dy.Float64(nullable=True)
    svi_rho = dy.Float64(nullable=True)
    svi_m = dy.Float64(nullable=True)
    svi_sigma = dy.Float64(nullable=True)
    svi_rmse_iv = dy.Float64(nullable=True)
    svi_min_g = dy.Float64(nullable=True)  # below 0: the raw slice has butterfly arbitrage


class IvFeatures(Snapshot):
    """One row per snapshot: the surface at constant maturities of 30 and 60 calendar days, and the variance premium.

    Volatilities are annualised fractions (365 days). A null says in ``reason`` why.
    """

    available_at = dy.Datetime(time_unit="us", time_zone="UTC", nullable=False)  # recv_ts
    n_expiries = dy.Int32(nullable=False)  # of the surface
    iv_30 = dy.Float64(nullable=True)  # at the forward
    iv_60 = dy.Float64(nullable=True)
    iv_rr25_30 = dy.Float64(nullable=True)  # iv of the 25-delta call less that of the put
    iv_rr25_60 = dy.Float64(nullable=True)
    iv_bf25_30 = dy.Float64(nullable=True)  # their mean less iv at the forward
    iv_bf25_60 = dy.Float64(nullable=True)
    iv_skew_30 = dy.Float64(nullable=True)  # d iv / d ln(strike/forward) at the forward
    iv_term_slope = dy.Float64(nullable=True)  # iv_60 - iv_30
    iv_strip_variance_30 = dy.Float64(nullable=True)  # model-free variance, annualised; its root is like the VIX
    expected_vol_30 = dy.Float64(nullable=True)  # root of the expected realised variance of the same window
    variance_premium_30 = dy.Float64(nullable=True)  # implied less expected realised variance, annualised
    vol_premium_30 = dy.Float64(nullable=True)  # the same of their roots
    implied_by = dy.String(nullable=True)  # of the premium: strip or atm
    realised_by = dy.String(nullable=True)  # har or window
    realised_available_at = dy.Datetime(time_unit="us", time_zone="UTC", nullable=True)
    reason = dy.String(nullable=True)


#: Columns of `IvFeatures` in the decision frame, by their name there.
IV_FRAME_COLUMNS = {
    name: name
    for name in (
        "iv_30",
        "iv_60",
        "iv_rr25_30",
        "iv_rr25_60",
        "iv_bf25_30",
        "iv_bf25_60",
        "iv_skew_30",
        "iv_term_slope",
        "iv_strip_variance_30",
        "expected_vol_30",
        "variance_premium_30",
        "vol_premium_30",
    )
} | {"recv_ts": "iv_recv_ts"}


class Anomalies(Snapshot):
    """One row per flag."""

    kind = dy.String(nullable=False)  # residual, vertical, butterfly, calendar, parity, kink, history
    expiry = dy.Date(nullable=True)
    contracts = dy.String(nullable=False)  # which quotes to look at, separated by commas
    statistic = dy.Float64(nullable=False)
    threshold = dy.Float64(nullable=False)
    p_value = dy.Float64(nullable=True)
    edge = dy.Float64(nullable=True)  # dollars per contract after crossing the spread, where executable
    severity = dy.String(nullable=False)  # info, watch, act
    persistence = dy.Int32(nullable=False)  # of the last snapshots, how many had it, this one included
    of_snapshots = dy.Int32(nullable=False)
    quote_age = dy.Float64(nullable=True)
    size = dy.Float64(nullable=True)
    explanation = dy.String(nullable=False)


class HestonFits(Snapshot):
    """One row per snapshot; parameters and figures are null where there is no fit, and ``reason`` says why."""

    v0 = dy.Float64(nullable=True)
    kappa = dy.Float64(nullable=True)
    theta = dy.Float64(nullable=True)
    sigma = dy.Float64(nullable=True)
    rho = dy.Float64(nullable=True)
    se_v0 = dy.Float64(nullable=True)
    se_kappa = dy.Float64(nullable=True)
    se_theta = dy.Float64(nullable=True)
    se_sigma = dy.Float64(nullable=True)
    se_rho = dy.Float64(nullable=True)
    condition = dy.Float64(nullable=True)  # condition number of J'J; null too where it is singular
    feller = dy.Float64(nullable=True)
    n_contracts = dy.Int32(nullable=False)
    n_expiries = dy.Int32(nullable=False)
    rmse_iv = dy.Float64(nullable=True)
    rmse_half_spreads = dy.Float64(nullable=True)
    price_error = dy.Float64(nullable=True)  # of the prices fitted, in volatility
    iterations = dy.Int32(nullable=False)
    converged = dy.Bool(nullable=False)
    regularised = dy.Bool(nullable=False)  # towards the fit before
    reason = dy.String(nullable=True)  # why there is no fit, or what is wrong with it
    parameter_hash = dy.String(nullable=True)
    chain_hash = dy.String(nullable=False)


class HestonResiduals(Snapshot):
    """One row per used contract of a snapshot with a fit: what the model says beside the market."""

    contract = dy.String(nullable=False)
    expiry = dy.Date(nullable=False)
    expiry_ts = dy.Datetime(time_unit="us", time_zone="UTC", nullable=False)
    strike = dy.Float64(nullable=False)
    right = dy.String(nullable=False)
    t_cal = dy.Float64(nullable=False)
    log_moneyness = dy.Float64(nullable=False)
    iv_bid = dy.Float64(nullable=True)
    iv_mid = dy.Float64(nullable=False)
    iv_ask = dy.Float64(nullable=True)
    iv_model = dy.Float64(nullable=True)  # null where the model's price is below what a double can tell from zero
    gap = dy.Float64(nullable=True)  # iv_model - iv_mid
    gap_half_spreads = dy.Float64(nullable=True)  # gap over half the spread, both in volatility
    parameter_hash = dy.String(nullable=False)
