"""The leaderboard as a folder of static pages: no server, no foreign address, the same bytes for the same inputs.

Addresses are made of names alone (``tasks/<task>.html``, ``models/<name>.html``, ``records/<place>.html``, rows by a
hash of who measured what), so links outlive a rebuild. Text from records and files is escaped where it enters a page.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from trm_harness.errors import BadInput
from trm_harness.files.read import read_json
from trm_harness.files.write import folder, write_bytes, write_text
from trm_harness.leaderboard import views
from trm_harness.leaderboard.archive import Filed, read_manifest
from trm_harness.leaderboard.board import Board, build
from trm_harness.leaderboard.check import Withdrawn
from trm_harness.leaderboard.rows import OURS, Row, day_of, filed_row, filed_rows
from trm_harness.leaderboard.tables import flat, render
from trm_harness.leaderboard.verdicts import VERDICTS, Verdict, counts, judge
from trm_harness.record import describe

if TYPE_CHECKING:
    from jinja2 import Environment

MARK = "board.json"
"""A file that only a built site has. It lists the site's files: what the next build may replace or remove."""

ASSETS = ("assets/board.css", "assets/board.js", "assets/preview.png", "vendor/plot.js", "vendor/LICENSES.txt")
PAGE_BYTES = 800_000
"""Bytes of one page beyond which a build warns; the site as a whole may grow with its records."""

NAME = "trm-harness leaderboard"
SHIPPED_TITLE = "Tiny recursive models on grid puzzles, measured in the open"
_PLACE = re.compile(r"(?:[A-Za-z0-9_+-][A-Za-z0-9._+-]*/){3}[A-Za-z0-9_+-][A-Za-z0-9._+-]*")


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
class Frame:
    """What stands around every page: the site's name and title, where it came from, and where its neighbours are."""

    name: str = NAME
    title: str = SHIPPED_TITLE
    local: bool = False
    """A board of somebody's own records."""
    repository: str = ""
    """Address of the repository; empty where nobody said."""
    docs: str = ""
    """Address of the documentation, as seen from the site's root."""
    address: str = ""
    """Where the site will be served, for previews of its pages."""
    commit: str = ""
    """The last commit that touched the records, with its date."""


