"""Files from the Hugging Face hub, known by their content: what comes out has the sha256 that was asked for.

The real client does the work, so ``HF_ENDPOINT``, ``HF_HOME``, ``HF_HUB_CACHE``, ``HF_HUB_OFFLINE`` and tokens mean
what they mean everywhere, and files that other tools have fetched already are found in the client's own cache.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from hashlib import sha256 as sha256_of
from pathlib import Path

from trm_harness.errors import BadInput, DataMissing
from trm_harness.fingerprint import file_sha256

_SHA256 = re.compile("[0-9a-f]{64}")
_CACHE_ONLY: ContextVar[bool] = ContextVar("cache only", default=False)


@dataclass(frozen=True)
class HubFile:
    """A file of a repository: ``revision`` is a commit, tag or branch; ``repo_type`` is ``dataset`` or ``model``."""

    repo_id: str
    filename: str
    revision: str
    repo_type: str = "dataset"

    def __str__(self) -> str:
        return f"{self.filename} of {self.repo_id} ({self.repo_type}, revision {self.revision})"

    @property
    def by_hand(self) -> str:
        """How to do without the hub, in words: what takes a file of this kind from a folder."""
        if self.repo_type == "dataset":
            return "or get the file by hand and give its folder with --data"
        if self.filename.endswith((".toml", ".json")):
            return "or bring the repository's files here by hand"
        takes = "`trm-harness eval --weights FILE` takes it, `trm-harness zoo import FILE` one of the reference"
        return f"or get the file by hand: {takes}"

    def cached(self) -> Path | None:
        """Where the client's cache has it, without asking the network."""
        from huggingface_hub import try_to_load_from_cache

        with self._explained():
            found = try_to_load_from_cache(
                self.repo_id, self.filename, cache_folder(), revision=self.revision, repo_type=self.repo_type
            )
        # The client may also answer with a marker object: known not to exist.
        return Path(found) if isinstance(found, str) else None

    def download(self) -> Path:
        """Have the client bring it into its cache. ``BadInput`` says why it could not."""
        from huggingface_hub import hf_hub_download

        with self._explained(), _no_warnings():
            found = hf_hub_download(
                self.repo_id,
                self.filename,
                revision=self.revision,
                repo_type=self.repo_type,
                cache_dir=cache_folder(),
                endpoint=endpoint(),
                local_files_only=offline(),
            )
        return Path(found)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turns the client's errors into ``BadInput``."""
        from huggingface_hub.errors import HTTPError

        try:
            yield
        # The client's own errors descend from these; a connection cut in the middle is an HTTPError of its transport.
        except (OSError, ValueError, HTTPError) as error:
            raise DataMissing(_excuse(self, error)) from error


def fetch(repo_id: str, filename: str, revision: str, sha256: str, repo_type: str = "dataset") -> Path:
    """Path of a hub file in the client's cache, downloaded if need be, its content just checked.

    ``sha256`` (64 hex digits) covers the file's bytes. A right file in the cache costs no network. Processes that ask
    at once wait for one download. ``BadInput`` if the file cannot be had or has another content; nothing of such a
    file is kept.
    """
    wanted = HubFile(repo_id, filename, revision, repo_type)
    found = wanted.cached()
    if found is not None and file_sha256(found) == sha256:
        return found
    with _locked(sha256):
        return _fetched(wanted, sha256)


def fetch_pinned(repo_id: str, filename: str, revision: str, sha256: Sequence[str], repo_type: str = "dataset") -> Path:
    """As :func:`fetch`, for a file pinned by commit and content: any of ``sha256``, first the usual one.

    The content is what counts: where a mirror does not know the commit, or the cache has the file by its branch, the
    file of ``main`` with the right content serves as well.
    """
    from huggingface_hub.errors import RevisionNotFoundError

    for known in (revision, "main"):
        found = HubFile(repo_id, filename, known, repo_type).cached()
        if found is not None and file_sha256(found) in sha256:
            return found
    wanted = HubFile(repo_id, filename, revision, repo_type)
    with _locked(sha256[0]):
        try:
            return _fetched(wanted, *sha256)
        except BadInput as error:
            if not isinstance(error.__cause__, RevisionNotFoundError):
                raise
        return _fetched(HubFile(repo_id, filename, "main", repo_type), *sha256)


@dataclass(frozen=True)
class Stated:
    """A file whose content is the one that the hub states: where it lies, its commit, and its sha256."""

    path: Path
    commit: str
    sha256: str


def fetch_stated(repo_id: str, filename: str, revision: str, repo_type: str = "dataset") -> Stated:
    """As :func:`fetch`, for a large file whose sha256 nobody pinned: what the hub itself states is checked instead.

    The hub states the sha256 of every large file, and the client names its copy in the cache by it, so the check needs
    no network later on. It finds damage, not a change of mind on the hub: put ``commit`` and ``sha256`` on record.
    ``BadInput`` as for :func:`fetch`, and for a file that the hub states no sha256 of.
    """
    wanted = HubFile(repo_id, filename, revision, repo_type)
    path = wanted.cached()
    if path is None:
        with _locked(sha256_of(str(wanted).encode()).hexdigest()):
            path = wanted.cached() or wanted.download()
    stated = path.resolve().name
    if not _SHA256.fullmatch(stated):
        raise BadInput(f"{wanted}: {endpoint()} states no sha256 to check it by: {wanted.by_hand.removeprefix('or ')}")
    content = file_sha256(path)
    if content != stated:
        _drop(path)
        raise BadInput(
            f"{wanted} has sha256 {content[:12]}..., but {stated[:12]}... is stated: nothing of it was kept; "
            f"try again, {wanted.by_hand}"
        )
    commit = path.parents[filename.count("/")].name
    return Stated(path, commit, content)


