"""The record of a run: what was asked, on what, at what cost, and what came out.

A run is a folder. ``run.json`` (:class:`RunRecord`) exists from the first second; beside it lie ``plan.json`` (what a
resume needs), ``journal.jsonl`` (every answer), ``puzzles.csv`` and ``candidates.csv`` (what the answers amount to).
The line under each field is its description in the JSON Schema and in ``docs/record.md``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from trm_harness.errors import BadInput
from trm_harness.types import Score, plain

SCHEMA_VERSION = 1

Status = Literal["started", "success", "cancelled", "error"]
Demonstrations = Literal["inductive", "per-task", "joint", "unknown"]
Select = Literal["mode", "halt", "oracle"]
Count = Annotated[int, Field(ge=0, lt=1 << 63)]
Amount = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Use = Literal["", "all pairs", "demonstrations only", "test answers"]


class _Entry(BaseModel):
    """Immutable, closed to unknown fields, described by the docstrings of its attributes."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _numbers(cls, data: Any) -> Any:
        """Numbers of numpy, which models and tasks hand in, as Python's."""
        return plain(data)


class TaskEntry(_Entry):
    """The task and the data behind it."""

    id: str
    """Name of the task."""
    version: Count
    """Version of the task's behaviour; scores of different versions do not compare."""
    title: str = ""
    """The task in words."""
    family: str = ""
    """Family of tasks it belongs to."""
    split: str
    """Split that was evaluated."""
    source: str
    """Where the puzzles came from."""
    source_version: str
    """Version of that source."""
    data_sha256: str
    """Hash of the split's puzzles (their content, not the file's bytes)."""
    split_groups: Count
    """Groups (ARC tasks) in the whole split."""
    split_puzzles: Count
    """Puzzles (ARC test outputs) in the whole split."""
    own_data: bool = False
    """Whether the puzzles are the user's own instead of the task's published ones; such a run is never ranked."""
    notes: str = ""
    """What the source says about itself."""


class SelectionEntry(_Entry):
    """The part of the split that was evaluated; every denominator counts within it."""

    groups: Count
    """Groups selected."""
    puzzles: Count
    """Puzzles selected."""
    hidden: Count = 0
    """Puzzles selected whose answer is hidden: answered, never scored."""
    limit: Count | None = None
    """First so many groups only; null for all."""
    sample: Count | None = None
    """So many groups, drawn by the protocol's seed, only; null for none drawn."""
    ids: tuple[str, ...] = ()
    """Group or puzzle ids asked for; empty for all."""
    sha256: str = ""
    """Hash of the selected puzzle ids in order: equal hashes can be paired puzzle by puzzle."""


class ModelEntry(_Entry):
    """The model and its weights."""

    id: str
    """Name of the architecture."""
    version: Count
    """Version of the model's behaviour."""
    title: str = ""
    """The model in words."""
    family: str = ""
    """recursive, direct, solver, llm or trivial."""
    card: str = ""
    """Zoo card (architecture.tag) of the weights; empty without one."""
    untrained: bool = False
    """Whether the weights were drawn at random: a mechanics run, whose scores say nothing of the architecture."""
    network_parameters: Count = 0
    """Parameters of the network, without the puzzle table."""
    puzzle_table_parameters: Count = 0
    """Values in the table of puzzle embeddings."""
    touched_per_puzzle: Count = 0
    """Table values that one puzzle reads."""
    effective_depth: Count = 0
    """Layers that a token passes through in one supervision step."""
    weights_sha256: str = ""
    """Hash of the weights file; empty for none."""
    weights_source: str = ""
    """Where the weights came from."""
    paper: str = ""
    """Paper that describes the architecture."""
    config: dict[str, Any] = Field(default_factory=dict)
    """Configuration of the loaded model."""


