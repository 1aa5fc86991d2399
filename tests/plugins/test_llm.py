"""The language model against a real local server, through the official client: runs, failures, costs, and the key."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.chat_server import KEY, ChatServer, Said, chat_server
from trm_harness import registry
from trm_harness.contracts import Metered, Model, ModelRequest
from trm_harness.errors import BadInput, CheckFailed
from trm_harness.evaluate import InferencePlan, Setting, evaluate, resume
from trm_harness.record import read
from trm_harness.solvers.sudoku import solve
from trm_model_llm import LLM, prompt
from trm_model_llm.settings import Settings
from trm_model_llm.spread import spread

from .sudoku_tasks import task

pytest.importorskip("openai")

Harness = Callable[..., subprocess.CompletedProcess[str]]


def asked(body: dict[str, Any]) -> np.ndarray:
    """The board in a request's prompt."""
    text = body["messages"][-1]["content"]
    block = re.search(r"Input:\n((?:[0-9 ]+\n)+)", text).group(1)
    return np.array([line.split() for line in block.splitlines()], np.uint8)


def right(body: dict[str, Any], number: int) -> Said:
    return Said(f"Let me think.\n```\n{prompt.grid_text(solve(asked(body)).grid)}\n```")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ChatServer]:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with chat_server(right) as running:
        yield running


def model(server: ChatServer, size: int = 4, **settings: Any) -> Model:
    """The model as the registry makes it."""
    from dataclasses import replace

    config = {**LLM.config, "model": "toy", "base_url": server.url, "retries": 2, "timeout": 20.0, **settings}
    request = ModelRequest(replace(LLM, config=config), task(size).spec)
    return registry.default().models.resolve("llm")(request)


def run(server: ChatServer, out: Path, limit: int = 6, size: int = 4, **settings: Any) -> Any:
    plan = InferencePlan("test", limit=limit)
    return evaluate(task(size), model(server, size, **settings), plan, out, Setting())


