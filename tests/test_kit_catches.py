"""The kit's laws can be broken: a small task, model and trainer with one fault each, and the law that must see it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import Site
from trm_harness import registry
from trm_harness.plugins.host import load
from trm_harness.testing import LawBroken, NotApplicable, checks_of, parametrize_with_checks
from trm_harness.testing.laws import KIT_VERSION, LAWS
from trm_harness.testing.subjects import ModelSubject, TaskSubject, TrainerSubject
from trm_harness.train.trainer import Trainer, TrainerJob, TrainResult
from trm_harness.types import Prediction

Fault = Callable[[Any], None]

KIT = (2, 42, "3ce6e20a0185")
"""Version of the kit, and number and hash of its laws' names and promises."""


def law(kind: str, name: str) -> Callable[[Any], None]:
    (found,) = [law.run for law in LAWS if (law.kind, law.name) == (kind, name)]
    return found


def task_with(fault: Fault) -> TaskSubject:
    names = registry.default()
    subject = TaskSubject(names, names.tasks.spec("sudoku-4x4"))
    make = subject.make

    def faulty(data: Path | None) -> Any:
        task = make(data)
        fault(task)
        return task

    subject.make = faulty
    return subject


def changed(name: str, change: Callable[[Callable[..., Any]], Callable[..., Any]]) -> Fault:
    """The method ``name`` replaced by what ``change`` makes of it."""
    return lambda thing: setattr(thing, name, change(getattr(thing, name)))


def peeking(encode: Callable[..., Any]) -> Callable[..., Any]:
    def peek(puzzle: Any, *rest: Any) -> Any:
        encoded = encode(puzzle, *rest)
        leak = 0 if puzzle.answer is None else int(puzzle.answer[0, 0])
        return replace(encoded, tokens=np.where(np.arange(encoded.length) == 0, leak, encoded.tokens).astype(np.int32))

    return peek


def biased(measures: Callable[..., Any]) -> Callable[..., Any]:
    return lambda puzzle, answer: measures(puzzle, answer) | {"cell": float(answer is not None and answer[0, 0] == 1)}


def with_auxiliary(further: Callable[[np.ndarray], np.ndarray]) -> Fault:
    """Draws with auxiliary labels behind those of the answer."""

    def more(draw: Callable[..., Any]) -> Callable[..., Any]:
        def drawn(*args: Any) -> Any:
            rows = draw(*args)
            return replace(rows, labels=np.concatenate((rows.labels, further(rows.tokens)), axis=1))

        return drawn

    def make(source: Any) -> Any:
        source.draw = more(source.draw)
        return source

    return changed("training_source", lambda given: lambda *a: make(given(*a)))


COUNTER = iter(range(10**9))

TASKS = {
    "decode_undoes_encode": changed("decode", lambda decode: lambda tokens, enc: decode(tokens, enc).T),
    "encode_never_reads_the_answer": changed("encode", peeking),
    "different_questions_read_differently": changed(
        "encode", lambda encode: lambda *a: replace(encode(*a), tokens=np.zeros(16, np.int32))
    ),
    "tokens_fit_the_spec": changed("labels", lambda labels: lambda *a: labels(*a) + np.int32(9)),
    "views_are_named_stably": changed("transforms", lambda names: lambda *a: names(*a)[::-1]),
    "invert_undoes_transform": changed("invert", lambda invert: lambda answer, name: answer),
    "right_answer_scores_one": changed("measures", lambda measures: lambda p, a: measures(p, a) | {"exact": 0.5}),
    "damaged_answer_scores_less": changed("measures", lambda measures: lambda p, a: measures(p, p.answer)),
    "scores_see_no_symmetry": changed("measures", biased),
    "a_whole_evaluation_scores_one": changed("measures", lambda measures: lambda p, a: measures(p, p.answer)),
    "a_source_is_named_by_its_content": changed(
        "source", lambda source: lambda split: replace(source(split), sha256="0" * 64)
    ),
    "puzzles_are_well_formed": changed("source", lambda source: lambda s: replace(source(s), n_puzzles=1)),
    "splits_share_no_puzzle": changed(
        "puzzles", lambda puzzles: lambda split: [replace(p, id=f"{split}-{p.id}") for p in puzzles("test")[:40]]
    ),
    "same_puzzles_in_every_process": changed(
        "transforms", lambda names: lambda p, n, s: [*names(p, n, s)[:-1], f"x{hash(p.id)}"]
    ),
    "training_draws_repeat": changed(
        "training_source", lambda make: lambda seed, *a: make(next(COUNTER), *a)
    ),
}  # fmt: skip
"""Law -> a fault that it must see."""


@pytest.mark.parametrize("name", TASKS)
def test_a_faulty_task_is_caught(name: str) -> None:
    with pytest.raises(LawBroken, match="Change: "):
        law("task", name)(task_with(TASKS[name]))


