"""Filed records: where a run lies among the published ones, what lies beside it, and how far it was checked.

A filed run is a folder ``<task>/<model>/<weights>/<run id>`` of a records folder. Beside ``run.json`` and ``plan.json``
lie the answers (``journal.jsonl.xz``), the steps of a few puzzles for the viewer (``films.json``), the hashes of all of
these (``manifest.json``) and, as soon as somebody checked it, what was found (``verification.json``).
"""

from __future__ import annotations

import hashlib
import json
import lzma
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from trm_harness.errors import BadInput
from trm_harness.files.names import ARCHIVED_REPLIES_FILE
from trm_harness.files.read import open_either, read_json
from trm_harness.files.write import write_bytes, write_text
from trm_harness.record import (
    ARCHIVED_JOURNAL_FILE,
    JOURNAL_FILE,
    PLAN_FILE,
    RECORD_FILE,
    REPLIES_FILE,
    RunRecord,
    read,
)

MANIFEST_FILE = "manifest.json"
FILMS_FILE = "films.json"
VERIFICATION_FILE = "verification.json"
FORMAT = 1

KEPT = (RECORD_FILE, PLAN_FILE, ARCHIVED_JOURNAL_FILE, ARCHIVED_REPLIES_FILE, FILMS_FILE)
"""Files whose hashes the manifest holds; the films may be missing."""

SELF_REPORTED, RESCORED, RERUN = LEVELS = ("self-reported", "re-scored", "re-run")
"""How far a record was checked: not at all; its scores follow from its answers; a second run gave the same answers."""

NO_WEIGHTS = "none"
_UNSAFE = re.compile(r"[^A-Za-z0-9._+-]+")


class CheckEntry(BaseModel):
    """One check of a run, bound to what was checked by two hashes."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: Literal["re-scored", "re-run"]
    date: str
    record_sha256: str
    """Of ``run.json``."""
    journal_sha256: str
    """Of the journal's lines, whether they lie compressed or not."""
    puzzles: int
    """Puzzles whose scores were recomputed, or that were answered again."""
    of: int
    """Puzzles of the run."""
    grids: int = 0
    """Final answers compared (puzzles x views x trajectories)."""
    equal: int = 0
    """Of these, equal in every cell."""
    agree: int = 0
    """Puzzles that are right in both runs or wrong in both."""
    weights_sha256: str = ""
    harness: str = ""
    device: str = ""

    @property
    def passed(self) -> bool:
        """Whether the check bears the record out: a re-run agrees on every puzzle that it answered."""
        return self.puzzles > 0 and (self.kind == RESCORED or self.agree == self.puzzles)


@dataclass(frozen=True)
class Filed:
    """A filed run: its place (``task/model/weights/run``), record, checks that hold for it, and films as read."""

    folder: Path
    place: str
    record: RunRecord
    checks: tuple[CheckEntry, ...] = ()
    films: tuple[Mapping[str, Any], ...] = ()

    @property
    def level(self) -> str:
        """The furthest check that it passed."""
        passed = {check.kind for check in self.checks if check.passed}
        return next((level for level in reversed(LEVELS) if level in passed), SELF_REPORTED)


def place_of(record: RunRecord) -> str:
    """Where a record belongs, from its content alone."""
    model = record.model
    weights = model.weights_sha256[:8] or NO_WEIGHTS
    parts = (record.task.id, model.card or model.id, weights, record.id)
    return "/".join(_UNSAFE.sub("-", part) or "-" for part in parts)


def sha256(content: bytes) -> str:
    """Hash of bytes, in hex."""
    return hashlib.sha256(content).hexdigest()


def journal_sha256(folder: Path) -> str:
    """Hash of a run's journal, the same before and after it was filed. ``BadInput`` if there is none."""
    digest = hashlib.sha256()
    try:
        with open_either(folder / JOURNAL_FILE, folder / ARCHIVED_JOURNAL_FILE) as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    except (OSError, BadInput) as error:
        raise BadInput(f"the journal in {folder} cannot be read: {error}") from None
    return digest.hexdigest()


def pack_journal(run: Path, into: Path) -> None:
    """Write the compressed journal of the folder ``run`` into the folder ``into``."""
    write_bytes(into / ARCHIVED_JOURNAL_FILE, _packed(run / JOURNAL_FILE, run / ARCHIVED_JOURNAL_FILE))


