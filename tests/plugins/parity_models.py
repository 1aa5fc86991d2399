"""The reference's fixtures of a network, and the comparisons that every architecture has to pass.

Everything about a case is read from its folder: architecture, sizes, batches, optimizer settings, number of steps.
Tolerances are those measured for the fixtures; they depend on the size of the network and on its mixer.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from tests.parity_files import golden, read_json, weights_from_recipe
from trm_harness.contracts import TrainingRows
from trm_harness.convert.importer import architecture_named
from trm_harness.nn.checkpoint import load_state
from trm_harness.nn.losses import SupervisionLoss, supervision_loss
from trm_harness.nn.network import Network
from trm_harness.nn.optim import AdamATan2, ExponentialMovingAverage, sparse_sign_step
from trm_harness.nn.reference import ARCHITECTURES, from_reference, settings_from_reference, to_reference
from trm_harness.nn.supervision import Carry, Rows, StepOutput, empty_carry, supervise
from trm_harness.train.learner import Learner, stage_rate
from trm_harness.train.recipe import Recipe, Stage

WIDE = 256
"""Networks of this width and more have the tolerances of full size."""
LATE_LOGITS = 5e-4
"""How far a logit of full size may be off after the first training step. A scale-free optimizer's first step follows
the sign of gradients that are next to nothing, and those depend on the processor's kernels: with six choices of them
(MKL's and ATen's; AVX2, AVX-512, neither) logits were up to 1.4e-4 from the fixture, states 5.7e-4, gradients 1.3e-5,
those of a puzzle's row 4e-6."""
LATE_STATES, LATE_GRADIENTS, LATE_ROWS = 2e-3, 5e-5, 1e-5
"""The same of a state, a gradient, and a gradient of a puzzle's row."""


def found(families: Collection[str]) -> list[Any]:
    """The cases whose network is of one of our ``families`` (``trm``, ``hrm``, ``direct``), as test parameters."""
    return [case for case in golden("models/*") if ARCHITECTURES[fixture_config(case.values[0])["arch"]][0] in families]


def fixture_config(folder: Path) -> dict[str, Any]:
    """A fixture's ``config.json``."""
    return read_json(folder / "config.json")


def reference_state(folder: Path) -> dict[str, torch.Tensor]:
    """A fixture's weights under the reference's names."""
    spec = fixture_config(folder)
    return weights_from_recipe(spec) if "weights" in spec else tensors(folder, "weights")


def tensors(folder: Path, name: str) -> dict[str, torch.Tensor]:
    """One of a fixture's safetensors files."""
    return {k: torch.from_numpy(v) for k, v in load_file(folder / f"{name}.safetensors").items()}


