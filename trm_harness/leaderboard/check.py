"""What must hold for a filed record and for a change to the records, as far as files alone can tell.

Whether model and task exist and whether the scores follow from the answers takes the registry: the command line asks.
"""

from __future__ import annotations

import csv
import io
import json
import lzma
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from trm_harness.errors import BadInput
from trm_harness.files.dates import to_come
from trm_harness.files.read import XZ_MEMORY, read_json
from trm_harness.leaderboard.archive import (
    FILMS_FILE,
    KEPT,
    MANIFEST_FILE,
    RERUN,
    VERIFICATION_FILE,
    CheckEntry,
    holding_checks,
    journal_sha256,
    place_of,
    read_checks,
    read_films,
    read_manifest,
    sha256,
)
from trm_harness.leaderboard.rows import STEERING
from trm_harness.record import (
    ARCHIVED_JOURNAL_FILE,
    CANDIDATES_FILE,
    JOURNAL_FILE,
    PLAN_FILE,
    PUZZLES_FILE,
    RECORD_FILE,
    RunRecord,
    ScoreEntry,
    read,
)

LARGEST = 4 << 20
"""Bytes of a filed run, all files together."""

WITHDRAWN_FILE = "withdrawn.csv"
WITHDRAWN_COLUMNS = ("place", "date", "reason")

# A folder from the root of a disk, or of somebody's home: the same shape that the record's own writer cuts off.
_PRIVATE = re.compile(
    r"(?<![\w.:/<>])(?:[A-Za-z]:)?(?:[/\\]|~[\w.-]*[/\\])(?:[^\s/\\'\"<>]+[/\\])+[^\s'\"]*|file://\S+"
)
_TEXTS = (RECORD_FILE, PLAN_FILE, FILMS_FILE, VERIFICATION_FILE)
_PUBLISHED = re.compile(r"(?:[^/]+/){4}[^/]+")
_DERIVED = (PUZZLES_FILE, CANDIDATES_FILE)
_GRIDS = {"input", "answer", "frames", "demonstrations"}


@dataclass(frozen=True)
class Finding:
    """Something that a check has to say of a ``place``: a problem fails it, a note informs the reviewer."""

    place: str
    text: str
    problem: bool = True

    def __str__(self) -> str:
        return f"{'PROBLEM' if self.problem else 'note'} {self.place}: {self.text}"


@dataclass(frozen=True)
class Withdrawn:
    """Why and when a record or a reported score left."""

    place: str
    date: str
    reason: str


@dataclass(frozen=True)
class Brought:
    """A check that a change brings along, for a record that is new in it or was there before."""

    place: str
    check: CheckEntry
    new: bool


def check_filed(folder: Path, root: Path) -> Iterator[Finding]:
    """Everything that a filed run's own files can show to be wrong."""
    place = folder.relative_to(root).as_posix()
    try:
        record = read(folder)
    except BadInput as problem:
        yield Finding(place, str(problem))
        return
    texts = [*_place(place, record), *_files(folder), *check_record(record)]
    for part in (_plan, _private):
        try:
            texts += part(folder, record)
        except BadInput as problem:
            texts.append(str(problem))
    yield from (Finding(place, text) for text in texts)
    yield from _verification(folder, place)


def check_record(record: RunRecord) -> Iterator[str]:
    """What keeps a record from being published: unfinished, incomplete denominators, undeclared training."""
    if record.status != "success":
        yield f"its status is {record.status!r}: only finished runs are filed"
    if record.headline is None:
        yield "it has no score"
    elif record.headline not in record.scores:
        yield "its headline is none of its scores"
    for moment in filter(to_come, (record.started, record.finished or "")):
        yield f"its date {moment} lies in the future: set that machine's clock and run it again"
    if record.task.own_data:
        yield "it was made on somebody's own data, which nobody can compare with"
    for score in record.scores:
        yield from _denominator(score, record)
    yield from _declarations(record)


