"""Weights in a form that the model alone reads: hashed by the harness, named in the record, never guessed about."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import trm_harness
from tests.evaluating import MODEL, LatinTask, Propagator
from trm_harness import ModelFacts, ModelRequest, Parameters, PluginError, registry
from trm_harness.convert.folder import export_hub
from trm_harness.errors import BadInput
from trm_harness.files.read import read_arrays
from trm_harness.fingerprint import file_sha256
from trm_harness.publish import record_of
from trm_harness.publish.card import Addition, add_card
from trm_harness.publish.golden import check_golden
from trm_harness.zoo import read_card
from trm_harness.zoo.verify import verify

SPEC = dataclasses.replace(
    MODEL, id="by-array", target=f"{__name__}:honest", family="recursive", needs_weights=True, reads=(".npz",)
)


class Read(Propagator):
    """Knows its file by heart; ``states`` is the hash it tells."""

    def __init__(self, request: ModelRequest, states: str) -> None:
        super().__init__(spec=request.spec)
        assert request.weights is not None
        self.size = read_arrays(request.weights, {"w": ("float32", 1)}, 1000)["w"].size
        self.states = states

    def facts(self) -> ModelFacts:
        return ModelFacts(Parameters(self.size), 1, self.states, "theirs.npz")


def honest(request: ModelRequest) -> Read:
    return Read(request, request.weights_sha256)


def silent(request: ModelRequest) -> Read:
    return Read(request, "")


@pytest.fixture(autouse=True)
def _known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    np.savez("theirs.npz", w=np.ones(7, dtype=np.float32))
    trm_harness.register(LatinTask(groups=3))
    trm_harness.register(SPEC)
    yield
    registry._session.clear()
    registry.default.cache_clear()


def test_the_record_names_the_file_by_its_hash() -> None:
    record = trm_harness.evaluate("latin", "by-array", weights="theirs.npz", out="run")
    assert record.model.weights_sha256 == file_sha256(Path("theirs.npz"))
    assert record.model.network_parameters == 7
    assert record.contamination is not None
    assert record.contamination.status == "unknown"
    assert record.training.demonstrations == "unknown"


def test_a_model_that_states_no_hash_is_refused_before_anything_is_written() -> None:
    trm_harness.register(dataclasses.replace(SPEC, target=f"{__name__}:silent"))
    with pytest.raises(PluginError, match=r"states the sha256 \(none\).*let facts\(\) give request.weights_sha256"):
        trm_harness.evaluate("latin", "by-array", weights="theirs.npz", out="run")
    assert not Path("run").exists()


def test_other_endings_are_checked_as_ever() -> None:
    Path("theirs.npz").rename("theirs.bin")
    with pytest.raises(BadInput, match="reads files that end in"):
        trm_harness.evaluate("latin", "by-array", weights="theirs.bin", out="run")
    with pytest.raises(BadInput, match="has no weights"):
        trm_harness.evaluate("latin", "by-array", out="run")


def test_they_get_a_card_which_can_be_checked_evaluated_and_shared() -> None:
    said = {"authors": ("A. N. Other",), "license": "MIT", "trained_on": ("squares of ours",)}
    with pytest.raises(BadInput, match=r"say --author \(whose the weights are\), --license, --trained-on"):
        add_card(Addition(Path("theirs.npz"), task="latin", architecture="by-array"), Path("zoo"))
    narrow = Addition(Path("theirs.npz"), task="latin", architecture="by-array", dtype="bfloat16", **said)
    with pytest.raises(BadInput, match="--dtype converts safetensors alone"):
        add_card(narrow, Path("zoo"))
    # Without its model nobody knows what the file is, but it is not called torch's.
    with pytest.raises(BadInput, match=r"only a model whose spec reads \.npz"):
        add_card(Addition(Path("theirs.npz"), task="latin"), Path("zoo"))
    assert not Path("zoo").exists()
    addition = Addition(Path("theirs.npz"), task="latin", architecture="by-array", golden=2, evaluate=True, **said)
    card = add_card(addition, Path("zoo"))
    assert (card.source.file, card.sha256) == ("weights.npz", file_sha256(Path("theirs.npz")))
    assert (card.folder / "weights.npz").read_bytes() == Path("theirs.npz").read_bytes()
    assert card.expected is not None
    assert all(check.passed for check in [*verify(card), check_golden(card)])
    page = export_hub(card, Path("shared") / card.name, record_of(card))
    assert (page / "model.npz").read_bytes() == Path("theirs.npz").read_bytes()
    assert read_card(page / "card.toml").source.file == "model.npz"
    assert "- **Trained on**: squares of ours\n" in (page / "README.md").read_text()
    # In its card's place it is replaced with all that belongs to it, and nothing else.
    (card.folder / "mine.txt").write_text("a note")
    again = add_card(dataclasses.replace(addition, evaluate=False), Path("zoo"), replace=True)
    assert {file.name for file in again.folder.iterdir()} == {"card.toml", "weights.npz", "golden.json", "mine.txt"}


def test_other_weights_for_such_a_model_are_told_what_it_reads() -> None:
    Path("theirs.pt").write_bytes(b"PK\x03\x04")
    with pytest.raises(BadInput, match=r"theirs\.pt: model by-array reads files that end in \.npz"):
        trm_harness.evaluate("latin", "by-array", weights="theirs.pt", out="run")
    # It cannot be trained here, so that is no way out.
    with pytest.raises(BadInput, match=r"name a file \(\.npz\) with --weights FILE") as caught:
        trm_harness.evaluate("latin", "by-array", out="run")
    assert "trm-harness train" not in str(caught.value)
