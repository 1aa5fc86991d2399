"""The documentation holds: generated pages are fresh, every command in it exists, what it says to run runs, it builds
without a warning, and a page reads without asking anybody for anything."""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import os
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import click
import pytest

from tests.browser import CHROMIUM, browser
from tests.conftest import ROOT, Site
from trm_harness import hookspecs, registry
from trm_harness.cli.main import VERBS, cli

DOCS = ROOT / "docs"
Harness = Callable[..., subprocess.CompletedProcess[str]]

PAGES = sorted(
    path
    for path in [*DOCS.rglob("*.md"), *ROOT.glob("*.md"), *(ROOT / "zoo").glob("*.md"), *ROOT.glob("leaderboards/*.md")]
    if "examples" not in path.parts
)
HOOKS = {name: hook for name, hook in vars(hookspecs).items() if hasattr(hook, "trm_harness_spec")}


class Block(NamedTuple):
    """A fenced block of a page: its language, its text, and whether ``<!-- run -->`` stands above it."""

    language: str
    text: str
    runs: bool


@pytest.fixture(scope="module")
def build() -> Iterator[ModuleType]:
    """``docs/build.py``, which brings its neighbours along."""
    before = list(sys.path)
    sys.path.insert(0, str(DOCS))
    try:
        yield importlib.import_module("build")
    finally:
        sys.path[:] = before


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves files and keeps it to itself."""

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


def blocks(page: Path) -> list[Block]:
    pattern = r"(<!-- run -->\n)?^```(\w*)[^\n]*\n(.*?)^```$"
    found = re.finditer(pattern, page.read_text(), re.MULTILINE | re.DOTALL)
    return [Block(match[2], match[3], bool(match[1])) for match in found]


def commands(page: Path) -> list[str]:
    """Every ``trm-harness`` command line of a page: lines of its shell blocks, and code inside its sentences.

    A sentence may name a command without what it takes; such a name is given as ``trm-harness zoo add --help``.
    """
    lines = [line for block in blocks(page) if block.language in ("sh", "bash") for line in block.text.splitlines()]
    prose = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    lines += [
        re.sub(r"^(trm-harness(?: [a-z][a-z-]*)+)$", r"\1 --help", code)
        for code in re.findall(r"`(trm-harness [^`]+)`", prose)
    ]
    parts = [part for line in lines for part in re.split(r"&&|;|\s\|\s", re.sub(r"(^|\s)#.*", "", line))]
    pieces = (re.sub(r"^(\w+=\S+\s+)+", "", part.strip()) for part in parts)
    # Dots stand for whatever a reader puts there: the command alone can be judged.
    pieces = (re.sub(r"^(trm-harness(?: [a-z][a-z-]*)+) .*\.\.\.$", r"\1 --help", piece) for piece in pieces)
    return [piece for piece in pieces if piece.startswith("trm-harness ")]


def parse(line: str) -> None:
    """Parse a command as the program would, without running it; ``click.ClickException`` if it would be refused."""
    words = shlex.split(re.sub(r"\s\d?>.*", "", line))[1:]
    command, context = cli, click.Context(cli, info_name="trm-harness")
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        name = words.pop(0)
        child = command.get_command(context, name)
        if child is None:
            raise click.UsageError(f"no command {name!r}")
        command, context = child, click.Context(child, parent=context, info_name=name)
    # In capitals stand things for the reader to fill in, which no type fits.
    words = ["1" if re.fullmatch(r"[A-Z]{1,3}", word) else word for word in words]
    if isinstance(command, click.Group) and words:
        command.make_parser(context).parse_args(args=words)
    elif not isinstance(command, click.Group) and not {"-h", "--help"} & set(words):
        with nothing_has_to_exist(command):
            command.parse_args(context, words)


@contextmanager
def nothing_has_to_exist(command: click.Command) -> Iterator[None]:
    """Paths of the command need not lead to anything: those of an example do not."""
    paths = [parameter.type for parameter in command.params if isinstance(parameter.type, click.Path)]
    before = [path.exists for path in paths]
    for path in paths:
        path.exists = False
    try:
        yield
    finally:
        for path, exists in zip(paths, before, strict=True):
            path.exists = exists


def test_generated_pages_are_what_the_code_says(build: ModuleType) -> None:
    assert not [str(path) for path in build.stale(build.outputs())], "run `python docs/build.py`"


def test_check_tells_a_stale_page_and_a_leftover_picture(build: ModuleType, tmp_path: Path) -> None:
    wanted = build.outputs()
    cli_page, picture = next(path for path in wanted if path.name == "cli.md"), build.OWNED[0] / "no-such-task.svg"
    assert list(build.stale({**wanted, cli_page: "older"})) == [cli_page]
    picture.write_text("")
    try:
        assert list(build.stale(wanted)) == [picture]
    finally:
        picture.unlink()


def test_pictures_are_small_and_the_same_every_time(build: ModuleType) -> None:
    first, again = build.outputs(), build.outputs()
    pictures = {path: text for path, text in first.items() if path.suffix == ".svg"}
    assert pictures.items() <= again.items()
    assert max(map(len, pictures.values())) < 100_000


def test_the_gallery_shows_every_task_and_owns_up_to_stand_ins() -> None:
    gallery, names = (DOCS / "gallery.md").read_text(), registry.default()
    for spec in names.tasks:
        if not names.tasks.owner(spec.id).in_tree:
            continue
        section = gallery.partition(f"\n`{spec.id}`. ")[2].partition("\n## ")[0]
        assert f"(img/gallery/{spec.id}.svg)" in section
        assert ("is not one of its puzzles" in section) == ("repository" in spec.options)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_in_it_would_be_accepted(page: Path) -> None:
    wrong = []
    for line in commands(page):
        try:
            parse(line)
        except (click.ClickException, ValueError) as error:
            wrong.append(f"{line}: {getattr(error, 'message', error)}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    "line",
    [
        "trm-harness evaluate --task arc1",
        "trm-harness eval --tsak arc1",
        "trm-harness eval --halt sometimes",
        "trm-harness eval --limit many",
        "trm-harness runs show",
        "trm-harness runs show last extra",
        "trm-harness leaderboard show",
        "trm-harness tasks lists",
        "trm-harness --loud",
    ],
)
def test_a_command_that_does_not_exist_would_be_noticed(line: str) -> None:
    with pytest.raises(click.ClickException):
        parse(line)


def test_commands_are_found_wherever_they_stand(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "Say `trm-harness a b` or\n\n```sh\npip install x && trm-harness c --d e  # why\nX=1 trm-harness f | head\n"
        "trm-harness g; trm-harness h > file\n```\nOr `trm-harness i j --k`.\n\n```text\ntrm-harness not this\n```\n"
    )
    found = ["trm-harness c --d e", "trm-harness f", "trm-harness g", "trm-harness h > file"]
    found += ["trm-harness a b --help", "trm-harness i j --k"]
    assert commands(page) == found


def test_every_verb_has_its_page() -> None:
    lacking = [verb for verb in VERBS if not (DOCS / "howto" / f"{verb}.md").is_file()]
    assert not lacking, f"write docs/howto/<verb>.md and name it in mkdocs.yml: {lacking}"


def test_every_environment_variable_has_its_line() -> None:
    """All names in the source that are read from, or looked for in, the environment."""
    page = (DOCS / "reference" / "environment.md").read_text()
    files = [*(ROOT / "trm_harness").rglob("*.py"), *(ROOT / "plugins").rglob("*.py")]
    text = "".join(path.read_text() for path in files)
    named = set(re.findall(r"[\"'](TRM_HARNESS_\w+|HF_\w+|XDG_\w+|OPENAI_\w+|NO_COLOR)[\"']", text))
    named |= set(re.findall(r"environ(?:\.get\(|\.setdefault\(|\[)[\"'](\w+)[\"']", text)) - {"PYTHONPATH"}
    assert len(named) > 10
    # One is between a command and the processes that it starts.
    lacking = sorted(name for name in named - {"TRM_HARNESS_ENDS_WITH_STDIN"} if f"`{name}`" not in page)
    assert not lacking, f"name them in docs/reference/environment.md: {lacking}"


def test_every_page_is_in_the_navigation() -> None:
    # The pages' names stand alone in it, so that mkdocs' own tags need no loader here.
    named = set(re.findall(r"\S+\.md", (ROOT / "mkdocs.yml").read_text()))
    pages = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md") if "examples" not in path.parts}
    assert named == pages


@pytest.mark.parametrize("name", HOOKS)
def test_every_hook_is_documented_with_its_exact_signature(name: str) -> None:
    text = (DOCS / "reference" / "hooks.md").read_text()
    section = text.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
    code = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    stub = ast.parse(f"{code[0].strip()}: ...").body[0]
    real = ast.parse(inspect.getsource(HOOKS[name])).body[0]
    assert isinstance(stub, ast.FunctionDef)
    assert isinstance(real, ast.FunctionDef)
    assert (ast.dump(stub.args), ast.dump(stub.returns)) == (ast.dump(real.args), ast.dump(real.returns))
    implemented = next(node for node in ast.parse(code[1]).body if isinstance(node, ast.FunctionDef))
    assert implemented.name == name
    assert {argument.arg for argument in implemented.args.args} <= set(inspect.signature(HOOKS[name]).parameters)
    assert " ".join(inspect.getdoc(HOOKS[name]).split()[:6]).replace("``", "`") in " ".join(section.split())


EVERY_HOOK = """
import json, pathlib
from trm_harness import CardsSpec, ClaimsSpec, ModelSpec, TaskSpec, TrainerSpec, hookimpl

