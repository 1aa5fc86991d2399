"""The jobs of the command line as Python calls of one line each, for notebooks and scripts.

>>> import trm_harness
>>> model = trm_harness.load_model("trm-nano.sudoku-4x4")
>>> model.predict("1... / ..3. / .2.. / ...4")                                                    # doctest: +SKIP
>>> trm_harness.evaluate("sudoku-4x4", model, limit=20).headline.value                            # doctest: +SKIP
"""

from __future__ import annotations

import hashlib
import inspect
import json
import math
import operator
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from trm_harness.contracts import Doubtful, Model, Task
from trm_harness.errors import BadInput
from trm_harness.evaluate import Watchers
from trm_harness.evaluate.run import evaluate as run
from trm_harness.evaluate.run import resume as finish
from trm_harness.files.names import RECORD_FILE, TRAINING_FILE
from trm_harness.files.paths import absolute, own_zoo
from trm_harness.grids import grid_html, grid_text, text_rows
from trm_harness.inference import InferencePlan, ask
from trm_harness.loading import Choices, Launch, again, load, prepare, task_of, weights_of, workers
from trm_harness.loading.choices import launch_of
from trm_harness.progress import progress as progress_bar
from trm_harness.record import read
from trm_harness.record.environment import public_text
from trm_harness.record.journal import Row
from trm_harness.registry import default, lent
from trm_harness.results import Evaluation, Training
from trm_harness.types import Grid, ModelFacts, Puzzle, plain
from trm_harness.zoo import find, named, pull

if TYPE_CHECKING:
    from trm_harness.train.recipe import Recipe
    from trm_harness.train.trainer import Watch

GridLike = Grid | Sequence[Sequence[int]] | Sequence[str] | str
Pair = tuple[GridLike, GridLike]
SHOWN = 12
"""Answers that several show in a notebook."""
NOTHING = np.zeros((0, 0), dtype=np.uint8)
"""The grid of no answer."""


@dataclass(frozen=True, eq=False)
class Answer:
    """What a model made of one puzzle: ``grids`` after every supervision step and the halting logits; the last counts.

    Shows itself in a notebook, prints as digits, and is an array wherever numpy wants one.
    """

    puzzle: Puzzle
    grids: tuple[Grid, ...]
    halts: tuple[float, ...]
    coloured: bool = True

    @property
    def grid(self) -> Grid:
        """The answer: ``uint8 [height, width]`` in the task's symbols."""
        return self.grids[-1]

    @property
    def correct(self) -> bool | None:
        """Whether the answer is the puzzle's own, where that is known."""
        known = self.puzzle.answer
        return None if known is None else bool(np.array_equal(known, self.grid))

    @property
    def settled(self) -> int:
        """The step from which on the answer stayed as it is, counted from 1."""
        changed = [step for step, grid in enumerate(self.grids, start=1) if not np.array_equal(grid, self.grid)]
        return max(changed, default=0) + 1

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return np.array(self.grid, dtype=dtype)

    def __str__(self) -> str:
        return grid_text(self.grid.tolist()) or "(empty)"

    def __repr__(self) -> str:
        return f"{self}\n{self._caption()}"

    def _repr_html_(self) -> str:
        given = self.puzzle.input.tolist()
        same = self.puzzle.input.shape == self.grid.shape and not self.coloured
        tables = [grid_html(given, self.coloured, given if not self.coloured else None, "puzzle")]
        tables.append(grid_html(self.grid.tolist(), self.coloured, given if same else None, self._caption()))
        return f"<div>{''.join(tables)}</div>"

    def _caption(self) -> str:
        verdict = {True: ", right", False: ", wrong", None: ""}[self.correct]
        return f"step {len(self.grids)}, settled at {self.settled}, halting logit {self.halts[-1]:+.2f}{verdict}"


