"""Faults that fuzzing found in loaders, one by one: each was a traceback or had no bound, and is one clear line now."""

from __future__ import annotations

import csv
import io
import json
import lzma
import os
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from tests.fuzzing import write
from tests.test_fuzz import BOMBS, CARD, MAZE, RECIPE, REPORTED, RUN, SUDOKU, npy, npz
from tests.zoo_cards import weights
from trm_harness.errors import BadInput
from trm_harness.files import read
from trm_harness.inference.plan_file import StoredPlan
from trm_harness.leaderboard.rows import read_reported
from trm_harness.record import journal
from trm_harness.record import read as read_record
from trm_harness.zoo import read_card, safetensors_metadata

Harness = Callable[..., CompletedProcess[str]]
DIGITS, NESTS = "9" * 5000, "[" * 100_000


def journal_line(**changes: Any) -> bytes:
    """A line of one step with a right checksum."""
    names = ("puzzle", "view", "transform", "restart", "answers", "halts", "steps", "length")
    plain = dict(zip(names, ["p", 0, "", 0, ["12/34"], [0.5], 1, 4], strict=True))
    body = json.dumps(list({**plain, **changes}.values()))[:-1].encode()
    return body + f',"{zlib.crc32(body):08x}"]\n'.encode()


@pytest.mark.parametrize(
    "changes",
    [
        {"halts": [10**400]},
        {"halts": [1, 2]},
        {"halts": [], "answers": [], "steps": 0},
        {"answers": [7]},
        {"answers": ["12/3"]},
        {"answers": ["é"]},
        {"answers": ["1", "2"]},
        {"puzzle": None},
        {"view": "0"},
        {"length": 0.5},
    ],
    ids=lambda changes: str(changes)[:40],
)
def test_a_journal_with_right_checksums_may_still_be_wrong(tmp_path: Path, changes: dict[str, Any]) -> None:
    assert len(list(journal.read(write(tmp_path / "right.jsonl", journal_line())))) == 1
    with pytest.raises(BadInput, match="damaged"):
        list(journal.read(write(tmp_path / "journal.jsonl", journal_line(**changes))))


@pytest.mark.parametrize("text", [f'{{"schema_version": {DIGITS}}}', NESTS, '"\\ud800"', "[]", "", "\ufeff{}"])
def test_json_of_every_kind(tmp_path: Path, text: str) -> None:
    with pytest.raises(BadInput):
        read_record(write(tmp_path / "run.json", text))


def test_a_list_of_runs_goes_on_past_a_broken_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from trm_harness.cli.main import cli

    monkeypatch.chdir(tmp_path)
    for name, text in (("a", NESTS), ("b", '{"id": 1, "task": [], "headline": {"value": "x"}}'), ("c", DIGITS)):
        write(tmp_path / "runs" / name / "run.json", text)
    write(tmp_path / "runs" / "d" / "run.json", (RUN / "run.json").read_bytes())
    done = CliRunner().invoke(cli, ["runs", "list"], catch_exceptions=False, standalone_mode=False)
    assert RUN.name in done.output
    assert done.output.count("is not a run record") == 3


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("depth_curve.accuracy.0", 1e308),
        ("depth_curve.accuracy.0", 1e9),
        ("depth_curve.correct", []),
        ("headline.low", None),
        ("headline.denominator", -1),
        ("halting.calibration_error", None),
        ("depth_curve", None),
        ("protocol.steps", 2**80),
        ("cost.seconds", -1.0),
        ("trajectory_curve", {"n": 1, "trajectories": [0], "mode": [1.0], "halt": [1.0], "oracle": [1.0]}),
    ],
)
def test_a_record_holds_what_can_be(tmp_path: Path, path: str, value: Any) -> None:
    """Bars of 1e308 characters, curves of two lengths, and intervals with one end cannot be drawn."""
    record = json.loads((RUN / "run.json").read_text())
    *holders, last = path.split(".")
    at = record
    for name in holders:
        at = at[name]
    at[int(last) if last.isdigit() else last] = value
    with pytest.raises(BadInput, match="not a valid run record"):
        read_record(write(tmp_path / "run.json", json.dumps(record)))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("steps", "8"),
        ("steps", 0),
        ("views", [1, "2"]),
        ("views", [0]),
        ("window", 0),
        ("budget", {"memory": "much", "flops": 1.0, "puzzles": 1}),
        ("budget", None),
        ("plan", []),
        ("plan", {"split": "test", "puzzles": "abc"}),
        ("launch", 3),
        ("extra", 1),
    ],
)
def test_a_plan_is_of_the_right_types(tmp_path: Path, key: str, value: Any) -> None:
    plan = json.loads((RUN / "plan.json").read_text())
    write(tmp_path / "plan.json", json.dumps(plan))
    assert StoredPlan.load(tmp_path).steps == plan["steps"]
    write(tmp_path / "plan.json", json.dumps({**plan, key: value}))
    with pytest.raises(BadInput, match="damaged"):
        StoredPlan.load(tmp_path)


