"""A network of one's own, written from the documentation alone, goes wherever the shipped ones go."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

import trm_harness
from trm_harness import ModelRequest, ModelSpec, PluginError, registry
from trm_harness.errors import BadInput
from trm_harness.nn.own import OwnModel, OwnNetwork, build, trainable
from trm_harness.nn.supervision import Rows, StepOutput
from trm_harness.publish.card import Addition, add_card
from trm_harness.testing import check_all, checks_of
from trm_harness.train.estimate import estimate
from trm_harness.train.recipe import Recipe, Stage
from trm_harness.train.session import build as parts_of
from trm_harness.train.session import new_job

SPEC = ModelSpec(
    "own-gru", 1, f"{__name__}:answering", "GRU", "A gated cell over summed rows and columns.", "recursive",
    needs_weights=True, trainable=f"{__name__}:training", config={"hidden": 24, "supervision_steps": 3},
)  # fmt: skip


class Gru(OwnNetwork):
    """State: a vector a cell ``[batch, cells, hidden]``, one a board ``[batch, hidden]``, and a count ``[batch]``."""

    latent = 0

    def __init__(self, vocab_size: int, seq_len: int, hidden: int, supervision_steps: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.symbol, self.place = nn.Embedding(vocab_size, hidden), nn.Embedding(seq_len, hidden)
        self.cell = nn.GRUCell(2 * hidden, hidden)
        self.answer, self.halt = nn.Linear(hidden, vocab_size), nn.Linear(hidden, 1)

    def initial_state(self, batch: int, length: int) -> tuple[Tensor, ...]:
        zeros = torch.zeros(batch, length, self.hidden, device=self.device)
        return zeros, zeros[:, 0], torch.zeros(batch, device=self.device)

    def forward(self, state: tuple[Tensor, ...], rows: Rows, puzzle: Tensor | None) -> StepOutput:
        cells, board, count = state
        given = self.symbol(rows.tokens) + self.place(rows.positions)
        shared = (board[:, None] + cells.mean(1, keepdim=True)).expand_as(given)
        cells = self.cell(torch.cat([given, shared], -1).flatten(0, 1), cells.flatten(0, 1)).view_as(given)
        board = cells.mean(1)
        return StepOutput((cells, board, count + 1), self.answer(cells), self.halt(board)[:, 0])


def answering(request: ModelRequest) -> OwnModel:
    return build(Gru, request)


def training(request: ModelRequest) -> OwnModel:
    return trainable(Gru, request)


@pytest.fixture(autouse=True)
def _known() -> object:
    trm_harness.register(SPEC)
    yield
    registry._session.clear()
    registry.default.cache_clear()


def recipe(steps: int = 4, **changes: object) -> Recipe:
    return Recipe((Stage(steps, 3e-3, 3e-3, supervision_steps=3),), batch_size=8, dtype="float32", **changes)


def test_it_trains_is_saved_loaded_and_scored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows: list[dict[str, float]] = []
    run = trm_harness.train("sudoku-4x4", "own-gru", recipe(40), out="run", on_step=rows.append)
    losses = [row["loss"] for row in rows]
    assert sum(losses[-5:]) < sum(losses[:5])
    record = trm_harness.evaluate("sudoku-4x4", "own-gru", weights=run.weights, limit=4, noise=0.1, out="scored")
    assert record.model.weights_sha256 == run["weights"]["weights.safetensors"]
    assert record.training.data[0].task == "sudoku-4x4"
    assert record.model.network_parameters == sum(p.numel() for p in Gru(6, 16, 24, 3).parameters())
    # Another task's sizes, and a setting that the class does not take.
    with pytest.raises(BadInput, match="weights for vocab_size"):
        trm_harness.load_model("own-gru", "sudoku-6x6", weights=run.weights)
    with pytest.raises(BadInput, match="cannot be made of its settings"):
        trainable(Gru, ModelRequest(dataclasses.replace(SPEC, config={"colour": 1}), _task()))


def test_a_card_of_it_says_whose_it_is(tmp_path: Path) -> None:
    file = tmp_path / "mine.safetensors"
    training(ModelRequest(SPEC, _task())).save(file, card="")
    with pytest.raises(BadInput, match=r"say --author \(whose the weights are\), --license, --trained-on"):
        add_card(Addition(file, task="sudoku-4x4", golden=0), tmp_path / "zoo")
    assert not (tmp_path / "zoo").exists()
    said = {"authors": ("A. N. Other",), "license": "MIT", "trained_on": ("a million boards of ours",)}
    card = add_card(Addition(file, task="sudoku-4x4", golden=2, **said), tmp_path / "zoo")
    assert (card.name, card.architecture, card.status) == ("own-gru.sudoku-4x4", "own-gru", "unverified")
    assert (card.authors, card.license) == (("A. N. Other",), "MIT")
    assert card.training.extra_data == ("a million boards of ours",)
    assert "A. N. Other" in (card.folder / "card.toml").read_text()


def test_resuming_equals_not_stopping(tmp_path: Path) -> None:
    from trm_harness.train.learner import Learner
    from trm_harness.train.loop import Settings, fit

    def go(out: Path, steps: int, resume: bool = False) -> dict[str, Tensor]:
        source = registry.default().task("sudoku-4x4").training_source(0, {}, {})
        plan = recipe(6)
        learner = Learner(training(ModelRequest(SPEC, _task())), source, plan)
        fit(learner, out, resume=resume, settings=Settings(seconds=0.0 if steps < 6 else float("inf")))
        return load_file(out / "weights.safetensors")

    (tmp_path / "whole").mkdir()
    (tmp_path / "parts").mkdir()
    whole = go(tmp_path / "whole", 6)
    go(tmp_path / "parts", 1)
    resumed = go(tmp_path / "parts", 6, resume=True)
    assert resumed.keys() == whole.keys()
    assert all(value.equal(whole[name]) for name, value in resumed.items())


def test_its_cost_is_measured(tmp_path: Path) -> None:
    model = training(ModelRequest(SPEC, _task()))
    # The gates' two products, and the two heads; embeddings and sums multiply nothing.
    gates = 2 * 16 * (2 * 24 * 3 * 24 + 24 * 3 * 24)
    heads = 2 * 16 * 24 * 6 + 2 * 24
    assert model.network.flops_per_step(16) == gates + heads
    assert model.cost(64).flops_per_step > model.cost(16).flops_per_step
    assert model.cost(64).bytes_per_example > model.cost(16).bytes_per_example > 16 * 24 * 4
    job = new_job("sudoku-4x4", "own-gru", recipe(100), device="cpu")
    found = estimate(parts_of(job), job.recipe)
    assert found.flops == 100 * 8 * 3 * (gates + heads)
    assert found.parameters == model.facts().parameters.network
    assert found.seconds > 0


def test_the_laws_of_models_hold() -> None:
    found = list(check_all(checks_of("own-gru")))
    assert len(found) > 10
    assert {outcome.status for outcome in found} == {"ok"}, [one for one in found if one.status != "ok"]


def test_output_of_another_shape_is_one_line() -> None:
    class Wrong(Gru):
        def forward(self, state: tuple[Tensor, ...], rows: Rows, puzzle: Tensor | None) -> StepOutput:
            out = super().forward(state, rows, puzzle)
            return StepOutput(out.state, out.logits[:, 1:], out.halt_logits)

    model = build(Wrong, ModelRequest(SPEC, _task()))
    task = registry.default().task("sudoku-4x4")
    loaded = trm_harness.load_model(model, task)
    with pytest.raises(PluginError, match=r"logits begins \(1, 15\), it must be \(1, 16\)"):
        loaded.predict(np.ones((4, 4), dtype=np.uint8))


def _task() -> trm_harness.TaskSpec:
    return registry.default().tasks.spec("sudoku-4x4")