def check_base(
    files: Mapping[str, bytes], base: Mapping[str, bytes], withdrawn: Mapping[str, Withdrawn]
) -> Iterator[Finding]:
    """What became of the records of ``base`` (path below ``records`` -> content): nothing may vanish or change.

    New checks may be added behind a record's others; a record whose place ``withdrawn`` names may go.
    """
    for name, content in sorted(base.items()):
        place, _, file = name.rpartition("/")
        if not _PUBLISHED.fullmatch(name) or _packed(name, content, files):
            continue
        if name not in files:
            if place not in withdrawn:
                yield Finding(place, f"{file} has vanished: a record goes only by a line in {WITHDRAWN_FILE}")
            elif file == RECORD_FILE:
                yield Finding(place, f"withdrawn: {withdrawn[place].reason}", problem=False)
        elif file == VERIFICATION_FILE:
            yield from _grown(place, content, files[name])
        elif files[name] != content:
            yield Finding(place, f"{file} was changed: a filed run stays as it is, file a new one beside it")
    for name in sorted(files.keys() - base.keys()):
        place, _, file = name.rpartition("/")
        if file == RECORD_FILE:
            yield Finding(place, "new record", problem=False)


def brought_checks(files: Mapping[str, bytes], base: Mapping[str, bytes]) -> Iterator[Brought]:
    """The checks in ``files`` (path below ``records`` -> content) that no file of ``base`` holds."""
    for name, content in sorted(files.items()):
        place, _, file = name.rpartition("/")
        if file == VERIFICATION_FILE:
            known = _checks(base.get(name, b""))
            new = f"{place}/{RECORD_FILE}" not in base
            yield from (Brought(place, check, new) for check in _checks(content) if check not in known)


def check_brought(
    brought: Iterable[Brought], proved: Collection[str], who: Callable[[str], str], accepted: bool = False
) -> Iterator[Finding]:
    """Every brought check for the reviewer, and a problem where it claims more than was proved here.

    ``proved`` are the places whose scores followed from their answers here; ``who(place)`` names whoever committed
    the check. A second run cannot be proved by reading: it is a problem unless the reviewer ``accepted`` it.
    """
    for one in brought:
        check = one.check
        yield Finding(one.place, f"new {_check_text(check)}, by whoever made this change ({who(one.place)})", False)
        if one.new and check.kind == RERUN:
            told = "a new record counts as re-scored at most: take its re-run check out, it may come in a later change"
            yield Finding(one.place, told)
        elif check.kind == RERUN and not accepted:
            told = "nobody here saw that re-run: who made it again, or trusts whoever did, says --accept-checks"
            yield Finding(one.place, told)
        elif check.kind != RERUN and one.place not in proved:
            told = "it was not scored again here, so that its re-scored check shows nothing: take the check out"
            yield Finding(one.place, told)


def check_withdrawn(
    places: Iterable[str], withdrawn: Mapping[str, Withdrawn], base: Mapping[str, Withdrawn]
) -> Iterator[Finding]:
    """What was withdrawn stays away, and the line that says so stays."""
    gone = {place.rpartition("/")[0]: one for place, one in withdrawn.items()}
    for place in places:
        above = place.rpartition("/")[0]
        if place in withdrawn:
            one = withdrawn[place]
            yield Finding(place, f"it was withdrawn on {one.date} ({one.reason}) and is here again")
        elif above in gone:
            one = gone[above]
            told = f"another run of these weights was withdrawn on {one.date} ({one.reason}): is this one free of that?"
            yield Finding(place, told, problem=False)
    for place in base.keys() - withdrawn.keys():
        yield Finding(place, f"its line in {WITHDRAWN_FILE} has vanished")