def everything(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def test_right_answers_reach_the_record(server: ChatServer, tmp_path: Path) -> None:
    record = run(server, tmp_path / "run")
    assert record.headline.value == 1.0
    assert (record.model.family, record.model.network_parameters) == ("llm", 0)
    config = record.model.config
    assert config["model"] == "toy"
    assert config["endpoint"] == server.url.split("/")[2]
    assert config["prompt_sha256"] == prompt.fingerprint(config["prompt"])
    assert config["prompt"] == prompt.template(task(4).spec)
    assert config["sampling"] == {"temperature": 0.0, "max_tokens": None, "seeded": False, "extra": {}}
    assert config["client"].startswith("openai ")
    # What was sent is the recorded template with the puzzle in it, and nothing else.
    sent = {body["messages"][0]["content"] for body in server.bodies}
    puzzles = task(4).puzzles("test")[:6]
    assert sent == {prompt.render(config["prompt"], puzzle) for puzzle in puzzles}
    assert {(body["model"], body["temperature"]) for body in server.bodies} == {("toy", 0.0)}
    assert all("max_tokens" not in body and "seed" not in body for body in server.bodies)


def test_tokens_and_price_are_counted(server: ChatServer, tmp_path: Path) -> None:
    record = run(server, tmp_path / "run", input_price=2.0, output_price=10.0)
    assert record.cost.usage["replies"] == 6
    assert record.cost.usage["input_tokens"] == 600
    assert record.cost.usage["output_tokens"] == 240
    assert record.cost.dollars == pytest.approx(6 * (100 * 2 + 40 * 10) / 1e6)
    assert record.cost.dollars_basis
    assert read(tmp_path / "run").cost == record.cost


def test_no_price_without_prices_or_with_uncounted_tokens(server: ChatServer, tmp_path: Path) -> None:
    assert run(server, tmp_path / "priceless").cost.dollars is None
    server.answer = lambda body, number: Said(right(body, number).text, usage=None)
    record = run(server, tmp_path / "uncounted", input_price=2.0, output_price=10.0)
    assert record.cost.dollars is None
    assert record.cost.usage["replies_without_token_count"] == 6


def test_two_runs_of_one_model_have_accounts_of_their_own(server: ChatServer, tmp_path: Path) -> None:
    subject = model(server, input_price=1.0, output_price=1.0)
    assert isinstance(subject, Metered)
    first = evaluate(task(4), subject, InferencePlan("test", limit=2), tmp_path / "first", Setting())
    second = evaluate(task(4), subject, InferencePlan("test", limit=3), tmp_path / "second", Setting())
    assert (first.cost.usage["replies"], second.cost.usage["replies"]) == (2, 3)
    assert second.cost.dollars == pytest.approx(3 * 140 / 1e6)


def test_sampling_settings_are_sent(server: ChatServer, tmp_path: Path) -> None:
    extra = {"reasoning_effort": "low", "top_k": 3}
    run(server, tmp_path / "run", 3, temperature=0.7, max_tokens=99, seeded=True, extra=extra)
    for body in server.bodies:
        assert (body["temperature"], body["max_tokens"], body["reasoning_effort"], body["top_k"]) == (0.7, 99, "low", 3)
    assert len({body["seed"] for body in server.bodies}) == 3
    server.bodies.clear()
    run(server, tmp_path / "other", 1, temperature=None, max_tokens=5, max_tokens_field="max_completion_tokens")
    assert server.bodies[0]["max_completion_tokens"] == 5
    assert "temperature" not in server.bodies[0]


def test_views_of_a_puzzle_vote(server: ChatServer, tmp_path: Path) -> None:
    def sometimes(body: dict[str, Any], number: int) -> Said:
        # Wrong for the boards as they stand, right through their other views.
        first = {puzzle.input.tobytes() for puzzle in task(4).puzzles("test")[:3]}
        return Said("1") if asked(body).tobytes() in first else right(body, number)

    server.answer = sometimes
    plan = InferencePlan("test", limit=3, augment=4)
    record = evaluate(task(4), model(server), plan, tmp_path / "run", Setting())
    assert record.score("exact", "puzzles", "single").value == 0.0
    assert record.score("exact", "puzzles", "voted").value == 1.0


@pytest.mark.parametrize(
    ("said", "count"),
    [
        (Said("I give up."), "replies_without_grid"),
        (Said(""), "replies_without_grid"),
        (Said("```\n1 2 3 4\n1 2\n```"), "replies_without_grid"),
        (Said("1 2 3 4\n2 1", finish="length"), "replies_cut_short"),
        (Said("", finish="content_filter"), "prompts_refused"),
        (
            Said(status=400, error={"message": "maximum context length is 9", "code": "context_length_exceeded"}),
            "prompts_refused",
        ),
    ],
)
def test_replies_without_a_grid_are_no_answers_and_are_counted(
    server: ChatServer, tmp_path: Path, said: Said, count: str
) -> None:
    server.answer = lambda body, number: said if number == 1 else right(body, number)
    record = run(server, tmp_path / "run", 4, concurrency=1, input_price=1.0, output_price=1.0)
    assert record.cost.usage[count] == 1
    assert record.headline.numerator == 3
    assert record.cost.dollars is not None
    rows = [json.loads(line) for line in (tmp_path / "run" / "journal.jsonl").read_text().splitlines()]
    assert [row[4] == [None] for row in rows] == [False, True, False, False]


def test_a_server_error_is_tried_again(server: ChatServer, tmp_path: Path) -> None:
    server.answer = lambda body, number: Said(status=500) if number < 2 else right(body, number)
    record = run(server, tmp_path / "run", 3, concurrency=1)
    assert record.headline.value == 1.0
    assert len(server.bodies) == 5
    assert record.cost.usage["replies"] == 3


def test_an_outage_stops_the_run_and_resume_finishes_it(server: ChatServer, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    server.answer = lambda body, number: right(body, number) if number < 5 else Said(status=503)
    with pytest.raises(CheckFailed, match="after 1 tries"):
        run(server, folder, 12, concurrency=1, retries=0, input_price=1.0, output_price=1.0)
    stopped = read(folder)
    assert stopped.status == "error"
    # The batch that failed is asked again; its replies had a price all the same.
    assert stopped.progress.rows == 4
    assert stopped.cost.usage["replies"] == 5
    server.answer = right
    record = resume(folder, task(4), model(server, concurrency=1, input_price=1.0, output_price=1.0))
    assert record.status == "success"
    assert record.headline.value == 1.0
    assert record.cost.usage["replies"] == 5 + 8
    assert record.cost.dollars == pytest.approx(13 * 140 / 1e6)
    assert sum(session.usage["replies"] for session in record.sessions) == 13


def test_a_slow_reply_times_out_in_one_line(server: ChatServer, tmp_path: Path) -> None:
    server.answer = lambda body, number: Said("1", delay=1.5)
    began = time.monotonic()
    with pytest.raises(CheckFailed, match=r"longer than 0\.3 s.*timeout=SECONDS"):
        run(server, tmp_path / "run", 2, timeout=0.3, retries=0)
    assert time.monotonic() - began < 10


def test_requests_run_at_once_and_never_more_than_allowed(server: ChatServer, tmp_path: Path) -> None:
    gate = threading.Barrier(4)

    def together(body: dict[str, Any], number: int) -> Said:
        # Passes only if four requests are here at the same time.
        gate.wait(timeout=10)
        return right(body, number)

    server.answer = together
    assert run(server, tmp_path / "run", 8, concurrency=4, retries=0).headline.value == 1.0
    assert server.busiest == 4


def test_answers_stay_with_their_puzzles_whatever_comes_first(server: ChatServer, tmp_path: Path) -> None:
    server.answer = lambda body, number: Said(right(body, number).text, delay=0.15 if number % 3 == 0 else 0)
    assert run(server, tmp_path / "run", 16, concurrency=8).headline.value == 1.0


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        (Said(status=400, error={"message": "temperature is not supported"}), r"HTTP 400.*temperature is not supp"),
        (Said(status=404, error={"message": "no such model"}), r"no model 'toy'"),
        (Said(status=403), "refuses the key"),
        (Said(status=429, error={"message": "slow down"}), "slow down"),
        (Said(raw=b"<html>hello</html>"), "no chat completion"),
        (Said(raw=b'{"object": "chat.completion", "choices": []}'), "no chat completion"),
    ],
)
def test_failures_take_one_line(server: ChatServer, tmp_path: Path, said: Said, complaint: str) -> None:
    server.answer = lambda body, number: said
    with pytest.raises((BadInput, CheckFailed), match=complaint) as caught:
        run(server, tmp_path / "run", 2, retries=1)
    assert "\n" not in str(caught.value)
    assert read(tmp_path / "run").status == "error"