class Answers(tuple[Answer, ...]):
    """The answers to several puzzles, in their order."""

    @property
    def grids(self) -> list[Grid]:
        """The last grid of each."""
        return [answer.grid for answer in self]

    def __repr__(self) -> str:
        judged = [answer.correct for answer in self if answer.correct is not None]
        right = f", {sum(judged):,} of {len(judged):,} right" if judged else ""
        return f"<{len(self):,} answers{right}>"

    def _repr_html_(self) -> str:
        more = f"<div>and {len(self) - SHOWN:,} more</div>" if len(self) > SHOWN else ""
        return "".join(answer._repr_html_() for answer in self[:SHOWN]) + more


class LoadedModel:
    """Weights and the task they answer. ``model`` keeps :class:`~trm_harness.contracts.Model`."""

    def __init__(
        self, choices: Choices, task: Task, launch: Launch, model: Model, objects: tuple[Any, ...] = ()
    ) -> None:
        """``objects`` are a task and a model that were given themselves and have no name that could be looked up."""
        self.choices, self.task, self.launch, self.model = choices, task, launch, model
        self.objects = objects

    @property
    def name(self) -> str:
        """The card's name, or the architecture's."""
        return self.launch.card or self.launch.model

    @property
    def facts(self) -> ModelFacts:
        """Size, depth and weights."""
        return self.model.facts()

    @property
    def weights(self) -> Path | None:
        """The file of its weights, if they come from one."""
        return weights_of(self.launch)[1]

    @overload
    def predict(
        self,
        puzzles: Puzzle | GridLike,
        demonstrations: Sequence[Pair] = (),
        *,
        name: str = "",
        steps: int | None = None,
        noise: float = 0.0,
        seed: int = 0,
    ) -> Answer: ...

    @overload
    def predict(
        self,
        puzzles: Sequence[Puzzle | GridLike],
        demonstrations: Sequence[Pair] = (),
        *,
        name: str = "",
        steps: int | None = None,
        noise: float = 0.0,
        seed: int = 0,
    ) -> Answers: ...

    def predict(
        self,
        puzzles: Puzzle | GridLike | Sequence[Puzzle | GridLike],
        demonstrations: Sequence[Pair] = (),
        *,
        name: str = "",
        steps: int | None = None,
        noise: float = 0.0,
        seed: int = 0,
    ) -> Answer | Answers:
        """The answer to one puzzle, or the answers to several.

        A puzzle is one of the task's, or a grid: rows of symbols (0 or ``.`` for a blank) as an array, as lists, as
        text with rows on lines or between slashes, or all cells in one row (81 characters of a Sudoku). Several are a
        list of these or a column of a table, or an array ``[puzzles, height, width]`` or ``[puzzles, cells]``.

        ``demonstrations`` are pairs of grids, for tasks that show some; ``name`` is the task's id in the model's table
        (a model that does not know it reads its blank row). ``steps`` defaults to the model's own. ``BadInput`` for a
        grid that the model cannot read. Warns of a puzzle that has several solutions, or none.
        """
        puzzles = _plain_sequence(puzzles)
        many = self._many(puzzles)
        asked = [
            one if isinstance(one, Puzzle) else _puzzle(self._board(one), demonstrations, name, self._side)
            for one in (puzzles if many else [puzzles])
        ]
        plan = InferencePlan(noise=number("noise", noise) or 0.0)
        plan.check_model(self.model)
        options = plan.options(whole("steps", steps) or self.model.steps)
        rows = ask(self.task, self.model, asked, options, whole("seed", seed) or 0)
        _say_doubts(self.task, asked)
        answers = [self._answer(*pair) for pair in zip(asked, rows, strict=True)]
        return Answers(answers) if many else answers[0]

    @property
    def _side(self) -> int | None:
        """Rows and columns of the task's boards, where all have one size."""
        return getattr(self.task, "size", None)

    def _many(self, value: Any) -> bool:
        """Whether ``value`` is several puzzles rather than one."""
        if isinstance(value, np.ndarray):
            return value.ndim == 3 or (value.ndim == 2 and value.shape[1] == (self._side or 1) ** 2 > 1)
        if isinstance(value, str) or not isinstance(value, Sequence):
            return False
        if value and isinstance(value[0], str):
            # The rows of one board, or a whole board each.
            return len(text_rows(value[0], self._side)) > 1
        return not value or isinstance(value[0], Puzzle) or np.ndim(value[0]) > 1

    def _board(self, value: GridLike) -> GridLike:
        """``value``, as a square if it is all cells of the task's board in one row."""
        side = self._side
        flat = side and not isinstance(value, str) and np.shape(value) == (side * side,)
        return np.reshape(value, (side, side)) if flat else value

    def _answer(self, puzzle: Puzzle, row: Row) -> Answer:
        grids = tuple(NOTHING if grid is None else grid for grid in row.answers)
        return Answer(puzzle, grids, row.halts, self.task.spec.family != "sudoku")

    def evaluate(self, **choices: Any) -> Evaluation:
        """Answer the task's puzzles and score the answers: :func:`evaluate` with this task and model."""
        return evaluate(self.task.spec.id, self, **choices)

    def adapted(
        self,
        mode: str = "puzzle-embedding",
        steps: int | None = None,
        lr: float | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> LoadedModel:
        """The model that learns each task of its split from its demonstrations before it answers it.

        What is not given is the card's, its warm-up and last rate in proportion to ``steps`` and ``lr``; else 100 steps
        at the rate 1e-4.
        """
        how = {"adapt": mode, "adapt_steps": steps, "adapt_lr": lr, "adapt_settings": settings}
        return _load(self.choices.but(**_clean(how)), self.objects)

    def __repr__(self) -> str:
        size, depth = self.facts.parameters.network, self.facts.effective_depth
        told = f"{size:,} parameters, {self.model.steps} steps of {depth} layers, {self.launch.dtype}"
        return f"<{self.name} for {self.task.spec.id}: {told} on {self.launch.device}>"


def _say_doubts(task: Task, puzzles: Sequence[Puzzle]) -> None:
    """Warn of each puzzle whose answer nobody knows and to which no single answer can be right."""
    own = [puzzle for puzzle in puzzles if puzzle.answer is None] if isinstance(task, Doubtful) else []
    told = [(number, doubt) for number, doubt in enumerate(task.doubts(own) if own else (), 1) if doubt]
    for number, doubt in told[:SHOWN]:
        which = f"puzzle {number} of {len(own):,}" if len(own) > 1 else "the puzzle"
        warnings.warn(f"{which}: {doubt}", stacklevel=3)
    if len(told) > SHOWN:
        warnings.warn(f"the same holds of {len(told) - SHOWN:,} more", stacklevel=3)


def load_task(name: str, data: str | Path | None = None) -> Task:
    """The task called ``name``; ``data`` is a folder or file of the user's own puzzles. ``UnknownName`` if unknown."""
    return task_of(name, Path(data) if data else None)


def load_run(folder: str | Path) -> Evaluation | Training:
    """What :func:`evaluate` or :func:`train` gave back for the run in ``folder``. ``BadInput`` for anything else."""
    out = Path(folder)
    if (out / TRAINING_FILE).is_file() and not (out / RECORD_FILE).is_file():
        from trm_harness.train.session import read_run

        return Training(read_run(out) | {"out": str(out)})
    return Evaluation.of(read(out), out)


def load_model(
    model: str | Model,
    task: str | Task = "",
    *,
    weights: str | Path | None = None,
    untrained: bool = False,
    settings: Mapping[str, Any] | None = None,
    device: str = "auto",
    dtype: str = "auto",
    compiled: bool = False,
    seed: int = 0,
    data: str | Path | None = None,
    augment: int = 1,
    adapt: str = "",
    adapt_steps: int | None = None,
    adapt_lr: float | None = None,
    adapt_settings: Mapping[str, Any] | None = None,
    revision: str = "main",
) -> LoadedModel:
    """A model, ready to answer.

    ``model`` is a card (``trm-nano.sudoku-4x4``), an architecture with its best card for ``task``, a repository of the
    hub (``owner/name``, at ``revision``), or an object that keeps :class:`~trm_harness.contracts.Model`. A repository's
    card and weights are put into your own zoo once, and count only under the card's sha256. Hub weights that a card
    names are fetched if they are not here.

    ``weights`` is a file to take instead of the zoo's, ``untrained`` draws random ones by ``seed``; ``settings`` change
    the model's configuration, ``compiled`` compiles the network. ``data`` are puzzles of your own for the task.
    ``adapt`` (``puzzle-embedding`` or ``full``) learns each task from its demonstrations first: ``adapt_steps`` steps,
    ``augment`` views, the network at the rate ``adapt_lr``, and ``adapt_settings`` as in a training recipe; what is not
    given is the card's, its warm-up and last rate in proportion; else 100 steps at 1e-4.
    ``BadInput`` or ``UnknownName`` for what does not exist or does not go together.
    """
    chosen = {name: value for name, value in locals().items() if name not in ("model", "task", "revision")}
    model_name, model_objects = _named(model, revision)
    if not task:
        known = default().models.names()
        task = named(model_name).task if "." in model_name and model_name not in known else ""
        if not task:
            raise BadInput(f"{model_name} is an architecture: say for which task, load_model({model_name!r}, task=...)")
    task_name, task_objects = _named(task)
    return _load(Choices.of(task_name, model_name, **_clean(chosen)), (*model_objects, *task_objects))


def evaluate(
    task: str | Task,
    model: str | Model | LoadedModel,
    *,
    split: str | None = None,
    limit: int | None = None,
    sample: int | None = None,
    puzzles: str | Sequence[str] = (),
    augment: int = 1,
    restarts: int = 1,
    noise: float = 0.0,
    select: str = "mode",
    attempts: int | None = None,
    steps: int | None = None,
    halt: str = "full",
    halt_above: float | None = None,
    batch_size: int | None = None,
    seed: int | None = None,
    weights: str | Path | None = None,
    untrained: bool | None = None,
    settings: Mapping[str, Any] | None = None,
    device: str | None = None,
    dtype: str | None = None,
    compiled: bool | None = None,
    data: str | Path | None = None,
    adapt: str | None = None,
    adapt_steps: int | None = None,
    adapt_lr: float | None = None,
    adapt_settings: Mapping[str, Any] | None = None,
    allow_contaminated: bool = False,
    processes: int = 1,
    out: str | Path | None = None,
    on_batch: Callable[[tuple[Row, ...]], None] | None = None,
    progress: bool | Callable[[float, int], None] = False,
) -> Evaluation:
    """Answer a task's puzzles with a model and score the answers; the run's record.

    ``task`` and ``model`` are names, or objects that keep the contracts of a task and a model; a model may also be one
    of :func:`load_model`, whose weights, settings and device then count where they are not given anew.

    Which puzzles: ``split`` (the task's own), the first ``limit`` groups, ``sample`` groups that the seed draws, or the
    ids in ``puzzles``; ``data`` is a file of your own. How they are answered: ``augment`` views of each that vote,
    ``restarts`` answers a view with ``noise`` on the latent, ``select`` (``mode``, ``halt``, ``oracle``), ``attempts``
    that count, supervision ``steps``, ``halt`` (``full``, ``settled``, ``adaptive``) above ``halt_above``. The rest is
    as in :func:`load_model`; ``processes`` share the batches. ``trm-harness eval --help`` explains each option.

    The run lies in the new folder ``out``, by default ``runs/<id>``, as the command line leaves it. ``on_batch`` gets
    the rows of every batch once they are on disk; what it raises ends the run. ``progress`` shows a bar on stderr, or
    is a function of (answers done, answers in all). ``BadInput`` before anything is written if something cannot be.
    """
    given = {name: value for name, value in locals().items() if name not in ("task", "model", *NO_CHOICES)}
    said = _said("evaluate", task, model, given | {"processes": processes})
    chosen = _clean({name: value for name, value in given.items() if value is not None})
    task_name, objects = _named(task)
    if isinstance(model, LoadedModel):
        wanted, objects = model.choices.but(task=task_name, **chosen), (*objects, *model.objects)
    else:
        model_name, model_objects = _named(model)
        wanted, objects = Choices.of(task_name, model_name, **chosen), (*objects, *model_objects)
    if whole("processes", processes) < 1:
        raise BadInput(f"processes must be at least 1, not {processes}")
    if objects and processes > 1:
        raise BadInput("other processes cannot have the task and model objects of this one: give names, or processes=1")
    with lent(*objects), _shown(progress) as show:
        _fetch(wanted)
        new = prepare(wanted, Path(out) if out else None, command=said)
        watchers = Watchers(default().host.manager.hook, show, _say, on_batch or (lambda rows: None))
        shared = workers(new.launch, new.plan, whole("processes", processes))
        record = run(new.task, new.model, new.plan, new.out, new.setting, watchers, shared, new.selection)
        return Evaluation.of(record, new.out)


def train(
    task: str | Task,
    model: str | Model | LoadedModel,
    recipe: str | Path | Recipe | None = None,
    out: str | Path | None = None,
    *,
    steps: int | None = None,
    seed: int | None = None,
    settings: Mapping[str, Any] | None = None,
    weights: str | Path | None = None,
    data: str | Path | None = None,
    device: str = "auto",
    threads: int | None = None,
    trainer: str = "torch",
    seconds: float = math.inf,
    workers: int | None = None,
    on_step: Callable[[dict[str, Any]], None] | None = None,
    progress: bool = False,
) -> Training:
    """Train a model on a task; what the run's ``train.json`` says, and where the weights lie.

    ``task`` is a name or an object with a ``training_source``. ``model`` is an architecture's name; or one of
    :func:`load_model`, whose weights are where training starts; or an object that keeps
    :class:`~trm_harness.contracts.Trainable`, which is trained as it stands.

    ``recipe`` is a file, a card's name, a tag or a :class:`~trm_harness.train.recipe.Recipe`; by default the shipped
    one. ``settings`` change it (``{"batch_size": 64, "stage.lr": 1e-3}``), ``steps`` stretches or shortens it, ``seed``
    replaces its seed. ``weights`` is a file to start from, ``seconds`` ends the run in time, ``workers`` processes draw
    batches ahead (by default one, if training would wait for them). The run lies in the new folder ``out``, by default
    under ``runs/``; :func:`resume` goes on with one that was stopped.

    ``on_step`` gets a row of metrics after every step (an accelerator's together, once a second) and every validation;
    what it raises ends the run.
    ``progress`` shows throughput and time left on stderr. ``BadInput`` before anything is written if something cannot
    be, ``CheckFailed`` if the loss runs away.
    """
    from trm_harness.train.session import new_folder, new_job
    from trm_harness.train.session import run as carry_out
    from trm_harness.train.trainer import Settings

    given = {name: value for name, value in locals().items() if name in ("recipe", "steps", "seed", "settings")}
    said = _said("train", task, model, given)
    task_name, objects = _named(task)
    if isinstance(model, LoadedModel):
        model_name, objects, start = model.launch.model, (*objects, *model.objects), weights or model.weights
    else:
        (model_name, model_objects), start = _named(model), weights
        objects = (*objects, *model_objects)
    with lent(*objects):
        job = new_job(
            task_name,
            model_name,
            recipe,
            changes=_changes(settings),
            steps=whole("steps", steps),
            seed=whole("seed", seed),
            trainer=trainer,
            data=absolute(data),
            device=device,
            threads=whole("threads", threads) or 0,
            weights=absolute(start),
        )
        folder = Path(out) if out else new_folder(job)
        how = Settings(seconds=number("seconds", seconds) or 0.0, workers=whole("workers", workers))
        with _watching(job.recipe.total_steps, on_step, progress) as watch:
            return Training(carry_out(job, folder, settings=how, watch=watch, command=said) | {"out": str(folder)})


def resume(
    folder: str | Path,
    *,
    task: Task | None = None,
    model: Model | LoadedModel | None = None,
    processes: int = 1,
    on_batch: Callable[[tuple[Row, ...]], None] | None = None,
    steps: int | None = None,
    settings: Mapping[str, Any] | None = None,
    device: str | None = None,
    threads: int | None = None,
    seconds: float = math.inf,
    workers: int | None = None,
    on_step: Callable[[dict[str, Any]], None] | None = None,
    progress: bool | Callable[[float, int], None] = False,
) -> Evaluation | Training:
    """Go on with the run in ``folder``, an evaluation or a training, as if it had never been stopped.

    Everything is taken from the run itself. ``task`` and ``model`` are the objects, where it was begun with objects.
    ``processes`` and ``on_batch`` are as in :func:`evaluate`, and for an evaluation alone; ``steps`` (more of them),
    ``settings``, ``device``, ``threads``, ``seconds``, ``workers`` and ``on_step`` are as in :func:`train`, and for a
    training alone. ``BadInput`` for a finished evaluation, and for a choice of the other kind of run.
    """
    out = Path(folder)
    objects = [one for thing in (task, model) if thing is not None for one in _objects(thing)]
    trains = (out / TRAINING_FILE).is_file()
    usual = {name: parameter.default for name, parameter in inspect.signature(resume).parameters.items()}
    given = {name: value for name, value in locals().items() if name in usual and value is not usual[name]}
    foreign = EVALUATING if trains else TRAINING
    if wrong := next((name for name in foreign if name in given), None):
        raise BadInput(f"{out} is {'a training' if trains else 'an evaluation'}: leave {wrong} out")
    with lent(*objects):
        if not trains:
            return _go_on_evaluating(out, whole("processes", processes), on_batch, progress)
        chosen = {"device": device, "threads": whole("threads", threads)}
        job_of = {"changes": _changes(settings), "steps": whole("steps", steps)}
        job_of |= {name: value for name, value in chosen.items() if value is not None}
        how = {"seconds": number("seconds", seconds) or 0.0, "workers": whole("workers", workers)}
        return _go_on_training(out, job_of, how, on_step, bool(progress))


EVALUATING = ("processes", "on_batch")
TRAINING = ("steps", "settings", "device", "threads", "seconds", "workers", "on_step")
"""Choices of :func:`resume` for one kind of run alone."""


def _go_on_evaluating(
    out: Path, processes: int | None, on_batch: Callable[..., None] | None, progress: Any
) -> Evaluation:
    task, model, shared = again(out, processes or 1)
    with _shown(progress) as show:
        watchers = Watchers(default().host.manager.hook, show, _say, on_batch or (lambda rows: None))
        return Evaluation.of(finish(out, task, model, watchers, shared), out)


def _go_on_training(
    out: Path,
    job_of: Mapping[str, Any],
    how: Mapping[str, Any],
    on_step: Callable[[dict[str, Any]], None] | None,
    progress: bool,
) -> Training:
    from trm_harness.train.session import last_engine, resumed_job
    from trm_harness.train.session import run as carry_out
    from trm_harness.train.trainer import Settings

    job = resumed_job(out, **job_of)
    settings = Settings(**how, engine=last_engine(out))
    said = public_text(f"trm_harness.resume({str(out)!r})")
    with _watching(job.recipe.total_steps, on_step, progress) as watch:
        told = carry_out(job, out, resume=True, settings=settings, watch=watch, command=said)
    return Training(told | {"out": str(out)})


def _objects(thing: Any) -> tuple[Any, ...]:
    return thing.objects or (thing.model,) if isinstance(thing, LoadedModel) else (thing,)


def _changes(settings: Mapping[str, Any] | None) -> list[str]:
    """Settings as ``KEY=VALUE`` pairs."""
    return [f"{name}={json.dumps(value, default=_plain)}" for name, value in table("settings", settings).items()]


# The packages of these names hold the code behind them. Python looks up a.b.c in ``import a.b.c as x`` by the
# __name__ of what a.b is, so that with this the functions stand before the packages and hide nothing.
evaluate.__name__, train.__name__ = "trm_harness.evaluate", "trm_harness.train"


def _method_of(function: Callable[..., Any], *bound: str) -> inspect.Signature:
    """The signature of a method that calls ``function`` with the arguments ``bound`` filled in."""
    own = inspect.signature(function)
    taken = [parameter for name, parameter in own.parameters.items() if name not in bound]
    return own.replace(parameters=[inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD), *taken])


