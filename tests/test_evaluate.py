"""The evaluator against an independent reckoning, and every choice of a plan against what it should change."""

from __future__ import annotations

import csv
import json
import math
import os
import platform
import signal
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pluggy
import pytest

from tests.evaluating import MODEL, PLAN, TASK, LatinTask, Propagator
from trm_harness import hookspecs, machine
from trm_harness.errors import BadInput, PluginError
from trm_harness.evaluate import Setting, Watchers, evaluate, rescore, resume, verdicts
from trm_harness.hookspecs import hookimpl
from trm_harness.inference import InferencePlan, plan_file, select
from trm_harness.inference.plan import CACHED, Budget, Work, count_views, item_seed, to_batch
from trm_harness.record import RunRecord, environment, journal, read
from trm_harness.types import Batch, Cost, Grid, Prediction, Puzzle

TABLES = ("puzzles.csv", "candidates.csv")


def table(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / name).open(newline="") as file:
        return list(csv.DictReader(file))


def alone(model: Propagator, task: LatinTask, puzzle: Puzzle, name: str, view: int) -> list[tuple[Grid, float]]:
    """Answers and logits of every step, the puzzle by itself in its batch, in the puzzle's own frame."""
    bare = puzzle.without_answer()
    seen = task.transform(bare, name) if name else bare
    encoded = task.encode(seen, name, {})
    seeds = np.array([item_seed(PLAN.seed, puzzle.id, view, 0)], dtype=np.uint64)
    state = model.begin(Batch((seen,), encoded.tokens[None], np.zeros((1, encoded.length)), ("",), seeds))
    found = []
    for _ in range(model.steps):
        state, prediction = model.step(state)
        grid = task.decode(prediction.tokens[0], encoded)
        found.append((task.invert(grid, name) if name else grid, float(prediction.halt[0])))
    return found


def ranked(answers: list[tuple[Grid, float]]) -> list[bytes]:
    """Candidates by votes and mean sigmoid, first come first among equals; written apart from ``vote``."""
    votes: Counter[bytes] = Counter()
    halts = defaultdict(list)
    for grid, logit in answers:
        votes[grid.tobytes()] += 1
        halts[grid.tobytes()].append(1 / (1 + np.exp(-logit)))
    return sorted(votes, key=lambda key: (votes[key], np.mean(halts[key])), reverse=True)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RunRecord]:
    folder = tmp_path_factory.mktemp("runs") / "whole"
    return folder, evaluate(LatinTask(), Propagator(), PLAN, folder)


def test_scores_equal_an_independent_reckoning(finished: tuple[Path, RunRecord]) -> None:
    record = finished[1]
    task, model = LatinTask(), Propagator()
    single, first_two, steps = [], defaultdict(list), np.zeros(model.steps, dtype=int)
    for puzzle in task.puzzles("test"):
        views = [
            alone(model, task, puzzle, name, view) for view, name in enumerate(task.transforms(puzzle, 9, PLAN.seed))
        ]
        right = [np.array_equal(grid, puzzle.answer) for grid, _ in views[0]]
        single.append(right[-1])
        steps += right
        order = ranked([view[-1] for view in views])
        first_two[puzzle.group].append(puzzle.answer.tobytes() in order[:2])
    entry = record.score("pass@1", "puzzles", "single")
    assert (entry.numerator, entry.denominator) == (sum(single), len(single))
    assert record.score("pass@2", "tasks", "voted").numerator == sum(map(all, first_two.values()))
    assert record.headline == record.score("pass@2", "outputs", "voted")
    assert record.headline.value == pytest.approx(np.mean([np.mean(group) for group in first_two.values()]))
    assert record.headline.low <= record.headline.value <= record.headline.high
    assert list(record.depth_curve.correct) == steps.tolist()
    assert record.depth_curve.n == len(single)
    assert 0 < sum(single) < len(single), "a test on which everything is right or wrong tells nothing"
    assert steps[0] < steps[-1], "the model must need its steps"


def test_every_score_is_there_once(finished: tuple[Path, RunRecord]) -> None:
    keys = [(entry.name, entry.rule, entry.pooling) for entry in finished[1].scores]
    wanted = [("pass@1", "single"), ("pass@1", "voted"), ("pass@2", "voted")]
    assert keys == [(name, rule, pooling) for name, pooling in wanted for rule in TASK.rules]


