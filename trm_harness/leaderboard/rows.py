"""Rows of a leaderboard: from CSV files of reported scores and from records of our own runs."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from trm_harness.errors import BadInput

if TYPE_CHECKING:
    from trm_harness.leaderboard.archive import Filed
    from trm_harness.record import RunRecord

REQUIRED = ("benchmark", "split", "system", "family", "params", "metric", "score_percent", "cost_per_task_usd", "date")
REQUIRED += ("source_title", "source_id", "confidence", "notes")
OPTIONAL = ("cost_basis", "augment", "demonstrations", "label", "model")

COLUMNS = {"public-eval": "public"}
"""Reported split -> score column, where they differ. Each set of puzzles has its own column and no two share one."""

PUBLIC_TASKS = {"arc1": 400, "arc2": 120}
"""Tasks in ARC's public evaluation sets: a run on another number of tasks was made on somebody's own data."""

# The files keep the sources' own words; rows speak the harness'.
METRICS = {"exact_accuracy": "exact", "": "not stated"}
LEVELS = {"official-leaderboard": "official", "paper": "self-reported", "secondary-page": "second-hand"}
OURS = "ours"

ENDS = {"solver": "exact solver", "trivial": "baseline"}
"""Families of ours that mark the ends of a scale instead of competing on it, and how their rows are labelled."""


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
        date=(record.finished or record.started)[:10],
        network=model.network_parameters or None,
        puzzle_table=model.puzzle_table_parameters,
        views=headline.views,
        demonstrations=record.training.demonstrations if model.weights_sha256 and not model.untrained else "",
        cost_basis=_our_cost_basis(record),
        labels=_our_labels(record, total),
        notes="; ".join(filter(None, [_choice(record), _single_pass(record)])),
        model=model.id,
        protocol=_protocol(record),
        facts=_facts(record),
    )


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
    if cost.dollars is not None:
        return cost.dollars_basis or "basis not stated"
    if not (cost.seconds and puzzles):
        return ""
    return f"{cost.seconds / puzzles:.2g} s/puzzle on {cost.device_name or record.protocol.device}"


def _protocol(record: RunRecord) -> str:
    """Answers, views, steps, number format and learning at test time of a run."""
    chosen, steps = record.protocol, record.protocol.steps
    views = f"{chosen.views} views vote" if chosen.views > 1 else "1 view"
    parts = [f"{chosen.attempts} attempts"] if chosen.attempts > 1 else []
    halted = f" (halting above {chosen.halt_above:g})" if chosen.halt == "adaptive" else ""
    parts += [views, f"{steps} {chosen.halt} steps{halted}" if steps > 1 else "1 step"]
    # A number format is said of networks only.
    kernels = " compiled" if chosen.compiled else ""
    parts += [chosen.dtype + kernels] if record.model.network_parameters else []
    parts += [f"adapted to each task ({chosen.adapt}, {chosen.adapt_steps} steps)"] if chosen.adapt else []
    return ", ".join(parts)


def _single_pass(record: RunRecord) -> str:
    """The same score without votes, for a run whose headline is voted."""
    headline = record.headline
    several = headline.views * headline.trajectories > 1
    single = record.score(headline.name, headline.rule, "single") if several else None
    kind = "one noisy trajectory" if record.protocol.noise else "single pass"
    return f"{kind} {100 * single.value:.2f}" if single else ""


def _choice(record: RunRecord) -> str:
    """Trajectories behind each answer and how one was chosen; empty for a vote of views without noise."""
    headline, noise = record.headline, record.protocol.noise
    parts = [f"{headline.trajectories} trajectories a view"] if headline.trajectories > 1 else []
    parts += [f"noise {noise:g}"] if noise else []
    parts += ["by highest halting logit"] if headline.select == "halt" else []
    return ", ".join(parts)


def _reported_file(file: Path) -> list[Row]:
    try:
        with file.open(newline="", encoding="utf-8") as stream:
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
        if not line[name]:
            raise BadInput(f"{where}: {name!r} is empty: every score names its task, split, system and source")
    percent, cost = _number(line, "score_percent", where, 100.0), _number(line, "cost_per_task_usd", where)
    views = _number(line, "augment", where)
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
