"""Every registered network behind the Model contract: answers, weights files, batches, bfloat16, training.

Sizes are reduced, variants are not: whatever makes a registered name what it is stays.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.plugins import sudoku_tasks
from trm_harness import registry
from trm_harness.contracts import Model, ModelRequest, Trainable
from trm_harness.errors import BadInput
from trm_harness.nn.model import BatchState, TorchModel
from trm_harness.nn.supervision import Rows
from trm_harness.specs import ModelSpec, TaskSpec
from trm_harness.train.checkpoint import load_checkpoint, save_checkpoint
from trm_harness.train.learner import Learner
from trm_harness.train.recipe import Recipe, Stage
from trm_harness.types import Batch, Prediction, Puzzle

MODELS = registry.default().models
NETWORKS = [name for name in MODELS.names() if MODELS.spec(name).family in ("recursive", "direct")]
TASK = TaskSpec("t", 1, "", "", "", vocab_size=7, seq_len=16, relations=("rows", "columns"), symbols=(2, 4))
IDENTITIES = ("", "a", "b", "c")
SIZES = {"hidden_size": 32, "heads": 2, "supervision_steps": 4}


def reduced(name: str, **changes: object) -> ModelSpec:
    """The registered spec with small sizes."""
    spec = MODELS.spec(name)
    sizes = SIZES | ({"puzzle_dim": 32} if spec.config["puzzle_dim"] else {})
    return replace(spec, config={**spec.config, **sizes, **changes})


def request(spec: ModelSpec, **fields: object) -> ModelRequest:
    return ModelRequest(spec, TASK, **{"seed": 5, "identities": IDENTITIES, **fields})


def make(spec: ModelSpec, **fields: object) -> TorchModel:
    """A model whose every tensor matters: heads and puzzle rows start at constants, so they are drawn here."""
    torch.set_num_threads(1)
    model = registry.import_target(spec.trainable)(request(spec, **fields))
    stream = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for tensor in (
            model.network.frame.halt_head.weight,
            *([model.network.table.weight] if model.network.table else []),
        ):
            tensor.copy_(torch.randn(tensor.shape, generator=stream))
    return model


def build(spec: ModelSpec, weights: Path, dtype: str = "float32") -> TorchModel:
    return MODELS.resolve(spec.id)(request(spec, weights=weights, dtype=dtype))


def saved(spec: ModelSpec, folder: Path, **fields: object) -> Path:
    file = folder / f"{spec.id}.safetensors"
    make(spec, **fields).save(file, card=f"{spec.id}.test")
    return file


def batch(size: int, length: int = 16, seed: int = 0) -> Batch:
    """Random puzzles; shorter ones lie on different parts of the canvas."""
    draw = np.random.default_rng(seed)
    tokens = draw.integers(0, TASK.vocab_size, (size, length)).astype(np.int32)
    positions = np.stack([np.arange(length) + (row % (17 - length)) for row in range(size)]).astype(np.int32)
    puzzles = tuple(Puzzle(str(row), str(row), np.zeros((1, 1), np.uint8)) for row in range(size))
    identities = tuple(IDENTITIES[row % len(IDENTITIES)] for row in range(size))
    return Batch(puzzles, tokens, positions, identities, np.arange(size, dtype=np.uint64))


def rows_of(whole: Batch, rows: list[int]) -> Batch:
    return Batch(
        tuple(whole.puzzles[row] for row in rows),
        whole.tokens[rows],
        whole.positions[rows],
        tuple(whole.identities[row] for row in rows),
        whole.seeds[rows],
    )


def answers(model: Model, asked: Batch, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Tokens ``[steps, size, length]`` and halting logits ``[steps, size]``."""
    state, told = model.begin(asked), []
    for _ in range(steps):
        state, prediction = model.step(state)
        told.append(prediction)
    return np.stack([one.tokens for one in told]), np.stack([one.halt for one in told])


def same(first: tuple[np.ndarray, np.ndarray], second: tuple[np.ndarray, np.ndarray]) -> None:
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_allclose(first[1], second[1], rtol=1e-4, atol=1e-4)


@pytest.fixture(params=NETWORKS)
def spec(request: pytest.FixtureRequest) -> ModelSpec:
    return reduced(request.param)


def test_every_family_is_here() -> None:
    expected = {"hrm-27m", "hrm-nano", "direct-27m", "direct-nano", "trm-7m", "trm-mlp-5m", "trm-nano"}
    ablations = {f"trm-7m-{name}" for name in ("learned", "singlez", "separate", "4layers", "onestep")}
    assert expected | ablations <= set(NETWORKS)


