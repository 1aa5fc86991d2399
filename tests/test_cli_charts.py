"""Restarts, noise and symmetry votes on the command line; the charts of a run, in the terminal and on paper."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.test_cli_eval import Call, call
from trm_harness.cli import report
from trm_harness.cli.options import dollars
from trm_harness.cli.runs import charts

__all__ = ["call"]

NANO = ("eval", "--task", "sudoku-4x4", "--model", "trm-nano", "--limit", "6")
NOISY = (*NANO, "--restarts", "4", "--noise", "3", "--steps", "2")


@pytest.fixture
def noisy(call: Call) -> Path:
    said = call(*NOISY, "--out", "noisy")
    assert said.code == 0, said.err
    return Path("noisy")


def test_eval_prints_three_ways_of_choosing(call: Call) -> None:
    said = call(*NOISY, "--select", "halt", "--out", "run")
    assert said.code == 0, said.err
    assert "4 trajectories, highest halting logit, noise 3 on the latent before each step" in said.out
    table = said.out[said.out.index("CHOSEN BY") :].splitlines()
    assert [line.split(":")[0] for line in table[1:4]] == ["mode", "halt", "oracle"]
    assert "UPPER BOUND" in table[3]
    assert "4 trajectories, highest halting logit" in said.out
    assert "one noisy trajectory" in said.out
    assert "single pass" not in said.out
    assert "CHOSEN BY" not in call(*NANO, "--steps", "1").out


def test_score_chooses_anew(call: Call, noisy: Path) -> None:
    run = json.loads((noisy / "run.json").read_text())
    by_select = {entry["select"]: entry for entry in run["selections"]}
    for select in ("mode", "halt"):
        again = json.loads(call("runs", "score", "noisy", "--select", select, "--json").out)
        assert again["headline"] == by_select[select]
    said = call("runs", "score", "noisy", "--select", "oracle")
    assert "UPPER BOUND" in said.out
    assert "4 trajectories vote" in said.out, "the scores themselves are never the oracle's"
    assert "the same as the scores" in call("runs", "score", "noisy").out


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        (("--model", "trm-nano", "--restarts", "4"), "would all be the same: add noise"),
        (("--model", "random", "--noise", "0.3"), "model random has no latent state"),
        (("--model", "trm-nano", "--restarts", "2", "--noise", "-1"), "noise must be a standard deviation"),
        (("--model", "trm-nano", "--noise", "nan"), "noise must be a standard deviation"),
        (("--model", "trm-nano", "--restarts", "0"), "restarts must be at least 1"),
        (("--model", "trm-nano", "--select", "best"), "'best' is not one of"),
    ],
)
def test_bad_choices_are_one_line_and_write_nothing(call: Call, args: tuple[str, ...], complaint: str) -> None:
    said = call("eval", "--task", "sudoku-4x4", "--limit", "2", *args)
    assert said.code == 2, said
    assert complaint in said.err
    assert said.err.count("error: ") == 1
    assert not list(Path().iterdir())


def test_no_choice_by_halting_where_nothing_halts(call: Call) -> None:
    asked = ("eval", "--task", "sudoku-4x4", "--model", "random", "--limit", "2", "--restarts", "2")
    said = call(*asked, "--select", "halt", "--out", "run")
    assert said.code == 2
    assert "model random has no halting head to choose by: use select mode" in said.err
    assert not Path("run").exists()


def test_what_weights_were_trained_on_and_what_was_not_checked_is_said_once(noisy: Path) -> None:
    run = json.loads((noisy / "run.json").read_text())
    data = run["training"]["data"][0]
    run["training"]["data"] = [data, data, data | {"name": "lists of mine"}]
    found = run["contamination"] | {"not_checked": ["lists: no data", "lists: no data"], "shared": 2, "puzzles": 1}
    said = report.text(run | {"contamination": found})
    assert f"trained on   {data['name']}, lists of mine\n" in said
    assert "not checked  lists: no data\n" in said
    assert "2 further evaluated puzzles of those compared stand also in the benchmark's own training split" in said
    assert "1 evaluated puzzle of those compared stands also in" in report.text(
        run | {"contamination": found | {"shared": 1, "puzzles": 0}}
    )


def test_restarts_of_a_guesser_need_no_noise(call: Call) -> None:
    said = call("eval", "--task", "sudoku-4x4", "--model", "random", "--limit", "2", "--restarts", "3")
    assert said.code == 0, said.err
    assert "3 trajectories vote" in said.out


def test_show_draws_every_curve(call: Call, noisy: Path) -> None:
    said = call("runs", "show", "noisy").out
    for title in (
        "accuracy against supervision steps (one noisy trajectory, 6 puzzles)",
        "accuracy against trajectories (first answer, 6 puzzles",
        "halting score against accuracy (expected calibration error",
        "had it halted at the first step",
    ):
        assert title in said
    assert max(map(len, said[said.index("accuracy against supervision") :].splitlines())) <= 110
    run = json.loads((noisy / "run.json").read_text())
    curves = (run["trajectory_curve"][select] for select in ("mode", "oracle"))
    lines = said[said.index("TRAJECTORIES  MODE") :].splitlines()[1:4]
    for line, count, mode, oracle in zip(lines, (1, 2, 4), *curves, strict=True):
        assert line.split()[0] == str(count)
        shares = [float(cell) for cell in line.replace("%", "").split()[1:-1] if cell[0].isdigit()]
        assert (shares[0], shares[-1]) == (round(100 * mode, 1), round(100 * oracle, 1))
    assert f"{run['cost']['flops_per_puzzle']:.3g}" in lines[-1]


def test_a_run_without_curves_draws_none(call: Call) -> None:
    said = call("eval", "--task", "sudoku-4x4", "--model", "oracle-sudoku", "--limit", "2", "--out", "run")
    assert said.code == 0
    assert "accuracy against" not in call("runs", "show", "run").out
    said = call("runs", "show", "run", "--plot", "x.png")
    assert said.code == 2
    assert "nothing to draw" in said.err


def test_a_run_whose_answers_are_hidden_shows(call: Call) -> None:
    folder = Path("data/evaluation")
    folder.mkdir(parents=True)
    task = {"train": [{"input": [[1]], "output": [[2]]}], "test": [{"input": [[3]]}]}
    (folder / "one.json").write_text(json.dumps(task))
    said = call("eval", "--task", "arc1", "--model", "copy-input", "--data", "data", "--out", "run")
    assert said.code == 0, said.err
    shown = call("runs", "show", "run")
    assert (shown.code, "1 answers are hidden" in shown.out) == (0, True)
    assert call("runs", "show", "run", "--plot", "x.png").code == 2


@pytest.mark.parametrize(("name", "magic"), [("x.png", b"\x89PNG"), ("x.svg", b"<?xml"), ("x.PDF", b"%PDF")])
def test_plots_are_pictures(call: Call, noisy: Path, name: str, magic: bytes) -> None:
    said = call("runs", "show", "noisy", "--plot", name)
    assert said.code == 0, said.err
    assert Path(name).read_bytes().startswith(magic)
    assert sorted(path.name for path in Path().iterdir()) == sorted(["noisy", name])


def test_a_plot_that_cannot_be_written_is_one_line(call: Call, noisy: Path) -> None:
    for name, complaint in (("x.gif", "must end in .png, .svg, .pdf"), ("no/x.png", "cannot be written")):
        said = call("runs", "show", "noisy", "--plot", name)
        assert said.code == 2
        assert complaint in said.err
        assert said.err.count("\n") == 1


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.0, "        "), (1.0, "████████"), (0.5, "████    "), (1 / 64, "▏       "), (0.95, "███████▋")],
)
def test_bars_are_as_long_as_their_share(share: float, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(charts, "_drawable", lambda: True)
    assert charts.bar(share, 8) == f"{text} {100 * share:5.1f} %"


def test_bars_do_without_blocks_where_the_terminal_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(charts, "_drawable", lambda: False)
    assert charts.bar(0.5, 8) == "####      50.0 %"


def test_records_of_before_have_no_new_fields_and_still_show(call: Call, noisy: Path) -> None:
    run: dict[str, Any] = json.loads((noisy / "run.json").read_text())
    for key in ("selections", "trajectory_curve"):
        del run[key]
    for key in ("thresholds", "equal_accuracy"):
        del run["halting"][key]
    del run["cost"]["flops_per_step"], run["protocol"]["select"]
    for entry in (*run["scores"], run["headline"]):
        for key in ("trajectories", "select", "upper_bound"):
            del entry[key]
    assert report.text(run)
    assert "accuracy against supervision steps" in charts.text(run)
    (noisy / "run.json").write_text(json.dumps(run))
    assert call("runs", "show", "noisy").code == 0


@pytest.mark.parametrize(
    ("task", "model", "views"),
    [
        ("sudoku-4x4", ("oracle-sudoku",), 5),
        ("sudoku-4x4", ("trm-nano",), 4),
        ("maze-8x8", ("trm-nano", "--untrained"), 8),
    ],
)
def test_symmetry_votes_go_all_the_way(call: Call, task: str, model: tuple[str, ...], views: int) -> None:
    args = ("eval", "--task", task, "--model", *model, "--limit", "3", "--augment", str(views), "--steps", "2")
    said = call(*args, "--out", "run", "--json")
    assert said.code == 0, said.err
    run = json.loads(said.out)
    assert run["progress"] == {"rows": 3 * views, "total": 3 * views}
    assert run["headline"]["views"] == views
    assert {entry["select"] for entry in run["selections"]} == {"mode", "halt", "oracle"}
    if model == ("oracle-sudoku",):
        lines = Path("run/candidates.csv").read_text().splitlines()[1:]
        assert [line.split(",")[2] for line in lines] == [str(views)] * 3, "every view, undone, is the one answer"
    if "--untrained" not in model:
        assert run["headline"]["value"] == 1


@pytest.mark.parametrize(
    ("value", "told"),
    [(1234.5, "$1,234.50"), (0.5, "$0.5"), (0.000702, "$0.000702"), (4.2e-6, "$0.0000042"), (0, "$0")],
)
def test_small_sums_are_told_without_an_exponent(value: float, told: str) -> None:
    assert dollars(value) == told
