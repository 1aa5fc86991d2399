"""Stamps: which plugins passed ``plugins check`` here, by distribution, version and content of their code.

A stamp is a note for the reader of ``plugins list`` and decides nothing. It goes stale as soon as a file changes.
"""

from __future__ import annotations

import hashlib
import json
import sys
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from trm_harness.errors import BadInput
from trm_harness.files.paths import cache
from trm_harness.files.write import write_text
from trm_harness.plugins.host import PluginInfo

KIT_VERSION = 2
"""Version of the laws; raised when a law is added or made stricter."""


def passed(info: PluginInfo) -> str:
    """``kit 2`` if this very code passed, ``stale`` if an earlier state of it did, ``""`` if none is known to."""
    stamp = _read().get(_key(info))
    if not isinstance(stamp, dict):
        return ""
    return f"kit {stamp.get('kit')}" if stamp.get("content") == content_sha256(info) else "stale"


def put(info: PluginInfo) -> None:
    """Note that ``info`` passed. Where the cache cannot be written there is no stamp, and that is all."""
    stamps = _read() | {_key(info): {"kit": KIT_VERSION, "content": content_sha256(info)}}
    _write(stamps)


def drop(info: PluginInfo) -> None:
    """Forget that ``info`` ever passed."""
    stamps = _read()
    if stamps.pop(_key(info), None) is not None:
        _write(stamps)


def content_sha256(info: PluginInfo) -> str:
    """Hash of the source files of the plugin's package (or of its one file), names included."""
    digest = hashlib.sha256()
    for path in _files(info):
        digest.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _files(info: PluginInfo) -> list[Path]:
    module = info.module.partition(":")[0]
    loaded = sys.modules.get(module)
    origin = getattr(loaded, "__file__", None) if loaded else (spec := find_spec(module)) and spec.origin
    if not origin:
        return []
    path = Path(origin)
    return sorted(path.parent.rglob("*.py")) if path.name == "__init__.py" else [path]


def _key(info: PluginInfo) -> str:
    return f"{info.distribution}|{info.version}|{info.name}"


def _place() -> Path:
    return cache() / "plugin-checks.json"


def _read() -> dict[str, object]:
    try:
        found = json.loads(_place().read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _write(stamps: dict[str, object]) -> None:
    with suppress(BadInput):
        write_text(_place(), json.dumps(stamps, indent=1), parents=True)
