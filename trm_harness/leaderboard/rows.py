"""Rows of a leaderboard: from CSV files of reported scores and from records of our own runs."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from trm_harness.errors import BadInput
from trm_harness.files.dates import to_come
from trm_harness.record import describe
from trm_harness.scoring.intervals import wilson

if TYPE_CHECKING:
    from trm_harness.leaderboard.archive import Filed
    from trm_harness.record import RunRecord

REQUIRED = ("benchmark", "split", "system", "family", "params", "metric", "score_percent", "cost_per_task_usd", "date")
REQUIRED += ("source_title", "source_id", "confidence", "notes")
OPTIONAL = ("cost_basis", "augment", "demonstrations", "label", "model", "samples", "training_data", "collected")

COLUMNS = {"public-eval": "public"}
"""Reported split -> score column, where they differ. Each set of puzzles has its own column and no two share one."""

PUBLIC_TASKS = {"arc1": 400, "arc2": 120}
"""Tasks in ARC's public evaluation sets: a run on another number of tasks was made on somebody's own data."""

WHOLE = {
    ("sudoku-extreme", "test"): 422_786,
    ("maze-hard", "test"): 1_000,
    **{(task, "public"): tasks for task, tasks in PUBLIC_TASKS.items()},
    ("arc1", "semi-private"): 100,
    ("arc2", "semi-private"): 120,
}
"""Units of a benchmark's whole set of puzzles, on which a published score rests unless its label says otherwise."""

# The files keep the sources' own words; rows speak the harness'.
METRICS = {"exact_accuracy": "exact", "": "not stated"}
LEVELS = {"official-leaderboard": "official", "paper": "self-reported", "secondary-page": "second-hand"}
OURS = "ours"

ENDS = {"solver": "exact solver", "trivial": "baseline"}
"""Families of ours that show what 100 % or chance looks like and are not ranked, and how their rows are labelled."""


STEERING = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
"""Characters that no name, note or source needs: they steer terminals, turn the direction of writing or do not show."""


@dataclass(frozen=True)
class Result:
    """A score in percent on one set of puzzles; ``done`` of ``total`` units were evaluated (``None``: not stated)."""

    percent: float
    low: float | None = None
    high: float | None = None
    done: int | None = None
    total: int | None = None
    unit: str = ""
    cost_usd: float | None = None
    """Dollars per task; ``Row.cost_basis`` says what they count."""
    method: str = ""
    """How the interval was made, where it is not the record's own."""


@dataclass(frozen=True)
class OtherRun:
    """One more filed run of the same weights under the same protocol: its place, score in percent, date and level."""

    place: str
    percent: float
    date: str
    level: str


@dataclass(frozen=True)
class Row:
    """One system under one metric, with a result per score column.

    ``labels`` are the reasons why it is shown without a rank (``2/400 tasks``, ``untrained``, ``ablation``).
    """

    task: str
    system: str
    family: str
    metric: str
    results: Mapping[str, Result]
    level: str
    source: str
    date: str
    parameters: str = ""
    network: int | None = None
    puzzle_table: int | None = None
    views: int | None = None
    demonstrations: str = ""
    cost_basis: str = ""
    labels: tuple[str, ...] = ()
    notes: str = ""
    model: str = ""
    """Architecture of this harness: the run's own, or the one that a reported score is about; empty for none."""
    protocol: str = ""
    """How our answers were made, in words; the sources of others seldom say."""
    verified: str = ""
    """How far a filed record of ours was checked (:data:`~trm_harness.leaderboard.archive.LEVELS`)."""
    place: str = ""
    """Where a filed record of ours lies below the records folder."""
    samples: int | None = None
    """Answers drawn for each puzzle at test time, all views and trajectories together; ``None``: not stated."""
    training_data: str = ""
    """``benchmark`` (its own training data), ``extra: ...`` (more than that), or empty where nobody says."""
    collected: str = ""
    """When the number was read at its source; ``date`` is when it was published."""
    others: tuple[OtherRun, ...] = ()
    """The other runs behind this row."""
    facts: Mapping[str, str] = field(default_factory=dict)