FOLDER = pathlib.Path(__file__).parent

def note(hook, **arguments):
    with open(FOLDER / "calls.jsonl", "a") as file:
        file.write(json.dumps([hook, {name: type(value).__name__ for name, value in arguments.items()}]) + "\\n")

def folder():
    return FOLDER

@hookimpl
def register_tasks(register):
    note("register_tasks", register=register)
    register(TaskSpec("acme/task", 1, "{module}:folder", "Task", "A task.", 2, 4))

@hookimpl
def register_models(register):
    note("register_models", register=register)
    register(ModelSpec("acme/model", 1, "{module}:folder", "Model", "A model.", "solver"))

@hookimpl
def register_trainers(register):
    note("register_trainers", register=register)
    register(TrainerSpec("acme/trainer", 1, "{module}:folder", "Trainer", "A trainer."))

@hookimpl
def register_cards(register):
    note("register_cards", register=register)
    register(CardsSpec("acme/cards", "{module}:folder"))

@hookimpl
def register_claims(register):
    note("register_claims", register=register)
    register(ClaimsSpec("acme/claims", "{module}:folder"))

@hookimpl
def register_commands(cli):
    import click
    note("register_commands", cli=cli)
    cli.add_command(click.Command("acme", callback=lambda: click.echo("hello from acme"), help="Say hello."))