def check_twins(records: Path, places: Iterable[str]) -> Iterator[Finding]:
    """Records that show one thing twice: the same answers as another one, or its weights under another name."""
    answers: dict[str, list[tuple[str, str, str]]] = {}
    names: dict[str, tuple[str, str]] = {}
    for place in places:
        try:
            record = read(records / place)
        except BadInput:
            # A finding of its own names what cannot be read.
            continue
        weights, name = record.model.weights_sha256, record.model.card
        # Without a card they bear the architecture's name and share the row of their other runs.
        if weights and name:
            first, other = names.setdefault(weights, (name, place))
            if first != name:
                yield Finding(place, f"its weights are shown as {first} already ({other}): one name for one network")
        scored = [score.model_dump(mode="json") for score in record.scores]
        told = (record.task.data_sha256, record.selection.sha256, record.model.id, scored, record.measures)
        answers.setdefault(repr(told), []).append((record.started, place, weights))
    for alike in answers.values():
        yield from _same_answers(records, sorted(alike))


def _same_answers(records: Path, alike: Sequence[tuple[str, str, str]]) -> Iterator[Finding]:
    """Of records with equal scores those whose journals are equal too; the oldest is the original.

    The same weights give the same answers again, and their runs share a row: that is told. Other weights do not.
    """
    first: dict[str, tuple[str, str]] = {}
    for _, place, weights in alike if len(alike) > 1 else ():
        try:
            original, its = first.setdefault(journal_sha256(records / place), (place, weights))
        except BadInput:
            continue
        if original != place:
            hint = "`runs verify` would note it there as a second run" if its == weights else "and not of its weights"
            yield Finding(place, f"its answers are those of {original} to the byte: {hint}", problem=its != weights)


def check_reported(
    files: Mapping[str, bytes], base: Mapping[str, bytes], withdrawn: Mapping[str, Withdrawn]
) -> Iterator[Finding]:
    """Reported scores that vanished (a problem unless withdrawn) or changed (a note) since ``base``."""
    now, before = _lines(files), _lines(base)
    for key, lines in before.items():
        place = f"{key[0]}: {key[2]}"
        gone, came = lines - now.get(key, Counter()), now.get(key, Counter()) - lines
        # A changed line is one that went and one that came under the same name.
        changed = min(gone.total(), came.total())
        if changed:
            yield Finding(place, f"changed: {_difference(gone, came)}", problem=False)
        if gone.total() > changed and place not in withdrawn:
            yield Finding(place, f"a reported score has vanished: it goes only by a line in {WITHDRAWN_FILE}")
    for key in now.keys() - before.keys():
        if now[key].total() > 1:
            yield Finding(f"{key[0]}: {key[2]}", "the same score of the same source stands here twice")
    added = sum((lines - before.get(key, Counter())).total() for key, lines in now.items() if key not in before)
    if added:
        yield Finding("reported", f"{added} new reported scores", problem=False)


def withdrawn(root: Path) -> dict[str, Withdrawn]:
    """What a leaderboards folder says was withdrawn."""
    file = root / WITHDRAWN_FILE
    return read_withdrawn(file.read_text(encoding="utf-8-sig") if file.is_file() else "")


def read_withdrawn(text: str) -> dict[str, Withdrawn]:
    """Place -> what is said of it, from ``withdrawn.csv``. ``BadInput`` for other columns or an empty reason."""
    reader = csv.DictReader(io.StringIO(text))
    if text and tuple(reader.fieldnames or ()) != WITHDRAWN_COLUMNS:
        raise BadInput(f"{WITHDRAWN_FILE} needs the columns {', '.join(WITHDRAWN_COLUMNS)}")
    lines = list(reader)
    if any(not line["place"] or not line["reason"] for line in lines):
        raise BadInput(f"{WITHDRAWN_FILE}: every line names a place and a reason")
    return {line["place"]: Withdrawn(line["place"], line["date"] or "", line["reason"]) for line in lines}


def _packed(name: str, content: bytes, files: Mapping[str, bytes]) -> bool:
    """Whether a file is gone because the run was packed: its journal compressed, its tables left to be recomputed."""
    place, _, file = name.rpartition("/")
    journal = files.get(f"{place}/{ARCHIVED_JOURNAL_FILE}")
    if name in files or journal is None:
        return False
    return file in _DERIVED or (file == JOURNAL_FILE and _unpacks_to(journal, content))


