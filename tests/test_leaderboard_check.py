"""Filing a run and proving what was filed: every way of tampering that a reader might fall for is caught."""

from __future__ import annotations

import csv
import json
import lzma
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.test_cli_eval import Call, call
from trm_harness import paths
from trm_harness.leaderboard import archive
from trm_harness.record import read

__all__ = ["call"]

PLACE = "sudoku-4x4/oracle-sudoku/none/run"
NANO = "sudoku-4x4/trm-nano.sudoku-4x4/5c0e2006/20261123-210156-sudoku-4x4-trm-nano.sudoku-4x4"
SOURCES = "benchmark,split,system,family,params,metric,score_percent,cost_per_task_usd,date,source_title,source_id,"
SOURCES += "confidence,notes\nsudoku-4x4,test,A,recursive,1M,exact_accuracy,50,,2026,T,S,paper,\n"


@pytest.fixture
def board(call: Call) -> Path:
    """A leaderboards folder with one filed run of an exact solver and one reported score, committed to git."""
    assert call("eval", "--task", "sudoku-4x4", "--model", "oracle-sudoku", "--limit", "6", "--out", "run").code == 0
    said = call("leaderboard", "add", "run", "--to", "board/records")
    assert said.code == 0, said.err
    root = Path("board")
    (root / "reported").mkdir()
    (root / "reported" / "a.csv").write_text(SOURCES)
    for command in (("init", "-q"), ("add", "."), ("commit", "-qm", "base")):
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *command], cwd=root, check=True)
    return root


def check(call: Call, root: Path, *more: str) -> tuple[int, list[str]]:
    """Exit code, and the problems that were named."""
    said = call("leaderboard", "check", "--root", str(root), *more)
    return said.code, [line for line in said.out.splitlines() if line.startswith("PROBLEM")]


def change(file: Path, **fields: Any) -> None:
    """Set top-level fields of a JSON file."""
    file.write_text(json.dumps(json.loads(file.read_text()) | fields))


def test_a_filed_run_is_whole_and_checks_out(call: Call, board: Path) -> None:
    folder = board / "records" / PLACE
    assert {path.name for path in folder.iterdir()} == {
        "run.json", "plan.json", "journal.jsonl.xz", "films.json", "manifest.json", "verification.json",
    }  # fmt: skip
    assert (folder / "run.json").read_bytes() == Path("run/run.json").read_bytes()
    assert lzma.decompress((folder / "journal.jsonl.xz").read_bytes()) == Path("run/journal.jsonl").read_bytes()
    said = call("leaderboard", "check", "--root", str(board), "--base", "HEAD", "--strict")
    assert (said.code, said.out) == (0, "1 records, 1 scored again from their answers, 0 problems\n")
    assert archive.read_filed(folder, board / "records").level == "re-scored"
    again = call("runs", "score", str(folder))
    assert "the same as the scores" in again.out


def test_a_run_is_filed_once_and_never_half(call: Call, board: Path) -> None:
    before = sorted(board.rglob("*"))
    said = call("leaderboard", "add", "run", "--to", "board/records")
    assert (said.code, "is there already" in said.err) == (2, True)
    run = json.loads(Path("run/run.json").read_text())
    run["scores"][0]["value"] = run["headline"]["value"] = 0.5
    shutil.copytree("run", "forged")
    Path("forged/run.json").write_text(json.dumps(run | {"id": "forged"}))
    said = call("leaderboard", "add", "forged", "--to", "board/records")
    assert said.code == 2
    assert "cannot be filed" in said.err
    assert sorted(board.rglob("*")) == before


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"status": "cancelled"}, "only finished runs are filed"),
        ({"headline": None, "scores": []}, "has no score"),
    ],
)
def test_unfinished_runs_are_not_filed(call: Call, board: Path, fields: dict[str, Any], complaint: str) -> None:
    shutil.copytree("run", "other")
    change(Path("other/run.json"), id="other", **fields)
    said = call("leaderboard", "add", "other", "--to", "board/records")
    assert said.code == 2
    assert complaint in said.err


def edit(name: str, old: str, new: str) -> Callable[[Path], None]:
    """A change of one text in a file."""

    def apply(folder: Path) -> None:
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new))

    return apply


