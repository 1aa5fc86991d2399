"""``leaderboard import``: published scores from the files of a benchmark's own leaderboard."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import Any

import click

from trm_harness.errors import BadInput
from trm_harness.files.read import JSON_LIMIT, parse_json, read_text
from trm_harness.files.write import write_text


def import_arc_prize(root: Path, evaluations: Path, models: Path, collected: str, source: str, dry_run: bool) -> None:
    """Put the scores that are new behind those of ``root/reported/<benchmark>.csv``; ``BadInput`` for a wrong file."""
    from trm_harness.leaderboard.arcprize import DATASETS, appended, imported

    if not re.fullmatch(r"\d{4}-\d\d-\d\d", collected):
        raise BadInput(f"--collected {collected}: give a day as YYYY-MM-DD")
    files = {benchmark: root / "reported" / f"{benchmark}.csv" for benchmark, _ in DATASETS.values()}
    texts = {benchmark: _text(file) for benchmark, file in files.items()}
    known = {benchmark: list(csv.DictReader(io.StringIO(text))) for benchmark, text in texts.items()}
    found = imported(_json(evaluations), _json(models), known, collected, source)
    # All texts first: a file that lacks a column must not leave the other one changed.
    new = {benchmark: appended(texts[benchmark], lines) for benchmark, lines in found.lines.items()}
    for note in found.notes:
        click.echo(note, err=True)
    for benchmark, text in new.items():
        if not dry_run:
            write_text(files[benchmark], text)
        told = "would add" if dry_run else "added"
        click.echo(f"{told} {len(found.lines[benchmark])} scores to {files[benchmark]}")
    if not new:
        click.echo("nothing new in the file")


def _text(file: Path) -> str:
    if not file.is_file():
        raise BadInput(f"{file} does not exist: give --root, a leaderboards folder with its reported scores")
    return read_text(file, JSON_LIMIT, "a file of reported scores")


def _json(file: Path) -> Any:
    if not file.is_file():
        raise BadInput(f"{file} does not exist")
    return parse_json(read_text(file, JSON_LIMIT, "a JSON file"), str(file))