def test_the_contract_is_numpy_in_and_out(spec: ModelSpec) -> None:
    model, asked = make(spec), batch(3)
    assert isinstance(model, Model)
    assert isinstance(model, Trainable)
    assert model.steps == SIZES["supervision_steps"]
    state, prediction = model.step(model.begin(asked))
    check_prediction(prediction, 3)
    _, prediction = model.step(model.select(state, [2]))
    check_prediction(prediction, 1)
    cost = model.cost(16)
    assert cost.flops_per_step > 0
    assert cost.bytes_per_example > 0
    facts = model.facts()
    own = dict(model.network.named_parameters())
    assert facts.parameters.network == sum(p.numel() for p in own.values())
    # A factored table has a row for the blank, each name, 8 dihedral maps, and 10 colours in 10 places.
    rows = 1 + len(IDENTITIES) + 8 + 100 if spec.id == "trm-7m-factored" else len(IDENTITIES)
    assert facts.parameters.puzzle_table == (rows * 32 if spec.config["puzzle_dim"] else 0)
    assert facts.effective_depth == model.network.config.effective_depth


def check_prediction(prediction: Prediction, size: int) -> None:
    assert (prediction.tokens.shape, prediction.tokens.dtype) == ((size, 16), np.dtype(np.int32))
    assert (prediction.halt.shape, prediction.halt.dtype) == ((size,), np.dtype(np.float32))
    assert prediction.tokens.min() >= 0
    assert prediction.tokens.max() < TASK.vocab_size
    assert prediction.answers is None


def test_saved_weights_answer_alike(spec: ModelSpec, tmp_path: Path) -> None:
    model, asked = make(spec), batch(5)
    model.save(tmp_path / "w.safetensors", card="c")
    again = build(spec, tmp_path / "w.safetensors")
    mine, theirs = model.network.state_dict(), again.network.state_dict()
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    assert again.network.config == model.network.config
    np.testing.assert_array_equal(again.identity_rows(IDENTITIES), model.identity_rows(IDENTITIES))
    same(answers(model, asked, 4), answers(again, asked, 4))
    assert again.facts().weights_sha256
    assert not any(p.requires_grad for p in again.network.parameters())


def test_answers_do_not_depend_on_the_batch(spec: ModelSpec, tmp_path: Path) -> None:
    # A seed whose random weights answer rows differently in every architecture.
    model, asked = build(spec, saved(spec, tmp_path, seed=6)), batch(6)
    tokens, halts = answers(model, asked, 4)
    assert len({row.tobytes() for row in tokens[-1]}) > 1, "all rows have one answer: the test would see nothing"
    order = [4, 1, 5, 0, 3, 2]
    same(answers(model, rows_of(asked, order), 4), (tokens[:, order], halts[:, order]))
    for row in range(asked.size):
        same(answers(model, rows_of(asked, [row]), 4), (tokens[:, [row]], halts[:, [row]]))


def test_rows_on_different_parts_of_the_canvas(spec: ModelSpec, tmp_path: Path) -> None:
    model, asked = build(spec, saved(spec, tmp_path)), batch(6, length=9)
    if model.network.config.fixed_length:
        with pytest.raises(BadInput, match="needs 16 cells, not 9"):
            model.begin(asked)
        return
    tokens, halts = answers(model, asked, 3)
    for row in range(asked.size):
        same(answers(model, rows_of(asked, [row]), 3), (tokens[:, [row]], halts[:, [row]]))
    state, _ = model.step(model.begin(asked))
    _, kept = model.step(model.select(state, [5, 2]))
    np.testing.assert_array_equal(kept.tokens, tokens[1][[5, 2]])


def test_select_never_changes_a_kept_row(spec: ModelSpec, tmp_path: Path) -> None:
    model, asked = build(spec, saved(spec, tmp_path)), batch(6)
    tokens, halts = answers(model, asked, 4)
    state, _ = model.step(model.begin(asked))
    kept = model.select(state, np.array([5, 0, 3]))
    for latent, before in zip(kept.latents, state.latents, strict=True):
        assert torch.equal(latent, before[[5, 0, 3]])
    kept, second = model.step(kept)
    kept = model.select(kept, [2, 0])
    _, third = model.step(kept)
    same((second.tokens, second.halt), (tokens[1][[5, 0, 3]], halts[1][[5, 0, 3]]))
    same((third.tokens, third.halt), (tokens[2][[3, 5]], halts[2][[3, 5]]))
    # The state that rows were taken from goes on as if nothing had happened.
    _, whole = model.step(state)
    same((whole.tokens, whole.halt), (tokens[1], halts[1]))