def rewrite(folder: Path) -> None:
    """The first answer of the journal becomes another one, with a checksum that fits."""
    import zlib

    first, *rest = lzma.decompress((folder / "journal.jsonl.xz").read_bytes()).splitlines(keepends=True)
    body = first[: first.rindex(b',"')]
    place = body.index(b'["', 2) + 2
    body = body[:place] + (b"2" if body[place : place + 1] == b"1" else b"1") + body[place + 1 :]
    line = body + f',"{zlib.crc32(body):08x}"]\n'.encode()
    (folder / "journal.jsonl.xz").write_bytes(lzma.compress(b"".join([line, *rest])))


def shorten(folder: Path) -> None:
    lines = lzma.decompress((folder / "journal.jsonl.xz").read_bytes()).splitlines(keepends=True)
    (folder / "journal.jsonl.xz").write_bytes(lzma.compress(b"".join(lines[:-1])))


def score(folder: Path) -> None:
    """A better numerator everywhere, consistent with itself."""
    run = json.loads((folder / "run.json").read_text())
    for entry in (run["headline"], *run["scores"]):
        entry |= {"numerator": 5.0, "value": 5 / 6, "low": 0.5, "high": 0.9}
    (folder / "run.json").write_text(json.dumps(run))


def narrow(folder: Path) -> None:
    """A denominator that leaves puzzles out."""
    run = json.loads((folder / "run.json").read_text())
    for entry in (run["headline"], *run["scores"]):
        entry |= {"numerator": 5.0, "denominator": 5}
    (folder / "run.json").write_text(json.dumps(run))


def fewer(folder: Path) -> None:
    run = json.loads((folder / "run.json").read_text())
    run["selection"] |= {"groups": 5, "puzzles": 5}
    for entry in (run["headline"], *run["scores"]):
        entry |= {"numerator": 5.0, "denominator": 5}
    (folder / "run.json").write_text(json.dumps(run))


TAMPERED = [
    pytest.param(score, "do not follow from its answers", id="score"),
    pytest.param(narrow, "counts 5 of the 6 puzzles", id="denominator"),
    pytest.param(fewer, "another number of puzzles", id="selection"),
    pytest.param(rewrite, "do not follow from its answers", id="predictions"),
    pytest.param(shorten, "5 of 6 rows", id="predictions missing"),
    pytest.param(
        edit("run.json", '"data_sha256": "', '"data_sha256": "0'), "plan.json has data_sha256", id="data hash"
    ),
    pytest.param(edit("run.json", '"oracle-sudoku"', '"oracle-none"'), "belongs at", id="model"),
    pytest.param(edit("run.json", '"command": "', '"command": "cd /home/me/x/ && '), "private path", id="private path"),
    pytest.param(edit("films.json", '"right":true', '"right":false'), "films do not show", id="films"),
    pytest.param(edit("run.json", '"split_puzzles": 500', '"split_puzzles": 6'), "it says the split has", id="split"),
    pytest.param(edit("run.json", '"schema_version": 1', '"schema_version": 9'), "schema version 9", id="schema"),
    pytest.param(edit("run.json", '"message": ""', '"extra": ""'), "not a valid run record", id="unknown field"),
]


@pytest.mark.parametrize(("tamper", "complaint"), TAMPERED)
def test_tampering_is_caught(call: Call, board: Path, tamper: Callable[[Path], None], complaint: str) -> None:
    """Twice: by the manifest as it is, and by the content once somebody made the manifest and the checks fit."""
    folder = board / "records" / PLACE
    tamper(folder)
    code, problems = check(call, board)
    assert code == 1
    assert any("is not the file that the manifest names" in text for text in problems) or complaint in problems[0]
    archive.write_manifest(folder)
    (folder / "verification.json").unlink()
    code, problems = check(call, board)
    assert code == 1
    assert any(complaint in text for text in problems), problems
    code, problems = check(call, board, "--base", "HEAD")
    assert any("was changed: a filed run stays as it is" in text for text in problems)


def test_a_wrong_manifest_strange_files_and_old_checks_are_caught(call: Call, board: Path) -> None:
    folder = board / "records" / PLACE
    edit("manifest.json", '"run.json": "', '"run.json": "0')(folder)
    edit("verification.json", '"journal_sha256": "', '"journal_sha256": "0')(folder)
    (folder / "notes.txt").write_text("x")
    _, problems = check(call, board)
    for complaint in ("run.json is not the file", "made of another record", "notes.txt does not belong here"):
        assert any(complaint in text for text in problems), problems
    assert archive.read_filed(folder, board / "records").level == "self-reported"


