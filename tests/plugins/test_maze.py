"""The maze task: encoding, views and their inverses, measures, files, the hub, training batches, bad input."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.hub_server import serving
from trm_harness import registry
from trm_harness.contracts import ModelRequest, Task, TrainingSource
from trm_harness.errors import BadInput
from trm_harness.solvers.maze import OPEN, PATH, WALL, directions, is_path, solve
from trm_harness.types import IGNORE_LABEL, Batch, Puzzle
from trm_task_maze.task import HardMaze, generated, hard

from .maze_tasks import (
    PUBLISHED,
    SIZES,
    count_shortest,
    grid,
    needs_published,
    published,
    spec,
    task,
    text_of,
    write,
)

NAMES = ("maze-hard", *(f"maze-{size}x{size}" for size in SIZES))


@pytest.mark.parametrize("name", NAMES)
def test_registered_and_keeps_the_contract(name: str) -> None:
    catalog = registry.default().tasks
    declared = catalog.spec(name)
    subject = catalog.resolve(name)(declared, None)
    assert isinstance(subject, Task)
    assert declared.vocab_size == 6
    assert declared.seq_len == declared.options["size"] ** 2
    assert (declared.version, declared.headline, declared.attempts, declared.rules) == (1, "exact", 1, ("puzzles",))


@pytest.mark.parametrize("size", SIZES)
def test_encoding_round_trips(size: int) -> None:
    subject = task(size)
    for puzzle in subject.puzzles("test")[:10]:
        encoded = subject.encode(puzzle.without_answer(), "", {})
        labels = subject.labels(puzzle, encoded)
        assert encoded.tokens.dtype == labels.dtype == np.int32
        assert encoded.length == labels.shape[0] == subject.spec.seq_len
        assert set(encoded.tokens.tolist()) == {1, 2, 3, 4}
        assert set(labels.tolist()) == {1, 2, 3, 4, 5}
        assert np.array_equal(subject.decode(encoded.tokens, encoded), puzzle.input)
        assert np.array_equal(subject.decode(labels, encoded), puzzle.answer)
        assert subject.decode(labels, encoded).dtype == np.uint8


def test_nothing_but_padding_is_no_grid() -> None:
    subject = task(8)
    encoded = subject.encode(subject.puzzles("test")[0])
    assert subject.decode(np.zeros(64, np.int32), encoded).shape == (0, 0)
    assert subject.decode(np.arange(64, dtype=np.int32) % 6, encoded)[0].tolist() == [0, 1, 2, 3, 4, 5, 0, 1]


def test_views_are_distinct_and_shorter_lists_are_prefixes() -> None:
    subject = task(8)
    first, second = subject.puzzles("test")[:2]
    names = subject.transforms(first, 100, 3)
    assert names[0] == ""
    assert sorted(names[1:]) == [f"t{view}" for view in range(1, 8)]
    assert all(subject.transforms(first, count, 3) == names[:count] for count in range(9))
    assert subject.transforms(second, 8, 3) != names
    assert subject.transforms(first, 8, 4) != names


@pytest.mark.parametrize("size", [8, 30])
def test_views_of_answers_solve_views_of_mazes_and_come_back(size: int) -> None:
    subject = task(size)
    for puzzle in subject.puzzles("test")[:3]:
        inputs = set()
        for name in subject.transforms(puzzle, 8, 1):
            seen = subject.transform(puzzle, name)
            assert is_path(seen.input, seen.answer)
            assert np.array_equal(subject.invert(seen.answer, name), puzzle.answer)
            assert np.array_equal(subject.invert(seen.input, name), puzzle.input)
            assert (seen.id, seen.group, seen.facts) == (puzzle.id, puzzle.group, puzzle.facts)
            assert subject.transform(puzzle.without_answer(), name).answer is None
            inputs.add(np.ascontiguousarray(seen.input).tobytes())
        assert len(inputs) == 8
    assert subject.invert(np.zeros((2, 3), np.uint8), "t1").shape == (3, 2)


QUESTION = grid("S   ", " ## ", " ## ", "   G")
LABEL = grid("S   ", "o## ", "o## ", "oooG")
OTHER = grid("Sooo", " ##o", " ##o", "   G")
LONG = grid("S    ", "### #", "G   #", "    #", "    #")
PUZZLE = Puzzle("x", "x", QUESTION, LABEL)


def measured(puzzle: Puzzle, answer: np.ndarray | None) -> tuple[float, float, float, float]:
    found = task(8).measures(puzzle, answer)
    assert list(found) == ["exact", "any_optimal", "valid", "cell_accuracy"]
    return tuple(found.values())


def test_the_label_any_shortest_path_and_any_path_are_told_apart() -> None:
    assert measured(PUZZLE, LABEL) == (1, 1, 1, 1)
    assert measured(PUZZLE, OTHER) == (0, 1, 1, 6 / 16)
    assert measured(PUZZLE, QUESTION) == (0, 0, 0, 11 / 16)
    detour = Puzzle("x", "x", LONG, solve(LONG))
    around = grid("Sooo ", "###o#", "Gooo#", "    #", "    #")
    assert measured(detour, around) == (1, 1, 1, 1)
    longer = grid("Sooo ", "###o#", "G  o#", "o  o#", "oooo#")
    assert measured(detour, longer)[:3] == (0, 0, 1)
    stray = around.copy()
    stray[4, 0] = PATH
    assert measured(detour, stray)[:3] == (0, 0, 0)
    through = grid("S    ", "o## #", "G   #", "    #", "    #")
    assert measured(detour, through)[:3] == (0, 0, 0)


@pytest.mark.parametrize("answer", [None, np.zeros((0, 0), np.uint8), np.zeros((6, 6), np.uint8), np.zeros(16)])
def test_no_answer_scores_nothing(answer: np.ndarray | None) -> None:
    assert measured(PUZZLE, answer) == (0, 0, 0, 0)


def test_own_measures_of_every_bundled_label() -> None:
    for size in SIZES:
        subject = task(size)
        for puzzle in subject.puzzles("validation")[:50]:
            assert set(subject.measures(puzzle, puzzle.answer).values()) == {1.0}
            assert puzzle.facts["path_length"] >= subject.recipe.min_path
            assert puzzle.facts["wall_share"] == pytest.approx((puzzle.input == WALL).mean(), abs=1e-4)


def batch_of(puzzles: list[Puzzle]) -> Batch:
    tokens = np.stack([puzzle.input.ravel() for puzzle in puzzles]).astype(np.int32)
    hidden = tuple(puzzle.without_answer() for puzzle in puzzles)
    return Batch(hidden, tokens, tokens, ("",) * len(puzzles), np.arange(len(puzzles), dtype=np.uint64))


def oracle_shares(subject: Task, puzzles: list[Puzzle]) -> dict[str, float]:
    catalog = registry.default().models
    declared = catalog.spec("oracle-maze")
    model = catalog.resolve("oracle-maze")(ModelRequest(declared, subject.spec))
    _, prediction = model.step(model.begin(batch_of(puzzles)))
    rows = [subject.measures(puzzle, answer) for puzzle, answer in zip(puzzles, prediction.answers, strict=True)]
    return {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]}


@pytest.mark.parametrize("size", SIZES)
def test_the_oracle_solves_every_generated_maze(size: int) -> None:
    subject = task(size)
    shares = oracle_shares(subject, list(subject.puzzles("test")[:200]))
    assert shares == {"exact": 1.0, "any_optimal": 1.0, "valid": 1.0, "cell_accuracy": 1.0}


@needs_published
def test_the_oracle_solves_maze_hard_with_its_very_labels() -> None:
    shares = oracle_shares(published(), list(published().puzzles("test")))
    assert shares == {"exact": 1.0, "any_optimal": 1.0, "valid": 1.0, "cell_accuracy": 1.0}


def test_the_oracle_refuses_other_tasks() -> None:
    catalog = registry.default()
    with pytest.raises(BadInput, match="mazes only"):
        catalog.models.resolve("oracle-maze")(
            ModelRequest(catalog.models.spec("oracle-maze"), catalog.tasks.spec("sudoku-4x4"))
        )


@needs_published
def test_the_published_files_are_as_described() -> None:
    subject = published()
    assert [len(subject.puzzles(split)) for split in ("train", "test", "validation")] == [1000, 1000, 100]
    for split, longest, walls in (("train", 146, 0.3707), ("test", 153, 0.3726)):
        facts = [puzzle.facts for puzzle in subject.puzzles(split)]
        lengths = [fact["path_length"] for fact in facts]
        assert (min(lengths), max(lengths)) == (109, longest)
        assert np.mean([fact["wall_share"] for fact in facts]) == pytest.approx(walls, abs=5e-5)
        assert re.fullmatch(rf"{split}\.csv, the published file, sha256 [0-9a-f]{{64}}", subject.source(split).notes)
    # No maze has one shortest path only, so "exact" asks for more than a solution.
    assert min(count_shortest(puzzle.input) for puzzle in subject.puzzles("test")[:200]) > 1


@needs_published
def test_every_published_label_follows_the_stated_rule() -> None:
    for split in ("train", "test"):
        assert all(np.array_equal(solve(puzzle.input), puzzle.answer) for puzzle in published().puzzles(split))


def small_hard() -> HardMaze:
    """Maze-Hard's kind of task over files of 8x8 mazes, and their hashes."""
    return replace(spec("maze-hard"), options={**spec("maze-hard").options, "size": 8}, seq_len=64)