def test_auxiliary_labels_pass_and_bad_ones_are_caught() -> None:
    repeats = law("task", "training_draws_repeat")
    repeats(task_with(with_auxiliary(lambda tokens: tokens * 0 + 99)))
    for further in (lambda tokens: tokens[:, :3], lambda tokens: tokens * 0 - 1):
        with pytest.raises(LawBroken, match="auxiliary labels are not a class for each cell"):
            repeats(task_with(with_auxiliary(further)))


def test_held_out_answers_are_seen_beside_auxiliary_labels() -> None:
    def shows_the_test_split(task: Any) -> None:
        puzzles = task.puzzles("test")[:8]
        encoded = [task.encode(puzzle, "", {}) for puzzle in puzzles]
        labels = np.stack([task.labels(*pair) for pair in zip(puzzles, encoded, strict=True)])
        shown = {"tokens": np.stack([one.tokens for one in encoded]), "labels": labels}
        make = task.training_source

        def leaking(*args: Any) -> Any:
            source = make(*args)
            draw = source.draw
            source.draw = lambda *where: replace(draw(*where), **shown)
            return source

        task.training_source = leaking
        with_auxiliary(lambda tokens: tokens)(task)

    with pytest.raises(LawBroken, match="drawn examples are evaluated puzzles"):
        law("task", "training_never_shows_held_out_answers")(task_with(shows_the_test_split))


def test_a_task_that_takes_any_file_is_caught() -> None:
    subject = task_with(lambda task: None)
    good, make = subject.task, subject.make
    subject.make = lambda data: good
    with pytest.raises(LawBroken, match="does not exist given as --data: reading train gives"):
        law("task", "bad_files_are_refused")(subject)
    subject.make = lambda data: make(None).puzzles(str(1 / 0))
    with pytest.raises(LawBroken, match="raises ZeroDivisionError"):
        law("task", "bad_files_are_refused")(subject)


def test_a_canonical_form_that_symmetries_change_is_caught() -> None:
    subject = task_with(lambda task: setattr(task, "canonical", lambda puzzle: puzzle.input.tobytes()))
    with pytest.raises(LawBroken, match="forms of"):
        law("task", "canonical_form_sees_no_symmetry")(subject)
    with pytest.raises(NotApplicable):
        law("task", "canonical_form_sees_no_symmetry")(task_with(lambda task: None))


def model_with(fault: Fault) -> ModelSubject:
    names = registry.default()
    subject = ModelSubject(names, names.models.spec("trm-nano"))
    make = subject.make

    def faulty(*args: Any, **kwargs: Any) -> Any:
        model = make(*args, **kwargs)
        fault(model)
        return model

    subject.make = faulty
    return subject


def stepping(change: Callable[[Prediction], Prediction]) -> Fault:
    def wrap(step: Callable[..., Any]) -> Callable[..., Any]:
        def stepped(state: Any) -> Any:
            state, out = step(state)
            return state, change(out)

        return stepped

    return changed("step", wrap)


MODELS = {
    "batch_size_changes_nothing": stepping(lambda out: replace(out, halt=out.halt + np.float32(len(out.halt)))),
    "order_changes_nothing": stepping(
        lambda out: replace(out, halt=out.halt + np.arange(len(out.halt), dtype=np.float32))
    ),
    "padding_changes_nothing": stepping(lambda out: replace(out, tokens=out.tokens + len(out.halt))),
    "halted_puzzles_change_nothing": changed("select", lambda select: lambda s, rows: select(s, list(rows)[::-1])),
    "the_same_every_time": stepping(lambda out: replace(out, halt=out.halt + np.float32(next(COUNTER)))),
    "answers_have_the_shape_of_the_batch": stepping(lambda out: replace(out, halt=out.halt.astype(np.float64))),
    "bfloat16_has_no_nan": stepping(lambda out: replace(out, halt=out.halt * np.float32("nan"))),
    "noise_belongs_to_its_row": changed(
        "perturb", lambda perturb: lambda state, scale, seeds, step: perturb(state, scale, seeds[::-1].copy(), step)
    ),
    "parameters_are_counted_truly": changed(
        "facts", lambda facts: lambda: replace(facts(), parameters=replace(facts().parameters, network=7_000_000))
    ),
    "saved_weights_answer_alike": changed("facts", lambda facts: lambda: replace(facts(), weights_sha256="0" * 64)),
    "cost_is_stated": changed("cost", lambda cost: lambda length: replace(cost(length), flops_per_step=-1.0)),
}
"""Law -> a fault that it must see."""


@pytest.mark.parametrize("name", MODELS)
def test_a_faulty_model_is_caught(name: str) -> None:
    with pytest.raises(LawBroken, match="Change: "):
        law("model", name)(model_with(MODELS[name]))


def trainer_with(change: Callable[[Trainer], Trainer]) -> TrainerSubject:
    names = registry.default()

    class Faulty(TrainerSubject):
        train = property(lambda self: change(names.trainers.resolve("torch")))

    return Faulty(names, names.trainers.spec("torch"))


def forgetful(train: Trainer) -> Trainer:
    """Goes on with other moments than it stopped with."""

    def run(job: TrainerJob) -> TrainResult:
        return train(replace(job, recipe=replace(job.recipe, beta1=0.5)) if job.resume else job)

    return run