class ProtocolEntry(_Entry):
    """How answers were made and counted."""

    attempts: Count
    """Answers that count for a puzzle (the largest k of pass@k)."""
    augment: Count
    """Views of each puzzle asked for, the identity included; 1 is a single pass."""
    views: Count
    """Largest number of views that a puzzle had (a task may have fewer transforms)."""
    voting_views: Count | None = None
    """Views that voted, where a re-scoring used fewer than were answered; null for all."""
    steps: Count
    """Supervision steps at most."""
    halt: Literal["full", "adaptive", "settled"]
    """full: every step is run; adaptive: a puzzle leaves when its halting score is above ``halt_above``; settled: when
    its answer is that of the step before, besides."""
    halt_above: Share = 0.5
    """Halting score (sigmoid of the logit) above which adaptive and settled halting stop."""
    restarts: Count = 1
    """Answers (trajectories) per view, each from its own seed."""
    noise: Amount = 0.0
    """Standard deviation of the Gaussian noise added to the latent before every supervision step of every answer."""
    select: Select = "mode"
    """How the answers of all views and trajectories become one: mode (most votes), halt (highest halting logit);
    oracle ranks as mode does."""
    device: str = "cpu"
    """Device asked for, resolved."""
    dtype: str = "float32"
    """Number format of the network's arithmetic."""
    compiled: bool = False
    """Whether torch.compile's kernels did it: the same arithmetic, rounded in another order."""
    seed: Count = 0
    """Seed of transforms and of the puzzles' own seeds."""
    batch_size: Count | None = None
    """Puzzles per batch; null where memory and cost decided."""
    vote: str = "votes, then mean sigmoid of the halting logit; ties keep the order of views"
    """How candidates were ranked."""
    rules: tuple[str, ...] = ()
    """Scoring rules, the headline's first."""
    adapt: str = ""
    """What the model learnt from each task's demonstrations before it answered it: puzzle-embedding (the network
    frozen), full, or empty for nothing."""
    adapt_steps: int = 0
    """Steps of learning for each task."""
    adapt_lr: float | None = None
    """Rate at which the whole network learnt; null where it did not, and in records from before the option (0.0001)."""
    adapt_settings: dict[str, Any] = Field(default_factory=dict)
    """Settings of learning besides, as a training recipe names them; empty for the published ones."""


class DataUse(_Entry):
    """One body of puzzles that was trained on."""

    name: str
    """Name of the data."""
    version: str = ""
    """Its version."""
    sha256: str = ""
    """Hash of its puzzles, as a task source gives it."""
    puzzles: Count | None = None
    """Puzzles trained on; null if unknown."""
    task: str = ""
    """Task that has this data; empty if not stated: the hash finds it."""
    split: str = ""
    """Its split of that task; empty if not stated."""
    use: Use = ""
    """all pairs, demonstrations only or test answers; empty if not stated."""
    notes: str = ""
    """What part was used and how."""


class TrainingEntry(_Entry):
    """What the weights were trained on, as their card declares it."""

    demonstrations: Demonstrations = "unknown"
    """Use of the evaluation tasks' demonstrations: inductive (none), per-task, joint (all at once) or unknown."""
    data: tuple[DataUse, ...] = ()
    """Training data."""
    extra_data: tuple[str, ...] = ()
    """Data beyond the benchmark's own training set."""
    checkpoint_choice: str = "unknown"
    """How the checkpoint was chosen (last step, held-out part, test set)."""
    notes: str = ""
    """Anything else a reader of the score must know."""


class CheckedEntry(_Entry):
    """Declared training data that the evaluated puzzles were compared with."""

    name: str
    """Name of the data, as declared."""
    sha256: str
    """Hash of its puzzles, as declared."""
    task: str
    """Task, or version of a task's data, that has this hash."""
    split: str
    """Its split; empty for a version without one."""
    use: Use
    """Part of it that was compared: as declared, else all pairs (for the evaluated split itself under a joint or
    per-task declaration: demonstrations only)."""
    pairs: Count
    """(input, answer) pairs compared."""
    puzzles: Count
    """Evaluated puzzles whose input and answer are one of them."""
    groups: Count
    """Groups (ARC tasks) of those puzzles."""
    demonstrated: Count
    """Evaluated groups with a demonstration among them."""
    counted: bool
    """Whether these puzzles contaminate. Not so for the little (up to 5 %) that a benchmark's own training split or
    own demonstrations share with its answers."""
    ids: tuple[str, ...] = ()
    """First of those puzzles."""