def read_reported(folders: Iterable[Path]) -> list[Row]:
    """Rows of every ``*.csv`` in ``folders``, one per line; ``BadInput`` names the file and line of a wrong one."""
    rows: list[Row] = []
    for folder in folders:
        for file in sorted(folder.glob("*.csv")):
            rows += _reported_file(file)
    return rows


def read_records(folders: Iterable[Path]) -> tuple[list[Row], list[str]]:
    """Rows of every ``run.json`` under ``folders`` that has a score, and a line for each that cannot be read.

    A run that lies under two of the folders counts once. ``BadInput`` for a folder that does not exist.
    """
    from trm_harness.leaderboard.archive import MANIFEST_FILE
    from trm_harness.record import RECORD_FILE, read

    # By resolved path: naming a run and the folder around it must not show it twice.
    rows: dict[Path, Row] = {}
    problems: list[str] = []
    for folder in folders:
        if not folder.exists():
            raise BadInput(f"{folder} does not exist: give a run's folder or one that holds runs")
        for file in sorted(folder.rglob(RECORD_FILE) if folder.is_dir() else [folder]):
            try:
                row = _filed_row(file, folder) if (file.parent / MANIFEST_FILE).is_file() else record_row(read(file))
            except BadInput as problem:
                problems.append(str(problem))
                continue
            if row is not None:
                rows[file.resolve()] = row
    return list(rows.values()), problems


def _filed_row(file: Path, root: Path) -> Row | None:
    from trm_harness.leaderboard.archive import read_filed

    return filed_row(read_filed(file.parent, root if root.is_dir() else file.parent))


def filed_row(filed: Filed) -> Row | None:
    """The row of a filed run, which says how far it was checked."""
    row = record_row(filed.record)
    return row and replace(row, verified=filed.level, place=filed.place)


def filed_rows(filed: Iterable[Filed]) -> list[Row]:
    """One row for each set of weights, protocol and data, with its other runs behind it.

    The run that is shown is never chosen by its score: most puzzles, then the furthest check, then the newest.
    """
    from trm_harness.leaderboard.archive import LEVELS

    groups: dict[tuple[object, ...], list[Row]] = {}
    for one in filed:
        row = filed_row(one)
        if row is not None:
            # The same weights are one network, by whatever name they were evaluated.
            who = one.record.model.weights_sha256 or row.system
            key = (row.task, who, row.metric, row.protocol, *row.results)
            groups.setdefault((*key, row.facts["data_sha256"]), []).append(row)
    return [_of_runs(sorted(rows, key=lambda row: _standing(row, LEVELS), reverse=True)) for rows in groups.values()]


def _standing(row: Row, levels: Sequence[str]) -> tuple[object, ...]:
    (result,) = row.results.values()
    return result.done or 0, levels.index(row.verified), row.date, row.place


def _of_runs(rows: Sequence[Row]) -> Row:
    """The first row, with the others as its further runs."""
    first, *rest = rows
    (column,) = first.results
    others = (OtherRun(row.place, row.results[column].percent, row.date, row.verified) for row in rest)
    return replace(first, others=tuple(others))


def with_intervals(row: Row) -> Row:
    """A published row with Wilson's intervals on the benchmark's whole sets; labelled rows may rest on others."""
    if row.level == OURS or row.labels:
        return row
    return replace(row, results={name: _with_interval(row.task, name, found) for name, found in row.results.items()})


def _with_interval(task: str, column: str, result: Result) -> Result:
    n = WHOLE.get((task, column))
    if n is None or result.low is not None:
        return result
    found = wilson(result.percent / 100 * n, n)
    return replace(result, low=100 * found.low, high=100 * found.high, method=f"Wilson, n = {n:,} assumed")


def day_of(record: RunRecord) -> str:
    """The day that a run ended, or began; empty for one yet to come, which is nobody's newest run."""
    moment = record.finished or record.started
    return "" if to_come(moment) else moment[:10]


