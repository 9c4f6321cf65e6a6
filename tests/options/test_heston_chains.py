"""The builder of Heston chains agrees with published prices, and its frames hold what they say."""

from __future__ import annotations

import numpy as np
import pytest

from argus_core.options.black import implied_vol
from argus_core.options.heston import HestonParameters
from tests.options.heston_chains import heston_chain, heston_price

FO = HestonParameters(0.0175, 1.5768, 0.0398, 0.5751, -0.5711)
LEWIS = HestonParameters(0.04, 4, 0.25, 1, -0.5)
SHORT = HestonParameters(0.01, 4, 0.25, 1, -0.5)
ANDERSEN = HestonParameters(0.04, 0.5, 0.04, 1, -0.9)


@pytest.mark.parametrize(
    ("parameters", "spot", "strike", "years", "rate", "dividend", "call", "expected", "tolerance"),
    [
        (FO, 100, 100, 1, 0, 0, True, 5.785155434376, 1e-11),  # FO-1
        (FO, 100, 100, 10, 0, 0, True, 22.318945791154, 1e-11),  # FO-10
        (LEWIS, 100, 80, 1, 0.01, 0.02, True, 26.774758743999, 1e-11),  # Lewis-80
        (LEWIS, 100, 120, 1, 0.01, 0.02, True, 9.024913483458, 1e-11),  # Lewis-120
        (SHORT, 100, 90, 0.01, 0.01, 0.02, False, 4.51836035868617e-8, 1e-12),  # Lewis-short
        (SHORT, 100, 105, 0.01, 0.01, 0.02, True, 2.5274478231947e-6, 1e-12),
        (ANDERSEN, 100, 60, 10, 0, 0, True, 44.329975070174, 1e-11),  # And-I
        (ANDERSEN, 100, 140, 10, 0, 0, True, 0.295774435798, 1e-11),
    ],
)
def test_price_equals_the_published_one(
    parameters, spot, strike, years, rate, dividend, call, expected, tolerance
) -> None:
    forward = spot * np.exp((rate - dividend) * years)
    price = heston_price(parameters, forward, strike, years, call, np.exp(-rate * years))
    assert float(price) == pytest.approx(expected, abs=tolerance)


def test_noise_keeps_the_fair_price_between_bid_and_ask() -> None:
    chain = heston_chain(noise=1.0, noise_seed=3)
    frame = chain.implied_vols
    assert frame.height == 200
    assert np.all(frame["bid"].to_numpy() <= chain.fair + 1e-12)
    assert np.all(chain.fair <= frame["ask"].to_numpy() + 1e-12)
    again = heston_chain(noise=1.0, noise_seed=3)
    assert frame.equals(again.implied_vols)
    assert not frame.equals(heston_chain(noise=1.0, noise_seed=4).implied_vols)


def test_without_noise_call_and_put_of_a_strike_have_one_volatility() -> None:
    frame = heston_chain(half_spread_vol=1e-4, days=(30, 90)).implied_vols
    sides = frame.pivot("right", index=["expiry", "strike"], values="iv_mid")
    assert np.allclose(sides["C"], sides["P"], atol=1e-8)
    used = frame.filter("used")
    assert used.height == 20
    mid = 0.5 * (used["bid"] + used["ask"]).to_numpy()
    vol = implied_vol(
        mid, used["forward"], used["strike"], used["t_cal"], (used["right"] == "C").to_numpy(), used["discount"]
    )
    assert np.allclose(vol, used["iv_mid"], atol=1e-12)