@dataclass(frozen=True)
class Site:
    """Everything a site is made of: tasks in their order, reported rows, filed runs, and pages of Markdown."""

    tasks: Sequence[TaskFacts]
    reported: Sequence[Row]
    filed: Sequence[Filed]
    rules: str
    submit: str = ""
    withdrawn: Sequence[Withdrawn] = ()
    frame: Frame = Frame()

    def pages(self) -> dict[str, bytes]:
        """Path below the site's folder -> content."""
        found = {name: text.encode() for name, text in self._pages()}
        found |= {f"assets/{Path(name).name}": _asset(name) for name in ASSETS}
        told = {"site": self.frame.name, "tasks": [task.id for task in self._shown]}
        found[MARK] = (_compact(told | {"files": sorted([*found, MARK])}) + "\n").encode()
        return dict(sorted(found.items()))

    def _pages(self) -> Iterator[tuple[str, str]]:
        yield "index.html", self._index()
        yield "claims.html", self._page("claims.html", "claims.html", verdicts=self._claims(), **self._total)
        # A server shows this one at any depth, where only whole addresses lead back.
        whole = {"root": f"{self.frame.address.rstrip('/')}/"} if self.frame.address else {}
        yield "404.html", self._page("missing.html", "404.html", **whole)
        for name, title, text in (("rules", "Rules", self.rules), ("submit", "Submit a result", self.submit)):
            if text:
                values = {"title": title, "text": views.markdown(text)}
                yield f"{name}.html", self._page("prose.html", f"{name}.html", **values)
        for task in self._shown:
            yield from self._task(task)
        for name in self._models:
            yield f"models/{views.slug(name)}.html", self._model(name)
        for filed in self.filed:
            yield f"records/{filed.place}.html", self._record(filed)
            if filed.films:
                yield f"records/{filed.place}.films.js", _films(filed)
        for gone in self._tombstones:
            name = f"records/{gone.place}.html"
            yield name, self._page("withdrawn.html", name, gone=gone)
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
        return [*filed_rows(self.filed), *self.reported]

    @cached_property
    def _boards(self) -> dict[str, Board]:
        return {task.id: build(self._rows, task.id, task.headline) for task in self.tasks}

    @cached_property
    def _shown(self) -> list[TaskFacts]:
        """Benchmarks, and other tasks that have a score."""
        return [task for task in self.tasks if task.benchmark or self._boards[task.id].lines]

    @cached_property
    def _titles(self) -> dict[str, str]:
        """A task is called what its plugin calls it, whatever a record says."""
        return {task.id: task.title for task in self.tasks}

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
            "checked": views.checked(self.filed),
            "scores": sum(len(row.results) for row in self.reported),
            "collected": views.collected(self.reported),
        }

    @cached_property
    def _tombstones(self) -> list[Withdrawn]:
        """Withdrawn records, each with an address that may stand in a site."""
        here = {filed.place for filed in self.filed}
        return [gone for gone in self.withdrawn if _PLACE.fullmatch(gone.place) and gone.place not in here]

    def _page(self, template: str, address: str, **values: Any) -> str:
        """The page at an ``address`` below the site's root."""
        told = {
            "root": "../" * address.count("/"),
            "path": address,
            "nav": [(task.id, task.title) for task in self._shown],
            "frame": self.frame,
            "newest": max((day_of(filed.record) for filed in self.filed), default=""),
            "has": {"rules": bool(self.rules), "submit": bool(self.submit)},
        }
        return self._environment.get_template(template).render({**told, **values})

    def _index(self) -> str:
        benchmarks = [task for task in self._shown if task.benchmark]
        pictures = [(task, views.lines(self._boards[task.id], {})) for task in benchmarks]
        charts = [
            views.charts(self._boards[task.id], lines, ()) | {"task": task.id, "title": task.title}
            for task, lines in pictures
            if lines
        ]
        values = {"cards": [self._card(task) for task in self._shown], "charts": views.script(charts)}
        return self._page("index.html", "index.html", picture=bool(charts), **values, **self._total)

    def _card(self, task: TaskFacts) -> dict[str, Any]:
        """A task on the first page: its best published and its best own score in each column."""
        board = self._boards[task.id]
        return {
            "task": task,
            "columns": [views.best(board, column) for column in board.columns],
            "records": sum(1 + len(line.row.others) for line in board.lines if line.row.level == OURS),
            "reported": sum(line.row.level != OURS for line in board.lines),
            "empty": views.empty(board),
        }

    def _task(self, task: TaskFacts) -> Iterator[tuple[str, str]]:
        board = self._boards[task.id]
        lines = views.lines(board, self._verdict_of)
        told = (curve for filed in self.filed if filed.record.task.id == task.id for curve in views.curves(filed))
        # Another run of the same weights draws the same line: the first stands for all.
        curves = list({(curve["name"], curve["c"], *curve["y"]): curve for curve in reversed([*told])}.values())[::-1]
        values = {
            "task": task,
            "board": board,
            "lines": lines,
            "choices": views.choices(lines),
            "remarks": views.remarks(board),
            "board_empty": views.empty(board),
            "priced": any(line["row"].cost_basis for line in lines),
            "charts": views.script(views.charts(board, lines, curves)),
            "curves": curves,
            "gone": [one for one in self.withdrawn if one.place.startswith((f"{task.id}/", f"{task.id}.csv: "))],
            "linked": {one.place for one in self._tombstones},
        }
        name = f"tasks/{task.id}.html"
        yield name, self._page("task.html", name, **values)
        yield f"data/{task.id}.csv", render(board, "csv") + "\n"
        told = [_known(flat(line, board.columns)) for line in board.lines]
        yield (
            f"data/{task.id}.json",
            f'{{"task":{_compact(task.id)},"metric":{_compact(board.metric)},"rows":{_objects(told)}}}\n',
        )

    def _model(self, name: str) -> str:
        filed = self._models[name]
        record = filed[-1].record
        claims = [found for found in self._verdicts if found.claim.model == record.model.id]
        runs = [{"row": filed_row(one), "filed": one} for one in filed]
        values = {"name": name, "model": record.model, "runs": runs, "claims": claims, "record": record}
        values["service"] = describe.SERVICE if describe.is_service(record.model.family) else ""
        return self._page("model.html", f"models/{views.slug(name)}.html", **values)

    def _record(self, filed: Filed) -> str:
        record = filed.record
        values = {
            "filed": filed,
            "record": record,
            "task_title": self._titles.get(record.task.id, record.task.id),
            "row": filed_row(filed),
            "name": views.model_name(record),
            "service": describe.SERVICE if describe.is_service(record.model.family) else "",
            "films": f"{filed.place.rpartition('/')[2]}.films.js" if filed.films else "",
            "charts": views.script(views.record_charts(filed)),
            "files": read_manifest(filed.folder),
            "scores": views.scores(record),
        }
        return self._page("record.html", f"records/{filed.place}.html", **values)

    def _claims(self) -> list[tuple[str, Verdict]]:
        """Anchor and verdict; tested claims first: what can be said before what cannot."""
        order = {name: place for place, name in enumerate(VERDICTS)}
        named = list(zip(views.anchors(found.claim for found in self._verdicts), self._verdicts, strict=True))
        return sorted(named, key=lambda pair: order[pair[1].verdict])

    def _downloads(self) -> Iterator[tuple[str, str]]:
        told = [views.claim_facts(found) for found in self._verdicts]
        yield "data/claims.csv", views.csv_text(told)
        yield "data/claims.json", _objects([_known(claim) for claim in told]) + "\n"
        records = [views.record_facts(filed) for filed in self.filed]
        yield "data/records.csv", views.csv_text(records)
        yield "data/records.json", _objects(records) + "\n"


