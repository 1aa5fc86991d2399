"""Rows, boards and tables: what is kept apart, what is ranked, and that no published number is lost or changed."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from trm_harness.errors import BadInput
from trm_harness.files import paths
from trm_harness.leaderboard.board import UNRANKED, Board, build
from trm_harness.leaderboard.rows import OPTIONAL, REQUIRED, Result, Row, read_records, read_reported, record_row
from trm_harness.leaderboard.tables import count, percent, render
from trm_harness.record import (
    CostEntry,
    ModelEntry,
    ProtocolEntry,
    RunRecord,
    ScoreEntry,
    SelectionEntry,
    TaskEntry,
    TrainingEntry,
    write,
)

COLLECTED = Path(__file__).resolve().parents[2] / "shared" / "reported_scores.csv"


def score(value: float, n: int, pooling: str = "voted", name: str = "pass@2") -> ScoreEntry:
    return ScoreEntry(
        name=name,
        rule="outputs",
        pooling=pooling,
        k=2,
        views=16 if pooling == "voted" else 1,
        value=value,
        numerator=value * n,
        denominator=n,
        unit="tasks",
        low=max(0.0, value - 0.04),
        high=min(1.0, value + 0.04),
        interval_method="cluster bootstrap, percentile",
    )


def run(n: int = 400, value: float = 0.25, split: str = "evaluation", **changes: Any) -> RunRecord:
    """The record of a finished run of a trained model on ``n`` of 400 ARC tasks."""
    task = TaskEntry(
        id="arc1",
        version=1,
        split=split,
        source="s",
        source_version="1",
        data_sha256="d" * 64,
        split_groups=400,
        split_puzzles=419,
    )
    fields: dict[str, Any] = {
        "id": "run-1",
        "status": "success",
        "started": "2026-11-01T10:00:00Z",
        "finished": "2026-11-02T10:00:00Z",
        "task": task,
        "selection": SelectionEntry(groups=n, puzzles=419 if n == 400 else n),
        "model": ModelEntry(
            id="trm-7m",
            version=1,
            family="recursive",
            card="trm-7m.arc1",
            network_parameters=6_829_058,
            puzzle_table_parameters=409_600,
            weights_sha256="a" * 64,
        ),
        "protocol": ProtocolEntry(attempts=2, augment=16, views=16, steps=16, halt="full"),
        "training": TrainingEntry(demonstrations="joint"),
        "headline": score(value, n),
        "scores": (score(value, n), score(value / 2, n, "single")),
        "cost": CostEntry(seconds=838.0, device_name="a CPU"),
    }
    return RunRecord(**(fields | changes))


def reported(system: str, percent: float, column: str = "public", **changes: Any) -> Row:
    fields = {"task": "arc1", "family": "llm", "metric": "pass@2", "level": "official", "source": "s", "date": "2026"}
    return Row(system=system, results={column: Result(percent)}, **(fields | changes))


def lines(board: Board) -> dict[str, tuple[str, dict[str, int]]]:
    return {line.row.system: (line.section, line.ranks) for line in board.lines}


# --- ranks


def test_ranks_are_shared_where_intervals_overlap() -> None:
    """On 400 tasks the interval reaches nearly 5 points to either side: 50 and 41 overlap, 30 does not."""
    rows = [reported("a", 50), reported("b", 46), reported("c", 41), reported("d", 30)]
    board = build(rows, "arc1", "pass@2")
    assert [(line.row.system, line.ranks["public"]) for line in board.lines] == [("a", 1), ("b", 1), ("c", 1), ("d", 4)]
    (first,) = board.lines[0].row.results.values()
    assert (first.low, first.high) == (pytest.approx(45.12, abs=0.01), pytest.approx(54.88, abs=0.01))
    assert first.method == "Wilson, n = 400 assumed"
    # The same distance on Sudoku-Extreme's 422,786 puzzles is a difference.
    rows = [reported(name, score, "test", task="sudoku-extreme") for name, score in (("a", 50), ("b", 49.5))]
    assert [line.ranks["test"] for line in build(rows, "sudoku-extreme", "pass@2").lines] == [1, 2]
    # What a label says of the puzzles forbids to guess their number.
    (line,) = build([reported("a", 50, labels=("part of the test set",))], "arc1", "pass@2").lines
    assert line.row.results["public"].low is None


# --- reported scores


def test_nothing_collected_is_lost_or_changed() -> None:
    if not COLLECTED.exists():
        pytest.skip("the collected scores are not beside this checkout")
    kept, told = [], ("benchmark", "split", "system", "metric", "score_percent", "cost_per_task_usd")
    for file in paths.reported().glob("*.csv"):
        with file.open(newline="", encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
        assert {row["benchmark"] for row in rows} == {file.stem}
        kept += [tuple(row[name] for name in told) for row in rows]
    with COLLECTED.open(newline="", encoding="utf-8") as stream:
        collected = [tuple(row[name] for name in told) for row in csv.DictReader(stream)]
    # Sources and dates were corrected since; who scored what where stays.
    assert len(collected) > 300
    assert not Counter(collected) - Counter(kept)


def test_shipped_scores_name_their_source_and_cost_basis() -> None:
    rows = read_reported([paths.reported()])
    assert {row.task for row in rows} == {"arc1", "arc2", "sudoku-extreme", "maze-hard"}
    assert all(
        row.source and (row.date or row.collected) and row.level in ("official", "self-reported", "second-hand")
        for row in rows
    )
    for row in rows:
        priced = any(result.cost_usd is not None for result in row.results.values())
        assert row.cost_basis in (("API", "compute share", "as listed") if priced else ("",))
    assert {row.cost_basis for row in rows if row.system.startswith("TRM (ARC Prize")} == {"compute share"}


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"score_percent": "101"}, "line 2: score_percent '101' is not a number from 0 to 100"),
        ({"score_percent": "much"}, "line 2: score_percent 'much'"),
        ({"score_percent": "nan"}, "line 2: score_percent 'nan'"),
        ({"source_id": ""}, "line 2: 'source_id' is empty"),
        ({"confidence": "rumour"}, "line 2: confidence 'rumour' is not one of"),
        ({"cost_per_task_usd": "-1"}, "line 2: cost_per_task_usd '-1'"),
        ({"colour": "red"}, "has unknown column 'colour'"),
        ({"split": None}, "lacks column 'split'"),
    ],
)
def test_wrong_files_are_refused(tmp_path: Path, change: dict[str, str | None], complaint: str) -> None:
    row = dict.fromkeys(REQUIRED, "x") | {"score_percent": "1", "cost_per_task_usd": "", "confidence": "paper"} | change
    row = {name: value for name, value in row.items() if value is not None}
    (tmp_path / "a.csv").write_text(",".join(row) + "\n" + ",".join(row.values()) + "\n")
    with pytest.raises(BadInput) as error:
        read_reported([tmp_path])
    assert str(error.value).startswith(str(tmp_path / "a.csv"))
    assert complaint in str(error.value)


def test_ragged_and_unreadable_files_are_refused(tmp_path: Path) -> None:
    for content in (",".join(REQUIRED) + "\na,b\n", ",".join(REQUIRED) + "\n" + "a," * 20 + "\n"):
        (tmp_path / "a.csv").write_text(content)
        with pytest.raises(BadInput, match="more or fewer fields"):
            read_reported([tmp_path])
    (tmp_path / "a.csv").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(BadInput, match="cannot be read as CSV"):
        read_reported([tmp_path])
    assert set(OPTIONAL).isdisjoint(REQUIRED)


# --- our runs


def test_the_row_of_a_run() -> None:
    row = record_row(run())
    assert (row.system, row.metric, row.level, row.source) == ("trm-7m.arc1", "pass@2", "ours", "run run-1")
    assert row.results == {"public": Result(25.0, 21.0, pytest.approx(29.0), 400, 400, "tasks", None)}
    assert (row.network, row.puzzle_table, row.views, row.demonstrations) == (6_829_058, 409_600, 16, "joint")
    assert (row.labels, row.notes, row.date) == ((), "single pass 12.50", "2026-11-02")
    assert row.cost_basis == "2 s/puzzle on a CPU"


def test_a_single_pass_headline_is_not_said_twice() -> None:
    alone = score(0.25, 400).model_copy(update={"views": 1})
    assert record_row(run(headline=alone, scores=(alone, score(0.25, 400, "single")))).notes == ""


def test_trajectories_and_the_way_of_choosing_stand_beside_the_score() -> None:
    many = {"views": 1, "trajectories": 8, "select": "halt"}
    headline = score(0.25, 400).model_copy(update=many)
    scores = (headline, score(0.125, 400, "single"))
    record = run(headline=headline, scores=scores)
    noisy = record.protocol.model_copy(update={"restarts": 8, "noise": 0.3, "select": "halt", "views": 1})
    row = record_row(record.model_copy(update={"protocol": noisy}))
    assert "8 trajectories, highest halting logit, noise 0.3 on the latent before each step" in row.protocol
    assert row.notes == "one noisy trajectory 12.50"


def test_a_row_says_that_the_model_adapted_to_each_task() -> None:
    record = run()
    assert "adapted" not in record_row(record).protocol
    adapted = record.protocol.model_copy(update={"adapt": "puzzle-embedding", "adapt_steps": 60})
    said = record_row(record.model_copy(update={"protocol": adapted})).protocol
    assert said.endswith(", adapted to each task (puzzle-embedding, 60 steps)")


def test_dollars_are_per_task_with_their_basis() -> None:
    row = record_row(run(cost=CostEntry(dollars=20.0, dollars_basis="machine time")))
    assert (row.results["public"].cost_usd, row.cost_basis) == (0.05, "machine time")


@pytest.mark.parametrize(
    ("record", "labels"),
    [
        (run(n=2), ("2/400 tasks",)),
        (run(model=ModelEntry(id="trm-7m", version=1, untrained=True)), ("untrained",)),
        (run(status="cancelled"), ("cancelled",)),
        (run(status="started"), ("unfinished",)),
        (run(selection=SelectionEntry(groups=400, puzzles=419, hidden=3)), ("3 answers hidden",)),
        (run(split="training"), ("training split",)),
        (run(n=30, task=run().task.model_copy(update={"split_groups": 30, "split_puzzles": 30})), ("own data",)),
        (run(task=run().task.model_copy(update={"own_data": True})), ("own data",)),
    ],
)
def test_what_keeps_a_run_from_being_ranked(record: RunRecord, labels: tuple[str, ...]) -> None:
    row = record_row(record)
    assert row.labels == labels
    assert lines(build([row, reported("other", 1.0)], "arc1", "pass@2"))[row.system] == (UNRANKED, {})


def test_an_untrained_run_declares_no_training() -> None:
    assert record_row(run(model=ModelEntry(id="trm-7m", version=1, untrained=True))).demonstrations == ""


def test_a_run_without_a_score_is_no_row() -> None:
    assert record_row(run(headline=None, scores=())) is None


def test_records_are_found_once_and_broken_ones_are_told(tmp_path: Path) -> None:
    for name in ("a", "deep/b"):
        (tmp_path / name).mkdir(parents=True)
        write(tmp_path / name, run(id=name.replace("/", "-")))
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "run.json").write_text("{")
    rows, problems = read_records([tmp_path, tmp_path / "a", tmp_path / "a" / "run.json"])
    assert sorted(row.source for row in rows) == ["run a", "run deep-b"]
    assert len(problems) == 1
    assert str(tmp_path / "c" / "run.json") in problems[0]
    with pytest.raises(BadInput, match="does not exist"):
        read_records([tmp_path / "none"])


# --- boards


def test_public_and_semi_private_are_two_columns_of_one_line() -> None:
    board = build(read_reported([paths.reported()]), "arc1", "pass@2")
    assert board.columns == ("public", "semi-private")
    [trm] = [line for line in board.lines if line.row.system == "TRM (ARC Prize verified)"]
    assert {name: result.percent for name, result in trm.row.results.items()} == {"public": 44.0, "semi-private": 40.0}
    assert {name: result.cost_usd for name, result in trm.row.results.items()} == {
        "public": 0.3947,
        "semi-private": 1.7638,
    }
    [gemini] = [line for line in board.lines if line.row.system == "Gemini 2.5 Pro 32K"]
    assert [gemini.row.results[name].percent for name in board.columns] == [55.88, 37.0]
    # The order of the two systems differs between the columns: a shared one would rank them wrongly.
    assert gemini.ranks["public"] < trm.ranks["public"]
    assert gemini.ranks["semi-private"] > trm.ranks["semi-private"]


def test_ranks_are_by_column_and_ties_share_one() -> None:
    rows = [
        reported("a", 50),
        reported("b", 60),
        reported("c", 50),
        reported("d", 40),
        reported("e", 99, "semi-private"),
    ]
    told = lines(build(rows, "arc1", "pass@2"))
    assert {name: ranks for name, (_, ranks) in told.items()} == {
        "b": {"public": 1},
        "a": {"public": 2},
        "c": {"public": 2},
        "d": {"public": 4},
        "e": {"semi-private": 1},
    }
    assert list(told) == ["b", "a", "c", "d", "e"]
    assert told["e"][0] == "semi-private set only"


def test_other_metrics_and_labels_are_shown_but_not_ranked() -> None:
    rows = [
        reported("best", 99, metric="pass@1"),
        reported("quoted", 98, labels=("quoted",)),
        reported("right", 10),
        reported("unknown", 97, metric="not stated"),
    ]
    board = build(rows, "arc1", "pass@2")
    assert lines(board)["right"] == ("public set", {"public": 1})
    assert {line.row.system: line.row.labels for line in board.lines if line.section == UNRANKED} == {
        "best": ("metric pass@1",),
        "quoted": ("quoted",),
        "unknown": ("metric not stated",),
    }
    assert build(rows, "arc1").metric == "pass@2"


def test_the_same_system_twice_on_one_set_stays_two_lines() -> None:
    rows = [reported("a", 1), reported("a", 2), reported("a", 3, "semi-private"), reported("a", 4, source="elsewhere")]
    results = [
        {name: r.percent for name, r in line.row.results.items()} for line in build(rows, "arc1", "pass@2").lines
    ]
    assert sorted(map(str, results)) == ["{'public': 1, 'semi-private': 3}", "{'public': 2}", "{'public': 4}"]


def test_one_column_alone() -> None:
    rows = [reported("a", 1), reported("a", 9, "semi-private"), reported("b", 5)]
    board = build(rows, "arc1", "pass@2", "semi-private")
    assert (board.columns, lines(board)) == (("semi-private",), {"a": ("semi-private set", {"semi-private": 1})})
    with pytest.raises(BadInput, match="no score of arc1 is on split 'test': there are public, semi-private"):
        build(rows, "arc1", "pass@2", "test")


def test_our_full_run_is_ranked_among_the_reported() -> None:
    board = build([record_row(run()), reported("above", 40), reported("below", 10)], "arc1", "pass@2")
    assert [(line.row.system, line.ranks["public"]) for line in board.lines] == [
        ("above", 1),
        ("trm-7m.arc1", 2),
        ("below", 3),
    ]


# --- tables


@pytest.fixture
def board() -> Board:
    rows = [
        record_row(run()),
        record_row(run(n=2, id="run-2")),
        reported("a|b", 26),
        reported("a|b", 9, "semi-private"),
    ]
    return build(rows, "arc1", "pass@2")


def test_csv_and_json_hold_every_fact_apart(board: Board) -> None:
    told = json.loads(render(board, "json"))
    assert (told["task"], told["metric"], told["columns"]) == ("arc1", "pass@2", ["public", "semi-private"])
    other, ours, part = told["rows"]
    assert (other["public"], other["public_rank"], other["semi_private"]) == (26, 1, 9)
    assert (ours["network_parameters"], ours["puzzle_table_parameters"]) == (6_829_058, 409_600)
    assert (ours["public_low"], ours["public_done"], ours["public_total"]) == (21.0, 400, 400)
    assert (ours["semi_private"], ours["rule"], ours["views"]) == (None, "outputs", 16)
    assert (part["public_rank"], part["not_ranked_because"]) == (None, "2/400 tasks")
    table = list(csv.DictReader(io.StringIO(render(board, "csv"))))
    assert [row["system"] for row in table] == ["a|b", "trm-7m.arc1", "trm-7m.arc1"]
    assert table[1]["semi_private"] == ""
    assert list(table[0]) == list(other)


def test_markdown_has_one_table_a_section(board: Board) -> None:
    text = render(board, "md")
    assert text.startswith("## arc1, pass@2 in percent")
    assert [line for line in text.splitlines() if line.startswith("###")] == ["### Public set", "### Shown, not ranked"]
    assert "a\\|b" in text
    assert "Public and semi-private are different sets" in text


def test_terminal_table(board: Board) -> None:
    rows = {line.split("  ")[0]: line for line in render(board, "table").splitlines() if line}
    assert "26 #1" in rows["a|b"].replace(".0", "")
    ours = next(line for line in render(board, "table").splitlines() if "run run-1" in line)
    for part in (
        "6.83M + 410K table",
        "25.0 #1",
        "21.0 to 29.0",
        "400/400 tasks",
        "joint",
        "s/puzzle on a CPU",
        "ours",
    ):
        assert part in ours
    part = next(line for line in render(board, "table").splitlines() if "run run-2" in line)
    assert "2/400 tasks" in part
    assert "#" not in part
    assert "-- shown, not ranked" in rows


@pytest.mark.parametrize("task", ["arc1", "arc2", "sudoku-extreme", "maze-hard"])
def test_every_shipped_score_is_on_its_board_once(task: str) -> None:
    rows = [row for row in read_reported([paths.reported()]) if row.task == task]
    told = json.loads(render(build(rows, task), "json"))
    fields = [name.replace("-", "_") for name in told["columns"]]
    shown = [row[name] for row in told["rows"] for name in fields if row[name] is not None]
    assert sorted(shown) == sorted(result.percent for row in rows for result in row.results.values())
    assert len(render(build(rows, task), "csv").splitlines()) == len(told["rows"]) + 1


def test_an_empty_board_says_so() -> None:
    empty = build([], "sudoku-4x4", "exact")
    assert "no scores of sudoku-4x4 yet" in render(empty, "table")
    assert json.loads(render(empty, "json"))["rows"] == []
    assert render(empty, "csv") == ""
    assert render(empty, "md") == "## sudoku-4x4, exact in percent"


def test_numbers_as_text() -> None:
    assert [percent(value) for value in (99.96, 100.0, 44, 86.17, 0.5)] == ["99.96", "100.0", "44.0", "86.17", "0.5"]
    assert [count(value) for value in (27, 409_600, 6_829_058, 27e6, 671e9)] == ["27", "410K", "6.83M", "27M", "671B"]
