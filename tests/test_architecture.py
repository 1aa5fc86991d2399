"""The house keeps its shape: who may import whom, what stays light, how long a function may be. Read from the source.

Imports inside functions and under ``TYPE_CHECKING`` count as arrows like any other; only the test of what the command
line imports at start lets them pass, for there they are the point.
"""

from __future__ import annotations

import ast
import statistics
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import trm_harness
from tests.conftest import ROOT
from trm_harness import _ROOM_OF

CORE = ROOT / "trm_harness"
PLUGINS = ROOT / "plugins"

BASE = ["errors", "types", "specs", "contracts", "hookspecs", "lazy", "progress", "grids", "machine", "augment"]
BASE += ["fingerprint"]
"""Files at the root that every folder may import. Each imports only those before it."""

MAY_IMPORT = {
    "files": "",
    "plugins": "files",
    "registry": "plugins",
    "gridtask": "files",
    "solvers": "",
    "relations": "solvers",
    "record": "files",
    "nn": "files record",
    "inference": "files record",
    "scoring": "files record inference",
    "evaluate": "files record inference scoring",
    "zoo": "files plugins registry",
    "convert": "files plugins registry record nn zoo",
    # Validation is the evaluator's own answering, so that `eval` finds the number that training reported.
    "train": "files registry record nn inference zoo",
    "loading": "files plugins registry record inference evaluate zoo train",
    # Reads files only: what needs a task, a model or git is handed in.
    "leaderboard": "files record scoring",
    "publish": "files registry record inference scoring evaluate zoo convert loading leaderboard",
    "testing": "relations files plugins registry inference scoring evaluate train",
    "scaffold": "files",
    "results": "record train",
    "api": "files registry record inference evaluate zoo convert train loading results",
    "bench": "registry record nn inference scoring convert train api",
}
"""Folder (or root file) -> folders that it may import, besides itself and BASE. The command line may import all."""

ANYTHING = ("cli", "__main__")
PURE = ("types", "specs", "errors", "lazy", "grids", "augment", "fingerprint", "solvers", "relations")
PURE += tuple(f"scoring/{name}" for name in ("rules", "vote", "intervals", "compare"))
TORCH = ("bench", "nn", "train", "testing", "cli", "machine", "convert")
TABLES = ("leaderboard", "evaluate", "scoring", "results", "cli")
LIGHT = ("__init__", "__main__", "hookspecs", "specs", "errors", "progress", "registry", "plugins", "cli")
LIGHT += ("grids", "files/__init__", "files/dates", "files/names", "files/paths", "files/read", "files/write")
LIGHT_PACKAGES = {"click", "pluggy"}
DOES_IO = {"os", "io", "pathlib", "shutil", "subprocess", "tempfile", "socket", "urllib", "http", "sqlite3", "logging"}

PICKLES = (CORE / "convert" / "unpickle.py", CORE / "convert" / "export.py")
"""The files that read and write the reference's checkpoints."""

LONGEST = 70
MEDIAN = 10


@dataclass(frozen=True)
class Import:
    """One import: the dotted name it brings in, and whether merely importing the file runs it."""

    name: str
    line: int
    at_start: bool

    @property
    def package(self) -> str:
        return self.name.partition(".")[0]


