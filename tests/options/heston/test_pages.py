"""The code of the pages on Heston and on the probability of profit runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

DOCS = Path(__file__).resolve().parents[3] / "docs"


@pytest.mark.parametrize(("page", "name"), [("heston", "table"), ("probability-of-profit", "tail")])
def test_the_code_of_the_page_runs(page, name):
    found: dict = {}
    for block in re.findall(r"^```python\n(.*?)^```", (DOCS / f"{page}.md").read_text(), re.DOTALL | re.MULTILINE):
        exec(block, found)
    made = found[name]
    assert made.reached.all() if name == "table" else np.isfinite(made.expected_shortfall)