def test_the_tables_tell_the_same_as_the_record(finished: tuple[Path, RunRecord]) -> None:
    folder, record = finished
    puzzles, candidates = (table(folder, name) for name in TABLES)
    assert [row["puzzle"] for row in puzzles] == [puzzle.id for puzzle in LatinTask().puzzles("test")]
    assert sum(int(row["single"]) for row in puzzles) == record.score("pass@1", "puzzles", "single").numerator
    within = sum(row["rank"] in ("1", "2") for row in puzzles)
    assert within == record.score("pass@2", "puzzles", "voted").numerator
    per_step = [sum(int(row["right_at"][step]) for row in puzzles) for step in range(4)]
    assert per_step == list(record.depth_curve.correct)
    assert sum(int(row["votes"]) for row in candidates) == record.progress.total
    for row in puzzles:
        own = [line for line in candidates if line["puzzle"] == row["puzzle"]]
        assert len(own) == int(row["candidates"])
        right = [line["rank"] for line in own if line["correct"] == "1"]
        assert right == ([row["rank"]] if row["rank"] else [])
    measures = {entry.name: entry.value for entry in record.measures}
    assert measures["cells"] == pytest.approx(np.mean([float(row["cells"]) for row in puzzles]))


def test_halting_and_cost_are_counted(finished: tuple[Path, RunRecord]) -> None:
    folder, record = finished
    last = [float(row["halts"].split()[-1]) for row in table(folder, "puzzles.csv")]
    assert record.halting.share_halted == np.mean(np.array(last) > 0)
    assert record.halting.mean_steps == 4
    assert sum(entry.n for entry in record.halting.calibration) == len(last)
    rows = list(journal.scan(folder / "journal.jsonl"))
    assert record.cost.flops_per_puzzle == sum(row.length * row.steps for row in rows) / len(last)
    assert record.cost.seconds > 0
    assert record.cost.puzzles_per_second == pytest.approx(record.cost.answers_per_second / 9)
    assert record.cost.peak_memory_bytes > 2**20


def test_the_record_says_where_it_ran_and_keeps_the_host_to_itself(finished: tuple[Path, RunRecord]) -> None:
    folder, record = finished
    text = (folder / "run.json").read_text()
    assert record.environment.packages["numpy"] == np.__version__
    assert record.environment.cores > 0
    assert str(folder.parent) not in text
    assert platform.node() not in text


@pytest.mark.parametrize("size", [1, 5, 64, None])
def test_batches_of_any_size_give_the_same(finished: tuple[Path, RunRecord], tmp_path: Path, size: int | None) -> None:
    model = Propagator()
    evaluate(LatinTask(), model, replace(PLAN, batch_size=size), tmp_path / "run")
    assert max(model.batches) <= (size or 512)
    for name in TABLES:
        assert (tmp_path / "run" / name).read_bytes() == (finished[0] / name).read_bytes()


def test_windows_of_any_size_give_the_same(
    finished: tuple[Path, RunRecord], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan_file, "WINDOW", 10)
    evaluate(LatinTask(), Propagator(), PLAN, tmp_path / "run")
    for name in TABLES:
        assert (tmp_path / "run" / name).read_bytes() == (finished[0] / name).read_bytes()


def test_identity_views_come_first_and_longest_puzzles_before_shorter(finished: tuple[Path, RunRecord]) -> None:
    rows = list(journal.scan(finished[0] / "journal.jsonl"))
    assert {row.view for row in rows} == set(range(9))
    task = LatinTask()
    work = Work(task, select(task, PLAN), PLAN, 9, 24, Budget(1e9, 1e9, 8))
    batches = [batch for _, batch in work.batches(Propagator(), 4)]
    assert all(one.item.view == 0 for batch in batches for one in batch if sum(map(len, batches)) < 25)
    first = [one for batch in batches for one in batch][:24]
    assert all(one.item.view == 0 for one in first)
    lengths = [one.encoded.length for one in first]
    assert lengths == sorted(lengths, reverse=True)
    assert all(len({one.encoded.length for one in batch}) == 1 for batch in batches)


