"""The one loop: evaluate, resume, rescore. Takes resolved objects and never looks a name up."""

from __future__ import annotations

import dataclasses
import json
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from trm_harness import machine
from trm_harness.contracts import Model, Task, Transcribes
from trm_harness.errors import BadInput
from trm_harness.evaluate.observe import Observers
from trm_harness.files.lock import alone
from trm_harness.inference.interrupt import Interrupt
from trm_harness.inference.plan import SELECTS, Asked, InferencePlan, Selection, Work, select
from trm_harness.inference.plan_file import StoredPlan
from trm_harness.inference.steps import answered, as_they_come
from trm_harness.inference.workers import Answered, Batches, Tick, Workers, one_by_one, usage_of
from trm_harness.record import (
    JOURNAL_FILE,
    REPLIES_FILE,
    ContaminationEntry,
    CostEntry,
    ModelEntry,
    ProgressEntry,
    ProtocolEntry,
    RunRecord,
    SelectionEntry,
    SessionEntry,
    TaskEntry,
    environment,
    read,
    training_of,
    write,
)
from trm_harness.record.journal import Entry, Journal, Row, grid_text, put_in_order, recover, scan
from trm_harness.record.transcripts import Key, Transcripts, are_kept, key_of, mend, read_transcripts
from trm_harness.scoring.assess import Assessment, Verdict, assess, by_puzzle, choosing, headline, judge
from trm_harness.scoring.columns import assess_journal
from trm_harness.scoring.rules import check_rules
from trm_harness.types import Grid, plain

VOTES = {
    "mode": "votes, then mean sigmoid of the halting logit; ties keep the order of views",
    "halt": "highest halting logit of any one view and trajectory; ties keep the order of views",
}
"""How candidates are ranked, in the record's words."""

Reader = Callable[[Mapping[str, Any]], Grid | None]
"""A transcript to the answer in it."""

Progress = Callable[[float, int], None]
"""Told ``(answers done, answers in all)``; a batch under way counts by its steps."""


@dataclass(frozen=True)
class Setting:
    """What surrounds a run and goes into its record.

    ``card`` is the weights' zoo card as a mapping (its ``training`` table is the declaration), ``own_data`` says that
    the puzzles are not the task's published ones, ``command`` is the exact command, ``launch`` what the caller needs
    to make task and model again, ``distributions`` the plugins' packages, ``contamination`` what a check of the
    declaration against the evaluated puzzles found (``None``: nobody checked), ``notes`` what a reader of the score
    should know. ``adapt`` and what follows say how the model learns each task before it answers it.
    """

    device: str = "cpu"
    dtype: str = "float32"
    compiled: bool = False
    card_name: str = ""
    card: Mapping[str, Any] = field(default_factory=dict)
    untrained: bool = False
    own_data: bool = False
    command: str = ""
    launch: Mapping[str, Any] = field(default_factory=dict)
    distributions: tuple[str, ...] = ()
    contamination: ContaminationEntry | None = None
    notes: tuple[str, ...] = ()
    adapt: str = ""
    adapt_steps: int = 0
    adapt_lr: float | None = None
    adapt_settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Watchers:
    """Who is told of a run: plugins' hooks (a pluggy relay), a progress display, and a place for messages.

    ``batch`` gets the rows of every batch, once they are in the journal. Unlike a plugin's, its errors end the run.
    """

    hooks: Any = None
    progress: Progress = lambda done, total: None
    say: Callable[[str], None] = lambda message: None
    batch: Callable[[tuple[Row, ...]], None] = lambda rows: None


def evaluate(
    task: Task,
    model: Model,
    plan: InferencePlan,
    out: Path,
    setting: Setting | None = None,
    watchers: Watchers | None = None,
    workers: Workers | None = None,
    selection: Selection | None = None,
) -> RunRecord:
    """Answer, journal, vote and score; the record and its files lie in the new folder ``out``.

    With ``workers`` several processes answer, to the same journal. ``selection`` is what ``select(task, plan)`` gave,
    where the caller has it.

    The record's status is ``success``, or ``cancelled`` after Ctrl-C. ``BadInput`` before anything is written if the
    plan cannot be met or ``out`` is not a new, writable folder; any other exception is recorded and raised again.
    """
    setting, watchers = setting or Setting(), watchers or Watchers()
    selection = select(task, plan) if selection is None else selection
    check_rules(task.spec.id, task.spec.rules)
    plan.check_model(model)
    if workers:
        workers.check(model)
    memory = machine.free_memory(setting.device)
    stored = StoredPlan.make(task, model, plan, selection, memory, setting.device, setting.launch)
    record = _first_record(out.name, task, model, selection, stored, setting)
    _make_folder(out)
    with alone(out):
        stored.save(out)
        (out / JOURNAL_FILE).touch()
        return _Run(out, stored, stored.work(task, selection), model, watchers, workers).go(record, done=0)


