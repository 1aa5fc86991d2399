"""What laws are about: a plugin, or one task, model or trainer of it, made once and looked at by many laws."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from trm_harness.contracts import HasTraining, Model, ModelRequest, Task
from trm_harness.errors import DataMissing, HarnessError
from trm_harness.files.hub import cache_only
from trm_harness.fingerprint import file_sha256
from trm_harness.plugins.host import PluginInfo
from trm_harness.registry import Registry, import_target
from trm_harness.specs import ModelSpec, TaskSpec, TrainerSpec
from trm_harness.testing.laws import NotApplicable
from trm_harness.types import Puzzle

SAMPLE = 12
"""Puzzles of each split that laws look at."""


@dataclass(eq=False)
class PluginSubject:
    """A plugin as a whole: its manifest."""

    kind: ClassVar[str] = "plugin"
    info: PluginInfo

    @property
    def id(self) -> str:
        """Its name."""
        return self.info.name


@dataclass(eq=False)
class TaskSubject:
    """A task. ``data`` is a folder of good files for a task that has none of its own, or to be damaged."""

    kind: ClassVar[str] = "task"
    registry: Registry
    spec: TaskSpec
    data: Path | None = None

    @property
    def id(self) -> str:
        """The task's id."""
        return self.spec.id

    @cached_property
    def task(self) -> Task:
        """The task, made once."""
        return self.make(self.data)

    def make(self, data: Path | None) -> Task:
        """A fresh task that reads ``data``."""
        return self.registry.task(self.spec.id, data)

    def puzzles(self, split: str) -> Sequence[Puzzle]:
        """All puzzles of ``split``. ``NotApplicable`` if they would have to be downloaded first."""
        return self._split(split)

    def sample(self, split: str | None = None, count: int = SAMPLE) -> list[Puzzle]:
        """Up to ``count`` puzzles with answers from all over ``split`` (or every split)."""
        splits = (split,) if split else self.spec.splits
        return [puzzle for name in splits for puzzle in self._spread(name, count) if puzzle.answer is not None]

    def some(self, count: int = SAMPLE) -> list[Puzzle]:
        """A few puzzles with answers, of the default split. ``NotApplicable`` if its answers are all hidden."""
        found = self.sample(self.spec.default_split, count) or self.sample(None, count)
        if not found:
            raise NotApplicable("no puzzle has an answer here")
        return found

    def training_source(self, seed: int = 0) -> Any:
        """The task's training source. ``NotApplicable`` if it has none."""
        if not isinstance(self.task, HasTraining):
            raise NotApplicable("it offers no training examples (training_source)")
        with needing_data():
            return self.task.training_source(seed, {}, {})

    def _split(self, split: str) -> Sequence[Puzzle]:
        with needing_data():
            return self.task.puzzles(split)

    def _spread(self, split: str, count: int) -> list[Puzzle]:
        puzzles = self._split(split)
        size = len(puzzles)
        if split != self.spec.default_split:
            # Large puzzles are often generated on demand, a second or more for a few of them.
            count = max(3, count * 100 // max(100, self.spec.seq_len))
        return [puzzles[index] for index in sorted({i * size // count for i in range(count)})] if size else []


@dataclass(eq=False)
class ModelSubject:
    """A model, on the smallest task that it answers and whose puzzles are here.

    Networks with the family's settings (``hidden_size`` and the like) are made small: laws are about their arithmetic,
    not their size, and a published size would take minutes on a CPU.
    """

    kind: ClassVar[str] = "model"
    registry: Registry
    spec: ModelSpec

    @property
    def id(self) -> str:
        """The model's id."""
        return self.spec.id

    @cached_property
    def on(self) -> TaskSubject:
        """The task it is tried on."""
        fitting = [
            TaskSubject(self.registry, spec)
            for spec in sorted(self.registry.tasks, key=lambda spec: (spec.seq_len, spec.id))
            if self.spec.answers(spec)
        ]
        for subject in fitting:
            try:
                subject.some(1)
            except (NotApplicable, HarnessError):
                continue
            return subject
        raise NotApplicable(f"no task with puzzles here fits {', '.join(self.spec.tasks)}")

    @cached_property
    def model(self) -> Model:
        """The model, untrained where it needs weights, made once."""
        return self.make()

    @cached_property
    def tried(self) -> ModelSpec:
        """The spec with small settings."""
        return small(self.spec)

    def make(
        self, dtype: str = "float32", weights: Path | None = None, which: str = "target", spec: ModelSpec | None = None
    ) -> Any:
        """A fresh model, small unless ``spec`` says otherwise.

        ``NotApplicable`` for a language model: it answers over a network.
        """
        if self.spec.family == "llm":
            raise NotApplicable("language models answer over a network, which the kit does not use")
        task = self.on
        sha256 = file_sha256(weights) if weights else ""
        request = ModelRequest(spec or self.tried, task.spec, weights=weights, dtype=dtype, weights_sha256=sha256)
        return self.registry.models.resolve(self.spec.id, which)(request)


@dataclass(eq=False)
class TrainerSubject:
    """A trainer, on the smallest trainable model and the smallest task with training examples."""

    kind: ClassVar[str] = "trainer"
    registry: Registry
    spec: TrainerSpec
    folder: Path | None = None
    kept: dict[str, Any] = field(default_factory=dict)
    """What laws leave for one another: runs are costly."""

    @property
    def id(self) -> str:
        """The trainer's id."""
        return self.spec.id

    @property
    def train(self) -> Any:
        """Its target."""
        return self.registry.trainers.resolve(self.spec.id)

    def parts(self, recipe: Any) -> tuple[Any, Any]:
        """A fresh small model and a training source for ``recipe``."""
        spec, task = self._model, self._task
        source = task.task.training_source(recipe.seed, {}, recipe.source)
        spec = small(spec)
        spec = replace(spec, config={**spec.config, **recipe.model})
        request = ModelRequest(
            spec, task.spec, dtype=recipe.dtype, seed=recipe.seed, identities=tuple(source.identities)
        )
        return import_target(spec.trainable)(request), source

    @cached_property
    def _model(self) -> ModelSpec:
        known = [spec for spec in self.registry.models if spec.trainable and "*" in spec.tasks]
        if not known:
            raise NotApplicable("no trainable model is installed")
        # TRM first: its recursions are what a trainer must get right.
        return min(known, key=lambda spec: ("h_cycles" not in spec.config, spec.config.get("hidden_size", 0), spec.id))

    @cached_property
    def _task(self) -> TaskSubject:
        for spec in sorted(self.registry.tasks, key=lambda spec: (spec.seq_len, spec.id)):
            subject = TaskSubject(self.registry, spec)
            if isinstance(subject.task, HasTraining):
                return subject
        raise NotApplicable("no task with training examples is installed")


SMALL: Mapping[str, Any] = {
    "hidden_size": 32,
    "heads": 2,
    "layers": 1,
    "h_layers": 1,
    "l_layers": 1,
    "puzzle_dim": 32,
    "h_cycles": 2,
    "l_cycles": 2,
    "supervision_steps": 4,
}
"""Settings that make any network of the family small."""


def small(spec: ModelSpec) -> ModelSpec:
    """The spec with those of its settings that :data:`SMALL` knows made small; what is 0 or less already stays."""
    changed = {name: value for name, value in SMALL.items() if value < spec.config.get(name, 0)}
    return replace(spec, config={**spec.config, **changed})


@contextmanager
def needing_data() -> Iterator[None]:
    """Nothing is downloaded inside; data that would have to be is ``NotApplicable``."""
    try:
        with cache_only():
            yield
    except DataMissing as error:
        raise NotApplicable(f"its data are not on this machine ({error})") from error
