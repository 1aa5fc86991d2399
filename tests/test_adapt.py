"""Models that learn a task from its demonstrations first: loss falls, nothing else moves, and it comes out the same."""

from __future__ import annotations

import dataclasses
import importlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.test_cli_eval import Call, call
from trm_harness import registry
from trm_harness.contracts import ModelRequest, Task
from trm_harness.errors import BadInput
from trm_harness.evaluate import evaluate, resume
from trm_harness.inference import InferencePlan
from trm_harness.inference.plan import Asked, Item, to_batch
from trm_harness.loading import Choices, task_of
from trm_harness.loading.choices import launch_of
from trm_harness.nn.model import TorchModel
from trm_harness.record import read
from trm_harness.record.journal import scan
from trm_harness.train.adapt import Adaptation, AdaptedModel, Demonstrations
from trm_harness.types import IDENTITY, Batch, Puzzle
from trm_harness.zoo import Learning, read_card
from trm_task_arc import transforms

__all__ = ["call"]

SMALL = {
    "hidden_size": 32, "heads": 2, "layers": 1, "h_cycles": 1, "l_cycles": 1, "supervision_steps": 2,
    "puzzle_dim": 32, "prefix": 16, "encoding": {"canvas": "fit"},
}  # fmt: skip
FIT = {"canvas": "fit"}
KNOWN = ("00576224", "00576224|||t3|||0213456789")


@pytest.fixture(scope="module")
def task() -> Task:
    return task_of("arc1")


def network(task: Task, identities: str) -> TorchModel:
    """A small untrained ARC network whose table knows one task."""
    names = registry.default()
    spec = names.models.spec("trm-7m")
    spec = dataclasses.replace(spec, config={**spec.config, **SMALL, "identities": identities})
    known = KNOWN[:1] if identities == "factored" else ("<blank>", *KNOWN)
    torch.set_num_threads(1)
    model = names.models.resolve("trm-7m", "trainable")(ModelRequest(spec, task.spec, identities=known))
    torch.manual_seed(0)
    model.network.table.weight.normal_(std=0.5)
    return model


def adapted(task: Task, identities: str = "table", mode: str = "puzzle-embedding", **changes: int) -> AdaptedModel:
    return AdaptedModel(network(task, identities), task, Adaptation(mode, **{"steps": 25, **changes}))


def small_groups(task: Task, count: int) -> list[str]:
    """Tasks of few cells, none of them known to the table."""
    size = {puzzle.group: puzzle.input.size for puzzle in task.puzzles("evaluation")}
    return sorted((group for group in size if group != KNOWN[0]), key=size.get)[:count]


def batch_of(task: Task, model: AdaptedModel, groups: list[str]) -> Batch:
    """Their first puzzles, on one canvas."""
    first = {}
    for puzzle in task.puzzles("evaluation"):
        first.setdefault(puzzle.group, puzzle.without_answer())
    asked = [
        Asked(Item(place, 0, IDENTITY, 0), first[group], task.encode(first[group], "", {"canvas": 20}), place)
        for place, group in enumerate(groups)
    ]
    return to_batch(asked)


def state_of(model: TorchModel) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.network.state_dict().items()}


@pytest.mark.parametrize("identities", ["table", "factored"])
@pytest.mark.parametrize("mode", ["puzzle-embedding", "full"])
def test_the_loss_falls_and_the_weights_are_as_before(task: Task, identities: str, mode: str) -> None:
    model = adapted(task, identities, mode, steps=40)
    before = state_of(model.model)
    (group,) = small_groups(task, 1)
    puzzle = next(puzzle for puzzle in task.puzzles("evaluation") if puzzle.group == group)
    learnt = model.learn(puzzle.without_answer())
    assert np.mean(learnt.losses[-10:]) < np.mean(learnt.losses[:10])
    assert len(learnt.losses) == model.usage()["adaptation_steps"] == 40
    assert bool(learnt.parameters) == (mode == "full")
    after = state_of(model.model)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert model.model.identities.names == network(task, identities).identities.names