def test_seeds_belong_to_the_answer_not_to_the_batch() -> None:
    task = LatinTask()
    work = [
        Work(task, select(task, PLAN), PLAN, 9, window, Budget(1e9, 1e9, size)) for window, size in ((30, 3), (500, 64))
    ]
    seeds = [
        {
            one.item: seed
            for _, batch in plan.batches(Propagator(), 4)
            for one, seed in zip(batch, to_batch(batch).seeds, strict=True)
        }
        for plan in work
    ]
    assert seeds[0] == seeds[1]
    assert len(set(seeds[0].values())) == work[0].total
    assert item_seed(0, "a", 1, 0) != item_seed(1, "a", 1, 0)


def test_adaptive_halting_stops_at_the_first_positive_logit(finished: tuple[Path, RunRecord], tmp_path: Path) -> None:
    model = Propagator()
    record = evaluate(LatinTask(), model, replace(PLAN, halt="adaptive", halt_above=0.5), tmp_path / "run")
    full = {(row.puzzle, row.view): row for row in journal.read(finished[0] / "journal.jsonl")}
    steps = []
    for row in journal.read(tmp_path / "run" / "journal.jsonl"):
        whole = full[row.puzzle, row.view]
        stop = next((place for place, logit in enumerate(whole.halts) if logit > 0), 3)
        assert row.steps == stop + 1
        assert row.halts == whole.halts[: stop + 1]
        if row.view == 0:
            assert all(map(np.array_equal, row.answers, whole.answers[: stop + 1]))
            steps.append(row.steps)
    assert record.halting.mean_steps == np.mean(steps) < 4
    assert set(steps) >= {1, 2, 4}
    assert record.cost.flops_per_puzzle < finished[1].cost.flops_per_puzzle
    # A solved square stays solved here, so leaving early costs nothing at any depth.
    assert record.depth_curve == finished[1].depth_curve


def test_a_higher_bar_stops_later_and_the_record_names_it(finished: tuple[Path, RunRecord], tmp_path: Path) -> None:
    plan = replace(PLAN, halt="adaptive", halt_above=0.95)
    record = evaluate(LatinTask(), Propagator(), plan, tmp_path / "run")
    full = {(row.puzzle, row.view): row for row in journal.read(finished[0] / "journal.jsonl")}
    bar = math.log(0.95 / 0.05)
    for row in journal.read(tmp_path / "run" / "journal.jsonl"):
        halts = full[row.puzzle, row.view].halts
        assert row.steps == next((place for place, logit in enumerate(halts) if logit > bar), 3) + 1
    assert (record.protocol.halt, record.protocol.halt_above) == ("adaptive", 0.95)


