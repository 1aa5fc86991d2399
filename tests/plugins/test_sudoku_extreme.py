"""Sudoku-Extreme: the fast reader against the plain one, the draw against the reference's, the hub, and the record."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest

from tests.hub_server import Hub, serving
from tests.parity_files import golden, meta_of
from trm_harness import registry
from trm_harness.contracts import Task, TrainingSource
from trm_harness.errors import BadInput
from trm_harness.record import training_of
from trm_harness.specs import TaskSpec
from trm_task_sudoku import files
from trm_task_sudoku.extreme import ExtremeSudoku, extreme
from trm_task_sudoku.table import Table

from .sudoku_tasks import task

HEADER = "source,question,answer,rating"
ROWS = 60
COMMIT = "0123456789abcdef" * 2 + "01234567"


def spec(**options: object) -> TaskSpec:
    """The task with other options; without pins unless they are given: files made here are not the published ones."""
    declared = registry.default().tasks.spec("sudoku-extreme")
    options = {"revision": "main", "files": {}, **options}
    return replace(declared, options={**declared.options, **options})


def write(folder: Path, train: int = ROWS, test: int = 12) -> Path:
    """Both files, with the generated 9x9 sets in place of the published puzzles."""
    folder.mkdir(exist_ok=True)
    files.write(folder / "train.csv", "made-here", task(9).puzzles("validation")[:train])
    files.write(folder / "test.csv", "made-here", task(9).puzzles("test")[:test])
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path / "data")


def test_registered_and_keeps_the_contract(folder: Path) -> None:
    catalog = registry.default().tasks
    declared = catalog.spec("sudoku-extreme")
    subject = catalog.resolve(declared.id)(declared, folder)
    assert isinstance(subject, Task)
    assert isinstance(subject, ExtremeSudoku)
    assert (declared.vocab_size, declared.seq_len, declared.splits) == (11, 81, ("train", "validation", "test"))
    assert (declared.options["subsample"], declared.options["seed"]) == (1000, 42)


def test_the_fast_reader_reads_what_the_plain_one_reads(folder: Path) -> None:
    fast, plain = extreme(spec(), folder).puzzles("test"), files.read(folder / "test.csv", "test", 9)
    assert len(fast) == len(plain) == 12
    for one, other in zip(fast, plain, strict=True):
        assert np.array_equal(one.input, other.input)
        assert np.array_equal(one.answer, other.answer)
        assert one.input.dtype == one.answer.dtype == np.uint8
        assert one.facts == other.facts
    assert [puzzle.id for puzzle in fast[:2]] == ["test-0000000", "test-0000001"]
    assert fast[-1].id == "test-0000011"
    with pytest.raises(IndexError):
        fast[12]
    with pytest.raises(ValueError, match="read-only"):
        fast[0].input[0, 0] = 1


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.removesuffix("\n"),
        lambda text: text.replace("made-here", "a, quoted; name"),
        lambda text: text.replace("made-here", ""),
    ],
    ids=["crlf", "no last line break", "comma in the source", "no source"],
)
def test_other_ways_to_write_the_same_file(folder: Path, change: Callable[[str], str]) -> None:
    before = extreme(spec(), folder).puzzles("test")
    text = (folder / "test.csv").read_text()
    (folder / "test.csv").write_bytes(change(text).encode())
    after = extreme(spec(), folder).puzzles("test")
    assert np.array_equal(after.boards.grids, before.boards.grids)
    assert np.array_equal(after.boards.ratings, before.boards.ratings)


def test_a_file_of_many_blocks_is_read_in_order(tmp_path: Path) -> None:
    lines = (write(tmp_path / "data") / "test.csv").read_text().splitlines()[1:]
    chosen = np.random.default_rng(3).integers(0, len(lines), 40_000)
    path = tmp_path / "many.csv"
    many = "\n".join(f"{lines[row].rpartition(',')[0]},{place}" for place, row in enumerate(chosen.tolist()))
    path.write_text(f"{HEADER}\n{many}\n")
    table = Table(path)
    boards = table.read()
    assert len(table) == 40_000
    assert np.array_equal(boards.ratings, np.arange(40_000))
    originals = np.stack([[p.input, p.answer] for p in task(9).puzzles("test")[:12]])
    assert np.array_equal(boards.grids, originals[chosen])
    some = table.read(np.array([39_999, 7, 20_000]))
    assert some.ratings.tolist() == [39_999, 7, 20_000]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda row: row.replace(",", ";"),
        lambda row: row[:-2],
        lambda row: row + "x",
        lambda row: row.rpartition(",")[0] + ",-3",
        lambda row: row.rpartition(",")[0] + ",1.5.2",
        lambda row: row.rpartition(",")[0] + ",nan",
        lambda row: row.rpartition(",")[0] + ",12345678901",
        lambda row: row.replace(".", "x", 1),
        lambda row: row.replace(".", "", 1),
        lambda row: row.replace(".", "..", 1),
        lambda row: row[: row.rindex(",") - 1] + "." + row[row.rindex(",") :],
        lambda row: row[: row.rindex(",") - 2] + row[row.rindex(",") - 2 : row.rindex(",")][::-1] + ",0",
        lambda row: row.partition(",")[2],
    ],
)
def test_a_wrong_line_is_named(folder: Path, spoil: Callable[[str], str]) -> None:
    path = folder / "test.csv"
    lines = path.read_text().splitlines()
    lines[7] = spoil(lines[7])
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(BadInput, match=r"test\.csv, line 8: .*correct or remove") as caught:
        extreme(spec(), folder).puzzles("test")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "empty"),
        ("answer,rating\n1,2\n", "does not start with"),
        (HEADER, "holds no puzzles"),
        (f"{HEADER}\n", "holds no puzzles"),
        (f"{HEADER}\na,b\n", "line 2"),
        (None, "no test.csv for the split test, only train"),
    ],
)
def test_wrong_files_are_refused(folder: Path, text: str | None, complaint: str) -> None:
    path = folder / "test.csv"
    path.unlink()
    if text is not None:
        path.write_text(text)
    with pytest.raises(BadInput, match=complaint):
        extreme(spec(), folder).puzzles("test")


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="not a folder"):
        extreme(spec(), tmp_path / "nothing")


def test_the_training_puzzles_are_the_references_own_draw(folder: Path) -> None:
    subject = extreme(spec(subsample=20, validation_size=5), folder)
    np.random.seed(42)
    wanted = np.random.choice(ROWS, 20, replace=False)
    assert [puzzle.id for puzzle in subject.puzzles("train")] == [f"train-{place:07d}" for place in wanted]
    plain = files.read(folder / "train.csv", "train", 9)
    for puzzle, place in zip(subject.puzzles("train"), wanted, strict=True):
        assert np.array_equal(puzzle.input, plain[place].input)
        assert puzzle.facts == plain[place].facts


def drawn(file: Path) -> bool:
    """Whether a data set of the reference's builder is a draw from a file like Sudoku-Extreme's."""
    meta = meta_of(file)
    size = meta["config"].get("subsample_size")
    if not size or meta["config"].get("min_difficulty") or meta["dataset_json"]["train"]["seq_len"] != 81:
        return False
    return size < len(files.read(file.with_name("train.csv"), "train", 9))


@pytest.mark.parametrize("file", [c for c in golden("data/sudoku_build/expected_*.npz") if drawn(c.values[0])])
def test_the_draw_rebuilds_the_references_subsample(file: Path) -> None:
    meta = meta_of(file)
    config, options = meta["config"], {"seed": meta["np_random_seed"], "validation_size": 0}
    subject = extreme(spec(subsample=config["subsample_size"], **options), file.parent)
    puzzles = subject.puzzles("train")
    copies = 1 + config.get("num_aug", 0)
    with np.load(file) as expected:
        # Each puzzle is followed by its shuffles.
        assert np.array_equal(np.stack([subject.encode(p).tokens for p in puzzles]), expected["train.inputs"][::copies])
        labels = np.stack([subject.labels(p, subject.encode(p)) for p in puzzles])
        assert np.array_equal(labels, expected["train.labels"][::copies])


def test_validation_is_never_drawn(folder: Path) -> None:
    subject = extreme(spec(subsample=20, validation_size=6), folder)
    held = {puzzle.id.partition("-")[2] for puzzle in subject.puzzles("validation")}
    assert len(held) == 6
    for options in ({}, {"subsample": None}, {"subsample_seed": 7}, {"subsample": 54, "subsample_seed": 1}):
        source = subject.training_source(0, {}, options)
        drawn = {puzzle.id.partition("-")[2] for puzzle in source._puzzles}
        assert not held & drawn
        assert len(drawn) == {None: 54, 54: 54}.get(options.get("subsample", 20), 20)
    with pytest.raises(BadInput, match="use 1 to 54"):
        subject.training_source(0, {}, {"subsample": 55})
    with pytest.raises(BadInput, match="use 1 to 54"):
        subject.training_source(0, {}, {"subsample": 0})


def test_a_small_file_gives_what_it_has(folder: Path) -> None:
    subject = extreme(spec(), folder)
    assert (len(subject.puzzles("train")), len(subject.puzzles("validation"))) == (54, 6)


def places_sha256(places: np.ndarray) -> str:
    return hashlib.sha256(places.astype("<i8").tobytes()).hexdigest()


def test_sources_say_which_file_and_which_puzzles(folder: Path) -> None:
    subject = extreme(spec(subsample=20), folder)
    train, test = subject.source("train"), subject.source("test")
    order = np.random.RandomState(42).permutation(ROWS)
    assert places_sha256(order[:20]) in train.notes
    assert "20 of 60 puzzles" in train.notes
    assert "RandomState(42)" in train.notes
    assert places_sha256(order[-6:]) in subject.source("validation").notes
    for source, name in ((train, "train.csv"), (test, "test.csv")):
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() in source.notes
    assert (train.n_puzzles, test.n_puzzles) == (20, 12)
    assert extreme(spec(subsample=20, seed=43), folder).source("train").sha256 != train.sha256
    assert extreme(spec(subsample=20), folder).source("train") == train
    content = b"".join(p.input.tobytes() + p.answer.tobytes() for p in subject.puzzles("test"))
    assert test.sha256 == hashlib.sha256(content).hexdigest()


def test_training_declares_its_draw(folder: Path) -> None:
    subject = extreme(spec(subsample=20), folder)
    source = subject.training_source(3, {}, {"subsample": 10, "subsample_seed": 5, "puzzles": 8})
    assert isinstance(source, TrainingSource)
    entry = training_of({"training": source.declaration}).data[0]
    order = [place for place in np.random.RandomState(5).permutation(ROWS) if place not in subject._held_out]
    assert places_sha256(np.array(order[:10])) in entry.notes
    assert "the first 8 of 10" in entry.notes
    assert entry.puzzles == 8
    assert source.draw("all", 0, 16).tokens.shape == (16, 81)
    plain = subject.training_source(3, {}, {"augment": False}).draw("all", 0, 64).tokens
    shown = {tokens.tobytes() for tokens in plain}
    assert shown <= {(puzzle.input.ravel() + 1).astype(np.int32).tobytes() for puzzle in subject.puzzles("train")}
    with pytest.raises(BadInput, match="'sides'"):
        subject.training_source(0, {}, {"sides": 4})


@pytest.fixture
def hub(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """A hub with both files, as large files are stated there, and this process its client."""
    pytest.importorskip("huggingface_hub")
    with serving() as running:
        running.large = True
        for name, value in running.environment(tmp_path / "home").items():
            monkeypatch.setenv(name, value)
        for name in ("train.csv", "test.csv"):
            running.put("sapientinc/sudoku-extreme", name, (folder / name).read_bytes())
        yield running


def test_hub_files_are_fetched_checked_and_kept(hub: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subject = extreme(spec())
    test = subject.source("test")
    # Evaluating never downloads the training file, eight times as large.
    assert [path.rpartition("/")[2] for path in hub.downloads()] == ["test.csv"]
    commit = hub.repositories["dataset", "sapientinc/sudoku-extreme"].commit
    assert (test.name, test.version) == ("sapientinc/sudoku-extreme", commit)
    assert hashlib.sha256((folder / "test.csv").read_bytes()).hexdigest() in test.notes
    assert test.sha256 == extreme(spec(), folder).source("test").sha256
    assert [path.name for path in subject.pull()] == ["train.csv", "test.csv"]
    assert len(hub.downloads()) == 2
    asked = len(hub.asked)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert extreme(spec()).source("train").version == commit
    assert len(hub.asked) == asked


def test_pinned_files_are_taken_from_the_commit_or_by_their_content(
    hub: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.large = False
    contents = {name: (folder / name).read_bytes() for name in ("train.csv", "test.csv")}
    pins = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    pinned = spec(revision=COMMIT, files=pins)
    # This hub has the files by the branch alone, as a mirror may.
    assert extreme(pinned).source("test").version == COMMIT
    hub.put("sapientinc/sudoku-extreme", "train.csv", contents["train.csv"], revision=COMMIT)
    extreme(pinned).pull()
    assert [COMMIT in path for path in hub.downloads()] == [False, True]
    asked = len(hub.asked)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert [path.read_bytes() for path in extreme(pinned).pull()] == list(contents.values())
    assert len(hub.asked) == asked


def test_other_content_than_pinned_is_refused_and_not_kept(hub: Hub) -> None:
    declared = registry.default().tasks.spec("sudoku-extreme")
    for _ in range(2):
        with pytest.raises(BadInput, match=r"expected a2fd52aea23d\.\.\.: nothing of it was kept.*--data"):
            extreme(declared).puzzles("test")
    assert len(hub.downloads()) == 2


def test_the_pins_are_a_commit_and_the_sha256_of_both_files() -> None:
    options = registry.default().tasks.spec("sudoku-extreme").options
    assert re.fullmatch("[0-9a-f]{40}", options["revision"])
    assert {name: len(pin) for name, pin in options["files"].items()} == {"train.csv": 64, "test.csv": 64}


def test_a_file_other_than_stated_is_refused_and_not_kept(hub: Hub) -> None:
    hub.stated = "0" * 64
    with pytest.raises(BadInput, match=r"0{12}\.\.\. is stated: nothing of it was kept.*--data"):
        extreme(spec()).puzzles("test")
    hub.stated = None
    assert len(extreme(spec()).puzzles("test")) == 12


def test_a_copy_damaged_in_the_cache_is_found(hub: Hub) -> None:
    path = extreme(spec()).pull()[1].resolve()
    path.chmod(0o644)
    path.write_bytes(path.read_bytes().replace(b"1", b"2", 1))
    with pytest.raises(BadInput, match="is stated"):
        extreme(spec()).puzzles("test")
    assert len(extreme(spec()).puzzles("test")) == 12


def test_a_hub_that_states_no_sha256_is_not_believed(hub: Hub) -> None:
    hub.large = False
    with pytest.raises(BadInput, match=r"states no sha256.*--data"):
        extreme(spec()).puzzles("test")


def test_offline_without_a_copy_says_what_to_do(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(BadInput, match=r"HF_HUB_OFFLINE is set.*--data"):
        extreme(spec()).puzzles("test")
    assert not hub.asked


def test_an_evaluation_from_the_command_line(
    harness: Callable[..., CompletedProcess[str]], folder: Path, tmp_path: Path
) -> None:
    call = ["eval", "--task", "sudoku-extreme", "--model", "oracle-sudoku", "--data", str(folder), "--json"]
    for split, count in (("test", 12), ("train", 54)):
        done = harness(*call, "--split", split)
        assert done.returncode == 0, done.stderr
        record = json.loads(done.stdout)
        assert record["headline"]["value"] == 1.0
        assert record["headline"]["denominator"] == count
        assert str(tmp_path) not in done.stdout
    order = np.random.RandomState(42).permutation(ROWS)
    assert places_sha256(order[:54]) in record["task"]["notes"]
