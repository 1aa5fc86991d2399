"""A run's record, read and written."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from trm_harness.errors import BadInput
from trm_harness.files.names import RECORD_FILE
from trm_harness.files.read import read_json
from trm_harness.files.write import write_text
from trm_harness.record.schema import SCHEMA_VERSION, RunRecord, first_complaint


def read(path: Path) -> RunRecord:
    """The record at ``path``, a run folder or its ``run.json``. ``BadInput`` for anything that is not one."""
    file = path / RECORD_FILE if path.is_dir() else path
    data = read_json(file)
    if "schema_version" not in data:
        raise BadInput(f"{file} is not a run record: it has no schema_version")
    if data["schema_version"] != SCHEMA_VERSION:
        raise BadInput(f"{file} has schema version {data['schema_version']}; this program reads {SCHEMA_VERSION}")
    try:
        return RunRecord.model_validate(data)
    except ValidationError as error:
        raise BadInput(f"{file} is not a valid run record: {first_complaint(error)}") from None


def write(path: Path, record: RunRecord) -> Path:
    """Write the record into a run folder (or to a ``.json`` file) so that no reader ever sees half of it."""
    file = path if path.suffix == ".json" else path / RECORD_FILE
    return write_text(file, record.model_dump_json(indent=1) + "\n")
