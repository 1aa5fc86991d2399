"""Several trajectories of a puzzle: how one answer is chosen, what fewer would have given, and that nothing depends on
batches or interruptions. By hand, by an independent reckoning from the journal, and with the shipped weights."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.evaluating import PLAN, LatinTask, Propagator
from trm_harness.contracts import ModelRequest
from trm_harness.errors import BadInput
from trm_harness.evaluate import evaluate, rescore, resume, verdicts
from trm_harness.inference import InferencePlan
from trm_harness.record import RunRecord, ScoreEntry, journal, read
from trm_harness.record.journal import Entry, text_grid
from trm_harness.registry import default
from trm_harness.scoring.trajectories import ranks, shares, sizes, tallied
from trm_harness.zoo import named, weights_path


def entry(restart: int, answer: str | None, halt: float, view: int = 0) -> Entry:
    return Entry("p", view, "", restart, (answer,), (halt,), 1, 4)


GRIDS = {text: text_grid(text) for text in ("12", "21", "11")}
RIGHT = {"12": True, "21": False, "11": False}


@pytest.mark.parametrize(
    ("restarts", "wanted"), [(1, (1,)), (2, (1, 2)), (3, (1, 2, 3)), (8, (1, 2, 4, 8)), (9, (1, 2, 4, 8, 9))]
)
def test_sizes_double_up_to_all(restarts: int, wanted: tuple[int, ...]) -> None:
    assert sizes(restarts) == wanted


def test_three_ways_of_choosing_by_hand() -> None:
    rows = [entry(0, "21", 0.1), entry(1, "21", 0.2), entry(2, "11", 3.0), entry(3, "12", 1.0), entry(4, None, 9.0)]
    # Votes: 21 twice, then 11 before 12 by halting score; logits: 11, 12, 21.
    assert ranks(tallied(rows, GRIDS), RIGHT) == {"mode": 3, "halt": 2, "oracle": 1}
    assert ranks(tallied(rows[:3], GRIDS), RIGHT) == {"mode": None, "halt": None, "oracle": None}
    assert ranks([], RIGHT) == {"mode": None, "halt": None, "oracle": None}


def test_fewer_trajectories_by_hand() -> None:
    # Two views; restarts 0-1 and 2-3 are the blocks of two, restart 4 is left over there.
    answers = ["21", "12", "12", "11", "21"]
    halts = [5.0, 1.0, 2.0, 3.0, 4.0]
    rows = [entry(place, *pair) for place, pair in enumerate(zip(answers, halts, strict=True))]
    rows += [entry(place, None if place else "12", 0.0, view=1) for place in range(5)]
    found = shares(rows, GRIDS, RIGHT)
    assert list(found) == [1, 2, 4, 5]
    # One by one: restart 0 has 21 and 12 with one vote each, 21 surer; 1 and 2 are right; 3 and 4 are not.
    assert found[1] == {"mode": 2 / 5, "halt": 2 / 5, "oracle": 3 / 5}
    # 0-1: 12 has two votes, 21 the highest logit; 2-3: one vote each and 11 surer both ways.
    assert found[2] == {"mode": 1 / 2, "halt": 0, "oracle": 1}
    assert found[4] == found[5] == {"mode": 1, "halt": 0, "oracle": 1}


MANY = replace(PLAN, augment=2, restarts=6, steps=1)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RunRecord]:
    folder = tmp_path_factory.mktemp("runs") / "many"
    return folder, evaluate(LatinTask(), Propagator(), MANY, folder)


def by_select(record: RunRecord) -> dict[str, ScoreEntry]:
    return {one.select: one for one in record.selections}


def reckoned(folder: Path) -> dict[str, dict[str, bool]]:
    """First answer right, by puzzle and way of choosing, straight from the journal."""
    puzzles = {puzzle.id: puzzle for puzzle in LatinTask().puzzles("test")}
    rows = defaultdict(list)
    for row in sorted(journal.read(folder / "journal.jsonl"), key=lambda row: (row.view, row.restart)):
        rows[row.puzzle].append((row.answers[-1].tobytes(), row.halts[-1]))
    found = {}
    for name, answers in rows.items():
        right = puzzles[name].answer.tobytes()
        votes = Counter(answer for answer, _ in answers)
        mean = {key: np.mean([1 / (1 + np.exp(-halt)) for answer, halt in answers if answer == key]) for key in votes}
        found[name] = {
            "mode": max(votes, key=lambda key: (votes[key], mean[key])) == right,
            "halt": max(answers, key=lambda pair: pair[1])[0] == right,
            "oracle": right in votes,
        }
    return found


def test_one_run_states_all_three_and_they_equal_an_independent_reckoning(finished: tuple[Path, RunRecord]) -> None:
    folder, record = finished
    wanted = reckoned(folder)
    one = rescore(folder, LatinTask(), attempts=1)
    last = {
        select: curve[-1] for select, curve in one.trajectory_curve.model_dump().items() if select in wanted["g0_0"]
    }
    for select in ("mode", "halt", "oracle"):
        share = np.mean([puzzle[select] for puzzle in wanted.values()])
        assert last[select] == pytest.approx(share)
        groups = defaultdict(list)
        for name, puzzle in wanted.items():
            groups[name.split("_")[0]].append(puzzle[select])
        assert by_select(one)[select].value == pytest.approx(np.mean([np.mean(group) for group in groups.values()]))
    assert last["mode"] < last["oracle"], "a test on which choosing changes nothing tells nothing"
    assert [one.select for one in record.selections if one.upper_bound] == ["oracle"]
    assert record.trajectory_curve.trajectories == (1, 2, 4, 6)
    for points in zip(record.trajectory_curve.oracle, record.trajectory_curve.mode, strict=True):
        assert points[0] >= points[1]


def test_the_headline_is_the_chosen_ones_and_never_the_oracles(
    finished: tuple[Path, RunRecord], tmp_path: Path
) -> None:
    folder, record = finished
    assert record.headline == by_select(record)["mode"]
    assert (record.headline.views, record.headline.trajectories) == (2, 6)
    by_halt = evaluate(LatinTask(), Propagator(), replace(MANY, select="halt"), tmp_path / "halt")
    assert by_halt.headline == by_select(record)["halt"] == by_select(by_halt)["halt"]
    assert by_halt.selections == record.selections
    assert "highest halting logit" in by_halt.protocol.vote
    oracle = evaluate(LatinTask(), Propagator(), replace(MANY, select="oracle"), tmp_path / "oracle")
    assert (oracle.headline, oracle.scores) == (record.headline, record.scores)
    assert not any(entry.upper_bound for entry in (*oracle.scores, *by_halt.scores, *record.scores))
    for choose, run in (("halt", by_halt), ("oracle", oracle), ("mode", record)):
        again = rescore(folder, LatinTask(), choose=choose)
        assert (again.scores, again.headline, again.protocol.vote) == (run.scores, run.headline, run.protocol.vote)
    assert rescore(tmp_path / "halt", LatinTask()) == by_halt
    with pytest.raises(BadInput, match="select 'best' does not exist"):
        rescore(folder, LatinTask(), choose="best")


def test_tables_and_verdicts_are_ranked_as_the_run_chooses(tmp_path: Path) -> None:
    record = evaluate(LatinTask(), Propagator(), replace(MANY, select="halt"), tmp_path / "run")
    with (tmp_path / "run" / "candidates.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for name in {row["puzzle"] for row in rows}:
        peaks = [float(row["peak"]) for row in rows if row["puzzle"] == name]
        assert peaks == sorted(peaks, reverse=True)
    with (tmp_path / "run" / "puzzles.csv").open(newline="") as file:
        within = sum(row["rank"] in ("1", "2") for row in csv.DictReader(file))
    assert within == record.score("pass@2", "puzzles", "voted").numerator
    found = {verdict.puzzle.id: verdict for verdict in verdicts(tmp_path / "run", LatinTask())}
    assert all(verdict.rank == verdict.ranks["halt"] for verdict in found.values())


def test_a_single_pass_has_nothing_to_choose(tmp_path: Path) -> None:
    record = evaluate(LatinTask(), Propagator(), InferencePlan("test"), tmp_path / "run")
    assert (record.selections, record.trajectory_curve) == ((), None)


def nano() -> Any:
    """The shipped network with its weights."""
    registry, card = default(), named("trm-nano.sudoku-4x4")
    spec, task = registry.models.spec(card.architecture), registry.tasks.spec(card.task)
    return registry.models.resolve(card.architecture)(ModelRequest(spec, task, weights_path(card), card.mapping()))


def sudoku() -> Any:
    return default().task("sudoku-4x4")


NOISY = InferencePlan("test", limit=12, restarts=3, noise=3.0, steps=1, seed=5, batch_size=7)
"""One step and strong noise: enough to make some of the shipped weights' answers wrong."""


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RunRecord]:
    folder = tmp_path_factory.mktemp("runs") / "noisy"
    return folder, evaluate(sudoku(), nano(), NOISY, folder)