class ContaminationEntry(_Entry):
    """Whether the evaluated puzzles were trained on: declared training data compared with them pair by pair.

    Pairs are equal under any turn or reflection and any renaming of symbols but 0; names play no part.
    """

    status: Literal["clean", "contaminated", "incomplete", "unknown", "nothing trained"]
    """clean: all declared data was compared; incomplete: nothing found, but some could not be compared; unknown: no
    training data is declared."""
    allowed: bool = False
    """Whether a contaminated evaluation was asked for all the same."""
    compared: Count = 0
    """Evaluated puzzles that were compared (those whose answer is known)."""
    puzzles: Count = 0
    """Of these, puzzles whose input and answer were trained on."""
    groups: Count = 0
    """Groups (ARC tasks) of these puzzles."""
    shared: Count = 0
    """Of these, puzzles that the benchmark's own training split or own demonstrations show; stated, not counted."""
    demonstrated: Count = 0
    """Evaluated groups with a demonstration that was trained on; so it is under the joint protocol."""
    ids: tuple[str, ...] = ()
    """First of the contaminated puzzles."""
    checked: tuple[CheckedEntry, ...] = ()
    """Data that was compared."""
    not_checked: tuple[str, ...] = ()
    """Declared data that could not be compared, and why."""


class ScoreEntry(_Entry):
    """One score with everything needed to read it."""

    name: str
    """pass@k, or exact where one answer counts."""
    rule: str
    """Scoring rule: outputs, tasks, submitted or puzzles."""
    pooling: Literal["single", "voted"]
    """single: the first trajectory of the identity view alone; voted: one answer from all views and trajectories."""
    k: Count
    """Answers that count."""
    views: Count
    """Views behind each answer, at most."""
    trajectories: Count = 1
    """Trajectories per view behind each answer."""
    select: Select = "mode"
    """How they became one answer: mode (most votes), halt (highest halting logit), oracle (right if any is)."""
    upper_bound: bool = False
    """Whether the answer was chosen by somebody who knew it: no system's score, only a bound on how well choosing can
    do."""
    value: Share
    """numerator / denominator."""
    numerator: Amount
    """What was got right, in units of the denominator."""
    denominator: Count
    """What was asked: always within the selection."""
    unit: str
    """What the denominator counts."""
    low: Share | None = None
    """Lower end of the 95 % interval."""
    high: Share | None = None
    """Upper end of the 95 % interval."""
    interval_method: str = ""
    """How the interval was made."""

    @model_validator(mode="after")
    def _two_ends(self) -> Self:
        if (self.low is None) != (self.high is None):
            raise ValueError("an interval has two ends")
        return self

    @classmethod
    def of(
        cls,
        score: Score,
        pooling: Literal["single", "voted"],
        k: int,
        views: int,
        trajectories: int = 1,
        select: Select = "mode",
    ) -> Self:
        """The entry of a :class:`~trm_harness.types.Score`."""
        interval = score.interval
        return cls(
            name=score.name,
            rule=score.rule,
            pooling=pooling,
            k=k,
            views=views,
            trajectories=trajectories,
            select=select,
            upper_bound=select == "oracle",
            value=score.value,
            numerator=score.numerator,
            denominator=score.denominator,
            unit=score.unit,
            low=interval.low if interval else None,
            high=interval.high if interval else None,
            interval_method=interval.method if interval else "",
        )


class MeasureEntry(_Entry):
    """Mean of one of the task's measures over the single-pass answers."""

    name: str
    """Name of the measure (exact, cells, valid ...)."""
    value: Share
    """Mean over the puzzles; a puzzle without an answer counts as the task says."""
    n: Count
    """Puzzles in the mean."""


class DepthEntry(_Entry):
    """Single-pass accuracy after each supervision step; a halted puzzle keeps its answer."""

    n: Count
    """Puzzles behind each point."""
    correct: tuple[Count, ...] = ()
    """Puzzles right after step 1, 2, ..."""
    accuracy: tuple[Share, ...] = ()
    """correct / n."""

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if len(self.correct) != len(self.accuracy):
            raise ValueError("correct and accuracy are of different lengths")
        return self


class DifficultyEntry(_Entry):
    """Single-pass accuracy on the puzzles whose ``fact`` lies between two values."""

    fact: str
    """What the task knows of a puzzle: rating, path_length, givens, ..."""
    low: float
    """Lowest value in the band."""
    high: float
    """Highest value in the band."""
    n: Count
    """Puzzles in the band."""
    correct: Count
    """Puzzles right."""
    accuracy: Share
    """correct / n."""