def test_an_endpoint_without_a_list_of_models_will_do(server: ChatServer, tmp_path: Path) -> None:
    server.lists_models = False
    assert run(server, tmp_path / "run", 1).headline.value == 1.0


def settings(server: ChatServer, *more: str) -> list[str]:
    pairs = ("model=toy", f"base_url={server.url}", "retries=1", *more)
    return [part for pair in pairs for part in ("--set", pair)]


def test_the_command_line_from_end_to_end(server: ChatServer, harness: Harness, tmp_path: Path) -> None:
    call = ["eval", "--task", "sudoku-4x4", "--model", "llm", "--limit", "4", "--out", "run"]
    done = harness(*call, *settings(server, "input_price=3", "output_price=15"))
    assert done.returncode == 0, done.stderr
    record = read(tmp_path / "run")
    assert record.headline.value == 1.0
    assert record.cost.dollars == pytest.approx(4 * (300 + 600) / 1e6)
    shown = harness("runs", "show", "run")
    for text in (done.stdout, shown.stdout):
        assert "toy" in text
        assert "$0.0036" in text
    for spoken in (done.stdout, done.stderr, shown.stdout):
        assert KEY not in spoken
    assert KEY.encode() not in everything(tmp_path)
    assert all(header["authorization"] == f"Bearer {KEY}" for header in server.headers)


@pytest.mark.parametrize("server_lists", [True, False])
def test_a_refused_key_is_one_line_that_never_shows_it(
    server: ChatServer, harness: Harness, tmp_path: Path, server_lists: bool
) -> None:
    server.key, server.lists_models = "another", server_lists
    call = ["eval", "--task", "sudoku-4x4", "--model", "llm", "--limit", "2", "--out", "run", *settings(server)]
    done = harness(*call, TRM_HARNESS_DEBUG="1")
    assert done.returncode == 2
    assert "refuses the key in OPENAI_API_KEY (HTTP 401)" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "run").exists()
    assert KEY not in done.stdout + done.stderr


