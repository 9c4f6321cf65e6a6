"""Probabilities of profit beside what happened: realised profits of a page, reliability, Brier scores.

Positions of one evening share one outcome, and those of neighbouring evenings most of it: thousands of rows can be a
handful of independent observations. So every table counts the settlements beside the rows.
"""

from __future__ import annotations

import json

import numpy as np
import polars as pl

from argus_core.options.positions import profit_lines_of

#: Opinions that a page has on the profit at expiry: probability -> expected profit.
OPINIONS = {"pop_terminal": "expected_pnl", "pop_surface": "expected_pnl_surface"}
_ROOT = r"^([A-Za-z.]+)"


def realised_profit(
    page: pl.DataFrame, settlements: pl.DataFrame, *, commission: float = 0.0, multiplier: float = 100.0
) -> pl.DataFrame:
    """Rows of a page whose expiry has settled, with what they made.

    Args:
        page: `ProfitPage` rows of any number of snapshots.
        settlements: root (of the contract symbol: SPX settles in the morning, SPXW in the evening), expiry, settled
            (price of the underlying). At most one row per root and expiry.
        commission: dollars per contract, paid once; as the page was made with.
        multiplier: shares per contract.

    Returns:
        The rows in their order with ``settled``, ``realised_pnl`` (dollars per unit of the position) and ``won``
        (realised_pnl > 0). Left out: expiries without a settlement, and positions of two expiries.

    Raises:
        ValueError: on two settlements of one root and expiry.
    """
    twice = settlements.group_by("root", "expiry").len().filter(pl.col("len") > 1).sort("root", "expiry")
    if twice.height:
        root, expiry, count = twice.row(0)
        raise ValueError(f"settlements: {root} {expiry} is there {count} times; keep the one that holds.")
    parsed = [json.loads(text) for text in page["legs"]]
    single = [len({leg["expiry"] for leg in legs}) == 1 for legs in parsed]
    roots = pl.Series("root", [legs[0]["contract"] for legs in parsed], dtype=pl.String).str.extract(_ROOT)
    # Deribit writes BTC-14AUG26-..., the others put the date right behind the root.
    known = (
        page.with_columns(roots, pl.Series("_row", np.arange(page.height)), pl.Series("_single", single, pl.Boolean))
        .join(settlements.select("root", "expiry", "settled"), on=["root", "expiry"], how="left", maintain_order="left")
        .filter(pl.col("_single"), pl.col("settled").is_finite())
    )
    legs = [parsed[row] for row in known["_row"]]
    most = max((len(one) for one in legs), default=1)

    def table(name: str, missing: float) -> np.ndarray:
        rows = [[float(leg[name]) for leg in one] + [missing] * (most - len(one)) for one in legs]
        return np.array(rows, dtype=np.float64).reshape(len(legs), most)

    calls = [[leg["right"] == "C" for leg in one] + [False] * (most - len(one)) for one in legs]
    quantity, settled = table("quantity", 0.0), known["settled"].to_numpy()
    lines = profit_lines_of(
        table("strike", np.nan),
        np.array(calls, dtype=bool).reshape(len(legs), most),
        quantity,
        known["price"].to_numpy(),
        multiplier=multiplier,
        costs=commission * np.abs(quantity).sum(axis=1),
    )
    profit = lines.at(settled)
    return known.drop("_row", "_single", "root").with_columns(
        pl.Series("realised_pnl", profit), pl.Series("won", profit > 0)
    )


def reliability(realised: pl.DataFrame, bins: int = 10, *, opinion: str = "pop_terminal") -> pl.DataFrame:
    """How often positions won, by the probability that was given for it.

    Args:
        realised: what `realised_profit` returns.
        bins: equal bins of [0, 1]; the last one holds 1.
        opinion: column of the probability.

    Returns:
        One row per bin that has positions: low, high, positions, settlements (distinct expiries), mean_pop, won
        (share).
    """
    if bins < 1:
        raise ValueError(f"bins = {bins}: at least 1.")
    number = (pl.col(opinion) * bins).floor().cast(pl.Int64).clip(0, bins - 1)
    return (
        realised.filter(pl.col(opinion).is_finite())
        .group_by(number.alias("bin"))
        .agg(
            pl.len().cast(pl.Int64).alias("positions"),
            pl.col("expiry").n_unique().cast(pl.Int64).alias("settlements"),
            pl.col(opinion).mean().alias("mean_pop"),
            pl.col("won").mean().alias("won"),
        )
        .sort("bin")
        .select(
            (pl.col("bin") / bins).alias("low"),
            ((pl.col("bin") + 1) / bins).alias("high"),
            "positions",
            "settlements",
            "mean_pop",
            "won",
        )
    )


def calibration_gap(realised: pl.DataFrame, *, opinion: str = "pop_terminal") -> dict[str, float]:
    """How much more often than said the likelier positions (probability 1/2 or more) won; one vote per settlement.

    Returns:
        gap (mean over settlements of the mean of won - probability), standard_error (from their scatter; NaN with fewer
        than two), settlements. The error takes settlements for independent: true where no two of them share a day.
    """
    likely = realised.filter(pl.col(opinion) >= 0.5)
    means = likely.group_by("expiry").agg((pl.col("won") - pl.col(opinion)).mean().alias("gap")).sort("expiry")["gap"]
    count = len(means)
    scatter = means.std() if count > 1 else None
    return {
        "gap": float("nan") if count == 0 else float(means.to_numpy().mean()),
        "standard_error": float("nan") if scatter is None else float(scatter) / count**0.5,  # ty: ignore
        "settlements": count,
    }


def brier_scores(realised: pl.DataFrame) -> pl.DataFrame:
    """Mean squared error of every opinion and of two constants, on the positions that all opinions judge.

    Returns:
        opinion, brier, positions, settlements. ``half`` says 1/2 of everything; ``base_rate`` the share that won, which
        nobody knew before. Lower is better.
    """
    both = realised.filter(pl.all_horizontal(pl.col(name).is_finite() for name in OPINIONS))
    won = both["won"].cast(pl.Float64)
    said = {name: both[name] for name in OPINIONS}
    rate = won.mean()
    said |= {"half": pl.Series([0.5] * both.height), "base_rate": pl.Series([rate] * both.height, dtype=pl.Float64)}
    rows = [{"opinion": name, "brier": ((values - won) ** 2).mean()} for name, values in said.items()]
    return pl.DataFrame(rows, schema={"opinion": pl.String, "brier": pl.Float64}).with_columns(
        pl.lit(both.height, pl.Int64).alias("positions"),
        pl.lit(both["expiry"].n_unique(), pl.Int64).alias("settlements"),
    )


def expected_beside_realised(realised: pl.DataFrame) -> pl.DataFrame:
    """Mean expected and mean realised profit by structure and side, on the positions that all opinions judge.

    Returns:
        structure, side, positions, settlements, pop_terminal, pop_surface (means), won (share), expected_pnl,
        expected_pnl_surface, realised_pnl (mean dollars).
    """
    names = [*OPINIONS, "won", *OPINIONS.values(), "realised_pnl"]
    return (
        realised.filter(pl.all_horizontal(pl.col(name).is_finite() for name in OPINIONS))
        .group_by("structure", "side")
        .agg(
            pl.len().cast(pl.Int64).alias("positions"),
            pl.col("expiry").n_unique().cast(pl.Int64).alias("settlements"),
            *(pl.col(name).mean() for name in names),
        )
        .sort("structure", "side")
    )
