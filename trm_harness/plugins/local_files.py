"""Loose plugins: one Python file each, for those who do not want a package yet.

They come from ``--plugin FILE`` (kept in ``TRM_HARNESS_PLUGINS``, so that processes a command starts have them too) and
from a project's pyproject.toml, looked for from the current folder upwards::

    [tool.trm-harness]
    plugins = ["my_task.py"]

A project that is merely the current folder thereby makes the harness run its code. So the files must lie inside the
project, the project must belong to the user (or root), and every command says on stderr that it runs them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from trm_harness.errors import BadInput, PluginError

FILES = "TRM_HARNESS_PLUGINS"
"""Environment variable: paths of plugin files, separated as in PATH. ``--plugin`` adds to it."""

SECTION = "trm-harness"


@dataclass(frozen=True)
class LooseFile:
    """A plugin in a file of its own. ``named_in`` is the pyproject.toml that names it, if nobody typed it."""

    path: Path
    named_in: Path | None = None

    @property
    def name(self) -> str:
        """Name of the plugin and of its module, so that targets read ``my_task:build``."""
        return self.path.stem

    @property
    def origin(self) -> str:
        """What stands where other plugins have a distribution."""
        return str(self.path)

    def load(self) -> ModuleType:
        """Import the file as a top-level module. ``PluginError`` if its name is no module's, or another's."""
        from importlib.util import find_spec, module_from_spec, spec_from_file_location

        if not self.name.isidentifier():
            raise PluginError(f"{self.path.name} cannot be imported: name it like a Python module, my_task.py")
        folder = str(self.path.parent)
        if self.name in sys.modules or _elsewhere(find_spec(self.name), self.path):
            raise PluginError(f"the name {self.name!r} is that of another module: rename {self.path.name}")
        spec = spec_from_file_location(self.name, self.path)
        assert spec is not None
        assert spec.loader is not None
        module = sys.modules[self.name] = module_from_spec(spec)
        # Behind everything else: a file beside the plugin must not stand in for an installed package.
        if folder not in sys.path:
            sys.path.append(folder)
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[self.name]
            raise
        return module


def add(paths: tuple[Path, ...]) -> None:
    """Name files for this process and those it starts. ``BadInput`` if one is not there."""
    known = [path for path in os.environ.get(FILES, "").split(os.pathsep) if path]
    new = [str(_existing(path, "--plugin")) for path in paths]
    if new:
        os.environ[FILES] = os.pathsep.join(dict.fromkeys([*known, *new]))


def files() -> list[LooseFile]:
    """Files of ``TRM_HARNESS_PLUGINS``, then those of the project around the current folder, each once."""
    named = [_existing(Path(path), FILES) for path in os.environ.get(FILES, "").split(os.pathsep) if path]
    found = {path: LooseFile(path) for path in named}
    for file in _of_project():
        found.setdefault(file.path, file)
    return list(found.values())


def project() -> Path | None:
    """The nearest pyproject.toml with a [tool.trm-harness] section, from the current folder upwards."""
    try:
        here = Path.cwd()
    except OSError:
        return None
    for folder in (here, *here.parents):
        path = folder / "pyproject.toml"
        # Reading a file is cheap, parsing TOML is not.
        if path.is_file() and f"[tool.{SECTION}" in _text(path):
            return path
    return None


def _of_project() -> Iterator[LooseFile]:
    path = project()
    if path is None:
        return
    listed = _section(path).get("plugins", [])
    if not isinstance(listed, list) or not all(isinstance(name, str) for name in listed):
        raise BadInput(f'{path}: plugins in [tool.{SECTION}] must be a list of file names, plugins = ["my_task.py"]')
    if listed and not _trusted(path):
        print(f"note: {path} names plugins, but belongs to another user: they are not run", file=sys.stderr)
        return
    root = path.parent.resolve()
    for name in listed:
        file = _existing(root / name, str(path))
        if root not in file.parents:
            raise BadInput(f"{path}: the plugin {name!r} lies outside the project: give it with --plugin instead")
        yield LooseFile(file, path)


def _section(path: Path) -> dict[str, Any]:
    import tomllib

    try:
        section = tomllib.loads(_text(path)).get("tool", {}).get(SECTION, {})
    except (ValueError, AttributeError) as error:
        raise BadInput(f"{path}: is no TOML ({error}): mend it") from error
    unknown = sorted(set(section) - {"plugins"}) if isinstance(section, dict) else ["(not a table)"]
    if unknown:
        raise BadInput(f"{path}: [tool.{SECTION}] has an unknown key {unknown[0]!r}: known is plugins")
    return section


def _trusted(path: Path) -> bool:
    """Whether the project is the user's own: anybody can put a pyproject.toml into a shared folder such as /tmp."""
    return not hasattr(os, "getuid") or path.stat().st_uid in (os.getuid(), 0)


def _existing(path: Path, where: str) -> Path:
    if not path.is_file():
        raise BadInput(f"{where}: there is no plugin file {path}: give the path of a Python file")
    return path.resolve()


def _elsewhere(spec: Any, path: Path) -> bool:
    return spec is not None and (spec.origin is None or Path(spec.origin).resolve() != path)


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return ""
