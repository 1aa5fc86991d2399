"""``leaderboard add`` and ``leaderboard check``: what takes the registry, the evaluator or git besides the files."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import click

from trm_harness.errors import BadInput, CheckFailed, HarnessError

if TYPE_CHECKING:
    from trm_harness.contracts import Task
    from trm_harness.evaluate.results import Verdict
    from trm_harness.leaderboard.archive import CheckEntry
    from trm_harness.leaderboard.check import Finding
    from trm_harness.record import RunRecord

Data = Mapping[str, Path]
"""Task -> folder with its data, for tasks whose data does not ship."""

MOST_FILMS = 12
FILM_BYTES = {False: 5_000, True: 14_000}
"""Of all films of a run, of one step and of several: what a page of the site can carry."""


def data_folders(pairs: Sequence[str]) -> dict[str, Path]:
    """``TASK=DIR`` pairs; ``BadInput`` for anything else."""
    found = {}
    for pair in pairs:
        task, equals, folder = pair.partition("=")
        if not (equals and task and folder):
            raise BadInput(f"--data {pair}: use TASK=DIR")
        found[task] = Path(folder)
    return found


def filed_task(folder: Path, data: Data) -> Task:
    """The task of a run wherever it was made: its own data by ``data``, else what ships or was pulled."""
    from trm_harness.cli.tasks import load_task
    from trm_harness.record import read
    from trm_harness.registry import default

    task = read(folder).task
    return load_task(default(), task.id, data.get(task.id))


def rescored(folder: Path, data: Data) -> tuple[RunRecord, Task]:
    """The record as its answers give it, and the task. Nothing is downloaded. ``HarnessError`` where it cannot be."""
    from trm_harness.evaluate import rescore
    from trm_harness.hub import cache_only

    with cache_only():
        task = filed_task(folder, data)
        return rescore(folder, task), task


FINDINGS = ("headline", "scores", "selections", "measures", "depth_curve", "difficulty", "trajectory_curve", "halting")
"""Fields of a record that follow from the journal."""


def differing(told: RunRecord, found: RunRecord) -> list[str]:
    """Names of fields whose content does not follow from the answers. Means may differ in the last digits."""
    return [name for name in FINDINGS if not _close(_json(getattr(told, name)), _json(getattr(found, name)))]


def scored_check(folder: Path, record: RunRecord) -> CheckEntry:
    """What ``verification.json`` says of scores that were recomputed."""
    from trm_harness.leaderboard.archive import RESCORED, CheckEntry, journal_sha256, sha256

    return CheckEntry(
        kind=RESCORED,
        date=today(),
        record_sha256=sha256((folder / "run.json").read_bytes()),
        journal_sha256=journal_sha256(folder),
        puzzles=record.selection.puzzles,
        of=record.selection.puzzles,
        weights_sha256=record.model.weights_sha256,
        harness=version(),
    )


def version() -> str:
    """The harness' version and, from a checkout, its commit."""
    from trm_harness import environment

    commit, _ = environment.source_tree()
    number = environment.versions(["trm-harness"]).get("trm-harness", "")
    return " ".join(filter(None, [number, commit[:12]]))


def today() -> str:
    """The day in UTC."""
    return datetime.now(UTC).date().isoformat()


def run_add(run: Path, to: Path | None, data: Data, self_reported: bool) -> Path:
    """File a run; nothing is left behind if anything is wrong. The new folder."""
    from trm_harness.leaderboard.archive import place_of
    from trm_harness.leaderboard.check import check_record
    from trm_harness.record import read

    record, root = read(run), to or _records_root()
    problem = next(check_record(record), None)
    if problem:
        raise BadInput(f"run {record.id} cannot be filed: {problem}")
    out = root / place_of(record)
    if out.exists():
        raise BadInput(f"{out} is there already: a filed run stays as it is")
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root, prefix=".add-") as scratch:
        inside = Path(scratch) / place_of(record)
        inside.mkdir(parents=True)
        _pack(run, record, inside, data, self_reported)
        found = next((finding for finding in _alone(inside, Path(scratch)) if finding.problem), None)
        if found:
            raise BadInput(f"run {record.id} cannot be filed: {found.text}")
        out.parent.mkdir(parents=True, exist_ok=True)
        inside.replace(out)
    return out


