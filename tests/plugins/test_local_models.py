"""Local networks: they reach as far as they should, rename with the symbols, and move from board to board."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from trm_harness import registry
from trm_harness.contracts import ModelRequest
from trm_harness.errors import BadInput
from trm_harness.nn.model import TorchModel
from trm_harness.nn.supervision import LEAVES, Rows, halting, held_deep
from trm_harness.specs import TaskSpec
from trm_model_local.layers import from_neighbours

MODELS = registry.default().models
SMALL = TaskSpec("s", 1, "", "", "", 6, 16, relations=("rows", "columns", "boxes"), symbols=(2, 4))
LARGE = replace(SMALL, id="l", vocab_size=8, seq_len=36, symbols=(2, 6))
CANVAS = TaskSpec("c", 1, "", "", "", 6, 64)
SIZES = {"hidden_size": 16, "width": 16}


def make(name: str, task: TaskSpec, weights: Path | None = None, **changes: object) -> TorchModel:
    torch.set_num_threads(1)
    spec = MODELS.spec(name)
    spec = replace(spec, config={**spec.config, **SIZES, **changes})
    return registry.import_target(spec.trainable)(ModelRequest(spec, task, weights=weights, seed=3))


def rows(tokens: np.ndarray) -> Rows:
    cells = torch.as_tensor(tokens, dtype=torch.int64).flatten(1)
    places = torch.arange(cells.shape[1]).expand_as(cells)
    return Rows(cells, cells, places, torch.zeros(len(cells), 1, dtype=torch.int64))


def logits(model: TorchModel, tokens: np.ndarray, steps: int = 1) -> torch.Tensor:
    batch, network = rows(tokens), model.network
    state = network.initial_state(*batch.tokens.shape)
    with torch.no_grad():
        for _ in range(steps):
            out = network(state, batch, None)
            state = out.state
    return out.logits


def changed_by(name: str, row: int, column: int) -> torch.Tensor:
    """Cells of an 8x8 canvas that two layers answer otherwise when the one at (row, column) is another."""
    # Through the prefix a cell would see all others.
    model = make(name, CANVAS, h_cycles=1, l_cycles=1, layers=1, broadcast=False)
    one = np.full((1, 8, 8), 2)
    other = one.copy()
    other[0, row, column] = 1
    return (logits(model, one) - logits(model, other)).abs().sum(-1).reshape(8, 8) > 1e-7


def test_a_convolution_reaches_as_far_as_its_layers() -> None:
    changed = changed_by("trm-conv-nano", 0, 0)
    # Two layers: cells two away change, cells three away do not.
    assert changed[:3, :3].all()
    assert not changed[3:].any()
    assert not changed[:, 3:].any()


def test_messages_reach_the_four_neighbours_a_layer() -> None:
    changed = changed_by("trm-message-nano", 3, 3)
    row, column = np.indices((8, 8))
    assert (changed.numpy() == (abs(row - 3) + abs(column - 3) <= 2)).all()


def test_a_cell_hears_each_neighbour_apart() -> None:
    height, width, each = 3, 4, 2
    said = torch.arange(height * width * 4 * each).float().reshape(1, height, width, 4 * each)
    heard = from_neighbours(said)
    for row in range(height):
        for column in range(width):
            for side, (down, right) in enumerate(((1, 0), (0, -1), (0, 1), (-1, 0))):
                place, there = slice(side * each, (side + 1) * each), (row + down, column + right)
                inside = 0 <= there[0] < height and 0 <= there[1] < width
                wanted = said[0, there[0], there[1], place] if inside else torch.zeros(each)
                assert torch.equal(heard[0, row, column, place], wanted)


@pytest.mark.parametrize("name", ["trm-conv-nano", "trm-message-nano"])
def test_the_same_place_far_from_the_edge_gets_the_same_answer_on_a_larger_canvas(name: str) -> None:
    model = make(name, CANVAS, h_cycles=1, l_cycles=1, layers=1, broadcast=False)
    small = np.random.default_rng(0).integers(1, 6, (1, 8, 8))
    large = np.pad(small, ((0, 0), (3, 4), (3, 4)), constant_values=2)
    model.network.config = replace(model.network.config, seq_len=225)
    inner = logits(model, large).reshape(15, 15, 6)[5:9, 5:9]
    assert torch.allclose(inner, logits(model, small).reshape(8, 8, 6)[2:6, 2:6], atol=1e-5)


@pytest.mark.parametrize("kept", [True, False])
def test_renaming_symbols_renames_the_answer(kept: bool) -> None:
    model = make("trm-relational-nano", SMALL, **({} if kept else {"symbols": 0}))
    tokens = np.random.default_rng(1).integers(1, 6, (2, 16))
    name = np.array([0, 1, 4, 2, 5, 3])
    plain, renamed = logits(model, tokens, 2), logits(model, name[tokens], 2)
    assert torch.allclose(renamed[..., name], plain, atol=1e-5) is kept


def test_weights_move_to_another_board(tmp_path: Path) -> None:
    for name, here, there in (
        ("trm-relational-nano", SMALL, LARGE),
        ("trm-conv-nano", SMALL, replace(SMALL, seq_len=49)),
        ("trm-message-nano", SMALL, replace(SMALL, seq_len=49)),
    ):
        model = make(name, here)
        path = tmp_path / f"{name}.safetensors"
        model.save(path, "")
        moved = make(name, there, path)
        assert moved.network.config.seq_len == there.seq_len
        assert moved.facts().config["vocab_size"] == there.vocab_size
        for key, value in moved.network.state_dict().items():
            assert torch.equal(value, model.network.state_dict()[key]), key
        assert logits(moved, np.ones((1, there.seq_len), np.int64)).shape == (1, there.seq_len, there.vocab_size)
    with pytest.raises(BadInput, match="use weights made for it"):
        make("trm-conv-nano", LARGE, tmp_path / "trm-conv-nano.safetensors")
    # Each relation has a matrix of its own: other relations, as many or more of them, are other weights.
    related = tmp_path / "trm-relational-nano.safetensors"
    for relations in (("rows", "columns", "diagonals"), ("rows", "columns", "boxes", "around")):
        with pytest.raises(BadInput, match=f"trained on the relations 'rows columns boxes', but.*{relations[-1]}"):
            make("trm-relational-nano", replace(SMALL, relations=relations), related)


@pytest.mark.parametrize(
    ("name", "task", "told"),
    [
        ("trm-conv-nano", "maze-10x10", "68,000 parameters"),
        ("trm-conv-mini", "maze-10x10", "233,000 parameters"),
        ("trm-conv-small", "arc1", "0.37 million parameters"),
        ("trm-message-nano", "maze-10x10", "107,000 parameters"),
        ("trm-message-micro", "maze-10x10", "263,000 parameters"),
        ("trm-message-mini", "maze-10x10", "354,000 parameters"),
        ("trm-message-small", "arc1", "0.49 million parameters"),
        ("trm-relational-nano", "sudoku-9x9", "31,000 parameters"),
    ],
)
def test_a_description_tells_the_size(name: str, task: str, told: str) -> None:
    models, tasks = registry.default().models, registry.default().tasks
    facts = models.resolve(name)(ModelRequest(models.spec(name), tasks.spec(task))).facts()
    number, unit = told.replace(",", "").split()[:2]
    assert told in models.spec(name).description
    wanted = float(number) * (1e6 if unit == "million" else 1)
    assert facts.parameters.network == pytest.approx(wanted, rel=0.02)


@pytest.mark.parametrize(("name", "task"), [("trm-conv-nano", CANVAS), ("trm-relational-nano", SMALL)])
def test_a_fresh_block_keeps_what_a_cell_holds(name: str, task: TaskSpec) -> None:
    network = make(name, task).network
    block, state = network.core.blocks[0], torch.randn(4, network.config.places(task.seq_len), 16)
    cells = state[:, 1:] / state[:, 1:].square().mean(-1, keepdim=True).sqrt()
    shape = (8, 8) if name == "trm-conv-nano" else (16, 4)
    mixed = block.mixer(cells.unflatten(1, shape)).flatten(1, 2)
    # Louder, and the network could not learn to copy a clue for its first two hundred steps.
    assert 0.05 < float(mixed.detach().std()) < 0.7


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "task"), [("trm-conv-nano", CANVAS), ("trm-message-nano", CANVAS), ("trm-relational-nano", SMALL)]
)
def test_compiled_in_bfloat16_the_gradients_are_the_plain_ones(name: str, task: TaskSpec) -> None:
    stack = make(name, task).network.core
    rope = (torch.zeros(1, 8, 8, 1),)
    dice = torch.Generator().manual_seed(0)
    state = torch.randn(8, 1 + 64, 16, generator=dice).bfloat16()
    weights = torch.randn(state.shape, generator=dice)

    def gradients(forward: torch.nn.Module) -> dict[str, torch.Tensor]:
        stack.zero_grad()
        (forward(state, None, rope).float() * weights).sum().backward()
        return {key: value.grad.clone() for key, value in stack.named_parameters() if value.grad is not None}

    plain, compiled = gradients(stack), gradients(torch.compile(stack, dynamic=False))
    assert len(plain) > 4
    for key, value in plain.items():
        torch.testing.assert_close(compiled[key], value, rtol=0.1, atol=0.1 * float(value.abs().max()), msg=key)


def test_a_task_without_relations_is_refused() -> None:
    with pytest.raises(BadInput, match="declares no relations"):
        make("trm-relational-nano", CANVAS)
    assert not MODELS.spec("trm-relational-nano").answers(CANVAS)
    assert MODELS.spec("trm-relational-nano").answers(SMALL)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kernel": 4}, "odd kernel"),
        ({"message": 0}, "message is 0"),
        ({"symbols": 2}, "mixer relations"),
        ({"mixer": "mlp"}, "mixer 'mlp' is unknown"),
    ],
)
def test_configurations_that_cannot_be_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        make("trm-conv-nano", CANVAS, **change)


def test_deep_rows_stay_whatever_they_want_and_leave_at_all_depths() -> None:
    stream = torch.Generator().manual_seed(0)
    eager, steps = torch.tensor([[9.0, -9.0]]).expand(64, 2), torch.ones(64, dtype=torch.int64)
    seen = torch.zeros(64, dtype=torch.bool)
    for _ in range(8):
        minimum = held_deep(torch.zeros(64, dtype=torch.int64), 0.5, 8, stream)
        assert (minimum[32:] == 0).all()
        assert set(minimum[:32].tolist()) <= {LEAVES, 8}
        left = halting(make_halting(), eager, steps, 8, True, minimum)
        assert left[32:].all()
        seen |= left
    assert 10 < int(seen[:32].sum()) < 32
    assert torch.equal(held_deep(torch.zeros(4), 0.0, 8, stream), torch.zeros(4))


def make_halting() -> object:
    return type("Halts", (), {"halts_on_continue": False})()
