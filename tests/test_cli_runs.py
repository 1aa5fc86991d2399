"""``trm-harness runs``: find, list, show, score, with real runs of real tasks."""

from __future__ import annotations

import csv
import json
import shutil
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.test_cli_eval import Call, call
from trm_harness.record import journal

__all__ = ["call"]


def _in(**later: float) -> str:
    """A moment so much later than now, as a record states it."""
    return (datetime.now(UTC) + timedelta(**later)).isoformat(timespec="seconds")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two finished runs: three ARC tasks copied, ten Sudokus guessed at with five views."""
    from trm_harness.cli.main import main

    home = tmp_path_factory.mktemp("home")
    arc = ["--task", "arc1", "--model", "copy-input", "--puzzles", "00576224,f9d67f8b", "--out", str(home / "runs/arc")]
    sudoku = ["--task", "sudoku-4x4", "--model", "random", "--limit", "10", "--augment", "5"]
    for args in (arc, [*sudoku, "--out", str(home / "runs/sudoku")]):
        with pytest.raises(SystemExit) as stop:
            main(["eval", *args])
        assert stop.value.code == 0
    data = json.loads((home / "runs/sudoku/run.json").read_text())
    (home / "runs/sudoku/run.json").write_text(json.dumps(data | {"started": _in(hours=2)}))
    return home


@pytest.fixture
def home(made: Path, tmp_path: Path, call: Call) -> Path:
    """A copy of it to work in."""
    shutil.copytree(made / "runs", tmp_path / "runs")
    return tmp_path


def test_list_shows_every_run_newest_first(call: Call, home: Path) -> None:
    lines = call("runs", "list").out.splitlines()
    assert [line.split()[0] for line in lines] == ["RUN", "sudoku", "arc"]
    assert "pass@2 0.00 % (0/2 tasks)" in lines[2]
    found = json.loads(call("runs", "list", "--json").out)
    assert [run["folder"] for run in found] == ["sudoku", "arc"]
    assert found[1]["headline"]["denominator"] == 2


def test_a_run_of_a_wrong_clock_is_nobodys_newest(call: Call, home: Path) -> None:
    """A clock may be some hours ahead; days ahead it is wrong, and the run sorts behind all others, and says so."""
    file = home / "runs/sudoku/run.json"
    record = json.loads(file.read_text())
    for started in (_in(days=400), "2999-01-01T00:00:00+00:00", "9999-12-31T23:59:59-14:00"):
        file.write_text(json.dumps(record | {"started": started}))
        lines = call("runs", "list").out.splitlines()
        assert [line.split()[0] for line in lines] == ["RUN", "arc", "sudoku"]
        assert lines[2].rstrip().endswith(f"{started} (in the future)")
        assert call("runs", "path", "last").out == "runs/arc\n"
    # Another time zone is no other order, and one run is the last whatever its clock says.
    file.write_text(json.dumps(record | {"started": "2026-01-02T01:00:00+05:00"}))
    other = home / "runs/arc/run.json"
    other.write_text(json.dumps(json.loads(other.read_text()) | {"started": "2026-01-01T21:00:00+00:00"}))
    assert call("runs", "path", "last").out == "runs/arc\n"
    other.write_text(json.dumps(json.loads(other.read_text()) | {"started": "2026-01-01T19:00:00+00:00"}))
    assert call("runs", "path", "last").out == "runs/sudoku\n"


def test_a_foreign_file_among_the_runs_does_no_harm(call: Call, home: Path) -> None:
    for name, text in (("a", "{"), ("b", "[]"), ("c", '{"id": 1}')):
        (home / "runs" / name).mkdir()
        (home / "runs" / name / "run.json").write_text(text)
    said = call("runs", "list")
    assert said.code == 0
    assert len(said.out.splitlines()) == 3
    assert said.err.count("is not a run record") == 3


def test_a_run_has_many_names(call: Call, home: Path) -> None:
    for name in ("arc", "runs/arc", str(home / "runs/arc"), "runs/arc/run.json"):
        assert Path(call("runs", "path", name).out.strip()).resolve() == home / "runs/arc"
    assert call("runs", "path", "last").out == "runs/sudoku\n"


@pytest.mark.parametrize(
    ("name", "complaint"), [("sudku", "did you mean 'sudoku'"), ("zzz", "runs list"), ("runs", "holds no run.json")]
)
def test_unknown_runs_are_one_line(call: Call, home: Path, name: str, complaint: str) -> None:
    for verb in ("show", "score", "path"):
        said = call("runs", verb, name)
        assert said.code == 2
        assert said.err.count("\n") == 1
        assert complaint in said.err


def test_last_needs_a_run(call: Call) -> None:
    said = call("runs", "path", "last")
    assert said.code == 2
    assert "there is no run" in said.err


def test_show_prints_what_eval_printed(call: Call, home: Path) -> None:
    said = call("runs", "show", "arc").out
    assert "2 of 400 groups, 2 of 419 puzzles" in said
    assert "pass@2 *" in said
    assert json.loads(call("runs", "show", "arc", "--json").out)["status"] == "success"


def test_show_prints_grids_of_a_puzzle_or_a_group(call: Call, home: Path) -> None:
    said = call("runs", "show", "arc", "--puzzle", "00576224")
    assert said.code == 0, said.err
    assert "00576224_0: not solved" in said.out
    assert "attempt 1: wrong, 1 vote" in said.out
    assert "32  ->  323232" in said.out
    (found,) = json.loads(call("runs", "show", "arc", "--puzzle", "00576224_0", "--json").out)
    assert found["attempts"][0]["answer"] == found["input"] == [[3, 2], [7, 8]]
    said = call("runs", "show", "arc", "--puzzle", "007")
    assert said.code == 2
    assert "has no puzzle '007'" in said.err


def test_score_needs_no_model_and_says_whether_it_agrees(call: Call, home: Path) -> None:
    before = {path: path.read_bytes() for path in (home / "runs/sudoku").iterdir()}
    said = call("runs", "score", "sudoku")
    assert said.code == 0, said.err
    assert "the same as the scores in runs/sudoku/run.json" in said.out
    assert "5 views vote" in said.out
    assert {path: path.read_bytes() for path in (home / "runs/sudoku").iterdir()} == before
    fewer = json.loads(call("runs", "score", "sudoku", "--views", "2", "--attempts", "3", "--json").out)
    assert {entry["views"] for entry in fewer["scores"]} == {1, 2}
    assert {entry["name"] for entry in fewer["scores"]} == {"exact", "pass@2", "pass@3"}


def test_score_notices_a_record_that_was_touched_up(call: Call, home: Path) -> None:
    file = home / "runs/arc/run.json"
    data = json.loads(file.read_text())
    data["scores"][0]["value"] = 0.99
    file.write_text(json.dumps(data))
    assert "DIFFERS" in call("runs", "score", "arc").out


@pytest.mark.parametrize("damage", ["torn", "middle", "missing"])
def test_score_refuses_a_journal_that_is_not_whole(call: Call, home: Path, damage: str) -> None:
    path = home / "runs/sudoku/journal.jsonl"
    content = path.read_bytes()
    changed = {
        "torn": content[:-9],
        "middle": content.replace(b"/", b"0", 1),
        "missing": content[: content[:-1].rfind(b"\n") + 1],
    }
    path.write_bytes(changed[damage])
    said = call("runs", "score", "sudoku")
    assert said.code == 2, said
    assert said.err.count("\n") == 1
    assert {"torn": "middle of a row", "middle": "damaged at line 1", "missing": "49 of 50 rows"}[damage] in said.err


def test_submissions_in_both_formats(call: Call, home: Path) -> None:
    assert call("runs", "show", "arc", "--submission", "s.json").code == 0
    found = json.loads(Path("s.json").read_text())
    assert len(found) == 400
    assert found["00576224"] == [{"attempt_1": [[3, 2], [7, 8]], "attempt_2": [[3, 2], [7, 8]]}]
    assert call("runs", "show", "arc", "--submission", "s.csv").code == 0
    with Path("s.csv").open(newline="") as file:
        assert {row["output_id"]: row["output"] for row in csv.DictReader(file)}["00576224_0"] == "|32|78| |32|78|"
    said = call("runs", "show", "arc", "--submission", "s.json")
    folder = Path(call("runs", "path", "arc").out.strip())
    asked = len((folder / "puzzles.csv").read_text().splitlines()) - 1
    assert f"{asked} puzzles; the other {419 - asked} of the split" in said.out
    said = call("runs", "show", "arc", "--submission", "s.txt")
    assert said.code == 2
    assert ".json or .csv" in said.err
    said = call("runs", "show", "sudoku", "--submission", "s.json")
    assert said.code == 2
    assert "has no submission format" in said.err


def test_the_journal_holds_what_was_asked(home: Path) -> None:
    rows = list(journal.scan(home / "runs/sudoku/journal.jsonl"))
    assert len(rows) == 50
    assert len({(row.puzzle, row.view) for row in rows}) == 50


def test_listing_imports_nothing_heavy(home: Path, harness: object) -> None:
    import subprocess

    code = (
        "import sys; from trm_harness.cli.main import cli\n"
        "try: cli.main(['runs', 'list'])\n"
        "except SystemExit: print(sorted({'torch', 'numpy', 'pydantic', 'rich', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=home, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