LONG_KEYS = ("a." * 101 + "a = 1", "[" + "a . " * 101 + "a]")


@pytest.mark.parametrize("spoiled", [f"x = {DIGITS}", f"x = {NESTS[:5000]}", *LONG_KEYS], ids=range(4))
def test_toml_of_every_kind(tmp_path: Path, spoiled: str) -> None:
    from trm_harness.train.recipe import read_recipe

    with pytest.raises(BadInput, match=r"not TOML|more than 100 parts"):
        read_card(write(tmp_path / "trm-toy.arc" / "card.toml", f"{spoiled}\n{CARD}"))
    with pytest.raises(BadInput, match=r"not TOML|more than 100 parts"):
        read_recipe(write(tmp_path / "recipe.toml", f"{spoiled}\n{RECIPE}"))


def test_prose_and_numbers_are_no_long_keys(tmp_path: Path) -> None:
    prose = "One. Two. Three words here. " * 60
    numbers = ", ".join("0.5" for _ in range(300))
    lines = f"'''\n{prose}\n{prose.replace(' ', '.')}\n'''"
    file = write(
        tmp_path / "x.toml",
        f'prose = "{prose}"\nlines = {lines}\nnumbers = [{numbers}]\nurl = "https://a.b.c/d.e" # {prose}\n',
    )
    assert len(read.read_toml(file, "it")["numbers"]) == 300


@pytest.mark.parametrize("augment", ["inf", "1e999", "nan", "-1"])
def test_a_reported_number_is_finite(tmp_path: Path, augment: str) -> None:
    rows = list(csv.DictReader(REPORTED[:2]))
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0] | {"augment": ""}))
    writer.writeheader()
    writer.writerow(rows[0] | {"augment": augment})
    write(tmp_path / "x.csv", text.getvalue())
    with pytest.raises(BadInput, match="augment"):
        read_reported([tmp_path])


@pytest.mark.parametrize(
    "line", [f"mine,{'1' * 140_000},x,1", f"mine,.2341.2.2.43.321,1234341221434321,{DIGITS}", "a\rb"]
)
def test_sudoku_tables(tmp_path: Path, line: str) -> None:
    from trm_task_sudoku.files import read

    with pytest.raises(BadInput) as caught:
        read(write(tmp_path / "test.csv", f"{SUDOKU}{line}\n"), "test", 4)
    assert len(str(caught.value)) < 1000


def test_maze_tables(tmp_path: Path) -> None:
    from trm_task_maze.files import read

    with pytest.raises(BadInput, match="cannot be read as CSV"):
        read(write(tmp_path / "test.csv", f'{MAZE}mine,"{"S" * 140_000}"\n'), "test", 3)


@pytest.mark.parametrize(
    "content",
    [
        npz(walls=npy("|u1", (2**40, 8), b"x"), ends=npy("<u2", (2, 2), bytes(8))),
        npz(walls=npy("|u1", (2, 7), bytes(14)), ends=npy("<u2", (2, 2), bytes(8))),
        npz(walls=npy("|u1", (2, 8), bytes(16)), ends=npy("<u2", (1, 2), bytes(4))),
        npz(walls=npy("|u1", (2, 8), bytes(16)), ends=npy("<u2", (2, 2), b"\xff" * 8)),
        npz(walls=npy("|O", (2, 8), bytes(128)), ends=npy("<u2", (2, 2), bytes(8))),
        npz(walls=npy("|u1", (2, 8), bytes(16), order=True), ends=npy("<u2", (2, 2), bytes(8))),
        npz(walls=npy("|u1", "-" * 5000 + "1", b""), ends=npy("<u2", (2, 2), bytes(8))),
        npz(zipfile.ZIP_BZIP2, walls=np.zeros((2, 8), np.uint8), ends=np.zeros((2, 2), np.uint16)),
        npz(walls=np.zeros((2, 8), np.uint8)),
        b"PK\x05\x06" + bytes(18),
        b"",
    ],
    ids=["shape", "width", "count", "place", "object", "order", "header", "bzip2", "missing", "empty zip", "empty"],
)
def test_maze_bundles(tmp_path: Path, content: bytes) -> None:
    from trm_task_maze.bundle import load

    with pytest.raises(BadInput):
        load(write(tmp_path / "b.npz", content), 8)


def test_dimensions_of_thousands_of_digits(tmp_path: Path) -> None:
    _, _, make = BOMBS["header numbers"]
    with pytest.raises(BadInput, match="makes no sense"):
        safetensors_metadata(write(tmp_path / "w.safetensors", make()))