def test_settled_halting_wants_an_answer_that_stayed(finished: tuple[Path, RunRecord], tmp_path: Path) -> None:
    """A puzzle stops at its first step above the bar that answers as the step before, and keeps that answer."""
    plan = replace(PLAN, halt="settled")
    record = evaluate(LatinTask(), Propagator(), plan, tmp_path / "run")
    singles = {row.puzzle: row for row in journal.read(finished[0] / "journal.jsonl") if row.view == 0}
    steps = []
    for row in journal.read(tmp_path / "run" / "journal.jsonl"):
        if row.view:
            continue
        full = singles[row.puzzle]
        same = [False, *(np.array_equal(*pair) for pair in zip(full.answers, full.answers[1:], strict=False))]
        wanted = (place for place, logit in enumerate(full.halts) if same[place] and logit > 0)
        assert row.steps == next(wanted, 3) + 1
        assert np.array_equal(row.answers[-1], full.answers[row.steps - 1])
        steps.append(row.steps)
    assert {2, 4} <= set(steps)
    assert 1 not in steps
    # The plan named no bar: the record holds the one that was used.
    assert (record.protocol.halt, record.protocol.halt_above) == ("settled", 0.5)
    assert record.headline.value == finished[1].headline.value


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        ({"halt": "adaptive", "halt_above": 1.0}, "halt-above must lie between 0 and 1, not be 1"),
        (
            {"halt": "adaptive"},
            "halt adaptive needs halt-above, chosen on validation",
        ),
        ({"halt_above": 0.9}, "halt-above says when a puzzle stops early: give halt settled or adaptive with it"),
    ],
)
def test_a_bar_that_means_nothing_is_refused(choices: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=said):
        evaluate(LatinTask(), Propagator(), replace(PLAN, **choices), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_depth_curve_reaches_as_far_as_asked(tmp_path: Path) -> None:
    record = evaluate(LatinTask(), Propagator(), InferencePlan("test", steps=7), tmp_path / "run")
    assert len(record.depth_curve.accuracy) == record.protocol.steps == 7
    assert all(row.steps == 7 for row in journal.scan(tmp_path / "run" / "journal.jsonl"))


def test_limit_counts_groups_and_ids_name_groups_or_puzzles(tmp_path: Path) -> None:
    record = evaluate(LatinTask(), Propagator(), InferencePlan("test", limit=3), tmp_path / "a")
    assert (record.selection.groups, record.selection.puzzles) == (3, 6)
    assert (record.task.split_groups, record.task.split_puzzles) == (12, 24)
    assert record.headline.denominator == 3
    record = evaluate(LatinTask(), Propagator(), InferencePlan("test", puzzles=("g5", "g8_1")), tmp_path / "b")
    assert [row["puzzle"] for row in table(tmp_path / "b", "puzzles.csv")] == ["g5_0", "g5_1", "g5_2", "g8_1"]
    assert record.selection.sha256 != read(tmp_path / "a").selection.sha256


def test_a_sample_is_drawn_by_the_seed_keeps_the_order_and_is_recorded(tmp_path: Path) -> None:
    task, plan = LatinTask(), InferencePlan("test", sample=4, seed=7)
    record = evaluate(task, Propagator(), plan, tmp_path / "a")
    chosen = [row["group"] for row in table(tmp_path / "a", "puzzles.csv")]
    order = list(dict.fromkeys(puzzle.group for puzzle in task.puzzles("test")))
    assert list(dict.fromkeys(chosen)) == sorted(set(chosen), key=order.index)
    assert (record.selection.sample, record.selection.limit, record.selection.groups) == (4, None, 4)
    assert set(chosen) != set(order[:4])
    # Every puzzle of a drawn group takes part, as with --limit.
    assert len(chosen) == record.selection.puzzles == sum(p.group in chosen for p in task.puzzles("test"))
    assert select(task, plan).sha256() == record.selection.sha256 != select(task, replace(plan, seed=8)).sha256()
    assert len(select(task, replace(plan, sample=99))) == len(task.puzzles("test"))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"limit": 0}, "limit must be at least 1"),
        ({"sample": 0}, "sample must be at least 1"),
        ({"sample": 2, "limit": 3}, "sample draws the puzzles: leave limit and puzzles out"),
        ({"sample": 2, "puzzles": ("g1",)}, "sample draws the puzzles: leave limit and puzzles out"),
        ({"augment": 0}, "augment must be"),
        ({"attempts": -1}, "attempts must be"),
        ({"steps": 0}, "steps must be"),
        ({"batch_size": 0}, "batch-size must be"),
        ({"halt": "never"}, "halt 'never'"),
        ({"noise": 0.1}, "propagator has no latent state that noise could be added to"),
        ({"noise": -0.1}, "noise must be a standard deviation from 0 up, not -0.1"),
        ({"noise": float("nan")}, "noise must be"),
        ({"select": "best"}, "select 'best' does not exist: use mode or halt or oracle"),
        ({"restarts": 0}, "restarts must be at least 1"),
        ({"seed": -1}, "seed"),
        ({"split": "train"}, "no split 'train': use test"),
        ({"puzzles": ("g77",)}, "no puzzle or group 'g77'.*did you mean"),
    ],
)
def test_a_choice_that_cannot_be_met_writes_nothing(tmp_path: Path, change: dict[str, Any], complaint: str) -> None:
    with pytest.raises(BadInput, match=complaint):
        evaluate(LatinTask(), Propagator(), replace(PLAN, **change), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_folder_must_be_new_and_writable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="cannot be written"):
        evaluate(LatinTask(), Propagator(), PLAN, tmp_path / "file" / "run")
    with pytest.raises(BadInput, match="is not empty"):
        evaluate(LatinTask(), Propagator(), PLAN, tmp_path)


