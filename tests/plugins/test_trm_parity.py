"""TRM equals the reference: every supervision step, the losses, gradients, both optimizers and the EMA.

Tolerances are those measured for the fixtures (their README, section 9). A small part of the fixtures is in the
tree; the full set runs wherever ``../shared/parity`` is there.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from tests.parity_files import parity_roots, weights_from_recipe
from trm_harness.nn.losses import LOSSES, log_stablemax, supervision_loss
from trm_harness.nn.optim import AdamATan2, ExponentialMovingAverage, cosine_with_warmup, sparse_sign_step
from trm_harness.nn.supervision import Rows, empty_carry, supervise
from trm_model_trm.checkpoint import from_reference, load_state, to_reference
from trm_model_trm.network import TRM, TRMConfig

CASES = ("trm_att_rope", "trm_att_rope_seq81", "trm_att_learned", "trm_mlp_t", "full_trm_att", "full_trm_mlp")
FOUND = [
    pytest.param(root / "models" / case, id=f"{case}-{label}")
    for label, root in parity_roots()
    for case in CASES
    if (root / "models" / case).is_dir()
]


class Case:
    """One fixture folder: configuration, batches, expected values, and our network with its weights."""

    def __init__(self, folder: Path) -> None:
        torch.set_num_threads(2)
        self.folder, self.full = folder, folder.name.startswith("full_")
        self.spec = json.loads((folder / "config.json").read_text())
        self.arch, self.train = self.spec["config"], self.spec["train"]
        self.batch = self._tensors("batch")
        self.network = TRM(our_config(self.arch, self.spec["puzzle_emb_len"]))
        state = weights_from_recipe(self.spec) if self.full else self._tensors("weights")
        load_state(self.network, from_reference(state), folder.name)

    def _tensors(self, name: str) -> dict[str, torch.Tensor]:
        return {k: torch.from_numpy(v) for k, v in load_file(self.folder / f"{name}.safetensors").items()}

    def rows(self, prefix: str = "") -> Rows:
        """Evaluation batch, or training batch ``train.<i>.``."""
        tokens, labels = (self.batch[prefix + k].long() for k in ("inputs", "labels"))
        ids = self.batch[prefix + "puzzle_identifiers"].long().unsqueeze(-1)
        return Rows(tokens, labels, torch.arange(tokens.shape[1]).expand_as(tokens), ids)

    def expected(self, name: str) -> dict[str, torch.Tensor]:
        return self._tensors(name)

    def json(self, name: str) -> list | dict:
        return json.loads((self.folder / f"{name}.json").read_text())


def our_config(arch: dict, prefix: int) -> TRMConfig:
    return TRMConfig(
        vocab_size=arch["vocab_size"],
        seq_len=arch["seq_len"],
        hidden_size=arch["hidden_size"],
        heads=arch["num_heads"],
        layers=arch["L_layers"],
        expansion=arch["expansion"],
        h_cycles=arch["H_cycles"],
        l_cycles=arch["L_cycles"],
        supervision_steps=arch["halt_max_steps"],
        mixer="mlp" if arch["mlp_t"] else "attention",
        positions=arch["pos_encodings"],
        prefix=prefix,
        puzzle_dim=arch["puzzle_emb_ndim"],
        table_rows=arch["num_puzzle_identifiers"],
        rms_norm_eps=arch["rms_norm_eps"],
        rope_theta=arch["rope_theta"],
    )


def close(got: torch.Tensor, want: torch.Tensor, rtol: float, atol: float, what: str) -> None:
    torch.testing.assert_close(got.detach().double(), want.double(), rtol=rtol, atol=atol, msg=lambda m: f"{what}: {m}")


@pytest.fixture(params=FOUND)
def case(request: pytest.FixtureRequest) -> Case:
    return Case(request.param)


def test_parameter_count(case: Case) -> None:
    assert case.network.network_parameters() == case.spec["num_params"]


def test_names_round_trip(case: Case) -> None:
    ours = case.network.state_dict()
    again = from_reference({"_orig_mod.model." + k: v for k, v in to_reference(ours).items()})
    assert again.keys() == ours.keys()
    assert all(torch.equal(again[k], ours[k]) for k in ours)


@torch.no_grad()
def test_evaluation_at_every_step(case: Case) -> None:
    want, metrics, rows = case.expected("eval_outputs"), case.json("eval_metrics"), case.rows()
    atol_z = 6e-5 if case.full else (4e-4 if case.arch["mlp_t"] else 5e-5)
    atol_logits = 3e-5 if case.full else (2e-4 if case.arch["mlp_t"] else 5e-5)
    carry = empty_carry(case.network, rows)
    limit = case.arch["halt_max_steps"]
    for step in range(limit):
        carry, out, _ = supervise(case.network, carry, rows, case.network.table, limit, training=False)
        first = step == 0
        close(out.logits, want["logits"][step], *((1e-6, 6e-6) if first else (1e-5, atol_logits)), f"logits {step}")
        close(out.halt_logits[:, 0], want["q_halt_logits"][step], 1e-5, atol_logits, f"halt {step}")
        close(out.halt_logits[:, 1], want["q_continue_logits"][step], 1e-5, atol_logits, f"continue {step}")
        check_states(want, step, limit, out.state, atol_z)
        check_predictions(out.logits, want["logits"][step], want["preds"][step])
        assert torch.equal(carry.steps, want["steps"][step])
        assert torch.equal(carry.halted, want["halted"][step])
        check_eval_loss(out, carry, metrics[step])


def check_states(want: dict, step: int, limit: int, state: tuple, atol: float) -> None:
    for name, value in zip(("z_H", "z_L"), state, strict=True):
        if name in want:
            close(value, want[name][step], 1e-5, atol, f"{name} {step}")
        elif step in (0, limit - 1):
            label = "first" if step == 0 else "last"
            close(value[:, ::8], want[f"{name}_{label}_every8"], 1e-5, atol, f"{name} {label}")


def check_predictions(logits: torch.Tensor, want_logits: torch.Tensor, want: torch.Tensor) -> None:
    top = want_logits.topk(2, dim=-1).values
    clear = (top[..., 0] - top[..., 1]) > 1e-3
    assert torch.equal(logits.argmax(-1)[clear], want[clear].long())


def check_eval_loss(out: object, carry: object, want: dict) -> None:
    loss = supervision_loss(out.logits, out.halt_logits, carry.rows.labels, carry.halted, carry.steps)
    assert loss.total.dtype == torch.float64
    assert float(loss.total) == pytest.approx(want["loss"], rel=1e-5, abs=5e-5)
    for name, value in loss.metrics.items():
        assert float(value) == pytest.approx(want[name], rel=1e-5, abs=5e-5), name


class Training:
    """The reference's training micro-step, from the public pieces."""

    def __init__(self, case: Case) -> None:
        t = case.train
        self.case, self.network = case, case.network
        self.optimizer = AdamATan2(self.network.parameters(), t["lr"], (t["beta1"], t["beta2"]), t["weight_decay"])
        self.ema = ExponentialMovingAverage(self.network, t["ema_rate"])
        self.carry = empty_carry(self.network, case.rows("train.1."))
        self.looked_up = torch.empty(0)

    def lookup(self, ids: torch.Tensor) -> torch.Tensor:
        self.looked_up = self.network.table(ids).detach().requires_grad_()
        return self.looked_up

    def lr(self, base: float, step: int) -> float:
        t = self.case.train
        return cosine_with_warmup(step, base, t["lr_warmup_steps"], t["total_steps"], t["lr_min_ratio"])

    def step(self, index: int) -> tuple:
        rows = self.case.rows(f"train.{index}.")
        self.carry, out, _ = supervise(
            self.network, self.carry, rows, self.lookup, self.case.arch["halt_max_steps"], training=True
        )
        loss = supervision_loss(
            out.logits, out.halt_logits, self.carry.rows.labels, self.carry.halted, self.carry.steps
        )
        (loss.total / rows.tokens.shape[0]).backward()
        return out, loss

    def update(self, index: int) -> None:
        t = self.case.train
        sparse_sign_step(
            self.network.table.weight,
            self.carry.rows.ids.flatten(),
            self.looked_up.grad.flatten(0, 1),
            self.lr(t["puzzle_emb_lr"], index),
            t["puzzle_emb_weight_decay"],
        )
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr(t["lr"], index)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.ema.update(self.network)


