"""Fills, accounting, the lane kernel, the callback engine, metrics and the lookahead proof.

Import from the modules: `results`, `execution`, `lanes`, `metrics`, `lookahead`, `callback`. This package
imports nothing heavy by itself.
"""
