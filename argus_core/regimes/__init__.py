"""Market regimes by rule: per bar (volatility, trend, liquidity) and across symbols (risk flow, market risk)."""

from argus_core.regimes.engine import REGIME_SCHEMA, compute_regimes, history_sessions
from argus_core.regimes.market_risk import MARKET_RISK_SCHEMA, market_risk
from argus_core.regimes.risk_flow import RISK_FLOW_SCHEMA, RISK_FLOW_SESSIONS, global_risk_flow, risk_flow_changes

__all__ = [
    "MARKET_RISK_SCHEMA",
    "REGIME_SCHEMA",
    "RISK_FLOW_SCHEMA",
    "RISK_FLOW_SESSIONS",
    "compute_regimes",
    "global_risk_flow",
    "history_sessions",
    "market_risk",
    "risk_flow_changes",
]