def test_only_the_tasks_own_rows_are_learnt(task: Task) -> None:
    model = adapted(task, "factored")
    (group,) = small_groups(task, 1)
    puzzle = next(puzzle for puzzle in task.puzzles("evaluation") if puzzle.group == group).without_answer()
    learnt = model.learn(puzzle)
    assert learnt.rows.shape == (1, 32)
    assert not torch.equal(learnt.rows[0], model.model.network.table.weight[0])
    several = adapted(task, "table", views=3)
    learnt = several.learn(puzzle)
    assert learnt.identities == tuple(task.encode(puzzle, view, {}).identity for view in task.transforms(puzzle, 3, 0))
    assert len({tuple(row.tolist()) for row in learnt.rows}) == 3


@pytest.mark.parametrize("mode", ["puzzle-embedding", "full"])
def test_neighbours_and_order_change_no_answer(task: Task, mode: str) -> None:
    groups = [*small_groups(task, 2), KNOWN[0]]
    together, alone = adapted(task, "factored", mode), adapted(task, "factored", mode)
    batch = batch_of(task, together, groups)
    state, _ = together.step(together.begin(batch))
    _, answer = together.step(state)
    for place in reversed(range(len(groups))):
        state, _ = alone.step(alone.begin(batch.select([place])))
        _, single = alone.step(state)
        np.testing.assert_array_equal(single.tokens[0], answer.tokens[place])
        np.testing.assert_allclose(single.halt[0], answer.halt[place], atol=1e-5)
    # A row that leaves the batch leaves the others as they are, in the order that was asked for.
    state, _ = together.step(together.begin(batch))
    _, chosen = together.step(together.select(state, [2, 0]))
    np.testing.assert_array_equal(chosen.tokens, answer.tokens[[2, 0]])
    noisy = together.perturb(together.begin(batch), 0.5, batch.seeds, 1)
    again = together.perturb(together.begin(batch), 0.5, batch.seeds, 1)
    assert all(torch.equal(one.state.latents[-1], two.state.latents[-1]) for one, two in zip(noisy, again, strict=True))


def test_learning_changes_what_is_answered(task: Task) -> None:
    groups = small_groups(task, 3)
    model = adapted(task, "table", steps=60)
    batch = batch_of(task, model, groups)
    _, answer = model.step(model.begin(batch))
    plain = model.model
    _, before = plain.step(plain.begin(batch))
    assert not np.array_equal(answer.tokens, before.tokens)


@pytest.mark.parametrize("mode", ["puzzle-embedding", "full"])
def test_a_resumed_run_learns_the_same_again(task: Task, tmp_path: Path, mode: str) -> None:
    plan = InferencePlan("evaluation", puzzles=tuple(small_groups(task, 3)), augment=2, steps=2, batch_size=2)
    changes = {"views": 2, "steps": 6}
    done = evaluate(task, adapted(task, "table", mode, **changes), plan, tmp_path / "run")
    assert done.status == "success"
    journal = tmp_path / "run" / "journal.jsonl"
    whole = journal.read_bytes()
    journal.write_bytes(b"".join(whole.splitlines(keepends=True)[:3]))
    again = resume(tmp_path / "run", task, adapted(task, "table", mode, **changes))
    assert journal.read_bytes() == whole
    assert again.scores == done.scores
    assert again.cost.usage["adaptation_steps"] > done.cost.usage["adaptation_steps"]


def test_examples_are_the_demonstrations_under_the_views(task: Task) -> None:
    puzzle = next(puzzle for puzzle in task.puzzles("evaluation") if puzzle.group == KNOWN[0])
    views = task.transforms(puzzle, 3, 0)
    source = Demonstrations(task, puzzle.without_answer(), views, {"canvas": "fit"}, seed=1)
    (bucket,) = source.buckets
    rows = source.draw(bucket, 1, 40)
    assert set(rows.identities) == set(source.identities)
    np.testing.assert_array_equal(rows.tokens, source.draw(bucket, 1, 40).tokens)
    assert not np.array_equal(rows.tokens, source.draw(bucket, 2, 40).tokens)
    shown = {
        task.encode(task.transform(dataclasses.replace(puzzle, input=q), view), view, FIT).tokens.tobytes()
        for view in views
        for q, _ in puzzle.demonstrations
    }
    assert {row.tobytes() for row in rows.tokens} <= shown
    assert task.encode(puzzle, "", {"canvas": "fit"}).tokens.tobytes() not in {row.tobytes() for row in rows.tokens}


