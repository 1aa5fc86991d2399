"""Generated mazes: repeatable, disjoint under every turn and reflection, as hard as stated, like Maze-Hard."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import ROOT
from trm_harness import evaluate
from trm_harness.augment import dihedral
from trm_harness.errors import BadInput
from trm_harness.solvers.maze import GOAL, OPEN, START, WALL, distance
from trm_harness.types import Grid
from trm_task_maze import GENERATED, SPLITS, boards, bundle
from trm_task_maze.data import make
from trm_task_maze.generate import Recipe, attempt, draw, path_length
from trm_task_maze.splits import canonical_walls, split_of
from trm_task_maze.task import GeneratedMaze, generated

from .maze_tasks import SIZES, needs_published, published, spec, task

TINY = Recipe(4, (0.0, 0.7), 3, 1.0, dict.fromkeys(SPLITS, 0))


def views(question: Grid) -> set[bytes]:
    return {np.ascontiguousarray(dihedral(question, view)).tobytes() for view in range(8)}


@pytest.mark.parametrize("size", SIZES)
def test_a_maze_depends_on_split_seed_and_index_alone(size: int) -> None:
    recipe = task(size).recipe
    first = draw(recipe, "train", 3, 5)
    assert np.array_equal(draw(recipe, "train", 3, 5), first)
    others = [draw(recipe, *place) for place in (("train", 3, 6), ("train", 4, 5))]
    assert all(not np.array_equal(other, first) for other in others)
    assert first.dtype == np.uint8
    assert [(first == symbol).sum() for symbol in (START, GOAL)] == [1, 1]


def test_another_process_draws_the_same() -> None:
    code = (
        "from trm_task_maze.generate import Recipe, draw; import hashlib\n"
        "recipe = Recipe(8, (0.32, 0.55), 8, 2.0, {})\n"
        "print(hashlib.sha256(b''.join(draw(recipe, 'train', 1, i).tobytes() for i in range(40))).hexdigest())"
    )
    paths = os.pathsep.join([str(ROOT), str(ROOT / "plugins")])
    environment = {**os.environ, "PYTHONPATH": paths}
    runs = [
        subprocess.run(
            [sys.executable, "-c", code], env={**environment, "PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    ]
    assert runs[0] == runs[1]


def test_a_split_owns_all_views_of_its_walls() -> None:
    """All 512 patterns of walls on 3x3 cells, sorted into classes by trying every view."""
    owners: dict[bytes, str] = {}
    forms: dict[bytes, bytes] = {}
    for cells in product((WALL, OPEN), repeat=9):
        question = np.array(cells, np.uint8).reshape(3, 3)
        for seen in views(question):
            assert owners.setdefault(seen, split_of(question)) == split_of(question)
            assert forms.setdefault(seen, canonical_walls(question)) == canonical_walls(question)
    assert len(owners) == 512
    # Burnside: 102 patterns on 3x3 cells are different under turns and reflections.
    assert len(set(forms.values())) == 102
    assert set(owners.values()) == set(SPLITS)


def test_ends_do_not_move_a_maze_to_another_split() -> None:
    question = task(8).puzzles("test")[0].input
    elsewhere = np.where(question == WALL, np.uint8(WALL), np.uint8(OPEN))
    assert split_of(elsewhere) == split_of(question) == "test"


def test_splits_of_tiny_mazes_share_none_under_any_view() -> None:
    drawn = {split: [draw(TINY, split, seed, i) for seed in (0, 1) for i in range(60)] for split in SPLITS}
    seen = {split: set().union(*map(views, questions)) for split, questions in drawn.items()}
    assert min(map(len, seen.values())) > 300
    for one, other in (("train", "test"), ("train", "validation"), ("validation", "test")):
        assert not seen[one] & seen[other]
    assert all(distance(question) >= 3 for questions in drawn.values() for question in questions)


@pytest.mark.parametrize("size", SIZES)
def test_bundled_and_training_mazes_belong_to_their_splits(size: int) -> None:
    subject = task(size)
    for split in ("validation", "test"):
        inputs = [puzzle.input for puzzle in subject.puzzles(split)]
        assert {split_of(question) for question in inputs} == {split}
        assert len({min(views(question)) for question in inputs}) == len(inputs)
    assert {split_of(puzzle.input) for puzzle in subject.puzzles("train")[:10]} == {"train"}


@pytest.mark.parametrize("size", SIZES)
def test_bundles_are_what_the_recipe_makes(size: int) -> None:
    subject, count = task(size), 2 if size == 30 else 20
    assert [len(subject.puzzles(split)) for split in ("validation", "test")] == [500, 1000]
    for split, index in product(("validation", "test"), range(count)):
        assert np.array_equal(subject.puzzles(split)[index].input, draw(subject.recipe, split, 0, index))


@pytest.mark.parametrize("size", SIZES)
def test_mazes_are_as_hard_as_stated(size: int) -> None:
    subject = task(size)
    bound = GENERATED[size]["min_path"]
    assert bound == -(-109 * size * size // 900)
    lengths = np.array([distance(puzzle.input) for puzzle in subject.puzzles("test")])
    assert lengths.tolist() == [puzzle.facts["path_length"] for puzzle in subject.puzzles("test")]
    assert lengths.min() == bound
    assert 1.2 * bound < lengths.max() < 2 * bound
    walls = np.array([puzzle.facts["wall_share"] for puzzle in subject.puzzles("test")])
    assert walls.mean() == pytest.approx(0.37, abs=0.01)


def test_paths_are_as_long_as_drawn() -> None:
    recipe, random = Recipe(8, (0.3, 0.5), 8, 2.0, {}), np.random.default_rng(0)
    lengths = [path_length(recipe, random) for _ in range(4000)]
    # A geometric count of mean 2 cut off at 8 has mean 1.675.
    assert np.mean(lengths) == pytest.approx(8 + 1.675, abs=0.15)
    assert set(lengths) == set(range(8, 16))
    for steps in (8, 11, 15):
        mazes = filter(lambda maze: maze is not None, (attempt(recipe, steps, random) for _ in range(3000)))
        assert {distance(maze) for maze in mazes} == {steps}


@needs_published
def test_large_mazes_look_like_maze_hard() -> None:
    def told(puzzles: list) -> tuple[np.ndarray, np.ndarray]:
        facts = [puzzle.facts for puzzle in puzzles]
        return np.array([f["path_length"] for f in facts]), np.array([f["wall_share"] for f in facts])

    ours = told([*task(30).puzzles("test"), *task(30).puzzles("validation")])
    theirs = told([*published().puzzles("train"), *published().puzzles("test")])
    assert (
        np.abs(np.percentile(ours[0], [5, 25, 50, 75, 95]) - np.percentile(theirs[0], [5, 25, 50, 75, 95])).max() <= 2
    )
    assert ours[1].mean() == pytest.approx(theirs[1].mean(), abs=0.005)
    assert ours[1].std() == pytest.approx(theirs[1].std(), abs=0.005)


def test_the_training_split_is_made_when_looked_at_and_kept() -> None:
    subject = task(30)
    train = subject.puzzles("train")
    assert len(train) == GENERATED[30]["train_size"]
    assert train[3] is train[3]
    assert np.array_equal(train[3].input, subject.sample(0, 3).input)
    assert [puzzle.id for puzzle in train[2:4]] == ["train-000002", "train-000003"]
    assert subject.sample(2, 7).id == "train-2-000007"


def test_sources_hash_content() -> None:
    sources = {split: task(8).source(split) for split in SPLITS}
    assert len({source.sha256 for source in sources.values()}) == 3
    assert sources["test"].n_puzzles == sources["test"].n_groups == 1000
    assert "generated on demand" in sources["train"].notes


def test_a_damaged_bundle_is_one_line(tmp_path: pytest.TempPathFactory) -> None:
    path = tmp_path / "test.npz"
    make.save(path, [puzzle.input for puzzle in task(8).puzzles("test")[:5]])
    assert [question.tolist() for question in bundle.load(path, 8)] == [
        puzzle.input.tolist() for puzzle in task(8).puzzles("test")[:5]
    ]
    assert [child.name for child in tmp_path.iterdir()] == ["test.npz"]
    path.write_bytes(path.read_bytes()[:-30])
    for broken in (path, tmp_path / "missing.npz"):
        with pytest.raises(BadInput, match="reinstall") as caught:
            bundle.load(broken, 8)
        assert "\n" not in str(caught.value)


def test_the_recipe_is_the_task_s_options() -> None:
    options = spec("maze-14x14").options
    recipe = Recipe.of(options)
    assert (recipe.size, recipe.walls) == (14, options["walls"])
    assert (recipe.min_path, recipe.extra) == (24, 4.0)
    assert recipe.counts == {"train": 20_000, "validation": 500, "test": 1000}


def test_mazes_of_a_side_that_no_task_has_are_evaluated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    boards.main(["12", "--count", "3", "--seed", "5", "--out", str(tmp_path / "twelve")])
    assert "3 mazes 12x12, 18 steps or more" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="2"):
        boards.main(["12", "--count", "1", "--out", str(tmp_path / "twelve")])
    assert "test.csv is there already" in capsys.readouterr().err
    ten = spec("maze-10x10")
    twelve = replace(ten, id="maze-12x12", seq_len=144, options={**ten.options, "size": 12})
    own = generated(twelve, tmp_path / "twelve")
    lengths = [puzzle.facts["path_length"] for puzzle in own.puzzles("test")]
    assert len(lengths) == 3
    assert min(lengths) >= 18
    # Weights of 10x10 boards answer them: no tensor of a convolving network knows the canvas.
    weights = ROOT / "zoo" / "trm-conv-nano.maze-10x10" / "weights.safetensors"
    record = evaluate(own, "trm-conv-nano", weights=weights, steps=2, out=tmp_path / "run")
    assert record.task.id == "maze-12x12"
    assert record.frame()["cell_accuracy"].between(0.7, 1).all()
    for wrong in (["3"], ["12", "--path", "30"], ["12", "--count", "0"]):
        with pytest.raises(SystemExit, match="2"):
            boards.main([*wrong, "--out", str(tmp_path / "none")])
    assert not (tmp_path / "none").exists()


def test_training_makes_the_mazes_that_it_draws_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    made, sample = [], GeneratedMaze.sample
    monkeypatch.setattr(GeneratedMaze, "sample", lambda self, seed, i: made.append(i) or sample(self, seed, i))
    source = task(14).training_source(1, {}, {"puzzles": 20_000})
    rows = source.draw("all", 0, 8)
    assert len(set(made)) <= 64 + 8  # the first 64 say which mazes these are
    assert (source.draw("all", 0, 8).tokens == rows.tokens).all()
    pool = task(14).puzzles("train")
    first = pool[2:6:2]
    assert [puzzle.id for puzzle in first] == [pool[2].id, pool[4].id]
    assert first[-1] is pool[4] is pool[1:][1:][2]
    assert [puzzle.id for puzzle in pool[100:102].passing()] == [pool[100].id, pool[101].id]