def _unpacks_to(packed: bytes, content: bytes) -> bool:
    """Whether a packed journal holds ``content``; what is longer is not unpacked to its end."""
    try:
        return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=XZ_MEMORY).decompress(packed, len(content) + 1) == content
    except (EOFError, lzma.LZMAError):
        return False


def _place(place: str, record: RunRecord) -> Iterator[str]:
    if place != place_of(record):
        yield f"its content belongs at {place_of(record)}"


def _files(folder: Path) -> Iterator[str]:
    """The files are those of the manifest, unchanged, and no others."""
    present = {path.name for path in folder.iterdir()}
    unknown = present - {*KEPT, MANIFEST_FILE, VERIFICATION_FILE}
    if unknown:
        yield f"{min(unknown)} does not belong here: `leaderboard add` files what belongs"
    if ARCHIVED_JOURNAL_FILE not in present:
        yield "its answers are missing: no score can be recomputed"
    if sum(path.stat().st_size for path in folder.iterdir()) > LARGEST:
        yield f"its files hold more than {LARGEST >> 20} MiB"
    try:
        manifest = read_manifest(folder)
    except BadInput as problem:
        yield str(problem)
        return
    for name in KEPT:
        known = sha256((folder / name).read_bytes()) if name in present else None
        if known != manifest.get(name):
            yield f"{name} is not the file that the manifest names"


def _plan(folder: Path, record: RunRecord) -> Iterator[str]:
    """The plan, from which the scores are recomputed, asks for what the record says was asked."""
    plan = read_json(folder / PLAN_FILE)
    task, model = record.task, record.model
    told = {
        "task": task.id,
        "task_version": task.version,
        "data_sha256": task.data_sha256,
        "selection_sha256": record.selection.sha256,
        "model": model.id,
        "model_version": model.version,
        "weights_sha256": model.weights_sha256,
        "steps": record.protocol.steps,
    }
    for key, value in told.items():
        if plan.get(key) != value:
            yield f"{PLAN_FILE} has {key} {str(plan.get(key))[:40]!r}, the record {str(value)[:40]!r}"


def _private(folder: Path, record: RunRecord) -> Iterator[str]:
    """Paths of somebody's machine in any text of the files, and characters that do not show."""
    for name in _TEXTS:
        if (folder / name).is_file():
            texts = list(_strings(read_json(folder / name)))
            found = next((hit for text in texts if (hit := _PRIVATE.search(text))), None)
            if found:
                yield f"{name} holds the private path {found[0][:60]!r}: leave it out"
            if any(STEERING.search(text) for text in texts):
                yield f"{name} holds a control character or a letter that does not show"


def _strings(value: Any) -> Iterator[str]:
    """Every text in a JSON value, names of fields among them; grids are left out."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield str(key)
            if key not in _GRIDS:
                yield from _strings(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _strings(item)


def _denominator(score: ScoreEntry, record: RunRecord) -> Iterator[str]:
    """A score counts all that was selected, and says what it is worth consistently."""
    chosen = record.selection
    whole = chosen.groups if score.unit == "tasks" else chosen.puzzles - chosen.hidden
    named = f"{score.name} ({score.rule}, {score.pooling})"
    # The rule "submitted" leaves out what was not attempted, by definition; hidden answers count for nothing.
    least = 0 if score.rule == "submitted" or chosen.hidden else whole
    if not least <= score.denominator <= whole:
        yield f"{named} counts {score.denominator} of the {whole} {score.unit} that were selected"
    if score.denominator and abs(score.value - score.numerator / score.denominator) > 1e-9:
        yield f"{named} is not its numerator over its denominator"
    if score.low is None or score.high is None:
        yield f"{named} has no interval"
    elif not score.low - 1e-9 <= score.value <= score.high + 1e-9:
        yield f"{named} lies outside its own interval"


def undeclared(record: RunRecord) -> bool:
    """Whether the record lacks what its weights' declaration would say."""
    return any(True for _ in _declarations(record))


