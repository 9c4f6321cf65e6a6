"""Heston fits of a series of snapshots, each started at and drawn to the one before; model beside market."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import polars as pl

from argus_core.options.black import implied_vol
from argus_core.options.heston.calibration import HestonFit, calibrate
from argus_core.options.heston.fourier import heston_table
from argus_core.options.heston.parameters import HestonParameters
from argus_core.options.schemas import HestonFits, HestonResiduals
from argus_core.settings.option_calibration import HestonCalibrationSettings

_SNAPSHOT = ("provider", "underlying", "recv_ts")


def fit_snapshots(
    implied_vols: pl.DataFrame,
    settings: HestonCalibrationSettings | None = None,
    previous: HestonParameters | None = None,
) -> pl.DataFrame:
    """Fit every snapshot, in order of receipt; a fit knows only those before it.

    Args:
        implied_vols: schema `ImpliedVols`, any number of snapshots.
        previous: parameters known before the first snapshot of each provider and underlying, None: none.

    Returns:
        Schema `HestonFits`, one row per snapshot, sorted by provider, underlying and receipt. A fit that has not
        converged is neither start nor anchor of the next.
    """
    settings = settings or HestonCalibrationSettings()
    known: dict[tuple[str, str], HestonParameters] = {}
    rows = []
    for (provider, underlying, recv_ts), chain in _by_snapshot(implied_vols):
        anchor = known.get((provider, underlying), previous)
        fit = calibrate(chain, settings, previous=anchor)
        if fit.converged and fit.parameters is not None:
            known[provider, underlying] = fit.parameters
        rows.append({"provider": provider, "underlying": underlying, "recv_ts": recv_ts, **_row(fit)})
    frame = pl.DataFrame(rows, schema=HestonFits.create_empty().schema)
    return HestonFits.validate(frame)


def heston_residuals(implied_vols: pl.DataFrame, fits: pl.DataFrame) -> pl.DataFrame:
    """Model volatility of every used contract, also of those that a fit left out.

    Args:
        implied_vols: schema `ImpliedVols`.
        fits: schema `HestonFits`; snapshots without parameters give no rows.

    Returns:
        Schema `HestonResiduals`, sorted by provider, underlying, receipt, expiry, strike, right and contract.
    """
    fitted = {
        tuple(row[name] for name in _SNAPSHOT): row for row in fits.iter_rows(named=True) if row["v0"] is not None
    }
    parts = []
    for key, chain in _by_snapshot(implied_vols):
        row = fitted.get(key)
        usable = chain.filter(
            pl.col("used"),
            pl.col("iv_mid").is_finite(),
            pl.col("forward") > 0,
            pl.col("t_cal") > 0,
            pl.col("strike") > 0,
        ).sort("expiry_ts", "strike", "right", "contract")
        if row is None or usable.is_empty():
            continue
        parameters = HestonParameters(*(row[name] for name in HestonParameters._fields))
        vols = np.concatenate([_model_vols(parameters, part) for part in usable.partition_by("expiry_ts")])
        half = 0.5 * (pl.col("iv_ask") - pl.col("iv_bid"))
        gap = pl.col("iv_model") - pl.col("iv_mid")
        parts.append(
            usable.with_columns(
                pl.Series("iv_model", vols).fill_nan(None),
                log_moneyness=(pl.col("strike") / pl.col("forward")).log(),
                parameter_hash=pl.lit(row["parameter_hash"]),
            )
            .with_columns(gap=gap, gap_half_spreads=pl.when(half > 0).then(gap / half))
            .select(HestonResiduals.column_names())
        )
    found = pl.concat(parts) if parts else HestonResiduals.create_empty()
    return HestonResiduals.validate(found)


def _by_snapshot(frame: pl.DataFrame) -> list[tuple[tuple[Any, ...], pl.DataFrame]]:
    """((provider, underlying, recv_ts), rows), sorted."""
    parts = frame.sort(*_SNAPSHOT, maintain_order=True).partition_by(*_SNAPSHOT, maintain_order=True)
    return [(tuple(part[name][0] for name in _SNAPSHOT), part) for part in parts]


def _model_vols(parameters: HestonParameters, part: pl.DataFrame) -> np.ndarray:
    """Volatilities of the model's prices for contracts of one expiry."""
    k = np.log((part["strike"] / part["forward"]).to_numpy())
    years = float(part["t_cal"][0])
    prices = heston_table(parameters, years).prices(k, k > 0)[0]
    return implied_vol(prices, 1.0, np.exp(k), years, k > 0)


def _row(fit: HestonFit) -> dict[str, Any]:
    """The columns of `HestonFits` after the snapshot's."""
    p = fit.parameters
    names = HestonParameters._fields
    return {
        **dict(zip(names, p if p is not None else (None,) * 5, strict=True)),
        **{f"se_{name}": _known(value) for name, value in zip(names, fit.standard_errors, strict=True)},
        "condition": _known(fit.condition),
        "feller": p.feller if p is not None else None,
        "n_contracts": fit.n_contracts,
        "n_expiries": fit.n_expiries,
        "rmse_iv": _known(fit.rmse_iv),
        "rmse_half_spreads": _known(fit.rmse_half_spreads),
        "price_error": _known(fit.price_error),
        "iterations": fit.iterations,
        "converged": fit.converged,
        "regularised": fit.regularised,
        "reason": fit.reason,
        "parameter_hash": p.digest if p is not None else None,
        "chain_hash": fit.chain_hash,
    }


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None
