"""Acceptance table A of the statistics: row, case, expected numbers, tolerance, and the tests that check it.

`python -m tests.evaluation.acceptance` writes docs/acceptance.md; test_acceptance.py holds table, tests, page together.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "acceptance.md"


class Row(NamedTuple):
    """``expected`` are the table's numbers, as the tests write them; ``tests`` are file::function below tests/."""

    case: str
    expected: tuple[float, ...]
    tolerance: str
    tests: tuple[str, ...]
    note: str = ""


_SHARPE, _SPA, _MANY = "evaluation/test_sharpe.py", "evaluation/test_spa.py", "evaluation/test_multiplicity.py"
_BLOCK, _PATHS, _DIFFUSION = (
    "bootstrap/test_block_length.py",
    "bootstrap/test_trade_paths.py",
    "robustness/test_diffusion.py",
)
_PBO, _SPLITS, _BUDGET = "evaluation/test_pbo.py", "validation/test_splits.py", "allocation/test_risk_budget.py"
_KELLY, _TAIL, _SEQUENTIAL = "allocation/test_kelly.py", "risk/test_tail.py", "evaluation/test_sequential.py"
_HMM, _BOCPD, _MFDFA = "regimes/test_hmm.py", "regimes/test_bocpd.py", "regimes/test_mfdfa.py"
_PUBLISHED, _REAL = "evaluation/test_pbo_published.py", "robustness/test_real_drawdown.py"
_ENUMERATION = (
    f"{_SPA}::test_spa_equals_full_enumeration",
    f"{_SPA}::test_kernel_agrees_with_enumeration_within_monte_carlo_error",
)
_TRADES = f"{_PATHS}::test_path_statistics_equal_full_enumeration_within_monte_carlo_error"