def test_consecutive_training_steps(case: Case) -> None:
    want, told, training = case.expected("train_step"), case.json("train_step"), Training(case)
    for index, step in enumerate(told["steps"], start=1):
        out, loss = training.step(index)
        check_training_outputs(case, want, index, training, out)
        assert float(loss.total.detach()) == pytest.approx(step["loss"], rel=1e-6, abs=2e-5)
        for name, value in loss.metrics.items():
            assert float(value) == pytest.approx(step["metrics"][name], rel=1e-6, abs=2e-5), name
        check_gradients(case, want, told, index, training)
        training.update(index)
        check_parameters(case, want, index, training)
    check_ema(case, want, told, training)


def check_training_outputs(case: Case, want: dict, index: int, training: Training, out: object) -> None:
    carry = training.carry
    late = case.full and index > 1
    logits_atol, z_atol = (1e-4, 5e-4) if late else (1.5e-5, 2e-5)
    if f"logits.{index}" in want:
        close(out.logits, want[f"logits.{index}"], 1e-6, logits_atol, f"train logits {index}")
        close(out.halt_logits[:, 0], want[f"q_halt_logits.{index}"], 1e-6, logits_atol, f"train halt {index}")
    for name, value in zip(("z_H", "z_L"), out.state, strict=True):
        if f"{name}.{index}" in want:
            close(value, want[f"{name}.{index}"], 1e-6, z_atol, f"train {name} {index}")
    for name, value in (("steps", carry.steps), ("halted", carry.halted)):
        assert torch.equal(value, want[f"{name}.{index}"]), (name, index)
    for field, value in (("inputs", carry.rows.tokens), ("labels", carry.rows.labels)):
        if f"current_data.{field}.{index}" in want:
            assert torch.equal(value, want[f"current_data.{field}.{index}"].long()), (field, index)


