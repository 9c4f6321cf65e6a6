"""Hamilton's autoregression with a switching mean, as a hidden Markov model over the last p + 1 states.

y_t - mu(s_t) = sum_i phi_i (y_{t-i} - mu(s_{t-i})) + e_t, e_t ~ N(0, sigma^2(s_t)). Source: Hamilton, Econometrica
57(2), 1989.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from argus_core.regimes.hmm import FilterResult, forward_filter, smooth, stationary


@dataclass(frozen=True)
class SwitchingAutoregression:
    """Parameters of the model with K regimes and order p.

    Attributes:
        transition: (K, K), [from, to].
        mean: of each regime, (K,).
        variance: of the innovations, one or one per regime (K,).
        coefficients: phi_1..phi_p, (p,).
    """

    transition: np.ndarray
    mean: np.ndarray
    variance: float | np.ndarray
    coefficients: np.ndarray

    def filter(self, values: np.ndarray) -> FilterResult:
        """Filtered and predicted regime probabilities of the observations p + 1..n, shapes (1, n - p, K).

        Conditions on the first p observations and starts from the stationary distribution.

        Raises:
            ValueError: if there are not more than p values, or a parameter has the wrong shape.
        """
        result = forward_filter(*self._expanded(values))
        now = self._regime(result.filtered)
        return FilterResult(now, now @ np.asarray(self.transition), result.log_likelihood)

    def smooth(self, values: np.ndarray) -> np.ndarray:
        """Smoothed regime probabilities (1, n - p, K): with the future, never for a decision."""
        return self._regime(smooth(*self._expanded(values)))

    def _regime(self, paths: np.ndarray) -> np.ndarray:
        """Probabilities of the current regime from those of paths, whose first state is the current one."""
        return paths.reshape(*paths.shape[:2], len(self.mean), -1).sum(axis=-1)

    def _expanded(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        y, mean, phi = (np.asarray(a, np.float64) for a in (values, self.mean, self.coefficients))
        regimes, order = len(mean), len(phi)
        if np.shape(self.transition) != (regimes, regimes):
            raise ValueError(f"transition: shape {np.shape(self.transition)} for {regimes} means; expected K x K.")
        if y.ndim != 1 or len(y) <= order:
            raise ValueError(f"values: shape {y.shape}; order {order} needs more than {order} values in one series.")
        matrix = np.asarray(self.transition, np.float64)
        variance = np.broadcast_to(np.asarray(self.variance, np.float64), (regimes,))
        paths = np.array(list(product(range(regimes), repeat=order + 1)))  # columns s_t, s_{t-1}, .. s_{t-p}
        lagged = np.stack([y[order - i : len(y) - i] for i in range(order + 1)], axis=1)
        error = (lagged[:, None, :] - mean[paths][None]) @ np.concatenate([[1.0], -phi])
        spread = variance[paths[:, 0]]
        density = -0.5 * (np.log(2 * np.pi * spread) + error**2 / spread)
        # A path (s_t, .., s_{t-p}) goes on to (s_{t+1}, s_t, .., s_{t-p+1}).
        follows = (paths[:, None, :-1] == paths[None, :, 1:]).all(axis=-1)
        moves = np.where(follows, matrix[paths[:, None, 0], paths[None, :, 0]], 0.0)
        first = stationary(matrix)[paths[:, -1]]
        for lag in range(order, 0, -1):
            first = first * matrix[paths[:, lag], paths[:, lag - 1]]
        return density, moves, first
