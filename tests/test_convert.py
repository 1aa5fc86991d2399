"""Reference checkpoints come in with their numbers unchanged, and go out again; what is no tensor does not come in."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file

from tests.conftest import Site
from tests.parity_files import COMMITTED, golden
from tests.plugins.parity_models import WIDE, Case, check_evaluation, fixture_config, reference_state
from tests.test_cli_eval import Call, call
from trm_harness import registry
from trm_harness.convert.importer import Import, architecture_of, import_checkpoint
from trm_harness.convert.unpickle import read_checkpoint
from trm_harness.errors import BadInput
from trm_harness.nn.checkpoint import load_weights
from trm_harness.nn.reference import to_reference
from trm_harness.types import Batch
from trm_harness.zoo import named

__all__ = ["call"]

Board = Callable[[Path], str]

BOARD = '''
from trm_harness.hookspecs import hookimpl
from trm_harness.specs import TaskSpec
class Board:
    """A task of a case's sizes; nobody evaluates on it."""
    def __init__(self, spec, data=None):
        self.spec = spec
@hookimpl
def register_tasks(register):
    register(TaskSpec("board", 1, "{module}:Board", "Board", "", vocab_size=VOCABULARY, seq_len=CELLS))
'''


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TRM_HARNESS_ZOO", str(tmp_path / "own"))
    return tmp_path / "own"


@pytest.fixture
def board(site: Site) -> Iterator[Callable[[Path], str]]:
    """Makes a task of the sizes of a case, for this test alone, and returns its name."""

    def install(folder: Path) -> str:
        arch = fixture_config(folder)["config"]
        source = BOARD.replace("VOCABULARY", str(arch["vocab_size"])).replace("CELLS", str(arch["seq_len"]))
        site.install("board", source)
        registry.installed.cache_clear()
        registry.default.cache_clear()
        return "board"

    yield install
    registry.installed.cache_clear()
    registry.default.cache_clear()


def checkpoint(path: Path, state: Mapping[str, torch.Tensor], wrapper: str = "_orig_mod.model.") -> Path:
    torch.save({f"{wrapper}{name}": value for name, value in state.items()}, path)
    return path


def files(tmp_path: Path, folder: Path) -> dict[str, Path]:
    """A checkpoint, its configuration and its identifiers, as the reference leaves them."""
    arch = fixture_config(folder)["config"]
    config, names = tmp_path / "all_config.yaml", tmp_path / "identifiers.json"
    config.write_text(yaml.safe_dump({"arch": arch | {"name": "a.b@C"}, "lr": 1e-4}))
    names.write_text(json.dumps(["<blank>", *(f"p{i}" for i in range(1, arch["num_puzzle_identifiers"]))]))
    return {"file": checkpoint(tmp_path / "step_10", reference_state(folder)), "config": config, "identifiers": names}


# At full size the same would take minutes, and says no more.
SMALL = [case for case in golden("models/*") if fixture_config(case.values[0])["config"]["hidden_size"] < WIDE]


@pytest.mark.parametrize("folder", SMALL)
def test_an_imported_checkpoint_computes_what_the_reference_computed(
    folder: Path, board: Board, own: Path, tmp_path: Path
) -> None:
    wanted = Import(arch=fixture_config(folder)["arch"], task=board(folder), rows="all", **files(tmp_path, folder))
    try:
        done = import_checkpoint(wanted, own)
    except BadInput as refusal:
        # Names of models promise mixer, positions and the like, and not every variant of the reference has one.
        if COMMITTED in folder.parents or "no registered model of architecture" not in str(refusal):
            raise
        pytest.skip(str(refusal))
    assert done.card.status == "unverified"
    how = {setting.name: setting.how for setting in done.settings}
    assert how["hidden_size"] == how["mixer"] == "shape"
    assert how["heads"] == how["supervision_steps"] == "config file"
    spec = registry.default().models.spec(done.card.architecture)
    architecture = architecture_of(spec)
    network, names, _ = load_weights(done.card.folder / "weights.safetensors", architecture)
    assert list(names[1:2]) == (["p1"] if network.table is not None else [])
    check_evaluation(Case(folder, network))


def test_without_a_configuration_shapes_speak_and_the_rest_is_said_to_be_assumed(
    board: Board, own: Path, tmp_path: Path
) -> None:
    folder = COMMITTED / "models" / "trm_mlp_t"
    file = checkpoint(tmp_path / "ckpt.pt", reference_state(folder), "module.model.")
    done = import_checkpoint(Import(file, "trm", board(folder), rows="blank", settings={"heads": 4}), own)
    told = {setting.name: (setting.value, setting.how) for setting in done.settings}
    assert told["mixer"] == ("mlp", "shape")
    assert told["prefix"] == (8, "shape")
    assert told["layers"] == (2, "shape")
    assert told["heads"] == (4, "given")
    assert told["h_cycles"][1] == told["supervision_steps"][1] == "assumed"
    assert done.card.parameters.puzzle_table == 32
    assert any("blank row only" in note for note in done.notes)


class Bomb:
    """What runs when a careless reader unpickles it."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (f"touch {self.mark}",)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_malicious_pickle_is_refused_and_nothing_ran(call: Call, own: Path, tmp_path: Path, zipped: bool) -> None:
    mark, file = tmp_path / "it-ran", tmp_path / "step_1"
    state = {"inner.H_init": torch.zeros(4), "extra": Bomb(mark)}
    torch.save(state, file, _use_new_zipfile_serialization=zipped)
    said = call("zoo", "import", str(file), "--arch", "trm", "--task", "sudoku-9x9")
    assert said.code == 2
    assert "refused, and nothing in it was run" in said.err
    assert not mark.exists()
    assert not own.exists()
    # The bomb is a real one.
    torch.load(file, weights_only=False)
    assert mark.exists()


def test_bare_pickles_and_noise_are_refused(tmp_path: Path) -> None:
    mark, file = tmp_path / "it-ran", tmp_path / "ckpt"
    for content in (pickle.dumps(Bomb(mark)), b"", b"PK\x03\x04 no zip", b"\x80\x04noise", pickle.dumps([1, 2])):
        file.write_bytes(content)
        with pytest.raises(BadInput) as caught:
            read_checkpoint(file)
        assert "\n" not in str(caught.value)
    assert not mark.exists()
    with pytest.raises(BadInput, match="no such file"):
        read_checkpoint(tmp_path / "none")


def test_of_two_sets_of_weights_one_is_chosen(tmp_path: Path) -> None:
    file = tmp_path / "both"
    torch.save({"model": {"a": torch.zeros(1)}, "ema": {"a": torch.ones(1)}, "step": 3}, file)
    assert [float(read_checkpoint(file, which)[0]["a"]) for which in ("auto", "ema", "raw")] == [1.0, 1.0, 0.0]
    torch.save({"step": 3}, file)
    with pytest.raises(BadInput, match="has no weights among step"):
        read_checkpoint(file)


def test_what_contradicts_the_tensors_is_refused(board: Board, own: Path, tmp_path: Path) -> None:
    folder = COMMITTED / "models" / "trm_att_rope"
    given = files(tmp_path, folder)
    wanted = Import(arch="trm", task=board(folder), rows="all", **given)
    for changes, complaint in (
        ({"settings": {"hidden_size": 128}}, "hidden_size: given says 128, but the tensors are those of 64"),
        ({"settings": {"colour": 1}}, "no such setting"),
        ({"arch": "hrm"}, "is no tensor of architecture 'hrm'|no layers of H_level"),
        ({"arch": "gpt"}, "architecture 'gpt' is unknown"),
        ({"task": "sudoku-4x4"}, "the checkpoint has 11 symbols, task sudoku-4x4 6"),
        ({"identifiers": None}, "does not know whose"),
    ):
        with pytest.raises(BadInput, match=complaint):
            import_checkpoint(Import(**{**wanted.__dict__, **changes}), own)
    given["identifiers"].write_text(json.dumps(["<blank>"]))
    with pytest.raises(BadInput, match="must be a list of 7 names"):
        import_checkpoint(wanted, own)
    given["config"].write_text("arch: [")
    with pytest.raises(BadInput, match="cannot be read as YAML"):
        import_checkpoint(wanted, own)
    assert not own.exists()


def arc_checkpoint(tmp_path: Path, names: list[str]) -> dict[str, Path]:
    """A small reference-style network for ARC with one row for each of ``names``."""
    from trm_model_trm.model import ARCHITECTURE

    config = ARCHITECTURE.config(
        vocab_size=12, seq_len=900, hidden_size=16, heads=2, layers=1, h_cycles=1, l_cycles=1, supervision_steps=2,
        puzzle_dim=16, table_rows=len(names),
    )  # fmt: skip
    torch.manual_seed(0)
    network = ARCHITECTURE.network(config)
    network.table.weight.normal_()
    identifiers, file = tmp_path / "identifiers.json", tmp_path / "all_config.yaml"
    identifiers.write_text(json.dumps(names))
    arch = {"hidden_size": 16, "num_heads": 2, "H_cycles": 1, "L_cycles": 1, "halt_max_steps": 2, "L_layers": 1}
    file.write_text(yaml.safe_dump({"arch": arch}))
    saved = checkpoint(tmp_path / "step_9", to_reference(ARCHITECTURE, network.state_dict()))
    return {"file": saved, "config": file, "identifiers": identifiers}


NAMES = [
    "<blank>",
    "007bbfb7",
    "007bbfb7|||t1|||0123456789",
    "00576224",
    "00576224|||t3|||0213456789",
    "Copy4",
    "009d5c81",
    "009d5c81|||t2|||0123456798",
]


@pytest.mark.parametrize(
    ("rows", "views", "kept"),
    [("all", None, 8), ("evaluation", None, 5), ("evaluation", 1, 3), ("all", 1, 5), ("blank", None, 1)],
)
def test_only_the_wanted_rows_of_a_table_are_kept(
    own: Path, tmp_path: Path, rows: str, views: int | None, kept: int
) -> None:
    given = arc_checkpoint(tmp_path, NAMES)
    done = import_checkpoint(Import(arch="trm", task="arc1", name="trm-7m.x", rows=rows, views=views, **given), own)
    tensors = load_file(done.card.folder / "weights.safetensors")
    original = torch.load(given["file"], weights_only=True)["_orig_mod.model.inner.puzzle_emb.weights"]
    assert len(tensors["table.weight"]) == kept
    if rows == "evaluation":
        row = NAMES.index("009d5c81")
        assert any(torch.equal(vector, original[row]) for vector in tensors["table.weight"])
    assert done.card.parameters.puzzle_table == kept * 16


def test_an_imported_arc_checkpoint_is_evaluated_under_the_views_it_knows(
    call: Call, own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trm_task_arc import reference

    monkeypatch.setattr(reference, "known_identifiers", lambda version: NAMES)
    given = arc_checkpoint(tmp_path, NAMES)
    said = call(
        *("zoo", "import", str(given["file"]), "--arch", "trm", "--task", "arc1", "--name", "trm-7m.arc1-small"),
        *("--config", str(given["config"]), "--identifiers", str(given["identifiers"]), "--rows", "evaluation"),
        *("--author", "A. Nyone", "--trained-on", "ARC-1 training", "--trained-on", "unknown"),
    )
    assert said.code == 0, said.err
    card = named("trm-7m.arc1-small")
    assert (card.authors, card.license, card.training.extra_data) == (("A. Nyone",), "unknown", ("ARC-1 training",))
    # What was not told is asked for.
    (asked,) = [line for line in said.err.splitlines() if line.startswith("warning:")]
    assert "--license ID" in asked
    assert not any(option in asked for option in ("--author", "--trained-on"))
    (line,) = [line for line in said.out.splitlines() if line.startswith("heads")]
    assert line.split() == ["heads", "2", "config", "file"]
    assert card.encoding == {"views": "reference"}
    run = call(
        *("eval", "--task", "arc1", "--model", "trm-7m.arc1-small", "--puzzles", "00576224,009d5c81"),
        *("--augment", "5", "--steps", "1", "--out", "run"),
    )
    assert run.code == 0, run.err
    views = {json.loads(line)[2] for line in Path("run/journal.jsonl").read_text().splitlines()}
    assert views == {"", "t3|||0213456789", "t2|||0123456798"}
    assert call("runs", "score", "run").code == 0


def test_names_of_a_released_table_are_made_once_and_known_by_their_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import hashlib

    from trm_harness.specs import TaskSpec
    from trm_task_arc import reference
    from trm_task_arc.task import ArcTask

    made = []

    def make(version: str) -> list[str]:
        made.append(version)
        return NAMES

    sha256 = hashlib.sha256(json.dumps(NAMES).encode()).hexdigest()
    monkeypatch.setattr(reference, "reference_identifiers", make)
    monkeypatch.setattr(reference, "KNOWN_TABLES", {"arcagi": reference.KnownTable(10, 8, sha256)})
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    task = ArcTask(TaskSpec("arc1", 1, "", "", "", 12, 900, options={"reference": "arcagi"}))
    assert task.reference_identifiers(10) == task.reference_identifiers(8) == NAMES
    assert made == ["arcagi"]
    (file,) = (tmp_path / "trm-harness").iterdir()
    file.write_text(file.read_text()[:-9])
    assert task.reference_identifiers(10) == NAMES
    assert made == ["arcagi"] * 2
    with pytest.raises(BadInput, match="is not that of arc1"):
        task.reference_identifiers(9)
    monkeypatch.setattr(reference, "KNOWN_TABLES", {"arcagi": reference.KnownTable(10, 8, "0" * 64)})
    with pytest.raises(BadInput, match="other identifiers"):
        task.reference_identifiers(10)


def answers(card: str, task_id: str, identities: list[str], length: int) -> np.ndarray:
    """Tokens that a card's weights answer a fixed random batch with, at every step, and the halting logits."""
    from trm_harness.inference import InferencePlan
    from trm_harness.loading import Launch, load, task_of
    from trm_harness.zoo import weights_path

    found_card, task = named(card), task_of(task_id)
    launch = Launch(task_id, found_card.architecture, card)
    model, _ = load(launch, task, InferencePlan(split=task.spec.default_split), found_card, weights_path(found_card))
    rng = np.random.default_rng(0)
    tokens = rng.integers(2, task.spec.vocab_size, (len(identities), length)).astype(np.int32)
    positions = np.tile(np.arange(length, dtype=np.int32), (len(identities), 1))
    seeds = np.zeros(len(identities), dtype=np.uint64)
    batch = Batch(tuple(identities), tokens, positions, tuple(identities), seeds)
    state, out = model.begin(batch), []
    for _ in range(3):
        state, prediction = model.step(state)
        out.append(np.concatenate([prediction.tokens, np.round(prediction.halt[:, None] * 1e3)], axis=1))
    return np.stack(out)


@pytest.mark.parametrize(
    ("card", "task", "arch", "identities", "length"),
    [
        ("trm-nano.sudoku-4x4", "sudoku-4x4", "trm", ["", ""], 16),
        ("trm-7m.arc1-cpu", "arc1", "trm", ["", "KNOWN"], 64),
    ],
)
def test_the_reference_format_loads_back_to_equal_outputs(
    call: Call, own: Path, card: str, task: str, arch: str, identities: list[str], length: int
) -> None:
    assert call("zoo", "export", card, "--format", "reference", "--out", "theirs").code == 0
    names = json.loads(Path("theirs/identifiers.json").read_text())
    state = torch.load("theirs/checkpoint.pt", weights_only=True)
    assert all(key.startswith("_orig_mod.model.inner.") for key in state)
    assert len(state["_orig_mod.model.inner.puzzle_emb.weights"]) == len(names)
    architecture = named(card).architecture
    said = call(
        *("zoo", "import", "theirs/checkpoint.pt", "--arch", arch, "--task", task, "--name", f"{architecture}.back"),
        *("--config", "theirs/all_config.yaml", "--identifiers", "theirs/identifiers.json", "--rows", "all"),
    )
    assert said.code == 0, said.err
    asked = [names[1] if name == "KNOWN" else name for name in identities]
    np.testing.assert_array_equal(
        answers(card, task, asked, length), answers(f"{architecture}.back", task, asked, length)
    )


def test_the_multi_scale_file_comes_in_and_goes_out(call: Call, own: Path, tmp_path: Path) -> None:
    from trm_model_trm.model import ARCHITECTURE

    config = ARCHITECTURE.config(
        vocab_size=11, seq_len=81, hidden_size=32, heads=4, layers=1, h_cycles=2, l_cycles=3, features=7,
        supervision_steps=2, puzzle_dim=32,
    )  # fmt: skip
    torch.manual_seed(1)
    network = ARCHITECTURE.network(config).eval()
    theirs = to_reference(ARCHITECTURE, network.state_dict())
    assert {f"inner.L{scale}_init" for scale in range(1, 7)} <= set(theirs)
    file = checkpoint(tmp_path / "step_3", theirs)
    done = import_checkpoint(
        Import(
            file, "trm_hier6", "sudoku-9x9", "trm-7m-multiscale.x", settings={"heads": 4, "h_cycles": 2, "l_cycles": 3}
        ),
        own,
    )
    told = {setting.name: (setting.value, setting.how) for setting in done.settings}
    assert told["features"] == (7, "shape")
    back, _, _ = load_weights(done.card.folder / "weights.safetensors", ARCHITECTURE)
    x, state = torch.randn(2, 97, 32), back.initial_state(2, 81)
    got = back.refine(state, x, None, last=True)
    # The same rule once more, one line at a time.
    y, z = state[0], list(state[1:])
    for update in range(3):
        z[update] = network.core(sum(z), y + x, None)
    y = network.core(y, sum(z), None)
    for ours, wanted in zip(got, (y, *z), strict=True):
        torch.testing.assert_close(ours, wanted)
    assert torch.equal(got[6], state[6])
    said = call("zoo", "export", "trm-7m-multiscale.x", "--format", "reference", "--out", "again")
    assert said.code == 0, said.err
    assert "trm_hier6" in Path("again/all_config.yaml").read_text()
    with pytest.raises(BadInput, match="at most 6 updates"):
        ARCHITECTURE.config(vocab_size=11, seq_len=81, features=7, l_cycles=7)


def test_a_variant_that_the_reference_has_not_stays_here(call: Call, own: Path, tmp_path: Path) -> None:
    Path("recipe.toml").write_text(
        "batch_size = 4\n[model]\nhidden_size = 16\nheads = 2\npuzzle_dim = 16\n"
        "[[stage]]\nsteps = 1\nlr = 1e-3\nlr_end = 1e-3\n"
    )
    model = ("--task", "sudoku-4x4", "--model", "trm-7m-separate")
    assert call("train", *model, "--recipe", "recipe.toml", "--out", "out").code == 0
    added = call("zoo", "add", "out/weights.safetensors", "--train-run", "out", "--golden", "0", "--zoo", str(own))
    assert added.code == 0, added.err
    said = call("zoo", "export", "trm-7m-separate.sudoku-4x4", "--format", "reference", "--out", "theirs")
    assert (said.code, "the reference has no file for this variant" in said.err) == (2, True)
    assert not Path("theirs").exists()