def test_hub_files_are_fetched_checked_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("huggingface_hub")
    write(tmp_path / "train.csv", "mine", task(8).puzzles("validation")[:40])
    write(tmp_path / "test.csv", "mine", task(8).puzzles("test")[:10])
    declared = small_hard()
    repository = declared.options["repository"]
    with serving() as hub:
        for name, value in hub.environment(tmp_path / "home").items():
            monkeypatch.setenv(name, value)
        contents = {name: (tmp_path / name).read_bytes() for name in ("train.csv", "test.csv")}
        hashes = {name: (hub.put(repository, name, content),) for name, content in contents.items()}
        pinned = replace(declared, options={**declared.options, "files": hashes})
        subject = hard(pinned)
        assert [len(subject.puzzles(split)) for split in pinned.splits] == [40, 4, 10]
        assert [path.name for path in subject.pull()] == ["train.csv", "test.csv"]
        assert len(hub.downloads()) == 2
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        again = hard(pinned)
        assert again.source("test") == subject.source("test")
        assert (again.source("test").name, again.source("test").version) == (repository, declared.options["revision"])
        monkeypatch.setenv("HF_HUB_OFFLINE", "0")
        with pytest.raises(BadInput, match="expected 5120d52088fb"):
            hard(declared).puzzles("test")
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        monkeypatch.setenv("HF_HOME", str(tmp_path / "elsewhere"))
        with pytest.raises(BadInput, match="HF_HUB_OFFLINE is set"):
            hard(pinned).puzzles("test")