class Case:
    """One fixture folder: configuration, batches, expected values, and a network of ours to compare."""

    def __init__(self, folder: Path, network: Network | None = None) -> None:
        """``network``: one that was loaded from the fixture's weights elsewhere; made and loaded here without it."""
        torch.set_num_threads(1)
        self.folder, self.spec = folder, fixture_config(folder)
        self.arch, self.train = self.spec["config"], self.spec["train"]
        self.wide = self.arch["hidden_size"] >= WIDE
        self.batch = self.tensors("batch")
        self.architecture = architecture_named(self.spec["arch"])[1]
        self.network = network or self._made()

    def _made(self) -> Network:
        settings = settings_from_reference(self.architecture, self.arch) | ARCHITECTURES[self.spec["arch"]][1]
        assert settings["prefix"] == self.spec["puzzle_emb_len"]
        sizes = {"vocab_size": "vocab_size", "seq_len": "seq_len", "table_rows": "num_puzzle_identifiers"}
        settings |= {ours: self.arch[theirs] for ours, theirs in sizes.items()}
        network = self.architecture.network(self.architecture.config.from_mapping(settings))
        load_state(network, from_reference(self.architecture, reference_state(self.folder)), self.folder.name)
        return network

    def tensors(self, name: str) -> dict[str, torch.Tensor]:
        """One of the fixture's safetensors files."""
        return tensors(self.folder, name)

    def rows(self, prefix: str = "") -> Rows:
        """Evaluation batch, or training batch ``train.<i>.``."""
        tokens, labels = (self.batch[prefix + k].long() for k in ("inputs", "labels"))
        ids = self.batch[prefix + "puzzle_identifiers"].long().unsqueeze(-1)
        return Rows(tokens, labels, torch.arange(tokens.shape[1]).expand_as(tokens), ids)

    def json(self, name: str) -> Any:
        """One of the fixture's JSON files."""
        return read_json(self.folder / f"{name}.json")

    def theirs(self, values: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Our tensors under the reference's names."""
        return to_reference(self.architecture, values)


def close(got: torch.Tensor, want: torch.Tensor, rtol: float, atol: float, what: str) -> None:
    """``got`` equals ``want`` within the tolerances."""
    torch.testing.assert_close(got.detach().double(), want.double(), rtol=rtol, atol=atol, msg=lambda m: f"{what}: {m}")


def check_names(case: Case) -> None:
    """Our names become the reference's and come back, whatever wrappers the reference's checkpoint went through."""
    ours = case.network.state_dict()
    wrapped = {"_orig_mod.model." + k: v for k, v in case.theirs(ours).items()}
    again = from_reference(case.architecture, wrapped)
    assert again.keys() == ours.keys()
    assert all(torch.equal(again[k], ours[k]) for k in ours)


@torch.no_grad()
def check_evaluation(case: Case) -> None:
    """States, logits, predictions and losses at every supervision step of the evaluation run."""
    want, metrics, rows = case.tensors("eval_outputs"), case.json("eval_metrics"), case.rows()
    mixing = case.arch.get("mlp_t")
    atol_z = 6e-5 if case.wide else (4e-4 if mixing else 5e-5)
    atol_logits = 3e-5 if case.wide else (2e-4 if mixing else 5e-5)
    carry = empty_carry(case.network, rows)
    limit = case.arch["halt_max_steps"]
    for step in range(limit):
        carry, out, target = supervise(case.network, carry, rows, case.network.table, limit, training=False)
        assert target is None
        first = step == 0
        close(out.logits, want["logits"][step], *((1e-6, 6e-6) if first else (1e-5, atol_logits)), f"logits {step}")
        close(out.halt_logits[:, 0], want["q_halt_logits"][step], 1e-5, atol_logits, f"halt {step}")
        close(out.halt_logits[:, 1], want["q_continue_logits"][step], 1e-5, atol_logits, f"continue {step}")
        _check_states(want, step, limit, out.state, atol_z)
        _check_predictions(out.logits, want["logits"][step], want["preds"][step])
        assert torch.equal(carry.steps, want["steps"][step])
        assert torch.equal(carry.halted, want["halted"][step])
        _check_eval_loss(out, carry, metrics[step])


def _check_states(want: dict, step: int, limit: int, state: tuple, atol: float) -> None:
    names = _states(want)
    for name, value in zip(names, state, strict=True):
        if name in want:
            close(value, want[name][step], 1e-5, atol, f"{name} {step}")
        elif step in (0, limit - 1):
            label = "first" if step == 0 else "last"
            close(value[:, ::8], want[f"{name}_{label}_every8"], 1e-5, atol, f"{name} {label}")


def _states(want: Collection[str]) -> list[str]:
    """Names of the states that the reference stored (``z_H``, ``z_L``), the answer state first."""
    return sorted({match[0] for match in map(re.compile(r"z_[A-Z]\d*").match, want) if match})


def _check_predictions(logits: torch.Tensor, want_logits: torch.Tensor, want: torch.Tensor) -> None:
    top = want_logits.topk(2, dim=-1).values
    clear = (top[..., 0] - top[..., 1]) > 1e-3
    assert torch.equal(logits.argmax(-1)[clear], want[clear].long())


def _check_eval_loss(out: StepOutput, carry: Carry, want: dict) -> None:
    loss = supervision_loss(out.logits, out.halt_logits, carry.rows.labels, carry.halted, carry.steps)
    assert loss.total.dtype == torch.float64
    assert float(loss.total) == pytest.approx(want["loss"], rel=1e-5, abs=5e-5)
    for name, value in loss.metrics.items():
        assert float(value) == pytest.approx(want[name], rel=1e-5, abs=5e-5), name


class Training:
    """The reference's training micro-step, from the public pieces."""

    def __init__(self, case: Case) -> None:
        t = case.train
        self.case, self.network, self.recipe = case, case.network, fixture_recipe(case)
        self.optimizer = AdamATan2(self.network.parameters(), t["lr"], (t["beta1"], t["beta2"]), t["weight_decay"])
        self.ema = ExponentialMovingAverage(self.network, t["ema_rate"])
        self.carry = empty_carry(self.network, case.rows("train.1."))
        self.looked_up = torch.empty(0)

    def lookup(self, ids: torch.Tensor) -> torch.Tensor:
        """Table rows as a leaf whose gradient can be read."""
        self.looked_up = self.network.table(ids).detach().requires_grad_()
        return self.looked_up

    def step(self, index: int) -> tuple[StepOutput, torch.Tensor | None, SupervisionLoss]:
        """Forward and backward of micro-step ``index``."""
        rows, limit = self.case.rows(f"train.{index}."), self.case.arch["halt_max_steps"]
        lookup = None if self.network.table is None else self.lookup
        self.carry, out, target = supervise(self.network, self.carry, rows, lookup, limit, training=True)
        carry = self.carry
        loss = supervision_loss(out.logits, out.halt_logits, carry.rows.labels, carry.halted, carry.steps, target)
        (loss.total / rows.tokens.shape[0]).backward()
        return out, target, loss

    def update(self, index: int) -> None:
        """Both optimizers and the EMA."""
        recipe, rate = self.recipe, stage_rate(self.recipe.stages[0], index)
        if self.network.table is not None:
            ids, grads = self.carry.rows.ids.flatten(), self.looked_up.grad.flatten(0, 1)
            table_rate = recipe.table_lr * rate / recipe.stages[0].lr
            sparse_sign_step(self.network.table.weight, ids, grads, table_rate, recipe.table_weight_decay)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.ema.update(self.network)


def check_training(case: Case) -> None:
    """Consecutive micro-steps: outputs, carry, losses, gradients, weights after both optimizers, and the EMA."""
    want, told, training = case.tensors("train_step"), case.json("train_step"), Training(case)
    for index, step in enumerate(told["steps"], start=1):
        out, target, loss = training.step(index)
        _check_outputs(case, want, index, training, out)
        _check_target(case, want, index, target)
        # At full size the losses of later steps may move more, though less than a logit: they are means over cells.
        atol = len(out.logits) * 1e-4 if case.wide and index > 1 else 2e-5
        assert float(loss.total.detach()) == pytest.approx(step["loss"], rel=1e-6, abs=atol)
        assert loss.metrics.keys() == step["metrics"].keys()
        for name, value in loss.metrics.items():
            assert float(value) == pytest.approx(step["metrics"][name], rel=1e-6, abs=atol), name
        _check_gradients(case, want, index, training)
        training.update(index)
        _check_parameters(case, want, index, training)
    _check_ema(case, want, len(told["steps"]), training)


class FixtureSource:
    """The fixture's training batches, in the terms of ``TrainingSource``."""

    buckets: Mapping[str, float] = {"all": 1.0}

    def __init__(self, case: Case) -> None:
        self.case = case

    def draw(self, bucket: str, index: int, size: int) -> TrainingRows:
        """Batch ``index``; identities are row numbers in words."""
        rows = self.case.rows(f"train.{index}.")
        assert len(rows.tokens) == size
        tokens, labels, positions = (t.numpy().astype(np.int32) for t in (rows.tokens, rows.labels, rows.positions))
        return TrainingRows(tokens, labels, positions, tuple(str(int(i)) for i in rows.ids.flatten()))


class FixtureModel:
    """The fixture's network, in the terms of ``Trainable``."""

    def __init__(self, case: Case) -> None:
        self.network = case.network

    def identity_rows(self, identities: Sequence[str]) -> np.ndarray:
        """Back to numbers."""
        return np.array([[int(name)] for name in identities], dtype=np.int64)


def fixture_recipe(case: Case, accumulate: int = 1) -> Recipe:
    """The fixture's optimizer settings and schedule as a recipe."""
    t = case.train
    stage = Stage(
        steps=t["total_steps"],
        lr=t["lr"],
        lr_end=t["lr"] * t["lr_min_ratio"],
        warmup=t["lr_warmup_steps"],
        supervision_steps=case.arch["halt_max_steps"],
    )
    return Recipe(
        stages=(stage,),
        batch_size=len(case.batch["train.1.inputs"]),
        beta1=t["beta1"],
        beta2=t["beta2"],
        weight_decay=t["weight_decay"],
        table_lr=t["puzzle_emb_lr"],
        table_weight_decay=t["puzzle_emb_weight_decay"],
        ema_rate=t["ema_rate"],
        halt_exploration=0.0,
        dtype="float32",
        accumulate=accumulate,
    )


def check_learner(case: Case, split: bool = False) -> None:
    """The same consecutive steps taken by the trainers' own learner: losses, counters, weights, table and average.

    ``split``: in micro-batches. They sum in another order, which the tolerances of the fixtures allow for.
    """
    want, told = case.tensors("train_step"), case.json("train_step")
    size = len(case.batch["train.1.inputs"])
    accumulate = next((n for n in range(2, size + 1) if size % n == 0), 1) if split else 1
    learner = Learner(FixtureModel(case), FixtureSource(case), fixture_recipe(case, accumulate))
    for index, step in enumerate(told["steps"], start=1):
        row = learner.advance()
        # Rows one by one round otherwise than two at once, and at full size a step carries that far.
        loose = 2e-4 if case.wide and index > 1 and accumulate > 1 else 2e-5
        assert row["loss"] * size == pytest.approx(step["loss"], rel=1e-6, abs=loose)
        assert row["halted"] == step["metrics"]["count"]
        carry = learner.carries["all"]
        for name, value in (("steps", carry.steps), ("halted", carry.halted)):
            assert torch.equal(value, want[f"{name}.{index}"]), (name, index)
        _check_parameters(case, want, index, learner)
    _check_ema(case, want, len(told["steps"]), learner)


def _check_outputs(case: Case, want: dict, index: int, training: Training, out: StepOutput) -> None:
    rows, carry = training.carry.rows, training.carry
    logits_atol, z_atol = (LATE_LOGITS, LATE_STATES) if case.wide and index > 1 else (1.5e-5, 2e-5)
    for name, value in (
        ("logits", out.logits),
        ("q_halt_logits", out.halt_logits[:, 0]),
        ("q_continue_logits", out.halt_logits[:, 1]),
    ):
        if f"{name}.{index}" in want:
            close(value, want[f"{name}.{index}"], 1e-6, logits_atol, f"train {name} {index}")
    names = _states(want)
    for name, value in zip(names, out.state, strict=bool(names)):
        whole = f"{name}.{index}" in want
        stored = want[f"{name}.{index}" if whole else f"{name}.{index}.every8"]
        close(value if whole else value[:, ::8], stored, 1e-6, z_atol, f"train {name} {index}")
    for name, value in (("steps", carry.steps), ("halted", carry.halted)):
        assert torch.equal(value, want[f"{name}.{index}"]), (name, index)
    for name, value in (("inputs", rows.tokens), ("labels", rows.labels), ("puzzle_identifiers", rows.ids[:, 0])):
        if f"current_data.{name}.{index}" in want:
            assert torch.equal(value, want[f"current_data.{name}.{index}"].long()), (name, index)


def _check_target(case: Case, want: dict, index: int, target: torch.Tensor | None) -> None:
    assert (target is not None) == case.network.bootstraps == (f"target_q_continue.{index}" in want)
    if target is not None:
        close(target, want[f"target_q_continue.{index}"], 1e-5, 3e-6, f"bootstrapped target {index}")


def sample(tensor: torch.Tensor) -> torch.Tensor:
    """At most 256 evenly spread entries, as the fixtures store large tensors."""
    n = tensor.numel()
    picks = np.linspace(0, n - 1, min(256, n)).astype(np.int64)
    return tensor.detach().flatten()[torch.from_numpy(picks)]


def _check_gradients(case: Case, want: dict, index: int, training: Training) -> None:
    grads = case.theirs({n: p.grad for n, p in training.network.named_parameters()})
    late = case.wide and index > 1
    for name, grad in grads.items():
        key = f"grad.{index}.{name}"
        if key in want:
            scale = float(want[key].abs().max())
            close(grad, want[key], 1e-4, min(3e-6, max(1e-5 * scale, 1e-9)), key)
        else:
            close(sample(grad), want[f"sample.{key}"], 1e-4, LATE_GRADIENTS if late else 1e-5, key)
    if f"puzzle_emb_local_grad.{index}" in want:
        atol = LATE_ROWS if late else 3e-6
        close(training.looked_up.grad[:, 0], want[f"puzzle_emb_local_grad.{index}"], 1e-4, atol, "puzzle rows")
    if not case.network.bootstraps:
        # An untrained continue logit must have an exact zero gradient, or the scale-free optimizer would follow noise.
        assert not training.network.frame.halt_head.weight.grad[1].any()


def _check_parameters(case: Case, want: dict, index: int, training: Training | Learner) -> None:
    for name, value in case.theirs(training.network.state_dict()).items():
        key = f"param.{index}.{name}"
        if key in want:
            close(value, want[key], 0, 5e-7 if "puzzle_emb" in name else 2e-6, key)
        elif f"sample.{key}" in want:
            close(sample(value), want[f"sample.{key}"], 0, 3e-6, key)
        else:
            assert name.endswith("_init"), key


def _check_ema(case: Case, want: dict, last: int, training: Training | Learner) -> None:
    for name, value in case.theirs(training.ema.shadow).items():
        key = f"ema.{last}.{name}"
        if key in want:
            close(value, want[key], 0, 2e-6, key)
        else:
            close(sample(value), want[f"sample.{key}"], 0, 3e-6, key)
