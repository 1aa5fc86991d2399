"""The leaderboard as a folder of static pages: no server, no foreign address, the same bytes for the same inputs.

Addresses are made of names alone (``tasks/<task>.html``, ``models/<name>.html``, ``records/<place>.html``, rows by a
hash of who measured what), so links outlive a rebuild. Text from records and files is escaped where it enters a page.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trm_harness.errors import BadInput
from trm_harness.leaderboard import views
from trm_harness.leaderboard.archive import SELF_REPORTED, Filed, fitting, have_steps, read_manifest
from trm_harness.leaderboard.board import Board, build
from trm_harness.leaderboard.rows import Row, filed_row
from trm_harness.leaderboard.tables import flat, render
from trm_harness.leaderboard.verdicts import VERDICTS, Verdict, counts, judge

if TYPE_CHECKING:
    from jinja2 import Environment

MARK = "board.json"
"""A file that only a built site has: what may be replaced by the next build."""

ASSETS = ("assets/board.css", "assets/board.js", "vendor/plot.js", "vendor/LICENSES.txt")
LARGEST = 2_000_000
"""Bytes of a whole site."""

FILM_BYTES = 40_000
"""Of the films on all pages together: the more records, the fewer of its films a page shows."""

STEPPED_SHARE = 10
"""Share of a run whose films have steps, where an answer at once has 1."""


@dataclass(frozen=True)
class TaskFacts:
    """What the site says of a task before its scores; ``benchmark`` tells published sets from generated ones."""

    id: str
    title: str
    description: str
    family: str
    headline: str
    benchmark: bool


@dataclass(frozen=True)
class Site:
    """Everything a site is made of: tasks in their order, reported rows, filed runs, and the rules as Markdown."""

    tasks: Sequence[TaskFacts]
    reported: Sequence[Row]
    filed: Sequence[Filed]
    rules: str

    def pages(self) -> dict[str, bytes]:
        """Path below the site's folder -> content. ``BadInput`` if all together is larger than a site may be."""
        found = {name: text.encode() for name, text in self._pages()}
        found |= {f"assets/{Path(name).name}": _asset(name) for name in ASSETS}
        size = sum(map(len, found.values()))
        if size > LARGEST:
            raise BadInput(f"the site would hold {size:,} bytes, more than {LARGEST:,}: it has too many records")
        return dict(sorted(found.items()))

    def _pages(self) -> Iterator[tuple[str, str]]:
        yield (
            "index.html",
            self._page("index.html", "", cards=[self._card(task) for task in self._shown], **self._total),
        )
        yield "claims.html", self._page("claims.html", "", verdicts=self._claims(), **self._total)
        yield "rules.html", self._page("rules.html", "", rules=views.markdown(self.rules))
        for task in self._shown:
            yield from self._task(task)
        for name in self._models:
            yield f"models/{views.slug(name)}.html", self._model(name)
        for filed in self.filed:
            yield f"records/{filed.place}.html", self._record(filed)
        yield from self._downloads()

    @cached_property
    def _environment(self) -> Environment:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined

        found = Environment(
            loader=FileSystemLoader(str(files("trm_harness.leaderboard").joinpath("web", "templates"))),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        found.filters |= views.FILTERS
        return found

    @cached_property
    def _rows(self) -> list[Row]:
        own = [row for filed in self.filed if (row := filed_row(filed))]
        return [*own, *self.reported]

    @cached_property
    def _boards(self) -> dict[str, Board]:
        return {task.id: build(self._rows, task.id, task.headline) for task in self.tasks}

    @cached_property
    def _shown(self) -> list[TaskFacts]:
        """Benchmarks, and other tasks that have a score."""
        return [task for task in self.tasks if task.benchmark or self._boards[task.id].lines]

    @cached_property
    def _verdicts(self) -> list[Verdict]:
        return judge(self.reported, self.filed)

    @cached_property
    def _verdict_of(self) -> dict[tuple[Any, ...], Verdict]:
        return {views.claim_key(found.claim, found.column): found for found in self._verdicts}

    @cached_property
    def _models(self) -> dict[str, list[Filed]]:
        """Name of a model's page -> its filed runs."""
        found: dict[str, list[Filed]] = {}
        for filed in sorted(self.filed, key=lambda one: one.place):
            found.setdefault(views.model_name(filed.record), []).append(filed)
        return dict(sorted(found.items()))

    @property
    def _total(self) -> dict[str, Any]:
        return {
            "counts": counts(self._verdicts),
            "kinds": VERDICTS,
            "records": len(self.filed),
            "checked": sum(filed.level != SELF_REPORTED for filed in self.filed),
            "scores": sum(len(row.results) for row in self.reported),
        }

    def _page(self, template: str, root: str, **values: Any) -> str:
        nav = [(task.id, task.title) for task in self._shown]
        return self._environment.get_template(template).render(root=root, nav=nav, **values)

    def _card(self, task: TaskFacts) -> dict[str, Any]:
        """A task on the first page: its best published and its best own score in each column."""
        board = self._boards[task.id]
        return {
            "task": task,
            "columns": [views.best(board, column) for column in board.columns],
            "records": sum(line.row.level == "ours" for line in board.lines),
            "reported": sum(line.row.level != "ours" for line in board.lines),
        }

    def _task(self, task: TaskFacts) -> Iterator[tuple[str, str]]:
        board = self._boards[task.id]
        lines = views.lines(board, self._verdict_of)
        curves = [curve for filed in self.filed if filed.record.task.id == task.id for curve in views.curves(filed)]
        charts = {"columns": board.columns, "metric": board.metric, "rows": views.points(lines), "curves": curves}
        values = {
            "task": task,
            "board": board,
            "lines": lines,
            "choices": views.choices(lines),
            "remarks": views.remarks(board),
            "charts": views.script(charts),
            "curves": curves,
        }
        yield f"tasks/{task.id}.html", self._page("task.html", "../", **values)
        yield f"data/{task.id}.csv", render(board, "csv") + "\n"
        told = [_known(flat(line, board.columns)) for line in board.lines]
        yield f"data/{task.id}.json", _compact({"task": task.id, "metric": board.metric, "rows": told})

    def _model(self, name: str) -> str:
        filed = self._models[name]
        record = filed[-1].record
        claims = [found for found in self._verdicts if found.claim.model == record.model.id]
        runs = [{"row": filed_row(one), "filed": one} for one in filed]
        return self._page("model.html", "../", name=name, model=record.model, runs=runs, claims=claims, record=record)

    def _record(self, filed: Filed) -> str:
        root, record = "../" * 4, filed.record
        shown = list(fitting(filed.films, self._film_room * _film_share(filed), len(filed.films)))
        films = views.script({"family": record.task.family, "films": shown})
        values = {
            "filed": filed,
            "record": record,
            "row": filed_row(filed),
            "name": views.model_name(record),
            "films": films if shown else "",
            "charts": views.script(views.record_charts(filed)),
            "files": read_manifest(filed.folder),
            "scores": views.scores(record),
        }
        return self._page("record.html", root, **values)

    @cached_property
    def _film_room(self) -> float:
        return FILM_BYTES / max(1, sum(map(_film_share, self.filed)))

    def _claims(self) -> list[tuple[str, Verdict]]:
        """Anchor and verdict; tested claims first: what can be said before what cannot."""
        order = {name: place for place, name in enumerate(VERDICTS)}
        named = list(zip(views.anchors(found.claim for found in self._verdicts), self._verdicts, strict=True))
        return sorted(named, key=lambda pair: order[pair[1].verdict])

    def _downloads(self) -> Iterator[tuple[str, str]]:
        told = [views.claim_facts(found) for found in self._verdicts]
        yield "data/claims.csv", views.csv_text(told)
        yield "data/claims.json", _compact([_known(claim) for claim in told])
        records = [views.record_facts(filed) for filed in self.filed]
        yield "data/records.csv", views.csv_text(records)
        yield "data/records.json", _compact(records)
        yield MARK, _compact({"site": "trm-harness leaderboard", "tasks": [task.id for task in self._shown]})


def write_site(out: Path, pages: Mapping[str, bytes]) -> None:
    """Put the pages into ``out``, which must be new, empty or an earlier site; it is whole at every moment."""
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / MARK).is_file())):
        raise BadInput(f"{out} holds other things than a leaderboard: give --out a new folder")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as scratch:
            for name, content in pages.items():
                file = Path(scratch, "new", name)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content)
            if out.exists():
                out.replace(Path(scratch, "old"))
            Path(scratch, "new").replace(out)
    except OSError as error:
        raise BadInput(f"{out} cannot be written: {error.strerror or error}") from None


def stale(out: Path, pages: Mapping[str, bytes]) -> list[str]:
    """Names of files in ``out`` that are missing, different or too many."""
    there = {file.relative_to(out).as_posix(): file.read_bytes() for file in out.rglob("*") if file.is_file()}
    return sorted(name for name in there.keys() | pages.keys() if there.get(name) != pages.get(name))


def _film_share(filed: Filed) -> int:
    return STEPPED_SHARE if have_steps(filed.films) else 1


def _asset(name: str) -> bytes:
    return files("trm_harness.leaderboard").joinpath("web", *name.split("/")).read_bytes()


def _known(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if value not in (None, "")}


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False) + "\n"