# For help() and completion: the method takes what the function takes.
LoadedModel.evaluate.__signature__ = _method_of(evaluate, "task", "model")  # type: ignore[attr-defined]

NO_CHOICES = ("processes", "out", "on_batch", "progress")
"""What :func:`evaluate` takes besides the choices of an evaluation."""

WHOLE = ("limit", "sample", "augment", "restarts", "attempts", "steps", "batch_size", "seed", "adapt_steps")
"""Choices that are whole numbers."""

NUMBERS = ("noise", "halt_above", "adapt_lr")
"""Choices that are numbers."""

TABLES = ("settings", "adapt_settings")
"""Choices that map names to values."""


def whole(name: str, value: Any) -> int | None:
    """``value`` as a Python number, numpy's whole numbers included; ``None`` stays. ``BadInput`` for anything else."""
    if value is None:
        return None
    try:
        if isinstance(value, bool | np.bool_):
            raise TypeError
        return operator.index(value)
    except TypeError:
        raise BadInput(f"{name} must be a whole number, not {value!r}") from None


def number(name: str, value: Any) -> float | None:
    """``value`` as a Python number, numpy's included; ``None`` stays. ``BadInput`` for anything else."""
    value = plain(value)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise BadInput(f"{name} must be a number, not {value!r}")
    return value