def sample(tensor: torch.Tensor) -> torch.Tensor:
    n = tensor.numel()
    picks = np.linspace(0, n - 1, min(256, n)).astype(np.int64)
    return tensor.detach().flatten()[torch.from_numpy(picks)]


def check_gradients(case: Case, want: dict, told: dict, index: int, training: Training) -> None:
    grads = {n: p.grad for n, p in training.network.named_parameters()}
    for name, grad in to_reference(grads).items():
        key = f"grad.{index}.{name}"
        if key in want:
            scale = float(want[key].abs().max())
            close(grad, want[key], 1e-4, min(3e-6, max(1e-5 * scale, 1e-9)), key)
        elif f"sample.{key}" in want:
            close(sample(grad), want[f"sample.{key}"], 1e-4, 1e-5, key)
    if f"puzzle_emb_local_grad.{index}" in want:
        close(training.looked_up.grad[:, 0], want[f"puzzle_emb_local_grad.{index}"], 1e-4, 3e-6, "puzzle rows")
    # The continue logit has no target in TRM: its gradient must be an exact zero, or the optimizer would follow noise.
    assert not training.network.frame.halt_head.weight.grad[1].any()


def check_parameters(case: Case, want: dict, index: int, training: Training) -> None:
    for name, value in to_reference(training.network.state_dict()).items():
        key = f"param.{index}.{name}"
        if key in want:
            close(value, want[key], 0, 5e-7 if "puzzle_emb" in name else 2e-6, key)
        elif f"sample.{key}" in want:
            close(sample(value), want[f"sample.{key}"], 0, 3e-6, key)


def check_ema(case: Case, want: dict, told: dict, training: Training) -> None:
    last = len(told["steps"])
    seen = 0
    for name, value in to_reference(training.ema.shadow).items():
        key = f"ema.{last}.{name}"
        if key in want:
            close(value, want[key], 0, 2e-6, key)
            seen += 1
        elif f"sample.{key}" in want:
            close(sample(value), want[f"sample.{key}"], 0, 3e-6, key)
            seen += 1
    assert seen == len(training.ema.shadow)


@pytest.mark.parametrize(("label", "root"), parity_roots())
@pytest.mark.parametrize("group", ["random", "ignored_rows", "extreme", "large_scale"])
def test_losses(label: str, root: Path, group: str) -> None:
    file = root / "losses.npz"
    if not file.exists():
        pytest.skip("this part of the fixtures is not in the tree")
    data = {k.split(".", 1)[1]: v for k, v in np.load(file).items() if k.startswith(group + ".")}
    logits = torch.from_numpy(data["logits"]).requires_grad_()
    labels = torch.from_numpy(data["labels"]).long()
    ce = LOSSES["stablemax_cross_entropy"](logits, labels)
    close(ce, torch.from_numpy(data["stablemax_ce"]), 1e-12, 0, "cross-entropy")
    close(log_stablemax(logits), torch.from_numpy(data["log_stablemax"]), 1e-12, 1e-300, "log stablemax")
    (ce * torch.from_numpy(data["upstream"])).sum().backward()
    want = torch.from_numpy(data["grad_logits_upstream"])
    close(logits.grad, want, 1e-6, 1e-9 * float(want.abs().max()), "gradient")
    softmax = LOSSES["softmax_cross_entropy"](torch.from_numpy(data["logits"]), labels)
    assert np.allclose(softmax.numpy(), data["softmax_ce"], rtol=1e-5, atol=1e-6, equal_nan=True)


@pytest.mark.parametrize(("label", "root"), parity_roots())
@pytest.mark.parametrize("group", ["dups", "all_same", "unique"])
def test_sparse_table_steps(label: str, root: Path, group: str) -> None:
    file = root / "sparse_emb.npz"
    if not file.exists():
        pytest.skip("this part of the fixtures is not in the tree")
    data = np.load(file)
    lr, decay = float(data[f"{group}.lr"]), float(data[f"{group}.weight_decay"])
    for step in range(3):
        get = lambda name, step=step: torch.from_numpy(data[f"{group}.{step}.{name}"])  # noqa: E731
        table, ids = get("weights_before"), get("ids").long()
        assert torch.equal(table[ids], get("forward"))
        sparse_sign_step(table, ids, get("grads"), lr, decay)
        close(table, get("weights_after"), 0, 1e-7, f"{group} step {step}")


@pytest.mark.parametrize(("label", "root"), parity_roots())
def test_schedule(label: str, root: Path) -> None:
    file = root / "schedule.json"
    if not file.exists():
        pytest.skip("this part of the fixtures is not in the tree")
    for case in json.loads(file.read_text())["cases"]:
        arguments = case["base_lr"], case["num_warmup_steps"], case["num_training_steps"], case["min_ratio"]
        got = [cosine_with_warmup(step, *arguments) for step in case["steps"]]
        np.testing.assert_allclose(got, case["lr"], rtol=1e-12, atol=0)