@pytest.mark.slow
def test_bfloat16_stays_finite_beyond_the_trained_depth(spec: ModelSpec, tmp_path: Path) -> None:
    file = saved(spec, tmp_path)
    model, asked = build(spec, file, dtype="bfloat16"), batch(4)
    state: BatchState = model.begin(asked)
    for _ in range(32):
        state, prediction = model.step(state)
        assert all(latent.dtype == torch.bfloat16 and latent.isfinite().all() for latent in state.latents)
        assert np.isfinite(prediction.halt).all()
        check_prediction(prediction, 4)
    exact = answers(build(spec, file), asked, 1)[0]
    assert np.mean(answers(model, asked, 1)[0] == exact) > 0.8


def test_the_seed_decides_the_weights_and_nothing_else(spec: ModelSpec) -> None:
    torch.manual_seed(11)
    before = torch.get_rng_state()
    make_one = MODELS.resolve(spec.id)
    first, second, third = (make_one(request(spec, seed=seed)).network.state_dict() for seed in (5, 5, 6))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert any(not torch.equal(first[name], third[name]) for name in first)


@pytest.mark.parametrize(
    ("held", "asked", "message"),
    [
        ("hrm-nano", "direct-nano", "architecture 'hrm', not 'direct'"),
        ("direct-27m", "hrm-27m", "architecture 'direct', not 'hrm'"),
        ("trm-nano", "hrm-nano", "architecture 'trm', not 'hrm'"),
        ("hrm-27m", "trm-7m", "architecture 'hrm', not 'trm'"),
        ("trm-7m-singlez", "trm-7m", "features 1, but trm-7m has 2"),
        ("trm-7m", "trm-7m-singlez", "features 2, but trm-7m-singlez has 1"),
        ("trm-7m-separate", "trm-7m", "networks 2, but trm-7m has 1"),
        ("trm-7m", "trm-7m-onestep", "gradient 'full', but trm-7m-onestep has 'one-step'"),
        ("trm-7m", "trm-mlp-5m", "mixer 'attention', but trm-mlp-5m has 'mlp'"),
        ("trm-7m-learned", "trm-7m", "positions 'learned', but trm-7m has 'rope'"),
    ],
)
def test_weights_of_another_model_are_refused(held: str, asked: str, message: str, tmp_path: Path) -> None:
    file = saved(reduced(held), tmp_path)
    with pytest.raises(BadInput, match=message) as caught:
        build(reduced(asked), file)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(file.name)