def test_a_server_that_repeats_the_key_does_not_bring_it_into_the_record(server: ChatServer, tmp_path: Path) -> None:
    echo = {"message": f"bad request by {KEY}"}
    server.answer = lambda body, number: Said(status=400, error=echo)
    with pytest.raises(BadInput, match="<OPENAI_API_KEY>") as caught:
        run(server, tmp_path / "run", 1)
    assert KEY not in str(caught.value)
    assert caught.value.__cause__ is None
    assert "<OPENAI_API_KEY>" in read(tmp_path / "run").message
    assert KEY.encode() not in everything(tmp_path)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"model": ""}, "model"),
        ({"model": 4}, "model"),
        ({"base_url": ""}, "no endpoint.*OPENAI_BASE_URL"),
        ({"base_url": "localhost:8000"}, "no address"),
        ({"base_url": "ftp://somewhere/v1"}, "no address"),
        ({"base_url": "http://me:hunter2@127.0.0.1/v1"}, "password"),
        ({"base_url": "http://127.0.0.1/v1?key=hunter2"}, "password or a query"),
        ({"temperature": -1}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens_field": "limit"}, "max_completion_tokens"),
        ({"concurrency": 0}, "concurrency"),
        ({"concurrency": 2.5}, "concurrency"),
        ({"retries": -1}, "retries"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": float("inf")}, "timeout"),
        ({"seeded": 1}, "seeded"),
        ({"extra": [1]}, "extra"),
        ({"input_price": 1.0}, "both prices"),
        ({"input_price": -1.0, "output_price": 1.0}, "input_price"),
        ({"prompt": "Solve it."}, r"\{input\}"),
        ({"extra": {"header": f"Bearer {KEY}"}}, "holds the key"),
        ({"model": KEY}, "holds the key"),
    ],
)
def test_wrong_settings_are_refused_before_anything_is_asked(
    server: ChatServer, change: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(BadInput, match=complaint) as caught:
        model(server, **change)
    assert "\n" not in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert KEY not in str(caught.value)
    assert not server.headers


def test_the_key_comes_from_the_environment_only(server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(BadInput, match="OPENAI_API_KEY is not set"):
        model(server)
    assert not any("key" in name for name in LLM.config)


def test_the_address_may_come_from_the_environment(server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    assert model(server, base_url="").facts().config["endpoint"] == server.url.split("/")[2]


def test_two_ctrl_c_do_not_wait_for_slow_replies(server: ChatServer, tmp_path: Path) -> None:
    server.answer = lambda body, number: Said("1", delay=60)
    call = ["eval", "--task", "sudoku-4x4", "--model", "llm", "--limit", "4", "--out", "run", *settings(server)]
    process = subprocess.Popen(
        [sys.executable, "-m", "trm_harness", *call], cwd=tmp_path, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while not server.busy and time.monotonic() < deadline:
        time.sleep(0.05)
    for _ in range(2):
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 130, errors
    assert "finishing this batch" in errors
    assert read(tmp_path / "run").status == "cancelled"


def test_a_key_on_the_command_line_is_refused_and_not_repeated(server: ChatServer, harness: Harness) -> None:
    call = ["eval", "--task", "sudoku-4x4", "--model", "llm", *settings(server, f"api_key={KEY}")]
    done = harness(*call)
    assert done.returncode == 2
    assert "api_key" in done.stderr
    assert KEY not in done.stdout + done.stderr


def test_the_leaderboard_names_who_answered_and_the_price_of_a_task(server: ChatServer, tmp_path: Path) -> None:
    from trm_harness.leaderboard.rows import record_row

    row = record_row(run(server, tmp_path / "run", 4, input_price=3.0, output_price=15.0))
    assert row.system == "llm toy"
    assert next(iter(row.results.values())).cost_usd == pytest.approx(900 / 1e6)


def test_nobody_there(server: ChatServer, harness: Harness, tmp_path: Path) -> None:
    call = [
        "eval",
        "--task",
        "sudoku-4x4",
        "--model",
        "llm",
        "--out",
        "run",
        "--set",
        "model=toy",
        "--set",
        "retries=0",
    ]
    done = harness(*call, "--set", "base_url=http://127.0.0.1:9/v1")
    assert done.returncode == 2
    assert "endpoint 127.0.0.1:9 does not answer" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_without_the_client_one_line_says_how_to_get_it(server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(BadInput, match=r"trm-harness\[llm\]"):
        model(server)


def test_weights_are_refused(server: ChatServer) -> None:
    with pytest.raises(BadInput, match="no weights"):
        registry.default().models.resolve("llm")(ModelRequest(LLM, task(4).spec, weights=Path("some.safetensors")))


def test_listing_models_imports_no_client() -> None:
    code = (
        "import sys; from trm_harness.registry import default; default().models.spec('llm'); "
        "print('openai' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "False"


def test_every_setting_has_a_default_in_the_spec() -> None:
    from dataclasses import fields

    assert set(LLM.config) == {entry.name for entry in fields(Settings)}


def test_spread_keeps_order_and_stops_at_the_first_failure() -> None:
    assert spread(lambda n: n * n, range(50), 7) == [n * n for n in range(50)]
    assert spread(lambda n: n, [], 3) == []
    done: list[int] = []

    def work(n: int) -> None:
        if n == 3:
            raise ValueError("three")
        done.append(n)

    with pytest.raises(ValueError, match="three"):
        spread(work, range(100), 1)
    assert done == [0, 1, 2]