def test_hidden_answers_are_answered_and_left_out_of_every_score(tmp_path: Path) -> None:
    record = evaluate(LatinTask(hide=True), Propagator(), PLAN, tmp_path / "run")
    assert record.selection.hidden == 3
    assert record.score("pass@1", "puzzles", "single").denominator == 21
    assert record.depth_curve.n == 21
    hidden = [row for row in table(tmp_path / "run", "puzzles.csv") if row["single"] == ""]
    assert len(hidden) == 3
    assert all(row["attempted"] == "1" and row["cells"] == "" for row in hidden)
    ids = tuple(row["puzzle"] for row in hidden)
    only = evaluate(LatinTask(hide=True), Propagator(), InferencePlan("test", puzzles=ids), tmp_path / "only")
    assert (only.status, only.scores, only.headline, only.depth_curve) == ("success", (), None, None)


def test_a_puzzle_may_have_fewer_views_than_asked_for(tmp_path: Path) -> None:
    record = evaluate(LatinTask(), Propagator(), replace(PLAN, augment=60), tmp_path / "run")
    counts = Counter(row.puzzle for row in journal.scan(tmp_path / "run" / "journal.jsonl"))
    assert counts["g0_0"] == 48, "a 3 x 3 square has 8 x 3! views"
    assert counts["g1_0"] == record.protocol.views == 60
    again = rescore(tmp_path / "run", LatinTask())
    assert again.scores == record.scores


def test_restarts_answer_again_from_other_seeds(tmp_path: Path) -> None:
    evaluate(LatinTask(), Propagator(), replace(PLAN, augment=2, restarts=3), tmp_path / "run")
    rows = [row for row in journal.scan(tmp_path / "run" / "journal.jsonl") if row.puzzle == "g2_0"]
    assert sorted((row.view, row.restart) for row in rows) == [(v, r) for v in range(2) for r in range(3)]
    assert len({row.answers[-1] for row in rows}) > 2
    assert all((len(row.answers) == 4) == (row.view == row.restart == 0) for row in rows)


@pytest.mark.parametrize("views", [1, 4, 9, 50])
def test_rescoring_with_fewer_views_is_a_run_with_fewer_views(
    finished: tuple[Path, RunRecord], tmp_path: Path, views: int
) -> None:
    again = rescore(finished[0], LatinTask(), views=views)
    fewer = evaluate(LatinTask(), Propagator(), replace(PLAN, augment=min(views, 9)), tmp_path / "run")
    assert again.scores == fewer.scores
    assert again.protocol.voting_views == (views if views < 9 else None)


def test_rescoring_repeats_the_record_and_counts_other_attempts(finished: tuple[Path, RunRecord]) -> None:
    folder, record = finished
    assert rescore(folder, LatinTask()) == read(folder) == record
    three = rescore(folder, LatinTask(), attempts=3)
    assert three.scores[: len(record.scores)] == record.scores
    assert three.score("pass@3", "outputs", "voted").value >= record.headline.value
    assert three.headline == record.headline
    assert rescore(folder, LatinTask(), attempts=1).headline.name == "pass@1"
    with pytest.raises(BadInput, match="views must be"):
        rescore(folder, LatinTask(), views=0)


def test_verdicts_show_each_puzzle(finished: tuple[Path, RunRecord]) -> None:
    found = {verdict.puzzle.id: verdict for verdict in verdicts(finished[0], LatinTask())}
    for row in table(finished[0], "puzzles.csv"):
        assert str(found[row["puzzle"]].rank or "") == row["rank"]


def test_a_task_with_one_answer_calls_its_score_exact(tmp_path: Path) -> None:
    spec = replace(TASK, attempts=1, headline="exact", rules=("puzzles",))
    record = evaluate(LatinTask(spec=spec), Propagator(), InferencePlan("test"), tmp_path / "run")
    assert [(entry.name, entry.pooling) for entry in record.scores] == [("exact", "single"), ("exact", "voted")]
    assert record.headline.name == "exact"


@dataclass
class Answerer:
    """A solver that gives grids, in one step, and nothing for 5 x 5 squares."""

    act: Callable[[Batch], Prediction]
    spec: Any = MODEL
    steps: int = 1
    encoding: Any = None

    def facts(self) -> Any:
        return Propagator().facts()

    def begin(self, batch: Batch) -> Batch:
        return batch

    def step(self, state: Batch) -> tuple[Batch, Prediction]:
        return state, self.act(state)

    def select(self, state: Batch, rows: Sequence[int]) -> Batch:
        raise AssertionError("nobody leaves a batch of one step")

    def cost(self, length: int) -> Cost:
        return Cost()


