"""ARC training: what is held out is never drawn, and fixed views have an identity each."""

from __future__ import annotations

from collections import defaultdict
from functools import cache
from typing import Any

import numpy as np
import pytest

from trm_harness import registry
from trm_harness.errors import BadInput
from trm_harness.nn.identities import TableIdentities
from trm_task_arc import encoding, transforms
from trm_task_arc.training import examples

FIT = {"canvas": "fit"}
SMALL = {"sides": [10], "evaluation_share": 0.3}


@cache
def task() -> Any:
    names = registry.default()
    return names.task("arc1")


def test_held_out_tasks_show_their_demonstrations_only() -> None:
    source = task().training_source(0, FIT, {**SMALL, "hold_out": 25})
    name, puzzles = source.validation()
    held = {puzzle.group for puzzle in puzzles}
    assert name == "test inputs of 25 held-out training tasks"
    assert len(held) == 25
    assert held <= set(source.identities)
    answers = {(p.group, p.answer.tobytes(), p.answer.shape) for p in puzzles}
    demonstrations = {(p.group, a.tobytes(), a.shape) for p in puzzles for _, a in p.demonstrations}
    drawn = {
        (e.task, e.output.tobytes(), e.output.shape)
        for pool in source._pools.values()
        for bucket in pool.values()
        for examples in bucket.values()
        for e in examples
    }
    assert not (answers - demonstrations) & drawn
    assert any(key in drawn for key in demonstrations)
    assert "without the test pairs of 25" in source.declaration["data"][0]["name"]


def test_the_same_tasks_are_held_out_whatever_the_seed() -> None:
    one, other = (task().training_source(seed, FIT, {**SMALL, "hold_out": 5}).validation()[1] for seed in (0, 7))
    assert [p.id for p in one] == [p.id for p in other]


def test_held_out_pairs_do_train_where_nothing_is_held_out() -> None:
    with pytest.raises(BadInput, match=r"set source\.hold_out"):
        task().training_source(0, FIT, SMALL).validation()


@pytest.mark.parametrize("count", [-1, 1000])
def test_no_more_can_be_held_out_than_there_is(count: int) -> None:
    with pytest.raises(BadInput, match="hold_out is"):
        task().training_source(0, FIT, {**SMALL, "hold_out": count})


def test_fixed_views_have_a_table_row_each_and_are_those_that_voting_asks_for() -> None:
    source = task().training_source(0, FIT, {**SMALL, "views": 6})
    table = TableIdentities(source.identities)
    groups = [name for name in source.identities if "|||" not in name and name != "<blank>"]
    assert source.identities[0] == "<blank>"
    assert len(source.identities) == 1 + 7 * len(groups) == len(set(source.identities))
    rows = source.draw("10", 1, 200)
    assert (table.rows(rows.identities) > 0).all()
    puzzle = next(p for p in task().puzzles("evaluation") if p.group in set(groups))
    asked = task().transforms(puzzle, 7, 0)
    names = tuple(transforms.identity_of(puzzle.group, view) for view in asked)
    assert (table.rows(names) > 0).all()
    assert len(np.unique(table.rows(names))) == 7


def test_a_fixed_view_is_the_transform_that_its_name_says() -> None:
    source = task().training_source(0, FIT, {**SMALL, "views": 3})
    rows = source.draw("10", 4, 60)
    pairs = defaultdict(list)
    for example in (e for split in ("training", "evaluation") for e in examples(split, task().tasks(split))):
        pairs[example.task].append(example)
    for tokens, identity in zip(rows.tokens, rows.identities, strict=True):
        name, view = transforms.split_identity(identity)
        canvases = [
            encoding.encode_grid(transforms.apply(e.input, view), 10, 0, 0)
            for e in pairs[name]
            if max(e.input.shape) < 10
        ]
        colours = [np.sort(canvas[canvas > 1]) for canvas in canvases]
        own = np.sort(tokens[tokens > 1])
        assert any(np.array_equal(own, other) for other in colours), identity


@pytest.mark.parametrize(("augment", "turned", "coloured"), [("turns", True, False), ("colours", False, True)])
def test_turns_and_colours_are_switched_apart(augment: str, turned: bool, coloured: bool) -> None:
    source = task().training_source(0, FIT, {**SMALL, "augment": augment})
    drawn = source.draw("10", 1, 60)
    views = [transforms.parse(transforms.split_identity(name)[1]) for name in drawn.identities]
    assert any(view.dihedral for view in views) is turned
    assert any(list(view.permutation) != list(range(10)) for view in views) is coloured


def test_turns_alone_can_have_a_table_row_each() -> None:
    source = task().training_source(0, FIT, {**SMALL, "augment": "turns", "views": 7})
    task_names = {name.partition("|||")[0] for name in source.identities[1:]}
    assert len(source.identities) == 1 + 8 * len(task_names)
    assert set(source.draw("10", 1, 40).identities) <= set(source.identities)


def test_an_unknown_augmentation_is_refused() -> None:
    with pytest.raises(BadInput, match="use true, false or one of none, turns"):
        task().training_source(0, FIT, {**SMALL, "augment": "dihedral"})
    plain = task().training_source(0, FIT, {**SMALL, "augment": False}).draw("10", 1, 20)
    assert not any("|||" in name for name in plain.identities)
