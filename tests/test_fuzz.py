"""Whatever bytes a file holds, its loader gives a value or one clear error, within a bound of memory and time.

Every loader of something that may come from somebody else is here. ``tests/fuzzing.py`` says how to try more.
"""

from __future__ import annotations

import functools
import io
import json
import os
import struct
import subprocess
import sys
import tempfile
import textwrap
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import ROOT
from tests.fuzzing import (
    budget,
    damaged_bytes,
    damaged_csv,
    damaged_data,
    damaged_json,
    damaged_toml,
    dumped,
    tame,
    write,
)
from tests.zoo_cards import card_toml, weights
from trm_harness.api import evaluate
from trm_harness.inference.plan_file import StoredPlan
from trm_harness.leaderboard.rows import read_records, read_reported
from trm_harness.record import journal
from trm_harness.record import read as read_record
from trm_harness.record.replay import frames
from trm_harness.scoring import compare
from trm_harness.zoo import read_card, safetensors_metadata

_scratch = tempfile.TemporaryDirectory()
RUN = Path(_scratch.name) / "run"
"""A real run, made here: filed records are packed."""
evaluate("sudoku-4x4", "random", limit=8, out=RUN)
ARC_TASK = {
    "train": [{"input": [[0, 1], [2, 3]], "output": [[3]]}, {"input": [[5]], "output": [[5, 5]]}],
    "test": [{"input": [[9, 9]], "output": [[1], [2]]}, {"input": [[4]]}],
}
CHALLENGES = {"a1": {"train": ARC_TASK["train"], "test": [{"input": [[9]]}, {"input": [[8]]}]}}
SOLUTIONS = {"a1": [[[1]], [[2, 2]]]}
CARD = card_toml("trm-toy.arc", "ab" * 32, {})
RECIPE = "\n".join(
    ["batch_size = 8", 'optimizer = "muon"', "seed = 0", "compile = false", "ema_rate = 0.9", "[source]", "puzzles = 3"]
    + ["[[stage]]", "steps = 4", "lr = 1e-3", "lr_end = 1e-4", "warmup = 2"]
)
SUDOKU = "source,question,answer,rating\nmine,.2341.2.2.43.321,1234341221434321,3\n"
MAZE = "source,question,answer,rating\nmine,S  # G###,SoG# G###,2\nmine,S  #### G,Soo##o##G,4\n"
REPORTED = (ROOT / "leaderboards" / "reported" / "maze-hard.csv").read_text().splitlines()
PUZZLES = "\n".join((RUN / "puzzles.csv").read_text().splitlines()[:6])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all examples of a loader: each overwrites the file of the one before."""
    return tmp_path_factory.mktemp("fuzz")


def show_record(path: Path) -> None:
    """What `runs show`, `runs show --json` and the tables do with a record."""
    from trm_harness.cli import report
    from trm_harness.cli.options import plain
    from trm_harness.cli.runs import charts
    from trm_harness.leaderboard.board import build
    from trm_harness.leaderboard.tables import render

    record = read_record(path)
    report.text(record)
    charts.text(record.model_dump(mode="json"))
    json.dumps(plain(record), allow_nan=False)
    rows, problems = read_records([path])
    assert not problems
    for row in rows:
        for form in ("table", "md", "csv", "json"):
            render(build(rows, row.task), form)


@pytest.mark.parametrize("load", [read_record, show_record], ids=["read", "shown"])
@budget
@given(data=st.data())
def test_records(folder: Path, load: Callable[[Path], Any], data: st.DataObject) -> None:
    valid = json.loads((RUN / "run.json").read_text())
    path = write(folder / "run.json", data.draw(damaged_json(valid)))
    tame(lambda: load(path))


@budget
@given(content=damaged_json(json.loads((RUN / "plan.json").read_text())))
def test_plans(folder: Path, content: bytes) -> None:
    write(folder / "plan.json", content)
    tame(lambda: StoredPlan.load(folder))


@budget
@given(content=damaged_bytes(b"".join((RUN / "journal.jsonl").read_bytes().splitlines(keepends=True)[:4])))
def test_journals(folder: Path, content: bytes) -> None:
    path = write(folder / "journal.jsonl", content)
    tame(lambda: list(journal.read(path)))
    tame(lambda: journal.recover(path))


@budget
@given(data=st.data())
def test_journals_with_right_checksums(folder: Path, data: st.DataObject) -> None:
    """Lines that somebody wrote on purpose: the checksum is a check of damage, not of who wrote it."""
    line = (RUN / "journal.jsonl").read_text().splitlines()[0]
    body = dumped(data.draw(damaged_data(json.loads(line)[:-1])))[:-1].encode()
    path = write(folder / "journal.jsonl", body + f',"{zlib.crc32(body):08x}"]\n'.encode())
    tame(lambda: [frames(entry) for entry in journal.scan(path)])


@budget
@given(content=damaged_csv(PUZZLES), step=st.none() | st.integers(1, 9))
def test_tables_of_puzzles(content: bytes, step: int | None) -> None:
    lines = content.decode("utf-8", "replace").splitlines(keepends=True)
    tame(lambda: compare.outcomes(lines, step))


@budget
@given(content=damaged_json(ARC_TASK))
def test_arc_tasks(folder: Path, content: bytes) -> None:
    from trm_task_arc import data

    write(folder / "arc" / "evaluation" / "t1.json", content)
    tame(lambda: data.puzzles_of(data.folder(folder / "arc", "evaluation").tasks))


@budget
@given(data=st.data())
def test_kaggle_files(folder: Path, data: st.DataObject) -> None:
    from trm_task_arc.data import kaggle

    spoil = data.draw(st.sampled_from(["challenges", "solutions", "both"]))
    contents = {
        name: data.draw(damaged_json(valid)) if spoil in (name, "both") else json.dumps(valid).encode()
        for name, valid in (("challenges", CHALLENGES), ("solutions", SOLUTIONS))
    }
    paths = [write(folder / f"x_{name}.json", content) for name, content in contents.items()]
    tame(lambda: kaggle(*paths))


@budget
@given(content=damaged_csv(SUDOKU))
def test_sudoku_files(folder: Path, content: bytes) -> None:
    from trm_task_sudoku.files import read

    path = write(folder / "sudoku.csv", content)
    tame(lambda: read(path, "test", 4))


@budget
@given(data=st.data())
def test_large_sudoku_files(folder: Path, data: st.DataObject) -> None:
    from trm_task_sudoku.table import Table

    bundled = ROOT / "plugins" / "trm_task_sudoku" / "data" / "sudoku-9x9" / "test.csv"
    path = write(folder / "table.csv", data.draw(damaged_csv("\n".join(bundled.read_text().splitlines()[:4]))))
    tame(lambda: Table(path).read())


@budget
@given(content=damaged_csv(MAZE))
def test_maze_files(folder: Path, content: bytes) -> None:
    from trm_task_maze.files import read

    path = write(folder / "maze.csv", content)
    tame(lambda: read(path, "test", 3))


@budget
@given(data=st.data())
def test_maze_bundles(folder: Path, data: st.DataObject) -> None:
    from trm_task_maze.bundle import load

    valid = npz(walls=np.zeros((2, 8), np.uint8), ends=np.array([[0, 9], [1, 63]], np.uint16))
    path = write(folder / "bundle.npz", data.draw(damaged_bytes(valid) | arrays()))
    tame(lambda: load(path, 8))


@budget
@given(content=damaged_csv("\n".join(REPORTED[:5])))
def test_reported_scores(folder: Path, content: bytes) -> None:
    write(folder / "reported" / "x.csv", content)
    tame(lambda: read_reported([folder / "reported"]))


@budget
@given(content=damaged_toml(CARD))
def test_cards(folder: Path, content: bytes) -> None:
    path = write(folder / "trm-toy.arc" / "card.toml", content)
    tame(lambda: read_card(path).mapping())


@budget
@given(content=damaged_toml(RECIPE))
def test_recipes(folder: Path, content: bytes) -> None:
    from trm_harness.train.recipe import read_recipe

    path = write(folder / "recipe.toml", content)
    tame(lambda: read_recipe(path).as_dict())


@budget
@given(data=st.data())
def test_safetensors_headers(folder: Path, data: st.DataObject) -> None:
    valid = weights("trm-toy.arc")
    size = int.from_bytes(valid[:8], "little")
    header = dumped(data.draw(damaged_data(json.loads(valid[8 : 8 + size])))).encode()
    spoiled = len(header).to_bytes(8, "little") + header + valid[8 + size :]
    path = write(folder / "weights.safetensors", data.draw(st.just(spoiled) | damaged_bytes(valid)))
    tame(lambda: safetensors_metadata(path))


@functools.cache
def tiny() -> tuple[Any, Any]:
    """A model of a few hundred weights, and what it was trained on."""
    from tests.train.test_training import parts
    from trm_harness.train.recipe import Recipe, Stage

    recipe = Recipe(stages=(Stage(steps=4, lr=1e-3, lr_end=1e-3),), batch_size=2, dtype="float32")
    return parts(recipe), recipe


@budget
@given(data=st.data())
def test_weights_that_say_what_they_are(folder: Path, data: st.DataObject) -> None:
    """The configuration in a weights file decides what is built: nobody's numbers may decide how much of it."""
    from trm_harness.nn.checkpoint import load_weights

    (model, _), _ = tiny()
    path = folder / "tiny.safetensors"
    model.save(path, "")
    valid = path.read_bytes()
    size = int.from_bytes(valid[:8], "little")
    header = json.loads(valid[8 : 8 + size])
    told = {name: json.loads(header["__metadata__"][name]) for name in ("config", "identities", "encoding")}
    header["__metadata__"] |= {name: dumped(value) for name, value in data.draw(damaged_data(told)).items()}
    text = json.dumps(header).encode()
    write(path, len(text).to_bytes(8, "little") + text + valid[8 + size :])
    tame(lambda: load_weights(path, model.architecture))