def truth(batch: Batch) -> Prediction:
    """Right answers in the frame of the views shown, found by trying the transforms; ``None`` for 5 x 5."""
    task, answers = LatinTask(), []
    known = {puzzle.id: puzzle for puzzle in task.puzzles("test")}
    for puzzle in batch.puzzles:
        whole = known[puzzle.id]
        names = task.transforms(whole, 48, 0)
        name = next(name for name in names if np.array_equal(task.transform(whole, name).input, puzzle.input))
        seen = task.transform(replace(whole, input=whole.answer), name).input
        answers.append(None if seen.shape == (5, 5) else seen)
    return Prediction(None, np.ones(batch.size, dtype=np.float32), tuple(answers))


def test_solvers_give_grids_and_may_pass(tmp_path: Path) -> None:
    record = evaluate(LatinTask(), Answerer(truth), replace(PLAN, augment=3), tmp_path / "run")
    for row in table(tmp_path / "run", "puzzles.csv"):
        five = int(row["puzzle"][1 : row["puzzle"].index("_")]) % 3 == 2
        assert (row["attempted"], row["rank"]) == (("0", "") if five else ("1", "1"))
    assert record.score("pass@1", "outputs", "voted").denominator == 12
    submitted = record.score("pass@1", "submitted", "voted")
    assert (submitted.value, submitted.denominator) == (1.0, 8)


def answered(batch: Batch, answer: Any) -> Prediction:
    return Prediction(None, np.zeros(batch.size, dtype=np.float32), (answer,) * batch.size)


@pytest.mark.parametrize(
    ("act", "complaint"),
    [
        (lambda batch: Prediction(batch.tokens[:, :-1], np.zeros(batch.size)), "tokens have shape"),
        (lambda batch: Prediction(batch.tokens, np.zeros(batch.size + 1)), "halt has shape"),
        (lambda batch: answered(batch, [[1, 2]]), "an answer is a list, no array: give uint8"),
        (lambda batch: answered(batch, np.ones(4, np.uint8)), r"an answer is an array uint8 \[4\]"),
        (lambda batch: answered(batch, np.ones((2, 2))), r"an answer is an array float64 \[2, 2\]"),
        (lambda batch: answered(batch, np.array([[1, -1]])), "a grid with -1 to 1, where 0 to 35 can be kept"),
        (lambda batch: Prediction(None, np.zeros(batch.size), (None,) * (batch.size + 1)), "answers for a batch"),
        (lambda batch: Prediction(None, np.zeros(batch.size)), "tokens have shape"),
    ],
)
def test_output_that_does_not_fit_its_batch_names_the_model(tmp_path: Path, act: Any, complaint: str) -> None:
    with pytest.raises(PluginError, match=f"model propagator: .*{complaint}"):
        evaluate(LatinTask(), Answerer(act), PLAN, tmp_path / "run")
    assert read(tmp_path / "run").status == "error"


def test_transforms_that_repeat_are_the_tasks_fault(tmp_path: Path) -> None:
    task = LatinTask()
    task.transforms = lambda puzzle, count, seed: ["", "1:12345", "1:12345"]
    with pytest.raises(PluginError, match="task latin"):
        evaluate(task, Propagator(), PLAN, tmp_path / "run")


class Tired(Propagator):
    """Breaks down in its sixth batch."""

    def begin(self, batch: Batch) -> Any:
        if len(self.batches) == 5:
            raise OSError("lost /some/where/private/weights.bin, sorry\nsecond line")
        return super().begin(batch)


