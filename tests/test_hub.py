"""Hub downloads with the real client against a hub on this machine: cache, hash, offline, errors, two at once."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from tests.conftest import ROOT
from tests.hub_server import Hub, serving
from trm_harness.errors import BadInput
from trm_harness.files import hub as client

pytest.importorskip("huggingface_hub")

REPO, FILE, TEXT = "someone/mazes", "train.csv", b"source,question,answer,rating\n" * 500


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def hub(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with serving() as running:
        for name, value in running.environment(home).items():
            monkeypatch.setenv(name, value)
        yield running


def kept(home: Path) -> list[Path]:
    """Files of some content in the cache, but for the client's own notes."""
    return [path for path in home.rglob("*") if (path.is_file() and path.parent.name == "blobs") or path.is_symlink()]


def test_a_file_is_fetched_once_and_found_from_then_on(hub: Hub, home: Path) -> None:
    sha256 = hub.put(REPO, FILE, TEXT)
    path = client.fetch(REPO, FILE, "main", sha256)
    assert path.read_bytes() == TEXT
    assert path.name == FILE
    assert home in path.parents
    assert hub.downloads() == [f"/datasets/{REPO}/resolve/main/{FILE}"]
    asked = len(hub.asked)
    assert client.fetch(REPO, FILE, "main", sha256) == path
    assert len(hub.asked) == asked


def test_a_commit_and_a_model_repository_can_be_named(hub: Hub) -> None:
    sha256 = hub.put(REPO, FILE, TEXT, repo_type="model")
    commit = hub.repositories["model", REPO].commit
    path = client.fetch(REPO, FILE, commit, sha256, repo_type="model")
    assert path.read_bytes() == TEXT
    assert hub.downloads() == [f"/{REPO}/resolve/{commit}/{FILE}"]
    assert path.parent.name == commit


def test_what_another_tool_has_fetched_is_used(hub: Hub, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import hf_hub_download

    sha256 = hub.put(REPO, FILE, TEXT)
    theirs = hf_hub_download(REPO, FILE, repo_type="dataset", cache_dir=home / "hub", endpoint=hub.url)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert client.fetch(REPO, FILE, "main", sha256) == Path(theirs)


def test_a_wrong_file_is_refused_and_not_kept(hub: Hub, home: Path) -> None:
    hub.put(REPO, FILE, TEXT + b"one line more\n")
    with pytest.raises(BadInput, match="nothing of it was kept") as caught:
        client.fetch(REPO, FILE, "main", hashlib.sha256(TEXT).hexdigest())
    assert "\n" not in str(caught.value)
    assert kept(home) == []
    sha256 = hub.put(REPO, FILE, TEXT)
    assert client.fetch(REPO, FILE, "main", sha256).read_bytes() == TEXT


def test_a_damaged_cache_is_mended(hub: Hub) -> None:
    sha256 = hub.put(REPO, FILE, TEXT)
    path = client.fetch(REPO, FILE, "main", sha256)
    blob = path.resolve()
    blob.chmod(0o644)
    blob.write_bytes(TEXT[:-1])
    assert client.fetch(REPO, FILE, "main", sha256).read_bytes() == TEXT
    assert len(hub.downloads()) == 2


def test_offline_uses_the_cache_and_says_what_to_do_without(
    hub: Hub, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sha256 = hub.put(REPO, FILE, TEXT)
    path = client.fetch(REPO, FILE, "main", sha256)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    asked = len(hub.asked)
    assert client.fetch(REPO, FILE, "main", sha256) == path
    with pytest.raises(BadInput, match=r"test\.csv of someone/mazes .*HF_HUB_OFFLINE is set.*--data") as caught:
        client.fetch(REPO, "test.csv", "main", sha256)
    assert "\n" not in str(caught.value)
    # No command that fetches weights takes --data.
    with pytest.raises(BadInput, match=r"`trm-harness eval --weights FILE` takes it") as caught:
        client.fetch(REPO, "model.safetensors", "main", sha256, repo_type="model")
    assert "--data" not in str(caught.value)
    assert len(hub.asked) == asked


@pytest.mark.parametrize(
    ("repo", "name", "revision", "complaint"),
    [
        ("someone/nothing", FILE, "main", "has no dataset someone/nothing"),
        (REPO, FILE, "v9", "no revision 'v9'"),
        (REPO, "other.csv", "main", "no file 'other.csv'"),
        ("no good/name at all", FILE, "main", "cannot download"),
    ],
)
def test_what_is_not_there_is_named(hub: Hub, repo: str, name: str, revision: str, complaint: str) -> None:
    sha256 = hub.put(REPO, FILE, TEXT)
    with pytest.raises(BadInput, match=complaint) as caught:
        client.fetch(repo, name, revision, sha256)
    assert "\n" not in str(caught.value)


def test_a_server_that_refuses_is_one_line(hub: Hub, home: Path) -> None:
    sha256 = hub.put(REPO, FILE, TEXT)
    hub.broken = 403
    with pytest.raises(BadInput, match=f"{FILE} of {REPO}") as caught:
        client.fetch(REPO, FILE, "main", sha256)
    assert "\n" not in str(caught.value)
    assert kept(home) == []


def test_a_download_cut_short_is_one_line_and_not_kept(hub: Hub, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    sha256 = hub.put(REPO, FILE, TEXT)
    hub.cut = 100
    with pytest.raises(BadInput, match="cannot download") as caught:
        client.fetch(REPO, FILE, "main", sha256)
    assert "\n" not in str(caught.value)
    assert kept(home) == []
    hub.cut = None
    assert client.fetch(REPO, FILE, "main", sha256).read_bytes() == TEXT


def test_a_download_cut_short_goes_on_where_it_stopped(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    # The client keeps what it has in pieces of 10 MB; the file here is smaller.
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)
    sha256 = hub.put(REPO, FILE, TEXT)
    hub.cut = len(TEXT) // 3 + 1000
    assert client.fetch(REPO, FILE, "main", sha256).read_bytes() == TEXT
    assert len(hub.downloads()) == 3


def test_a_hub_that_is_gone_is_one_line(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    with serving() as gone:
        pass
    for name, value in gone.environment(home).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(BadInput, match=r"out of reach or order.*--data") as caught:
        client.fetch(REPO, FILE, "main", "0" * 64)
    assert "\n" not in str(caught.value)


def fetch_in_a_process(environment: dict[str, str], sha256: str, *after: str) -> subprocess.Popen[str]:
    code = (
        "import sys; from trm_harness.files import hub\n"
        "try: print(hub.fetch(*sys.argv[1:5]))\n"
        "except hub.BadInput as error: sys.exit(f'error: {error}')"
    )
    command = [sys.executable, "-c", code, REPO, FILE, "main", sha256]
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, **environment, "PYTHONPATH": paths}
    return subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_processes_that_ask_at_once_share_one_download(hub: Hub, home: Path) -> None:
    sha256 = hub.put(REPO, FILE, TEXT * 200)
    running = [fetch_in_a_process(hub.environment(home), sha256) for _ in range(2)]
    answers = [process.communicate(timeout=60) for process in running]
    assert [process.returncode for process in running] == [0, 0], answers
    assert len({out for out, _ in answers}) == 1
    assert len(hub.downloads()) == 1


def test_an_unwritable_cache_is_one_line(hub: Hub, home: Path) -> None:
    sha256 = hub.put(REPO, FILE, TEXT)
    home.write_text("a file, where a folder should be")
    with pytest.raises(BadInput, match="set HF_HOME") as caught:
        client.fetch(REPO, FILE, "main", sha256)
    assert "\n" not in str(caught.value)
