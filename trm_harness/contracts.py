"""The contracts plugins keep: Task, Model and every optional ability. numpy in and out, so torch, JAX or an LLM fit.

An ability is a protocol that an object has or lacks; whoever needs it asks by ``isinstance``. Nothing here does
anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from trm_harness.specs import ModelSpec, TaskSpec
from trm_harness.types import Batch, Cost, DataSource, Encoded, Grid, ModelFacts, Prediction, Puzzle, Tokens


@runtime_checkable
class Task(Protocol):
    """Puzzles, their encoding, their symmetries and what a right answer is."""

    spec: TaskSpec

    def puzzles(self, split: str) -> Sequence[Puzzle]:
        """All puzzles of ``split`` in a fixed order, answers included. Raises ``BadInput`` for bad data files."""
        ...

    def source(self, split: str) -> DataSource:
        """Name, version and content hash of the split."""
        ...

    def transforms(self, puzzle: Puzzle, count: int, seed: int) -> list[str]:
        """``count`` distinct transform names for voting, the identity ``""`` first; fewer if fewer exist.

        Depends on ``(puzzle.group, count, seed)`` alone, and a smaller ``count`` gives a prefix.
        """
        ...

    def transform(self, puzzle: Puzzle, name: str) -> Puzzle:
        """The puzzle seen through ``name``: input, answer and demonstrations; ``id`` and ``group`` stay."""
        ...

    def invert(self, answer: Grid, name: str) -> Grid:
        """Undo ``name`` on an answer grid exactly."""
        ...

    def encode(self, puzzle: Puzzle, transform: str, options: Mapping[str, Any]) -> Encoded:
        """Tokens of an (already transformed) puzzle. ``transform`` names the identity; ``options`` come from the model.

        Never reads ``puzzle.answer``.
        """
        ...

    def labels(self, puzzle: Puzzle, encoded: Encoded) -> Tokens:
        """Target tokens ``int32 [encoded.length]`` for training, ``IGNORE_LABEL`` where no loss is taken."""
        ...

    def decode(self, tokens: Tokens, encoded: Encoded) -> Grid:
        """Answer grid of predicted tokens ``int32 [encoded.length]``; a ``(0, 0)`` grid if they hold none."""
        ...

    def measures(self, puzzle: Puzzle, answer: Grid | None) -> dict[str, float]:
        """Per-answer measures in [0, 1] for a puzzle with its answer; always has ``exact``."""
        ...


@runtime_checkable
class Canonical(Protocol):
    """A task that can tell equal puzzles whatever its symmetries, besides :class:`Task`.

    Worth having where the symmetries are too many to try, or are not those of a grid.
    """

    def canonical(self, puzzle: Puzzle) -> bytes:
        """The same bytes for all images of a puzzle under the task's symmetries; the answer need not be known."""
        ...


@runtime_checkable
class Versions(Protocol):
    """A task that knows more versions of its data than its own splits, besides :class:`Task`."""

    def data_version(self, sha256: str) -> tuple[str, Sequence[Puzzle]] | None:
        """Name and puzzles of the version with that content hash, ``None`` if it is not at hand."""
        ...


@runtime_checkable
class Fingerprinted(Protocol):
    """A task that brings along the fingerprints of splits it draws, besides :class:`Task`.

    :func:`trm_harness.loading.fingerprints.save` writes them. Without them the guard draws the split once a machine.
    """

    def fingerprints(self, split: str) -> Path | None:
        """The file of the fingerprints of all pairs of ``split``, ``None`` if there is none."""
        ...


@runtime_checkable
class Pulls(Protocol):
    """A task whose data come from a hub, besides :class:`Task`."""

    def pull(self) -> list[Path]:
        """The files of its published data, fetched into the hub client's cache where they are not there yet."""
        ...


@runtime_checkable
class WritesSubmission(Protocol):
    """A task with an official form for answers, besides :class:`Task`."""

    def write_submission(self, path: Path, split: str, answers: Mapping[str, Sequence[Grid]], attempts: int) -> None:
        """Write the whole split in that form: the first ``attempts`` of each puzzle's ranked ``answers``, by its id.

        ``BadInput`` if ``path`` cannot be written.
        """
        ...


@runtime_checkable
class Selective(Protocol):
    """A task whose data may hold puzzles it cannot ask, besides :class:`Task`: only who asks for one is refused."""

    def unfit(self, puzzle: Puzzle) -> str:
        """Why the task cannot ask ``puzzle`` and what to do, in one line; empty if it can."""
        ...


@runtime_checkable
class Doubtful(Protocol):
    """A task whose questions may have several answers or none, besides :class:`Task`: who asks one is told."""

    def doubts(self, puzzles: Sequence[Puzzle]) -> list[str]:
        """For each puzzle why no single answer can be right, in a few words; empty if one can. Quick, so bounded."""
        ...