@needs_published
def test_the_pinned_hashes_are_those_of_the_published_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("huggingface_hub")
    declared = spec("maze-hard")
    with serving() as hub:
        for name, value in hub.environment(tmp_path / "home").items():
            monkeypatch.setenv(name, value)
        for name in ("train.csv", "test.csv"):
            hub.put(declared.options["repository"], name, (PUBLISHED / name).read_bytes())
        fetched = hard(declared)
        for split in declared.splits:
            assert fetched.source(split) == published().source(split)
        assert len(hub.downloads()) == 2


def test_a_folder_stands_in_for_the_hub(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", "mine", task(8).puzzles("validation")[:40])
    write(tmp_path / "test.csv", "mine", task(8).puzzles("test")[:10])
    subject = hard(small_hard(), tmp_path)
    assert [len(subject.puzzles(split)) for split in subject.spec.splits] == [40, 4, 10]
    assert subject.source("test").name == "maze-hard"
    assert subject.source("test").notes.startswith("test.csv, not the published file, sha256 ")
    notes = subject.source("validation").notes
    assert re.fullmatch(r"train\.csv, not the published file, sha256 [0-9a-f]{64}; 4 of its 40 mazes", notes)
    held = {puzzle.id for puzzle in subject.puzzles("validation")}
    assert held < {puzzle.id for puzzle in subject.puzzles("train")}
    source = subject.training_source(0, {}, {"hold_out": True, "augment": "none"})
    drawn = {tokens.astype(np.uint8).tobytes() for tokens in source.draw("all", 0, 2000).tokens}
    assert drawn == {p.input.tobytes() for p in subject.puzzles("train") if p.id not in held}
    assert source.declaration["data"][0]["puzzles"] == 36
    assert "without the 4 validation mazes" in source.declaration["data"][0]["notes"]
    assert {puzzle.id for puzzle in source.validation()[1]} == held
    with pytest.raises(BadInput, match=r"set source.hold_out = true"):
        subject.training_source(0, {}, {}).validation()


@pytest.mark.parametrize("augment", ["none", "turn", "relabel"])
def test_training_batches_are_proper_and_repeatable(augment: str) -> None:
    subject, options = task(8), {"puzzles": 20, "augment": augment}
    source = subject.training_source(5, {}, options)
    assert isinstance(source, TrainingSource)
    assert sum(source.buckets.values()) == 1
    rows = source.draw("all", 7, 200)
    again = subject.training_source(5, {}, options).draw("all", 7, 200)
    assert np.array_equal(rows.tokens, again.tokens)
    assert np.array_equal(rows.labels, again.labels)
    assert not np.array_equal(rows.tokens, source.draw("all", 8, 200).tokens)
    assert not np.array_equal(rows.tokens, subject.training_source(6, {}, options).draw("all", 7, 200).tokens)
    assert rows.tokens.dtype == rows.labels.dtype == rows.positions.dtype == np.int32
    assert rows.tokens.shape == rows.labels.shape == rows.positions.shape == (200, 64)
    pairs = [(t.reshape(8, 8).astype(np.uint8), a.reshape(8, 8)) for t, a in zip(rows.tokens, rows.labels, strict=True)]
    assert all(is_path(question, answer) for question, answer in pairs)
    by_the_rule = sum(np.array_equal(solve(question), answer) for question, answer in pairs)
    assert by_the_rule == 200 if augment != "turn" else by_the_rule < 150
    listed = {puzzle.input.tobytes() for puzzle in subject.puzzles("train")[:20]}
    seen = {question.tobytes() for question, _ in pairs}
    assert seen == listed if augment == "none" else len(seen) > 60


def test_directions_are_auxiliary_labels_of_the_same_draw() -> None:
    subject = task(8)
    plain, more = (subject.training_source(5, {}, {"directions": on}).draw("all", 7, 20) for on in (False, True))
    assert np.array_equal(more.tokens, plain.tokens)
    assert np.array_equal(more.labels[:, :64], plain.labels)
    for tokens, further in zip(more.tokens, more.labels[:, 64:], strict=True):
        ways = directions(tokens.reshape(8, 8).astype(np.uint8)).ravel()
        assert np.array_equal(further, np.where(ways < 0, IGNORE_LABEL, ways))


def test_turned_training_pairs_are_the_views_of_the_pool() -> None:
    subject = task(8)
    views = {
        np.stack([seen.input, seen.answer]).tobytes()
        for puzzle in subject.puzzles("train")[:5]
        for seen in (subject.transform(puzzle, name) for name in subject.transforms(puzzle, 8, 0))
    }
    rows = subject.training_source(0, {}, {"puzzles": 5, "augment": "turn"}).draw("all", 0, 600)
    pairs = np.stack([rows.tokens, rows.labels], axis=1).astype(np.uint8)
    assert {pair.tobytes() for pair in pairs} == views


def test_labels_by_another_rule_are_not_relabelled(tmp_path: Path) -> None:
    other = Puzzle("x", "x", grid("S ", " G"), grid("So", " G"), facts={"path_length": 2})
    write(tmp_path / "train.csv", "mine", [other])
    declared = replace(small_hard(), options={**small_hard().options, "size": 2})
    subject = hard(declared, tmp_path)
    with pytest.raises(BadInput, match='augment = "none"'):
        subject.training_source(0, {}, {}).draw("all", 0, 64)
    assert subject.training_source(0, {}, {"augment": "turn"}).draw("all", 0, 64).tokens.shape == (64, 4)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"puzzles": 0}, "use 1 to 50000"),
        ({"puzzles": 50_001}, "use 1 to 50000"),
        ({"augment": "mirror"}, "use one of none, turn, relabel"),
        ({"directions": 1}, "use true or false"),
        ({"directions": True, "augment": "turn"}, "use relabel or none"),
        ({"augmentation": "none"}, "unknown option 'augmentation'"),
    ],
)
def test_impossible_training_is_refused(options: dict[str, object], complaint: str) -> None:
    with pytest.raises(BadInput, match=complaint):
        task(8).training_source(0, {}, options)