def resume(
    folder: Path, task: Task, model: Model, watchers: Watchers | None = None, workers: Workers | None = None
) -> RunRecord:
    """Finish the interrupted run in ``folder``, with the result that an uninterrupted one has.

    A torn last line of the journal is cut off and said so; what a finished run lost of its journal is answered again.
    ``BadInput`` if the run is finished and whole, is being written by another process, has a damaged journal, or if
    task, data, model or weights are not those of its beginning.
    """
    watchers = watchers or Watchers()
    record, stored = read(folder), StoredPlan.load(folder)
    selection = stored.check_task(task)
    stored.check_model(model)
    if workers:
        workers.check(model)
    with alone(folder):
        done, dropped = recover(folder / JOURNAL_FILE)
        work = stored.work(task, selection)
        if done > work.total:
            raise BadInput(f"{folder / JOURNAL_FILE} holds {done} rows, the run only {work.total}: it is not its own")
        if record.status == "success" and done == work.total and not dropped:
            raise BadInput(f"run {record.id} is finished: nothing is left to resume")
        if dropped:
            note = f"dropped a torn last line of {dropped} bytes from the journal"
            watchers.say(note)
            record = record.model_copy(update={"notes": (*record.notes, note)})
        return _Run(folder, stored, work, model, watchers, workers).go(record, done)


def rescore(
    folder: Path,
    task: Task,
    attempts: int | None = None,
    views: int | None = None,
    choose: str | None = None,
    reader: Reader | None = None,
) -> RunRecord:
    """The record with everything right of the journal computed anew, without the model; nothing is written.

    ``attempts`` counts another number of answers, ``views`` lets only the first so many views vote, ``choose`` makes
    one answer of all by ``mode``, ``halt`` or ``oracle``. With ``reader`` answers come from the run's transcripts,
    where it has some, instead of from the journal. ``BadInput`` for an unfinished, torn or damaged journal, and if the
    task or its data changed.
    """
    if choose is not None and choose not in SELECTS:
        raise BadInput(f"select '{choose}' does not exist: use {' or '.join(SELECTS)}")
    for name, value in (("attempts", attempts), ("views", views)):
        if value is not None and value < 1:
            raise BadInput(f"{name} must be at least 1, not {value}")
    record, stored = read(folder), StoredPlan.load(folder)
    work = stored.work(task, stored.check_task(task))
    voting = None if views is None or views >= record.protocol.views else views
    chosen = choose or record.protocol.select
    update = {
        "attempts": attempts or record.protocol.attempts,
        "voting_views": voting,
        "select": chosen,
        "vote": VOTES[choosing(chosen)],
    }
    record = record.model_copy(update={"protocol": record.protocol.model_copy(update=update)})
    if reader is not None and are_kept(folder):
        found = assess(work, reread(folder, task, reader), voting, select=chosen)
    else:
        found = assess_journal(work, folder / JOURNAL_FILE, voting, select=chosen)
    return record.model_copy(update=_findings(task, found, record))


def reread(folder: Path, task: Task, reader: Reader) -> Iterator[Entry]:
    """The rows of a run's journal, each with the answer that ``reader`` finds in its transcript where there is one."""
    kept = read_transcripts(folder)
    for entry in scan(folder / JOURNAL_FILE):
        if key_of(entry) in kept:
            grid = reader(kept[key_of(entry)])
            grid = task.invert(grid, entry.transform) if grid is not None and entry.transform else grid
            entry = entry._replace(answers=(None if grid is None else grid_text(grid),))
        yield entry


def verdicts(folder: Path, task: Task, only: Collection[str] | None = None) -> Iterator[Verdict]:
    """Every puzzle of a finished run, or those whose ids are in ``only``, judged from its journal.

    ``BadInput`` as for :func:`rescore`.
    """
    stored = StoredPlan.load(folder)
    work = stored.work(task, stored.check_task(task))
    for index, rows in by_puzzle(work, scan(folder / JOURNAL_FILE, only), only):
        yield judge(task, work.selection[index], rows, stored.plan.select)