@hookimpl
def run_started(run):
    note("run_started", run=run)
    assert run.status == "started"

@hookimpl
def batch_predicted(run, batch):
    note("batch_predicted", run=run, batch=batch)
    assert [row.view for row in batch] == [0] * len(batch)

@hookimpl
def run_finished(run, record):
    note("run_finished", run=run, record=record)
    assert record.status == "success" and record.headline.value == 1.0
"""


def test_every_hook_is_called_with_what_the_reference_says(site: Site, harness: Harness) -> None:
    """One plugin that implements all of them, a run, and its command."""
    site.install("acme", EVERY_HOOK)
    assert harness("acme").stdout == "hello from acme\n"
    done = harness("eval", "--task", "sudoku-4x4", "--model", "oracle-sudoku", "--limit", "3")
    assert (done.returncode, done.stderr) == (0, "")
    calls = dict(map(ast.literal_eval, (site.folder / "calls.jsonl").read_text().splitlines()))
    assert set(calls) == set(HOOKS)
    assert {hook: list(told) for hook, told in calls.items()} == {
        hook: list(inspect.signature(function).parameters) for hook, function in HOOKS.items()
    }
    names = {kind: harness(kind, "list").stdout for kind in ("tasks", "models")}
    assert "acme/task" in names["tasks"]
    assert "acme/model" in names["models"]


@pytest.mark.slow
def test_what_the_pages_say_to_run_runs(tmp_path: Path) -> None:
    """The blocks marked for it, in the order of the navigation, in one empty folder, as a reader would."""
    named = re.findall(r"\S+\.md", (ROOT / "mkdocs.yml").read_text())
    script = [block.text for name in named for block in blocks(DOCS / name) if block.runs]
    assert len(script) > 8
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "\n".join(script)],
        cwd=tmp_path,
        env={**os.environ, "PATH": path, "COLUMNS": "120"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "the same as the scores in" in done.stdout
    assert (tmp_path / "film.html").stat().st_size > 1000


BOARD = "https://example.org/board/index.html"


@pytest.fixture(scope="module")
def site_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as the continuous integration builds it."""
    folder = tmp_path_factory.mktemp("site") / "site"
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1", "BOARD": BOARD},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_the_site_builds_without_a_warning(site_folder: Path) -> None:
    pages = [path.relative_to(DOCS).with_suffix(".html") for path in DOCS.rglob("*.md") if "examples" not in path.parts]
    assert all((site_folder / page).is_file() for page in pages)
    assert not list(site_folder.rglob("*.py"))