def test_what_cannot_adapt_is_refused(task: Task) -> None:
    model = network(task, "table")
    for adaptation, complaint in (
        (Adaptation("lora", 3), "does not exist"),
        (Adaptation("full", 0), "at least 1"),
        (Adaptation("full", 3, lr=0.0), "above 0"),
        (Adaptation("full", 3, lr=float("nan")), "above 0"),
    ):
        with pytest.raises(BadInput, match=complaint):
            AdaptedModel(model, task, adaptation)
    with pytest.raises(BadInput, match="shows no demonstrations"):
        AdaptedModel(model, task_of("sudoku-4x4"), Adaptation("full", 3))
    bare = dataclasses.replace(registry.default().models.spec("trm-7m"), config={**SMALL, "puzzle_dim": 0})
    without = registry.default().models.resolve("trm-7m", "trainable")(ModelRequest(bare, task.spec))
    with pytest.raises(BadInput, match="no puzzle embedding"):
        AdaptedModel(without, task, Adaptation("puzzle-embedding", 3))


def test_settings_of_learning_are_those_of_a_recipe(task: Task, call: Call) -> None:
    model = network(task, "table")
    for settings, complaint in (
        ({"dtype": "bfloat16"}, "adapt-set dtype does not exist"),
        ({"optimizer": "sgd"}, "optimizer 'sgd' is unknown"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
    ):
        with pytest.raises(BadInput, match=complaint):
            AdaptedModel(model, task, Adaptation("full", 3, settings=settings))
    settings = {"optimizer": "muon", "loss": "softmax_cross_entropy", "lr_end": 1e-4, "warmup": 2, "batch_size": 4}
    recipe = Adaptation("full", 5, lr=1e-2, settings=settings).recipe(supervision_steps=4)
    stage = recipe.stages[0]
    assert (recipe.optimizer, recipe.loss, recipe.batch_size) == ("muon", "softmax_cross_entropy", 4)
    assert (stage.steps, stage.lr, stage.lr_end, stage.warmup, stage.supervision_steps) == (5, 1e-2, 1e-4, 2, 4)
    chosen = ("--adapt", "full", "--adapt-steps", "2", "--steps", "1", "--puzzles", "66e6c45b")
    eight = ("eval", "--task", "arc1", "--model", "trm-message-pico", "--untrained", *chosen)
    said = call(*eight, "--adapt-set", "optimizer=muon", "--adapt-set", "batch_size=4", "--out", "run")
    assert said.code == 0, said.err
    assert "each task is learnt when it is first asked" in said.err
    assert read(Path("run")).protocol.adapt_settings == {"optimizer": "muon", "batch_size": 4}
    Path("again.toml").write_text(call("runs", "config", "run").out)
    assert call("eval", "--config", "again.toml", "--out", "again").code == 0
    again = Path("again/001-arc1-trm-message-pico")
    assert read(again).protocol == read(Path("run")).protocol
    assert (again / "candidates.csv").read_text() == Path("run/candidates.csv").read_text()
    refused = call("eval", "--task", "arc1", "--model", "trm-7m", "--adapt-set", "optimizer=muon", "--limit", "1")
    assert (refused.code, "give --adapt with it" in refused.err) == (2, True)
    refused = call("eval", "--task", "arc1", "--model", "trm-7m", "--adapt-steps", "5", "--limit", "1")
    assert (refused.code, "give --adapt with it" in refused.err) == (2, True)


def test_a_card_says_how_its_score_learnt_each_task(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "own"
    monkeypatch.setenv("TRM_HARNESS_ZOO", str(own))
    weights = str(Path(__file__).parents[1] / "zoo" / "trm-message-pico.arc1" / "weights.safetensors")
    some = ("eval", "--task", "arc1", "--puzzles", "66e6c45b", "--steps", "1", "--adapt", "full")
    plain = ("--model", "trm-message-pico", "--weights", weights)
    chosen = ("--adapt-steps", "3", "--adapt-lr", "0.01", "--adapt-set", "optimizer=muon")
    assert call(*some, *plain, *chosen, "--out", "run").code == 0
    added = ("zoo", "add", weights, "--task", "arc1", "--model", "trm-message-pico", "--golden", "0", "--zoo", str(own))
    assert call(*added, "--name", "trm-message-pico.own").code == 0
    assert call(*some, "--model", "trm-message-pico.own", *chosen, "--out", "first").code == 0
    said = call("zoo", "claim", "trm-message-pico.own", "--record", "first")
    assert said.code == 0, said.err
    card = read_card(own / "trm-message-pico.own" / "card.toml")
    assert card.adaptation == Learning("full", 3, 0.01, {"optimizer": "muon"}, views=1)
    assert "full, 3 steps, rate 0.01, optimizer muon, 1 view" in call("zoo", "show", "trm-message-pico.own").out
    assert call(*some, "--model", "trm-message-pico.own", "--out", "again").code == 0
    assert read(Path("again")).protocol == read(Path("first")).protocol
    assert Path("again/candidates.csv").read_text() == Path("first/candidates.csv").read_text()
    other = ("--adapt-steps", "1", "--adapt-set", "optimizer=adamatan2")
    assert call(*some, "--model", "trm-message-pico.own", *other, "--out", "other").code == 0
    told = read(Path("other")).protocol
    assert (told.adapt_steps, told.adapt_lr, told.adapt_settings) == (1, 0.01, {"optimizer": "adamatan2"})
    said = call(*some, "--model", "trm-message-pico.own", "--augment", "2", "--adapt-steps", "1", "--out", "two")
    assert "learns each task from 2 views, the score of card trm-message-pico.own from 1: see --augment" in said.out
    assert call(*some, *plain, "--adapt-steps", "1", "--out", "usual").code == 0
    assert read(Path("usual")).protocol.adapt_lr == 1e-4
    alone = ("eval", "--task", "arc1", "--puzzles", "66e6c45b", "--steps", "1", "--model", "trm-message-pico.own")
    assert call(*alone, "--out", "alone").code == 0
    assert call("zoo", "claim", "trm-message-pico.own", "--record", "alone").code == 0
    assert read_card(own / "trm-message-pico.own" / "card.toml").adaptation is None


def test_other_steps_and_rates_change_a_cards_schedule_in_proportion() -> None:
    """The card's 200 steps at 0.02, the last at 0.0004, warm for 20."""
    chosen = {"adapt": "full", "adapt_steps": 50, "adapt_lr": 0.01}
    settings = launch_of(Choices.of("arc1", "trm-message-pico", **chosen)).adapt_settings
    assert (settings["warmup"], settings["lr_end"]) == (5, pytest.approx(0.0002))
    kept = launch_of(Choices.of("arc1", "trm-message-pico", **chosen, adapt_settings={"warmup": 9})).adapt_settings
    assert kept["warmup"] == 9
    own = launch_of(Choices.of("arc1", "trm-message-pico", adapt="full")).adapt_settings
    assert (own["warmup"], own["lr_end"]) == (20, 0.0004)


def test_a_dry_run_counts_the_time_of_learning(call: Call) -> None:
    some = ("eval", "--task", "arc1", "--model", "trm-message-pico", "--limit", "2", "--dry-run", "--json")
    (plain,) = json.loads(call(*some).out)
    assert (plain["learning"], plain["seconds"] > 0) == (0, True)
    short, long = (json.loads(call(*some, "--adapt", "full", "--adapt-steps", n).out)[0] for n in ("4", "400"))
    assert (long["groups"], long["flops"]) == (2, plain["flops"])
    assert long["seconds"] > long["learning"] > 5 * short["learning"] > 0
    assert "2 tasks to learn, about" in call(*some[:-1], "--adapt", "full", "--adapt-steps", "3").out
    assert not list(Path().iterdir())


def test_an_untrained_network_sees_the_views_of_its_architecture(call: Call) -> None:
    chosen = ("--puzzles", "66e6c45b", "--augment", "3", "--steps", "1", "--untrained")
    assert call("eval", "--task", "arc1", "--model", "trm-message-pico", *chosen, "--out", "run").code == 0
    puzzle = next(puzzle for puzzle in task_of("arc1").puzzles("evaluation") if puzzle.group == "66e6c45b")
    views = [entry.transform for entry in scan(Path("run/journal.jsonl"))]
    assert views == transforms.sample_free(puzzle, 3, 0)


def test_processes_share_what_they_learn(call: Call) -> None:
    chosen = ("--puzzles", "66e6c45b,3b4c2228,68b67ca3", "--augment", "12", "--steps", "1", "--adapt", "full")
    some = ("eval", "--task", "arc1", "--model", "trm-message-pico", "--untrained", *chosen, "--adapt-steps", "2")
    for count in ("1", "2"):
        said = call(*some, "--processes", count, "--out", count)
        assert said.code == 0, said.err
    assert Path("2/candidates.csv").read_text() == Path("1/candidates.csv").read_text()
    assert read(Path("1")).cost.usage["adaptation_steps"] == 6
    # Two processes may meet a task at the same time, and then both learn it.
    assert 6 <= read(Path("2")).cost.usage["adaptation_steps"] <= 12


@pytest.mark.parametrize("mode", ["full", "puzzle-embedding"])
def test_what_another_process_learnt_is_read_as_it_was(task: Task, tmp_path: Path, mode: str) -> None:
    puzzle = next(puzzle for puzzle in task.puzzles("evaluation") if puzzle.group == "66e6c45b")
    first, second = (adapted(task, mode=mode, steps=2) for _ in range(2))
    first.share(tmp_path)
    second.share(tmp_path)
    learnt, read_back = first.learn(puzzle), second.learn(puzzle)
    assert (first.usage(), second.usage()) == ({"adaptation_steps": 2.0}, {"adaptation_steps": 0.0})
    assert (read_back.identities, read_back.losses) == (learnt.identities, learnt.losses)
    assert torch.equal(read_back.rows, learnt.rows)
    assert read_back.parameters.keys() == learnt.parameters.keys()
    assert all(torch.equal(read_back.parameters[name], value) for name, value in learnt.parameters.items())


def test_what_was_learnt_longest_ago_is_forgotten_first(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.import_module("trm_harness.train.adapt"), "KEPT", 1)
    model = adapted(task, mode="full", steps=1)
    puzzles = {puzzle.group: puzzle for puzzle in task.puzzles("evaluation")}
    for group in ("66e6c45b", "66e6c45b", "3b4c2228", "66e6c45b"):
        model.learn(puzzles[group])
    assert model.usage() == {"adaptation_steps": 3.0}


def test_weights_that_met_no_renamed_colours_ask_for_turns_only() -> None:
    """A task learnt under turns votes over the eight dihedral views; colours stay as they are."""
    turning = task_of("arc1", views="turns")
    puzzle = turning.puzzles("evaluation")[0]
    views = turning.transforms(puzzle, 1000, 0)
    assert (len(views), views[0], len(set(views))) == (8, "", 8)
    for view in views:
        shown = turning.transform(puzzle, view)
        assert np.array_equal(np.bincount(shown.input.ravel()), np.bincount(puzzle.input.ravel()))


def test_free_colours_are_those_without_a_part_of_their_own() -> None:
    free = task_of("arc1", views="free-colours")
    grids = [np.array(rows, dtype=np.uint8) for rows in ([[0, 1, 2], [0, 5, 2]], [[0, 1, 2], [7, 5, 2]])]
    more = [np.array(rows, dtype=np.uint8) for rows in ([[0, 2, 3], [0, 5, 3]], [[0, 2, 3], [7, 5, 3]])]
    puzzle = Puzzle("own/0", "own", grids[0], None, (tuple(grids), tuple(more)))
    # 2 and 5 are in every demonstration, 7 in outputs only; 1 and 3 come and go, the rest was never seen.
    views = free.transforms(puzzle, 200, 0)
    assert (views[0], len(set(views)), views[:50]) == ("", 200, free.transforms(puzzle, 50, 0))
    assert views != free.transforms(puzzle, 200, 1)
    kept = np.array([[0, 2, 5, 7]], dtype=np.uint8)
    others = np.array([[1, 3, 4, 6, 8, 9]], dtype=np.uint8)
    for view in views:
        assert sorted(transforms.apply(kept, view).ravel()) == [0, 2, 5, 7]
        assert sorted(transforms.apply(others, view).ravel()) == [1, 3, 4, 6, 8, 9]
        colours = transforms.parse(view).permutation
        assert colours[kept].tolist() == kept.tolist()
        assert np.array_equal(free.invert(free.transform(puzzle, view).input, view), puzzle.input)
    assert len({transforms.parse(view).permutation.tobytes() for view in views}) > 100


def test_a_rule_that_uses_every_colour_has_the_eight_turns() -> None:
    free = task_of("arc1", views="free-colours")
    every = np.arange(10, dtype=np.uint8).reshape(2, 5)
    views = free.transforms(Puzzle("own/0", "own", every, None, ((every, every),)), 1000, 0)
    assert sorted(views) == sorted(transforms.turns(8))


def test_the_rate_reaches_the_network_and_the_record(call: Call) -> None:
    moved = {}
    for rate in ("1e-6", "1e-3"):
        said = call(
            *("eval", "--task", "arc1", "--model", "trm-conv-small", "--untrained", "--puzzles", "66e6c45b"),
            *("--steps", "1", "--adapt", "full", "--adapt-steps", "2", "--adapt-lr", rate, "--out", rate),
        )
        assert said.code == 0, said.err
        record = read(Path(rate))
        assert record.protocol.adapt_lr == float(rate)
        moved[rate] = (Path(rate) / "candidates.csv").read_text()
    assert moved["1e-6"] != moved["1e-3"]


def test_the_record_says_that_each_task_was_learnt(call: Call) -> None:
    said = call(
        *("eval", "--task", "arc1", "--model", "trm-7m", "--puzzles", "66e6c45b", "--steps", "1"),
        *("--adapt", "puzzle-embedding", "--adapt-steps", "1", "--out", "run"),
    )
    assert said.code == 0, said.err
    record = read(Path("run"))
    assert (record.protocol.adapt, record.protocol.adapt_steps) == ("puzzle-embedding", 1)
    assert record.protocol.adapt_lr is None
    assert record.training.demonstrations == "per-task"
    assert record.training.data[-1].use == "demonstrations only"
    assert "the weights themselves: joint" in record.training.notes
    assert record.cost.usage["adaptation_steps"] == 1
    assert "per-task: trained on each evaluated task's demonstrations by itself" in said.out
    refused = call("eval", "--task", "sudoku-4x4", "--model", "trm-nano", "--adapt", "full", "--limit", "1")
    assert (refused.code, "shows no demonstrations" in refused.err) == (2, True)


@pytest.mark.parametrize("identities", ["table", "factored"])
def test_groups_that_the_table_lacks_are_counted_and_the_way_is_named(
    identities: str, task: Task, call: Call, tmp_path: Path
) -> None:
    network(task, identities).save(tmp_path / "w.safetensors", card="")
    chosen = ("eval", "--task", "arc1", "--model", "trm-7m", "--weights", "w.safetensors", "--steps", "1")
    some = ("--puzzles", f"{KNOWN[0]},66e6c45b,68b67ca3")
    said = call(*chosen, *some, "--out", "run")
    assert said.code == 0, said.err
    lacks = "2 of 3 evaluated arc1 groups have no row in the puzzle table of these weights"
    (note,) = read(Path("run")).notes
    assert note.startswith(lacks)
    assert "--adapt puzzle-embedding" in note
    assert lacks in said.out
    assert lacks in call("runs", "show", "run").out
    call(*chosen, "--puzzles", KNOWN[0], "--out", "known")
    assert read(Path("known")).notes == ()
    # What is learnt has its row.
    call(*chosen, *some, "--adapt", "puzzle-embedding", "--adapt-steps", "1", "--out", "learnt")
    assert read(Path("learnt")).notes == ()