def test_an_error_is_recorded_in_one_line_and_can_be_resumed(finished: tuple[Path, RunRecord], tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with pytest.raises(OSError, match="lost"):
        evaluate(LatinTask(), Tired(), PLAN, folder)
    record = read(folder)
    assert record.status == "error"
    assert record.message == "OSError: lost weights.bin, sorry second line"
    assert record.progress.rows == sum(1 for _ in journal.scan(folder / "journal.jsonl")) > 0
    with pytest.raises(BadInput, match=r"rows: finish the run"):
        rescore(folder, LatinTask())
    assert resume(folder, LatinTask(), Propagator()).scores == finished[1].scores
    assert [session.rows for session in read(folder).sessions] == [record.progress.rows, 216 - record.progress.rows]


def test_ctrl_c_finishes_the_batch_and_leaves_a_resumable_run(finished: tuple[Path, RunRecord], tmp_path: Path) -> None:
    said, marks, folder = [], [], tmp_path / "run"

    def press(done: float, total: int) -> None:
        if done > 50 and done % 1 and not marks:
            marks.append(done)
            os.kill(os.getpid(), signal.SIGINT)

    record = evaluate(LatinTask(), Propagator(), PLAN, folder, watchers=Watchers(None, press, said.append))
    assert record.progress.rows > marks[0], "the batch under way is finished"
    assert record.status == read(folder).status == "cancelled"
    assert 0 < record.progress.rows < 216
    assert record.message == f"stopped with {record.progress.rows} of 216 answers"
    assert "once more to stop at once" in said[0]
    assert sum(1 for _ in journal.scan(folder / "journal.jsonl")) == record.progress.rows
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert resume(folder, LatinTask(), Propagator()).scores == finished[1].scores


def test_a_second_ctrl_c_stops_at_once(tmp_path: Path) -> None:
    presses = []

    def press(done: float, total: int) -> None:
        if done > 20 and len(presses) < 2:
            presses.append(done)
            os.kill(os.getpid(), signal.SIGINT)

    folder = tmp_path / "run"
    record = evaluate(LatinTask(), Propagator(), PLAN, folder, watchers=Watchers(progress=press))
    assert record.status == "cancelled"
    assert len(presses) == 2
    assert record.progress.rows <= presses[0], "the batch under way is given up"


class Onlooker:
    """An observing plugin."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, Any]] = []

    @hookimpl
    def run_started(self, run: Any) -> None:
        self.seen.append(("started", run.status))

    @hookimpl
    def batch_predicted(self, run: Any, batch: Any) -> None:
        self.seen.append(("batch", len(batch)))

    @hookimpl
    def run_finished(self, record: Any) -> None:
        self.seen.append(("finished", record.status))
        record.model.config["steps"] = "changed by a plugin"


class Clumsy:
    """A plugin that fails wherever it can."""

    @hookimpl
    def batch_predicted(self) -> None:
        raise RuntimeError("clumsy")


def test_onlookers_see_the_run_and_cannot_harm_it(finished: tuple[Path, RunRecord], tmp_path: Path) -> None:
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    onlooker = Onlooker()
    manager.register(onlooker, "onlooker")
    manager.register(Clumsy(), "clumsy")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        record = evaluate(LatinTask(), Propagator(), PLAN, tmp_path / "run", watchers=Watchers(manager.hook))
    assert record.scores == finished[1].scores
    assert record.model.config == read(tmp_path / "run").model.config == {"steps": 4}
    kinds = [kind for kind, _ in onlooker.seen]
    assert (kinds[0], kinds[-1]) == ("started", "finished")
    assert sum(size for kind, size in onlooker.seen if kind == "batch") == 216
    complaints = [str(warning.message) for warning in caught if "clumsy" in str(warning.message)]
    assert len(complaints) == 1, "said once, not per batch"


def test_the_setting_lands_in_the_record(tmp_path: Path) -> None:
    card = {"training": {"demonstrations": "joint", "checkpoint_choice": "last step"}}
    setting = Setting(card_name="a.b", card=card, untrained=True, command="trm-harness eval", dtype="bfloat16")
    record = evaluate(LatinTask(2), Propagator(), InferencePlan("test"), tmp_path / "run", setting)
    assert record.training.demonstrations == "joint"
    assert (record.model.card, record.model.untrained) == ("a.b", True)
    assert (record.command, record.protocol.dtype) == ("trm-harness eval", "bfloat16")


class Priced(Propagator):
    """Counts its calls; stops counting dollars after ``known`` of them."""

    known = 10**6

    def usage(self) -> dict[str, float]:
        calls = 100 + len(self.batches)
        return {"calls": calls, "refusals": 0} | ({"dollars": calls / 8} if calls <= self.known else {})


def test_a_models_own_account_is_in_the_record(tmp_path: Path) -> None:
    record = evaluate(LatinTask(), Priced(), PLAN, tmp_path / "run")
    calls = record.cost.usage["calls"]
    assert 31 <= calls < 40, "216 answers in batches of 7, the squares of three sizes apart"
    assert record.cost.usage["refusals"] == 0
    assert record.cost.dollars == calls / 8
    assert evaluate(LatinTask(), Propagator(), PLAN, tmp_path / "other").cost.dollars is None


def test_a_price_that_leaves_a_sitting_out_is_not_given(tmp_path: Path) -> None:
    class Broke(Priced):
        def begin(self, batch: Batch) -> Any:
            if len(self.batches) == 5:
                raise OSError("no money")
            return super().begin(batch)

    class Silent(Priced):
        known = 0

    with pytest.raises(OSError, match="no money"):
        evaluate(LatinTask(), Broke(), PLAN, tmp_path / "run")
    assert read(tmp_path / "run").cost.dollars == 5 / 8
    record = resume(tmp_path / "run", LatinTask(), Silent())
    assert record.cost.dollars is None
    assert record.cost.usage["calls"] > 31


@pytest.mark.parametrize(
    ("memory", "flops", "puzzles", "size"), [(1000, 1e9, 99, 10), (1e9, 1000, 99, 2), (1e9, 1e9, 99, 99), (1, 1, 9, 1)]
)
def test_the_batch_fits_memory_work_and_number(memory: float, flops: float, puzzles: int, size: int) -> None:
    class Model(Propagator):
        def cost(self, length: int) -> Cost:
            return Cost(flops_per_step=length, bytes_per_example=length)

    assert Budget(memory, flops, puzzles).batch_size(Model(), 100, 5) == size


def test_a_batch_stays_in_the_cache_where_that_pays() -> None:
    class Model(Propagator):
        def cost(self, length: int) -> Cost:
            return Cost(widest_bytes=1000 * length)

    assert Budget(1e9, 1e9, 512, cache=1.5e6).batch_size(Model(), 150, 5) == 10
    assert Budget(1e9, 1e9, 512, cache=1.5e6).batch_size(Model(), 5000, 5) == 1
    assert Budget(1e9, 1e9, 512, cache=1.5e6).batch_size(Model(), 1, 5) == CACHED
    # Plans of before know no cache: their batches stay what they were.
    assert Budget(1e9, 1e9, 512).batch_size(Model(), 150, 5) == 512


def test_a_model_may_bound_its_batches() -> None:
    class Model(Propagator):
        def cost(self, length: int) -> Cost:
            return Cost(most_puzzles=3)

    assert Budget(1e9, 1e9, 99).batch_size(Model(), 100, 5) == 3


def test_views_are_counted_once_for_all_where_they_agree() -> None:
    task = LatinTask()
    chosen = select(task, PLAN)
    assert count_views(task, chosen, replace(PLAN, augment=1)) == 1
    assert count_views(task, chosen, replace(PLAN, augment=48)) == 48
    assert set(count_views(task, chosen, replace(PLAN, augment=50))) == {48, 50}


def test_commands_and_messages_lose_private_paths(tmp_path: Path) -> None:
    inside = tmp_path / "data" / "x"
    arguments = [
        "trm-harness",
        "eval",
        "--data",
        str(inside),
        "--weights=/home/me/w.safetensors",
        "../up/y",
        "a/b",
        "key=/home/me/file",
        "--set=key=/home/me/file",
        "url=http://a/b",
        "/home/me/a=b",
        "-n",
    ]
    shown = environment.public_command(arguments, tmp_path)
    assert (
        shown
        == "trm-harness eval --data data/x --weights=w.safetensors y a/b key=file --set=key=file url=http://a/b a=b -n"
    )
    assert environment.public_text("No file '/home/me/a b'\nin /x/y/z: a/b 1/2") == "No file 'a b' in z: a/b 1/2"


def test_the_source_tree_is_told_from_a_wheel(tmp_path: Path) -> None:
    assert environment.source_tree(tmp_path) == ("", None)
    commit, dirty = environment.source_tree()
    assert (len(commit), dirty in (True, False)) == (40, True) or (commit, dirty) == ("", None)


def test_devices_that_are_not_there_are_named() -> None:
    with pytest.raises(BadInput, match="device 'tpu' does not exist"):
        machine.resolve_device("tpu")
    assert machine.resolve_device("auto", uses_torch=False) == "cpu"


def test_the_plan_on_disk_is_plain_json(finished: tuple[Path, RunRecord]) -> None:
    data = json.loads((finished[0] / "plan.json").read_text())
    assert data["plan"]["augment"] == 9
    assert plan_file.StoredPlan.load(finished[0]).plan == replace(PLAN, halt_above=0.5)