def sources(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.py"))


def room(path: Path) -> str:
    return path.relative_to(CORE).parts[0].removesuffix(".py")


def among(path: Path, rooms: tuple[str, ...]) -> bool:
    """Whether a file of the core lies in one of ``rooms``: folders, or single files without their ending."""
    return room(path) in rooms or path.relative_to(CORE).as_posix().removesuffix(".py") in rooms


def place(path: Path, line: int) -> str:
    return f"{path.relative_to(ROOT)}:{line}"


def imports(path: Path) -> list[Import]:
    """Every import of a file, ``from a import b`` as ``a.b``, relative ones made absolute."""
    package = path.relative_to(PLUGINS if PLUGINS in path.parents else ROOT).parent.parts
    return list(_imports(ast.parse(path.read_text()), package, at_start=True))


def _imports(node: ast.AST, package: tuple[str, ...], at_start: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (Import(alias.name, child.lineno, at_start) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            base = package[: len(package) - child.level + 1] if child.level else ()
            origin = ".".join([*base, *([child.module] if child.module else [])])
            yield from (Import(f"{origin}.{alias.name}", child.lineno, at_start) for alias in child.names)
        else:
            deferred = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) or (
                isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
            )
            yield from _imports(child, package, at_start and not deferred)


def entered(name: str) -> str:
    """The room that an import of ``trm_harness...`` enters; a public name of the package root stands for its room."""
    parts = name.split(".")
    if len(parts) == 1:
        return "__init__"
    inside = (CORE / parts[1]).is_dir() or (CORE / f"{parts[1]}.py").is_file()
    return parts[1] if inside else _ROOM_OF.get(parts[1], "__init__")


def functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    tree = ast.parse(path.read_text())
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def test_arrows_point_the_right_way() -> None:
    wrong = []
    for path in sources(CORE):
        mine = room(path)
        if mine in ANYTHING:
            continue
        base = BASE[: BASE.index(mine)] if mine in BASE else BASE
        allowed = {mine, "__init__", *base, *MAY_IMPORT.get(mine, "").split()}
        allowed |= set(_ROOM_OF.values()) if mine == "__init__" else set()
        for found in imports(path):
            if found.package == "trm_harness" and entered(found.name) not in allowed:
                wrong.append(f"{place(path, found.line)}: {mine} may not import {entered(found.name)}")
    assert not wrong, "\n".join(wrong)


def test_every_folder_has_its_line() -> None:
    rooms = {room(path) for path in sources(CORE)} - {*ANYTHING, *BASE, "__init__"}
    assert rooms == set(MAY_IMPORT)


def test_the_arrows_make_no_circle() -> None:
    """Neither between folders nor between files, those of the command line and of the plugins among them."""
    tuple(TopologicalSorter({name: set(known.split()) for name, known in MAY_IMPORT.items()}).static_order())
    names = {_dotted(path): path for path in [*sources(CORE), *sources(PLUGINS)]}
    arrows: dict[str, set[str]] = {}
    for name, path in names.items():
        brought = ({found.name, found.name.rpartition(".")[0]} & names.keys() for found in imports(path))
        # A package's own file only lists what lies in it.
        arrows[name] = {one for some in brought for one in some if not name.startswith(f"{one}.")} - {name}
    tuple(TopologicalSorter(arrows).static_order())


def _dotted(path: Path) -> str:
    parts = path.relative_to(PLUGINS if PLUGINS in path.parents else ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def test_the_core_never_names_a_plugin() -> None:
    """Neither by import nor by a string that an importer could be given."""
    packages = {path.parent.name for path in PLUGINS.glob("*/__init__.py")}
    assert packages
    wrong = [place(path, i.line) for path in sources(CORE) for i in imports(path) if i.package in packages]
    for path in sources(CORE):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                named = node.value.partition(":")[0].partition(".")[0]
                wrong += [place(path, node.lineno)] if named in packages else []
    assert not wrong, wrong


def test_plugins_know_the_core_and_themselves_only() -> None:
    packages = {folder.name for folder in PLUGINS.iterdir() if folder.is_dir()}
    wrong = []
    for path in sources(PLUGINS):
        own = path.relative_to(PLUGINS).parts[0]
        for found in imports(path):
            parts = found.name.split(".")
            if found.package in packages - {own}:
                wrong.append(f"{place(path, found.line)}: {own} imports {found.package}")
            private = any(part.startswith("_") for part in parts[1:])
            if found.package == "trm_harness" and (private or parts[1:2] == ["cli"]):
                wrong.append(f"{place(path, found.line)}: {found.name} is not public")
    assert not wrong, "\n".join(wrong)


def test_the_root_offers_what_it_says() -> None:
    checked = {i.name.rpartition(".")[2] for i in imports(CORE / "__init__.py") if i.package == "trm_harness"}
    assert set(trm_harness.__all__) == set(_ROOM_OF) == checked
    assert all(getattr(trm_harness, name).__qualname__ == name for name in _ROOM_OF if name != "hookimpl")
    assert callable(trm_harness.hookimpl)


def test_manifests_are_light() -> None:
    """A manifest imports the standard library and the declaring side of the core, and nothing else, anywhere."""
    rooms = {"__init__", "hookspecs", "specs", "errors"}
    wrong = [
        f"{place(path, found.line)}: {found.name}"
        for path in PLUGINS.glob("*/__init__.py")
        for found in imports(path)
        if found.package not in sys.stdlib_module_names
        and not (found.package == "trm_harness" and entered(found.name) in rooms)
    ]
    assert not wrong, "\n".join(wrong)


def test_starting_the_command_line_stays_light() -> None:
    wrong = [
        f"{place(path, found.line)}: {found.name}"
        for path in sources(CORE)
        if among(path, LIGHT)
        for found in imports(path)
        if found.at_start
        and found.package not in sys.stdlib_module_names | LIGHT_PACKAGES
        and not (found.package == "trm_harness" and is_light(found.name))
    ]
    assert not wrong, "\n".join(wrong)


def is_light(name: str) -> bool:
    parts = name.split(".")[1:]
    return entered(name) in LIGHT or any("/".join(parts[:count]) in LIGHT for count in range(1, len(parts) + 1))


def test_pure_rooms_do_no_io_and_need_numpy_at_most() -> None:
    wrong = []
    for path in sources(CORE):
        if not among(path, PURE):
            continue
        for found in imports(path):
            foreign = found.package not in sys.stdlib_module_names | {"numpy", "trm_harness"}
            # A fingerprint may be that of a file, which has to be read for it.
            if foreign or (found.package in DOES_IO and room(path) != "fingerprint"):
                wrong.append(f"{place(path, found.line)}: {found.name}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(("package", "rooms"), [("torch", TORCH), ("pandas", TABLES), ("matplotlib", TABLES)])
def test_heavy_packages_stay_in_their_rooms(package: str, rooms: tuple[str, ...]) -> None:
    wrong = [
        place(path, found.line)
        for path in sources(CORE)
        if not among(path, rooms)
        for found in imports(path)
        if found.package == package or found.name.startswith(f"safetensors.{package}")
    ]
    assert not wrong, wrong


def test_nothing_is_pickled() -> None:
    banned = {"pickle", "cPickle", "dill", "joblib", "shelve", "marshal"}
    files = [path for path in [*sources(CORE), *sources(PLUGINS)] if path not in PICKLES]
    wrong = [place(path, found.line) for path in files for found in imports(path) if found.package in banned]
    for path in files:
        wrong += [place(path, call.lineno) for call in _calls(path, "torch.load", "torch.save")]
    assert not wrong, wrong


def test_the_importer_unpickles_tensors_only() -> None:
    """One file reads pickles, through the restricted unpickler; one writes them, of tensors that it was handed."""
    reader, writer = PICKLES
    loads = _calls(reader, "torch.load")
    assert len(loads) == 1
    assert [ast.unparse(word.value) for word in loads[0].keywords if word.arg == "weights_only"] == ["True"]
    assert not _calls(reader, "torch.save", "pickle.load", "pickle.loads", "pickle.Unpickler")
    assert len(_calls(writer, "torch.save")) == 1
    assert not _calls(writer, "torch.load")
    assert not any(found.package == "pickle" for found in imports(writer))


def _calls(path: Path, *names: str) -> list[ast.Call]:
    calls = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))
    return [call for call in calls if ast.unparse(call.func) in names]


def test_functions_stay_short(record_property: pytest.RecordProperty) -> None:
    lengths = {
        f"{place(path, node.lineno)} {node.name}": (node.end_lineno or node.lineno) - node.lineno + 1
        for path in [*sources(CORE), *sources(PLUGINS)]
        for node in functions(path)
    }
    median = statistics.median(lengths.values())
    record_property("functions", len(lengths))
    record_property("median_lines", median)
    long = {name: lines for name, lines in lengths.items() if lines > LONGEST}
    assert not long, long
    assert median <= MEDIAN, f"the median of {len(lengths)} functions is {median} lines"


def test_every_function_says_what_it_returns() -> None:
    files = [*sources(CORE), *sources(PLUGINS), *sources(ROOT / "tests")]
    wrong = [
        f"{place(path, node.lineno)} {node.name}" for path in files for node in functions(path) if node.returns is None
    ]
    assert not wrong, "\n".join(wrong)


def test_the_packaging_lists_every_plugin() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = {path.parent.name for path in PLUGINS.glob("*/__init__.py")}
    listed = {Path(name).name for name in project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]}
    entries = set(project["project"]["entry-points"]["trm_harness"].values())
    assert listed == packages | {"trm_harness"}
    assert entries == packages | {"trm_harness.plugins.builtin"}
