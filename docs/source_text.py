"""Signatures and docstrings read from the source, so that a page shows what the code says and nothing else."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def tree(name: str) -> ast.Module:
    """The syntax tree of a file of the core."""
    return ast.parse((ROOT / "trm_harness" / name).read_text("utf-8"))


def public(module: ast.Module, kind: type) -> Iterator[ast.AST]:
    """Public definitions of a kind, in the order of the file."""
    return (node for node in module.body if isinstance(node, kind) and not node.name.startswith("_"))


def signature(node: ast.FunctionDef) -> str:
    """``def name(arguments) -> type``, one argument a line where one line would be too long."""
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    line = f"def {node.name}({ast.unparse(node.args)}){returns}"
    if len(line) <= 100:
        return line
    inner = ast.unparse(node.args).replace(", ", ",\n    ")
    # A comma inside brackets belongs to its annotation, not between arguments.
    inner = re.sub(r",\n    (?=[^\[\]\n]*\](?!\[))", ", ", inner)
    return f"def {node.name}(\n    {inner},\n){returns}"


def told(node: ast.AST) -> str:
    """A docstring as Markdown."""
    return markdown(ast.get_docstring(node) or "")


def markdown(text: str) -> str:
    """The few marks of reStructuredText that docstrings use, as Markdown."""
    text = re.sub(r":\w+:`~?([^`]+)`", lambda match: f"`{match[1].rpartition('.')[2]}`", text)
    return text.replace("``", "`")


def attributes(node: ast.ClassDef) -> Iterator[tuple[str, str, str, str]]:
    """(name, type, default, docstring) of every annotated attribute of a class."""
    for place, item in enumerate(node.body):
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
            after = node.body[place + 1] if place + 1 < len(node.body) else None
            is_doc = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
            doc = markdown(" ".join(str(after.value.value).split())) if is_doc else ""
            yield item.target.id, ast.unparse(item.annotation), ast.unparse(item.value) if item.value else "", doc
