"""Mixtures of sources: shares, stages that change them, boards of several sizes, validation on every part."""

from __future__ import annotations

import dataclasses
import pickle
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest

from trm_harness import registry
from trm_harness.errors import BadInput
from trm_harness.train.data import Draws
from trm_harness.train.declared import from_files
from trm_harness.train.estimate import estimate
from trm_harness.train.mixture import mixture
from trm_harness.train.recipe import Part, Recipe, Stage, read_recipe, with_settings
from trm_harness.train.session import Job, build, run
from trm_harness.train.validate import Validator

MAZES = (Part("maze-8x8", 1.0), Part("maze-10x10", 3.0))
STAGES = (
    Stage(4, 1e-3, 1e-3, supervision_steps=2, shares={"maze-8x8": 1.0}),
    Stage(40, 1e-3, 1e-4, supervision_steps=2),
)
HOME = registry.default().tasks.spec("maze-10x10")


def mazes(**changes: object) -> Recipe:
    return Recipe(**{"stages": STAGES, "parts": MAZES, "batch_size": 4, "dtype": "float32", "ema_rate": 0.0, **changes})


def test_stages_lead_from_part_to_part() -> None:
    recipe = mazes()
    draws = Draws(mixture(HOME, recipe, {}), recipe)
    drawn = [draws[step] for step in range(1, 45)]
    assert {one.bucket for one in drawn[:4]} == {"maze-8x8/all"}
    later = Counter(one.bucket for one in drawn[4:])
    assert later["maze-10x10/all"] > later["maze-8x8/all"] > 2
    assert {one.bucket: one.rows.tokens.shape[1] for one in drawn} == {"maze-8x8/all": 64, "maze-10x10/all": 100}


def test_one_run_trains_on_two_sizes_and_validates_on_both(tmp_path: Path) -> None:
    stages = (dataclasses.replace(STAGES[0], steps=2), dataclasses.replace(STAGES[1], steps=4))
    # With these the fresh network already has some cells right, so that a share of them is no zero.
    model = {"hidden_size": 16, "width": 16, "l_cycles": 5, "broadcast": False}
    recipe = mazes(stages=stages, validate_every=3, validation_limit=5, deep_share=0.5, model=model)
    told = run(Job("maze-10x10", "trm-conv-nano", recipe), tmp_path / "run")
    assert told["result"]["steps"] == 6
    assert {"exact", "maze-8x8/exact", "maze-8x8/cell_accuracy"} <= set(told["result"]["validation"])
    assert 0 < told["result"]["validation"]["maze-8x8/cell_accuracy"] <= 1
    assert [data["name"] for data in told["training"]["data"]] == ["maze-8x8 train", "maze-10x10 train"]
    assert set(told["validation"]["others"]) == {"maze-8x8"}


def test_files_of_ones_own_are_named_in_what_was_trained_on(tmp_path: Path) -> None:
    board, answer = "1000003002000004", "1342243142133124"
    for name in ("easy", "hard"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "train.csv").write_text(f"question,answer\n{board},{answer}\n")

    def named(*folders: str) -> list[str]:
        parts = tuple(Part("sudoku-4x4", name=folder, data=str(tmp_path / folder)) for folder in folders)
        spec = registry.default().tasks.spec("sudoku-4x4")
        source = mixture(spec, mazes(parts=parts, stages=STAGES[1:]), {})
        return [data["name"] for data in source.declaration["data"]]

    own = ["sudoku-4x4 train (own data easy)", "sudoku-4x4 train (own data hard)"]
    assert named("easy", "hard") == own
    # A copy of the published file holds the published data.
    task = registry.default().task("sudoku-4x4")
    use = {"name": "sudoku-4x4 test", "sha256": task.source("test").sha256, "split": "test"}
    copied = from_files(SimpleNamespace(declaration={"data": [use]}), task.spec, tmp_path / "copy")
    assert copied.declaration["data"] == [use]
    recipe = Recipe(stages=STAGES[1:], batch_size=4, dtype="float32")
    parts = build(Job("sudoku-4x4", "trm-nano", recipe, data=str(tmp_path / "hard")))
    assert parts.source.declaration["data"][0]["name"] == own[1]
    again = pickle.loads(pickle.dumps(parts.source))
    assert again.draw("all", 1, 2).tokens.shape == (2, 16)


def test_a_set_is_measured_in_a_mixture_as_alone() -> None:
    recipe = mazes(validate_every=1, validation_limit=7, model={"hidden_size": 16, "width": 16})
    parts = build(Job("maze-10x10", "trm-conv-nano", recipe))
    found = parts.validator(parts.model)
    alone = parts.validator.named["maze-8x8"]
    assert isinstance(alone, Validator)
    assert found["maze-8x8/cell_accuracy"] == pytest.approx(alone(parts.model)["cell_accuracy"])
    assert estimate(parts, recipe).flops > 0


def test_what_does_not_go_together_is_refused() -> None:
    with pytest.raises(BadInput, match="parts must have the 6 tokens of maze-10x10"):
        mixture(HOME, mazes(parts=(Part("maze-14x14"),), stages=STAGES[1:]), {})
    with pytest.raises(BadInput, match="a name of its own"):
        mazes(parts=(Part("maze-8x8"), Part("maze-8x8")))
    with pytest.raises(BadInput, match="shares name part 'maze-8x8'"):
        mazes(parts=())
    with pytest.raises(BadInput, match="share above 0"):
        mazes(parts=(Part("maze-8x8", 0.0),), stages=STAGES[1:])
    with pytest.raises(BadInput, match="no part is validated on"):
        build(
            Job(
                "maze-10x10",
                "trm-conv-nano",
                mazes(validate_every=1, parts=[dataclasses.replace(p, validate=False) for p in MAZES]),
            )
        )


def test_recipes_of_parts_are_read_and_changed(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(
        """
[[part]]
task = "maze-8x8"
share = 0.5
name = "small"

[[part]]
task = "maze-10x10"
source = { puzzles = 100 }

[[stage]]
steps = 2
lr = 1e-3
lr_end = 1e-4
shares = { small = 1 }
"""
    )
    recipe = read_recipe(path)
    assert [part.name for part in recipe.parts] == ["small", "maze-10x10"]
    assert recipe.parts[1].source == {"puzzles": 100}
    changed = with_settings(recipe, ["part.2.share=3", "part.validate=false"])
    assert [part.share for part in changed.parts] == [0.5, 3]
    assert not any(part.validate for part in changed.parts)