def test_moved_and_vanished_records_are_caught(call: Call, board: Path) -> None:
    records = board / "records"
    (records / "sudoku-4x4").rename(records / "sudoku-6x6")
    _, problems = check(call, board, "--base", "HEAD")
    assert any("belongs at sudoku-4x4/oracle-sudoku/none/run" in text for text in problems)
    assert any(text.startswith(f"PROBLEM {PLACE}: run.json has vanished") for text in problems)
    shutil.rmtree(records / "sudoku-6x6")
    (board / "withdrawn.csv").write_text(f"place,date,reason\n{PLACE},2026-11-25,wrong data\n")
    said = call("leaderboard", "check", "--root", str(board), "--base", "HEAD")
    assert said.code == 0, said.out
    assert "withdrawn: wrong data" in said.out


def test_reported_scores_do_not_vanish_and_changes_are_told(call: Call, board: Path) -> None:
    file = board / "reported" / "a.csv"
    file.write_text(SOURCES.replace(",50,", ",51,"))
    said = call("leaderboard", "check", "--root", str(board), "--base", "HEAD")
    assert (said.code, "score_percent '50' -> '51'" in said.out) == (0, True)
    file.write_text(SOURCES.splitlines()[0] + "\n")
    code, problems = check(call, board, "--base", "HEAD")
    assert code == 1
    assert "a reported score has vanished" in problems[0]
    file.write_text(SOURCES.replace("paper", "rumour"))
    assert "confidence 'rumour'" in check(call, board)[1][0]


def test_checks_are_added_never_taken_away(call: Call, board: Path) -> None:
    folder = board / "records" / PLACE
    archive.add_check(folder, archive.read_checks(folder)[0])
    said = call("leaderboard", "check", "--root", str(board), "--base", "HEAD")
    assert (said.code, "new checks by whoever made this change" in said.out) == (0, True)
    (folder / "verification.json").write_text('{"format": 1, "checks": []}')
    assert "lost or changed a check" in check(call, board, "--base", "HEAD")[1][0]
    (folder / "verification.json").unlink()
    assert "verification.json has vanished" in check(call, board, "--base", "HEAD")[1][0]


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('"name": "sudoku-4x4/train"', None, "do not declare what they were trained on"),
        ('"demonstrations": "inductive"', '"demonstrations": "unknown"', "use of demonstrations"),
        (
            '"checkpoint_choice": "last',
            '"checkpoint_choice": "unknown", "notes": "last',
            "how the checkpoint was chosen",
        ),
        ('"status": "clean"', '"status": "unknown"', "were not compared with the training data"),
        ('"weights_sha256": "5c0e2006', '"weights_sha256": "5c0e2007', "holds other weights"),
    ],
)
def test_missing_declarations_are_caught(call: Call, tmp_path: Path, old: str, new: str | None, complaint: str) -> None:
    folder = tmp_path / "board/records" / NANO
    shutil.copytree(paths.records() / NANO, folder)
    (tmp_path / "board/reported").mkdir()
    file = folder / "run.json"
    if new is None:
        run = json.loads(file.read_text())
        run["training"]["data"] = []
        file.write_text(json.dumps(run))
    else:
        for name in ("run.json", "plan.json") if "weights_sha256" in old else ("run.json",):
            edit(name, old, new)(folder)
    if "weights_sha256" in old:
        folder.parent.rename(folder.parent.with_name("5c0e2007"))
        folder = folder.parent.with_name("5c0e2007") / folder.name
    (folder / "verification.json").unlink(missing_ok=True)
    archive.write_manifest(folder)
    code, problems = check(call, tmp_path / "board")
    assert code == 1
    assert any(complaint in text for text in problems), problems


