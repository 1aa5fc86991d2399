"""``plugins new``: a complete package for a task, a model or a trainer, from the files under ``templates/``.

Every template is a real file whose name ends in ``.tmpl``; fields such as ``$name`` (:class:`string.Template`) are
filled in its text and, as ``PACKAGE``, in its path. What comes out is tested by installing it and running its tests.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from importlib import metadata
from importlib.machinery import PathFinder
from pathlib import Path
from string import Template

from trm_harness.errors import BadInput
from trm_harness.files.write import folder as new_folder
from trm_harness.files.write import write_text

HERE = Path(__file__).parent
KINDS = ("task", "model", "trainer")
FLAVOURS = {"model": ("torch", "numpy", "solver")}
"""Kinds of which there are several sorts, the usual one first."""
LICENCES = ("Apache-2.0", "MIT", "none")

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_ENDING = ".tmpl"


def write(
    kind: str,
    name: str,
    out: Path | None = None,
    author: str = "",
    licence: str = "Apache-2.0",
    flavour: str = "",
) -> Path:
    """Write the package and return its folder, ``./trm-<kind>-<name>`` by default.

    ``flavour`` is one of the kind's :data:`FLAVOURS`, by default the first.

    ``BadInput`` for a name that is no package's, for an unknown kind or licence, and for a folder that exists already.
    """
    if kind not in KINDS or licence not in LICENCES:
        raise BadInput(f"there is no {kind} plugin under {licence}: use {', '.join(KINDS)} and {', '.join(LICENCES)}")
    flavours = FLAVOURS.get(kind, ("",))
    if (flavour or flavours[0]) not in flavours:
        raise BadInput(f"there is no {flavour} {kind}: use {' or '.join(filter(None, flavours)) or 'no --kind'}")
    if not _NAME.fullmatch(name):
        raise BadInput(f"the name {name!r} does not work: use small letters, digits and single hyphens, as in light-up")
    if taken := taken_by(kind, name):
        raise BadInput(f"the name {name!r} is taken: {taken}; choose another, as in my-{name}")
    folder = out or Path(f"trm-{kind}-{name}")
    if folder.exists():
        raise BadInput(f"{folder} exists already: choose another --out, or remove it")
    fields = _fields(kind, name, author or _git_user(), licence)
    with new_folder(folder) as made:
        template = "-".join(filter(None, (kind, flavour or flavours[0])))
        for path, text in _files(template, licence, fields):
            write_text(made / path, text, parents=True)
    return folder


def taken_by(kind: str, name: str) -> str:
    """What a plugin of that name would take the place of once it is installed; empty for nothing.

    A package that stands before another of its name in Python's path hides it, and two entry points of one name clash.
    """
    fields = _fields(kind, name, "", "none")
    package, distribution = fields["package"], fields["distribution"]
    if _importable(package):
        return f"the package {package} is installed already"
    if any(found.name == name for found in metadata.entry_points(group="trm_harness")):
        return f"a plugin {name} is installed already"
    module = name.replace("-", "_")
    if module in sys.stdlib_module_names or _importable(module):
        return f"Python has a module {module} already"
    if any(
        (found.metadata["Name"] or "").lower().replace("_", "-") == distribution for found in metadata.distributions()
    ):
        return f"the distribution {distribution} is installed already"
    return ""


def _importable(module: str) -> bool:
    try:
        # The folder one stands in counts for nothing: the new package itself may lie there.
        path = [place for place in sys.path if place and Path(place).resolve() != Path.cwd()]
        return PathFinder.find_spec(module, path) is not None
    except (ImportError, ValueError, OSError):
        return False


def _fields(kind: str, name: str, author: str, licence: str) -> dict[str, str]:
    words = name.replace("-", "_")
    return {
        "kind": kind,
        "name": name,
        "distribution": f"trm-{kind}-{name}",
        "package": f"trm_{kind}_{words}",
        "cls": "".join(part.capitalize() for part in name.split("-")),
        "author": author,
        "year": str(date.today().year),
        "licence_line": f'license = "{licence}"\n' if licence != "none" else "",
    }


def _files(template: str, licence: str, fields: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Path and text of every file."""
    for folder in (HERE / "templates" / "common", HERE / "templates" / template):
        for path in sorted(folder.rglob(f"*{_ENDING}")):
            place = path.relative_to(folder).as_posix().removesuffix(_ENDING)
            # Names that tools treat specially stand in the tree under plain ones.
            place = place.replace("PACKAGE", fields["package"]).replace("dot-", ".")
            yield place, Template(path.read_text("utf-8")).substitute(fields)
    if licence != "none":
        text = (HERE / "licences" / f"{licence}.txt").read_text("utf-8")
        yield "LICENSE", Template(text).substitute(fields) if licence == "MIT" else text


def _git_user() -> str:
    try:
        done = subprocess.run(["git", "config", "user.name"], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return "The authors"
    name = done.stdout.strip().replace('"', "").replace("\\", "")
    return name or "The authors"
