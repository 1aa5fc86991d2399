"""Cards: parsed strictly, found by name or task, and weights handed out only when they are the card's."""

from __future__ import annotations

import contextlib
import hashlib
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save

from tests.conftest import Site
from tests.hub_server import Hub, serving
from tests.zoo_cards import CONFIG, TENSORS, cards_plugin, make_card, weights
from trm_harness import registry as registry_room
from trm_harness.errors import BadInput, PluginError, UnknownName
from trm_harness.plugins.host import load
from trm_harness.record import training_of
from trm_harness.registry import Registry
from trm_harness.zoo import Card, cards, find, named, pull, read_card, safetensors_metadata, verify, weights_path


@pytest.fixture
def zoo(tmp_path: Path) -> Path:
    return tmp_path / "zoo"


@pytest.fixture
def with_zoo(zoo: Path, site: Site) -> Registry:
    """A registry whose plugins include one that registers the folder ``zoo``."""
    zoo.mkdir()
    site.install("some-cards", cards_plugin(zoo))
    return Registry.from_host(load())


GOOD_SCORE = '{ metric = "m", value = 0.5, n = 1, low = 0, high = 1, record = "" }'


def read(zoo: Path, card: str = "trm-toy.one", **changes: Any) -> Card:
    return read_card(make_card(zoo, card, **changes) / "card.toml")


def test_a_card_is_read_in_full(zoo: Path) -> None:
    card = read(zoo)
    assert (card.name, card.architecture, card.task, card.task_version) == ("trm-toy.one", "trm-toy", "arc1", 1)
    assert (card.parameters.network, card.parameters.puzzle_table, card.parameters.touched_per_puzzle) == (27, 1000, 8)
    assert card.training.data[0].puzzles == 400
    assert card.expected is not None
    assert card.expected.value == 0.25
    assert (card.encoding, card.golden, card.folder) == ({}, "", zoo / "trm-toy.one")


def test_mapping_is_plain_data_and_feeds_the_record(zoo: Path) -> None:
    mapping = read(zoo).mapping()
    assert "folder" not in mapping
    assert json.loads(json.dumps(mapping))["training"]["data"][0]["name"] == "arc1/train"
    declared = training_of(mapping)
    assert (declared.demonstrations, declared.checkpoint_choice) == ("joint", "last step")
    assert declared.data[0].sha256 == "ab" * 32


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"colour": '"red"'}, "unknown key 'colour'"),
        ({"task": ""}, "key 'task' is missing"),
        ({"parameters": "{ network = 1 }"}, "key 'parameters.puzzle_table' is missing"),
        ({"parameters": "{ network = 1, puzzle_table = 0, touched_per_puzzle = 0, all = 1 }"}, "'parameters.all'"),
        ({"parameters": "{ network = -1, puzzle_table = 0, touched_per_puzzle = 0 }"}, "cannot be negative"),
        ({"parameters": "7"}, "key 'parameters' must be a table, not 7"),
        ({"effective_depth": "true"}, "key 'effective_depth' must be a whole number, not True"),
        ({"task_version": "1.5"}, "key 'task_version' must be a whole number"),
        ({"authors": '"me"'}, "key 'authors' must be a list"),
        ({"authors": "[1]"}, "key 'authors[0]' must be a string"),
        ({"config": "[]"}, "key 'config' must be a table"),
        ({"name": '"trm-toy.two"'}, "the folder is called 'trm-toy.one'"),
        ({"architecture": '"hrm"'}, "is not architecture.tag"),
        ({"status": '"good"'}, "is not one of trained, unverified"),
        ({"sha256": '"ABC"'}, "64 lower-case hex"),
        ({"golden": '"../../etc"'}, "file beside the card"),
        ({"source": '{ file = "../weights" }'}, "source.file"),
        ({"source": "{}"}, "give either"),
        ({"source": '{ file = "a", hub = "b/c" }'}, "give either"),
        ({"source": '{ hub = "b/c", filename = "f", revision = "main" }'}, "40-digit commit"),
        ({"expected": ""}, "states the score"),
        ({"adaptation": '{ mode = "full", steps = 0 }'}, "adaptation.steps"),
        ({"expected": '{ metric = "m", value = 25, n = 1, low = 0, high = 30, record = "" }'}, "low <= value <= high"),
        ({"expected": '{ metric = "m", value = 0, n = 0, low = 0, high = 1, record = "" }'}, "at least one puzzle"),
        ({"training": '{ demonstrations = "yes", checkpoint_choice = "", data = [] }'}, "training.demonstrations"),
        (
            {"training": '{ demonstrations = "joint", checkpoint_choice = "", data = [{ name = "x" }] }'},
            "training.data[0].sha256",
        ),
        (
            {"training": '{ demonstrations = "joint", checkpoint_choice = "", data = [{ nam = "x" }] }'},
            "'training.data[0].nam'",
        ),
    ],
)
def test_a_wrong_card_is_refused_with_file_and_key(zoo: Path, changes: dict[str, str], complaint: str) -> None:
    with pytest.raises(BadInput) as error:
        read(zoo, **changes)
    message = str(error.value)
    assert message.startswith(str(zoo / "trm-toy.one" / "card.toml"))
    assert complaint in message
    assert "\n" not in message


