"""Several training sources as one: parts with shares, on boards of one size or many, each with puzzles held out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from trm_harness.contracts import Task, TrainingRows, TrainingSource
from trm_harness.errors import BadInput
from trm_harness.registry import default
from trm_harness.specs import TaskSpec
from trm_harness.train.declared import from_files
from trm_harness.train.recipe import Part, Recipe
from trm_harness.train.validate import Validator, validator


@dataclass(frozen=True, eq=False)
class Source:
    """A part with its task and its training source."""

    part: Part
    task: Task
    source: TrainingSource


class Mixture:
    """Draws from every part by its share. Keeps the contract :class:`trm_harness.contracts.TrainingSource`.

    Buckets are ``<part>/<bucket>``, so rows of two parts never share a carry.
    """

    identities: tuple[str, ...] = ("",)

    def __init__(self, sources: Sequence[Source]) -> None:
        self.sources = {one.part.name: one for one in sources}
        self.buckets = self.mixed({})
        said = [one.source.declaration for one in sources]
        joint = any(one.get("demonstrations") == "joint" for one in said)
        self.declaration: Mapping[str, Any] = {
            "data": [data for one in said for data in one.get("data", ())],
            "transduction": "inductive",
            "demonstrations": "joint" if joint else "inductive",
        }

    def mixed(self, shares: Mapping[str, float]) -> dict[str, float]:
        """Shares of all buckets with ``shares`` of the parts in place of their own; parts not named get none."""
        chosen = shares or {name: one.part.share for name, one in self.sources.items()}
        total = sum(chosen.values())
        return {
            f"{name}/{bucket}": chosen[name] / total * share
            for name, one in self.sources.items()
            if chosen.get(name, 0) > 0
            for bucket, share in one.source.buckets.items()
        }

    def draw(self, bucket: str, index: int, size: int) -> TrainingRows:
        """The draw of the part that ``bucket`` names first."""
        name, _, own = bucket.partition("/")
        return self.sources[name].source.draw(own, index, size)


def mixture(home: TaskSpec, recipe: Recipe, encoding: Mapping[str, Any]) -> Mixture:
    """The mixture of a recipe's parts. ``BadInput`` for one that a network for the task ``home`` cannot read."""
    sources = []
    for index, part in enumerate(recipe.parts):
        spec = default().tasks.spec(part.task)
        if spec.vocab_size != home.vocab_size or spec.seq_len > home.seq_len or spec.has_identities:
            raise BadInput(
                f"recipe: part {part.name!r} has {spec.vocab_size} tokens on {spec.seq_len} cells: parts must have the "
                f"{home.vocab_size} tokens of {home.id}, at most its {home.seq_len} cells, and no identities"
            )
        data = Path(part.data) if part.data else None
        task = default().tasks.resolve(part.task)(spec, data)
        # Two parts of one task must not draw the same numbers.
        source = task.training_source(recipe.seed + index, encoding, part.source)
        sources.append(Source(part, task, from_files(source, spec, data)))
    return Mixture(sources)


class ManyValidators:
    """Validates on several sets at once: the first one's measures by their names, those of others after the part's."""

    def __init__(self, named: Mapping[str, Validator]) -> None:
        self.named = dict(named)

    def __call__(self, model: Any, rank: int = 0, world: int = 1) -> Mapping[str, float]:
        """Sums, scaled so that dividing by the first set's ``n`` gives the mean of each set."""
        found: dict[str, float] = {}
        whole = len(next(iter(self.named.values())).puzzles)
        for index, (name, check) in enumerate(self.named.items()):
            sums = dict(check(model, rank, world))
            count = sums.pop("n")
            if not index:
                found = {"n": count, **sums}
                continue
            scale = whole / len(check.puzzles)
            found |= {f"{name}/{measure}": value * scale for measure, value in sums.items()}
        return found

    @property
    def name(self) -> str:
        """All sets in a few words."""
        return "; ".join(f"{name}: {check.name}" for name, check in self.named.items())

    def described(self) -> dict[str, Any]:
        """Which puzzles these are, for the run's own record."""
        first, *others = self.named.items()
        return {**first[1].described(), "others": {name: check.described() for name, check in others}}

    @cached_property
    def puzzles(self) -> list[Any]:
        """Those of the first set."""
        return list(next(iter(self.named.values())).puzzles)


def part_validators(source: Mixture, limit: int) -> ManyValidators:
    """Validators of all parts, the last part's first: what a curriculum leads up to is what it is judged by."""
    named = {}
    for name, one in reversed(source.sources.items()):
        if one.part.validate:
            named[name] = validator(one.task, one.source, limit)
    if not named:
        raise BadInput("recipe: no part is validated on: set validate = true in one, or validate_every = 0")
    return ManyValidators(named)