def test_own_files_replace_the_generated_splits(tmp_path: Path) -> None:
    puzzles = task(8).puzzles("test")[:3]
    write(tmp_path / "test.csv", "mine", puzzles)
    subject = generated(spec("maze-8x8"), tmp_path)
    read = subject.puzzles("test")
    assert [(p.id, p.input.tolist(), p.answer.tolist(), p.facts) for p in read] == [
        (p.id, p.input.tolist(), p.answer.tolist(), p.facts) for p in puzzles
    ]
    assert subject.source("test").n_puzzles == 3
    assert [path.name for path in tmp_path.iterdir()] == ["test.csv"]
    with pytest.raises(BadInput, match=r"train\.csv"):
        subject.puzzles("train")


HEADER = "source,question,answer,rating\n"
GOOD = "mine,S  G,SooG,3\n"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "does not start with"),
        ("question,rating\nS,1\n", "does not start with"),
        (HEADER, "holds no mazes"),
        (HEADER + "mine,S #G,So#G,2\nmine,S ,SG,1\n", "maze 2: expected 4 characters"),
        (HEADER + "mine,S?#G,So#G,2\n", "maze 1: expected 4 characters"),
        (HEADER + "mine,S #G,S.#G,2\n", "maze 1: expected 4 characters"),
        (HEADER + "mine,S #G,So#G\n", "found 3 columns"),
        (HEADER + "mine,S #S,So#S,2\n", "maze 1: .*one start"),
        (HEADER + "mine,S #G,S #G,2\n", "maze 1: .*shortest path"),
        (HEADER + "mine,S##G,S##G,1\n", "maze 1: .*shortest path"),
        (HEADER + "mine,S  G,SooG,2\n", "maze 1: .*shortest path"),
        (HEADER + "mine,S \u00e9G,SooG,2\n", "line 2, question of maze 1: expected 4 characters"),
    ],
)
def test_bad_files_are_refused_with_one_line(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "test.csv").write_text(text, encoding="utf-8")
    declared = replace(small_hard(), options={**small_hard().options, "size": 2})
    with pytest.raises(BadInput, match=complaint) as caught:
        hard(declared, tmp_path).puzzles("test")
    assert "\n" not in str(caught.value)


def test_bad_requests_are_refused_with_one_line(tmp_path: Path) -> None:
    puzzle = task(8).puzzles("test")[0]
    with pytest.raises(BadInput, match="no split 'dev'"):
        task(8).puzzles("dev")
    with pytest.raises(BadInput, match="not a folder"):
        generated(spec("maze-8x8"), tmp_path / "missing")
    with pytest.raises(BadInput, match="not a folder"):
        hard(spec("maze-hard"), tmp_path / "missing")
    with pytest.raises(BadInput, match="no answer"):
        task(8).labels(puzzle.without_answer(), task(8).encode(puzzle))
    with pytest.raises(BadInput, match="no answer"):
        task(8).measures(puzzle.without_answer(), puzzle.answer)
    with pytest.raises(BadInput, match="10x10 grids"):
        task(10).encode(puzzle)
    with pytest.raises(BadInput, match="no view"):
        task(8).transform(puzzle, "t8")
    with pytest.raises(BadInput, match="no training maze"):
        task(8).sample(0, -1)


def test_symbols_are_those_of_the_reference() -> None:
    assert text_of(np.arange(1, 6, dtype=np.uint8)) == "# SGo"
    assert (WALL, OPEN, PATH) == (1, 2, 5)