@budget
@given(data=st.data())
def test_training_checkpoints(folder: Path, data: st.DataObject) -> None:
    from trm_harness.train.checkpoint import load_checkpoint, save_checkpoint
    from trm_harness.train.learner import Learner

    (model, source), recipe = tiny()
    learner = Learner(model, source, recipe)
    saved = save_checkpoint(folder / "checkpoints", learner, {"seconds": 1.0})
    state = data.draw(damaged_json(json.loads((saved / "state.json").read_text())))
    write(saved / "state.json", state)
    if data.draw(st.booleans()):
        tensors = (saved / "state.safetensors").read_bytes()
        head = 8 + int.from_bytes(tensors[:8], "little")
        write(saved / "state.safetensors", data.draw(damaged_bytes(tensors[:head])) + tensors[head:])
    tame(lambda: load_checkpoint(folder / "checkpoints", learner))


@functools.cache
def foreign() -> bytes:
    """A checkpoint as torch writes it."""
    import torch

    out = io.BytesIO()
    torch.save({"ema": {"a.weight": torch.zeros(4, 4), "b": torch.ones(3)}, "step": 7}, out)
    return out.getvalue()


@budget
@given(data=st.data())
def test_foreign_checkpoints(folder: Path, data: st.DataObject) -> None:
    from trm_harness.convert.unpickle import read_checkpoint

    path = write(folder / "foreign.pt", data.draw(damaged_bytes(foreign()) | st.binary(max_size=80)))
    # Read to the last value: a mapped tensor that leads out of the file would end the process.
    tame(lambda: [tensor.float().sum() for tensor in read_checkpoint(path)[0].values()])