def restarting(train: Trainer) -> Trainer:
    """Starts over where it should go on: the same weights in the end, at the whole price."""

    def run(job: TrainerJob) -> TrainResult:
        if job.resume:
            (job.out / "metrics.jsonl").unlink()
        return train(replace(job, resume=False))

    return run


def doubled(train: Trainer) -> Trainer:
    """Steps twice as far as the recipe says, unless batches are cut."""

    def run(job: TrainerJob) -> TrainResult:
        stages = tuple(replace(stage, lr=2 * stage.lr) for stage in job.recipe.stages)
        return train(job if job.recipe.accumulate > 1 else replace(job, recipe=replace(job.recipe, stages=stages)))

    return run


def silent(train: Trainer) -> Trainer:
    """Never says that it has begun, so that a run that is killed leaves no train.json."""

    def run(job: TrainerJob) -> TrainResult:
        return train(replace(job, watch=replace(job.watch, started=lambda rank: None)))

    return run


def older(train: Trainer) -> Any:
    """Takes the arguments one by one, as an earlier contract had it."""

    def run(model: Any, source: Any, recipe: Any, out: Path, *, resume: bool = False) -> dict[str, Any]:
        return train(TrainerJob(model, source, recipe, out, resume)).as_dict()

    return run


def mapping(train: Trainer) -> Any:
    """Returns a mapping where a result is due."""
    return lambda job: train(job).as_dict()


TRAINERS = [
    ("leaves_weights_and_says_on_what", silent, "watch.started 0 times"),
    ("leaves_weights_and_says_on_what", older, "does not take one job"),
    ("leaves_weights_and_says_on_what", mapping, "returned dict"),
    ("resume_equals_uninterrupted", forgetful, "the weights end elsewhere"),
    ("resume_equals_uninterrupted", restarting, "begins again from step 1"),
    ("step_equals_the_reference_step", doubled, "differs from the reference's"),
    ("accumulation_equals_one_batch", doubled, "micro-batches end in weights that differ"),
]


@pytest.mark.parametrize(("name", "fault", "message"), TRAINERS)
def test_a_faulty_trainer_is_caught(name: str, fault: Callable[[Trainer], Trainer], message: str) -> None:
    with pytest.raises(LawBroken, match=message):
        law("trainer", name)(trainer_with(fault))


def test_the_kits_version_follows_its_laws() -> None:
    """A new law, or another promise of one, is another kit: raise KIT_VERSION, then state the new pair here."""
    import trm_harness.testing.checks  # noqa: F401  (every file of laws)

    told = sorted(f"{one.kind} {one.name}: {one.run.__doc__}" for one in LAWS)
    assert (KIT_VERSION, len(told), sha256("\n".join(told).encode()).hexdigest()[:12]) == KIT


HEAVY = """
import numpy
from trm_harness import ModelSpec, hookimpl

@hookimpl
def register_models(register):
    register(ModelSpec(id="heavy", version=1, target="{module}:build", title="h", description="h", family="solver"))

def build(request):
    raise RuntimeError("no luck")
"""


def test_a_heavy_manifest_and_a_raising_model_are_caught(site: Site) -> None:
    site.install("heavy", HEAVY)
    found = registry.Registry.from_host(load())
    checks = {check.law.name: check for check in checks_of("heavy", registry=found)}
    for name, message in (
        ("manifest_imports_nothing_heavy", "imports numpy"),
        ("manifest_says_its_api", "PLUGIN_API = 1"),
        ("made_or_refused_in_one_line", "ended in RuntimeError: no luck"),
    ):
        with pytest.raises(LawBroken, match=message):
            checks[name].run()


def test_every_check_has_one_readable_id() -> None:
    checks = checks_of("sudoku-4x4", "torch-trainer")
    ids = [check.id for check in checks]
    assert "task-sudoku-4x4-decode_undoes_encode" in ids
    assert "trainer-torch-resume_equals_uninterrupted" in ids
    assert len(set(ids)) == len(ids)
    assert not any("sudoku-6x6" in name for name in ids)
    mark = parametrize_with_checks("sudoku-4x4", slow=lambda check: check.law.name == "spec_is_complete")
    marked = {param.id for param in mark.args[1] if param.marks}
    assert marked == {"task-sudoku-4x4-spec_is_complete"}


@pytest.mark.slow
def test_pytest_runs_laws_without_a_test_file(site: Site, tmp_path: Path) -> None:
    site.install("heavy", HEAVY)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path)]

    def laws_of(name: str) -> subprocess.CompletedProcess[str]:
        args = [*command, "--trm-laws", name, str(tmp_path)]
        return subprocess.run(args, cwd=tmp_path, capture_output=True, text=True, check=False)

    done = laws_of("heavy")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "importing the manifest third_party" in done.stdout
    assert "Change: name the code by a target" in done.stdout
    assert "plugin-heavy-manifest_says_its_api" in done.stdout
    unknown = laws_of("haevy")
    assert unknown.returncode == 4
    assert "did you mean 'heavy'" in unknown.stderr
