"""Every row of the acceptance table has tests that exist, carry its name and hold its numbers; the page says so."""

from __future__ import annotations

import ast
import math
import re
from functools import cache
from pathlib import Path

import pytest

from tests.evaluation.acceptance import PAGE, ROWS, page

TESTS = Path(__file__).resolve().parents[1]


@cache
def parsed(file: str) -> tuple[str, ast.Module]:
    source = (TESTS / file).read_text()
    return source, ast.parse(source)


def function(test: str) -> ast.FunctionDef:
    file, name = test.split("::")
    (found,) = [node for node in parsed(file)[1].body if isinstance(node, ast.FunctionDef) and node.name == name]
    return found


def lines_of(test: str) -> str:
    """Source of a test with its decorators."""
    node = function(test)
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    return "\n".join(parsed(test.split("::")[0])[0].splitlines()[first - 1 : node.end_lineno])


def numbers(test: str) -> set[float]:
    """Numbers that a test writes, in itself or in a constant of its module that it reaches."""
    body = parsed(test.split("::")[0])[1].body
    constants = {
        target.id: node.value
        for node in body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    nodes: list[ast.AST] = [function(test)]
    named = {n.id for n in ast.walk(nodes[0]) if isinstance(n, ast.Name)}
    nodes += [value for name, value in constants.items() if name in named]
    return {
        float(n.value)
        for node in nodes
        for n in ast.walk(node)
        if isinstance(n, ast.Constant) and isinstance(n.value, int | float) and not isinstance(n.value, bool)
    }


def test_the_table_is_whole():
    assert list(ROWS) == sorted(
        [f"A-{n}" for n in range(1, 80)] + ["A-8b", "A-8c"],
        key=lambda name: (int(re.findall(r"\d+", name)[0]), name),
    )
    assert all(row.tests and row.tolerance for row in ROWS.values())


@pytest.mark.parametrize("name", ROWS)
def test_a_row_is_checked_by_tests_that_carry_its_name_and_numbers(name):
    row = ROWS[name]
    for test in row.tests:
        assert test.split("::")[1].startswith("test_"), test
        short = name.lower().replace("-", "")
        assert re.search(rf"{name}\b|test_{short}_", lines_of(test)), f"{test} does not name {name}"
        assert "assert" in lines_of(test)
    written = set().union(*(numbers(test) for test in row.tests))
    for value in row.expected:
        assert any(math.isclose(value, other, rel_tol=1e-9) for other in written), f"{name}: {value} is in no test"


def test_no_row_of_a_test_is_outside_the_table():
    cited = set()
    for file in TESTS.rglob("test_*.py"):
        cited |= {f"A-{n}" for n in re.findall(r"def test_a(\d+[bc]?)_", file.read_text())}
    assert cited <= set(ROWS)


def test_the_page_is_the_table():
    assert PAGE.read_text() == page(), "run python -m tests.evaluation.acceptance"
