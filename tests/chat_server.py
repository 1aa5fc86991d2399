"""A chat endpoint on this machine: a real HTTP server that speaks the chat-completions protocol for the tests."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "sk-test-4f0c9a7716d2b8e3"

TOKENS = {"prompt_tokens": 100, "completion_tokens": 40, "total_tokens": 140}


@dataclass
class Said:
    """What the server says to one request: a reply's text, or an HTTP error with its message."""

    text: str = ""
    status: int = 200
    finish: str = "stop"
    delay: float = 0.0
    error: dict[str, Any] = field(default_factory=dict)
    usage: dict[str, int] | None = field(default_factory=lambda: dict(TOKENS))
    raw: bytes | None = None


Answer = Callable[[dict[str, Any], int], Said]
"""The request's body and how many came before it, to what is said."""


@dataclass
class ChatServer:
    """``answer`` may be changed while it runs. Remembers bodies and headers, and how many were busy at once."""

    answer: Answer
    key: str = KEY
    url: str = ""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    busy: int = 0
    busiest: int = 0
    lists_models: bool = True
    lock: threading.Lock = field(default_factory=threading.Lock)
    closing: threading.Event = field(default_factory=threading.Event)

    def serve(self, body: dict[str, Any]) -> Said:
        """Answer one request, counting how many are under way."""
        with self.lock:
            number = len(self.bodies)
            self.bodies.append(body)
            self.busy += 1
            self.busiest = max(self.busiest, self.busy)
        try:
            said = self.answer(body, number)
            # A test that is over does not wait for the replies it gave up.
            self.closing.wait(said.delay)
            return said
        finally:
            with self.lock:
                self.busy -= 1


@contextmanager
def chat_server(answer: Answer) -> Iterator[ChatServer]:
    """A running server on 127.0.0.1 with a port of its own, stopped at the end."""
    chat = ChatServer(answer)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if not self._allowed():
                return
            if self.path.endswith("/models") and chat.lists_models:
                self._send(200, {"object": "list", "data": [{"id": "toy", "object": "model", "owned_by": "test"}]})
            else:
                self._send(404, {"error": {"message": "no such page"}})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if not self._allowed():
                return
            said = chat.serve(body)
            if said.raw is not None:
                self._send_bytes(said.status, said.raw)
            elif said.status != 200:
                self._send(said.status, {"error": said.error or {"message": "the server is unwell"}})
            else:
                self._send(200, completion(body, said))

        def _allowed(self) -> bool:
            chat.headers.append({name.lower(): value for name, value in self.headers.items()})
            if self.headers.get("Authorization") == f"Bearer {chat.key}":
                return True
            # Some servers repeat the key that they refuse.
            given = self.headers.get("Authorization", "").removeprefix("Bearer ")
            self._send(401, {"error": {"message": f"Incorrect API key provided: {given}", "code": "invalid_api_key"}})
            return False

        def _send(self, status: int, value: Any) -> None:
            self._send_bytes(status, json.dumps(value).encode())

        def _send_bytes(self, status: int, data: bytes) -> None:
            try:
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                # The client takes the pause before it tries again from here, so that tests need not wait.
                self.send_header("retry-after-ms", "10")
                self.end_headers()
                self.wfile.write(data)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    chat.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield chat
    finally:
        chat.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()


def completion(body: dict[str, Any], said: Said) -> dict[str, Any]:
    """The body of a chat completion."""
    message = {"role": "assistant", "content": said.text}
    whole = {
        "id": "chatcmpl-test",
        "object": "chat.completion",
        "created": 1,
        "model": body["model"],
        "choices": [{"index": 0, "message": message, "finish_reason": said.finish}],
    }
    return whole if said.usage is None else whole | {"usage": said.usage}
