"""The contracts of plugins, written from their docstrings. ``docs/build.py`` writes the page."""

from __future__ import annotations

import ast
from pathlib import Path

import source_text as source

FOLDER = Path(__file__).parent / "reference"

HEAD = """# {title}

*Written from the docstrings by `python docs/build.py`; change them there, not here.*

{intro}
"""

CONTRACTS = """\
A plugin declares *specs* in its manifest; a spec's `target`, `"module:attribute"`, is imported when it is first used
and gives an object that keeps a *contract*. Contracts are protocols: nothing has to be inherited. Everything that
travels is numpy, so a model may be torch, JAX, a solver or a language model. [Hooks](hooks.md) says how specs are
declared, the [tutorial](../tutorial.md) builds a task.

[Specs, values and errors](values.md) have a page of their own."""

VALUES = "What a plugin's manifest declares, what travels between plugins and harness, and what a plugin may raise."

PAGES = {
    "contracts.md": (
        "Contracts of plugins",
        CONTRACTS,
        (
            ("Contracts", "contracts.py", "What tasks, models and training sources must do."),
            ("Trainers", "train/trainer.py", "What a trainer gets and returns: `train(job) -> result`."),
            ("Engines", "train/engine.py", "What happens to gradients: the part that most trainers bring."),
        ),
    ),
    "values.md": (
        "Specs, values and errors",
        VALUES,
        (
            ("Specs", "specs.py", "What a manifest declares: pure data."),
            ("Values", "types.py", "What travels. A *grid* is a 2-D `uint8` array in the task's own symbols."),
            ("Errors", "errors.py", "What a plugin may raise so that its user gets one line instead of a traceback."),
        ),
    ),
}


def pages() -> dict[Path, str]:
    """Both pages."""
    return {
        FOLDER / name: HEAD.format(title=title, intro=intro) + "".join(_room(*room) for room in rooms)
        for name, (title, intro, rooms) in PAGES.items()
    }


def _room(title: str, file: str, line: str) -> str:
    module = source.tree(file)
    where = f"`trm_harness.{file.removesuffix('.py').replace('/', '.')}`"
    sections = [_class(node) for node in source.public(module, ast.ClassDef)]
    return f"\n## {title}\n\n{line} In {where}.\n\n" + "\n".join(sections)


def _class(node: ast.ClassDef) -> str:
    parts = [f"### {node.name}\n", source.told(node) + "\n"]
    rows = [
        f"| `{name}` | `{_cell(kind)}` | {f'`{_cell(default)}`' if default else ''} | {_cell(doc)} |"
        for name, kind, default, doc in source.attributes(node)
    ]
    if rows:
        parts.append("| attribute | type | default | |\n|---|---|---|---|\n" + "\n".join(rows) + "\n")
    methods = [item for item in node.body if isinstance(item, ast.FunctionDef) and not item.name.startswith("_")]
    parts += [f"```python\n{source.signature(item)}\n```\n\n{source.told(item)}\n" for item in methods]
    return "\n".join(parts)


def _cell(words: str) -> str:
    return words.replace("|", "\\|")
