"""Parameters of the Heston model."""

from __future__ import annotations

import hashlib
import math
from typing import NamedTuple


class HestonParameters(NamedTuple):
    """dv = kappa (theta - v) dt + sigma sqrt(v) dW_v; dS/S = (r - q) dt + sqrt(v) dW_S; corr(dW_v, dW_S) = rho.

    Heston, Review of Financial Studies 6 (1993). ``v0`` and ``theta`` are variances per year, ``kappa`` per year,
    ``sigma`` the volatility of variance. The order is that of every array of parameters in Argus.
    """

    v0: float
    kappa: float
    theta: float
    sigma: float
    rho: float

    @property
    def feller(self) -> float:
        """2 kappa theta / sigma^2; below 1 the variance reaches zero, which is normal for equities."""
        return 2 * self.kappa * self.theta / self.sigma**2

    @property
    def digest(self) -> str:
        """Hash of the five numbers, exact to the bit; the first 16 hexadecimal digits of SHA-256."""
        text = ",".join(float(value).hex() for value in self)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def expected_variance(self, years: float) -> float:
        """E[integral of v over [0, years]] / years."""
        scaled = self.kappa * years
        share = -math.expm1(-scaled) / scaled if scaled > 1e-12 else 1.0
        return self.theta + (self.v0 - self.theta) * share

    def checked(self) -> HestonParameters:
        """Itself.

        Raises:
            ValueError: naming the parameter, its value and what is allowed.
        """
        for name, value in zip(("v0", "kappa", "theta", "sigma"), self, strict=False):
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"Heston {name} = {value}: it must be finite and above 0.")
        if not -1 < self.rho < 1:
            raise ValueError(f"Heston rho = {self.rho}: it must lie between -1 and 1.")
        return self