@pytest.mark.parametrize(
    "change",
    [
        {"hidden_size": 1 << 40},
        {"layers": 10**9},
        {"layers": True},
        {"expansion": "4"},
        {"expansion": float("nan")},
        {"expansion": 1e300},
        {"puzzle_dim": -1},
        {"prefix": "16"},
        {"table_rows": 10**8, "puzzle_dim": 32},
        {"rope_theta": None},
        {"hidden_size": 6, "heads": 4},
    ],
    ids=str,
)
def test_a_configuration_cannot_ask_for_what_the_file_lacks(tmp_path: Path, change: dict[str, Any]) -> None:
    from tests.test_fuzz import tiny
    from trm_harness.nn.checkpoint import load_weights

    (model, _), _ = tiny()
    path = tmp_path / "tiny.safetensors"
    model.save(path, "")
    load_weights(path, model.architecture)
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    header["__metadata__"]["config"] = json.dumps({**json.loads(header["__metadata__"]["config"]), **change})
    text = json.dumps(header).encode()
    write(path, len(text).to_bytes(8, "little") + text + content[8 + size :])
    with pytest.raises(BadInput):
        load_weights(path, model.architecture)


@pytest.mark.parametrize("training", ["[1]", "7", NESTS, DIGITS], ids=["list", "number", "deep", "digits"])
def test_a_declaration_of_training_is_a_table(tmp_path: Path, training: str) -> None:
    from trm_harness.loading.load import declared

    content = weights("trm-toy.arc")
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    header["__metadata__"]["training"] = training
    text = json.dumps(header).encode()
    path = write(tmp_path / "w.safetensors", len(text).to_bytes(8, "little") + text + content[8 + size :])
    with pytest.raises(BadInput, match="declaration"):
        declared(None, path)


def test_a_checkpoint_with_packed_parts_is_refused_before_they_are_unpacked(tmp_path: Path) -> None:
    import torch

    from trm_harness.convert.unpickle import read_checkpoint

    plain, packed = tmp_path / "plain.pt", tmp_path / "packed.pt"
    torch.save({"w": torch.zeros(1000)}, plain)
    assert read_checkpoint(plain)[0].keys() == {"w"}
    with zipfile.ZipFile(plain) as before, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as after:
        for name in before.namelist():
            after.writestr(name, before.read(name))
    with pytest.raises(BadInput, match="compressed"):
        read_checkpoint(packed)


def greedy_xz() -> bytes:
    """A small stream whose block header asks for a window of 1.5 GiB."""
    content = bytearray(lzma.compress(journal_line() * 3))
    # Stream header 12 bytes; block header: size, flags, filter id, size of properties, dictionary size.
    assert content[14:16] == b"\x21\x01"
    content[16] = 37
    size = (content[12] + 1) * 4
    content[12 + size - 4 : 12 + size] = zlib.crc32(content[12 : 12 + size - 4]).to_bytes(4, "little")
    return bytes(content)


@pytest.mark.parametrize(
    "content",
    [greedy_xz(), lzma.compress(bytes(40 << 20)), lzma.compress(journal_line())[:-9], b"\xfd7zXZ\x00", b"plain", b""],
    ids=["window", "zeros", "cut", "head", "plain", "empty"],
)
def test_packed_journals(tmp_path: Path, content: bytes) -> None:
    write(tmp_path / "right" / "journal.jsonl.xz", lzma.compress(journal_line() * 3))
    assert len(list(journal.read(tmp_path / "right" / "journal.jsonl"))) == 3
    write(tmp_path / "journal.jsonl.xz", content)
    with pytest.raises(BadInput, match=r"is damaged|cannot be read"):
        list(journal.read(tmp_path / "journal.jsonl"))


def test_a_packed_journal_is_compared_without_unpacking_more_than_it_should_hold() -> None:
    from trm_harness.leaderboard.check import _unpacks_to

    assert _unpacks_to(lzma.compress(b"abc"), b"abc")
    assert not _unpacks_to(lzma.compress(b"abcd"), b"abc")
    assert not _unpacks_to(lzma.compress(bytes(40 << 20)), b"abc")
    assert not _unpacks_to(greedy_xz(), journal_line() * 3)
    assert not _unpacks_to(b"plain", b"abc")


def test_an_endless_reply_is_read_from_its_end() -> None:
    from trm_model_llm.reply import LONGEST_REPLY, read_grid

    grid = read_grid("9 9\n" * LONGEST_REPLY + "so:\n```\n1 2\n3 4\n```", 10)
    assert grid is not None
    assert grid.tolist() == [[1, 2], [3, 4]]


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "nowhere", tmp_path / "folder"):
        with pytest.raises(BadInput, match=path.name):
            read.read_text(path, 10, "a note")
    assert read.read_text(write(tmp_path / "ten", "0123456789"), 10, "a note") == "0123456789"
    with pytest.raises(BadInput, match="too large for a note: at most 10 bytes"):
        read.read_text(write(tmp_path / "eleven", "01234567890"), 10, "a note")
    os.truncate(write(tmp_path / "sparse", b"{"), 1 << 40)
    with pytest.raises(BadInput, match="too large for a JSON file: at most 16 MiB"):
        read.read_json(tmp_path / "sparse")
