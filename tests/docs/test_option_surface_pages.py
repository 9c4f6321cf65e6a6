"""The code of the pages on the surface and on anomalies runs, and prints what the pages say it does."""

from __future__ import annotations

import pytest

from tests.docs.test_examples import blocks


@pytest.mark.parametrize(
    ("page", "said"),
    [
        ("iv-surface.md", ["violations on the grid: 0", "P(S < 95) in 45 days"]),
        ("iv-anomalies.md", ["residual watch SPX-30d-C-", "is dear"]),
    ],
)
def test_the_example_of_the_page_runs(page, said, capsys):
    scope: dict[str, object] = {}
    for number, block in enumerate(blocks(page, "python")):
        exec(compile(block, f"{page}, block {number}", "exec"), scope)
    printed = capsys.readouterr().out
    for words in said:
        assert words in printed
