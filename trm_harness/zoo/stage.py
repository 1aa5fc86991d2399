"""A card's folder that appears all at once, with everything in it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trm_harness.errors import BadInput


@contextmanager
def staged(folder: Path, name: str, at: str = "") -> Iterator[Path]:
    """A hidden folder that becomes ``folder/name`` at the end; whatever had that name goes. Nothing stays on failure.

    ``at`` is another name for it to take. ``BadInput`` if ``folder`` cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # One level down, so that the folder's own name is the card's, which a card demands.
        above = Path(tempfile.mkdtemp(prefix=".new-", dir=folder))
    except OSError as error:
        raise BadInput(f"{folder} cannot be written ({error.strerror}): choose another --zoo") from error
    stage = above / name
    stage.mkdir()
    try:
        yield stage
        final = folder / (at or name)
        if final.exists():
            os.replace(final, above / "old")
        os.replace(stage, final)
    finally:
        shutil.rmtree(above, ignore_errors=True)
