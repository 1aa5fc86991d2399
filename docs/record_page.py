"""Writes ``docs/record.md`` from the schema of the record: ``python docs/record_page.py``. A test compares the two."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from trm_harness.record import SCHEMA_VERSION, json_schema
from trm_harness.scoring.assess import CANDIDATE_COLUMNS, PUZZLE_COLUMNS

PAGE = Path(__file__).with_name("record.md")

HEAD = f"""# The record of a run

*Written from the code by `python docs/record_page.py`; change the descriptions there, not here.*

A run is a folder, by default `runs/<id>`:

| file | what it is |
|---|---|
| `run.json` | the record, schema version {SCHEMA_VERSION}; there from the first second, never half-written |
| `plan.json` | what `eval --resume` needs to compose the same batches and to know that nothing changed |
| `journal.jsonl` | every answer, one line each, on disk before the next batch begins |
| `puzzles.csv` | one line per puzzle, in the order of the split |
| `candidates.csv` | one line per distinct answer of a puzzle, best first |

Everything in `scores`, `selections`, `measures`, `depth_curve`, `trajectory_curve` and `halting`, and both CSV files,
follow from the journal alone: `trm-harness runs score RUN` computes them again without the model, and `--select` makes
one answer of all in another way.

## `journal.jsonl`

A line is a JSON array: puzzle id; view (0 is the puzzle as it stands); name of the view's transform; restart; answers;
halting logits; supervision steps run; tokens read; CRC-32 of the line before it, in hex. Answers are grids in the
puzzle's own frame, as text: rows joined by `/`, one base-36 character per cell, `=` for "as the step before", an empty
string for an empty grid, `null` for no answer. Restart 0 of view 0 (the single pass) keeps the answer of every step,
the others the final one. Logits
have the nine digits that name a float32 exactly. A last line without its line break was cut by a crash: resuming drops
it. Any other damaged line is an error that names it.

## `puzzles.csv`

`{"`, `".join(PUZZLE_COLUMNS)}`, then the task's measures of the single-pass answer. `rank` is the place of the right
answer among the candidates (empty: not there), `votes` those of the first candidate, `single` whether the single pass
is right, `right_at` one digit per supervision step of the single pass (1: right), `halts` its halting logits.

## `candidates.csv`

`{"`, `".join(CANDIDATE_COLUMNS)}`. `halt` is the mean sigmoid of the halting logits of the views that gave this answer,
`first_seen` the first of those answers (by view and restart) among the ones that are there, `answer` the grid as in the
journal, `peak` the highest of those logits. The order is that of the run's way of choosing (`protocol.select`).

## `run.json`
"""


def page() -> str:
    """The whole page."""
    schema = json_schema()
    sections = [_section("", schema)]
    sections += [_section(name, entry) for name, entry in sorted(schema["$defs"].items())]
    return HEAD + "".join(sections)


def _section(name: str, entry: Mapping[str, Any]) -> str:
    title = f"\n### {name}\n\n{' '.join(entry['description'].split())}\n" if name else ""
    return title + "\n| field | type | meaning |\n|---|---|---|\n" + "".join(_rows(entry))


def _rows(entry: Mapping[str, Any]) -> Iterator[str]:
    for name, field in entry["properties"].items():
        yield f"| `{name}` | {_type(field)} | {' '.join(field['description'].split())} |\n"


def _type(field: Mapping[str, Any]) -> str:
    """The type of a field in words."""
    if "$ref" in field:
        name = field["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in field:
        return " or ".join(_type(option) for option in field["anyOf"])
    if "const" in field or "enum" in field:
        return " or ".join(
            f"`{value}`" if value != "" else "empty" for value in field.get("enum", [field.get("const")])
        )
    if field.get("type") == "array":
        return f"list of {_type(field['items'])}"
    return {"object": "table", "integer": "whole number"}.get(field.get("type", ""), field.get("type", "any"))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