@pytest.mark.parametrize("name", ["hrm-nano", "direct-nano", "trm-7m-singlez"])
def test_broken_weights_are_refused_in_one_line(name: str, tmp_path: Path) -> None:
    spec = reduced(name)
    file = saved(spec, tmp_path)
    whole = file.read_bytes()
    for content in (
        whole[: len(whole) // 2],
        b"",
        b"\x00" * 64,
        whole.replace(b'"format":"trm-harness"', b'"format":"x-harness-x"'),
    ):
        file.write_bytes(content)
        with pytest.raises(BadInput, match=file.name) as caught:
            build(spec, file)
        assert "\n" not in str(caught.value)
    with pytest.raises(BadInput, match="no such file"):
        build(spec, tmp_path / "absent.safetensors")
    file.write_bytes(whole)
    other = replace(TASK, id="bigger", seq_len=81)
    with pytest.raises(BadInput, match="7 symbols on 16 cells, but task bigger has 7 on 81"):
        MODELS.resolve(spec.id)(replace(request(spec, weights=file), task=other))


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("hrm-27m", {"h_layers": 0}, "HRM config: h_layers is 0"),
        ("hrm-27m", {"layers": 2}, "HRM config: unknown key 'layers'"),
        ("direct-27m", {"mixer": "conv"}, "direct config: mixer 'conv' is unknown: use one of attention, mlp"),
        ("trm-7m", {"features": 3}, "TRM config: features 3 is unknown: use one of 1, 2"),
        ("trm-7m-singlez", {"networks": 2}, "TRM config: a single feature"),
        ("direct-27m", {"hidden_size": 33, "heads": 3}, "even head size, not 11"),
        ("hrm-27m", {"identities": "factored"}, "12 puzzle rows of 32 values do not fit a prefix of 1 x 32"),
    ],
)
def test_bad_configurations(name: str, changes: dict, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        make(reduced(name, **changes))


def training_rows(model: TorchModel) -> Rows:
    asked = batch(4)
    ids = model.identity_rows(asked.identities)
    return Rows(*(torch.from_numpy(a).long() for a in (asked.tokens, asked.tokens, asked.positions, ids)))


def loss_and_gradients(model: TorchModel) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Answer logits after one supervision step, and the gradients of their weighted sum."""
    rows, network = training_rows(model), model.network
    out = network(network.initial_state(4, 16), rows, network.table(rows.ids))
    weight = torch.randn(out.logits.shape, generator=torch.Generator().manual_seed(2))
    (out.logits * weight).sum().backward()
    return out.logits.detach(), {n: p.grad for n, p in network.named_parameters() if p.grad is not None}


def test_one_step_gradient_changes_the_gradient_only() -> None:
    full, one = make(reduced("trm-7m-onestep", gradient="full")), make(reduced("trm-7m-onestep"))
    (logits, wide), (same_logits, short) = loss_and_gradients(full), loss_and_gradients(one)
    assert torch.equal(logits, same_logits)
    assert wide.keys() == short.keys()
    assert not torch.allclose(wide["core.blocks.0.mlp.down.weight"], short["core.blocks.0.mlp.down.weight"])


def test_one_step_gradient_is_that_of_the_last_two_updates() -> None:
    """Written out: everything before the last update of z is a constant."""
    model = make(reduced("trm-7m-onestep"))
    _, got = loss_and_gradients(model)
    network, rows = make(reduced("trm-7m-onestep")).network, training_rows(model)
    x, rope = network.inputs(rows, network.table(rows.ids))
    y, z = network.initial_state(4, 16)
    with torch.no_grad():
        for cycle in range(3):
            for update in range(6):
                if (cycle, update) != (2, 5):
                    z = network.core(z, y + x, rope)
            if cycle != 2:
                y = network.core(y, z, rope)
    logits, _ = network.frame.read(network.core(y, network.core(z, y + x, rope), rope))
    weight = torch.randn(logits.shape, generator=torch.Generator().manual_seed(2))
    (logits * weight).sum().backward()
    for name, p in network.named_parameters():
        if p.grad is not None:
            torch.testing.assert_close(p.grad, got[name], rtol=1e-5, atol=1e-6)


def test_hrm_is_trm_with_separate_networks_and_one_step_gradient() -> None:
    cycles = {"h_cycles": 2, "l_cycles": 3, "prefix": 1}
    trm = make(reduced("trm-7m-separate", layers=1, gradient="one-step", **cycles))
    hrm = make(reduced("hrm-27m", h_layers=1, l_layers=1, **cycles))
    hrm.network.load_state_dict(trm.network.state_dict())
    (logits, wanted), (same_logits, got) = loss_and_gradients(trm), loss_and_gradients(hrm)
    assert torch.equal(logits, same_logits)
    assert all(torch.equal(wanted[name], got[name]) for name in wanted)
    assert (hrm.network.halts_on_continue, trm.network.halts_on_continue) == (True, False)


def test_separate_networks_with_equal_weights_are_the_shared_one() -> None:
    shared, separate = make(reduced("trm-7m-separate", networks=1)), make(reduced("trm-7m-separate"))
    separate.network.load_state_dict(
        {
            name: shared.network.state_dict()[name.replace("latent_core", "core").replace("answer_core", "core")]
            for name in separate.network.state_dict()
        }
    )
    same(answers(shared, batch(4), 3), answers(separate, batch(4), 3))


def test_nano_models_are_of_one_size() -> None:
    names = ("trm-nano", "hrm-nano", "direct-nano")
    sizes = {name: make(replace(MODELS.spec(name))).facts().parameters.network for name in names}
    assert len(set(sizes.values())) == 1, sizes


@pytest.mark.parametrize(("name", "depth"), [("hrm-27m", 24), ("direct-27m", 8), ("trm-7m-4layers", 48)])
def test_depth_is_the_papers(name: str, depth: int) -> None:
    assert make(reduced(name)).facts().effective_depth == depth


def test_it_trains_and_resumes(spec: ModelSpec, tmp_path: Path) -> None:
    recipe = Recipe(
        (Stage(8, 3e-3, 3e-3, supervision_steps=3),), batch_size=4, weight_decay=0.0, ema_rate=0.9, dtype="float32"
    )
    whole = learner(spec, recipe)
    before = {name: p.detach().clone() for name, p in whole.network.named_parameters()}
    for _ in range(2):
        assert math.isfinite(whole.advance()["loss"])
    moved = {name for name, p in whole.network.named_parameters() if not torch.equal(p, before[name])}
    assert moved == set(before)
    save_checkpoint(tmp_path, whole, {})
    again = learner(spec, recipe)
    load_checkpoint(tmp_path, again)
    np.testing.assert_equal(again.advance(), whole.advance())
    whole.model.save(tmp_path / "w.safetensors", card="")
    assert load_file(tmp_path / "w.safetensors").keys() == whole.network.state_dict().keys()


def learner(spec: ModelSpec, recipe: Recipe) -> Learner:
    task = sudoku_tasks.task(4)
    source = task.training_source(0, {}, {})
    model = registry.import_target(spec.trainable)(ModelRequest(spec, task.spec, identities=source.identities))
    return Learner(model, source, recipe)