def rows_of(folder: Path) -> dict[tuple[str, int, int], Entry]:
    return {(row.puzzle, row.view, row.restart): row for row in journal.scan(folder / "journal.jsonl")}


def test_every_trajectory_has_its_own_noise_and_the_oracle_bounds_all(noisy: tuple[Path, RunRecord]) -> None:
    folder, record = noisy
    found = rows_of(folder)
    assert len(found) == 36
    assert len({row.halts for row in found.values()}) == 36
    scores = {select: one.value for select, one in by_select(record).items()}
    assert scores["oracle"] >= max(scores["mode"], scores["halt"])
    assert (record.protocol.restarts, record.protocol.noise) == (3, 3.0)
    assert record.cost.flops_per_puzzle == pytest.approx(3 * record.cost.flops_per_step)


@pytest.mark.parametrize("size", [1, 36])
def test_noise_does_not_depend_on_the_batch(noisy: tuple[Path, RunRecord], tmp_path: Path, size: int) -> None:
    evaluate(sudoku(), nano(), replace(NOISY, batch_size=size), tmp_path / "run")
    ours, theirs = rows_of(tmp_path / "run"), rows_of(noisy[0])
    assert ours.keys() == theirs.keys()
    for key, row in ours.items():
        assert row.answers == theirs[key].answers
        # Matrix products of other shapes round differently; other noise would change whole units.
        assert row.halts == pytest.approx(theirs[key].halts, abs=1e-3)