def test_data_that_is_not_here_is_told_and_strict_refuses(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = "maze-hard/oracle-maze/none"
    shutil.copytree(paths.records() / place, tmp_path / "board/records" / place)
    (tmp_path / "board/reported").mkdir()
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    said = call("leaderboard", "check", "--root", "board")
    assert said.code == 0, said.out
    assert "not scored again here" in said.out
    assert "1 records, 0 scored again" in said.out
    assert call("leaderboard", "check", "--root", "board", "--strict").code == 1


def test_bad_commits_and_places_are_one_line(call: Call, board: Path) -> None:
    for args in (("--base", "nowhere"), ("--base", "--upload-pack=x"), ("elsewhere",), ("--data", "x")):
        said = call("leaderboard", "check", "--root", str(board), *args)
        assert (said.code, len(said.err.strip().splitlines())) == (2, 1), (args, said)
    (board / "withdrawn.csv").write_text("a,b\n")
    assert check(call, board)[0] == 1


def test_a_run_is_borne_out_by_a_second_one(call: Call, board: Path) -> None:
    folder = board / "records" / PLACE
    said = call("runs", "verify", str(folder), "--sample", "3", "--json")
    told = json.loads(said.out)
    assert said.code == 0, said.err
    assert (told["puzzles"], told["of"], told["grids"], told["equal"], told["agree"]) == (3, 6, 3, 3, 3)
    assert archive.read_filed(folder, board / "records").level == "re-run"
    assert check(call, board) == (0, [])
    assert "6 of 6 equal in every cell" in call("runs", "verify", "run", "--all").out
    assert read(Path("run")) == read(folder)


def test_other_answers_are_not_borne_out(call: Call, board: Path) -> None:
    """A record whose answers were made up is caught by running it again, though its scores follow from them."""
    from trm_harness.evaluate import rescore
    from trm_harness.filing.scores import filed_task
    from trm_harness.record import write

    folder = board / "records" / PLACE
    rewrite(folder)
    write(folder, rescore(folder, filed_task(folder, {})))
    for name in ("verification.json", "films.json"):
        (folder / name).unlink()
    archive.write_manifest(folder)
    assert check(call, board) == (0, [])
    said = call("runs", "verify", str(folder), "--all")
    assert said.code == 1
    assert "5 of 6 equal in every cell: test-000000" in said.out
    assert archive.read_filed(folder, board / "records").level == "self-reported"


def test_the_zoo_files_by_the_same_road(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A card of the shipped zoo takes its score from a run, which lies packed and proved among the records then."""
    from trm_harness import curate
    from trm_harness.zoo import read_card

    home = tmp_path / "zoo" / "trm-nano.sudoku-4x4"
    shutil.copytree(paths.zoo() / home.name, home)
    monkeypatch.setattr(curate, "zoo", lambda: tmp_path / "zoo")
    monkeypatch.setattr(curate, "leaderboards", lambda: tmp_path / "boards")
    weights = str(home / "weights.safetensors")
    said = call(*("eval", "--task", "sudoku-4x4", "--model", "trm-nano", "--weights", weights, "--limit", "4"))
    assert said.code == 0, said.err
    (run,) = Path("runs").iterdir()
    card = curate.file_record(read_card(home / "card.toml"), run)
    folder = tmp_path / card.expected.record.replace("leaderboards", "boards")
    assert (folder / "journal.jsonl.xz").is_file()
    (tmp_path / "boards" / "reported").mkdir()
    assert check(call, tmp_path / "boards") == (0, [])
    assert archive.read_filed(folder, tmp_path / "boards/records").level == "re-scored"
    assert curate.file_record(card, folder).expected == card.expected


def test_what_this_project_publishes_checks_out(call: Call) -> None:
    """Small ones whole; of the large ones all that needs no data. The workflow scores every record again."""
    from trm_harness.leaderboard.check import check_filed

    root = paths.records()
    folders = list(archive.folders(root))
    assert {folder.relative_to(root).parts[0] for folder in folders} >= {"arc1", "arc2", "maze-hard", "sudoku-9x9"}
    assert [str(found) for folder in folders for found in check_filed(folder, root) if found.problem] == []
    said = call("leaderboard", "check", str(root / "sudoku-4x4"))
    assert said.code == 0, said.out


def test_every_column_of_the_reported_files_is_explained() -> None:
    text = (paths.leaderboards() / "README.md").read_text()
    for file in paths.reported().glob("*.csv"):
        with file.open(newline="") as stream:
            assert all(f"`{name}`" in text for name in next(csv.reader(stream)))
