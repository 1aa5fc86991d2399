"""What people give for weights: each file is called what it is, and foreign ones have a road to a card."""

from __future__ import annotations

import dataclasses
import datetime
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import trm_harness
from tests.conftest import Site
from trm_harness.convert import folder
from trm_harness.convert.folder import model_card
from trm_harness.convert.importer import Import, import_checkpoint
from trm_harness.convert.unpickle import read_checkpoint
from trm_harness.errors import BadInput
from trm_harness.files.read import is_pickled
from trm_harness.nn.checkpoint import read_config
from trm_harness.nn.reference import to_reference
from trm_harness.plugins.host import load
from trm_harness.registry import Registry
from trm_harness.zoo import named, safetensors_metadata, weights_path
from trm_model_trm.model import ARCHITECTURE

CARD, TASK = "trm-nano.sudoku-4x4", "sudoku-4x4"
ADVICE = ("weights_only", "torch.load", "trust the source", "safe_globals", "arbitrary code")


def shipped() -> Path:
    return weights_path(named(CARD))


PLUGIN = """
from trm_harness import ModelSpec, TaskSpec, hookimpl

PLUGIN_API = 1


@hookimpl
def register_models(register):
    told = {"title": "t", "description": "d"}
    register(ModelSpec(id="theirs", version=1, target="nothing:here", family="recursive", **told))
"""


