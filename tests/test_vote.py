"""Ranking of candidates: the reference's order, ties included."""

from __future__ import annotations

from random import Random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from trm_harness.scoring.vote import ranked, sigmoid, tally


def grid(*rows: str) -> np.ndarray:
    return np.array([[int(cell) for cell in row] for row in rows], dtype=np.uint8).reshape(len(rows), -1)


A, B, C, EMPTY = grid("12"), grid("1", "2"), grid("34"), np.zeros((0, 0), dtype=np.uint8)


def test_votes_come_before_halting_scores() -> None:
    ranked = tally([(A, 9.0), (C, -3.0), (C, -3.0)])
    assert [c.votes for c in ranked] == [2, 1]
    assert np.array_equal(ranked[0].answer, C)
    assert ranked[0].halt == 1 / (1 + np.exp(3.0))


def test_equal_votes_fall_to_the_mean_sigmoid() -> None:
    # mean sigmoid of (0, 0) is 0.5; of (10, -10) too, but of (10, -9) a little more.
    ranked = tally([(A, 0.0), (A, 0.0), (B, 10.0), (B, -9.0)])
    assert np.array_equal(ranked[0].answer, B)
    assert ranked[0].halt > ranked[1].halt == 0.5


def test_exact_ties_keep_the_order_of_first_appearance() -> None:
    ranked = tally([(C, 1.0), (A, 1.0), (B, 1.0), (A, 1.0), (C, 1.0), (B, 1.0)])
    assert [c.first_seen for c in ranked] == [0, 1, 2]


def test_shape_is_part_of_an_answer() -> None:
    assert [c.votes for c in tally([(A, 0.0), (B, 0.0)])] == [1, 1]


def test_empty_grid_is_a_candidate() -> None:
    ranked = tally([(EMPTY, 0.0), (EMPTY, 0.0), (A, 5.0)])
    assert ranked[0].answer.shape == (0, 0)
    assert ranked[0].votes == 2


def test_memory_layout_does_not_matter() -> None:
    square = np.arange(9, dtype=np.uint8).reshape(3, 3)
    assert len(tally([(square.T, 0.0), (np.ascontiguousarray(square.T), 0.0), (np.asfortranarray(square.T), 0.0)])) == 1


def test_nothing_gives_nothing() -> None:
    assert tally([]) == []


def test_extreme_and_broken_logits() -> None:
    assert sigmoid(np.array([-1e4, 1e4, np.nan])).tolist() == [0.0, 1.0, 0.0]
    ranked = tally([(A, float("nan")), (B, -50.0)])
    assert np.array_equal(ranked[0].answer, B)


pool = [A, B, C, EMPTY, grid("0")]
stream = st.lists(st.tuples(st.sampled_from(range(len(pool))), st.sampled_from([-2.0, 0.0, 0.5, 3.0])), max_size=40)


@given(stream)
def test_tally_equals_a_plain_loop(rows: list[tuple[int, float]]) -> None:
    sums: dict[int, list] = {}
    for place, logit in rows:
        stats = sums.setdefault(place, [0, 0.0])
        stats[0] += 1
        stats[1] += 1.0 / (1.0 + float(np.exp(-logit)))
    expected = sorted(sums, key=lambda place: [sums[place][0], sums[place][1] / sums[place][0]], reverse=True)
    ranked = tally([(pool[place], logit) for place, logit in rows])
    assert [next(i for i, g in enumerate(pool) if np.array_equal(g, c.answer)) for c in ranked] == expected
    assert [c.votes for c in ranked] == [sums[place][0] for place in expected]


@given(stream)
def test_every_vote_is_counted_once(rows: list[tuple[int, float]]) -> None:
    ranked = tally([(pool[place], logit) for place, logit in rows])
    assert sum(c.votes for c in ranked) == len(rows)
    assert all(0 <= c.halt <= 1 for c in ranked)
    assert [(c.votes, c.halt) for c in ranked] == sorted(((c.votes, c.halt) for c in ranked), reverse=True)


@given(stream, st.randoms())
def test_order_of_views_changes_ties_only(rows: list[tuple[int, float]], random: Random) -> None:
    shuffled = random.sample(rows, len(rows))
    first, second = (tally([(pool[p], q) for p, q in r]) for r in (rows, shuffled))
    assert {(c.answer.shape, c.answer.tobytes(), c.votes) for c in first} == {
        (c.answer.shape, c.answer.tobytes(), c.votes) for c in second
    }


def test_the_surest_single_answer_leads_by_halt_whatever_its_votes() -> None:
    candidates = tally([(A, 1.0), (A, 1.5), (B, 2.0), (B, -9.0), (C, 1.8), (A, float("nan"))])
    assert [c.votes for c in candidates] == [3, 2, 1]
    assert [c.peak for c in candidates] == [1.5, 2.0, 1.8]
    assert ranked(candidates, "mode") == candidates
    assert [c.peak for c in ranked(candidates, "halt")] == [2.0, 1.8, 1.5]


def test_equal_halting_logits_keep_the_order_of_first_appearance() -> None:
    candidates = tally([(C, 1.0), (A, 1.0), (A, 1.0), (B, float("nan"))])
    assert [c.first_seen for c in candidates] == [1, 0, 3]
    assert [c.first_seen for c in ranked(candidates, "halt")] == [0, 1, 3]
    assert ranked(candidates, "halt")[-1].peak == -np.inf
