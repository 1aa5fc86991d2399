"""A Hugging Face hub on 127.0.0.1, as much of one as the real client needs to download files.

``with serving() as hub:`` starts it on a free port and stops it; ``hub.environment(home)`` are the variables that send
a client there, ``hub.asked`` what clients asked for, in order.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

KINDS = {"datasets": "dataset", "models": "model"}


@dataclass
class Repository:
    """Files by name, all at one commit that every name in ``revisions`` leads to."""

    files: dict[str, bytes] = field(default_factory=dict)
    revisions: set[str] = field(default_factory=lambda: {"main"})

    @property
    def commit(self) -> str:
        """A commit hash made from the content, 40 hex digits as git's."""
        parts = [f"{name}:{hashlib.sha256(content).hexdigest()}" for name, content in sorted(self.files.items())]
        return hashlib.sha1("\n".join(parts).encode()).hexdigest()


@dataclass
class Hub:
    """The server's content and its diary. Set ``broken`` to an HTTP status to have it answer everything with that.

    ``cut`` makes every download end after so many bytes, whatever length was promised.

    ``large`` has files stated by their sha256, as the hub does for all above 10 MB; ``stated`` states this one instead.
    """

    url: str = ""
    repositories: dict[tuple[str, str], Repository] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    broken: int | None = None
    cut: int | None = None
    large: bool = False
    stated: str | None = None

    def put(
        self, repo_id: str, filename: str, content: bytes, repo_type: str = "dataset", revision: str = "main"
    ) -> str:
        """Add or replace a file; the sha256 of its content."""
        repository = self.repositories.setdefault((repo_type, repo_id), Repository())
        repository.files[filename] = content
        repository.revisions.add(revision)
        return hashlib.sha256(content).hexdigest()

    def environment(self, home: Path) -> dict[str, str]:
        """Variables of a client with its cache in ``home`` and no token."""
        return {
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(home),
            "HF_HUB_CACHE": "",
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "NO_PROXY": "127.0.0.1",
        }

    def downloads(self) -> list[str]:
        """Paths whose content was asked for."""
        return [path for verb, path in self.asked if verb == "GET" and "/resolve/" in path]


@contextmanager
def serving() -> Iterator[Hub]:
    """A running hub without repositories, stopped at the end."""
    hub = Hub()

    class Handler(_Handler):
        content = hub

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    content: Hub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer(send_body=False)

    def do_GET(self) -> None:
        self._answer(send_body=True)

    def log_message(self, format: str, *args: object) -> None:
        """Tests read ``Hub.asked``; nothing is printed."""

    def _answer(self, send_body: bool) -> None:
        path = unquote(self.path.partition("?")[0])
        self.content.asked.append((self.command, path))
        if self.content.broken:
            return self._refuse(self.content.broken, "", "out of order", send_body)
        if path.startswith("/api/"):
            return self._describe(path.removeprefix("/api/"), send_body)
        kind, rest = path.strip("/").split("/", 1) if path.startswith("/datasets/") else ("models", path.strip("/"))
        repo_id, _, place = rest.partition("/resolve/")
        revision, _, filename = place.partition("/")
        repository = self._repository(kind, repo_id, revision, send_body)
        if repository is None:
            return None
        if filename not in repository.files:
            return self._refuse(404, "EntryNotFound", "Entry not found", send_body, repository.commit)
        content = repository.files[filename]
        etag = {"ETag": f'"{hashlib.sha1(content).hexdigest()}"', "X-Repo-Commit": repository.commit}
        if self.content.large:
            etag["X-Linked-Etag"] = f'"{self.content.stated or hashlib.sha256(content).hexdigest()}"'
            etag["X-Linked-Size"] = str(len(content))
        return self._send(200, content, etag, send_body, cut=self.content.cut)

    def _repository(self, kind: str, repo_id: str, revision: str, send_body: bool) -> Repository | None:
        """The repository at ``revision``; otherwise refuses as the hub does and returns ``None``."""
        repository = self.content.repositories.get((KINDS.get(kind, ""), repo_id))
        if repository is None:
            self._refuse(404, "RepoNotFound", "Repository not found", send_body)
        elif revision not in repository.revisions | {repository.commit}:
            self._refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}", send_body)
            repository = None
        return repository

    def _describe(self, path: str, send_body: bool) -> None:
        """``/api/datasets/<owner>/<name>[/revision/<revision>]``."""
        kind, _, rest = path.partition("/")
        repo_id, _, revision = rest.partition("/revision/")
        repository = self._repository(kind, repo_id, revision or "main", send_body)
        if repository is not None:
            siblings = [{"rfilename": name} for name in sorted(repository.files)]
            told = {"id": repo_id, "sha": repository.commit, "siblings": siblings, "private": False, "tags": []}
            self._send(200, json.dumps(told).encode(), {"Content-Type": "application/json"}, send_body)

    def _refuse(self, status: int, code: str, message: str, send_body: bool, commit: str = "") -> None:
        headers = {"X-Error-Code": code, "X-Error-Message": message, "X-Repo-Commit": commit}
        headers = {name: value for name, value in headers.items() if value}
        self._send(status, json.dumps({"error": message}).encode(), headers, send_body)

    def _send(self, status: int, body: bytes, headers: dict[str, str], send_body: bool, cut: int | None = None) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if send_body:
            self.wfile.write(body[:cut])
        if send_body and cut is not None:
            self.close_connection = True
