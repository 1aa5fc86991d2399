"""Every recipe that ships fits the harness, and the published settings are what their authors published."""

from __future__ import annotations

from dataclasses import replace

import pytest

from trm_harness import registry
from trm_harness.errors import BadInput
from trm_harness.train.recipe import Recipe, Stage, read_recipe, toml_value, with_settings
from trm_harness.train.session import find_recipe, shipped_recipes

SHIPPED = shipped_recipes()


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_a_shipped_recipe_names_what_exists_and_can_be_read(name: str) -> None:
    recipe = read_recipe(SHIPPED[name])
    names = registry.default()
    model, _, rest = name.partition(".")
    task = next(task for task in names.tasks.names() if rest == task or rest.startswith((f"{task}.", f"{task}-")))
    spec = names.models.spec(model)
    assert spec.trainable
    assert set(recipe.model) <= {*spec.config, "identities", "encoding", "table_rows"}
    assert names.tasks.spec(task)


@pytest.mark.parametrize(
    ("name", "steps", "lr", "table_lr", "decay", "ema"),
    [
        # 50,000 (HRM: 20,000) epochs of 1,000 puzzles at batch 768.
        ("trm-mlp-5m.sudoku-extreme.paper", 65_104, 1e-4, 1e-4, 1.0, 0.999),
        ("trm-7m.sudoku-extreme.paper", 65_104, 1e-4, 1e-4, 1.0, 0.999),
        ("trm-7m.maze-hard.paper", 65_104, 1e-4, 1e-4, 1.0, 0.999),
        ("trm-7m.arc1.paper", 518_000, 1e-4, 1e-2, 0.1, 0.999),
        ("hrm-27m.sudoku-extreme.paper", 26_042, 1e-4, 1e-4, 1.0, 0.0),
    ],
)
def test_published_settings(name: str, steps: int, lr: float, table_lr: float, decay: float, ema: float) -> None:
    recipe = read_recipe(SHIPPED[name])
    assert (recipe.total_steps, recipe.batch_size) == (steps, 768)
    assert (recipe.beta1, recipe.beta2, recipe.optimizer, recipe.loss) == (
        0.9,
        0.95,
        "adamatan2",
        "stablemax_cross_entropy",
    )
    assert (recipe.table_lr, recipe.weight_decay, recipe.table_weight_decay, recipe.ema_rate) == (
        table_lr,
        decay,
        decay,
        ema,
    )
    (stage,) = recipe.stages
    assert (stage.lr, stage.lr_end, stage.warmup, stage.supervision_steps) == (lr, lr, 2000, 16)


def test_a_recipe_is_found_by_tag_card_or_name() -> None:
    assert find_recipe("paper", "trm-7m", "maze-hard")[0].stem == "trm-7m.maze-hard.paper"
    assert find_recipe("trm-7m.maze-hard.paper", "trm-7m", "arc1")[0].stem == "trm-7m.maze-hard.paper"
    assert find_recipe("trm-nano.sudoku-4x4", "trm-nano", "sudoku-6x6")[0].parent.name == "trm-nano.sudoku-4x4"
    assert find_recipe(None, "trm-nano", "sudoku-4x4")[0].parent.name == "trm-nano.sudoku-4x4"
    # Generated boards train by what was published for their family.
    assert find_recipe("paper", "trm-7m", "sudoku-9x9")[0].stem == "trm-7m.sudoku-extreme.paper"
    assert find_recipe("paper", "trm-7m", "maze-8x8")[0].stem == "trm-7m.maze-hard.paper"
    with pytest.raises(BadInput, match=r"shipped are .*trm-mlp-5m"):
        find_recipe("paper", "trm-nano", "sudoku-4x4")


@pytest.mark.parametrize(("total", "steps"), [(30, [10, 20]), (60, [20, 40]), (3, [1, 2]), (2, [1, 1]), (31, [10, 21])])
def test_steps_stretch_every_stage(total: int, steps: list[int]) -> None:
    plain = Recipe((Stage(10, 1.0, 1.0, warmup=5), Stage(20, 1.0, 0.1)))
    scaled = with_settings(plain, (), total)
    assert [stage.steps for stage in scaled.stages] == steps
    assert scaled.total_steps == total
    assert scaled.stages[0].warmup == round(5 * steps[0] / 10)


def test_settings_reach_everything_and_leave_the_rest() -> None:
    plain = Recipe((Stage(10, 1.0, 1.0), Stage(20, 1.0, 0.1)), source={"sides": [4]}, model={"layers": 1})
    changed = with_settings(
        plain, ["stage.lr=0.5", "stage.2.steps=7", "source.augment=false", "model.encoding.canvas=fit"]
    )
    assert [(s.lr, s.steps) for s in changed.stages] == [(0.5, 10), (0.5, 7)]
    assert changed.source == {"sides": [4], "augment": False}
    assert changed.model == {"layers": 1, "encoding": {"canvas": "fit"}}
    assert with_settings(plain, [], seed=4) == replace(plain, seed=4)
    assert plain.source == {"sides": [4]}


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", 1), ("1e-3", 1e-3), ("true", True), ("[1, 2]", [1, 2]), ("fit", "fit"), ("1\nx = 2", "1\nx = 2")],
)
def test_values_are_toml_or_words(text: str, value: object) -> None:
    assert toml_value(text) == value
