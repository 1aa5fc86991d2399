"""``plan.json``: everything a resume must have to compose the same batches, and to know that nothing changed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cache
from pathlib import Path
from typing import Any, Self

from pydantic import TypeAdapter, ValidationError

from trm_harness.contracts import Model, Task
from trm_harness.errors import BadInput
from trm_harness.files.read import read_json
from trm_harness.files.write import write_text
from trm_harness.inference.plan import BAR, Budget, InferencePlan, Selection, Work, count_views, select
from trm_harness.machine import threads
from trm_harness.record import PLAN_FILE
from trm_harness.types import plain

FORMAT = 1
WINDOW = 4096
MEMORY_SHARE = 0.5
LARGEST_BATCH = 512
FLOPS_PER_BATCH = {"cpu": 2e11, "mps": 2e13, "cuda": 5e15}
"""Work of one batch, for some seconds of an ordinary device: what an interruption may cost."""
CACHE = {"cpu": 1.5e6}
"""Bytes of a batch's widest array for each thread: larger batches leave the cache and pay for every page they touch."""


def budget_for(device: str, memory: float) -> Budget:
    """What a batch may take on ``device``, which has ``memory`` bytes free."""
    kind = device.split(":")[0]
    flops = FLOPS_PER_BATCH.get(kind, FLOPS_PER_BATCH["cuda"])
    return Budget(memory * MEMORY_SHARE, flops, LARGEST_BATCH, CACHE.get(kind, 0.0) * threads())


@dataclass(frozen=True)
class StoredPlan:
    """What is in ``plan.json``. ``launch`` is the caller's own: what it needs to make task and model again."""

    plan: InferencePlan
    task: str
    task_version: int
    data_sha256: str
    selection_sha256: str
    model: str
    model_version: int
    weights_sha256: str
    steps: int
    attempts: int
    views: int | tuple[int, ...]
    window: int
    budget: Budget
    launch: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def make(
        cls,
        task: Task,
        model: Model,
        plan: InferencePlan,
        selection: Selection,
        memory: float,
        device: str,
        launch: Mapping[str, Any],
    ) -> Self:
        """Fix what ``plan`` leaves open. ``memory`` is what the device has free, in bytes."""
        return cls(
            plan=plan if plan.halt_above is not None else replace(plan, halt_above=BAR),
            task=task.spec.id,
            task_version=task.spec.version,
            data_sha256=task.source(plan.split).sha256,
            selection_sha256=selection.sha256(),
            model=model.spec.id,
            model_version=model.spec.version,
            weights_sha256=model.facts().weights_sha256,
            steps=plan.steps or plain(model.steps),
            attempts=plan.attempts or task.spec.attempts,
            views=count_views(task, selection, plan),
            window=WINDOW,
            budget=budget_for(device, memory),
            launch=plain(launch),
        )

    def save(self, folder: Path) -> None:
        """Write ``plan.json``."""
        write_text(folder / PLAN_FILE, json.dumps({"format": FORMAT, **asdict(self)}, indent=1) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read ``plan.json``; ``BadInput`` if it is missing, broken or of another format."""
        file = folder / PLAN_FILE
        data = read_json(file)
        if data.pop("format", None) != FORMAT:
            raise BadInput(f"{file} is not a plan that this program wrote (format {FORMAT})")
        for kind, table in ((cls, data), (InferencePlan, data.get("plan")), (Budget, data.get("budget"))):
            unknown = set(table or ()) - {item.name for item in fields(kind)} if isinstance(table, dict) else ()
            if unknown:
                raise BadInput(f"{file} is damaged: it has an unknown entry {min(unknown)!r}")
        # As it is: a path may hold bytes that are no text.
        launch = data.pop("launch", {})
        if not isinstance(launch, dict):
            raise BadInput(f"{file} is damaged: launch: is no table")
        try:
            stored = _form().validate_json(json.dumps(data), strict=True)
        except ValidationError as error:
            detail = error.errors()[0]
            place = ".".join(map(str, detail["loc"]))
            raise BadInput(f"{file} is damaged: {place}: {detail['msg']}") from None
        counts = (stored.steps, stored.attempts, stored.window, stored.budget.puzzles, stored.plan.restarts)
        views = (stored.views,) if isinstance(stored.views, int) else stored.views
        if min(*counts, *views) < 1:
            raise BadInput(f"{file} is damaged: it counts below 1")
        return replace(stored, launch=launch)

    def check_task(self, task: Task) -> Selection:
        """The same puzzles as at the start; ``BadInput`` if task or data changed."""
        if (task.spec.id, task.spec.version) != (self.task, self.task_version):
            here = f"{task.spec.id} version {task.spec.version}"
            raise BadInput(f"the run was made with task {self.task} version {self.task_version}, not with {here}")
        sha256 = task.source(self.plan.split).sha256
        if sha256 != self.data_sha256:
            change = f"sha256 {self.data_sha256[:12]}, now {sha256[:12]}"
            raise BadInput(f"the data of task {self.task} changed since the run began ({change}): restore them")
        selection = select(task, self.plan)
        if selection.sha256() != self.selection_sha256:
            raise BadInput(f"task {self.task} selects other puzzles than when the run began: restore its version")
        return selection

    def check_model(self, model: Model) -> None:
        """``BadInput`` if the model or its weights changed."""
        if (model.spec.id, model.spec.version) != (self.model, self.model_version):
            here = f"{model.spec.id} version {model.spec.version}"
            raise BadInput(f"the run was made with model {self.model} version {self.model_version}, not with {here}")
        sha256 = model.facts().weights_sha256
        if sha256 != self.weights_sha256:
            change = f"sha256 {self.weights_sha256[:12] or 'none'}, now {sha256[:12] or 'none'}"
            raise BadInput(f"the weights of {self.model} changed since the run began ({change}): restore them")

    def work(self, task: Task, selection: Selection) -> Work:
        """The sequence of everything to answer."""
        return Work(task, selection, self.plan, self.views, self.window, self.budget)


@cache
def _form() -> TypeAdapter[StoredPlan]:
    """What checks a plan's file: building it takes longer than reading one."""
    return TypeAdapter(StoredPlan)