def _records_root() -> Path:
    from trm_harness import paths

    if paths.checkout() is None:
        raise BadInput("this installation is no checkout: say where the records lie with --to DIR")
    return paths.records()


def _alone(folder: Path, root: Path) -> Iterator[Finding]:
    from trm_harness.leaderboard.check import check_filed

    return check_filed(folder, root)


def _pack(run: Path, record: RunRecord, into: Path, data: Data, self_reported: bool) -> None:
    """Write everything that a filed run holds into the new folder ``into``."""
    from trm_harness.leaderboard import archive
    from trm_harness.record import write_text

    (into / "run.json").write_bytes((run / "run.json").read_bytes())
    write_text(into / "plan.json", json.dumps(_public_plan(run), indent=1) + "\n")
    archive.pack_journal(run, into)
    for check in archive.holding_checks(run):
        archive.add_check(into, check)
    if not self_reported:
        found, task = _scores_again(into, record, data)
        archive.write_films(into, films(into, task))
        if not archive.read_checks(into):
            archive.add_check(into, scored_check(into, found))
    archive.write_manifest(into)


def _scores_again(folder: Path, record: RunRecord, data: Data) -> tuple[RunRecord, Task]:
    try:
        found, task = rescored(folder, data)
    except HarnessError as error:
        hint = f"name its data with --data {record.task.id}=DIR, or file it as --self-reported"
        raise BadInput(f"run {record.id} cannot be scored again here ({error}): {hint}") from None
    wrong = differing(record, found)
    if wrong:
        raise BadInput(f"run {record.id} cannot be filed: its {', '.join(wrong)} do not follow from its answers")
    return found, task


def _public_plan(run: Path) -> dict[str, Any]:
    """The plan without paths of this machine: data is found by its hash, weights by theirs."""
    from trm_harness.record import read_json

    plan = read_json(run / "plan.json")
    launch = plan.get("launch", {})
    named = PurePath(launch["weights"]).name if launch.get("weights") else ""
    return plan | {"launch": launch | {"data": "", "weights": named}}


def films(folder: Path, task: Task) -> Iterator[dict[str, Any]]:
    """Steps of a few puzzles for the viewer: right and wrong ones by turns, those that changed most first."""
    from trm_harness import replay
    from trm_harness.evaluate import verdicts

    judged = [verdict for verdict in verdicts(folder, task) if not verdict.hidden]
    judged.sort(key=lambda verdict: (-replay.changes(verdict.single), verdict.puzzle.id))
    right = [verdict for verdict in judged if verdict.right_at[-1]]
    wrong = [verdict for verdict in judged if not verdict.right_at[-1]]
    turns = [verdict for pair in zip(right, wrong, strict=False) for verdict in pair]
    rest = [*right[len(wrong) :], *wrong[len(right) :]]
    yield from _fitting([_film(verdict) for verdict in [*turns, *rest][: 4 * MOST_FILMS]])