def table(name: str, value: Any) -> dict[str, Any]:
    """``value`` as a dictionary, an empty one for ``None``. ``BadInput`` for anything that is no mapping."""
    if not isinstance(value or {}, Mapping):
        raise BadInput(f"{name} must map names to values, not be {value!r}")
    return dict(value or {})


def _named(thing: Any, revision: str = "main") -> tuple[str, tuple[Any, ...]]:
    """The name of a task or model, and the object itself where one was given. A hub repository becomes its card."""
    if not isinstance(thing, str):
        return getattr(getattr(thing, "spec", None), "id", type(thing).__name__), (thing,)
    registry = default()
    if "/" not in thing or thing in registry.models or thing in registry.tasks:
        return thing, ()
    from trm_harness.convert.folder import held_folder

    return held_folder(thing, revision, own_zoo()).name, ()


def _load(choices: Choices, objects: tuple[Any, ...] = ()) -> LoadedModel:
    with lent(*objects):
        _fetch(choices)
        launch = launch_of(choices)
        task = task_of(choices.task, choices.data, views=launch.views)
        plan = choices.plan.of(task.spec)
        return LoadedModel(choices, task, launch, load(launch, task, plan, *weights_of(launch))[0], objects)


def _fetch(choices: Choices) -> None:
    """Bring the weights of a hub card here, as `zoo pull` does."""
    if choices.weights or choices.untrained or default().models.given(choices.model) is not None:
        return
    card = find(choices.model, choices.task, default())
    if card is not None and card.source.hub and card.sha256 and card.source.format == "safetensors":
        pull(card)


