"""The record: described to the last field, written whole or not at all, and nothing foreign is taken for one."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.evaluating import LatinTask, Propagator
from trm_harness import record
from trm_harness.errors import BadInput
from trm_harness.evaluate import evaluate
from trm_harness.files.write import write_text
from trm_harness.inference import InferencePlan


@pytest.fixture
def run(tmp_path: Path) -> Path:
    evaluate(LatinTask(4), Propagator(), InferencePlan("test", augment=3), tmp_path / "run")
    return tmp_path / "run"


def test_a_record_reads_back_equal(run: Path) -> None:
    found = record.read(run)
    assert found == record.read(run / "run.json")
    assert record.read(record.write(run.parent / "copy.json", found)) == found


def test_the_schema_says_the_same_as_the_file(run: Path) -> None:
    data, schema = json.loads((run / "run.json").read_text()), record.json_schema()
    assert set(data) == set(schema["properties"])
    assert schema["$schema"].startswith("https://json-schema.org/")
    entries = [schema, *schema["$defs"].values()]
    bare = [name for entry in entries for name, field in entry["properties"].items() if not field.get("description")]
    assert not bare
    assert all(entry["additionalProperties"] is False for entry in entries)


def test_the_page_of_the_record_is_fresh() -> None:
    spec = importlib.util.spec_from_file_location("record_page", ROOT / "docs" / "record_page.py")
    writer = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(writer)
    assert writer.PAGE.read_text() == writer.page(), "run `python docs/record_page.py`"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "broken JSON"),
        ("[1]", "does not hold a JSON object"),
        ("{}", "is not a run record"),
        ('{"schema_version": 2}', "schema version 2"),
        ('{"schema_version": 1}', "id: Field required"),
        ("\x00\xff", "broken JSON"),
    ],
)
def test_what_is_no_record_is_refused_in_one_line(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(BadInput, match=complaint) as caught:
        record.read(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("place", "value", "complaint"),
    [
        (("status",), "done", "status"),
        (("scores", 0, "value"), "high", r"scores\.0\.value"),
        (("task", "wrong"), 1, r"task\.wrong"),
        (("selection", "groups"), None, r"selection\.groups"),
    ],
)
def test_a_wrong_field_is_named(run: Path, place: tuple, value: object, complaint: str) -> None:
    data = json.loads((run / "run.json").read_text())
    inner = data
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    (run / "run.json").write_text(json.dumps(data))
    with pytest.raises(BadInput, match=complaint):
        record.read(run)


def test_a_missing_record_and_an_impossible_place(tmp_path: Path, run: Path) -> None:
    with pytest.raises(BadInput, match="does not exist"):
        record.read(tmp_path / "nothing.json")
    with pytest.raises(BadInput, match="cannot be written"):
        record.write(tmp_path / "no" / "such" / "run.json", record.read(run))


def test_writing_leaves_nothing_but_the_file(run: Path) -> None:
    before = sorted(path.name for path in run.iterdir())
    record.write(run, record.read(run))
    assert sorted(path.name for path in run.iterdir()) == before


def test_a_failed_write_leaves_the_old_file(run: Path) -> None:
    old = (run / "run.json").read_text()
    with pytest.raises(UnicodeEncodeError):
        write_text(run / "run.json", "half \udc80")
    assert (run / "run.json").read_text() == old
    assert not list(run.glob(".*.tmp"))


def test_a_record_cannot_be_changed(run: Path) -> None:
    with pytest.raises(ValueError, match="frozen"):
        record.read(run).status = "error"


def test_a_cards_declaration_becomes_the_training_entry() -> None:
    data = {"name": "arc1 training", "version": "x", "sha256": "b" * 64, "puzzles": 400, "notes": ""}
    card = {"name": "a.b", "training": {"demonstrations": "joint", "data": [data], "recipe": "r", "steps": 10}}
    entry = record.training_of(card)
    assert entry.demonstrations == "joint"
    assert entry.data[0].puzzles == 400
    assert record.training_of({}).demonstrations == "unknown"
    with pytest.raises(BadInput, match="demonstrations"):
        record.training_of({"training": {"demonstrations": "some"}})
