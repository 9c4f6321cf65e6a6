"""The scaled complementary error function erfcx(z) = exp(z^2) erfc(z) for z >= 0, and its slope, without cancellation.

JAX has no erfcx. Both functions are polynomials in u = (z - 3.75)/(z + 3.75), which maps 0..inf to -1..1, times the
power of (1 + 2z) that takes off their tails. The coefficients are the Chebyshev interpolants at 64 nodes in 120-digit
arithmetic, cut where the rest falls below 2e-17 and written as powers of u (absolute values add up to less than six,
so that Horner's rule loses nothing). Relative error: a few units in the last place.

Source: M. Shepherd and J. Laframboise, "Chebyshev approximation of (1 + 2x) exp(x^2) erfc x", Mathematics of
Computation 36 (1981).
"""

from __future__ import annotations

from typing import Any

#: (1 + 2z) erfcx(z), powers of u, ascending; padded to the length of `SLOPE`.
VALUE = (
    1.2375126308378275,
    -0.14024059858554697,
    0.0035854154854644293,
    0.0822767384901452,
    -0.10880393014174886,
    0.09230432116037748,
    -0.05869339858963677,
    0.028362277418956406,
    -0.009746579558029276,
    0.0017556258528952954,
    0.0002937136655913448,
    -0.0002901540805408417,
    5.164909889268241e-05,
    2.238423915508223e-05,
    -1.1444146237700524e-05,
    -9.73559896736775e-07,
    1.751637648849062e-06,
    -5.7218230603224086e-08,
    -2.5866850716155884e-07,
    2.3263508708859124e-08,
    3.8675334242222354e-08,
    -3.744210080962018e-09,
    -5.1739902140113095e-09,
    3.1114333809799254e-10,
    4.2514714447963895e-10,
    0.0,
)
#: -(1 + 2z)^2 d erfcx(z) / dz.
SLOPE = (
    2.633964606739275,
    -0.3260056318942916,
    -0.39219971041079826,
    0.7298340712563826,
    -0.6428036856021216,
    0.32960922312218,
    -0.03631824409106048,
    -0.10716921202648433,
    0.11387123719624886,
    -0.06318028574137206,
    0.01868179928421822,
    0.0004116623197303453,
    -0.002827353464692681,
    0.000841103335899875,
    0.0002031302150199379,
    -0.00017647105426818393,
    -5.722556913438916e-07,
    2.9208591196932283e-05,
    -3.107809428209681e-06,
    -4.763385574074848e-06,
    7.59060659918512e-07,
    7.80917510007898e-07,
    -1.18198824991991e-07,
    -1.1131720278522718e-07,
    9.980464489888066e-09,
    9.424049713395834e-09,
)


def erfcx(z: Any) -> Any:
    """exp(z^2) erfc(z) for z >= 0 in float64, NumPy or JAX."""
    return horner(VALUE, (z - 3.75) / (z + 3.75)) / (1.0 + 2.0 * z)


def erfcx_or_fall(xp: Any, z: Any, fall: Any) -> Any:
    """erfcx(z), but -d erfcx(z)/dz where ``fall``, at the price of one polynomial. For z >= 0.

    -d erfcx/dz = 2/sqrt(pi) - 2 z erfcx(z) keeps its digits also where both terms nearly cancel.
    """
    tail = 1.0 + 2.0 * z
    mixed = tuple(xp.where(fall, slope, value) for slope, value in zip(SLOPE, VALUE, strict=True))
    return horner(mixed, (z - 3.75) / (z + 3.75)) / xp.where(fall, tail * tail, tail)


def horner(coefficients: tuple[Any, ...], u: Any) -> Any:
    """Polynomial with ascending ``coefficients`` at ``u``."""
    total = coefficients[-1]
    for coefficient in coefficients[-2::-1]:
        total = total * u + coefficient
    return total
