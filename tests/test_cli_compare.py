"""``runs diff`` and ``runs watch`` on real runs, in a real terminal (a pty) and in a real browser."""

from __future__ import annotations

import csv
import json
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from fcntl import ioctl
from pathlib import Path

import numpy as np
import pytest

from tests.browser import CHROMIUM, browser
from tests.test_cli_eval import Call, call
from trm_harness import record
from trm_harness.cli.options import flow
from trm_harness.cli.runs.film import HEAD, write_gif, write_html
from trm_harness.grids import PALETTE
from trm_harness.record import journal
from trm_harness.record.replay import Frame, Reel, frames, liveliest
from trm_harness.scoring.intervals import mcnemar

__all__ = ["call"]

RESTLESS = "test-000074"
"""A puzzle that the shipped weights have right after step 5 and wrong after step 8."""
SUDOKU = ("--task", "sudoku-4x4", "--puzzles", f"{RESTLESS},test-000000,test-000001,test-000002")
RUNS = {
    "five": (*SUDOKU, "--model", "trm-nano", "--steps", "5"),
    "eight": (*SUDOKU, "--model", "trm-nano"),
    "guess": ("--task", "sudoku-4x4", "--model", "random", "--limit", "3", "--augment", "2"),
    "solver": (*SUDOKU, "--model", "oracle-sudoku"),
    "big": ("--task", "maze-30x30", "--model", "trm-nano", "--untrained", "--limit", "1", "--steps", "2"),
    "solved": ("--task", "maze-30x30", "--model", "oracle-maze", "--limit", "1"),
    "arc": ("--task", "arc1", "--model", "copy-input", "--puzzles", "00576224,f9d67f8b,1d398264"),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every run of :data:`RUNS`."""
    from trm_harness.cli.main import main

    home = tmp_path_factory.mktemp("home")
    for name, args in RUNS.items():
        with pytest.raises(SystemExit) as stop:
            main(["eval", *args, "--out", str(home / "runs" / name)])
        assert stop.value.code == 0
    return home


@pytest.fixture
def home(made: Path, tmp_path: Path, call: Call) -> Path:
    """A copy to work in."""
    shutil.copytree(made / "runs", tmp_path / "runs")
    return tmp_path


def terminal(home: Path, columns: int, lines: int, *args: str, **environment: str) -> list[str]:
    """What the command writes on a terminal of that size, line by line, escape sequences included."""
    ours, theirs = pty.openpty()
    ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    kept = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES", "NO_COLOR")}
    process = subprocess.Popen(
        [sys.executable, "-m", "trm_harness", *args],
        cwd=home,
        env=kept | {"TERM": "xterm-256color", "COLORTERM": "truecolor"} | environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    said = b"".join(_until_closed(ours))
    os.close(ours)
    assert process.wait(60) == 0, said
    return re.split(r"\r\n|\r|\n", said.decode())


def _until_closed(stream: int) -> Iterator[bytes]:
    try:
        while chunk := os.read(stream, 1 << 16):
            yield chunk
    except OSError:
        # Linux says so when the last writer has gone.
        return


def bare(line: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", line)


def test_diff_says_what_broke_and_what_differs(call: Call, home: Path) -> None:
    said = call("runs", "diff", "five", "eight")
    assert said.code == 0, said.err
    assert "4 puzzles in both\n" in said.out
    assert "differs (A -> B): steps 5 -> 8" in said.out
    assert "A 100.00 %, B 75.00 %, B - A = -25.00 points" in said.out
    assert "both right 3, only A 1, only B 0, neither 0; exact McNemar p = 1" in said.out
    assert "newly solved: none" in said.out
    assert f"newly broken (1): {RESTLESS}" in said.out
    assert "\x1b" not in said.out


def test_diff_marks_wrong_cells_without_colour(call: Call, home: Path) -> None:
    lines = call("runs", "diff", "five", "eight").out.splitlines()
    start = lines.index(f"{RESTLESS}: newly broken")
    assert lines[start + 1].split("   ")[0].strip() == "input"
    assert "A: right" in lines[start + 1]
    rows = {entry.puzzle: entry.row() for entry in journal.scan(home / "runs/eight/journal.jsonl")}
    right = {entry.puzzle: entry.row() for entry in journal.scan(home / "runs/five/journal.jsonl")}
    wrong = rows[RESTLESS].answers[-1] != right[RESTLESS].answers[-1]
    assert f"B: {wrong.sum()} wrong (!)" in lines[start + 1]
    assert sum(line.count("!") for line in lines[start + 2 : start + 6]) == wrong.sum() > 0


def test_diff_agrees_with_a_recount_of_both_tables(call: Call, home: Path) -> None:
    found = json.loads(call("runs", "diff", "guess", "eight", "--json").out)
    tables = []
    for name in ("guess", "eight"):
        with (home / "runs" / name / "puzzles.csv").open(newline="") as file:
            tables.append({row["puzzle"]: row["rank"] == "1" for row in csv.DictReader(file)})
    shared = [name for name in tables[0] if name in tables[1]]
    solved = [name for name in shared if tables[1][name] and not tables[0][name]]
    assert found["newly_solved"] == solved != []
    assert (
        found["unpaired"] == {"a": len(tables[0]) - len(shared), "b": len(tables[1]) - len(shared)} == {"a": 0, "b": 1}
    )
    assert found["puzzles"]["p"] == mcnemar(found["puzzles"]["only_a"], found["puzzles"]["only_b"])
    assert found["score"]["difference"] == found["score"]["b"] - found["score"]["a"]
    assert found["protocol"]["views"] == {"a": 2, "b": 1}
    assert [shown["puzzle"] for shown in found["shown"]] == solved[:3]
    assert found["shown"][0]["b"]["grid"] == found["shown"][0]["answer"]
    said = call("runs", "diff", "guess", "eight").out
    assert "3 puzzles in both (1 only in B left out)" in said
    assert "recorded  exact: A 0.00 %, B 75.00 %" in said


def test_diff_at_a_step_compares_the_single_pass(call: Call, home: Path) -> None:
    found = json.loads(call("runs", "diff", "solver", "eight", "--at", "5", "--json").out)
    assert found["compared"]["step"] == 5
    assert found["puzzles"]["both"] == 4
    late = json.loads(call("runs", "diff", "solver", "eight", "--at", "8", "--json").out)
    assert late["newly_broken"] == [RESTLESS]
    assert late["shown"][0]["a"]["grid"] == late["shown"][0]["answer"] != late["shown"][0]["b"]["grid"]
    curve = record.read(home / "runs/eight").depth_curve.accuracy
    assert late["score"]["b"] == curve[7]
    said = call("runs", "diff", "five", "eight", "--at", "9")
    assert (said.code, said.err.count("\n")) == (2, 1)
    assert "beyond the last step of both runs (8)" in said.err


def test_a_run_equals_itself_and_groups_are_counted(call: Call, home: Path) -> None:
    said = call("runs", "diff", "arc", "arc").out
    assert "protocol  the same" in said
    assert "pass@2 (outputs)" in said
    assert re.search(r"^puzzles +both right 0, only A 0, only B 0, neither 4; exact McNemar p = 1$", said, re.M)
    assert re.search(r"^groups +both right 0, only A 0, only B 0, neither 3; exact McNemar p = 1$", said, re.M)


def test_diff_within_two_attempts_shows_the_one_that_was_right(call: Call, home: Path) -> None:
    """The same run, but the right answer added as the second candidate of a puzzle, in all its files."""
    shutil.copytree(home / "runs/arc", home / "runs/better")
    name, folder = "00576224_0", home / "runs/better"
    answer = json.loads(call("runs", "show", "arc", "--puzzle", name, "--json").out)[0]["answer"]
    text = journal.grid_text(np.array(answer, dtype=np.uint8))
    table = (folder / "puzzles.csv").read_text()
    (folder / "puzzles.csv").write_text(table.replace(f"{name},00576224,1,,1", f"{name},00576224,1,2,2"))
    with (folder / "candidates.csv").open("a") as file:
        file.write(f"{name},2,1,0.5,1,1,{text}\n")
    data = json.loads((folder / "run.json").read_text())
    data["headline"] |= {"value": 1 / 3, "numerator": 1.0}
    (folder / "run.json").write_text(json.dumps(data))
    said = call("runs", "diff", "arc", "better")
    assert said.code == 0, said.err
    assert f"newly solved (1): {name}" in said.out
    assert "B: right, attempt 2" in said.out
    assert "A: wrong size 2x2" in said.out


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        (("five", "arc"), "on different data (task sudoku-4x4 and arc1)"),
        (("five", "nobody"), "unknown run 'nobody'"),
        (("five", "stopped"), "not finished"),
        (("five", "bare"), "puzzles.csv cannot be read"),
        (("five", "touched"), "changed after the run"),
        (("five", "torn"), "puzzles.csv is damaged"),
    ],
)
def test_diff_refuses_in_one_line(call: Call, home: Path, args: tuple[str, str], complaint: str) -> None:
    for name in ("stopped", "bare", "touched", "torn"):
        shutil.copytree(home / "runs/eight", home / "runs" / name)
    file = home / "runs/stopped/run.json"
    file.write_text(file.read_text().replace('"status":', '"status":').replace('"success"', '"cancelled"', 1))
    (home / "runs/bare/puzzles.csv").unlink()
    for name, change in (("touched", lambda text: text.replace(",1,1,1,1,1,8,", ",1,,1,1,1,8,", 1)), ("torn", _cut)):
        table = home / "runs" / name / "puzzles.csv"
        table.write_text(change(table.read_text()))
    said = call("runs", "diff", *args)
    assert said.code == 2, said
    assert said.err.count("\n") == 1
    assert complaint in said.err
    assert said.out == ""


def _cut(text: str) -> str:
    return text[: text.rindex(",1")]


def test_without_the_task_s_data_the_counts_stand_and_a_warning_says_why(call: Call, home: Path) -> None:
    for name in ("five", "eight"):
        file = home / "runs" / name / "plan.json"
        plan = json.loads(file.read_text())
        plan["launch"]["task"] = "gone-task"
        file.write_text(json.dumps(plan))
    said = call("runs", "diff", "five", "eight")
    assert said.code == 0
    assert f"newly broken (1): {RESTLESS}" in said.out
    assert said.err.startswith("warning: no grids are shown")
    assert call("runs", "diff", "five", "eight", "--show", "0").err == ""
    said = call("runs", "watch", "eight")
    assert said.code == 0
    assert said.err.startswith("warning: input and answer are not shown")
    assert "step 8 of 8" in said.out
    assert "input" not in said.out


@pytest.mark.parametrize("columns", [80, 120])
def test_diff_on_a_terminal_fits_it(home: Path, columns: int) -> None:
    lines = terminal(home, columns, 50, "runs", "diff", "big", "solved")
    assert max(len(bare(line)) for line in lines) <= columns
    assert any("\x1b[" in line for line in lines)
    titles = [bare(line).strip() for line in lines if re.match(r"(input|answer|[AB]: )", bare(line))]
    # Four grids of 60 columns stand one below the other.
    assert [title.split()[0] for title in titles] == ["input", "answer", "A:", "B:"]
    small = [bare(line) for line in terminal(home, columns, 50, "runs", "diff", "five", "eight")]
    assert any(re.match(r"input +answer +A: right +B: ", line) for line in small)


def test_flow_stacks_what_does_not_fit() -> None:
    blocks = [["aa", "aa"], ["b"], ["cccc"]]
    assert flow(blocks, 20) == ["aa   b   cccc", "aa"]
    assert flow(blocks, 6) == ["aa   b", "aa", "cccc"]
    assert flow(blocks, 1) == ["aa", "aa", "b", "cccc"]


def test_watch_lists_every_step_and_picks_the_liveliest(call: Call, home: Path) -> None:
    said = call("runs", "watch", "eight")
    assert said.code == 0, said.err
    assert said.out.startswith(f"{RESTLESS}: sudoku-4x4, trm-nano.sudoku-4x4, run eight\n\ninput\n")
    blocks = said.out.split("\n\n")[2:]
    assert [block.split(",")[0] for block in blocks] == [f"step {step} of 8" for step in range(1, 9)]
    entry = liveliest(home / "runs/eight")
    for block, frame in zip(blocks, frames(entry), strict=True):
        assert f"halting probability {1 / (1 + np.exp(-frame.halt)):.3f}" in block
        grid = block.split("\n", 1)[1]
        assert [int(cell) for cell in re.findall(r"\d", grid)] == frame.answer.ravel().tolist()
        if frame.step < 8:
            assert grid.count("*") == frame.changed.sum()
    assert re.search(r"wrong: (\d+) of 16 cells \(!\)", blocks[-1])
    assert blocks[-1].count("!") - 1 == int(re.search(r"wrong: (\d+)", blocks[-1])[1])


def test_watch_takes_a_puzzle_a_group_and_a_model_of_one_step(call: Call, home: Path) -> None:
    said = call("runs", "watch", "solver", "--puzzle", "test-000001").out
    assert said.count("step ") == 1
    assert "step 1 of 1" in said
    assert "right" in said
    said = call("runs", "watch", "arc", "--puzzle", "1d398264")
    assert "1d398264_0: arc1" in said.out
    assert call("runs", "watch", "arc", "--puzzle", "nobody").code == 2


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        (("eight", "--puzzle", "zzz"), "has no puzzle 'zzz'"),
        (("eight", "--save", "x.mp4"), "must end in .gif or .html"),
        (("eight", "--save", "no/folder/x.html"), "cannot be written"),
        (("eight", "--save", "no/folder/x.gif"), "cannot be written"),
        (("eight", "--speed", "0"), "--speed 0"),
        (("eight", "--speed", "nan"), "--speed nan"),
    ],
)
def test_watch_refuses_in_one_line(call: Call, home: Path, args: tuple[str, ...], complaint: str) -> None:
    said = call("runs", "watch", *args)
    assert (said.code, said.err.count("\n")) == (2, 1), said
    assert complaint in said.err


@pytest.mark.parametrize(("columns", "lines"), [(80, 24), (120, 40)])
def test_watch_fits_the_terminal_and_draws_over_itself(home: Path, columns: int, lines: int) -> None:
    for name in ("eight", "big"):
        said = terminal(home, columns, lines, "runs", "watch", name, "--speed", "100")
        assert max(len(bare(line)) for line in said) <= columns
        # Live drawing: the cursor goes up to the first line for every frame.
        assert any("\x1b[1A" in line for line in said)
        assert any(re.search(r"step \d of \d, halting probability", bare(line)) for line in said)
    halves = sum("▀" in line for line in said)
    # 24 lines cannot hold 30 rows of cells: two rows share a line there.
    assert (halves > 0) == (lines == 24)


def test_watch_where_nothing_can_be_drawn_over(home: Path) -> None:
    said = terminal(home, 80, 24, "runs", "watch", "big", "--speed", "100", NO_COLOR="1")
    assert sum(line.startswith("step ") for line in map(bare, said)) == 2
    dumb = terminal(home, 80, 24, "runs", "watch", "eight", TERM="dumb")
    assert not any("\x1b" in line for line in dumb)


def test_the_gif_has_a_picture_a_step(call: Call, home: Path) -> None:
    image_module = pytest.importorskip("PIL.Image")
    said = call("runs", "watch", "eight", "--save", "out.gif", "--speed", "4")
    assert said.out == f"wrote out.gif: 8 steps of {RESTLESS}\n"
    with image_module.open("out.gif") as image:
        pauses, pictures = [], []
        for place in range(image.n_frames):
            image.seek(place)
            pauses.append(image.info["duration"])
            pictures.append(np.asarray(image.convert("RGB")))
    assert pauses == [250] * 7 + [1000]
    assert len({picture.tobytes() for picture in pictures}) == 8
    assert list(home.glob(".out*")) == []
    # The input never changes, the answer does; every cell has its symbol's own colour in every picture.
    entry = liveliest(home / "runs/eight")
    for picture, frame in zip(pictures[:-1], frames(entry), strict=False):
        grounds = [[tuple(picture[HEAD + 40 * r + 6, 184 + 40 * c + 6].tolist()) for c in range(4)] for r in range(4)]
        assert grounds == [[PALETTE[cell] for cell in row] for row in frame.answer.tolist()]
    lefts = {picture[HEAD:, :180].tobytes() for picture in pictures}
    assert len(lefts) == 1


def test_the_gif_without_pillow_says_what_to_do(call: Call, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PIL", "PIL.Image"):
        monkeypatch.setitem(sys.modules, name, None)
    said = call("runs", "watch", "eight", "--save", "out.gif")
    assert (said.code, said.err.count("\n")) == (2, 1)
    assert "needs Pillow: `pip install 'trm-harness[gif]'`" in said.err


def test_pictures_of_answers_that_are_missing_or_change_size(tmp_path: Path) -> None:
    pytest.importorskip("PIL.Image")
    answers = [None, np.zeros((0, 0), np.uint8), np.ones((2, 3), np.uint8), np.full((1, 1), 35, np.uint8)]
    shapes = [(0, 0) if answer is None else answer.shape for answer in answers]
    film = tuple(
        Frame(i + 1, a, float("nan"), np.ones(s, bool)) for i, (a, s) in enumerate(zip(answers, shapes, strict=True))
    )
    reel = Reel("p", "t", film, answer=np.ones((2, 2), np.uint8))
    write_gif(tmp_path / "x.gif", reel, 2.0)
    write_html(tmp_path / "x.html", reel, 2.0)
    assert (tmp_path / "x.gif").read_bytes()[:4] == b"GIF8"
    assert '"probability": null' in (tmp_path / "x.html").read_text()


def test_the_page_is_self_contained_and_escapes_names(tmp_path: Path) -> None:
    evil = "</script><script>alert(1)</script>{{film}}&"
    film = (Frame(1, np.ones((1, 1), np.uint8), 0.0, np.zeros((1, 1), bool)),)
    write_html(tmp_path / "x.html", Reel(evil, evil, film), 2.0)
    page = (tmp_path / "x.html").read_text()
    assert "<script>alert" not in page
    assert "&lt;/script&gt;&lt;script&gt;alert(1)" in page
    assert page.count("{{film}}") == 3
    assert not re.search(r"https?:|//cdn|src=|<link", page)


@pytest.mark.skipif(not CHROMIUM, reason="no Chromium here")
def test_the_page_in_a_browser(call: Call, home: Path) -> None:
    assert call("runs", "watch", "eight", "--save", "out.html", "--speed", "50").code == 0
    state = "document.getElementById('state').textContent"
    with browser(home / "profile") as page:
        page.open(home / "out.html")
        assert page.value(state).startswith("Step 1 of 8, halting probability 1.000")
        for key, step in (("ArrowRight", 2), ("ArrowRight", 3), ("ArrowLeft", 2), ("End", 8), ("ArrowRight", 8)):
            page.press(key)
            assert page.value(state).startswith(f"Step {step} of 8"), key
        assert "wrong: " in page.value(state)
        wrong = int(re.search(r"wrong: (\d+)", page.value(state))[1])
        assert page.value("document.querySelectorAll('.wrong').length") == wrong
        page.press("Home")
        assert page.value(state).startswith("Step 1 of 8")
        page.press(" ")
        page.until(f"{state}.startsWith('Step 8 of 8')")
        paper = "getComputedStyle(document.body).backgroundColor"
        page.scheme("light")
        light = page.value(paper)
        page.scheme("dark")
        assert page.value(paper) != light
        entry = liveliest(home / "runs/eight")
        cells = "[...document.querySelectorAll('figure:nth-child(2) .cell')].map(c => +c.textContent)"
        assert page.value(cells) == entry.row().answers[-1].ravel().tolist()
        assert page.complaints == []
        assert {url.partition(":")[0] for url in page.requests} <= {"file"}