def test_the_seed_repeats_a_run_and_another_one_does_not(noisy: tuple[Path, RunRecord], tmp_path: Path) -> None:
    for seed in (5, 6):
        evaluate(sudoku(), nano(), replace(NOISY, seed=seed), tmp_path / str(seed))
    content = [(folder / "journal.jsonl").read_bytes() for folder in (noisy[0], tmp_path / "5", tmp_path / "6")]
    assert content[0] == content[1] != content[2]


def test_whoever_leaves_early_had_the_same_noise(tmp_path: Path) -> None:
    plan = InferencePlan("test", limit=8, restarts=2, noise=30.0, steps=3, batch_size=16)
    model = nano()
    # The shipped weights are sure at once; less sure of everything, they take one step or two.
    model.network.frame.halt_head.bias -= 8.2
    full = evaluate(sudoku(), model, plan, tmp_path / "full")
    early = evaluate(sudoku(), model, replace(plan, halt="adaptive", halt_above=0.5), tmp_path / "early")
    whole = rows_of(tmp_path / "full")
    steps = []
    for key, row in rows_of(tmp_path / "early").items():
        assert row.halts == pytest.approx(whole[key].halts[: row.steps], abs=1e-3)
        steps.append(row.steps)
    assert len(set(steps)) > 1, "somebody must leave before somebody else"
    assert early.halting.thresholds == () != full.halting.thresholds


def test_restarts_without_noise_are_refused_for_a_network(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="3 restarts of model trm-nano would all be the same: add noise"):
        evaluate(sudoku(), nano(), replace(NOISY, noise=0.0), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_steps_beyond_training_go_on_where_the_model_stopped(tmp_path: Path) -> None:
    plan = InferencePlan("test", limit=4, batch_size=4)
    model = nano()
    usual = evaluate(sudoku(), model, plan, tmp_path / "usual")
    longer = evaluate(sudoku(), model, replace(plan, steps=model.steps + 4), tmp_path / "longer")
    assert len(longer.depth_curve.accuracy) == usual.protocol.steps + 4 == 12
    assert longer.depth_curve.accuracy[:8] == usual.depth_curve.accuracy
    for key, row in rows_of(tmp_path / "longer").items():
        assert row.halts[:8] == rows_of(tmp_path / "usual")[key].halts


def test_views_and_trajectories_vote_together(tmp_path: Path) -> None:
    record = evaluate(sudoku(), nano(), replace(NOISY, limit=3, augment=2), tmp_path / "run")
    assert record.progress.rows == 3 * 2 * 3
    assert (record.headline.views, record.headline.trajectories) == (2, 3)
    fewer = rescore(tmp_path / "run", sudoku(), views=1)
    assert fewer.scores == evaluate(sudoku(), nano(), replace(NOISY, limit=3), tmp_path / "fewer").scores


def test_an_interrupted_noisy_run_ends_as_an_uninterrupted_one(noisy: tuple[Path, RunRecord], tmp_path: Path) -> None:
    folder = tmp_path / "run"
    evaluate(sudoku(), nano(), NOISY, folder)
    record = read(folder)
    content = (folder / "journal.jsonl").read_bytes()
    for cut in (0, len(content) // 2, len(content) - 3):
        (folder / "run.json").write_text(record.model_copy(update={"status": "started"}).model_dump_json())
        os.truncate(folder / "journal.jsonl", cut)
        again = resume(folder, sudoku(), nano())
        assert (folder / "journal.jsonl").read_bytes() == content == (noisy[0] / "journal.jsonl").read_bytes()
        assert (again.selections, again.trajectory_curve) == (record.selections, record.trajectory_curve)


@pytest.mark.slow
def test_a_killed_noisy_run_ends_as_an_uninterrupted_one(tmp_path: Path) -> None:
    args = ["--task", "sudoku-4x4", "--model", "trm-nano", "--limit", "8", "--restarts", "4", "--noise", "2"]
    args += ["--batch-size", "4", "--steps", "3"]
    command = [sys.executable, "-m", "trm_harness", "eval"]
    process = subprocess.Popen([*command, *args, "--out", "run"], cwd=tmp_path, stderr=subprocess.DEVNULL)
    growing, until = tmp_path / "run" / "journal.jsonl", time.monotonic() + 120
    while not (growing.exists() and growing.stat().st_size):
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=60)
    assert read(tmp_path / "run").status == "started"
    rows = growing.read_bytes().count(b"\n")
    assert rows < 32, "it was to be killed on its way"
    subprocess.run([*command, "--resume", "run"], cwd=tmp_path, check=True, capture_output=True)
    subprocess.run([*command, *args, "--out", "whole"], cwd=tmp_path, check=True, capture_output=True)
    for name in ("journal.jsonl", "puzzles.csv", "candidates.csv"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
