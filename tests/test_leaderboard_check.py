"""Filing a run and proving what was filed: every way of tampering that a reader might fall for is caught."""

from __future__ import annotations

import csv
import json
import lzma
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.test_cli_eval import Call, call
from tests.test_nothing_lost import make_checkout
from trm_harness.files import paths
from trm_harness.leaderboard import archive
from trm_harness.publish.verify import bears_out
from trm_harness.record import ContaminationEntry, read

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


def test_processes_that_share_the_records_find_what_one_finds(
    call: Call, board: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trm_harness.cli.leaderboard import check as checking
    from trm_harness.inference import workers

    records = board / "records"
    for name in ("b", "a", "c"):
        copy = records / PLACE.replace("/run", f"/{name}")
        shutil.copytree(records / PLACE, copy)
        change(copy / "run.json", id=name)
    change(records / PLACE.replace("/run", "/a") / "plan.json", steps=3)
    started: list[int] = []
    pool = workers.ProcessPoolExecutor
    monkeypatch.setattr(
        workers, "ProcessPoolExecutor", lambda count, *more: started.append(count) or pool(count, *more)
    )
    one = checking.run_check(board.absolute(), "", {}, ())
    assert (one.records, one.rescored) == (4, 1)
    assert any(finding.place.endswith("/a") and "steps" in finding.text for finding in one.findings)
    monkeypatch.setattr(checking, "FOR_A_PROCESS", 2)
    monkeypatch.setattr("trm_harness.machine.cores", lambda: 2)
    assert checking.run_check(board.absolute(), "", {}, ()) == one
    assert started == [2]


@pytest.mark.parametrize(
    ("told", "found", "holds"),
    [
        (("incomplete", 0), ("clean", 0), True),
        (("clean", 0), ("clean", 0), True),
        (("contaminated", 3), ("contaminated", 3), True),
        (("clean", 0), ("incomplete", 0), False),
        (("incomplete", 0), ("contaminated", 2), False),
        (("contaminated", 3), ("clean", 0), False),
        (("contaminated", 3), ("contaminated", 4), False),
    ],
)
def test_what_could_not_be_compared_then_may_be_compared_now(
    told: tuple[str, int], found: tuple[str, int], holds: bool
) -> None:
    one, other = (ContaminationEntry(status=status, puzzles=count) for status, count in (told, found))
    assert bears_out(other, one) == holds


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
        ({"finished": "2999-01-01T00:00:00+00:00"}, "its date 2999-01-01T00:00:00+00:00 lies in the future"),
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
    for old, new, complaint in ((",S,", ",\u00a0,", "'source_id' is empty"), (",A,", ",A\u202e,", "does not show")):
        file.write_text(SOURCES.replace(old, new))
        assert complaint in check(call, board)[1][0]
    line = SOURCES.splitlines()[1].replace(",A,", ",B,")
    file.write_text(f"{SOURCES}{line}\n{line}\n")
    assert "the same score of the same source stands here twice" in check(call, board, "--base", "HEAD")[1][0]


def test_checks_are_added_never_taken_away(call: Call, board: Path) -> None:
    folder = board / "records" / PLACE
    archive.add_check(folder, archive.read_checks(folder)[0])
    said = call("leaderboard", "check", "--root", str(board), "--base", "HEAD")
    assert said.code == 0
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
    shutil.copytree(paths.leaderboards() / "records" / NANO, folder)
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
    shutil.copytree(paths.leaderboards() / "records" / place, tmp_path / "board/records" / place)
    (tmp_path / "board/reported").mkdir()
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    said = call("leaderboard", "check", "--root", "board")
    assert said.code == 0, said.out
    assert "not scored again here" in said.out
    assert "1 records, 0 scored again" in said.out
    assert call("leaderboard", "check", "--root", "board", "--strict").code == 1


def lie(tmp_path: Path, place: str, run: dict[str, Any], plan: dict[str, Any] | None = None) -> Path:
    """A board with a published record that says something else of its model or run, with a manifest that fits."""
    folder = tmp_path / "board/records/lie"
    shutil.copytree(paths.leaderboards() / "records" / place, folder)
    (tmp_path / "board/reported").mkdir(exist_ok=True)
    for name, fields in (("run.json", run), ("plan.json", plan or {})):
        told = json.loads((folder / name).read_text())
        for key, value in fields.items():
            *above, last = key.split(".")
            inner = told
            for part in above:
                inner = inner[part]
            inner[last] = value
        (folder / name).write_text(json.dumps(told))
    (folder / "verification.json").unlink(missing_ok=True)
    archive.write_manifest(folder)
    to = tmp_path / "board/records" / archive.place_of(read(folder))
    to.parent.mkdir(parents=True, exist_ok=True)
    return folder.rename(to)


ORACLE = "sudoku-4x4/oracle-sudoku/none/sudoku-4x4-oracle-sudoku"
VOTES = "sudoku-9x9/trm-mini.sudoku-9x9/38f4a154/sudoku-9x9-8-views"
UNNAMED = {"weights_sha256": ""}


@pytest.mark.parametrize(
    ("place", "run", "plan", "complaint"),
    [
        (NANO, {"model.network_parameters": 900}, {}, "it says 900 + 0 parameters, the card of its weights 125,314"),
        (ORACLE, {"model.family": "recursive"}, {}, "the registry says 'solver'"),
        (ORACLE, {"model.network_parameters": 7}, {}, "a model of family 'solver' has no 7 parameters"),
        (NANO, {"model.weights_sha256": ""}, UNNAMED, "names no weights and does not say that the model was untrained"),
        (NANO, {"model.card": "super"}, {}, "its weights are those of the card trm-nano.sudoku-4x4"),
        (VOTES, {"training.extra_data": [], "training.data": [{"name": "x"}]}, {}, "leaves out training data"),
        (VOTES, {"protocol.views": 1, "protocol.augment": 1}, {}, "do not follow from its answers"),
        (VOTES, {}, {"views": 1, "plan.augment": 1}, "repeats a row"),
        (NANO, {"task.data_sha256": "0" * 64}, {"data_sha256": "0" * 64}, "changed since the run"),
        (NANO, {"cost.device_name": "a\u001b[2K\u202eb"}, {}, "holds a control character"),
    ],
)
def test_what_a_record_says_of_itself_is_held_against_what_is_known(
    call: Call, tmp_path: Path, place: str, run: dict[str, Any], plan: dict[str, Any], complaint: str
) -> None:
    lie(tmp_path, place, run, plan)
    code, problems = check(call, tmp_path / "board")
    assert code == 1
    assert any(complaint in text for text in problems), problems


def test_the_same_answers_and_weights_are_not_shown_twice(call: Call, tmp_path: Path) -> None:
    lie(tmp_path, NANO, {})
    assert check(call, tmp_path / "board") == (0, [])
    lie(tmp_path, NANO, {"id": "another"})
    said = call("leaderboard", "check", "--root", "board")
    assert (said.code, said.out.count("to the byte: `runs verify` would note it there")) == (0, 1)
    # Somebody's answers as those of another network, and a network under a second name.
    lie(tmp_path, NANO, {"model.card": "super", "model.weights_sha256": "a" * 64}, {"weights_sha256": "a" * 64})
    lie(tmp_path, NANO, {"model.card": "hyper"})
    _, problems = check(call, tmp_path / "board")
    assert sum("to the byte: and not of its weights" in text for text in problems) == 1, problems
    assert sum("one name for one network" in text for text in problems) > 0, problems


def test_titles_that_a_record_makes_up_are_told_and_not_shown(call: Call, tmp_path: Path) -> None:
    from trm_harness.cli.leaderboard.build import made_site

    forgery = "solved\nPROBLEM nothing: all is well"
    folder = lie(tmp_path, NANO, {"model.title": forgery, "task.title": "Sudoku-Extreme"})
    said = call("leaderboard", "check", "--root", "board")
    assert said.code == 0, said.out
    assert "it calls the title of its task 'Sudoku-Extreme', the registry 'Sudoku 4x4, generated'" in said.out
    assert not [line for line in said.out.splitlines() if line.startswith("PROBLEM")]
    place = folder.relative_to(tmp_path / "board/records").as_posix()
    assert "Sudoku-Extreme" not in made_site(tmp_path / "board").pages()[f"records/{place}.html"].decode()


def test_a_withdrawn_record_does_not_come_back_unseen_under_another_id(call: Call, tmp_path: Path) -> None:
    lie(tmp_path, NANO, {"id": "another"})
    (tmp_path / "board/withdrawn.csv").write_text(f"place,date,reason\n{NANO},2026-11-25,wrong data\n")
    said = call("leaderboard", "check", "--root", "board")
    assert "another run of these weights was withdrawn on 2026-11-25 (wrong data)" in said.out
    assert call("leaderboard", "build", "--root", "board", "--out", "site").code == 0


@pytest.mark.slow
def test_the_check_takes_time_in_proportion_to_the_records(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trm_harness.cli.leaderboard.check import run_check

    monkeypatch.setattr("trm_harness.machine.cores", lambda: 1)
    took = []
    for count in (8, 32):
        for number in range(count - len(took) * 8):
            lie(tmp_path, NANO, {"id": f"copy-{count}-{number}"})
        began = time.process_time()
        report = run_check(tmp_path / "board", "", {}, ())
        took.append(time.process_time() - began)
        assert report.rescored == count
    assert took[1] < 5 * took[0], took


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
    from trm_harness.publish.rescore import filed_task
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


def test_the_zoo_files_by_the_same_road(call: Call, tmp_path: Path) -> None:
    """A card of a checkout's zoo takes its score from a run, which lies packed and proved among its records then."""
    from trm_harness.publish import card as making
    from trm_harness.zoo import read_card

    home = tmp_path / "zoo" / "trm-nano.sudoku-4x4"
    shutil.copytree(paths.zoo() / home.name, home)
    make_checkout(tmp_path)
    weights = str(home / "weights.safetensors")
    said = call(*("eval", "--task", "sudoku-4x4", "--model", "trm-nano", "--weights", weights, "--limit", "4"))
    assert said.code == 0, said.err
    (run,) = Path("runs").iterdir()
    card = making.file_record(read_card(home / "card.toml"), run)
    folder = tmp_path / card.expected.record
    assert (folder / "journal.jsonl.xz").is_file()
    assert check(call, tmp_path / "leaderboards") == (0, [])
    assert archive.read_filed(folder, tmp_path / "leaderboards/records").level == "re-scored"
    assert making.file_record(card, folder).expected == card.expected


def test_what_this_project_publishes_checks_out(call: Call) -> None:
    """Small ones whole; of the large ones all that needs no data. The workflow scores every record again."""
    from trm_harness.leaderboard.check import check_filed

    root = paths.leaderboards() / "records"
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


def brought(board: Path, call: Call) -> tuple[int, str]:
    said = call("leaderboard", "check", "--root", str(board), "--base", "HEAD")
    return said.code, said.out


def forged(folder: Path) -> None:
    """A check that nobody made: a second run of all six puzzles with equal answers."""
    (made,) = archive.read_checks(folder)
    told = {"kind": "re-run", "grids": 6, "equal": 6, "agree": 6, "device": "a GPU", "harness": "9.9"}
    archive.add_check(folder, made.model_copy(update=told))


def test_a_new_record_cannot_bring_a_second_run(call: Call, board: Path) -> None:
    """It counts as what this check proved; who brought which check, and of how many puzzles, stands in the review."""
    assert call("eval", "--task", "sudoku-4x4", "--model", "oracle-sudoku", "--limit", "6", "--out", "b").code == 0
    assert call("leaderboard", "add", "b", "--to", "board/records").code == 0
    code, out = brought(board, call)
    assert code == 0, out
    assert "new re-scored check of" in out
    assert "(not committed yet)" in out
    folder = board / "records/sudoku-4x4/oracle-sudoku/none/b"
    forged(folder)
    assert archive.read_filed(folder, board / "records").level == "re-run"
    assert check(call, board) == (0, [])
    code, out = brought(board, call)
    assert code == 1
    assert "PROBLEM sudoku-4x4/oracle-sudoku/none/b: a new record counts as re-scored at most" in out
    command = ["git", "-c", "user.name=Mallory", "-c", "user.email=a@b", "commit", "-qm", "b"]
    subprocess.run(["git", "add", "."], cwd=board, check=True)
    subprocess.run(command, cwd=board, check=True)
    said = call("leaderboard", "check", "--root", str(board), "--base", "HEAD~1")
    assert said.code == 1
    assert "re-run check of" in said.out
    assert "6 of 6 puzzles, 6 agree, 6 of 6 grids equal, on a GPU with 9.9" in said.out
    assert "(Mallory, commit " in said.out
    # Once it stands in the base it is nobody's novelty.
    code, out = brought(board, call)
    assert code == 0
    assert "re-run" not in out


def test_a_second_run_of_an_old_record_waits_for_a_maintainer(call: Call, board: Path) -> None:
    forged(board / "records" / PLACE)
    code, out = brought(board, call)
    assert code == 1
    assert f"PROBLEM {PLACE}: nobody here saw that re-run" in out
    accepted = ("leaderboard", "check", "--root", str(board), "--accept-checks")
    said = call(*accepted, "--base", "HEAD")
    assert said.code == 0, said.out
    assert "new re-run check of" in said.out
    assert call(*accepted).code == 2


def test_a_check_that_could_not_be_repeated_here_does_not_come_in(
    call: Call, board: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = "maze-hard/oracle-maze/none/maze-hard-oracle-maze"
    shutil.copytree(paths.leaderboards() / "records" / place, board / "records" / place)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    code, out = brought(board, call)
    assert code == 1
    assert "it was not scored again here, so that its re-scored check shows nothing" in out
    (board / "records" / place / "verification.json").unlink()
    assert brought(board, call)[0] == 0


def test_what_was_withdrawn_stays_away(call: Call, board: Path) -> None:
    file = board / "withdrawn.csv"
    file.write_text(f"place,date,reason\n{PLACE},2026-11-25,wrong data\n")
    code, problems = check(call, board)
    assert code == 1
    assert "was withdrawn on 2026-11-25 (wrong data) and is here again" in problems[0]
    shutil.rmtree(board / "records" / PLACE)
    assert brought(board, call)[0] == 0
    said = call("leaderboard", "add", "run", "--to", "board/records")
    assert (said.code, "was withdrawn on 2026-11-25: wrong data" in said.err) == (2, True)
    subprocess.run(["git", "add", "."], cwd=board, check=True)
    subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "gone"], cwd=board, check=True)
    file.unlink()
    code, out = brought(board, call)
    assert code == 1
    assert "its line in withdrawn.csv has vanished" in out


def test_what_is_missing_is_said_at_once_and_declared_without_a_second_run(call: Call, tmp_path: Path) -> None:
    assert call("eval", "--task", "sudoku-4x4", "--model", "trm-nano", "--limit", "4", "--out", "run").code == 0
    record = json.loads(Path("run/run.json").read_text())
    before = Path("run/journal.jsonl").read_bytes()
    bare = {"data": [], "demonstrations": "unknown", "checkpoint_choice": ""}
    change(Path("run/run.json"), training=record["training"] | bare, contamination=None)
    # The card of these weights declares it: the run is filed with that declaration, its answers untouched.
    said = call("leaderboard", "add", "run", "--to", "board/records")
    assert said.code == 0, said.err
    (folder,) = archive.folders(tmp_path / "board/records")
    filed = json.loads((folder / "run.json").read_text())
    assert filed["training"] == record["training"]
    assert filed["contamination"] == record["contamination"]
    assert lzma.decompress((folder / "journal.jsonl.xz").read_bytes()) == before
    (tmp_path / "board/reported").mkdir()
    assert check(call, tmp_path / "board") == (0, [])
    # Of other weights nobody knows more than the record says.
    shutil.copytree("run", "other")
    text = Path("other/run.json").read_text().replace(record["model"]["weights_sha256"], "a" * 64)
    Path("other/run.json").write_text(text)
    said = call("leaderboard", "add", "other", "--to", "board/records")
    assert said.code == 2
    for complaint in (
        "do not declare what they were trained on",
        "do not declare the use of demonstrations",
        "do not declare how the checkpoint was chosen",
        "were not compared with the training data",
        "card.toml",
        "nothing has to be evaluated again",
    ):
        assert complaint in said.err, said.err
