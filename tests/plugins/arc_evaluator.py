"""The reference's ARC evaluator made of the decoding, votes and scores that the product runs, so that these are proved.

The reference has three faults. Each is reproduced under its name in ``quirks`` only:

``short-submission``     a test input without predictions is skipped, and later ones of its task move up a place
``shifted-halting``      blank rows are dropped from a batch but not from its halting scores
``votes-across-rounds``  votes of earlier evaluations stay in, so that ten checkpoints vote together
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trm_harness.scoring.rules import Outcome, score
from trm_harness.scoring.vote import tally
from trm_harness.types import Candidate, Grid, Puzzle
from trm_task_arc import transforms
from trm_task_arc.data import ArcProblem, puzzles_of
from trm_task_arc.encoding import decode_canvas
from trm_task_arc.submission import Submission, prize_submission

QUIRKS = frozenset({"short-submission", "shifted-halting", "votes-across-rounds"})

Votes = dict[tuple[str, bytes], list[tuple[Grid, float]]]
"""(task, test input) -> (answer, halting logit) in the order of arrival, all in the task's own frame."""


class Stream(NamedTuple):
    """Prediction rows in the order of arrival.

    ``inputs`` and ``preds`` ``[n, 900]`` tokens, ``puzzle_identifiers`` ``[n]``,
    ``q_halt_logits`` ``float [n]``, ``batch_index`` ``[n]``, ``outer_index`` ``[n]``: the evaluation round or the rank.
    """

    inputs: NDArray[np.integer]
    preds: NDArray[np.integer]
    puzzle_identifiers: NDArray[np.integer]
    q_halt_logits: NDArray[np.floating]
    batch_index: NDArray[np.integer]
    outer_index: NDArray[np.integer]

    def where(self, rows: NDArray) -> Stream:
        """The named rows only."""
        return Stream(*(column[rows] for column in self))


@dataclass(frozen=True, eq=False)
class Evaluation:
    """One round's result: pass@k by k, ranked candidates by puzzle id, and the submission."""

    metrics: dict[int, float]
    candidates: dict[str, list[Candidate]]
    submission: Submission


def replay(
    stream: Stream,
    identifiers: Sequence[str],
    tasks: Iterable[ArcProblem],
    ks: Sequence[int],
    attempts: int,
    outer: str,
    blank: int,
    quirks: Collection[str] = (),
) -> list[Evaluation]:
    """Evaluate ``stream`` on ``tasks``, one :class:`Evaluation` a round (a single one for ``outer="rank"``).

    ``identifiers[i]`` names id ``i``, ``blank`` that of padding rows. Rows of other tasks, or whose input is no test
    input, are left out.
    """
    assert set(quirks) <= QUIRKS
    assert outer in ("round", "rank")
    puzzles = puzzles_of(tasks)
    votes: Votes = defaultdict(list)
    evaluations = []
    for part in _rounds(stream, outer):
        if "votes-across-rounds" not in quirks:
            votes = defaultdict(list)
        for batch in _split(part, part.batch_index):
            _collect(votes, _without(batch, blank, "shifted-halting" in quirks), identifiers)
        evaluations.append(_evaluation(puzzles, votes, ks, attempts, "short-submission" in quirks))
    return evaluations


def _rounds(stream: Stream, outer: str) -> Iterator[Stream]:
    """The rows of each round; those of all ranks together, rank after rank, where ``outer`` is the rank."""
    if outer == "round":
        yield from _split(stream, stream.outer_index)
        return
    ranked = stream.where(np.argsort(stream.outer_index, kind="stable"))
    # Batches of two ranks share their number but not their rows.
    yield ranked._replace(batch_index=ranked.batch_index + ranked.outer_index * (ranked.batch_index.max() + 1))


def _split(stream: Stream, by: NDArray[np.integer]) -> Iterator[Stream]:
    for value in np.unique(by):
        yield stream.where(by == value)


def _without(batch: Stream, blank: int, shifted: bool) -> Stream:
    # Shifted: the i-th row kept is paired with the i-th score of the whole batch.
    kept = batch.where(batch.puzzle_identifiers != blank)
    return kept._replace(q_halt_logits=batch.q_halt_logits[: len(kept.preds)]) if shifted else kept


def _collect(votes: Votes, batch: Stream, identifiers: Sequence[str]) -> None:
    """Add a batch's answers, undone to each task's own frame."""
    rows = zip(
        batch.puzzle_identifiers,
        map(decode_canvas, batch.inputs),
        map(decode_canvas, batch.preds),
        batch.q_halt_logits,
        strict=True,
    )
    for identifier, question, answer, halt in rows:
        task, view = transforms.split_identity(identifiers[identifier])
        key = task, _key(transforms.invert(question, view))
        votes[key].append((transforms.invert(answer, view), float(halt)))


def _evaluation(puzzles: Sequence[Puzzle], votes: Votes, ks: Sequence[int], attempts: int, short: bool) -> Evaluation:
    candidates = {puzzle.id: tally(votes.get((puzzle.group, _key(puzzle.input)), ())) for puzzle in puzzles}
    outcomes = [_outcome(puzzle, candidates[puzzle.id]) for puzzle in puzzles]
    answers = {id: [candidate.answer for candidate in ranked] for id, ranked in candidates.items()}
    asked = [puzzle for puzzle in puzzles if candidates[puzzle.id]] if short else puzzles
    submission = {puzzle.group: [] for puzzle in puzzles} | prize_submission(asked, answers, attempts)
    return Evaluation({k: score(outcomes, "outputs", k).value for k in ks}, candidates, submission)


def _outcome(puzzle: Puzzle, ranked: Sequence[Candidate]) -> Outcome:
    right = [place for place, one in enumerate(ranked, 1) if np.array_equal(one.answer, puzzle.answer)]
    return Outcome(puzzle.id, puzzle.group, right[0] if right else None, bool(ranked))


def _key(grid: Grid) -> bytes:
    return bytes(grid.shape) + grid.tobytes()
