"""Characteristic function of ln(S_T / F_T) under Heston, in the form without branch cuts and cancellation.

E[exp(iu ln(S_T/F_T))] = exp(A(u, T) + B(u, T) v0), so that the variance now enters linearly: one (A, B) serves every
state of a simulation. Formulation 2 of Albrecher, Mayer, Schoutens & Tistaert, "The little Heston trap" (2007), with
beta - d written as -sigma^2 (iu + u^2) / (beta + d). The textbook form leaves the principal branch of the logarithm
at long maturities.
"""

from __future__ import annotations

from typing import Any


def exponents(u: Any, years: Any, kappa: Any, theta: Any, sigma: Any, rho: Any) -> tuple[Any, Any]:
    """(A, B) of the exponent, JAX arrays of complex128; arguments broadcast, ``u`` may be complex.

    Import of JAX is lazy; call `argus_core.accelerator.load_jax` before (64-bit numbers).
    """
    from argus_core.accelerator import load_jax

    jnp = load_jax().numpy
    u = jnp.asarray(u, dtype=jnp.complex128)
    iu = 1j * u
    quadratic = iu + u * u
    beta = kappa - rho * sigma * iu
    d = jnp.sqrt(beta * beta + sigma * sigma * quadratic)
    # beta - d, divided by sigma^2: no cancellation for small u or small sigma.
    root = -quadratic / (beta + d)
    g = sigma * sigma * root / (beta + d)
    decay = jnp.exp(-d * years)
    b = root * (1 - decay) / (1 - g * decay)
    # ln((1 - g e^{-dT}) / (1 - g)) / sigma^2 through log1p of the small difference.
    moved = g * (1 - decay) / (1 - g)
    a = kappa * theta * (root * years - 2.0 * jnp.log1p(moved) / (sigma * sigma))
    return a, b


def characteristic(u: Any, years: Any, v0: Any, kappa: Any, theta: Any, sigma: Any, rho: Any) -> Any:
    """E[exp(iu ln(S_T/F_T))], complex128."""
    from argus_core.accelerator import load_jax

    a, b = exponents(u, years, kappa, theta, sigma, rho)
    return load_jax().numpy.exp(a + b * v0)