def check_folder(out: Path) -> None:
    """``BadInput`` unless a run can begin in ``out``: new or empty, and not below something unwritable."""
    above = next(folder for folder in (out, *out.absolute().parents) if folder.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise BadInput(f"output folder {out} cannot be written: {above} is no folder that allows it")
    if above is out and any(out.iterdir()):
        raise BadInput(f"{out} is not empty: give --out a new folder, or continue a run with --resume {out}")


@dataclass(frozen=True, eq=False)
class _Run:
    """A run under way in its folder."""

    folder: Path
    stored: StoredPlan
    work: Work
    model: Model
    watchers: Watchers
    workers: Workers | None = None

    def go(self, record: RunRecord, done: int) -> RunRecord:
        """Predict what is missing after the first ``done`` rows, score, and close the record."""
        session = SessionEntry(started=_now())
        record = self._write(
            record.model_copy(
                update={
                    "status": "started",
                    "message": "",
                    "finished": None,
                    "sessions": (*record.sessions, session),
                    "progress": ProgressEntry(rows=done, total=self.work.total),
                }
            )
        )
        view, observers = record.model_copy(deep=True), Observers(self.watchers.hooks)
        observers.tell("run_started", run=view)
        clock = _Meter(done, self.model, self.workers)
        try:
            self._predict(clock, lambda rows: observers.tell("batch_predicted", run=view, batch=rows))
            whole = clock.rows == self.work.total
            record = self._scored(record, clock) if whole else self._closed(record, clock, "cancelled")
        except KeyboardInterrupt:
            record = self._closed(record, clock, "cancelled")
        except BaseException as error:
            message = environment.public_text(f"{type(error).__name__}: {error}")
            record = self._closed(record, clock, "error", message)
            raise
        finally:
            observers.tell("run_finished", run=view, record=record.model_copy(deep=True))
        return record

    def _predict(self, clock: _Meter, tell: Callable[[Any], None]) -> None:
        """Answer batch after batch; a row is in the journal before the next batch begins."""
        if isinstance(self.model, Transcribes) and self.stored.steps == 1 and not self.workers:
            self._listen(self.model, clock, tell)
            return
        batches = self.work.batches(self.model, self.stored.steps, clock.rows)
        self.watchers.progress(clock.rows, self.work.total)
        with Journal(self.folder / JOURNAL_FILE) as journal, Interrupt(self.watchers.say) as interrupt:
            for before, _, found in self._answers(batches):
                # A batch that was cut short is answered again whole, so that its numbers are the same.
                rows = found[max(0, clock.rows - before) :]
                journal.append(rows)
                clock.rows += len(rows)
                self.watchers.progress(clock.rows, self.work.total)
                tell(tuple(rows))
                self.watchers.batch(tuple(rows))
                if interrupt.asked:
                    return

    def _listen(self, model: Transcribes, clock: _Meter, tell: Callable[[Any], None]) -> None:
        """Ask for what the journal lacks; an answer is in it as it comes, with its transcript beside it.

        The journal is brought into the plan's order once it is whole. A transcript whose row a crash lost is read.
        """
        path, task = self.folder / JOURNAL_FILE, self.work.task
        held = {key_of(entry) for entry in scan(path)}
        mend(self.folder)
        kept = read_transcripts(self.folder)
        self.watchers.progress(clock.rows, self.work.total)
        with (
            Journal(path) as journal,
            Transcripts(self.folder / REPLIES_FILE) as transcripts,
            Interrupt(self.watchers.say) as interrupt,
        ):

            def keep(row: Row) -> None:
                journal.append([row])
                clock.rows += 1
                self.watchers.progress(clock.rows, self.work.total)
                tell((row,))
                self.watchers.batch((row,))

            for _, batch in self.work.batches(self.model, 1):
                left = [one for one in batch if _key(one) not in held]
                for one in [one for one in left if _key(one) in kept]:
                    said = kept[_key(one)]
                    keep(answered(task, one, model.reread(said), float(said.get("halt", 0.0))))
                    left.remove(one)
                for row, told in as_they_come(task, model, left) if left else ():
                    transcripts.append(row, {**told, "halt": row.halts[-1]})
                    keep(row)
                if interrupt.asked:
                    break
        if clock.rows == self.work.total:
            selection = self.work.selection
            put_in_order(path, ((selection[item.place].id, item.view, item.restart) for item in self.work.items()))

    def _answers(self, batches: Batches) -> Answered:
        """Batches with their rows, in order, with progress step by step."""
        options = self.stored.plan.options(self.stored.steps)
        if self.workers:
            return self.workers.answers(batches, options, self._ticks)
        return one_by_one(self.work.task, self.model, batches, options, self._ticks)

    def _ticks(self, before: int, size: int) -> Tick:
        """Progress inside a batch of ``size`` items that has ``before`` items before it."""
        shares = [0.0]

        def tick(share: float) -> None:
            shares.append(share)
            self.watchers.progress(before + sum(shares) * size, self.work.total)

        return tick

    def _scored(self, record: RunRecord, clock: _Meter) -> RunRecord:
        """The successful record, written beside its tables."""
        assessment = assess_journal(self.work, self.folder / JOURNAL_FILE, out=self.folder)
        findings = _findings(self.work.task, assessment, record)
        closed = self._sat(record.model_copy(update=findings), clock)
        work = sum(self.model.cost(length).flops_per_step * steps for length, steps in assessment.work.items())
        flops = {
            "flops_per_puzzle": work / record.selection.puzzles,
            "flops_per_step": work / sum(assessment.work.values()),
        }
        cost = closed.cost.model_copy(update=flops)
        return self._write(closed.model_copy(update={"status": "success", "cost": cost}))

    def _closed(self, record: RunRecord, clock: _Meter, status: str, message: str = "") -> RunRecord:
        """The record of a run that stopped before its end."""
        message = message or f"stopped with {clock.rows} of {self.work.total} answers"
        return self._write(self._sat(record, clock).model_copy(update={"status": status, "message": message}))

    def _sat(self, record: RunRecord, clock: _Meter) -> RunRecord:
        """The record with this sitting's end, and with what all sittings cost."""
        sessions = (*record.sessions[:-1], clock.session(record.sessions[-1].started))
        seconds = sum(session.seconds or 0.0 for session in sessions)
        rate = sum(session.rows or 0 for session in sessions) / seconds if seconds else None
        usage: Counter[str] = Counter()
        for session in sessions:
            usage.update(session.usage)
        # A price that leaves a sitting out would be wrong, not low.
        priced = all("dollars" in session.usage for session in sessions)
        memory = machine.peak_memory(record.protocol.device)
        cost = {
            "seconds": seconds,
            "answers_per_second": rate,
            "puzzles_per_second": rate and rate * record.selection.puzzles / self.work.total,
            "peak_memory_bytes": max(record.cost.peak_memory_bytes, memory),
            "usage": dict(usage),
            "dollars": usage["dollars"] if priced else None,
            "dollars_basis": "as the model counts them" if priced else "",
        }
        update = {
            "finished": _now(),
            "sessions": sessions,
            "cost": record.cost.model_copy(update=cost),
            "progress": ProgressEntry(rows=clock.rows, total=self.work.total),
        }
        return record.model_copy(update=update)

    def _write(self, record: RunRecord) -> RunRecord:
        write(self.folder, record)
        return record


def _key(asked: Asked) -> Key:
    """The item as the journal names it."""
    return asked.puzzle.id, asked.item.view, asked.item.restart


class _Meter:
    """Seconds, rows and the model's own counts of a sitting; ``rows`` are those in the journal."""

    def __init__(self, rows: int, model: Model, workers: Workers | None = None) -> None:
        self.rows, self._model, self._workers = rows, model, workers
        self._rows_before, self._began, self._usage_before = rows, time.monotonic(), self._counts()

    def session(self, started: str) -> SessionEntry:
        """What the sitting took so far."""
        usage = {name: count - self._usage_before.get(name, 0) for name, count in self._counts().items()}
        seconds, rows = time.monotonic() - self._began, self.rows - self._rows_before
        return SessionEntry(started=started, seconds=seconds, rows=rows, usage=usage)

    def _counts(self) -> dict[str, float]:
        elsewhere = self._workers.used if self._workers else {}
        return {name: count + elsewhere.get(name, 0) for name, count in usage_of(self._model).items()}


def _findings(task: Task, found: Assessment, record: RunRecord) -> dict[str, Any]:
    """The fields of a record that come from the journal."""
    scores = found.scores(task.spec, record.protocol)
    best = headline(task.spec, scores)
    return {
        "scores": scores,
        "headline": best,
        "selections": found.selections(task.spec, record.protocol, best),
        "measures": found.means(),
        "depth_curve": found.depth(),
        "difficulty": found.difficulty.entries(),
        "trajectory_curve": found.trajectories.entry(),
        "halting": found.halting.entry(full=record.protocol.halt == "full"),
    }


def _first_record(
    name: str, task: Task, model: Model, selection: Selection, stored: StoredPlan, setting: Setting
) -> RunRecord:
    """The record of a run that has not answered anything yet."""
    now = _now()
    return RunRecord(
        id=environment.legible(name),
        status="started",
        started=now,
        task=_task_entry(task, stored.plan.split, setting.own_data),
        selection=_selection_entry(selection, stored),
        model=_model_entry(model, setting),
        protocol=_protocol_entry(task, stored, setting),
        training=training_of(setting.card),
        contamination=setting.contamination,
        cost=CostEntry(device_name=machine.device_name(setting.device)),
        environment=environment.snapshot(setting.distributions),
        command=setting.command,
        notes=(*setting.notes, *task.source(stored.plan.split).remarks),
    )


def _task_entry(task: Task, split: str, own_data: bool) -> TaskEntry:
    """The task and the source of its split."""
    spec, source = task.spec, task.source(split)
    return TaskEntry(
        id=spec.id,
        version=spec.version,
        title=spec.title,
        family=spec.family,
        split=split,
        source=source.name,
        source_version=source.version,
        data_sha256=source.sha256,
        split_groups=source.n_groups,
        split_puzzles=source.n_puzzles,
        own_data=own_data,
        notes=source.notes,
    )


def _selection_entry(selection: Selection, stored: StoredPlan) -> SelectionEntry:
    """The part of the split that takes part, and how the plan chose it."""
    counts = {"groups": selection.groups, "puzzles": len(selection), "hidden": selection.hidden}
    chosen = {"ids": stored.plan.puzzles, "sha256": stored.selection_sha256}
    return SelectionEntry(**_same_names(SelectionEntry, stored.plan) | counts | chosen)


def _model_entry(model: Model, setting: Setting) -> ModelEntry:
    """The model, its size and its weights."""
    spec, facts = model.spec, model.facts()
    return ModelEntry(
        id=spec.id,
        version=spec.version,
        title=spec.title,
        family=spec.family,
        card=setting.card_name,
        untrained=setting.untrained,
        network_parameters=facts.parameters.network,
        puzzle_table_parameters=facts.parameters.puzzle_table,
        touched_per_puzzle=facts.parameters.touched_per_puzzle,
        effective_depth=facts.effective_depth,
        weights_sha256=facts.weights_sha256,
        weights_source=environment.legible(facts.weights_source),
        paper=spec.paper,
        # Through JSON, so that a tuple in a config is the same before and after a reading.
        config=json.loads(json.dumps(plain(facts.config), default=str)),
    )


def _protocol_entry(task: Task, stored: StoredPlan, setting: Setting) -> ProtocolEntry:
    """How this run answers and counts: the plan's and the setting's own words, and what was fixed at the start."""
    fixed = {
        "attempts": stored.attempts,
        "steps": stored.steps,
        "views": stored.views if isinstance(stored.views, int) else max(stored.views),
        "vote": VOTES[choosing(stored.plan.select)],
        "rules": task.spec.rules,
    }
    return ProtocolEntry(**_same_names(ProtocolEntry, stored.plan, setting) | fixed)


def _same_names(entry: type[BaseModel], *sources: Any) -> dict[str, Any]:
    """The fields of the dataclasses ``sources`` that ``entry`` has under the same name."""
    found = ((item.name, source) for source in sources for item in dataclasses.fields(source))
    return {name: getattr(source, name) for name, source in found if name in entry.model_fields}


def _make_folder(out: Path) -> None:
    """Make the run's folder, and make sure that it can be written to."""
    # Callers have looked already, before a model was loaded; this is the look that keeps a run of meanwhile safe.
    check_folder(out)
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise BadInput(f"output folder {out} cannot be written: {error.strerror or error}") from None


def _now() -> str:
    """UTC to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