def record_row(record: RunRecord) -> Row | None:
    """The row of a run, ``None`` while it has no score."""
    headline, model, chosen = record.headline, record.model, record.selection
    if headline is None:
        return None
    # A score over puzzles is compared with all puzzles, one over tasks with all tasks.
    total = record.task.split_puzzles if headline.unit == "puzzles" else record.task.split_groups
    dollars = record.cost.dollars
    result = Result(
        percent=100 * headline.value,
        low=None if headline.low is None else 100 * headline.low,
        high=None if headline.high is None else 100 * headline.high,
        done=headline.denominator,
        total=total,
        unit=headline.unit,
        cost_usd=None if dollars is None else dollars / max(1, chosen.groups),
    )
    return Row(
        task=record.task.id,
        system=_our_system(record),
        family=model.family,
        metric=headline.name,
        results={_our_column(record): result},
        level=OURS,
        source=f"run {record.id}",
        date=day_of(record),
        network=model.network_parameters or None,
        puzzle_table=model.puzzle_table_parameters,
        views=headline.views,
        demonstrations=_demonstrations(record),
        cost_basis=_our_cost_basis(record),
        labels=_our_labels(record, total),
        notes=_single_pass(record),
        model=model.id,
        protocol=describe.protocol(record.protocol.model_dump(), bool(model.network_parameters), model.family),
        samples=headline.views * headline.trajectories,
        training_data=_training_data(record),
        facts=_facts(record),
    )


def _demonstrations(record: RunRecord) -> str:
    """How the weights used demonstrations; of a service nobody knows."""
    if describe.is_service(record.model.family):
        return describe.SERVICE
    return record.training.demonstrations if record.model.weights_sha256 and not record.model.untrained else ""


def _training_data(record: RunRecord) -> str:
    """Whether the weights saw more than the benchmark's own training data, by their declaration."""
    told, model = record.training, record.model
    if not model.weights_sha256 or model.untrained:
        return ""
    foreign = [
        use.name for use in told.data if (use.task and use.task != record.task.id) or describe.OWN_FILES in use.name
    ]
    extra = [*told.extra_data, *foreign]
    if extra:
        return f"extra: {', '.join(extra)}"
    return "benchmark" if told.data else ""


def _facts(record: RunRecord) -> dict[str, str]:
    """What else downloads and charts say of a run."""
    headline, flops = record.headline, record.cost.flops_per_puzzle
    told = {"rule": headline.rule, "interval": headline.interval_method, "data_sha256": record.task.data_sha256}
    return told | ({"flops": f"{flops:.4g}"} if flops else {})


def _our_system(record: RunRecord) -> str:
    """The card, or the architecture; of a language model also its name at the endpoint, which is what answered."""
    model = record.model
    served = model.config.get("model", "") if model.family == "llm" else ""
    return model.card or f"{model.id} {served}".strip()


def _our_column(record: RunRecord) -> str:
    """Score column of a run: what ARC calls ``evaluation`` is its public set, other splits keep their names."""
    task = record.task
    return "public" if task.id in PUBLIC_TASKS and task.split == "evaluation" else task.split


def _our_labels(record: RunRecord, total: int) -> tuple[str, ...]:
    """Reasons not to rank a run."""
    chosen, headline = record.selection, record.headline
    labels = []
    # A score of a part is no score of the whole, however large the part.
    if headline.denominator < total or chosen.puzzles < record.task.split_puzzles:
        labels.append(f"{headline.denominator}/{total} {headline.unit}")
    public = PUBLIC_TASKS[record.task.id] if _our_column(record) == "public" else record.task.split_groups
    if record.task.own_data or record.task.split_groups != public:
        labels.append("own data")
    if record.model.untrained:
        labels.append("untrained")
    if record.model.family in ENDS:
        labels.append(ENDS[record.model.family])
    found = record.contamination
    if found and found.status == "contaminated":
        labels.append(f"contaminated: {found.puzzles}/{found.compared} puzzles trained on")
    if record.status != "success":
        labels.append({"started": "unfinished"}.get(record.status, record.status))
    if chosen.hidden:
        labels.append(f"{chosen.hidden} answers hidden")
    if record.task.split.startswith("train"):
        labels.append("training split")
    return tuple(labels)


