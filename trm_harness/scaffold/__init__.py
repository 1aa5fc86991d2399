"""``plugins new``: a complete package for a task, a model or a trainer, from the files under ``templates/``.

Every template is a real file whose name ends in ``.tmpl``; fields such as ``$name`` (:class:`string.Template`) are
filled in its text and, as ``PACKAGE``, in its path. What comes out is tested by installing it and running its tests.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from string import Template

from trm_harness.errors import BadInput

HERE = Path(__file__).parent
KINDS = ("task", "model", "trainer")
LICENCES = ("Apache-2.0", "MIT", "none")

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_ENDING = ".tmpl"


def write(kind: str, name: str, out: Path | None = None, author: str = "", licence: str = "Apache-2.0") -> Path:
    """Write the package and return its folder, ``./trm-<kind>-<name>`` by default.

    ``BadInput`` for a name that is no package's, for an unknown kind or licence, and for a folder that exists already.
    """
    if kind not in KINDS or licence not in LICENCES:
        raise BadInput(f"there is no {kind} plugin under {licence}: use {', '.join(KINDS)} and {', '.join(LICENCES)}")
    if not _NAME.fullmatch(name):
        raise BadInput(f"the name {name!r} does not work: use small letters, digits and single hyphens, as in light-up")
    folder = out or Path(f"trm-{kind}-{name}")
    if folder.exists():
        raise BadInput(f"{folder} exists already: choose another --out, or remove it")
    fields = _fields(kind, name, author or _git_user(), licence)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as place:
            made = Path(place) / "made"
            for path, text in _files(kind, licence, fields):
                (made / path).parent.mkdir(parents=True, exist_ok=True)
                (made / path).write_text(text, "utf-8")
            shutil.move(made, folder)
    except OSError as error:
        raise BadInput(f"{folder} cannot be written ({error.strerror}): choose another --out") from error
    return folder


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


def _files(kind: str, licence: str, fields: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Path and text of every file."""
    for folder in (HERE / "templates" / "common", HERE / "templates" / kind):
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
