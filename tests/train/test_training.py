"""The torch trainer: it learns, and stopping and resuming changes nothing."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.train import tiny
from tests.train.tiny import TINY, parts
from trm_harness import registry
from trm_harness.contracts import ModelRequest, Trainable, TrainingSource
from trm_harness.errors import BadInput
from trm_harness.nn.supervision import Rows, canvas_of
from trm_harness.train.checkpoint import load_checkpoint, save_checkpoint
from trm_harness.train.learner import Learner, stage_rate
from trm_harness.train.recipe import Recipe, Stage, read_recipe, recipe_from_mapping
from trm_harness.train.trainer import TrainerJob
from trm_harness.zoo import safetensors_metadata


@pytest.fixture
def recipe() -> Recipe:
    return tiny.recipe()


def weights(learner: Learner) -> dict[str, torch.Tensor]:
    return {k: v.clone() for k, v in learner.network.state_dict().items()} | dict(learner.ema.shadow)


@pytest.mark.parametrize("optimizer", ["adamatan2", "muon"])
def test_resume_equals_an_uninterrupted_run_to_the_bit(optimizer: str, recipe: Recipe, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    recipe = replace(recipe, optimizer=optimizer)
    whole = Learner(*parts(recipe), recipe)
    rows = [whole.advance() for _ in range(10)]

    first = Learner(*parts(recipe), recipe)
    for _ in range(5):
        first.advance()
    save_checkpoint(tmp_path, first, {"seconds": 1.5})
    second = Learner(*parts(recipe), recipe)
    assert load_checkpoint(tmp_path, second) == {"seconds": 1.5, "processes": 1}
    again = [second.advance() for _ in range(5)]

    np.testing.assert_equal(again, rows[5:])
    want, got = weights(whole), weights(second)
    assert want.keys() == got.keys()
    assert all(torch.equal(want[k], got[k]) for k in want)


def test_half_written_checkpoints_are_invisible_and_old_ones_go(recipe: Recipe, tmp_path: Path) -> None:
    learner = Learner(*parts(recipe), recipe)
    for _ in range(3):
        learner.advance()
        save_checkpoint(tmp_path, learner, {"seconds": 0.0})
    (tmp_path / ".step-0000009.tmp").mkdir()
    assert sorted(p.name for p in tmp_path.glob("step-*")) == ["step-0000002", "step-0000003"]
    fresh = Learner(*parts(recipe), recipe)
    load_checkpoint(tmp_path, fresh)
    assert fresh.step == 3


def test_broken_or_missing_checkpoints_say_what_to_do(recipe: Recipe, tmp_path: Path) -> None:
    learner = Learner(*parts(recipe), recipe)
    with pytest.raises(BadInput, match="start the run without --resume"):
        load_checkpoint(tmp_path, learner)
    save_checkpoint(tmp_path, learner, {"seconds": 0.0})
    learner.step = 1
    path = save_checkpoint(tmp_path, learner, {"seconds": 0.0}) / "state.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(BadInput, match="delete it to resume from the one before, step-0000000"):
        load_checkpoint(tmp_path, learner)
    shutil.rmtree(path.parent)
    load_checkpoint(tmp_path, learner)
    assert learner.step == 0


def test_a_checkpoint_refuses_a_recipe_that_it_cannot_go_on_with(recipe: Recipe, tmp_path: Path) -> None:
    learner = Learner(*parts(recipe), recipe)
    learner.advance()
    folder = save_checkpoint(tmp_path, learner, {"seconds": 0.0})
    longer = replace(recipe, stages=(*recipe.stages, recipe.stages[-1]))
    load_checkpoint(tmp_path, Learner(*parts(longer), longer))
    smaller = replace(recipe, batch_size=4)
    with pytest.raises(BadInput, match="made with batch_size 8, the recipe says 4"):
        load_checkpoint(tmp_path, Learner(*parts(smaller), smaller))
    (folder / "state.json").write_text("{}")
    with pytest.raises(BadInput, match=r"cannot be read .*there is no other"):
        load_checkpoint(tmp_path, learner)


def test_a_single_supervision_step_trains(recipe: Recipe) -> None:
    once = replace(recipe, stages=(Stage(steps=2, lr=1e-3, lr_end=1e-3, supervision_steps=1),))
    learner = Learner(*parts(once), once)
    # Every row halts at once, so each step counts the whole batch.
    assert [learner.advance()["halted"] for _ in range(2)] == [once.batch_size] * 2


def test_a_resumed_log_tells_every_step_once(recipe: Recipe, tmp_path: Path) -> None:
    from trm_trainer_torch.trainer import train

    model, source = parts(recipe)
    learner = Learner(model, source, recipe)
    for _ in range(5):
        learner.advance()
    save_checkpoint(tmp_path / "checkpoints", learner, {"seconds": 0.0})
    # As a kill leaves it: steps past the checkpoint, the last line torn.
    lines = [json.dumps({"step": step}) + "\n" for step in range(1, 8)]
    (tmp_path / "metrics.jsonl").write_text("".join(lines) + '{"st')
    train(TrainerJob(*parts(recipe), recipe, tmp_path, resume=True))
    steps = [json.loads(line)["step"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert steps == list(range(1, recipe.total_steps + 1))


def test_the_loss_falls(recipe: Recipe) -> None:
    long = replace(recipe, stages=(Stage(steps=60, lr=3e-3, lr_end=3e-3, supervision_steps=2),), batch_size=32)
    learner = Learner(*parts(long), long)
    losses = [learner.advance()["lm_loss"] for _ in range(60)]
    assert np.mean(losses[-10:]) < 0.8 * np.mean(losses[:10])


def test_only_touched_rows_of_the_puzzle_table_move() -> None:
    source = {"sides": [4], "evaluation_share": 0.5}
    model = {"identities": "factored", "encoding": {"canvas": "fit"}, "mixer": "attention", "positions": "rope"}
    model |= {"puzzle_dim": 32, "prefix": 12}
    recipe = Recipe((Stage(3, 1e-3, 1e-3),), batch_size=2, dtype="float32", source=source, model=model)
    names = registry.default()
    spec = names.tasks.spec("arc1")
    arc = names.tasks.resolve("arc1")(spec, None)
    drawn = arc.training_source(0, {"canvas": "fit"}, source)
    learner = Learner(*parts_of_arc(recipe, spec, drawn), recipe)
    before = learner.network.table.weight.clone()
    learner.advance()
    ids = learner.carries["4"].rows.ids.unique()
    moved = (learner.network.table.weight != before).any(-1).nonzero().flatten()
    assert set(moved.tolist()) <= set(ids.tolist())
    assert len(moved) > 8


def parts_of_arc(recipe: Recipe, task_spec: object, source: TrainingSource) -> tuple[Trainable, TrainingSource]:
    spec = registry.default().models.spec("trm-nano")
    spec = replace(spec, config={**spec.config, **TINY, **recipe.model})
    request = ModelRequest(spec, task_spec, dtype=recipe.dtype, identities=source.identities)
    return registry.import_target(spec.trainable)(request), source


def test_stages_follow_one_another() -> None:
    recipe = Recipe((Stage(2, 1.0, 0.5), Stage(3, 0.1, 0.0)))
    assert [recipe.stage_at(step)[1] for step in (1, 2, 3, 5, 99)] == [1, 2, 1, 3, 3]
    assert stage_rate(Stage(10, 1.0, 0.2, warmup=4), 1) == pytest.approx(0.25)
    assert stage_rate(Stage(10, 1.0, 0.2, warmup=4), 10) == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("batch_size = 3", r"has no \[\[stage\]\]"),
        ("bach_size = 3\n[[stage]]\nsteps=1\nlr=1.0\nlr_end=1.0", "unknown key 'bach_size'"),
        ("[[stage]]\nsteps=1\nlr=1.0\nlr_end=1.0\nfoo=1", "unknown key 'foo'"),
        ("batch_size = [", "is not TOML"),
        ('optimizer = "sgd"\n[[stage]]\nsteps=1\nlr=1.0\nlr_end=1.0', "optimizer 'sgd' is unknown"),
        ('loss = "mse"\n[[stage]]\nsteps=1\nlr=1.0\nlr_end=1.0', "loss 'mse' is unknown"),
        ('dtype = "float64"\n[[stage]]\nsteps=1\nlr=1.0\nlr_end=1.0', "dtype 'float64' is unknown"),
        ("batch_size = 0\n[[stage]]\nsteps=1\nlr=1.0\nlr_end=1.0", "batch_size must be at least 1, not 0"),
        ("seed = true\n[[stage]]\nsteps=1\nlr=1.0\nlr_end=1.0", "seed must be a whole number, not True"),
        ("source = 3\n[[stage]]\nsteps=1\nlr=1.0\nlr_end=1.0", "source must be a table, not 3"),
        ('[[stage]]\nsteps="6"\nlr=1.0\nlr_end=1.0', "steps must be a whole number, not '6'"),
        ("[[stage]]\nsteps=6\nlr_end=1.0", "key 'lr' is missing"),
        ("[stage]\nsteps=6\nlr=1.0\nlr_end=1.0", r"has no \[\[stage\]\]"),
    ],
)
def test_bad_recipes(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text(text)
    with pytest.raises(BadInput, match=message):
        read_recipe(file)


def test_recipes_round_trip(recipe: Recipe) -> None:
    assert recipe_from_mapping(json.loads(json.dumps(recipe.as_dict())), "here") == recipe


def test_trained_weights_answer_as_the_network_that_was_saved(recipe: Recipe, tmp_path: Path) -> None:
    from trm_trainer_torch.trainer import train

    model, source = parts(recipe)
    done = train(TrainerJob(model, source, recipe, tmp_path))
    assert done.steps == recipe.total_steps
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == recipe.total_steps
    raw, ema = (load_file(tmp_path / f"weights{suffix}.safetensors") for suffix in ("-raw", ""))
    assert raw.keys() == ema.keys()
    own = model.network.state_dict()
    declared = json.loads(safetensors_metadata(tmp_path / "weights.safetensors")["training"])
    assert declared["data"] == json.loads(json.dumps(source.declaration["data"]))
    assert declared["checkpoint_choice"] == f"step {recipe.total_steps} of {recipe.total_steps}"
    assert all(torch.equal(raw[k], own[k]) for k in own)
    assert any(not torch.equal(raw[k], ema[k]) for k in own)


def test_the_host_knows_whether_all_rows_lie_on_the_same_places() -> None:
    def rows(*starts: int, looked: bool = True) -> Rows:
        positions = torch.tensor([[start, start + 1] for start in starts])
        return Rows(positions, positions, positions, positions, canvas_of(positions.numpy()) if looked else None)

    same, other, mixed = rows(0, 0), rows(5, 5), rows(0, 5)
    everybody, nobody = torch.ones(2, dtype=torch.bool), torch.zeros(2, dtype=torch.bool)
    assert same.replaced(nobody, rows(0, 0)).shared_positions.tolist() == [[0, 1]]
    # Who was replaced only the device knows: they may differ, and every row's own places are as right.
    for fresh in (other, mixed):
        assert len(same.replaced(everybody, fresh).shared_positions) == 2
    assert torch.equal(same.replaced(everybody, other).shared_positions, other.positions)
    for starts, shared in (((0, 0), 1), ((0, 5), 2), ((3,), 1)):
        assert len(rows(*starts, looked=False).shared_positions) == shared
    assert same.rows_at(slice(1)).canvas == same.canvas