@runtime_checkable
class Columnar(Protocol):
    """Puzzles that can be had as arrays, besides being a sequence of :class:`~trm_harness.types.Puzzle`.

    All of one size, each alone in its group, every answer known. With :class:`MeasuresMany` this is what scores half a
    million of them in seconds.
    """

    facts: Mapping[str, NDArray[Any]]
    """The numbers among the puzzles' facts, one array of all puzzles each."""

    def names(self, places: Sequence[int]) -> list[str]:
        """Ids of the puzzles at ``places``."""
        ...

    def grids(self, places: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Questions and answers, ``uint8 [places, height, width]`` each."""
        ...


@runtime_checkable
class MeasuresMany(Protocol):
    """A task that measures many answers at once, besides :class:`Task`. ``exact`` must mean: equal to the answer."""

    def measures_of(
        self, questions: NDArray[np.uint8], answers: NDArray[np.uint8], given: NDArray[np.uint8]
    ) -> dict[str, NDArray[np.float64]]:
        """What ``measures`` says of each ``given`` answer, ``float64 [n]`` by name. Grids ``[n, height, width]``."""
        ...


@runtime_checkable
class Model(Protocol):
    """Answers batches step by step. A model that answers at once has ``steps = 1`` and trivial ``select``."""

    spec: ModelSpec
    steps: int
    """Supervision steps of its published protocol."""
    encoding: Mapping[str, Any]
    """Options it wants the task's ``encode`` to use."""

    def facts(self) -> ModelFacts:
        """Size, depth and weights of the loaded model."""
        ...

    def begin(self, batch: Batch) -> Any:
        """Fresh state for ``batch``: nothing answered yet."""
        ...

    def step(self, state: Any) -> tuple[Any, Prediction]:
        """One more supervision step: the new state and the answers of every row."""
        ...

    def select(self, state: Any, rows: Sequence[int]) -> Any:
        """The state of the named rows only, in that order (finished puzzles leave the batch)."""
        ...

    def cost(self, length: int) -> Cost:
        """Work for one example of ``length`` tokens."""
        ...


@dataclass(frozen=True, eq=False)
class Said:
    """One row's answer as it came: ``row`` of the batch, a grid in its puzzle's frame or ``None``, its halting logit.

    ``transcript`` is what was asked and what came back, in JSON's own types: enough to read the answer out of it again.
    """

    row: int
    answer: Grid | None
    halt: float
    transcript: Mapping[str, Any]


@runtime_checkable
class Transcribes(Protocol):
    """A model that answers every puzzle alone, in one step, and keeps what was said, besides :class:`Model`.

    Each answer is on the disk as it comes, with its transcript beside the journal, so that nothing paid for is lost.
    """

    def replies(self, batch: Batch) -> Iterator[Said]:
        """An answer for each row, as they come, in any order.

        What fails is raised after everything else that was under way has been given.
        """
        ...

    def reread(self, transcript: Mapping[str, Any]) -> Grid | None:
        """The answer in a transcript, as this version of the model reads it."""
        ...


@runtime_checkable
class Rereads(Protocol):
    """A model's target that reads transcripts again without making the model, besides being called."""

    def reread(self, task: TaskSpec, transcript: Mapping[str, Any]) -> Grid | None:
        """The answer in the transcript of a puzzle of ``task``, as this version of the model reads it."""
        ...


@runtime_checkable
class Metered(Protocol):
    """A model that keeps an account of what it uses, besides :class:`Model`. The record shows what a run added."""

    def usage(self) -> Mapping[str, float]:
        """Counts since the model was made, each under its own name and only ever growing.

        ``dollars`` is the price, where there is one and it is known for everything counted.
        """
        ...


@runtime_checkable
class Quotes(Protocol):
    """A model that can say what answers will use before it is asked for them, besides :class:`Metered`."""

    def quote(self, batch: Batch) -> Mapping[str, float]:
        """Estimates for a batch, made without asking anybody: counts that add up over batches.

        ``input_tokens``; ``output_tokens_least`` and, where something bounds it, ``output_tokens_most``;
        ``dollars_least`` and ``dollars_most`` where prices are known.
        """
        ...


@runtime_checkable
class LearnsTasks(Protocol):
    """A model that learns each task before it answers it, besides :class:`Model`."""

    model: Model
    """The same without learning, which answers at once."""

    def learning_seconds(self, puzzle: Puzzle) -> float:
        """Seconds that learning the puzzle's task will take, by a few of its steps. Nothing is kept of them."""
        ...


@runtime_checkable
class Perturbable(Protocol):
    """A model whose state takes noise, besides :class:`Model`: what ``--noise`` asks for (arXiv 2605.19943)."""

    def perturb(self, state: Any, scale: float, seeds: NDArray[np.uint64], step: int) -> Any:
        """The state with Gaussian noise of standard deviation ``scale`` on its latent, before step ``step`` (1, 2...).

        ``seeds`` ``uint64 [rows]`` are those of the rows in ``state``. A row's noise depends on its seed and ``step``
        alone: not on its neighbours, and not on the number format.
        """
        ...


@runtime_checkable
class KnowsIdentities(Protocol):
    """A model with a table of puzzle identities, besides :class:`Model`: the record counts those that it lacks."""

    def unknown(self, identities: Sequence[str]) -> list[str]:
        """Those of ``identities`` without a row of their own in the table."""
        ...


@runtime_checkable
class Compilable(Protocol):
    """A model that can make faster kernels for itself, besides :class:`Model`: what ``--compile`` asks for."""

    def compile(self, say: Callable[[str], None]) -> bool:
        """Whether it did. Where that cannot work here, ``say`` why and answer as before.

        Answers stay the same up to rounding, for batches of any size.
        """
        ...


@dataclass(frozen=True, eq=False)
class TrainingRows:
    """Training examples of one length: ``tokens``, ``labels``, ``positions`` ``int32 [size, length]``.

    ``labels`` may be ``[size, 2 * length]``: the second half are auxiliary labels, a class from 0 for each cell or
    ``IGNORE_LABEL``, which networks with an auxiliary head learn besides the answer.
    """

    tokens: Tokens
    labels: Tokens
    positions: Tokens
    identities: tuple[str, ...]


@runtime_checkable
class TrainingSource(Protocol):
    """Endless training examples of a task; stateless, so that a run resumes from a counter alone."""

    buckets: Mapping[str, float]
    """Name of each group of examples of one length, and its share of the draws (sums to 1)."""
    identities: tuple[str, ...]
    """Puzzle identities (tasks, for a factored table) the examples may carry, in table order."""
    declaration: Mapping[str, Any]
    """What is trained on, in the record's terms: ``data`` (name, version, sha256, puzzles) and ``demonstrations``."""

    def draw(self, bucket: str, index: int, size: int) -> TrainingRows:
        """The ``index``-th draw of ``size`` examples from ``bucket``: depends on (seed, bucket, index, size) alone."""
        ...


@runtime_checkable
class HasTraining(Protocol):
    """A task that can be trained on, besides :class:`Task`."""

    def training_source(self, seed: int, encoding: Mapping[str, Any], options: Mapping[str, Any]) -> TrainingSource:
        """Its training examples. ``encoding`` comes from the model, ``options`` from the recipe's ``source`` table.

        ``BadInput`` for an option that the task does not have.
        """
        ...


@runtime_checkable
class Validated(Protocol):
    """A training source that knows what it holds out, besides :class:`TrainingSource`.

    Without it the task's split ``validation`` is taken to be apart from training.
    """

    def validation(self) -> tuple[str, Sequence[Puzzle]]:
        """What the puzzles are, in a few words, and the puzzles: no draw shows one of them under any symmetry."""
        ...


@runtime_checkable
class NamesRows(Protocol):
    """A task that can name the rows of a released checkpoint's puzzle table, besides :class:`Task`."""

    def reference_identifiers(self, rows: int) -> Sequence[str]:
        """Names of the first rows of the reference's table of ``rows`` rows, the blank first.

        All that evaluation needs, perhaps not all there are. ``BadInput`` for a table of another data set.
        """
        ...


@runtime_checkable
class Trainable(Protocol):
    """A model that torch trainers can train: besides :class:`Model`, its network and how to save it."""

    network: Any
    """``torch.nn.Module`` that keeps :class:`trm_harness.nn.supervision.RecursiveNetwork`."""

    def identity_rows(self, identities: Sequence[str]) -> NDArray[np.int64]:
        """Rows of the puzzle table, ``int64 [size, k]``."""
        ...

    def save(self, path: Path, card: str, dtype: str = "float32", training: Mapping[str, Any] | None = None) -> None:
        """Write the network's current weights as safetensors, through a temporary name.

        ``training`` is what they were trained on; it goes into the file, so that it is known wherever the file goes.
        """
        ...


@dataclass(frozen=True)
class ModelRequest:
    """Everything a model target gets.

    ``weights`` is a file that ends as ``spec.reads`` says, or ``None`` (untrained or weightless); its sha256 has been
    checked when it came from a card. ``weights_sha256`` is the hash that :meth:`Model.facts` must state.
    ``card`` is the parsed card or an empty mapping. ``device`` is a torch device name already resolved
    from ``auto``; ``dtype`` one of ``float32``, ``bfloat16``. ``identities`` are the task's names, in table order,
    for an untrained model that must make a table. ``changes`` are settings that a recipe asks for in place of those
    that ``weights`` were made with (:func:`trm_harness.nn.checkpoint.load_weights` applies them).
    """

    spec: ModelSpec
    task: TaskSpec
    weights: Path | None = None
    card: Mapping[str, Any] = field(default_factory=dict)
    device: str = "cpu"
    dtype: str = "float32"
    seed: int = 0
    identities: tuple[str, ...] = ()
    weights_sha256: str = ""
    changes: Mapping[str, Any] = field(default_factory=dict)