def test_the_page_of_an_exported_card_names_the_packages_to_install(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = named(CARD)
    assert "pip install" not in model_card(card)
    site.install("their-model", PLUGIN, distribution="trm-model-theirs")
    monkeypatch.setattr(folder, "default", lambda: Registry.from_host(load()))
    page = model_card(dataclasses.replace(card, architecture="theirs"))
    assert "```sh\npip install trm-model-theirs\ntrm-harness zoo pull " in page
    assert page.count("pip install") == 1
    # A single file has no name that pip knows, and its path is nobody's business.
    (tmp_path / "loose_model.py").write_text(PLUGIN.replace("theirs", "loose"))
    monkeypatch.setenv("TRM_HARNESS_PLUGINS", str(tmp_path / "loose_model.py"))
    monkeypatch.setattr(folder, "default", lambda: Registry.from_host(load()))
    page = model_card(dataclasses.replace(card, architecture="loose"))
    assert "```sh\n# with the plugin loose_model.py: add --plugin FILE to each command\ntrm-harness zoo pull " in page
    assert str(tmp_path) not in page


def refusals(path: Path) -> list[str]:
    """The one line of every reader of weights."""
    readers: list[Callable[[], Any]] = [
        lambda: trm_harness.load_model("trm-nano", TASK, weights=path),
        lambda: safetensors_metadata(path),
        lambda: read_config(path, ARCHITECTURE),
        lambda: read_checkpoint(path),
        lambda: import_checkpoint(Import(path, "trm", TASK), path.parent / "zoo"),
    ]
    said = []
    for reader in readers:
        with pytest.raises(BadInput) as caught:
            reader()
        said.append(str(caught.value))
    assert not any("\n" in line for line in said)
    return said


@pytest.mark.parametrize("name", ["weights.safetensors", "model.pt"])
@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n", "is a Git LFS pointer"),
        (b"<!DOCTYPE html><html><head><title>404</title></head></html>", "is a web page"),
        (b"\n  <HTML><body>hello</body></HTML>", "is a web page"),
        (b'{"error":"Repository not found"}', "is a server's message"),
        (b"\x1f\x8b\x08\x00 and so on", "is packed"),
    ],
)
def test_a_file_is_called_what_it_is(tmp_path: Path, name: str, content: bytes, told: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert all(told in line for line in refusals(path))


@pytest.mark.parametrize("new", [True, False])
def test_a_checkpoint_of_torch_is_called_one_whatever_its_name(tmp_path: Path, new: bool) -> None:
    path = tmp_path / "weights.safetensors"
    torch.save(load_file(shipped()), path, _use_new_zipfile_serialization=new)
    assert is_pickled(path)
    for reader in (lambda: trm_harness.load_model("trm-nano", TASK, weights=path), lambda: safetensors_metadata(path)):
        with pytest.raises(BadInput, match=r"is a checkpoint of torch \(.pt\).*zoo import"):
            reader()
    assert read_checkpoint(path)[0].keys() == load_file(shipped()).keys()


def test_torchs_advice_is_not_repeated(tmp_path: Path) -> None:
    class Mine:
        pass

    globals()["Mine"] = Mine
    Mine.__qualname__ = "Mine"
    for number, extra in enumerate((datetime.timedelta(1), Mine(), Path("x"))):
        path = tmp_path / f"{number}.pt"
        torch.save({"model": load_file(shipped()), "extra": extra}, path)
        with pytest.raises(BadInput, match="nothing in it was run") as caught:
            read_checkpoint(path)
        assert not any(word in str(caught.value) for word in ADVICE)
        assert caught.value.__cause__ is None
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(BadInput) as caught:
        read_checkpoint(path)
    assert not any(word in str(caught.value) for word in ADVICE)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_values_that_are_no_numbers_are_named_and_not_scored(tmp_path: Path, value: float) -> None:
    tensors = load_file(shipped())
    name = sorted(tensors)[3]
    tensors[name].view(-1)[:2] = value
    path = tmp_path / "w.safetensors"
    save_file(tensors, path, safetensors_metadata(shipped()))
    with pytest.raises(BadInput, match=rf"tensor '{name}' holds NaN or infinite values \(2 of "):
        trm_harness.evaluate(TASK, "trm-nano", weights=str(path), limit=1, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    bare = tmp_path / "bare.safetensors"
    save_file(tensors, bare)
    with pytest.raises(BadInput, match="NaN or infinite"):
        import_checkpoint(Import(bare, "trm", TASK, authors=("A",), license="MIT"), tmp_path / "zoo")


@pytest.mark.parametrize("form", ["reference", "trm-harness"])
def test_foreign_safetensors_have_a_road_to_a_card(tmp_path: Path, form: str) -> None:
    own = load_file(shipped())
    tensors = own if form == "trm-harness" else to_reference(ARCHITECTURE, own)
    path = tmp_path / "theirs.safetensors"
    save_file({name: value.contiguous() for name, value in tensors.items()}, path)
    with pytest.raises(BadInput, match=r"zoo import theirs\.safetensors .*--author NAME --license ID"):
        trm_harness.load_model("trm-nano", TASK, weights=path)
    settings = {key: named(CARD).config[key] for key in ("heads", "h_cycles", "l_cycles", "supervision_steps")}
    wanted = {"file": path, "arch": "trm", "task": TASK, "name": "trm-nano.theirs", "settings": settings}
    for missing in ({}, {"authors": ("A. Nyone",)}, {"license": "MIT"}):
        with pytest.raises(BadInput, match="whose weights are these"):
            import_checkpoint(Import(**wanted, **missing), tmp_path / "zoo")
    whose = {"authors": ("A. Nyone",), "license": "MIT"}
    other = "reference" if form == "trm-harness" else "trm-harness"
    with pytest.raises(BadInput, match=f"try --format {form}"):
        import_checkpoint(Import(**wanted, **whose, format=other), tmp_path / "zoo")
    card = import_checkpoint(Import(**wanted, **whose, format=form), tmp_path / "zoo").card
    assert (card.authors, card.license) == (("A. Nyone",), "MIT")
    back = load_file(card.folder / "weights.safetensors")
    assert all(torch.equal(back[name], own[name].float()) for name in own if not name.startswith("table."))
    with pytest.raises(BadInput, match="zoo add"):
        import_checkpoint(Import(card.folder / "weights.safetensors", "trm", TASK), tmp_path / "zoo")


def states() -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """A raw state and the average of its trained half."""
    raw = {"layer.weight": torch.zeros(2, 2), "init": torch.ones(2)}
    return raw, {"layer.weight": torch.full((2, 2), 7.0)}


@pytest.mark.parametrize(
    "pack",
    [
        lambda raw, average: {"ema": {"shadow": average, "decay": 0.999, "updates": 3}, "model": raw},
        lambda raw, average: {"ema_state_dict": {"shadow_params": average}, "model_state_dict": raw},
        lambda raw, average: {"ema": average, "state_dict": raw},
        lambda raw, average: {"model_ema": {"module": average}, "network": {"state_dict": raw}},
    ],
)
def test_the_average_is_taken_where_a_file_has_one_and_said_so(tmp_path: Path, pack: Callable[..., Any]) -> None:
    raw, average = states()
    path = tmp_path / "c.pt"
    torch.save(pack(raw, average), path)
    state, told = read_checkpoint(path)
    assert state["layer.weight"].eq(7).all()
    assert state["init"].eq(1).all()
    assert "ema" in told
    assert "the average; 1 tensors it has none of are the raw ones" in told
    state, told = read_checkpoint(path, "raw")
    assert state["layer.weight"].eq(0).all()
    assert "average" not in told


def test_an_average_alone_is_taken_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "c.pt"
    torch.save({"ema": {"shadow": states()[1]}}, path)
    state, told = read_checkpoint(path)
    assert state.keys() == {"layer.weight"}
    assert told == "the file's 'ema.shadow'"
    with pytest.raises(BadInput, match="has no raw among ema"):
        read_checkpoint(path, "raw")


def test_weights_whose_path_is_no_utf8_are_read_and_written_as_any(tmp_path: Path) -> None:
    """The libraries under us open no such path: in the name of the file, or of a folder above it."""
    from trm_harness.convert.rewrite import rewrite, tensors_of

    own, odd = load_file(shipped()), os.fsdecode(b"w\xff")
    (tmp_path / odd).mkdir()
    file = tmp_path / odd / f"{odd}.safetensors"
    rewrite(shipped(), file)
    loaded = trm_harness.load_model("trm-nano", TASK, weights=file)
    assert loaded.facts.parameters.network == 125_314
    assert tensors_of(file).keys() == own.keys()
    assert not file.is_symlink()
    assert [path.name for path in file.parent.iterdir()] == [file.name]
    checkpoint = tmp_path / odd / f"{odd}.pt"
    with checkpoint.open("wb") as stream:
        torch.save(to_reference(ARCHITECTURE, own), stream)
    found, _ = read_checkpoint(checkpoint)
    assert all(torch.equal(found[name], value) for name, value in to_reference(ARCHITECTURE, own).items())