def test_broken_files_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "card.toml"
    for content, complaint in ((b"name = ", "is not TOML"), (b"\xff\xfe", "cannot be read")):
        file.write_bytes(content)
        with pytest.raises(BadInput, match=complaint):
            read_card(file)
    with pytest.raises(BadInput, match="cannot be read"):
        read_card(tmp_path / "none.toml")


def test_unverified_cards_need_no_score(zoo: Path) -> None:
    assert read(zoo, status='"unverified"', expected="").expected is None


def test_cards_of_every_folder_and_clashes(zoo: Path, with_zoo: Registry, site: Site, tmp_path: Path) -> None:
    make_card(zoo, "trm-toy.one")
    (zoo / "not-a-card").mkdir()
    assert "trm-toy.one" in cards(with_zoo)
    # The same folder by another plugin is no clash.
    site.install("same-cards", cards_plugin(zoo / "." / ".." / zoo.name))
    assert "trm-toy.one" in cards(Registry.from_host(load()))
    make_card(tmp_path / "more", "trm-toy.one")
    site.install("more-cards", cards_plugin(tmp_path / "more"))
    with pytest.raises(PluginError, match=r"'trm-toy\.one' is in two folders"):
        cards(Registry.from_host(load()))


def test_the_best_card_of_a_task_is_taken(zoo: Path, with_zoo: Registry) -> None:
    def expected(value: float) -> str:
        return f'{{ metric = "pass@2", value = {value}, n = 400, low = 0, high = 1, record = "r" }}'

    make_card(zoo, "trm-toy.a", expected=expected(0.1))
    make_card(zoo, "trm-toy.c", expected=expected(0.2))
    make_card(zoo, "trm-toy.b", expected=expected(0.2))
    make_card(zoo, "trm-toy.d", expected="", status='"unverified"')
    make_card(zoo, "trm-toy.z", expected=expected(0.9), task='"arc2"')
    make_card(zoo, "trm-toy-large.a", expected=expected(0.9))

    def found(name: str, task: str) -> str | None:
        card = find(name, task, with_zoo)
        return card and card.name

    assert found("trm-toy", "arc1") == "trm-toy.b"
    assert found("trm-toy", "arc2") == "trm-toy.z"
    assert found("trm-toy.a", "arc1") == "trm-toy.a"
    assert found("trm-toy.a", "arc2") == "trm-toy.a"
    assert found("trm-toy", "sudoku-4x4") is None
    assert found("trm", "arc1") is None


def test_a_misspelt_card_is_answered_with_the_nearest(zoo: Path, with_zoo: Registry) -> None:
    make_card(zoo, "trm-toy.one")
    assert named("trm-toy.one", with_zoo).name == "trm-toy.one"
    with pytest.raises(UnknownName, match=r"did you mean 'trm-toy\.one'"):
        named("trm-toy.on", with_zoo)


def test_weights_are_handed_out_only_when_they_are_the_cards(zoo: Path) -> None:
    card = read(zoo)
    path = weights_path(card)
    assert path == zoo / "trm-toy.one" / "weights.safetensors"
    content = path.read_bytes()
    for damaged in (content[:-1], content[:-1] + b"\x01", b""):
        path.write_bytes(damaged)
        with pytest.raises(BadInput, match="damaged or not the card's"):
            weights_path(card)
    path.unlink()
    with pytest.raises(BadInput, match="missing: restore the file"):
        weights_path(card)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with serving() as running:
        for name, value in running.environment(tmp_path / "home").items():
            monkeypatch.setenv(name, value)
        yield running


def hub_card(zoo: Path, hub: Hub, content: bytes, served: bytes) -> Card:
    """A card of ``content`` whose weights lie in a model repository of the local hub, which has ``served``."""
    hub.put("someone/weights", "model.safetensors", served, repo_type="model")
    commit = hub.repositories["model", "someone/weights"].commit
    source = f'{{ hub = "someone/weights", revision = "{commit}", filename = "model.safetensors" }}'
    return read(zoo, content=content, source=source)