def _our_cost_basis(record: RunRecord) -> str:
    cost, puzzles = record.cost, record.selection.puzzles
    service = describe.is_service(record.model.family)
    rate = f"{cost.seconds / puzzles:.2g} s/puzzle" if cost.seconds and puzzles else ""
    if cost.dollars is not None:
        # The time of a service is part of what it offers; that of our machine is not what dollars count.
        return ", ".join(filter(None, [cost.dollars_basis or "basis not stated", rate if service else ""]))
    where = "by a service" if service else f"on {cost.device_name or record.protocol.device}"
    return f"{rate} {where}" if rate else ""


def _single_pass(record: RunRecord) -> str:
    """The same score without votes, for a run whose headline is voted."""
    headline = record.headline
    several = headline.views * headline.trajectories > 1
    single = record.score(headline.name, headline.rule, "single") if several else None
    kind = describe.single(record.protocol.model_dump())
    return f"{kind} {100 * single.value:.2f}" if single else ""


def _reported_file(file: Path) -> list[Row]:
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream, strict=True)
            _check_header(file, reader.fieldnames or [])
            return [_reported_row(line, f"{file}, line {reader.line_num}") for line in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadInput(f"{file}: cannot be read as CSV ({error})") from None


def _check_header(file: Path, header: Iterable[str]) -> None:
    missing = [name for name in REQUIRED if name not in header]
    unknown = [name for name in header if name not in REQUIRED + OPTIONAL]
    if missing or unknown:
        complaint = f"lacks column {missing[0]!r}" if missing else f"has unknown column {unknown[0]!r}"
        raise BadInput(f"{file}: {complaint}: needed are {', '.join(REQUIRED)}; optional are {', '.join(OPTIONAL)}")


def _reported_row(line: Mapping[str, str | None], where: str) -> Row:
    """One line of a CSV file of reported scores."""
    if None in line or None in line.values():
        raise BadInput(f"{where}: has more or fewer fields than the header")
    for name in ("benchmark", "split", "system", "score_percent", "source_id"):
        if not (line[name] or "").strip():
            raise BadInput(f"{where}: {name!r} is empty: every score names its task, split, system and source")
    if STEERING.search("".join(map(str, line.values()))) or "\n" in f"{line['system']}{line['source_id']}":
        raise BadInput(f"{where}: holds a control character or a letter that does not show: take it out")
    percent, cost = _number(line, "score_percent", where, 100.0), _number(line, "cost_per_task_usd", where)
    views = _number(line, "augment", where)
    samples = _number(line, "samples", where)
    samples = views if samples is None else samples
    if line["confidence"] not in LEVELS:
        raise BadInput(f"{where}: confidence {line['confidence']!r} is not one of {', '.join(LEVELS)}")
    return Row(
        task=line["benchmark"],
        system=line["system"],
        family=line["family"],
        metric=METRICS.get(line["metric"], line["metric"]),
        results={COLUMNS.get(line["split"], line["split"]): Result(percent, cost_usd=cost)},
        level=LEVELS[line["confidence"]],
        source=line["source_id"],
        date=line["date"],
        parameters=line["params"],
        views=None if views is None else int(views),
        demonstrations=line.get("demonstrations", ""),
        # Dollars without a basis would look comparable with all others.
        cost_basis=line.get("cost_basis", "") or ("basis not stated" if cost is not None else ""),
        labels=tuple(filter(None, [line.get("label", "")])),
        notes=line["notes"],
        model=line.get("model", ""),
        samples=None if samples is None else int(samples),
        training_data=line.get("training_data", ""),
        collected=line.get("collected", ""),
        facts={"source_title": line["source_title"]},
    )


def _number(line: Mapping[str, str], name: str, where: str, most: float = float("inf")) -> float | None:
    """A number from 0 to ``most``; ``None`` if the field is empty or absent."""
    text = line.get(name, "")
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        # Falls through to the one message for every wrong number.
        value = -1.0
    if not (0 <= value <= most and value < float("inf")):
        raise BadInput(f"{where}: {name} {text!r} is not a number from 0{f' to {most:g}' if most < 1e9 else ''}")
    return value
