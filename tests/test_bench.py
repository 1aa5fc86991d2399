"""The bench: turns, ratios, what its verbs print and write, and a checkout of the reference beside us.

The published repository does not come with this one. ``CHECKOUT`` is a stand-in written for these tests: it has the
interface and the tensor names, and its network is ours, called through them.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.test_cli_eval import Call, call
from trm_harness.api import load_model
from trm_harness.bench import clock, machine, scoring, startup
from trm_harness.bench.clock import Timing
from trm_harness.contracts import Columnar
from trm_harness.inference.plan import InferencePlan
from trm_harness.record.journal import scan
from trm_harness.registry import default
from trm_harness.scoring.assess import assess
from trm_harness.scoring.columns import assess_journal

__all__ = ["call"]

EVAL = (
    "bench",
    "eval",
    "--task",
    "sudoku-4x4",
    "--model",
    "trm-nano.sudoku-4x4",
    "--batch-size",
    "8",
    "--repeats",
    "2",
)

CHECKOUT = """
from dataclasses import dataclass
import torch
from models.shared import OFFSET
from trm_harness.nn.reference import from_reference, to_reference
from trm_harness.nn.supervision import Rows
from trm_harness.registry import default, import_target


@dataclass
class Carry:
    state: tuple
    steps: int
    halted: torch.Tensor


