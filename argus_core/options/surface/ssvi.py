"""Slices of the extended SSVI surface: total variance, its derivatives, and when no static arbitrage is in them.

w(k) = 1/2 (theta + rho psi k + sqrt(psi^2 k^2 + 2 rho psi theta k + theta^2)), psi = theta phi: the slice of Gatheral
and Jacquier, "Arbitrage-free SVI volatility surfaces", Quantitative Finance 14 (2014), equation 4.1, with a rho of its
own per expiry (Hendriks and Martini, "The extended SSVI volatility surface", Journal of Computational Finance 22,
2019).

With p+ = psi (1 + rho) and p- = psi (1 - rho), twice the slopes of the right and the left wing, the conditions read

* butterfly (Gatheral and Jacquier, theorem 4.2): max(p+, p-) < 4 and psi max(p+, p-) <= 4 theta;
* calendar: theta, p+ and p- do not fall with time, and phi = psi / theta does not rise.

Growing wings alone do not keep slices apart: one accepted pair in ten crosses. Together with phi they do.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

#: Largest psi (1 + |rho|) that a fit may take: the butterfly condition asks for less than 4.
LARGEST_WING = 3.99


class Variance(NamedTuple):
    """Total variance and its first two derivatives in log-moneyness, one shape."""

    value: Floats
    slope: Floats
    curvature: Floats


def essvi(k: ArrayLike, theta: ArrayLike, psi: ArrayLike, rho: ArrayLike) -> Variance:
    """Total variance of eSSVI slices at log-moneyness ``k`` = ln(strike / forward); arguments broadcast.

    Args:
        theta: total variance at the forward, > 0.
        psi: theta * phi, >= 0.
        rho: in (-1, 1).
    """
    k, theta, psi, rho = np.broadcast_arrays(*(np.asarray(v, dtype=float) for v in (k, theta, psi, rho)))
    tilt = rho * psi
    root = np.sqrt(np.maximum((psi * k + rho * theta) ** 2 + theta**2 * (1.0 - rho**2), np.finfo(float).tiny))
    value = 0.5 * (theta + tilt * k + root)
    slope = 0.5 * (tilt + (psi**2 * k + tilt * theta) / root)
    curvature = 0.5 * theta**2 * (psi**2 - tilt**2) / root**3
    return Variance(value, slope, curvature)


def butterfly_slack(theta: ArrayLike, psi: ArrayLike, rho: ArrayLike) -> Floats:
    """Smaller of 4 - psi (1 + |rho|) and 4 - psi^2 (1 + |rho|) / theta; at 0 or above no butterfly arbitrage.

    Sufficient, not necessary: a slice below 0 may be free of arbitrage all the same.
    """
    theta, psi, rho = (np.asarray(v, dtype=float) for v in (theta, psi, rho))
    wing = psi * (1.0 + np.abs(rho))
    return np.minimum(4.0 - wing, 4.0 - psi * wing / theta)


def calendar_slack(
    theta: ArrayLike, psi: ArrayLike, rho: ArrayLike, theta_next: ArrayLike, psi_next: ArrayLike, rho_next: ArrayLike
) -> Floats:
    """Smallest of the rises of theta, p+ and p- and the fall of phi; at 0 or above the later slice lies nowhere below.

    Units differ (total variance, slopes, 1 / log-moneyness): read the sign.
    """
    one = [np.asarray(v, dtype=float) for v in (theta, psi, rho)]
    two = [np.asarray(v, dtype=float) for v in (theta_next, psi_next, rho_next)]
    rises = [
        two[0] - one[0],
        two[1] * (1.0 + two[2]) - one[1] * (1.0 + one[2]),
        two[1] * (1.0 - two[2]) - one[1] * (1.0 - one[2]),
        one[1] / one[0] - two[1] / two[0],
    ]
    return np.minimum.reduce(rises)


def raw_svi(theta: float, psi: float, rho: float) -> tuple[float, float, float, float, float]:
    """The same slice as raw SVI parameters (a, b, rho, m, sigma).

    Raises:
        ValueError: if psi is not positive: a flat slice has no unique raw form.
    """
    if not psi > 0:
        raise ValueError(f"psi must be positive to have a raw SVI form, found {psi!r}")
    phi = psi / theta
    return 0.5 * theta * (1.0 - rho**2), 0.5 * psi, rho, -rho / phi, float(np.sqrt(1.0 - rho**2)) / phi