YAML = "arch:\n  hidden_size: 64\n  num_heads: 4\n  L_layers: 2\n  H_cycles: 3\n  L_cycles: 6\n  mlp_t: false\n"


@budget
@given(content=damaged_bytes(YAML.encode()) | damaged_json({"arch": {"hidden_size": 64, "num_heads": 4}}))
def test_configurations_of_the_reference(folder: Path, content: bytes) -> None:
    from trm_harness.convert.infer import from_file
    from trm_model_trm.model import ARCHITECTURE

    path = write(folder / "all_config.yaml", content)
    tame(lambda: from_file(ARCHITECTURE, path))


@budget
@given(text=st.text(alphabet="0123456789 ,[]|\n`-=+;row:</think>", max_size=200), symbols=st.integers(1, 40))
def test_replies_of_language_models(text: str, symbols: int) -> None:
    from trm_model_llm.reply import read_grid

    grid = read_grid(text, symbols)
    assert grid is None or (grid.ndim == 2 and grid.size and grid.max() < symbols)


def npz(compression: int = zipfile.ZIP_DEFLATED, **arrays: Any) -> bytes:
    """A bundle; a value is an array, or the bytes of a member as they are."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as bundle:
        for name, value in arrays.items():
            bundle.writestr(
                f"{name}.npy", value if isinstance(value, bytes) else npy(value.dtype.str, value.shape, value.tobytes())
            )
    return out.getvalue()


def npy(descr: Any, shape: Any, data: bytes, order: bool = False) -> bytes:
    """A member whose header says whatever it is told to."""
    head = f"{{'descr': {descr!r}, 'fortran_order': {order}, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + data


@st.composite
def arrays(draw: st.DrawFn) -> bytes:
    """A bundle with members that claim anything."""
    claims = st.tuples(
        st.sampled_from(["|u1", "<u2", "|O", "<f8", "|V3", [("a", "<i4")], "|S0", "nonsense", "('<i4', (2**40,))"]),
        st.sampled_from(
            [
                "(2, 8)",
                "(2, 2)",
                "(2,)",
                "()",
                "(-1, 8)",
                "(2**62, 4)",
                "(1.5, 2)",
                "('a',)",
                "[2, 2]",
                "-" * 3000 + "1",
            ]
        ),
        st.binary(max_size=40) | st.just(bytes(16)),
        st.booleans(),
    )
    names = draw(st.sets(st.sampled_from(["walls", "ends", "other"]), min_size=1))
    compression = draw(st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2]))
    return npz(compression, **{name: npy(*draw(claims)) for name in sorted(names)})


# -- bounds ---------------------------------------------------------------------------------------------------------

BOUND = 400 << 20
SECONDS = 20.0
SPARSE = 2 << 30
"""Bytes of a file that takes no room on the disk: zeros that nobody wrote."""

LOAD = textwrap.dedent(
    """
    import json, resource, sys, time
    from pathlib import Path
    from trm_harness.errors import BadInput
    from trm_harness import zoo
    from trm_harness.inference.plan_file import StoredPlan
    from trm_harness.leaderboard.rows import read_reported
    from trm_harness.nn.checkpoint import load_weights
    from trm_harness.record import journal, read
    from trm_harness.train.recipe import read_recipe
    from trm_model_trm.model import ARCHITECTURE
    from trm_task_arc import data
    from trm_task_maze import bundle, files as mazes
    from trm_task_sudoku import files as sudokus

    LOADERS = {
        "npz": lambda path: bundle.load(path, 8),
        "safetensors": lambda path: load_weights(path, ARCHITECTURE),
        "header": zoo.safetensors_metadata,
        "json": read,
        "arc": lambda path: data.folder(path.parent, "evaluation"),
        "plan": lambda path: StoredPlan.load(path.parent),
        "toml": zoo.read_card,
        "recipe": read_recipe,
        "jsonl": lambda path: list(journal.read(path)),
        "sudoku": lambda path: sudokus.read(path, "test", 4),
        "maze": lambda path: mazes.read(path, "test", 3),
        "reported": lambda path: read_reported([path.parent]),
    }
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + int(sys.argv[1]),) * 2)
    for line in sys.stdin:
        name, kind, path = json.loads(line)
        began = time.monotonic()
        try:
            LOADERS[kind](Path(path))
            told = "loaded"
        except BaseException as error:
            told = f"{type(error).__name__}: {error}"
        print(json.dumps([name, told, time.monotonic() - began]), flush=True)
    """
)


def zeros(size: int) -> bytes:
    """A deflated bundle of one array of so many zeros, written without holding them."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as bundle:
        with bundle.open("walls.npy", "w") as member:
            member.write(npy("|u1", (size // 8, 8), b""))
            for _ in range(size >> 20):
                member.write(bytes(1 << 20))
        bundle.writestr("ends.npy", npy("<u2", (0, 2), b""))
    return out.getvalue()


def lying_zip() -> bytes:
    """A bundle whose directory says 200 bytes for a member that inflates to megabytes."""
    content = zeros(32 << 20)
    with zipfile.ZipFile(io.BytesIO(content)) as bundle:
        size = bundle.getinfo("walls.npy").file_size
    return content.replace(struct.pack("<L", size), struct.pack("<L", 200))


def safetensors(header: bytes, length: int | None = None) -> bytes:
    return (len(header) if length is None else length).to_bytes(8, "little") + header


def greedy_weights(**config: int) -> bytes:
    """A file of a few hundred bytes whose configuration asks for terabytes, or for a million layers."""
    sizes = {"vocab_size": 6, "seq_len": 16, "hidden_size": 64, "positions": "none", "mixer": "mlp", "prefix": 1}
    metadata = {
        "format": "trm-harness",
        "architecture": "trm",
        "config": json.dumps(sizes | config),
        "identities": "[]",
    }
    return safetensors(json.dumps({"__metadata__": metadata}).encode())


def shape_bomb() -> bytes:
    return npz(walls=npy("|u1", (2**40, 8), b"x" * 80), ends=npy("<u2", (2, 2), bytes(8)))


def lzma_bomb() -> bytes:
    return npz(zipfile.ZIP_LZMA, walls=np.zeros((2, 8), np.uint8), ends=np.zeros((2, 2), np.uint16))


def number_bomb() -> bytes:
    entry = b'{"a":{"dtype":"F32","data_offsets":[0,4],"shape":['
    return safetensors(entry + b",".join([b"9" * 4000] * 4000) + b"]}}")


BOMBS: dict[str, tuple[str, str, Callable[[], bytes]]] = {
    "zeros": ("npz", "b.npz", lambda: zeros(96 << 20)),
    "shape": ("npz", "b.npz", shape_bomb),
    "lying": ("npz", "b.npz", lying_zip),
    "lzma": ("npz", "b.npz", lzma_bomb),
    "header length": ("header", "w.safetensors", lambda: safetensors(b"{}", 2**62)),
    "header numbers": ("header", "w.safetensors", number_bomb),
    "header nesting": ("header", "w.safetensors", lambda: safetensors(b"[" * 1_000_000)),
    "hidden size": ("safetensors", "w.safetensors", lambda: greedy_weights(hidden_size=1 << 26, heads=1)),
    "puzzle table": ("safetensors", "w.safetensors", lambda: greedy_weights(table_rows=100_000_000, puzzle_dim=64)),
    "layers": ("safetensors", "w.safetensors", lambda: greedy_weights(layers=10**9)),
    "endless json": ("json", "run.json", lambda: b"{"),
    "deep json": ("json", "run.json", lambda: b"[" * 10_000_000),
    "long number": ("json", "run.json", lambda: b'{"schema_version": ' + b"9" * 10_000_000 + b"}"),
    "dense json": ("json", "run.json", lambda: b"[" + b"[]," * (5 << 20) + b"[]]"),
    "endless task": ("arc", "evaluation/t.json", lambda: b"{"),
    "deep task": ("arc", "t.json", lambda: b'{"train": ' + b"[" * 10_000_000),
    "deep plan": ("plan", "plan.json", lambda: b'{"plan": ' * 1_000_000),
    "endless card": ("toml", "a/card.toml", lambda: b"x = 1\n"),
    "dotted card": ("toml", "a/card.toml", lambda: b"a." * 30_000 + b"a = 1\n"),
    "spaced dots": ("toml", "a/card.toml", lambda: b"a\t. " * 15_000 + b"a = 1\n"),
    "quoted dots": ("toml", "a/card.toml", lambda: ("a." * 40 + '"x y".' + "'\u2028'.").encode() * 600 + b"a = 1\n"),
    "dots behind a string": (
        "toml",
        "a/card.toml",
        lambda: b'x = { a = """ \' """, ' + b"b." * 25_000 + b"'q' = 1 }\n",
    ),
    "quotes without end": ("toml", "a/card.toml", lambda: b"a." * 99 + b'"' + b'\\"' * 30_000 + b"\n"),
    "dotted header": ("recipe", "r.toml", lambda: b"[" + b"a." * 30_000 + b"a]\n"),
    "nested recipe": ("recipe", "r.toml", lambda: b"x = " + b"[" * 60_000),
    "endless line": ("jsonl", "journal.jsonl", lambda: b"x"),
    "endless sudoku": ("sudoku", "test.csv", lambda: SUDOKU.encode() + b"mine,"),
    "quoted maze": ("maze", "test.csv", lambda: MAZE.encode() + b'mine,"' + b"S\n" * (1 << 20)),
    "wide scores": ("reported", "x.csv", lambda: "\n".join(REPORTED[:2]).encode() + b"\n" + b"a" * 10_000_000),
}


@pytest.fixture(scope="module")
def met(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, float]]:
    """What became of each bomb in one process that may take :data:`BOUND` bytes more than it had: answer, seconds."""
    lines = []
    for place, (name, (kind, file, make)) in enumerate(BOMBS.items()):
        path = write(tmp_path_factory.mktemp(f"bomb{place}") / file, make())
        if name.startswith("endless"):
            os.truncate(path, SPARSE)
        lines.append(json.dumps([name, kind, str(path)]))
    done = subprocess.run(
        [sys.executable, "-c", LOAD, str(BOUND)],
        input="\n".join(lines),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    answers = list(map(json.loads, done.stdout.splitlines()))
    assert len(answers) == len(BOMBS), done.stderr[-2000:]
    return {name: (told, seconds) for name, told, seconds in answers}


@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory as Linux has them")
@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_within_bounds(met: dict[str, tuple[str, float]], name: str) -> None:
    told, seconds = met[name]
    assert told.startswith("BadInput: "), told[:500]
    assert len(told) < 1000
    assert seconds < SECONDS