def test_hub_weights_are_pulled_once_and_found_from_then_on(zoo: Path, hub: Hub) -> None:
    content = weights("trm-toy.one")
    card = hub_card(zoo, hub, content, content)
    with pytest.raises(BadInput, match=r"not on this machine: `trm-harness zoo pull trm-toy.one` fetches them"):
        weights_path(card)
    path = pull(card)
    assert path.read_bytes() == content
    asked = len(hub.asked)
    assert weights_path(card) == pull(card) == path
    assert len(hub.asked) == asked


def test_hub_weights_of_another_content_leave_nothing_behind(zoo: Path, hub: Hub) -> None:
    card = hub_card(zoo, hub, b"what the card promises", b"something else")
    with pytest.raises(BadInput, match="sha256"):
        pull(card)
    with pytest.raises(BadInput, match="zoo pull"):
        weights_path(card)


def test_weights_beside_their_card_need_no_hub(zoo: Path) -> None:
    card = read(zoo)
    assert pull(card) == weights_path(card)


def failed(card: Card) -> list[str]:
    return [check.what for check in verify(card) if not check.passed]


def test_verify_compares_the_file_with_the_card(zoo: Path) -> None:
    assert failed(read(zoo)) == []
    assert [check.what for check in verify(read(zoo, "trm-toy.two"))] == [
        "sha256",
        "safetensors",
        "card",
        "architecture",
        "config",
    ]
    family = weights("trm-toy.family", architecture="trm")
    assert failed(read(zoo, "trm-toy.family", content=family)) == []
    foreign = weights("trm-toy.other", architecture="hrm", config=CONFIG | {"layers": 3})
    assert failed(read(zoo, "trm-toy.foreign", content=foreign)) == ["card", "architecture", "config"]
    assert failed(read(zoo, "trm-toy.nameless", content=weights(""))) == []
    assert failed(read(zoo, "trm-toy.bare", content=save(TENSORS))) == ["architecture", "config"]
    assert failed(read(zoo, "trm-toy.text", content=b"no weights at all")) == ["safetensors"]
    card = read(zoo, "trm-toy.damaged")
    (card.folder / "weights.safetensors").write_bytes(b"")
    assert failed(card) == ["sha256"]


def test_verify_says_which_setting_differs(zoo: Path) -> None:
    card = read(zoo, content=weights("trm-toy.one", config=CONFIG | {"layers": 3}))
    details = {check.what: check.detail for check in verify(card)}
    assert details["config"] == "the file has layers = 3, the card says 2"


def test_metadata_of_a_good_file(tmp_path: Path) -> None:
    file = tmp_path / "w.safetensors"
    file.write_bytes(weights("trm-toy.one"))
    metadata = safetensors_metadata(file)
    assert metadata["card"] == "trm-toy.one"
    assert json.loads(metadata["config"])["hidden_size"] == 16
    assert set(load_file(file)) == set(TENSORS)
    file.write_bytes(save(TENSORS))
    assert safetensors_metadata(file) == {}


def layout(header: object, data: bytes = b"") -> bytes:
    text = json.dumps(header).encode() if not isinstance(header, bytes) else header
    return struct.pack("<Q", len(text)) + text + data


def entry(begin: int, end: int, shape: list[int], dtype: str = "F32") -> dict:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "cut short or no safetensors"),
        (b"\x01\x02", "cut short or no safetensors"),
        (struct.pack("<Q", 2**60) + b"{}", "cut short or no safetensors"),
        (layout(b"{not json"), "not JSON"),
        (layout(b"\xff\xff\xff"), "not JSON"),
        (layout(b"[" * 50_000), "not JSON"),
        (layout([1]), "not a table"),
        (layout({"__metadata__": {"a": 1}}), "not a table of strings"),
        (layout({"__metadata__": 3}), "not a table of strings"),
        (layout({"t": entry(0, 8, [2])}, b"1234"), "cut short"),
        (layout({"t": entry(0, 8, [2])}, b"12345678more"), "too long"),
        (layout({"t": entry(0, 8, [3])}, b"12345678"), "makes no sense"),
        (layout({"t": entry(8, 0, [2])}, b"12345678"), "makes no sense"),
        (layout({"t": entry(0, 8, [-2])}, b"12345678"), "makes no sense"),
        (layout({"t": entry(0, 8, [2], "F31")}, b"12345678"), "makes no sense"),
        (layout({"t": {"dtype": "F32"}}), "makes no sense"),
        (layout({"t": 5}), "makes no sense"),
        (layout({"t": {"dtype": ["F32"], "shape": [], "data_offsets": [0, 4]}}, b"1234"), "makes no sense"),
        (layout({"t": entry(0, 8, [2]), "u": entry(4, 12, [2])}, b"123456789012"), "starts at byte 4, not 8"),
        (layout({"t": entry(0, 8, [2]), "u": entry(12, 20, [2])}, bytes(20)), "starts at byte 12, not 8"),
    ],
)
def test_a_damaged_file_is_one_clear_line(tmp_path: Path, content: bytes, complaint: str) -> None:
    file = tmp_path / "w.safetensors"
    file.write_bytes(content)
    with pytest.raises(BadInput, match=complaint) as error:
        safetensors_metadata(file)
    assert str(error.value).startswith(str(file))
    assert "\n" not in str(error.value)