def upload(folder: Path, repo_id: str, private: bool = False, revision: str = "main") -> str:
    """Make model repository ``repo_id`` if need be and commit the files of ``folder`` to it; the commit's hash.

    The client's token and endpoint are used. ``BadInput`` says why it could not be done.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HTTPError

    if offline():
        raise BadInput("HF_HUB_OFFLINE is set: nothing can be pushed; unset it")
    api = HfApi(endpoint=endpoint())
    try:
        api.create_repo(repo_id, private=private, exist_ok=True)
        done = api.upload_folder(
            repo_id=repo_id, folder_path=folder, revision=revision, commit_message=f"Add {folder.name}"
        )
    except (OSError, ValueError, HTTPError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise BadInput(f"cannot push to {repo_id} at {endpoint()}: {reason}; log in with `hf auth login`") from error
    return done.oid


@contextmanager
def _no_warnings() -> Iterator[None]:
    """The client's word on every retry stays unsaid: if all fail, one line says so."""
    client = logging.getLogger("huggingface_hub")
    level = client.level
    client.setLevel(logging.ERROR)
    try:
        yield
    finally:
        client.setLevel(level)


def cache_folder() -> Path:
    """The client's cache: ``$HF_HUB_CACHE``, else ``hub`` in ``$HF_HOME``, else where the client keeps it by itself.

    The client reads its variables once, when it is imported; here they count at every call.
    """
    from huggingface_hub import constants

    if os.environ.get("HF_HUB_CACHE"):
        return Path(os.environ["HF_HUB_CACHE"]).expanduser()
    home = os.environ.get("HF_HOME")
    return Path(home).expanduser() / "hub" if home else Path(constants.HF_HUB_CACHE)


def endpoint() -> str:
    """Address of the hub: ``$HF_ENDPOINT``, else the client's own."""
    from huggingface_hub import constants

    return (os.environ.get("HF_ENDPOINT") or constants.ENDPOINT).rstrip("/")


@contextmanager
def cache_only() -> Iterator[None]:
    """Inside, nothing is downloaded: what is not in the cache yet cannot be had."""
    token = _CACHE_ONLY.set(True)
    try:
        yield
    finally:
        _CACHE_ONLY.reset(token)


def offline() -> bool:
    """Whether ``HF_HUB_OFFLINE`` (by the client's words for yes) or :func:`cache_only` forbids the network."""
    return _CACHE_ONLY.get() or os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}


def _fetched(wanted: HubFile, *sha256: str) -> Path:
    """As :func:`fetch`, under the lock; any of ``sha256`` will do."""
    found = wanted.cached()
    if found is not None:
        # Another process may have brought the right one while this one waited.
        if file_sha256(found) in sha256:
            return found
        _drop(found)
    path = wanted.download()
    content = file_sha256(path)
    if content in sha256:
        return path
    _drop(path)
    raise BadInput(
        f"{wanted} from {endpoint()} has sha256 {content[:12]}..., expected {sha256[0][:12]}...: nothing of it was "
        f"kept; try again, {wanted.by_hand}"
    )


@contextmanager
def _locked(name: str) -> Iterator[None]:
    """One process at a time for each content."""
    from filelock import FileLock

    folder = cache_folder() / ".locks" / "trm-harness"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / f"{name}.lock")
        lock.acquire()
    except OSError as error:
        raise BadInput(f"{folder}: cannot be written ({error.strerror}): set HF_HOME to a folder that can") from error
    try:
        yield
    finally:
        lock.release()


def _drop(path: Path) -> None:
    """Remove a cached file and the blob behind its link."""
    blob = path.resolve()
    path.unlink(missing_ok=True)
    blob.unlink(missing_ok=True)


def _excuse(wanted: HubFile, error: Exception) -> str:
    """One line for why a download failed and what to do."""
    from huggingface_hub import errors

    if offline():
        return f"{wanted} is not in {cache_folder()} and HF_HUB_OFFLINE is set: fetch it once without, {wanted.by_hand}"
    if isinstance(error, errors.RepositoryNotFoundError):
        return f"{endpoint()} has no {wanted.repo_type} {wanted.repo_id} that you may read: log in if it is private"
    if isinstance(error, errors.RevisionNotFoundError):
        return f"{endpoint()}: {wanted.repo_id} has no revision {wanted.revision!r}: check the name"
    if isinstance(error, errors.LocalEntryNotFoundError):
        return (
            f"{endpoint()} is out of reach or order for {wanted}: check the network and HF_ENDPOINT, {wanted.by_hand}"
        )
    if isinstance(error, errors.EntryNotFoundError):
        return f"{endpoint()}: {wanted.repo_id} has no file {wanted.filename!r} at revision {wanted.revision!r}"
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return f"cannot download {wanted} from {endpoint()}: {reason}; try again, {wanted.by_hand}"
