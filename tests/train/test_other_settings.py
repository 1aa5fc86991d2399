"""A recipe's settings over those that weights were made with: other cycles, a further head, or a refusal in words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.conftest import ROOT
from tests.train.tiny import recipe
from trm_harness import registry
from trm_harness.errors import BadInput
from trm_harness.nn.supervision import Rows
from trm_harness.train.recipe import read_recipe
from trm_harness.train.session import Job, build, run
from trm_harness.train.trainer import Settings

SMALL = {"hidden_size": 16, "width": 16, "message": 4}


def job(model: dict[str, Any], weights: Path | None = None) -> Job:
    plan = recipe(source={"puzzles": 20, "directions": True}, model=model)
    return Job("maze-8x8", "trm-message-nano", plan, weights=str(weights or ""))


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    build(job(SMALL)).model.save(tmp_path / "w.safetensors", "", training={})
    return tmp_path / "w.safetensors"


def test_settings_without_tensors_are_changed(weights: Path) -> None:
    made = build(job({"l_cycles": 1, "supervision_steps": 3}, weights)).model
    config = made.facts().config
    assert (config["l_cycles"], config["supervision_steps"], config["hidden_size"]) == (1, 3, 16)
    assert (made.network.cycles, made.steps) == ((2, 1), 3)
    assert made.facts().effective_depth == 2 * 2 * (1 + 1)
    own, kept = made.network.state_dict(), load_file(weights)
    assert own.keys() == kept.keys()
    assert all(torch.equal(own[name], value) for name, value in kept.items())


def test_a_further_head_begins_at_random_by_the_seed_and_is_kept(weights: Path, tmp_path: Path) -> None:
    one, same = (build(job({"auxiliary": 4}, weights)).model.network.state_dict() for _ in range(2))
    more = set(one) - set(load_file(weights))
    assert more == {"auxiliary_head.weight", "auxiliary_head.bias"}
    assert all(torch.equal(one[name], same[name]) for name in one)
    run(job({"auxiliary": 4}, weights), tmp_path / "run", settings=Settings(compile=False))
    assert more <= set(load_file(tmp_path / "run/weights.safetensors"))
    run(job({"auxiliary": 4}, weights), tmp_path / "run", resume=True, settings=Settings(compile=False))


def answers(model: Any) -> torch.Tensor:
    config = model.network.config
    shape = (2, config.seq_len)
    tokens = torch.randint(1, config.vocab_size, shape, generator=torch.Generator().manual_seed(0))
    places, ids = torch.arange(shape[1]).expand(shape), torch.zeros(2, 1, dtype=torch.int64)
    rows, state = Rows(tokens, tokens, places, ids), model.network.initial_state(*shape)
    with torch.no_grad():
        for _ in range(3):
            out = model.network(state, rows, None)
            state = out.state
    return torch.cat((out.logits.flatten(1), out.halt_logits), dim=1)


@pytest.mark.parametrize(
    ("kind", "task", "wider"),
    [
        ("trm-message-nano", "maze-8x8", {"width": 40, "message": 7}),
        ("trm-message-nano", "maze-8x8", {"message": 9}),
        ("trm-conv-nano", "maze-8x8", {"width": 17}),
        ("trm-relational-nano", "sudoku-4x4", {"width": 40}),
    ],
)
def test_more_width_and_messages_change_no_answer_and_are_learnt(
    kind: str, task: str, wider: dict[str, int], tmp_path: Path
) -> None:
    small = {name: value for name, value in SMALL.items() if name != "message" or "message" in kind}
    plan = recipe(source={"puzzles": 20}, model=small)
    made = build(Job(task, kind, plan)).model
    made.save(tmp_path / "w.safetensors", "", training={})
    more = replace(plan, model=wider)
    grown = build(Job(task, kind, more, weights=str(tmp_path / "w.safetensors"))).model
    assert {name: grown.facts().config[name] for name in wider} == wider
    assert grown.network.network_parameters() > made.network.network_parameters()
    torch.testing.assert_close(answers(grown), answers(made))
    run(
        Job(task, kind, more, weights=str(tmp_path / "w.safetensors")),
        tmp_path / "run",
        settings=Settings(compile=False),
    )
    before, after = grown.network.state_dict(), load_file(tmp_path / "run/weights-raw.safetensors")
    new = before["core.blocks.0.mlp.down.weight"] == 0
    if "width" in wider:
        assert new.any()
        assert (after["core.blocks.0.mlp.down.weight"][new] != 0).all()


@pytest.mark.parametrize(
    "model",
    [
        {"hidden_size": 32},
        {"hidden_size": 32, "width": 32},
        {"width": 8},
        {"mixer": "conv"},
        {"layers": 1},
        {"layers": 3},
    ],
)
def test_settings_that_the_weights_do_not_fit_are_refused(model: dict[str, Any], weights: Path, tmp_path: Path) -> None:
    name = min(model)
    with pytest.raises(BadInput, match=rf"w.safetensors: with model.{name} = .*theirs: .* tensor '.*' of .*: leave"):
        run(job(model, weights), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_settings_that_no_network_has_are_refused(weights: Path) -> None:
    with pytest.raises(BadInput, match="unknown key 'hiden_size'"):
        build(job({"hiden_size": 32}, weights))


@pytest.mark.parametrize(
    "model", [{"identities": "table"}, {"identities": "none"}, {"table_rows": 3}, {"puzzle_dim": 0}]
)
def test_the_meaning_of_puzzle_rows_is_not_changed(model: dict[str, Any], tmp_path: Path) -> None:
    def arc(model: dict[str, Any], weights: str = "") -> Job:
        source = {"sides": [6], "evaluation_share": 0.0}
        fits = {"encoding": {"canvas": "fit"}}
        return Job("arc1", "trm-message-small", recipe(source=source, model=model | fits), weights=weights)

    small = {"hidden_size": 16, "width": 16, "puzzle_dim": 4, "identities": "factored"}
    build(arc(small)).model.save(tmp_path / "w.safetensors", "", training={})
    assert build(arc({}, str(tmp_path / "w.safetensors"))).model.facts().config["identities"] == "factored"
    with pytest.raises(BadInput, match=f"puzzle table stay as they are, but the recipe says model.{min(model)}"):
        build(arc(model, str(tmp_path / "w.safetensors")))


def test_weights_learn_under_the_recipes_encoding_and_keep_it() -> None:
    zoo = ROOT / "zoo"
    plan = read_recipe(zoo / "trm-7m.arc1-tiny/recipe.toml")
    made = build(Job("arc1", "trm-7m", plan, weights=str(zoo / "trm-7m.arc1-cpu/weights.safetensors"))).model
    assert made.encoding == {"canvas": "fit", "views": "turns"} == plan.model["encoding"]


def test_a_plugin_that_leaves_settings_out_is_found_out(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    models = registry.default().models
    whole = models.resolve("trm-message-nano", "trainable")
    deaf = {("trm-message-nano", "trainable"): lambda request: whole(replace(request, changes={}))}
    monkeypatch.setattr(models, "_resolved", deaf)
    with pytest.raises(BadInput, match=r"its network has l_cycles 4, the recipe says model.l_cycles = 1: leave it out"):
        build(job({"l_cycles": 1}, weights))