def test_a_missing_file_or_a_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(BadInput, match="cannot be read"):
            safetensors_metadata(path)


@settings(max_examples=120, deadline=None)
@given(st.data())
def test_no_truncation_passes_and_no_damage_surprises(tmp_path_factory: pytest.TempPathFactory, data) -> None:
    content = bytearray(weights("trm-toy.one"))
    file = tmp_path_factory.getbasetemp() / "fuzz.safetensors"
    file.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    with pytest.raises(BadInput):
        safetensors_metadata(file)
    content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    file.write_bytes(content)
    with contextlib.suppress(BadInput):
        assert isinstance(safetensors_metadata(file), dict)


def test_every_shipped_card_is_what_it_says() -> None:
    for card in cards(registry_room.default()).values():
        if card.source.file:
            assert [check.detail for check in verify(card) if not check.passed] == []
        else:
            # Other people's weights that nobody here has run: named, not claimed.
            assert (card.status, card.expected, card.source.format) == ("unverified", None, "reference")


def test_every_shipped_weights_file_has_a_card_with_golden_outputs_and_a_record() -> None:
    from trm_harness.files.paths import zoo as shipped
    from trm_harness.publish import check_record

    held = {card.folder: card for card in cards(registry_room.default()).values() if card.source.file}
    files = sorted(shipped().rglob("*.safetensors"))
    assert files
    assert {file.parent for file in files} == set(held)
    for card in held.values():
        assert (card.folder / card.golden).is_file()
        assert [check.detail for check in check_record(card) if not check.passed] == []


def test_a_card_without_a_hash_is_an_unverified_hub_card(zoo: Path) -> None:
    hub = '{ hub = "b/c", filename = "f", revision = "main" }'
    unseen = {"sha256": '""', "status": '"unverified"', "expected": "", "source": hub}
    assert read(zoo, "trm-toy.unseen", **unseen).sha256 == ""
    for name, changes in (
        ("trm-toy.trained", unseen | {"status": '"trained"', "expected": GOOD_SCORE}),
        ("trm-toy.beside", unseen | {"source": '{ file = "weights.safetensors" }'}),
        ("trm-toy.format", unseen | {"source": '{ hub = "b/c", filename = "f", revision = "m", format = "onnx" }'}),
    ):
        with pytest.raises(BadInput, match=r"sha256|source\.format"):
            read(zoo, name, **changes)


def test_a_checkpoint_that_must_be_converted_is_nobodys_default(zoo: Path, with_zoo: Registry) -> None:
    source = f'{{ hub = "b/c", filename = "f", revision = "{"a" * 40}", format = "reference" }}'
    make_card(zoo, "trm-toy.theirs", source=source, status='"unverified"', expected="")
    assert find("trm-toy", "arc1", with_zoo) is None
    assert find("trm-toy.theirs", "arc1", with_zoo) is not None


def test_one_key_of_a_card_changes_and_the_rest_stays(zoo: Path) -> None:
    from trm_harness.zoo.write import change_card, write_card

    card = read(zoo)
    file = card.folder / "card.toml"
    file.write_text("# kept\n" + file.read_text() + '\n[encoding]\ncanvas = "fit"\n')
    changed = change_card(read_card(file), golden="g.json", status="unverified")
    text = file.read_text()
    assert text.startswith("# kept")
    assert (changed.golden, changed.status, changed.encoding) == ("g.json", "unverified", {"canvas": "fit"})
    again = read_card(write_card(changed))
    assert again == changed


def test_the_documented_keys_are_the_cards(zoo: Path) -> None:
    text = (Path(__file__).parents[1] / "zoo" / "README.md").read_text(encoding="utf-8")
    example = text.split("```toml")[1].split("```")[0]
    filled = example.replace('sha256 = "..."', f'sha256 = "{hashlib.sha256(b"").hexdigest()}"')
    (zoo / "trm-nano.sudoku-4x4").mkdir(parents=True)
    (zoo / "trm-nano.sudoku-4x4" / "card.toml").write_text(filled)
    card = read_card(zoo / "trm-nano.sudoku-4x4" / "card.toml")
    assert all(f"`{key}`" in text or f"`[{key}]`" in text for key in card.mapping())
