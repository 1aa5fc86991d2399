"""The page on Python, and the notebook: their code runs, in an empty folder, as a reader's would."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.test_docs import blocks

NOTEBOOKS = sorted((ROOT / "docs" / "examples" / "notebooks").glob("*.ipynb"))

CELLS = """
import ast, json, sys

shown = []
scope = {"__name__": "__main__"}
for source in json.load(open(sys.argv[1])):
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "cell", "exec"), scope)
    if last is not None:
        value = eval(compile(ast.Expression(last.value), "cell", "eval"), scope)
        html = getattr(value, "_repr_html_", None)
        shown.append(html() if html else repr(value))
print(json.dumps(shown))
"""
"""Runs cells in turn in one scope, as a kernel does; prints what each cell's last expression would show."""


def run(code: str, folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=folder, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_code_of_the_page_runs_from_top_to_bottom(tmp_path: Path) -> None:
    code = [block.text for block in blocks(ROOT / "docs" / "python.md") if block.language == "python"]
    assert len(code) > 8
    out = run("\n".join(code), tmp_path)
    assert "limit must be at least 1" in out
    # The table that the page shows is one that was printed, but for the time.
    shown = next(block.text for block in blocks(ROOT / "docs" / "python.md") if block.language == "text")
    assert all(line in out for line in shown.splitlines()[1:])


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_shows_something(notebook: Path, tmp_path: Path) -> None:
    content = json.loads(notebook.read_text())
    assert (content["nbformat"], content["nbformat_minor"]) == (4, 5)
    cells = ["".join(cell["source"]) for cell in content["cells"] if cell["cell_type"] == "code"]
    # Outputs would go stale, and every run of the notebook would change the file.
    assert not any(cell["outputs"] for cell in content["cells"] if cell["cell_type"] == "code")
    (tmp_path / "cells.json").write_text(json.dumps(cells))
    shown = json.loads(run(CELLS, tmp_path, "cells.json").splitlines()[-1])
    assert len(shown) == len(cells)
    assert sum("<table" in text for text in shown) >= len(cells) - 2


def test_there_is_a_notebook() -> None:
    assert NOTEBOOKS