class TrajectoryEntry(_Entry):
    """Accuracy (first answer, share of puzzles) against the number of trajectories per view, from one run.

    A point is the mean over the disjoint blocks of so many consecutive trajectories that the run holds.
    """

    n: Count
    """Puzzles behind each point."""
    trajectories: tuple[Count, ...] = ()
    """Trajectories per view: 1, 2, 4 ... and all of them."""
    mode: tuple[Share, ...] = ()
    """Accuracy of the answer with most votes."""
    halt: tuple[Share, ...] = ()
    """Accuracy of the answer with the highest halting logit."""
    oracle: tuple[Share, ...] = ()
    """Share of puzzles that any of the answers gets right: an upper bound."""

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if len({len(self.trajectories), len(self.mode), len(self.halt), len(self.oracle)}) != 1:
            raise ValueError("its curves are of different lengths")
        if not self.trajectories or min(self.trajectories) < 1:
            raise ValueError("it needs at least one point, of one trajectory or more")
        return self


class CalibrationBin(_Entry):
    """Single-pass puzzles whose halting score fell into one tenth of [0, 1]."""

    low: Share
    """Lower end of the bin."""
    high: Share
    """Upper end of the bin."""
    n: Count
    """Puzzles in it."""
    confidence: Share
    """Their mean sigmoid of the last halting logit."""
    accuracy: Share
    """Share of them that is right."""


class ThresholdEntry(_Entry):
    """What a run of full depth would be, had each puzzle stopped at the first halting score above a threshold."""

    threshold: Share
    """Halting score (sigmoid of the logit) above which a puzzle stops; 0.5 is what training does."""
    n: Count
    """Puzzles counted: those whose answer is known."""
    mean_steps: Amount
    """Supervision steps run for a puzzle, on average."""
    correct: Count
    """Puzzles whose answer is right where they stop."""
    accuracy: Share
    """correct / n."""


class HaltingEntry(_Entry):
    """What the halting head did, over the single-pass answers."""

    n: Count
    """Puzzles counted."""
    mean_steps: Amount
    """Supervision steps run for a puzzle, on average."""
    share_halted: Share
    """Share whose last halting logit is positive."""
    calibration: tuple[CalibrationBin, ...] = ()
    """Halting score against correctness; empty bins are left out."""
    calibration_error: Share | None = None
    """Mean gap between halting score and accuracy, weighted by bin (expected calibration error)."""
    thresholds: tuple[ThresholdEntry, ...] = ()
    """Steps and accuracy at other halting thresholds; empty unless every step was run."""
    equal_accuracy: ThresholdEntry | None = None
    """The threshold of fewest mean steps whose accuracy is not below full depth; null if there is none. It was found on
    the puzzles it is stated for, so it flatters a little."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.calibration and self.calibration_error is None:
            raise ValueError("calibration without its error")
        return self


class CostEntry(_Entry):
    """What the run took."""

    flops_per_puzzle: Amount = 0.0
    """Floating point operations for one puzzle with all its views and steps (0: not stated by the model)."""
    flops_per_step: Amount = 0.0
    """Floating point operations for one supervision step of one answer, on average (0: not stated by the model)."""
    seconds: Amount = 0.0
    """Seconds spent predicting, over the sessions whose end is known."""
    puzzles_per_second: Amount | None = None
    """Puzzles, with all their views, answered in a second."""
    answers_per_second: Amount | None = None
    """Views answered in a second."""
    peak_memory_bytes: Count = 0
    """Most memory held: the device's for CUDA, else the process's."""
    device_name: str = ""
    """The device by its maker's name."""
    usage: dict[str, int | float] = Field(default_factory=dict)
    """What the model itself counted (calls, tokens), over the sessions whose end is known."""
    dollars: Amount | None = None
    """Price of the run where it has one."""
    dollars_basis: str = ""
    """What the price counts (API calls, machine time)."""


class EnvironmentEntry(_Entry):
    """Where it ran. No host name, no user, no private path."""

    python: str = ""
    """Python's version."""
    packages: dict[str, str] = Field(default_factory=dict)
    """Versions of the packages that matter and of every plugin's distribution."""
    git_commit: str = ""
    """Commit of the harness' source tree; empty if it runs from an installed wheel."""
    git_dirty: bool | None = None
    """Whether that tree had uncommitted changes; null if unknown."""
    system: str = ""
    """Operating system and architecture."""
    processor: str = ""
    """CPU by its maker's name."""
    cores: Count = 0
    """CPU cores usable."""
    memory_bytes: Count = 0
    """Main memory."""
    threads: Count = 0
    """Threads the network's arithmetic used on the CPU; 0 if unknown."""


