"""ARC Prize's evaluations become reported scores: what is there stays to the byte, what differs is named."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from tests.test_cli_eval import Call, call
from trm_harness.leaderboard.rows import OPTIONAL, REQUIRED, read_reported

__all__ = ["call"]

MODELS = [
    {"id": "big-1", "displayName": "Big 1 (High)", "modelType": "CoT", "modelReleaseDate": "2026-03-04T00:00:00.000Z"},
    {"id": "crowd", "displayName": "A crowd", "modelType": None, "providerId": "Human", "modelReleaseDate": None},
    {"id": "tuned", "displayName": "Tuned", "modelType": "Refinement", "modelReleaseDate": "2026-05-01T00:00:00.000Z"},
]


def evaluation(dataset: str, model: str, score: Any, **more: Any) -> dict[str, Any]:
    return {"datasetId": dataset, "modelId": model, "score": score, "resultsUrl": "", "display": True, **more}


EVALUATIONS = [
    evaluation("v1_Public_Eval", "big-1", 0.4758, costPerTask=0.15),
    evaluation("v1_Semi_Private", "big-1", 0.405, costPerTask=0.2),
    evaluation("v2_Semi_Private", "big-1", 0, display=False),
    evaluation("v1_Semi_Private", "crowd", 0.98, costPerTask=10),
    evaluation("v1_Semi_Private", "tuned", 0.6, costPerTask=2),
    evaluation("v1_Semi_Private", "nameless", 0.1),
    evaluation("v1_Semi_Private", "nameless", 0.1),
    evaluation("v3_Semi_Private", "big-1", 0.01),
]


@pytest.fixture
def board(call: Call) -> Path:
    """A leaderboards folder that knows one of the scores, and the two files of the import beside it."""
    header = ",".join((*REQUIRED, *OPTIONAL))
    there = dict.fromkeys((*REQUIRED, *OPTIONAL), "") | {
        "benchmark": "arc1", "split": "semi-private", "system": "Big, one", "family": "llm", "metric": "pass@2",
        "score_percent": "41", "source_id": "S", "confidence": "paper", "notes": "modelId big-1; seen",
    }  # fmt: skip
    Path("board/reported").mkdir(parents=True)
    with Path("board/reported/arc1.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, there, lineterminator="\n")
        writer.writeheader()
        writer.writerow(there)
    Path("board/reported/arc2.csv").write_text(header + "\n")
    Path("evaluations.json").write_text(json.dumps(EVALUATIONS))
    Path("models.json").write_text(json.dumps(MODELS))
    return Path("board")


ARGS = ("--models", "models.json", "--collected", "2026-06-16", "--source", "arcprize.org/leaderboard")


def bring(call: Call, *more: str, file: str = "evaluations.json") -> Any:
    return call("leaderboard", "import", file, "--root", "board", *ARGS, *more)


def test_new_scores_stand_behind_the_old_ones(call: Call, board: Path) -> None:
    before = (board / "reported/arc1.csv").read_text()
    said = bring(call, "--dry-run")
    assert (said.code, (board / "reported/arc1.csv").read_text()) == (0, before)
    assert "would add 4 scores" in said.out
    said = bring(call)
    assert said.code == 0, said.err
    assert "arc1, semi-private, big-1: 41 here, 40.5 in the file; left as it is" in said.err
    assert (board / "reported/arc1.csv").read_text().startswith(before)
    rows = read_reported([board / "reported"])
    told = {(row.task, row.system): row for row in rows}
    assert len(rows) == 6
    public = told["arc1", "Big 1 (High)"]
    assert public.results["public"].percent == pytest.approx(47.58)
    assert (public.family, public.metric, public.level, public.cost_basis) == ("llm", "pass@2", "official", "API")
    assert (public.date, public.collected, public.source) == ("2026-03-04", "2026-06-16", "arcprize.org/leaderboard")
    assert told["arc1", "A crowd"].labels == ("people",)
    assert (told["arc1", "Tuned"].family, told["arc1", "nameless"].date) == ("other", "")
    assert "not displayed by its source" in told["arc2", "Big 1 (High)"].notes
    assert told["arc2", "Big 1 (High)"].cost_basis == ""
    # The second time there is nothing to do.
    assert bring(call).out == "nothing new in the file\n"


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ({"a": 1}, "no list of objects"),
        ([{"datasetId": "v1_Public_Eval"}], "no list of objects"),
        ([evaluation("v1_Public_Eval", "big-1", 47)], "has the score 47, no share"),
        ([evaluation("v1_Public_Eval", "big-1", None)], "has the score None, no share"),
    ],
)
def test_other_files_are_refused_and_nothing_is_written(call: Call, board: Path, content: Any, complaint: str) -> None:
    before = (board / "reported/arc1.csv").read_bytes()
    Path("other.json").write_text(json.dumps(content))
    said = bring(call, file="other.json")
    assert (said.code, len(said.err.strip().splitlines())) == (2, 1)
    assert complaint in said.err
    assert (board / "reported/arc1.csv").read_bytes() == before


def test_a_file_without_the_columns_and_a_wrong_day_are_refused(call: Call, board: Path) -> None:
    (board / "reported/arc2.csv").write_text(",".join(REQUIRED) + "\n")
    before = (board / "reported/arc1.csv").read_bytes()
    said = bring(call)
    assert (said.code, "lacks the column" in said.err.splitlines()[-1]) == (2, True)
    assert (board / "reported/arc1.csv").read_bytes() == before
    said = call(
        "leaderboard", "import", "evaluations.json", "--root", "board", *ARGS[:2], "--collected", "June", *ARGS[4:]
    )
    assert (said.code, "give a day as YYYY-MM-DD" in said.err) == (2, True)