# fmt: off
ROWS: dict[str, Row] = {
    "A-1": Row("PSR, classic", (0.98167, 0.91336, 0.95351), "1e-4",
               (f"{_SHARPE}::test_a1_psr_equals_the_values_of_the_2012_paper",)),
    "A-2": Row("minimum track record, daily, weekly, monthly", (688.21, 2.731, 147.10, 2.829, 38.878, 3.240), "1e-4",
               (f"{_SHARPE}::test_a2_min_track_record_equals_the_values_of_the_2012_paper",)),
    "A-3": Row("minimum track record with hedge-fund moments, years", (4.9913,), "1e-4",
               (f"{_SHARPE}::test_a3_min_track_record_grows_with_hedge_fund_moments",)),
    "A-4": Row("DSR: threshold a day and a year, probability", (0.113172, 1.78941, 0.900397), "1e-5",
               (f"{_SHARPE}::test_a4_dsr_equals_the_example_of_the_2014_paper",)),
    "A-5": Row("DSR at the break-even number of trials", (0.950502, 0.950491), "1e-5",
               (f"{_SHARPE}::test_a5_dsr_breaks_even_at_the_published_number_of_trials",)),
    "A-6": Row("expected maximum of 10, 100, 1000 normals, closed form", (1.574598, 2.530603, 3.255122), "1e-5",
               (f"{_SHARPE}::test_a6_expected_maximum_closed_form",)),
    "A-7": Row("expected maximum, exact, and its standard deviation",
               (1.538753, 0.586808, 2.507594, 0.429424, 3.241436, 0.351362), "1e-5",
               (f"{_SHARPE}::test_a7_expected_maximum_exact",)),
    "A-8": Row("newer Sharpe inference: error, PSR, track record, power, false discovery rates",
               (0.32859, 0.214, 0.98721, 0.93915, 13.0288, 0.31521, 0.58111, 0.30586), "1e-4",
               (f"{_SHARPE}::test_a8_newer_inference_equals_the_authors_test_values",)),
    "A-8b": Row("the same with autocorrelation .2",
                (0.37949, 0.96583, 0.90048, 19.5432, 39.3690, 0.41057, 0.43293, 0.36075), "1e-4",
                (f"{_SHARPE}::test_a8b_newer_inference_with_autocorrelation",)),
    "A-8c": Row("DSR with the variance of the maximum", (0.497932, 0.416360, 0.450681), "1e-5",
                (f"{_SHARPE}::test_a8c_the_null_variance_form_matches_the_published_example",)),
    "A-9": Row("Lo's standard errors", (0.306186, 0.136931, 0.420813), "1e-5",
               (f"{_SHARPE}::test_a9_lo_standard_errors",)),
    "A-10": Row("Lo's annualisation of twelve periods", (1.207038, 3.464102, 3.797873), "1e-5",
                (f"{_SHARPE}::test_a10_lo_annualisation_of_twelve_months",)),
    "A-11": Row("Harvey and Liu's haircut by Bonferroni", (0.00079623, 0.159246, 0.314752, 0.580), "1e-4",
                (f"{_MANY}::test_a11_haircut",)),
    "A-12": Row("rejections step up and down", (1, 2, 4), "exact", (f"{_MANY}::test_a12_step_up_and_down",)),
    "A-13": Row("the example of Benjamini and Hochberg 1995", (3, 4, 0.035625), "exact",
                (f"{_MANY}::test_a13_benjamini_hochberg_1995",)),
    "A-14": Row("SPA by full enumeration, p = 1: T, ω, p-values strict and tied",
                (1.697056, 0.577350, 0.522813, 0.937046, 0.086806, 0.122857, 0.188100, 0.091735, 0.127786),
                "1e-6; kernel 4 standard errors", _ENUMERATION),
    "A-15": Row("the same, p = 1/2",
                (2.250275, 0.435412, 0.371792, 0.620966, 0.022360, 0.034464, 0.053886, 0.024066, 0.036170),
                "1e-6; kernel 4 standard errors", _ENUMERATION),
    "A-16": Row("the same, p = 1/3",
                (2.658239, 0.368588, 0.308987, 0.513764, 0.008426, 0.012699, 0.023605, 0.009160, 0.013430),
                "1e-6; kernel 4 standard errors", _ENUMERATION),
    "A-17": Row("SPA's limits: 1 - Φ(t), and 1 - Φ(t)^k of k independent ones", (), "4 standard errors",
                (f"{_SPA}::test_a17_one_strategy_tends_to_the_normal_limit",
                 f"{_SPA}::test_a17_independent_strategies_tend_to_the_limit_of_their_maximum")),
    "A-18": Row("SPA when a column is scaled: nothing changes", (), "p-values equal, T 1e-9",
                (f"{_SPA}::test_a18_scaling_a_column_changes_nothing",)),
    "A-19": Row("SPA of 24 moving-average rules on the S&P 500", (1.939276, 0.107, 0.156, 0.169), "T 1e-6, p ±.012",
                (f"{_SPA}::test_a19_moving_averages_on_the_index_give_the_recorded_statistics",)),
    "A-20": Row("block length of an autoregression", (13.635665, 15.608940), "1e-4",
                (f"{_BLOCK}::test_published_value_of_an_autoregressive_series",)),
    "A-21": Row("block lengths of index returns, their sizes and squares", (8.789853, 146.458034, 136.521336), "1e-5",
                (f"{_BLOCK}::test_daily_index_returns_and_their_absolute_values",)),
    "A-22": Row("block lengths of the Nile", (12.333495, 14.118327), "1e-5", (f"{_BLOCK}::test_nile_volumes",)),
    "A-23": Row("block length of AR(1) in theory", (12.114137, 96.459706), "1e-6; estimates around it ±30 %",
                (f"{_BLOCK}::test_the_estimate_of_long_series_lies_around_the_theory",)),
    "A-24": Row("long-run variance of the Nile; Newey-West", (124338.612, 78628.274, 27.238485), "1e-6",
                (f"{_SPA}::test_a24_long_run_variance_of_the_nile", f"{_SPA}::test_a24_newey_west_of_the_nile")),
    "A-25": Row("trade paths by enumeration: ruin, end, drawdowns, loss",
                (0.223744, 0.125429, 185.062157, 0.169529, 410, 1080, 235.655115, 0.347051),
                "1e-6; kernel 4 standard errors",
                (f"{_PATHS}::test_a25_every_statistic_of_independent_trades", _TRADES)),
    "A-26": Row("the same, p = 1/2 and 1/4", (0.150133, 0.089285, 0.155000, 0.150599, 184.873267, 143.875964),
                "1e-6; kernel 4 standard errors", (_TRADES,)),
    "A-27": Row("order does not change the end", (), "1e-12",
                (f"{_PATHS}::test_permutations_all_end_at_the_same_wealth",)),
    "A-28": Row("gambler's ruin", (0.118501, 0.5), "5e-7", (f"{_DIFFUSION}::test_a28_gamblers_ruin",
                f"{_PATHS}::test_gamblers_ruin",
                f"{_PATHS}::test_a_fair_game_is_lost_as_often_as_the_reflection_principle_says")),
    "A-29": Row("ruin of a Brownian walk, watched always and daily", (0.284413, 0.082763, 0.262441, 0.075675),
                "5e-7; daily 2 %", (f"{_DIFFUSION}::test_a29_brownian_ruin",
                f"{_DIFFUSION}::test_a29_daily_monitoring_equals_a_simulation")),
    "A-30": Row("drawdown without drift", (1.253314, 1.148973, 2.241403, 2.807034, 0.629223), "5e-7",
                (f"{_DIFFUSION}::test_a30_drawdown_of_a_walk_without_drift",)),
    "A-31": Row("drawdown with drift", (0.92508, 1.6123, 0.926318), ".1 % / .4 %",
                (f"{_DIFFUSION}::test_a31_drawdown_of_a_walk_with_drift",
                 f"{_DIFFUSION}::test_a31_the_inverted_transform_solves_the_differential_equation")),
    "A-32": Row("drawdown seen in 252 and 1260 steps", (0.8512, 0.8904), "4 standard errors",
                (f"{_DIFFUSION}::test_a32_steps_hide_part_of_the_drawdown",)),
    "A-33": Row("triple penance", (0.676386, 2.705544), "1e-6", (f"{_DIFFUSION}::test_a33_triple_penance",)),
    "A-34": Row("the index drawdown of 2007 to 2009", (56.77539, 1565.150, 676.530), "1e-6",
                (f"{_REAL}::test_a34_the_drawdown_of_the_financial_crisis",
                 f"{_REAL}::test_a34_by_the_metrics_of_a_run")),
    "A-35": Row("Sharpe, moments, PSR and track record of the index",
                (0.0117840, 0.204611, 11.169196, 0.798005, 19538), "1e-5",
                (f"{_REAL}::test_a35_the_sharpe_of_twenty_years",)),
    "A-36": Row("PBO of the R package's vignette", (1.0, 0.998014, 0.886389, 0.003046, 0.005909, 0.97, 0.88), "1e-4",
                (f"{_PUBLISHED}::test_a36_the_vignette_of_the_r_package",)),
    "A-37": Row("PBO, small", (1.386294, 0.405465, 0.214052, 0.326049), "1e-5",
                (f"{_PBO}::test_a37_small_case_is_exact",)),
    "A-38": Row("PBO: demeaned 1, dominated 0, 12,870 splits", (1.0, 0.0, 12870), "exact",
                (f"{_PBO}::test_a38_demeaned_columns_force_certain_overfitting",
                 f"{_PBO}::test_a38_one_dominating_column_is_never_overfit",
                 f"{_PBO}::test_a38_sixteen_blocks_give_every_split")),
    "A-39": Row("combinatorial splits and paths", (15, 5, 45, 9), "exact", (f"{_SPLITS}::test_a39_counts",)),
    "A-40": Row("purging by closed intervals", (0, 1, 8, 9), "exact", (f"{_SPLITS}::test_a40_closed_intervals",)),
    "A-41": Row("purging with labels of varying length", (0, 4, 5, 6, 7), "exact",
                (f"{_SPLITS}::test_a41_labels_of_varying_length",)),
    "A-42": Row("Ledoit-Wolf, scikit-learn's example", (0.440673, 0.161616, 0.802263, 0.230254), "1e-6",
                ("allocation/test_covariance.py::test_a42_ledoit_wolf_equals_the_scikit_learn_example",)),
    "A-43": Row("Ledoit-Wolf, small", (0.689961, 1.51888e-4, 1.66770e-4, 1.17982e-4), "1e-5",
                ("allocation/test_covariance.py::test_a43_ledoit_wolf_equals_the_small_case_and_the_slow_sum",)),
    "A-44": Row("shrinkage of iris: Ledoit-Wolf, oracle approximating", (0.00757880, 0.0202366), "1e-6",
                (f"{_BUDGET}::test_a44_iris", f"{_BUDGET}::test_a44_the_oracle_approximating_intensity_of_iris"),
                "Argus uses Ledoit-Wolf; the other intensity is checked against scikit-learn only."),
    "A-45": Row("equal risk contributions",
                (0.383613, 0.191806, 0.242618, 0.181963, 0.102934, 0.48, 0.24, 0.16, 0.12), "1e-5",
                (f"{_BUDGET}::test_a45_equal_risk_contributions",)),
    "A-46": Row("Thorp's Kelly example", (2.222222, 0.115556, 0.333333), "1e-6",
                (f"{_KELLY}::test_a46_continuous_kelly_equals_thorps_example",)),
    "A-47": Row("Kelly of two outcomes", (40, 0.06, 0.00180108), "1e-6", (f"{_KELLY}::test_a47_two_outcome_kelly",)),
    "A-48": Row("Kelly of three outcomes, and mean over variance", (6.0, 5.3649), "1e-5",
                (f"{_KELLY}::test_a48_discrete_kelly_is_not_the_ratio_of_moments",)),
    "A-49": Row("fractional Kelly: chance of half, growth", (0.5, 0.125, 0.0078125, 0.75, 0.4375), "exact",
                (f"{_KELLY}::test_a49_fractional_kelly_trades_growth_for_safety",)),
    "A-50": Row("Kelly with an estimated mean", (0.444444, 0.02, 0.035556), "1e-6",
                (f"{_KELLY}::test_a50_estimation_error_leaves_less_than_half_of_kelly",)),
    "A-51": Row("Kelly under a drawdown constraint", (6.455696, 0.0268997, 0.093), "1e-5; simulated ±.02",
                (f"{_BUDGET}::test_a51_drawdown_constrained_kelly",)),
    "A-52": Row("expected shortfall of a normal", (2.062713, 2.337803, 2.665214), "1e-6",
                (f"{_TAIL}::test_a52_normal",)),
    "A-53": Row("shortfall of ten losses", (5, 10.5, 8, 13), "exact", (f"{_TAIL}::test_a53_discrete",)),
    "A-54": Row("Kupiec's region and ratio", (6, 21, 4, 17, 3.727214), "exact", (f"{_TAIL}::test_a54_kupiec",)),
    "A-55": Row("EWMA volatility of the day before",
                (0.01, 0.01086278, 0.01115437, 0.01088369, 0.01285875, 0.01339502), "1e-7",
                (f"{_TAIL}::test_a55_ewma_without_lookahead",)),
    "A-56": Row("the umbrella world", (0.818182, 0.883357, 1.045546), "1e-5",
                (f"{_HMM}::test_a56_hmm_filter_of_the_umbrella_world",)),
    "A-57": Row("Hamilton's switching AR(4)", (181.26339, 0.7547, 0.0959, 0.3588, 1.1635, 0.5914), "1e-3",
                (f"{_HMM}::test_a57_markov_switching_ar4_has_the_published_likelihood",
                 f"{_HMM}::test_a57_the_maximum_of_the_likelihood_is_the_published_fit",
                 f"{_HMM}::test_a57_probabilities_equal_those_of_statsmodels")),
    "A-58": Row("change points, exact",
                (0.1, 0.0151, 0.008796, 0.007867, 0.011135, 0.023421, 0.751139, 0.056274, 0.011829, 0.002477, 0.011961,
                 17.994902), "1e-6; brute force 1e-12",
                (f"{_BOCPD}::test_a58_bocpd_exact",
                 f"{_BOCPD}::test_a58_equals_brute_force_over_all_segmentations")),
    "A-59": Row("P(run length 0) is the hazard", (), "1e-9",
                (f"{_BOCPD}::test_a59_the_probability_of_a_change_now_is_the_hazard_whatever_the_data",)),
    "A-60": Row("change points of the Nile", (126.624182, 72, 1899, 0.604769, 1898, 0.72145), "1e-5",
                (f"{_BOCPD}::test_a60_bocpd_nile",)),
    "A-61": Row("Hawkes likelihood and residuals",
                (10.408154, 0.5, 0.965871, 1.788768, 0.586298, 2.272172, 1.5, 13.5), "1e-6",
                ("regimes/test_hawkes.py::test_a61_likelihood_and_residuals",)),
    "A-62": Row("signature and log-signature, level 2", (7, 5, 24.5, 19, 16, 12.5, 1.5), "exact",
                ("regimes/test_signatures.py::test_a62_the_primer",)),
    "A-63": Row("signature, level 3", (1, 0.5), "exact",
                ("regimes/test_signatures.py::test_a63_a_corner_to_level_three",)),
    "A-64": Row("MFDFA of a binomial cascade", (1.5760, 0.8390, 0.6139), "1e-4",
                (f"{_MFDFA}::test_a64_binomial_cascade",),
                "The table's band .70-.80 of the estimator with dyadic scales is not what dyadic scales give: the "
                "package MFDFA 0.4.3 finds .8647 at 2^16 too (equal to 1e-8)."),
    "A-65": Row("DFA of fractional noise", (0.701, 0.501), "±.02 on the mean",
                (f"{_MFDFA}::test_a65_fractional_noise",)),
    "A-66": Row("Fisher transform",
                (0.343, 0.791, 0.825, 0.806, 1.066, 1.439, 1.851, 2.275, 2.698, 3.117, 3.185), "5e-4",
                ("features/test_indicators.py::test_a66_fisher_gives_the_published_values",)),
    "A-67": Row("e-processes", (1.965016, 14.448438, 2.354373), "1e-6", (f"{_SEQUENTIAL}::test_a67_e_process",)),
    "A-68": Row("radius of a confidence sequence", (0.303781, 0.195430, 0.103502), "1e-6",
                (f"{_SEQUENTIAL}::test_a68_radius",)),
    "A-69": Row("e-BH", (2, 6, 0, 4), "exact", (f"{_MANY}::test_a69_e_bh",)),
    "A-70": Row("LORD++ levels and rejections",
                (0.000267584, 0.00246645, 0.000573282, 0.00048728, 1, 6, 10, 13), "1e-5",
                (f"{_MANY}::test_a70_lord_plus_plus",)),
    "A-71": Row("effective trials of equal correlations", (16.25, 19.447, 50.5), "1e-2",
                (f"{_MANY}::test_a71_effective_trials_of_equal_correlations",)),
    "A-72": Row("effective rank of a published matrix", (1.8402,), "1e-3",
                (f"{_MANY}::test_a72_effective_rank_of_a_published_matrix",)),
    "A-73": Row("Rademacher complexity, exact", (0.3, 0.446875), "exact",
                (f"{_MANY}::test_a73_rademacher_exact",)),
    "A-74": Row("shrunk Sharpe ratios", (0.562310, 0.023647, 0.040517, 0.006778, 0.057386, 0.029271, 0.012401), "1e-5",
                (f"{_MANY}::test_a74_shrunk_sharpes",)),
    "A-75": Row("filter against smoother", (10, 131, 0.656), "exact; gap 5e-4",
                (f"{_HMM}::test_a75_filter_against_smoother",)),
    "A-76": Row("PBO of noise and of an edge", (0.50, 0.18, 0.03), "±.05, ±.03",
                (f"{_PUBLISHED}::test_a76_noise_scatters_widely_and_a_real_edge_does_not",)),
    "A-77": Row("daily looks at a fixed test, and at a confidence sequence", (0.252, 0.312, 0.024), "±.01",
                (f"{_SEQUENTIAL}::test_a77_peeking",)),
    "A-78": Row("size of the classic DSR gate: independent, equicorrelated, one trial forced", (0.0005, 0.017, 0.55),
                "±.02", (f"{_SHARPE}::test_a78_size_of_the_classic_gate",)),
    "A-79": Row("deep drawdowns permuted, iid, in blocks", (0.0005, 0.011, 0.079, 5.26), "±.01",
                ("robustness/test_monte_carlo.py::test_resampling_schemes_disagree_about_drawdown_as_published",)),
}
# fmt: on


def page() -> str:
    """docs/acceptance.md."""
    lines = [
        "# Acceptance table of the statistics",
        "",
        "Published, exact and recorded values that the statistics must reproduce, and the tests that check them.",
        "Values are magnitudes as the tests write them; signs are in the tests. The page is written from",
        "`tests/evaluation/acceptance.py` (`python -m tests.evaluation.acceptance`); a test holds rows, tests and page",
        "together.",
        "",
        "| row | what | expected | tolerance | tests |",
        "|---|---|---|---|---|",
    ]
    for name, row in ROWS.items():
        expected = ", ".join(f"{value:.10g}" for value in row.expected) or "relation"
        tests = "<br>".join(f"`{test}`" for test in row.tests)
        lines.append(f"| {name} | {row.case} | {expected} | {row.tolerance} | {tests} |")
    lines.append("")
    notes = [f"* **{name}**: {row.note}" for name, row in ROWS.items() if row.note]
    return "\n".join([*lines, *notes]) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