def _declarations(record: RunRecord) -> Iterator[str]:
    """Trained weights say what they were trained on, how demonstrations were used, and were compared with it."""
    model, training = record.model, record.training
    if model.untrained or not model.weights_sha256:
        return
    if not training.data:
        yield "its weights do not declare what they were trained on"
    if training.demonstrations == "unknown":
        yield "its weights do not declare the use of demonstrations (inductive, per-task or joint)"
    if training.checkpoint_choice in ("", "unknown"):
        yield "its weights do not declare how the checkpoint was chosen"
    if record.contamination is None or record.contamination.status == "unknown":
        yield "its puzzles were not compared with the training data"


def _verification(folder: Path, place: str) -> Iterator[Finding]:
    try:
        made, holding = read_checks(folder), holding_checks(folder)
        read_films(folder)
    except BadInput as problem:
        yield Finding(place, str(problem))
        return
    for check in made:
        if check not in holding:
            yield Finding(place, f"its {check.kind} check of {check.date} was made of another record or other answers")
        elif to_come(check.date):
            yield Finding(place, f"its {check.kind} check is dated {check.date}, which lies in the future")
        elif not check.passed:
            yield Finding(place, f"its re-run agrees on {check.agree} of {check.puzzles} puzzles only", problem=False)


def _grown(place: str, before: bytes, now: bytes) -> Iterator[Finding]:
    """Checks are added at the end."""
    try:
        old, new = (json.loads(text)["checks"] for text in (before, now))
    except (ValueError, KeyError, TypeError):
        yield Finding(place, f"{VERIFICATION_FILE} is damaged")
        return
    if new[: len(old)] != old:
        yield Finding(place, f"{VERIFICATION_FILE} lost or changed a check: new ones go behind the others")


def _checks(content: bytes) -> list[CheckEntry]:
    """The checks of a ``verification.json``; none in what cannot be read, which other findings name."""
    try:
        return [CheckEntry.model_validate(entry) for entry in json.loads(content)["checks"]]
    except (ValueError, KeyError, TypeError, ValidationError):
        return []


def _check_text(check: CheckEntry) -> str:
    """``re-run check of 2026-11-25: 3 of 6 puzzles, ...``"""
    told = f"{check.kind} check of {check.date}: {check.puzzles:,} of {check.of:,} puzzles"
    if check.kind == RERUN:
        told += f", {check.agree:,} agree, {check.equal:,} of {check.grids:,} grids equal"
    where = " ".join(filter(None, [f"on {check.device}" if check.device else "", f"with {check.harness}"]))
    return f"{told}, {where}"


def _lines(files: Mapping[str, bytes]) -> dict[tuple[str, ...], Counter[tuple[tuple[str, str], ...]]]:
    """Lines of reported scores by file, split, system, metric and source."""
    found: dict[tuple[str, ...], Counter[tuple[tuple[str, str], ...]]] = {}
    for name, content in files.items():
        for line in csv.DictReader(io.StringIO(content.decode("utf-8-sig", "replace"))):
            key = (name, *(str(line.get(part, "")) for part in ("split", "system", "metric", "source_id")))
            plain = tuple((str(column), str(value)) for column, value in line.items() if value)
            found.setdefault(key, Counter())[plain] += 1
    return found


def _difference(gone: Iterable[tuple[tuple[str, str], ...]], came: Iterable[tuple[tuple[str, str], ...]]) -> str:
    """``score_percent 40.0 -> 44.0`` for the first changed line."""
    old, new = dict(next(iter(gone))), dict(next(iter(came)))
    names = [name for name in dict.fromkeys([*old, *new]) if old.get(name) != new.get(name)]
    return "; ".join(f"{name} {old.get(name, '')[:40]!r} -> {new.get(name, '')[:40]!r}" for name in names)
