"""The page of options: one file, no requests, verdict first; whatever is missing is said in words."""

from __future__ import annotations

import re
from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from argus_core.options.heston import HestonParameters
from argus_core.options.heston.boundary_curves import boundary_curves
from argus_core.options.heston.fourier import cdf, prices
from argus_core.options.heston.managed import Management
from argus_core.options.heston.market import Market, SimulatedLeg, SimulatedPosition
from argus_core.options.profit.quantiles import heston_quantiles
from argus_core.options.surface import essvi, grid_arbitrage
from argus_core.options.surface.mid_arbitrage import mid_arbitrage
from argus_core.reports import cycle_report, option_report
from argus_core.reports.option_day import (
    OptionDay,
    position_in_words,
    ranked_positions,
    snapshot_numbers,
)
from argus_core.reports.option_sections import residual_rows
from argus_core.reports.options import option_summary, verdict_in_words
from argus_core.reports.words import MINUS, TIMES
from tests.option_tables import SETTINGS, option_tables
from tests.options.heston_chains import RECV

DAY = RECV.date()
PARAMETERS = HestonParameters(0.03, 2.0, 0.04, 0.5, -0.7)
SECTIONS = (
    "Candidates: three opinions on each",
    "The top candidate, day by day",
    "Anomalies: quotes to look at",
    "The day",
    "Fit: where the surface misses the market",
    "Smiles",
    "Surface",
    "Heston parameters",
    "Forwards from put-call parity",
    "Quotes that are not used",
    "Provenance",
)


@pytest.fixture(scope="module")
def tables() -> dict[str, pl.DataFrame]:
    return option_tables()


def written(path, tables, **options) -> str:
    """The page without plotly.js."""
    arguments = {"underlying": "SPY", "date": DAY, "settings": SETTINGS, "commission": 0.65}
    page = option_report(path, **arguments | options, **tables).read_text()
    return page[page.index("</script>") :]


