"""The page of training recipes: what each setting means, and every recipe that ships. ``docs/build.py`` writes it."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import source_text as source

PAGE = Path(__file__).parent / "recipes.md"
SHIPPED = PAGE.with_name("recipes-shipped.md")
ROOMS = ("zoo", "recipes", "plugins", "trm_harness", "docs/examples")

TABLES = (("Recipe", "Settings"), ("Stage", "`[[stage]]`"), ("Part", "`[[part]]`"))

HEAD = """# Recipes

*Written from the shipped files by `python docs/build.py`.*

A recipe is a TOML file that decides everything a training run does; `train --recipe` takes it, or the name of a card
that has one. An unknown key, a missing one or a value of the wrong kind is refused before anything is written.
[The shipped recipes](recipes-shipped.md) have a page of their own.

"""


SHIPPED_HEAD = """# Shipped recipes

*Written from the shipped files by `python docs/build.py`. [What each setting means](recipes.md).*

"""


def pages() -> dict[Path, str]:
    """Both pages."""
    module = source.tree("train/recipe.py")
    kinds = {node.name: node for node in source.public(module, ast.ClassDef)}
    settings = [_settings(kinds[name], title) for name, title in TABLES]
    files = sorted(file for room in ROOMS for file in (source.ROOT / room).rglob("*.toml"))
    recipes = [(file, tomllib.loads(file.read_text("utf-8"))) for file in files]
    shown = [_recipe(file, data) for file, data in recipes if "stage" in data]
    return {PAGE: HEAD + "\n".join(settings), SHIPPED: SHIPPED_HEAD + "\n".join(shown)}


def _settings(node: ast.ClassDef, title: str) -> str:
    rows = "".join(
        f"| `{name}` | `{_cell(kind)}` | {f'`{_cell(default)}`' if default else 'required'} |\n"
        for name, kind, default, _ in source.attributes(node)
        if "ClassVar" not in kind and name not in ("stages", "parts")
    )
    rows = rows.replace("`field(default_factory=dict)`", "empty")
    return f"## {title}\n\n{source.told(node)}\n\n| setting | type | default |\n|---|---|---|\n{rows}"


def _recipe(file: Path, data: Mapping[str, Any]) -> str:
    where = file.relative_to(source.ROOT).as_posix()
    plain = {key: value for key, value in data.items() if key not in ("stage", "part")}
    flat = [(key, value) for key, value in plain.items() if not isinstance(value, dict)]
    flat += [
        (f"{key}.{name}", v) for key, value in plain.items() if isinstance(value, dict) for name, v in value.items()
    ]
    settings = "".join(f"| `{key}` | `{_cell(_toml(value))}` |\n" for key, value in flat)
    parts = f"\n{_rows('part', data['part'])}" if "part" in data else ""
    return f"## `{where}`\n\n{_intro(file)}| setting | value |\n|---|---|\n{settings}{parts}\n" + _rows(
        "stage", data["stage"]
    )


def _rows(kind: str, stages: list[Mapping[str, Any]]) -> str:
    names = list(dict.fromkeys(name for stage in stages for name in stage))
    head = f"| {kind} | {' | '.join(f'`{name}`' for name in names)} |\n|{'---|' * (len(names) + 1)}\n"
    lines = (
        f"| {place} | {' | '.join(_cell(_toml(stage[name])) if name in stage else '' for name in names)} |\n"
        for place, stage in enumerate(stages, 1)
    )
    return head + "".join(lines)


def _intro(file: Path) -> str:
    """The comment that a recipe begins with."""
    lines = []
    for line in file.read_text("utf-8").splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.removeprefix("#").strip())
    return " ".join(lines) + "\n\n" if lines else ""


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + " }"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _cell(words: str) -> str:
    return words.replace("|", "\\|")