class SessionEntry(_Entry):
    """One sitting of the run: the first, or a resume."""

    started: str
    """Start, UTC, ISO 8601."""
    seconds: Amount | None = None
    """Seconds spent predicting; null if it was killed."""
    rows: Count | None = None
    """Answers it added to the journal; null if it was killed."""
    usage: dict[str, int | float] = Field(default_factory=dict)
    """What the model counted in it; empty for models that count nothing, and if it was killed."""


class ProgressEntry(_Entry):
    """How far the run got when this file was written."""

    rows: Count = 0
    """Answers (puzzle x view x restart) in the journal."""
    total: Count = 0
    """Answers that the run will hold."""


class RunRecord(_Entry):
    """A run, from its first second to its scores."""

    schema_version: Literal[1] = SCHEMA_VERSION
    """Version of this schema."""
    id: str
    """Name of the run."""
    status: Status
    """started (running, or killed), success, cancelled or error."""
    message: str = ""
    """One line on why it is not a success."""
    started: str
    """Start, UTC, ISO 8601."""
    finished: str | None = None
    """End, UTC, ISO 8601; null while it runs."""
    task: TaskEntry
    """What was to be solved, and the data behind it."""
    selection: SelectionEntry
    """The part of the split that was evaluated."""
    model: ModelEntry
    """What solved it."""
    protocol: ProtocolEntry
    """The rules by which answers were made and counted."""
    training: TrainingEntry = TrainingEntry()
    """What the weights were trained on."""
    contamination: ContaminationEntry | None = None
    """Whether the evaluated puzzles were among it; null for a run that nobody checked."""
    headline: ScoreEntry | None = None
    """The score that ranks this run."""
    scores: tuple[ScoreEntry, ...] = ()
    """Every score: each k, each rule, single pass beside voted."""
    selections: tuple[ScoreEntry, ...] = ()
    """The headline by each way of choosing one answer from the same answers; oracle is an upper bound. Empty for a
    single pass."""
    measures: tuple[MeasureEntry, ...] = ()
    """The task's own measures of the single-pass answers."""
    depth_curve: DepthEntry | None = None
    """Single-pass accuracy after each supervision step."""
    difficulty: tuple[DifficultyEntry, ...] = ()
    """Single-pass accuracy in bands of each numeric fact that the task knows of its puzzles."""
    trajectory_curve: TrajectoryEntry | None = None
    """Accuracy against the number of trajectories; null where every view had one."""
    halting: HaltingEntry | None = None
    """What the halting head did."""
    cost: CostEntry = CostEntry()
    """Time, work and memory of the run."""
    environment: EnvironmentEntry = EnvironmentEntry()
    """Where it ran."""
    command: str = ""
    """The exact command; paths outside the working folder are cut to their last part."""
    progress: ProgressEntry = ProgressEntry()
    """Answers in the journal when this file was written, and in all."""
    sessions: tuple[SessionEntry, ...] = ()
    """The first sitting and every resume."""
    notes: tuple[str, ...] = ()
    """Things a reader should know (a torn line dropped, a re-scoring)."""

    @model_validator(mode="after")
    def _has_what_it_draws_on(self) -> Self:
        halting, curve = self.halting, self.depth_curve
        if halting and (halting.calibration or halting.thresholds) and not (curve and curve.accuracy):
            raise ValueError("halting is judged by a depth curve, which is not there")
        return self

    def score(self, name: str, rule: str, pooling: str) -> ScoreEntry | None:
        """The score of that name, rule and pooling, if the run has it."""
        keys = (name, rule, pooling)
        return next((entry for entry in self.scores if (entry.name, entry.rule, entry.pooling) == keys), None)


def training_of(card: Mapping[str, Any]) -> TrainingEntry:
    """The training declaration of a card: its ``training`` table; unknown where it says nothing.

    ``BadInput`` for a declaration that is not in the terms of :class:`TrainingEntry`.
    """
    table = {key: value for key, value in dict(card.get("training", {})).items() if key in TrainingEntry.model_fields}
    try:
        return TrainingEntry.model_validate(table)
    except ValidationError as error:
        raise BadInput(f"the card's training declaration is wrong: {first_complaint(error)}") from None


def json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of ``run.json``."""
    return RunRecord.model_json_schema() | {"$schema": "https://json-schema.org/draft/2020-12/schema"}


def first_complaint(error: ValidationError) -> str:
    """The first complaint of pydantic in one line."""
    detail = error.errors()[0]
    place = ".".join(str(part) for part in detail["loc"]) or "the whole"
    return f"{place}: {detail['msg']}"