def words(page: str) -> str:
    without_scripts = re.sub(r"<script.*?</script>|<style.*?</style>", " ", page, flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", without_scripts))


def test_the_page_holds_every_section_and_figure_and_makes_no_request(tables, tmp_path):
    path = option_report(tmp_path / "deep" / "o.html", underlying="SPY", date=DAY, settings=SETTINGS, **tables)
    whole = path.read_text()
    assert whole.count("plotly.js v") == 1
    assert not re.search(r"""<(script|link|img|iframe)[^>]+(src|href)=["']?(https?:)?//""", whole)
    page = whole[whole.index("</script>") :]
    assert tuple(re.findall(r"<h2>(.*?)</h2>", page)) == SECTIONS
    figures = {"fan", "boundaries", "residuals", "surface", "variance", "forward", "yields"}
    figures |= {f"strip{i}" for i in range(4)} | {f"smile{i}" for i in range(3)}
    figures |= {f"heston_{name}" for name in HestonParameters._fields}
    assert set(re.findall(r'<div id="(\w+)" class="plotly', page)) == figures
    assert not {"nan", "inf", "null"} & set(words(page).lower().split())


def test_the_same_tables_in_any_order_give_the_same_bytes(tables, tmp_path):
    one = written(tmp_path / "a.html", tables)
    shuffled = {name: frame.sample(fraction=1.0, shuffle=True, seed=3) for name, frame in tables.items()}
    assert written(tmp_path / "b.html", shuffled) == one


def test_the_planted_quote_is_told_with_its_contract(tables, tmp_path):
    last = OptionDay.of("SPY", DAY, **tables).last
    wrong = last.implied_vols.filter((pl.col("strike") == 480) & (pl.col("right") == "P")).sort("expiry")["contract"][1]
    assert wrong in set(last.anomalies["contracts"].str.split(",").explode())
    assert wrong in words(written(tmp_path / "o.html", tables))
    rows = residual_rows(last)
    assert rows.filter(pl.col("contract") == wrong)["residual"][0] > 5
    assert rows["residual"].abs().median() < 1.0


def test_no_candidate_is_called_good_by_one_opinion(tables):
    day = OptionDay.of("SPY", DAY, **tables).last
    rows = ranked_positions(day.pop)
    names = ("expected_pnl", "expected_pnl_surface", "expected_pnl_managed")
    assert rows["least_pnl"].to_list() == [min(row[name] for name in names) for row in rows.iter_rows(named=True)]
    assert rows["least_pnl"].is_sorted(descending=True)
    one = day.pop.with_columns(
        pl.lit(1e6).alias("expected_pnl"), pl.lit(None, pl.Float64).alias("expected_pnl_surface")
    )
    assert ranked_positions(one)["least_pnl"].null_count() == one.height
    split = day.pop.with_columns(pl.lit(1e6).alias("expected_pnl"), pl.lit(-5.0).alias("expected_pnl_surface"))
    calm = OptionDay.of("SPY", DAY, **tables | {"pop": split, "anomalies": None}).last
    assert verdict_in_words(calm) == ("Nothing pays by every opinion", "none")
    agreed = day.pop.with_columns(pl.lit(10.0).alias(name) for name in names)
    paying = OptionDay.of("SPY", DAY, **tables | {"pop": agreed, "anomalies": None}).last
    assert verdict_in_words(paying) == (f"{agreed.height} candidates pay by every opinion", "some")


def test_a_wide_gap_between_model_and_market_is_marked(tables, tmp_path):
    pop = tables["pop"].with_columns(pl.lit(0.08).alias("model_gap"))
    assert '<span class="chip kill">+8.0 %</span>' in written(tmp_path / "a.html", tables | {"pop": pop})
    close = tables["pop"].with_columns(pl.lit(0.02).alias("model_gap"))
    page = written(tmp_path / "b.html", tables | {"pop": close})
    assert "+2.0 %" in page
    assert '<span class="chip kill">+2.0 %</span>' not in page


def test_reasons_of_missing_numbers_have_a_column(tables, tmp_path):
    pop = tables["pop"].with_columns(
        *(pl.lit(None, pl.Float64).alias(n) for n in ("pop_terminal", "expected_pnl", "pop_managed")),
        pl.lit("no forward: nan").alias("reason"),
    )
    page = words(written(tmp_path / "o.html", tables | {"pop": pop}))
    assert "Why numbers are missing" in page
    assert "no forward: nan" in page
    assert "Nothing to draw" in page


def test_everything_from_data_is_escaped(tables, tmp_path):
    bad = "<script>alert(1)</script>"
    hostile = tables | {
        "anomalies": tables["anomalies"].with_columns(
            pl.lit(bad).alias("explanation"), pl.lit(bad).alias("contracts"), pl.lit(bad).alias("severity")
        ),
        "implied_vols": tables["implied_vols"].with_columns(
            pl.when("used").then(None).otherwise(pl.lit(bad)).alias("reason"), pl.lit(bad).alias("provider")
        ),
        "pop": tables["pop"].with_columns(
            pl.lit(bad).alias(n) for n in ("structure", "monitoring", "reason", "scheme")
        ),
        "fits": tables["fits"].with_columns(pl.lit(bad).alias(n) for n in ("reason", "chain_hash")),
    }
    page = written(tmp_path / "o.html", hostile, underlying=bad)
    assert bad not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert bad not in option_summary([OptionDay.of(bad, DAY, **hostile)], [f'"{bad}'])


@pytest.mark.parametrize("absent", ["forwards", "implied_vols", "slices", "fits", "anomalies", "pop"])
def test_any_absent_table_is_told_in_words(tables, tmp_path, absent):
    page = words(written(tmp_path / "o.html", tables | {absent: None}))
    told = {
        "forwards": "No expiry has a forward.",
        "implied_vols": "There is no chain",
        "slices": "No surface could be fitted",
        "fits": "No fit at this snapshot",
        "anomalies": "No quote stands out.",
        "pop": "No candidate was judged at this snapshot",
    }
    assert told[absent] in page
    assert option_summary([OptionDay.of("SPY", DAY, **tables | {absent: None})], [None])


def test_what_the_lake_gives_for_an_absent_table_is_an_empty_one(tables):
    """No columns, no rows, or nothing at all: the same day; and a name that is no table is an error."""
    days = [OptionDay.of("SPY", DAY, fits=fits) for fits in (None, pl.DataFrame(), tables["fits"].clear())]
    assert days[0].fits.equals(days[1].fits)
    assert days[0].fits.equals(days[2].fits)
    assert OptionDay.of("SPY", DAY).times == []
    with pytest.raises(ValueError, match="no table is called heston; the tables are forwards"):
        OptionDay.of("SPY", DAY, heston=tables["fits"])


def test_a_date_without_anything_still_has_a_page(tmp_path):
    page = words(written(tmp_path / "o.html", {}))
    assert "There is no chain" in page
    assert "Nothing was received or computed for this date." in page
    assert "There is no chain to search." in page


def _void(frame: pl.DataFrame) -> pl.DataFrame:
    """Every nullable number missing: what broken input leaves."""
    keep = {"t_cal", "t_var", "discount", "rate", "strike", "quote_age"}
    return frame.with_columns(
        pl.lit(None, kind).alias(name)
        for name, kind in frame.schema.items()
        if kind == pl.Float64 and name not in keep and name not in ("price", "score", "alpha", "statistic", "threshold")
    )


@pytest.mark.parametrize("fault", ["nulls", "nan", "unused", "one quote", "expired", "no fit", "not converged"])
def test_degenerate_tables_never_raise(tables, tmp_path, fault):
    def nan(frame):
        return frame.with_columns(
            pl.lit(float("nan")).alias(n) for n, kind in frame.schema.items() if kind == pl.Float64
        )

    changed = {
        "nulls": {name: _void(frame) for name, frame in tables.items()},
        "nan": {name: nan(frame) for name, frame in tables.items()},
        "unused": {"implied_vols": tables["implied_vols"].with_columns(pl.lit(False).alias("used"))},
        "one quote": {
            "implied_vols": tables["implied_vols"].filter("used").head(1),
            "slices": tables["slices"].head(1),
        },
        "expired": {
            n: tables[n].with_columns(pl.lit(-0.1).alias("t_cal")) for n in ("forwards", "implied_vols", "slices")
        },
        "no fit": {"fits": _void(tables["fits"]), "pop": None},
        "not converged": {"fits": tables["fits"].with_columns(pl.lit(False).alias("converged"))},
    }[fault]
    page = words(written(tmp_path / "o.html", tables | changed))
    assert "Provenance" in page
    assert "nan" not in page.lower().split()
    assert option_summary([OptionDay.of("SPY", DAY, **tables | changed)], [None])


def test_a_later_snapshot_of_another_table_does_not_mix_in(tables):
    """The page is about one receipt: a chain that came later leaves the earlier surface alone."""
    later = (
        tables["implied_vols"].filter(pl.col("recv_ts") == RECV).with_columns(pl.col("recv_ts") + timedelta(minutes=5))
    )
    day = OptionDay.of("SPY", DAY, **tables | {"implied_vols": pl.concat([tables["implied_vols"], later])}).last
    assert day.implied_vols.height == later.height
    assert day.slices.is_empty()
    assert verdict_in_words(day)[0] == "No surface could be fitted"


def test_numbers_of_a_snapshot_are_those_of_its_surface(tables):
    day = OptionDay.of("SPY", DAY, **tables).last
    numbers = snapshot_numbers(day)
    # Heston of v0 .034 drawn to .04: the square root of its mean over 30 days.
    assert numbers["atm"] == pytest.approx(0.034**0.5, abs=0.006)
    assert numbers["skew"] > 0.01
    assert numbers["used"] == int(day.implied_vols["used"].sum())
    assert sum(numbers[name] for name in ("act", "watch", "info")) == day.anomalies.height


def test_a_position_is_named_by_side_structure_and_legs():
    legs = (
        '[{"contract":"a","expiry":"2026-09-04","strike":480.0,"right":"P","quantity":-1},'
        '{"contract":"b","expiry":"2026-09-04","strike":470.5,"right":"P","quantity":2}]'
    )
    row = {"side": "sell", "structure": "put_vertical", "legs": legs}
    assert position_in_words(row) == f"sell put vertical +2{TIMES}470.5P {MINUS}480P"


def test_the_cycle_report_has_a_row_per_underlying_with_a_link(tables, dead_cycle, tmp_path):
    day = OptionDay.of("SPY", DAY, **tables)
    path = cycle_report(
        tmp_path / "c.html", **dead_cycle.arguments(), options=[day], option_pages=["options_SPY_2026-08-03.html"]
    )
    page = path.read_text()
    assert '<a href="options_SPY_2026-08-03.html">SPY</a>' in page
    assert "<h2>Options</h2>" in page
    plain = cycle_report(tmp_path / "p.html", **dead_cycle.arguments()).read_text()
    assert "<h2>Options</h2>" not in plain


def test_quantiles_are_where_the_distribution_function_says():
    years, levels = np.array([1 / 365, 30 / 365, 2.0]), np.array([0.01, 0.05, 0.5, 0.95])
    forwards = np.array([100.0, 101.0, 90.0])
    found = heston_quantiles(PARAMETERS, years, forwards, levels)
    below = cdf(PARAMETERS, years, np.log(found / forwards[:, None]))
    assert np.abs(below - levels).max() < 1e-6
    with pytest.raises(ValueError, match="levels"):
        heston_quantiles(PARAMETERS, years, forwards, [0.0, 0.5])


def test_at_a_boundary_the_mark_is_at_its_level():
    """An independent look: the value of the position at the price drawn, by the Fourier sums of that state."""
    legs = (SimulatedLeg(95.0, "P", -1.0, 40), SimulatedLeg(90.0, "P", 1.0, 40))
    position, market = SimulatedPosition(legs, 1.2), Market(100.0, 0.03, 0.01)
    level = PARAMETERS.v0**0.5
    found = boundary_curves(position, PARAMETERS, market, Management(target=0.5, stop=2.0), [level], most=5)
    assert found.days[-1] == 40
    assert {curve.kind for curve in found.curves} == {"target", "stop"}
    for curve in found.curves:
        # A credit spread of puts takes its profit above and is stopped below.
        assert curve.above == (curve.kind == "target")
        wanted = 0.6 if curve.kind == "target" else 2.4
        for day, spot in zip(found.days, curve.price, strict=True):
            if day == 40 or not np.isfinite(spot):
                continue
            years = (40 - day) / 365
            forward = spot * np.exp(0.02 * years)
            k = np.log(np.array([95.0, 90.0]) / forward)
            puts = np.exp(-0.03 * years) * forward * prices(PARAMETERS, years, k, call=False)[0]
            # Boundaries are read at the middle of a cell of sqrt(v), two per mille wide.
            assert puts[0] - puts[1] == pytest.approx(wanted, abs=0.01)
    with pytest.raises(ValueError, match="no option"):
        boundary_curves(SimulatedPosition((), 1.0), PARAMETERS, market, Management(), [level])


def test_mids_of_a_fair_chain_hold_no_arbitrage_and_a_moved_one_does(tables):
    day = OptionDay.of("SPY", DAY, **tables).last
    slices = day.slices
    fair = day.implied_vols.drop("theta", "rho").join(slices.select("expiry_ts", "theta", "psi", "rho"), on="expiry_ts")
    k, theta, psi, rho, years = (fair[c].to_numpy() for c in ("log_moneyness", "theta", "psi", "rho", "t_cal"))
    fair = fair.with_columns(iv_mid=pl.Series(np.sqrt(essvi(k, theta, psi, rho).value / years)))
    assert grid_arbitrage(slices).total == 0
    found = mid_arbitrage(fair)
    assert (found.total, found.points) == (0, fair.filter("used").height)
    assert mid_arbitrage(day.implied_vols).butterfly > 0
    first = fair["expiry_ts"].min()
    lifted = fair.with_columns(
        pl.when(pl.col("expiry_ts") == first).then(pl.col("iv_mid") * 3).otherwise("iv_mid").alias("iv_mid")
    )
    assert mid_arbitrage(lifted).calendar > 0
    assert mid_arbitrage(fair.clear()).total == 0