def _clean(choices: Mapping[str, Any]) -> dict[str, Any]:
    """Choices with paths as paths, whole numbers as Python's, and puzzles as a tuple. ``BadInput`` for a wrong one."""
    kept = {name: whole(name, value) if name in WHOLE else value for name, value in choices.items()}
    kept |= {name: number(name, kept[name]) for name in NUMBERS if name in kept}
    kept |= {name: Path(kept[name]) for name in ("weights", "data") if kept.get(name)}
    if isinstance(kept.get("puzzles"), str):
        kept["puzzles"] = tuple(part.strip() for part in kept["puzzles"].split(","))
    if "puzzles" in kept:
        kept["puzzles"] = tuple(map(str, kept["puzzles"]))
    kept |= {name: table(name, kept[name]) for name in TABLES if name in kept}
    return kept


def _said(function: str, task: Any, model: Any, given: Mapping[str, Any]) -> str:
    """The call as a record shows it: names, and what differs from the defaults."""
    usual = inspect.signature(globals()[function]).parameters
    names = [thing.name if isinstance(thing, LoadedModel) else _named_at_all(thing) for thing in (task, model)]
    words = [repr(name) for name in names]
    words += [f"{name}={_plain(value)!r}" for name, value in given.items() if value != usual[name].default]
    return public_text(f"trm_harness.{function}({', '.join(words)})")