def _fitting(made: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """As many films as a page can carry, in order; the first one whatever it takes."""
    room, count = FILM_BYTES[any(len(film["frames"]) > 1 for film in made)], 0
    for film in made:
        size = len(json.dumps(film, separators=(",", ":")))
        if count < MOST_FILMS and (size <= room or not count):
            room, count = room - size, count + 1
            yield film


def _film(verdict: Verdict) -> dict[str, Any]:
    """A puzzle's single pass: its answer after every step, ``=`` for the one before."""
    from trm_harness.journal import grid_text

    puzzle, texts = verdict.puzzle, verdict.single.answers
    kept = [("=" if place and text == texts[place - 1] else text) for place, text in enumerate(texts)]
    return {
        "puzzle": puzzle.id,
        "right": verdict.right_at[-1],
        "demonstrations": [[grid_text(grid) for grid in pair] for pair in puzzle.demonstrations],
        "input": grid_text(puzzle.input),
        "answer": grid_text(puzzle.answer),
        "frames": kept,
        "halts": [float(f"{halt:.4g}") for halt in verdict.single.halts],
        "first": verdict.single.steps - len(texts) + 1,
    }


@dataclasses.dataclass
class Report:
    """What a whole check found: findings, records by level, and those that could not be scored again here."""

    findings: list[Finding]
    records: int
    rescored: int


def run_check(root: Path, base: str, data: Data, only: Sequence[Path]) -> Report:
    """Check every record below ``root/records`` and the reported scores, and compare both with a git commit."""
    from trm_harness.leaderboard import archive, check

    records, findings = root / "records", []
    folders = [*archive.folders(records)]
    chosen = [folder for folder in folders if not only or any(folder.is_relative_to(one) for one in only)]
    done = 0
    for folder in chosen:
        alone = list(check.check_filed(folder, records))
        findings += alone
        # What cannot even be read cannot be scored again.
        if not any(finding.problem for finding in alone):
            again = list(_registered(folder, folder.relative_to(records).as_posix(), data))
            findings += again
            done += not again
    findings += _reported(root)
    if base:
        findings += _against(root, base)
    return Report(findings, len(chosen), done)


def _reported(root: Path) -> Iterator[Finding]:
    from trm_harness.leaderboard.check import Finding, read_withdrawn
    from trm_harness.leaderboard.rows import read_reported

    try:
        read_reported([root / "reported"])
        read_withdrawn(_withdrawn(root))
    except BadInput as problem:
        yield Finding("reported", str(problem))


def _withdrawn(root: Path) -> str:
    file = root / "withdrawn.csv"
    return file.read_text(encoding="utf-8") if file.is_file() else ""


def _registered(folder: Path, place: str, data: Data) -> Iterator[Finding]:
    """Whether task and model exist, the scores follow from the answers, and the films show those answers."""
    from trm_harness.leaderboard.check import Finding
    from trm_harness.record import read
    from trm_harness.registry import default

    record, registry = read(folder), default()
    for kind, names, name in (("task", registry.tasks, record.task.id), ("model", registry.models, record.model.id)):
        if name not in names:
            yield Finding(place, f"no plugin registers {kind} {name!r}")
            return
    version = registry.tasks.spec(record.task.id).version
    if version != record.task.version:
        told = f"not scored again here: it is of version {record.task.version} of the task, this is version {version}"
        yield Finding(place, told, problem=False)
        return
    try:
        found, task = rescored(folder, data)
    except HarnessError as error:
        # Data that is not here proves nothing against the record; everything else does.
        missing = _without_data(folder, data)
        hint = f"; --data {record.task.id}=DIR or `trm-harness tasks pull {record.task.id}` brings the data"
        yield Finding(place, f"not scored again here: {error}{hint if missing else ''}", problem=not missing)
        return
    wrong = differing(record, found)
    if wrong:
        yield Finding(place, f"its {', '.join(wrong)} do not follow from its answers")
    yield from (Finding(place, text) for text in _task_facts(folder, record, task))
    if _stored_films(folder) not in ([], [_plain(film) for film in films(folder, task)]):
        yield Finding(place, "its films do not show its answers")


def _without_data(folder: Path, data: Data) -> bool:
    """Whether the puzzles of a run's task cannot be had here."""
    from trm_harness.hub import cache_only
    from trm_harness.record import read

    try:
        with cache_only():
            filed_task(folder, data).source(read(folder).task.split)
    except HarnessError:
        return True
    return False


def _task_facts(folder: Path, record: RunRecord, task: Task) -> Iterator[str]:
    """What the record says of the split, of its part of it, and of what the weights saw of it."""
    from trm_harness.evaluate.stored import StoredPlan

    source, told, chosen = task.source(record.task.split), record.task, record.selection
    if (told.split_groups, told.split_puzzles) != (source.n_groups, source.n_puzzles):
        yield f"it says the split has {told.split_groups} groups and {told.split_puzzles} puzzles; it has others"
    selection = StoredPlan.load(folder).check_task(task)
    hidden = sum(puzzle.answer is None for puzzle in selection)
    if (chosen.groups, chosen.puzzles, chosen.hidden) != (selection.groups, len(selection), hidden):
        yield "it was asked another number of puzzles than it says"
    yield from _weights_facts(folder, record, task)


def _weights_facts(folder: Path, record: RunRecord, task: Task) -> Iterator[str]:
    """The card holds these weights, and its declaration compared with the puzzles gives what the record says."""
    from trm_harness.cli.eval import stored_launch
    from trm_harness.cli.guard import guard
    from trm_harness.evaluate.stored import StoredPlan
    from trm_harness.registry import default
    from trm_harness.zoo import cards

    model, told = record.model, record.contamination
    card = cards(default()).get(model.card)
    if card and card.sha256 != model.weights_sha256:
        yield f"card {model.card} holds other weights (sha256 {card.sha256[:12]})"
    if model.untrained or not model.weights_sha256 or told is None:
        return
    plan = StoredPlan.load(folder)
    declared = {"name": model.card or model.id, "training": record.training.model_dump(mode="json")}
    found = guard(task, plan.plan, stored_launch(plan.launch, folder), declared, allowed=True)
    if (found.status, found.puzzles) != (told.status, told.puzzles):
        yield f"its puzzles against its declared training data are {found.status} here, {told.status} in the record"


def _stored_films(folder: Path) -> list[Any]:
    from trm_harness.leaderboard.archive import read_films

    return [dict(film) for film in read_films(folder)]


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value))