class TinyRecursiveReasoningModel_ACTV1(torch.nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config

    def named_parameters(self, *args, **named):
        return iter(to_reference(self.architecture, dict(self.network.named_parameters())).items())

    def load_state_dict(self, state):
        if EXTRA:
            raise RuntimeError("Unexpected key(s) in state_dict: inner.extra")
        from trm_harness.convert.importer import architecture_of
        spec = default().models.spec("trm-nano")
        self.architecture = architecture = architecture_of(spec)
        sizes = {"vocab_size": self.config["vocab_size"], "seq_len": self.config["seq_len"]}
        config = architecture.config.from_mapping({**CONFIG, **sizes})
        self.network = architecture.network(config, getattr(torch, self.config["forward_dtype"]))
        ours = from_reference(architecture, state)
        ours.pop("table.weight", None)
        self.network.load_state_dict(ours)

    def initial_carry(self, batch):
        count, length = batch["inputs"].shape
        return Carry(self.network.initial_state(count, length), 0, torch.ones(count, dtype=torch.bool))

    def forward(self, carry, batch):
        if FAILS:
            raise KeyError("puzzle_identifiers")
        tokens = batch["inputs"].long()
        places = torch.arange(tokens.shape[1]).expand(tokens.shape)
        rows = Rows(tokens, tokens, places, tokens[:, :0], b"")
        out = self.network(carry.state, rows, None)
        steps = carry.steps + 1
        done = torch.full((len(tokens),), steps >= self.config["halt_max_steps"])
        return Carry(out.state, steps, done), {"logits": out.logits + OFFSET, "halt": out.halt_logits}
"""

LOSSES = """
import torch
from trm_harness.nn.losses import supervision_loss


class ACTLossHead(torch.nn.Module):
    def __init__(self, model, loss_type):
        super().__init__()
        self.model, self.kind = model, loss_type

    def initial_carry(self, batch):
        return self.model.initial_carry(batch)

    def forward(self, return_keys, carry, batch):
        carry, out = self.model(carry=carry, batch=batch)
        steps = torch.full((len(out["halt"]),), carry.steps)
        found = supervision_loss(out["logits"], out["halt"], batch["labels"], carry.halted, steps, None, self.kind)
        return carry, found.total, found.metrics, {}, carry.halted.all()
"""


def checkout(folder: Path, offset: float = 0.0, extra: bool = False, fails: bool = False) -> Path:
    config = load_model("trm-nano.sudoku-4x4").model.network.config.as_dict()
    place = folder / "models" / "recursive_reasoning"
    place.mkdir(parents=True)
    (folder / "models" / "shared.py").write_text(f"OFFSET = {offset}\n")
    (folder / "models" / "losses.py").write_text(LOSSES)
    (place / "trm.py").write_text(f"CONFIG = {config!r}\nEXTRA, FAILS = {extra}, {fails}\n{CHECKOUT}")
    return folder


def test_the_turns_alternate_and_the_first_round_is_not_counted() -> None:
    seen: list[str] = []
    timings = clock.by_turns({"a": lambda: seen.append("a"), "b": lambda: seen.append("b")}, 2)
    assert seen == ["a", "b"] * 3
    assert [len(timing.seconds) for timing in timings.values()] == [2, 2]


def test_a_ratio_compares_turn_by_turn() -> None:
    # A machine that gets ten times slower half way changes nothing.
    assert clock.ratio(Timing((1.0, 10.0, 10.0)), Timing((2.0, 20.0, 20.0))) == 2.0
    assert Timing((3.0, 1.0, 2.0)).as_dict()["median_s"] == 2.0


def test_the_peak_is_some_billions_a_second() -> None:
    product = machine.fastest_product("cpu", torch.float32, 2)
    own = clock.by_turns({"product": product.run}, 2)["product"]
    assert 1e8 < product.peak(own) < 1e14
    assert product.utilisation(product.flops / 2, own, own) == 0.5


def test_eval_tells_speeds_beside_full_depth_and_writes_them(call: Call, tmp_path: Path) -> None:
    said = call(*EVAL, "--out", "found.json", "--compile")
    assert said.code == 0, said.err
    assert "batch of 8 puzzles of 16 cells, 8 steps" in said.out
    found = json.loads(Path("found.json").read_text())
    assert list(found["rows"]) == ["full", "settled", "adaptive", "compiled"]
    assert found["settled_above"] == 0.999
    assert found["rows"]["full"]["speed"] == 1.0
    assert len(found["rows"]["adaptive"]["seconds"]) == 2
    assert 0 < found["rows"]["full"]["mfu"] < 1.5
    assert found["machine"]["environment"]["packages"]["torch"]


def test_a_batch_that_eval_would_cut_is_measured_cut_as_well(call: Call) -> None:
    wide = ("32" if argument == "8" else argument for argument in EVAL)
    found = json.loads(call(*wide, "--steps", "1", "--threads", "1", "--dtype", "float32", "--json").out)
    assert "full, cut" not in found["rows"]
    wide = ("33" if argument == "8" else argument for argument in EVAL)
    found = json.loads(call(*wide, "--steps", "1", "--threads", "1", "--dtype", "float32", "--json").out)
    assert found["batch"] == 33
    assert list(found["rows"]) == ["full", "full, cut", "settled", "settled, cut", "adaptive", "adaptive, cut"]
    assert found["rows"]["full, cut"]["mfu"] > 0


def test_beside_a_checkout_answers_are_compared_and_its_modules_leave(call: Call, tmp_path: Path) -> None:
    before = set(sys.modules)
    said = call(*EVAL, "--against", str(checkout(tmp_path / "theirs")), "--json")
    assert said.code == 0, said.err
    found = json.loads(said.out)
    assert found["measured_beside"] == "reference"
    assert found["rows"]["reference"]["speed"] == 1.0
    assert (found["agreement"]["equal_answers"], found["agreement"]["of"]) == (8, 8)
    assert found["agreement"]["largest_logit_difference"] == 0
    assert not [name for name in set(sys.modules) - before if name.split(".")[0] == "models"]
    assert str(tmp_path / "theirs") not in sys.path


def test_the_reference_takes_as_many_steps_as_are_asked_for(call: Call, tmp_path: Path) -> None:
    said = call(*EVAL, "--steps", "3", "--against", str(checkout(tmp_path / "theirs")), "--json")
    assert said.code == 0, said.err
    found = json.loads(said.out)
    assert (found["steps"], found["agreement"]["largest_logit_difference"]) == (3, 0)


def test_untrained_weights_halt_at_random_so_that_only_full_depth_is_measured(call: Call) -> None:
    said = call(*EVAL, "--untrained", "--threads", "1", "--json")
    found = json.loads(said.out)
    assert list(found["rows"]) == ["full"]
    assert found["clock"] == "cpu"
    # What it is doing stands on stderr, unless it is to be quiet.
    assert said.err.splitlines() == ["once unmeasured: full", "once unmeasured: matrix product"]
    assert call("-q", *EVAL, "--untrained", "--threads", "1").err == ""


def test_a_checkout_that_computes_something_else_is_seen(call: Call, tmp_path: Path) -> None:
    said = call(*EVAL, "--against", str(checkout(tmp_path / "theirs", offset=0.5)), "--json")
    assert json.loads(said.out)["agreement"]["largest_logit_difference"] == pytest.approx(0.5, abs=1e-5)


def test_what_is_no_checkout_is_one_line(call: Call, tmp_path: Path) -> None:
    said = call(*EVAL, "--against", str(tmp_path))
    assert said.code == 2
    wanted = "give a checkout of SamsungSAILMontreal/TinyRecursiveModels\n"
    assert f"holds no models/recursive_reasoning/trm.py: {wanted}" in said.err
    said = call(*EVAL, "--against", str(checkout(tmp_path / "extra", extra=True)))
    assert said.code == 2
    assert "does not take the weights: Unexpected key" in said.err
    broken = checkout(tmp_path / "broken")
    (broken / "models" / "shared.py").write_text("import no_such_package\n")
    said = call(*EVAL, "--against", str(broken))
    assert said.code == 2
    assert "cannot be imported (No module named 'no_such_package'): install what it needs" in said.err


def test_the_repository_of_hrm_has_its_class_elsewhere(call: Call, tmp_path: Path) -> None:
    asked = ("bench", "eval", "--task", "sudoku-4x4", "--model", "hrm-nano", "--batch-size", "2", "--repeats", "1")
    said = call(*asked, "--against", str(tmp_path))
    assert "give a checkout of SamsungSAILMontreal/TinyRecursiveModels or of sapientinc/HRM" in said.err
    place = tmp_path / "models" / "hrm"
    place.mkdir(parents=True)
    (place / "hrm_act_v1.py").write_text("import no_such_package\n")
    said = call(*asked, "--against", str(tmp_path))
    assert said.code == 2
    assert "hrm_act_v1.py: cannot be imported (No module named 'no_such_package'): install what it needs" in said.err
    assert "or give a checkout of SamsungSAILMontreal/TinyRecursiveModels" in said.err
    own = checkout(tmp_path / "own")
    (own / "models" / "hrm").mkdir()
    text = (own / "models" / "recursive_reasoning" / "trm.py").read_text()
    text = text.replace("TinyRecursiveReasoningModel_ACTV1", "HierarchicalReasoningModel_ACTV1")
    config = load_model("hrm-nano.sudoku-4x4").model.network.config.as_dict()
    text = text.replace('"trm-nano"', '"hrm-nano"').replace("CONFIG = {", f"CONFIG = {config!r}\nUNUSED = {{", 1)
    (own / "models" / "hrm" / "hrm_act_v1.py").write_text(text)
    (own / "models" / "recursive_reasoning" / "trm.py").unlink()
    said = call(*asked, "--steps", "2", "--against", str(own), "--json")
    assert said.code == 0, said.err
    assert json.loads(said.out)["agreement"]["equal_answers"] == 2


def test_a_checkout_that_fails_while_it_runs_is_one_line(call: Call, tmp_path: Path) -> None:
    said = call(*EVAL, "--against", str(checkout(tmp_path / "theirs", fails=True)))
    assert said.code == 2
    assert "its code fails (KeyError: 'puzzle_identifiers')" in said.err
    assert not [name for name in sys.modules if name.split(".")[0] == "models"]
    (tmp_path / "theirs" / "models" / "shared.py").write_text("OFFSET = 0 0\n")
    said = call(*EVAL, "--against", str(tmp_path / "theirs"))
    assert said.code == 2
    assert "cannot be imported (SyntaxError: invalid syntax" in said.err


def test_where_nothing_can_be_written_nothing_is_measured(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trm_harness.api.load_model", None)
    said = call(*EVAL, "--out", str(tmp_path / "missing" / "found.json"))
    assert said.code == 2
    assert "cannot be written: give --out a file in a folder that is there" in said.err


@pytest.mark.slow
def test_a_compiled_checkout_is_measured_beside_the_compiled_model(call: Call, tmp_path: Path) -> None:
    said = call(*EVAL, "--compile", "--against", str(checkout(tmp_path / "theirs")), "--json")
    assert said.code == 0, said.err
    found = json.loads(said.out)
    assert list(found["rows"]) == ["full", "settled", "adaptive", "compiled", "reference", "compiled reference"]


def test_a_model_that_is_no_network_is_refused(call: Call) -> None:
    said = call("bench", "eval", "--task", "sudoku-4x4", "--model", "oracle-sudoku")
    assert said.code == 2
    assert "is no torch network" in said.err


@pytest.mark.slow
def test_train_tells_steps_and_what_a_batch_takes(call: Call) -> None:
    small = ("--set", "batch_size=8", "--set", "compile=false", "--no-compile", "--repeats", "2")
    said = call("bench", "train", "--task", "sudoku-4x4", "--model", "trm-nano", *small, "--json")
    assert said.code == 0, said.err
    found = json.loads(said.out)
    assert found["batch"] == 8
    assert list(found["rows"]) == ["step"]
    assert 0 < found["input"]["stall_share"] < 1
    assert found["command"].startswith("trm-harness ")


@pytest.mark.slow
def test_train_compares_first_gradients_with_a_checkout(call: Call, tmp_path: Path) -> None:
    small = ("--set", "batch_size=8", "--no-compile", "--repeats", "2", "--workers", "1", "--json")
    train = ("bench", "train", "--task", "sudoku-4x4", "--model", "trm-nano", *small, "--against")
    found = json.loads(call(*train, str(checkout(tmp_path / "theirs"))).out)
    assert found["agreement"]["largest_gradient_difference"] == pytest.approx(0, abs=1e-6)
    assert found["agreement"]["loss"] == pytest.approx(found["agreement"]["reference_loss"])
    assert found["without_optimizer"]["reference"]["speed"] == 1.0
    assert len(found["without_optimizer"]["gradients"]["seconds"]) == len(found["input"]["waited_s"]) == 2
    apart = json.loads(call(*train, str(checkout(tmp_path / "other", offset=0.5))).out)["agreement"]
    assert apart["largest_gradient_difference"] > 1e-3
    (tmp_path / "theirs" / "models" / "losses.py").unlink()
    assert "holds no models/losses.py" in call(*train, str(tmp_path / "theirs")).err


def test_data_tells_rates_and_memory(call: Call) -> None:
    said = call("bench", "data", "--task", "sudoku-4x4", "--repeats", "2", "--batch-size", "16", "--json")
    found = json.loads(said.out)
    assert found["examples_per_s"] > 0
    memory = found["memory_bytes"]
    assert memory["before"] <= memory["with_the_task"] <= memory["at_the_end"]
    assert call("bench", "data", "--task", "nothing").code == 2


def test_score_tells_a_quarter_half_and_all(call: Call, tmp_path: Path) -> None:
    score = ("bench", "score", "--task", "sudoku-6x6", "--puzzles", "1200", "--steps", "3", "--repeats", "1")
    said = call(*score, "--out", str(tmp_path / "found.json"))
    assert said.code == 0, said.err
    assert "sudoku-6x6, split test with 500 puzzles of its own; 1 views, 3 steps, answers made up" in said.out
    found = json.loads((tmp_path / "found.json").read_text())
    assert [row["puzzles"] for row in found["rows"]] == [300, 600, 1200]
    assert all(row["rows"] == row["puzzles"] and row["rows_per_s"] > 0 for row in found["rows"])
    voted = json.loads(call("bench", "score", "--task", "arc1", "--puzzles", "8", "--views", "3", "--json").out)
    assert [row["rows"] for row in voted["rows"]] == [6, 12, 24]
    hidden = call("bench", "score", "--task", "arc1", "--split", "nothing")
    assert (hidden.code, "has no split 'nothing'" in hidden.err) == (2, True)


def test_puzzles_again_are_the_same_as_arrays_and_one_by_one(tmp_path: Path) -> None:
    task = default().task("sudoku-6x6")
    own = task.puzzles("test")[:7]
    columns, plain = scoring.repeated(task, own, 20), scoring.Repeated(own, 20)
    assert isinstance(columns, Columnar)
    again = scoring.repeated(task, columns, 40)
    assert [again[place].id for place in (3, 19, 23)] == [own[3].id, f"{own[5].id}~2", f"{own[3].id}~1"]
    assert columns.names(range(20)) == [puzzle.id for puzzle in plain] == [puzzle.id for puzzle in columns]
    assert len(set(columns.names(range(20)))) == 20
    questions, answers = columns.grids(np.array([19, 2]))
    for place, (question, answer) in zip((19, 2), zip(questions, answers, strict=True), strict=True):
        assert (question == plain[place].input).all()
        assert (answer == plain[place].answer).all()
    assert columns.facts["givens"].tolist() == [puzzle.facts["givens"] for puzzle in plain]


def test_made_up_answers_score_alike_by_columns_and_one_by_one(tmp_path: Path) -> None:
    task = default().task("sudoku-9x9")
    work = scoring.work_of(task, InferencePlan("test"), scoring.repeated(task, task.puzzles("test"), 900))
    path = tmp_path / "journal.jsonl"
    scoring.write(path, work, steps=4)
    many, one = assess_journal(work, path), assess(work, scan(path))
    assert (many.right_at, many.means()) == (one.right_at, one.means())
    assert 400 < one.right_at[-1] < 700


def test_cli_counts_what_is_imported(monkeypatch: pytest.MonkeyPatch, call: Call) -> None:
    assert startup.imports(("--help",)) == []
    assert "numpy" in startup.imports(("tasks", "sample", "sudoku-4x4"))
    monkeypatch.setattr(startup, "COMMANDS", (("--version",),))
    said = call("bench", "cli", "--repeats", "1")
    assert said.code == 0, said.err
    assert "--version" in said.out
    assert "target: 0.25 s" in said.out