def _named_at_all(thing: Any) -> str:
    return thing if isinstance(thing, str) else getattr(getattr(thing, "spec", None), "id", type(thing).__name__)


def _plain(value: Any) -> Any:
    """``value`` as a reader may type it again."""
    if isinstance(value, Path):
        return str(value)
    return value.tolist() if isinstance(value, np.generic | np.ndarray) else value


@contextmanager
def _shown(progress: bool | Callable[[float, int], None]) -> Iterator[Callable[[float, int], None]]:
    """Who is told of an evaluation's progress."""
    if progress is True:
        with progress_bar() as show:
            yield show
    else:
        yield progress or (lambda done, total: None)


@contextmanager
def _watching(total: int, on_step: Callable[[dict[str, Any]], None] | None, progress: bool) -> Iterator[Watch]:
    """Who is told of a training run."""
    from trm_harness.train.progress import reporter
    from trm_harness.train.trainer import Watch

    with reporter(total) if progress else nullcontext(lambda row: None) as show:

        def report(row: dict[str, Any]) -> None:
            show(row)
            if on_step is not None:
                on_step(row)

        yield Watch(report, _say)


def _say(message: str) -> None:
    print(message, file=sys.stderr)


def _puzzle(grid: GridLike, demonstrations: Sequence[Pair], name: str, side: int | None) -> Puzzle:
    pairs = tuple((as_grid(question, side), as_grid(answer, side)) for question, answer in demonstrations)
    if not name:
        # Told apart by what they show, so that nothing learnt for one is taken for another.
        shown = [side.tobytes() + bytes(side.shape) for pair in pairs for side in pair]
        name = f"own-{hashlib.sha256(b'/'.join(shown)).hexdigest()[:8]}"
    return Puzzle(name, name, as_grid(grid, side), None, pairs)