def pack_replies(run: Path, into: Path, room: int) -> None:
    """Write the compressed transcripts of the folder ``run`` into ``into``; none that take more than ``room`` bytes."""
    plain, packed = run / REPLIES_FILE, run / ARCHIVED_REPLIES_FILE
    if not plain.is_file() and not packed.is_file():
        return
    content = _packed(plain, packed)
    if len(content) <= room:
        write_bytes(into / ARCHIVED_REPLIES_FILE, content)


def _packed(plain: Path, packed: Path) -> bytes:
    """The content of ``packed``, or what it would be where only ``plain`` is there."""
    return packed.read_bytes() if packed.is_file() else lzma.compress(plain.read_bytes(), preset=9)


def write_manifest(folder: Path) -> None:
    """Write the hashes of a filed run's files."""
    files = {name: sha256((folder / name).read_bytes()) for name in KEPT if (folder / name).is_file()}
    write_text(folder / MANIFEST_FILE, json.dumps({"format": FORMAT, "files": files}, indent=1) + "\n")


def read_manifest(folder: Path) -> dict[str, str]:
    """File name -> sha256. ``BadInput`` for anything that is no manifest."""
    data = read_json(folder / MANIFEST_FILE)
    files = data.get("files")
    if data.get("format") != FORMAT or not isinstance(files, dict):
        raise BadInput(f"{folder / MANIFEST_FILE} is not a manifest of format {FORMAT}")
    return files


def read_checks(folder: Path) -> tuple[CheckEntry, ...]:
    """Every check in a run's ``verification.json``; none without the file. ``BadInput`` if it is damaged."""
    file = folder / VERIFICATION_FILE
    if not file.is_file():
        return ()
    data = read_json(file)
    if data.get("format") != FORMAT or not isinstance(data.get("checks"), list):
        raise BadInput(f"{file} is not a verification of format {FORMAT}")
    try:
        return tuple(CheckEntry.model_validate(entry) for entry in data["checks"])
    except ValidationError as error:
        detail = error.errors()[0]
        raise BadInput(f"{file} is damaged: {'.'.join(map(str, detail['loc']))}: {detail['msg']}") from None


def holding_checks(folder: Path) -> tuple[CheckEntry, ...]:
    """The checks that were made of the same record and answers that lie in ``folder``; none if they changed since."""
    checks = read_checks(folder)
    if not checks:
        return ()
    now = (sha256((folder / RECORD_FILE).read_bytes()), journal_sha256(folder))
    return tuple(check for check in checks if (check.record_sha256, check.journal_sha256) == now)


def add_check(folder: Path, check: CheckEntry) -> None:
    """Put a check at the end of the run's ``verification.json``."""
    checks = [entry.model_dump() for entry in (*read_checks(folder), check)]
    write_text(folder / VERIFICATION_FILE, json.dumps({"format": FORMAT, "checks": checks}, indent=1) + "\n")


def read_films(folder: Path) -> tuple[Mapping[str, Any], ...]:
    """The films beside a record; none without the file. ``BadInput`` if it is something else."""
    file = folder / FILMS_FILE
    if not file.is_file():
        return ()
    data = read_json(file)
    if data.get("format") != FORMAT or not isinstance(data.get("films"), list):
        raise BadInput(f"{file} is not a file of films of format {FORMAT}")
    return tuple(data["films"])


def have_steps(films: Iterable[Mapping[str, Any]]) -> bool:
    """Whether some answer took more than one step."""
    return any(len(film["frames"]) > 1 for film in films)


def fitting(films: Iterable[Mapping[str, Any]], room: float, count: int) -> Iterator[Mapping[str, Any]]:
    """The films that fit into ``room`` bytes of JSON, at most ``count``, in order; the first one whatever it takes."""
    shown = 0
    for film in films:
        size = len(json.dumps(film, separators=(",", ":")))
        if shown < count and (size <= room or not shown):
            room, shown = room - size, shown + 1
            yield film


def write_films(folder: Path, films: Iterable[Mapping[str, Any]]) -> None:
    """Write the films of a run."""
    lines = ",\n".join(json.dumps(film, separators=(",", ":"), allow_nan=False) for film in films)
    write_text(folder / FILMS_FILE, f'{{"format":{FORMAT},"films":[\n{lines}\n]}}\n')


def folders(root: Path) -> Iterator[Path]:
    """Every folder under ``root`` that holds a record, in the order of their names."""
    return (file.parent for file in sorted(root.rglob(RECORD_FILE)))


def read_filed(folder: Path, root: Path) -> Filed:
    """The filed run in ``folder`` of the records folder ``root``. ``BadInput`` if any of its files is damaged."""
    place = folder.relative_to(root).as_posix()
    return Filed(folder, place, read(folder), holding_checks(folder), read_films(folder))