def write_site(out: Path, pages: Mapping[str, bytes]) -> None:
    """Put the pages into ``out``: a new folder all at once, an earlier site file by file.

    Of an earlier site the files that it lists are replaced or removed; whatever else lies there stays. ``BadInput``
    before anything is written if ``out`` holds other things and no site, or another file under a page's name.
    """
    if not out.is_dir() or not any(out.iterdir()):
        with folder(out) as made:
            for name, content in pages.items():
                (made / name).parent.mkdir(parents=True, exist_ok=True)
                # The folder is brought to the disk as a whole: file by file would take minutes for thousands.
                (made / name).write_bytes(content)
        return
    if not (out / MARK).is_file():
        raise BadInput(f"{out} holds other things than a leaderboard: give --out a new folder")
    listed = _listed(out)
    before = pages.keys() if listed is None else listed
    for name in pages.keys() - {MARK}:
        if name not in before and os.path.lexists(out / name):
            raise BadInput(f"{out / name} is in the way of a page and no earlier build wrote it: move it elsewhere")
    for name in {*pages, *before}:
        _check_inside(out, name)
    # First what is both old and new, so that a build that was cut short can be done again.
    both = {**json.loads(pages[MARK]), "files": sorted({*pages, *before})}
    write_text(out / MARK, _compact(both))
    for name in sorted(pages.keys() - {MARK}):
        if not (out / name).is_file() or (out / name).read_bytes() != pages[name]:
            write_bytes(out / name, pages[name], parents=True)
    for name in sorted(before - pages.keys()):
        _remove(out, name)
    write_bytes(out / MARK, pages[MARK])


def stale(out: Path, pages: Mapping[str, bytes]) -> list[str]:
    """Names of the site's files in ``out`` that are missing, different or too many; what is not the site's is left out.

    A site that lists no files (of an earlier version) is taken as a whole.
    """
    there = {file.relative_to(out).as_posix(): file.read_bytes() for file in out.rglob("*") if file.is_file()}
    listed = _listed(out)
    ours = there.keys() if listed is None else {*listed, *pages}
    return sorted(name for name in ours | pages.keys() if there.get(name) != pages.get(name))


def _listed(out: Path) -> set[str] | None:
    """The files that the site in ``out`` lists as its own; ``None`` for one of a version that listed none."""
    mark = out / MARK
    files = read_json(mark).get("files") if mark.is_file() else None
    if files is None:
        return None
    if not isinstance(files, list) or not all(isinstance(name, str) for name in files):
        raise BadInput(f"{mark} does not list the site's files: give --out a new folder")
    return set(files)


def _check_inside(out: Path, name: str) -> None:
    """``BadInput`` for a name that leads out of the site's folder, by itself or through a link."""
    place = PurePosixPath(name)
    inside = name and not place.is_absolute() and ".." not in place.parts
    if not inside or any((out / part).is_symlink() for part in (place, *place.parents) if part.parts):
        raise BadInput(f"{out / MARK} lists {name!r}, which does not lie in that folder: give --out a new folder")


def _remove(out: Path, name: str) -> None:
    """Remove a file of the site, and the folders that it leaves empty."""
    try:
        (out / name).unlink(missing_ok=True)
    except OSError as error:
        raise BadInput(f"{out / name} cannot be removed: {error.strerror}") from None
    for above in list(PurePosixPath(name).parents)[:-1]:
        with suppress(OSError):
            (out / above).rmdir()


def heavy(pages: Mapping[str, bytes]) -> list[tuple[str, int]]:
    """Pages that hold more than a page should, with their bytes; downloads may be as large as they are."""
    return [(name, len(text)) for name, text in pages.items() if name.endswith(".html") and len(text) > PAGE_BYTES]


def _films(filed: Filed) -> str:
    """The films of a run as a script that hands them to the viewer: a page from a disk may load no other file."""
    return f"showFilms({views.script({'family': filed.record.task.family, 'films': list(filed.films)})});\n"


def _asset(name: str) -> bytes:
    return files("trm_harness.leaderboard").joinpath("web", *name.split("/")).read_bytes()


def _known(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if value not in (None, "")}


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _objects(values: Sequence[Mapping[str, Any]]) -> str:
    """A JSON array with one object a line, so that a change of one object is a change of one line."""
    return "[\n" + ",\n".join(map(_compact, values)) + "\n]"