def _against(root: Path, base: str) -> Iterator[Finding]:
    """The records and reported scores of a git commit beside those in the folder."""
    from trm_harness.leaderboard import check

    withdrawn = check.read_withdrawn(_withdrawn(root))
    for name, compare in (("records", check.check_base), ("reported", check.check_reported)):
        yield from compare(_here(root / name), _committed(root / name, base), withdrawn)


def _here(folder: Path) -> dict[str, bytes]:
    return {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and not any(part.startswith(".") for part in file.relative_to(folder).parts)
    }


def _committed(folder: Path, base: str) -> dict[str, bytes]:
    """Path below ``folder`` -> content in the commit ``base``. ``BadInput`` where git does not know it."""
    listed = _git(folder, "ls-tree", "-r", "-z", "--end-of-options", base, "--", ".")
    found = {}
    for line in listed.decode().split("\0"):
        facts, _, name = line.partition("\t")
        if name:
            found[name] = _git(folder, "cat-file", "blob", facts.split()[2])
    return found


def _git(folder: Path, *arguments: str) -> bytes:
    try:
        command = ["git", "-C", str(folder), *arguments]
        return subprocess.run(command, capture_output=True, check=True, timeout=120).stdout
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", b"") or b""
        reason = said.decode("utf-8", "replace").strip().splitlines()
        raise BadInput(f"git cannot read {folder.name} at that commit: {reason[-1] if reason else error}") from None


def show_report(report: Report, strict: bool) -> None:
    """Print the findings; ``CheckFailed`` if one is a problem, or with ``strict`` if anything could not be scored."""
    for finding in report.findings:
        click.echo(str(finding))
    problems = sum(finding.problem for finding in report.findings)
    click.echo(f"{report.records} records, {report.rescored} scored again from their answers, {problems} problems")
    if problems:
        raise CheckFailed(f"{problems} problems in the leaderboards: each is named above")
    if strict and report.rescored < report.records:
        raise CheckFailed(
            f"{report.records - report.rescored} records could not be scored again: --strict asks for all"
        )


def _json(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_json(item) for item in value]
    return value.model_dump(mode="json") if hasattr(value, "model_dump") else value


def _close(a: Any, b: Any) -> bool:
    """Equal but for the rounding of floating point sums, which another version of numpy may order otherwise."""
    if isinstance(a, float) and isinstance(b, int | float):
        return abs(a - b) <= 1e-9 * max(1.0, abs(a))
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(_close, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_close(a[key], b[key]) for key in a)
    return a == b
