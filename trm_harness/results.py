"""What ``evaluate`` and ``train`` give back in Python: they print as a short table and show as HTML in a notebook."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import PrivateAttr

from trm_harness.errors import BadInput
from trm_harness.record import CANDIDATES_FILE, PUZZLES_FILE, RunRecord
from trm_harness.train.log import read_metrics

if TYPE_CHECKING:
    import pandas as pd

    from trm_harness.record import ScoreEntry


class Evaluation(RunRecord):
    """The record of a run, and where it lies. Everything else is as in :class:`~trm_harness.record.RunRecord`.

    ``headline`` is the score that ranks, ``scores`` are all of them, ``cost`` is what they took.
    """

    _folder: Path = PrivateAttr()

    @classmethod
    def of(cls, record: RunRecord, folder: Path) -> Self:
        """The record of the run in ``folder``."""
        made = cls.model_construct(record.model_fields_set, **{name: getattr(record, name) for name in _fields(record)})
        made._folder = folder
        return made

    @property
    def folder(self) -> Path:
        """Where the run lies: ``run.json``, the journal and the tables."""
        return self._folder

    def frame(self, what: Literal["puzzles", "candidates", "scores", "steps"] = "puzzles") -> pd.DataFrame:
        """A table of the run.

        ``puzzles``: a row a puzzle, with whether it was solved, its votes and the task's measures. ``candidates``: a
        row for every different answer to a puzzle. ``scores``: a row a score, with its 95 % interval. ``steps``:
        single-pass accuracy after each supervision step. ``BadInput`` for a table that the run does not have.
        """
        import pandas as pd

        if what == "scores":
            return pd.DataFrame([score.model_dump() for score in self.scores])
        if what == "steps":
            curve = self.depth_curve.accuracy if self.depth_curve else ()
            return pd.DataFrame({"step": range(1, len(curve) + 1), "accuracy": curve})
        files = {"puzzles": PUZZLES_FILE, "candidates": CANDIDATES_FILE}
        if what not in files:
            raise BadInput(f"a run has no table {what!r}: use puzzles, candidates, scores or steps")
        file = self._folder / files[what]
        if not file.is_file():
            raise BadInput(f"{file} is not there: the run is {self.status}, its tables are written at its end")
        # Grids and flags of steps are digits, but no numbers.
        words = dict.fromkeys(("puzzle", "group", "right_at", "answer", "halts"), str)
        return pd.read_csv(file, dtype=words)

    def __repr__(self) -> str:
        shown = self._shown()
        return f"{self._caption()}\n{'no scores' if shown.empty else shown.to_string(index=False)}"

    __str__ = __repr__

    def _repr_html_(self) -> str:
        return f"<div>{escape(self._caption())}{self._shown().to_html(index=False, border=0)}</div>"

    def _caption(self) -> str:
        name = f"{self.model.card or self.model.id}{' (UNTRAINED)' if self.model.untrained else ''}"
        state = self.status if not self.message else f"{self.status} ({self.message})"
        took = f", {self.cost.seconds:.1f} s" if self.cost.seconds else ""
        asked = f"{self.selection.puzzles:,} of {self.task.split_puzzles:,} puzzles of {self.task.id} {self.task.split}"
        return f"{name} on {asked}: {state}{took}; {self._folder}"

    def _shown(self) -> pd.DataFrame:
        import pandas as pd

        # A vote of one answer is the single pass.
        voted = self.protocol.views * self.protocol.restarts > 1
        scores = [score for score in self.scores if score.pooling == "voted" or voted]
        return pd.DataFrame([_row(score, single=not voted) for score in scores])


class Training(dict[str, Any]):
    """What the ``train.json`` of a training run says, and where the run lies."""

    @property
    def folder(self) -> Path:
        """Where the run lies: weights, checkpoints, ``metrics.jsonl``, ``train.json``."""
        return Path(self["out"])

    @property
    def weights(self) -> Path:
        """The average weights of the last step; what ``load_model(..., weights=...)`` takes."""
        return self.folder / "weights.safetensors"

    def frame(self, what: Literal["steps", "validation"] = "steps") -> pd.DataFrame:
        """A table of the log: a row a step (loss, accuracies, seconds), or a row a validation."""
        import pandas as pd

        rows = read_metrics(self.folder)
        if what == "steps":
            return pd.DataFrame([row for row in rows if "validation" not in row])
        if what != "validation":
            raise BadInput(f"a training run has no table {what!r}: use steps or validation")
        return pd.DataFrame([{"step": row["step"], **row["validation"]} for row in rows if "validation" in row])

    def __repr__(self) -> str:
        return f"{self._caption()}\n{self._shown().to_string(index=False)}"

    __str__ = __repr__

    def _repr_html_(self) -> str:
        return f"<div>{escape(self._caption())}{self._shown().to_html(index=False, border=0)}</div>"

    def _caption(self) -> str:
        job, done = self["job"], self["result"]
        return f"{job['model']} on {job['task']}: {done['stopped']}, {done['seconds']:.1f} s; {self.folder}"

    def _shown(self) -> pd.DataFrame:
        import pandas as pd

        from trm_harness.train.trainer import own_values

        done, last = self["result"], self.frame().tail(1).to_dict("records")
        row = {"steps": done["steps"], "examples": done["examples"]}
        row |= {name: f"{last[0][name]:.4g}" for name in ("loss",) if last}
        if done["validation"]:
            held_out = done["validation"]
            row["validation"] = f"{100 * held_out['exact']:.2f} % of {held_out['n']}"
        if done["best"]:
            row["best"] = f"{100 * done['best']['exact']:.2f} % at step {done['best']['step']}"
        return pd.DataFrame([row | own_values(done)])


def _fields(record: RunRecord) -> list[str]:
    return list(type(record).model_fields)


def _row(score: ScoreEntry, single: bool) -> dict[str, str]:
    ends = "none" if score.low is None else f"{100 * score.low:.1f}-{100 * score.high:.1f}"
    return {
        "score": score.name,
        "rule": score.rule,
        "answers": "single pass" if single or score.pooling == "single" else "voted",
        "value": f"{100 * score.value:.2f} %",
        "of": f"{round(score.numerator, 2):g}/{score.denominator} {score.unit}",
        "95 % interval": ends,
    }
