"""Writes every generated page and picture of the documentation: ``python docs/build.py``.

``--check`` writes nothing and exits 1 if a file is not what would be written. Seconds, no network, no torch model run.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

DOCS = Path(__file__).resolve().parent
sys.path[:0] = [str(DOCS), str(DOCS.parent)]

import cli_page  # noqa: E402
import contracts_page  # noqa: E402
import curves  # noqa: E402
import gallery_page  # noqa: E402
import hooks_page  # noqa: E402
import picture  # noqa: E402
import recipes_page  # noqa: E402
import record_page  # noqa: E402

from trm_harness.files.write import write_text  # noqa: E402

OWNED = (gallery_page.PICTURES, cli_page.FOLDER)
"""Folders that hold generated files only: what nothing writes any more is removed from them."""


def outputs() -> dict[Path, str]:
    """Every generated file and its text."""
    rooms = (cli_page, contracts_page, curves, gallery_page, hooks_page, picture, recipes_page)
    return {
        record_page.PAGE: record_page.page(),
        **{file: text for room in rooms for file, text in room.pages().items()},
    }


def stale(wanted: dict[Path, str]) -> Iterator[Path]:
    """Files that differ from what would be written, are missing, or are left over."""
    for file, text in wanted.items():
        if not file.is_file() or file.read_text("utf-8") != text:
            yield file
    yield from (file for folder in OWNED for file in sorted(folder.glob("*")) if file not in wanted)


def main(arguments: list[str]) -> int:
    """Write, or only look; the exit code."""
    wanted = outputs()
    wrong = list(stale(wanted))
    for file in wrong:
        word = "stale" if "--check" in arguments else "written" if file in wanted else "removed"
        print(f"{word}: {file.relative_to(DOCS.parent)}")
    if "--check" in arguments:
        return int(bool(wrong))
    for file in wrong:
        _replace(file, wanted.get(file))
    return 0


def _replace(file: Path, text: str | None) -> None:
    if text is None:
        return file.unlink()
    write_text(file, text, parents=True)
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
