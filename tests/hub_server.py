"""A Hugging Face hub on 127.0.0.1, as much of one as the real client needs to download files and to commit them.

``with serving() as hub:`` starts it on a free port and stops it; ``hub.environment(home)`` are the variables that send
a client there, ``hub.asked`` what clients asked for, in order.
"""

from __future__ import annotations

import base64
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

    ``cut`` makes every download end after so many bytes, whatever length was promised; whoever asks for the rest (a
    Range header) gets it, so many bytes of it at a time.

    ``large`` has files stated by their sha256, as the hub does for all above 10 MB; ``stated`` states this one instead.
    Weights are taken by the protocol for large files (git LFS) and lie in ``stored`` by their sha256 until a commit
    names them. ``private`` says of every repository that a client made whether it asked for a private one.
    """

    url: str = ""
    repositories: dict[tuple[str, str], Repository] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    broken: int | None = None
    cut: int | None = None
    large: bool = False
    stated: str | None = None
    stored: dict[str, bytes] = field(default_factory=dict)
    private: dict[str, bool] = field(default_factory=dict)

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
            # The newest way to upload needs a service of its own; the client falls back to the one before.
            "HF_HUB_DISABLE_XET": "1",
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

    def do_POST(self) -> None:
        path, body = unquote(self.path.partition("?")[0]), self._body()
        self.content.asked.append((self.command, path))
        if self.content.broken:
            return self._refuse(self.content.broken, "", "out of order", True)
        if path == "/api/repos/create":
            return self._create(json.loads(body))
        if path == "/api/validate-yaml":
            return self._json({"errors": [], "warnings": []})
        if path.endswith(".git/info/lfs/objects/batch"):
            return self._instruct(json.loads(body))
        if path.startswith("/lfs-verify/"):
            return self._json({}, 200 if path.rpartition("/")[2] in self.content.stored else 404)
        kind, _, rest = path.removeprefix("/api/").partition("/")
        for verb, answer in (("preupload", self._sort), ("commit", self._commit)):
            repo_id, found, revision = rest.partition(f"/{verb}/")
            if found and (repository := self._repository(kind, repo_id, revision, send_body=True)) is not None:
                return answer(repository, body, repo_id)
        return None

    def do_PUT(self) -> None:
        body, name = self._body(), self.path.rpartition("/")[2]
        self.content.asked.append((self.command, self.path))
        if hashlib.sha256(body).hexdigest() != name:
            return self._refuse(400, "BadRequest", "content and oid differ", True)
        self.content.stored[name] = body
        return self._json({})

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _create(self, wanted: dict) -> None:
        name = "/".join(filter(None, (wanted.get("organization"), wanted["name"])))
        key = (wanted.get("type") or "model", name)
        if key in self.content.repositories:
            return self._json({"error": "You already created this repo", "url": f"{self.content.url}/{name}"}, 409)
        self.content.repositories[key] = Repository()
        self.content.private[name] = wanted.get("visibility") == "private" or bool(wanted.get("private"))
        return self._json({"url": f"{self.content.url}/{name}", "name": name})

    def _sort(self, repository: Repository, body: bytes, repo_id: str) -> None:
        """Which files travel by the protocol for large ones: weights do."""
        files = [entry["path"] for entry in json.loads(body)["files"]]
        modes = {path: "lfs" if path.endswith(".safetensors") else "regular" for path in files}
        self._json({"files": [{"path": p, "uploadMode": m, "shouldIgnore": False} for p, m in modes.items()]})

    def _instruct(self, wanted: dict) -> None:
        objects = []
        for entry in wanted["objects"]:
            oid = entry["oid"]
            links = {"upload": f"/lfs/{oid}", "verify": f"/lfs-verify/{oid}"}
            actions = {name: {"href": f"{self.content.url}{link}"} for name, link in links.items()}
            objects.append({**entry, **({} if oid in self.content.stored else {"actions": actions})})
        self._json({"transfer": "basic", "objects": objects})

    def _commit(self, repository: Repository, body: bytes, repo_id: str) -> None:
        for line in body.splitlines():
            operation = json.loads(line)
            value = operation["value"]
            if operation["key"] == "file":
                repository.files[value["path"]] = base64.b64decode(value["content"])
            elif operation["key"] == "lfsFile":
                repository.files[value["path"]] = self.content.stored[value["oid"]]
        url = f"{self.content.url}/{repo_id}/commit/{repository.commit}"
        self._json({"success": True, "commitOid": repository.commit, "commitUrl": url})

    def _json(self, value: dict, status: int = 200) -> None:
        self._send(status, json.dumps(value).encode(), {"Content-Type": "application/json"}, send_body=True)

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
        start = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").partition("-")[0])
        if start:
            etag["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        return self._send(206 if start else 200, content[start:], etag, send_body, cut=self.content.cut)

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