def _plain_sequence(value: Any) -> Any:
    """Columns of tables, tensors and generators as lists and arrays; whatever else stays what it is."""
    if isinstance(value, str | Puzzle | Sequence):
        return value
    if hasattr(value, "__array__"):
        try:
            array = np.asarray(value)
        except (TypeError, ValueError, RuntimeError) as error:
            # A tensor of a device or with gradients says what to call first.
            raise BadInput(f"the puzzles cannot be read as an array: {' '.join(str(error).split())}") from None
        return array if array.ndim > 1 else array.tolist()
    return list(value) if isinstance(value, Iterable) else value


def as_grid(value: GridLike, side: int | None = None) -> Grid:
    """``uint8 [height, width]`` from an array, rows of numbers, or text.

    In text a character is a cell, and :func:`trm_harness.grids.text_rows` says what carries nothing; a board of
    ``side`` rows and columns may stand on one line. ``BadInput`` for anything that is no grid.
    """
    if isinstance(value, list | tuple) and value and all(isinstance(row, str) for row in value):
        value = "\n".join(value)
    if isinstance(value, str):
        rows = text_rows(value, side)
        if not rows or not all(row.isascii() and row.isdigit() for row in rows):
            raise BadInput("a grid in text has digits, and . for a blank, in rows on lines or between slashes")
        value = [[int(cell) for cell in row] for row in rows]
    try:
        grid = np.asarray(value)
    except ValueError:
        raise BadInput("the rows of a grid must be equally long") from None
    if grid.dtype == object:
        # A column of a table holds whole numbers as objects.
        with suppress(ValueError):
            grid = np.asarray(grid.tolist())
    if grid.ndim != 2 or not grid.size or not np.issubdtype(grid.dtype, np.number):
        raise BadInput("a grid is rows of whole numbers, all rows equally long")
    if (grid != grid.astype(np.uint8)).any():
        raise BadInput("a grid holds whole numbers from 0 to 255")
    return grid.astype(np.uint8)