@pytest.mark.skipif(not CHROMIUM, reason="no Chromium here")
def test_a_reader_finds_the_board_and_the_colours_of_the_system_at_any_width(site_folder: Path, tmp_path: Path) -> None:
    with browser(tmp_path) as page:
        page.open(site_folder / "index.html")
        for name in ("index.html", "python.html", "glossary.html", "howto/submit.html", "reference/contracts.html"):
            page.go((site_folder / name).as_uri())
            for scheme, colours in (("light", "default"), ("dark", "slate")):
                page.scheme(scheme)
                page.until(f"document.body.dataset.mdColorScheme === '{colours}'")
            assert page.value("[...document.querySelectorAll('nav a')].map(a => a.href)").count(BOARD) == 1, name
            for width in (1440, 900, 390):
                page.window(width, 900)
                page.until(f"innerWidth === {width}")
                assert page.value("document.documentElement.scrollWidth") <= width, (name, width)


@pytest.mark.skipif(not CHROMIUM, reason="no Chromium here")
def test_the_search_finds_without_asking_anybody_else(site_folder: Path, tmp_path: Path) -> None:
    """Served, as the published site is."""
    handler = functools.partial(QuietHandler, directory=str(site_folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server, browser(tmp_path) as page:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/"
        page.open(site_folder / "index.html")
        page.requests.clear()
        page.ask("Page.navigate", url=f"{address}index.html")
        page.until(f"location.href.startsWith('{address}') && document.readyState === 'complete'")
        field = "document.querySelector('[data-md-component=search-query]')"
        page.value(f"{field}.focus(); {field}.value = 'bootstrap'")
        page.until(
            f"{field}.dispatchEvent(new Event('keyup', {{bubbles: true}})) && "
            "[...document.querySelectorAll('.md-search-result__item a')].some(a => a.href.includes('reading-a-score'))"
        )
        assert not [
            request for request in page.requests if not request.startswith((address, "data:", "blob:", "file:"))
        ]
        assert not page.complaints
        server.shutdown()


@pytest.mark.skipif(not CHROMIUM, reason="no Chromium here")
def test_the_search_finds_on_pages_from_a_disk(site_folder: Path, tmp_path: Path) -> None:
    with browser(tmp_path) as page:
        page.open(site_folder / "reference" / "cli" / "eval.html")
        page.window(1400, 900)
        page.requests.clear()
        field = "document.querySelector('[data-md-component=search-query]')"
        # The theme loads its index when the search is opened, whether that was before or after its script ran.
        page.value("document.getElementById('__search').click()")
        page.value(f"{field}.value = 'bootstrap'")
        page.until(
            f"{field}.dispatchEvent(new Event('keyup', {{bubbles: true}})) && "
            "[...document.querySelectorAll('.md-search-result__item a')].some(a => a.href.includes('reading-a-score'))"
        )
        assert all(request.startswith(("file:", "data:", "blob:")) for request in page.requests)
        assert not page.complaints


@pytest.mark.skipif(not CHROMIUM, reason="no Chromium here")
@pytest.mark.parametrize("name", ["index.html", "gallery.html", "reference/cli/runs.html"])
def test_a_page_asks_nobody_for_anything(site_folder: Path, tmp_path: Path, name: str) -> None:
    with browser(tmp_path) as page:
        page.open(site_folder / name)
        page.until("document.querySelector('article h1') !== null")
        page.until("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
        assert page.requests
        assert not [request for request in page.requests if not request.startswith(("file:", "data:", "blob:"))]
        assert not page.complaints
