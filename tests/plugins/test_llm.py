"""The language model against a real local server, through the official client: runs, failures, costs, and the key."""

from __future__ import annotations

import json
import lzma
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.chat_server import KEY, ChatServer, Said, chat_server
from trm_harness import registry
from trm_harness.contracts import Metered, Model, ModelRequest
from trm_harness.errors import BadInput, CheckFailed
from trm_harness.evaluate import Setting, evaluate, resume
from trm_harness.inference import InferencePlan
from trm_harness.record import journal, read
from trm_harness.solvers.sudoku import solve
from trm_model_llm import LLM, prompt
from trm_model_llm.estimate import token_count
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
    record = run(server, tmp_path / "told", 1, system="Answer with a grid alone.", reasoning_effort="high")
    assert [said["role"] for said in server.bodies[0]["messages"]] == ["system", "user"]
    assert server.bodies[0]["reasoning_effort"] == "high"
    told = record.model.config["sampling"]
    assert (told["system"], told["reasoning_effort"]) == ("Answer with a grid alone.", "high")
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


def test_two_samples_of_a_puzzle_are_two_attempts(server: ChatServer, tmp_path: Path) -> None:
    def now_and_then(body: dict[str, Any], number: int) -> Said:
        # Every puzzle is asked twice, and answered wrongly first.
        board = asked(body).tobytes()
        seen.append(board)
        return right(body, number) if seen.count(board) == 2 else Said("1 1 1 1\n" * 4)

    seen: list[bytes] = []
    server.answer = now_and_then
    plan = InferencePlan("test", limit=3, restarts=2, attempts=2)
    record = evaluate(task(4), model(server, temperature=1.0, concurrency=1), plan, tmp_path / "run", Setting())
    assert len(server.bodies) == 6
    assert record.score("exact", "puzzles", "single").value == 0.0
    assert record.score("pass@2", "puzzles", "voted").value == 1.0


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
    assert stopped.progress.rows == 5
    assert stopped.cost.usage["replies"] == 5
    server.answer = right
    record = resume(folder, task(4), model(server, concurrency=1, input_price=1.0, output_price=1.0))
    assert record.status == "success"
    assert record.headline.value == 1.0
    assert record.cost.usage["replies"] == 5 + 7
    assert record.cost.dollars == pytest.approx(12 * 140 / 1e6)
    assert sum(session.usage["replies"] for session in record.sessions) == 12


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
        assert "a service: what is behind it, and what that was trained on, is unknown" in text
        assert "s an answer, by a service" in text
        # It has no halting head and runs on no machine of ours.
        assert "halted" not in text
        assert "peak memory" not in text
        assert " on cpu" not in text
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


def test_spread_gives_all_and_stops_at_the_first_failure() -> None:
    assert sorted(spread(lambda n: n * n, range(50), 7)) == [(n, n * n) for n in range(50)]
    assert list(spread(lambda n: n, [], 3)) == []
    done: list[int] = []

    def work(n: int) -> None:
        if n == 3:
            raise ValueError("three")
        done.append(n)

    with pytest.raises(ValueError, match="three"):
        list(spread(work, range(100), 1))
    assert done == [0, 1, 2]


def raw(content: Any) -> Said:
    """A reply with status 200 and any body."""
    return Said(raw=json.dumps(content).encode())


def failing(body: dict[str, Any], finish: str = "error", **more: Any) -> Said:
    choice = {"index": 0, "message": {"role": "assistant", "content": ""}, "finish_reason": finish, **more}
    return raw({"id": "c", "object": "chat.completion", "created": 1, "model": "toy", "choices": [choice]})


ERRORS_IN_200 = {
    "instead of choices": raw({"error": {"message": "Provider returned error", "code": 429}, "user_id": "u"}),
    "beside empty choices": raw({"choices": [], "error": {"message": "Provider returned error", "code": 502}}),
    "as a word": raw({"error": "Provider returned error"}),
    "as an object": raw({"object": "error", "message": "Provider returned error", "code": 50001}),
    "as a detail": raw({"detail": "Provider returned error"}),
    "as a state": raw({"choices": None, "base_resp": {"status_code": 1000, "status_msg": "Provider returned error"}}),
    "as a reason to finish": failing({}, error={"code": 502, "message": "Provider returned error"}),
    "in a choice": failing({}, finish="stop", error={"message": "Provider returned error"}),
}


@pytest.mark.parametrize("form", ERRORS_IN_200)
def test_an_error_inside_a_reply_is_tried_again_and_stops_the_run_in_its_own_words(
    server: ChatServer, tmp_path: Path, form: str
) -> None:
    server.answer = lambda body, number: ERRORS_IN_200[form] if number in (1, 2) else right(body, number)
    assert run(server, tmp_path / "mended", 4, concurrency=1).headline.value == 1.0
    tries = [line["tries"] for line in transcripts(tmp_path / "mended")]
    assert tries == [1, 3, 1, 1]
    server.answer = lambda body, number: ERRORS_IN_200[form]
    server.bodies.clear()
    with pytest.raises(CheckFailed, match=r"after 3 tries .Provider returned error") as caught:
        run(server, tmp_path / "broken", 1)
    assert len(server.bodies) == 3
    assert "\n" not in str(caught.value)


def test_a_failure_without_words_is_no_wrong_answer(server: ChatServer, tmp_path: Path) -> None:
    server.answer = lambda body, number: failing(body) if number == 0 else right(body, number)
    assert run(server, tmp_path / "run", 2, concurrency=1).headline.value == 1.0


def test_a_quote_adds_up_over_views_and_samples_and_asks_nobody(
    server: ChatServer, harness: Harness, tmp_path: Path
) -> None:
    call = ("eval", "--task", "sudoku-4x4", "--model", "llm", "--limit", "6", "--dry-run")
    prices = settings(server, "input_price=2", "output_price=10", "max_tokens=1000")
    (once,) = json.loads(harness(*call, "--json", *prices).stdout)
    twice = ("--augment", "2", "--restarts", "2")
    (more,) = json.loads(harness(*call, "--json", *twice, *prices).stdout)
    assert (once["answers"], more["answers"], once["quoted"], more["quoted"]) == (6, 24, 6, 24)
    # The views of a board have as many cells, so the use grows as the calls do.
    assert more["usage"] == pytest.approx({name: 4 * value for name, value in once["usage"].items()})
    use = once["usage"]
    # A 4x4 grid: 16 digits, 12 spaces between them, 3 line ends.
    assert (use["output_tokens_least"], use["output_tokens_most"]) == (6 * 31, 6000)
    assert use["dollars_most"] == pytest.approx((2 * use["input_tokens"] + 10 * 6000) / 1e6)
    said = harness(*call, *settings(server)).stdout
    assert f"6 calls; about {use['input_tokens']:,.0f} tokens in" in said
    assert "estimated from every prompt" in said
    assert "price unknown" in said
    assert server.bodies == []
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("text", "tokens"), [("", 0), ("1 0 12\n3", 7), ("Find its output grid.", 5), ("incomprehensibly", 2), ("äöü ß", 2)]
)
def test_tokens_are_counted_as_byte_pair_vocabularies_cut(text: str, tokens: int) -> None:
    assert token_count(text) == tokens


def transcripts(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "replies.jsonl").read_text().splitlines()]


def rows(folder: Path) -> list[list[Any]]:
    return [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]


def test_what_was_said_is_kept_beside_the_journal(server: ChatServer, tmp_path: Path) -> None:
    server.answer = lambda body, number: Said(right(body, number).text, delay=0.1 if number % 2 else 0)
    record = run(server, tmp_path / "run", 6)
    kept = {line["puzzle"]: line for line in transcripts(tmp_path / "run")}
    puzzles = task(4).puzzles("test")[:6]
    assert [row[0] for row in rows(tmp_path / "run")] == [puzzle.id for puzzle in puzzles]
    for puzzle in puzzles:
        said = kept[puzzle.id]
        assert said["prompt"] == prompt.render(record.model.config["prompt"], puzzle)
        assert said["reply"] == f"Let me think.\n```\n{prompt.grid_text(puzzle.answer)}\n```"
        assert (said["finish"], said["tries"], said["view"], said["refused"]) == ("stop", 1, 0, False)
        assert (said["input_tokens"], said["output_tokens"]) == (100, 40)


def test_one_failure_loses_no_reply_that_came(server: ChatServer, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    server.answer = lambda body, number: Said(status=503) if number == 9 else right(body, number)
    with pytest.raises(CheckFailed):
        run(server, folder, 30, retries=0, concurrency=4)
    stopped = read(folder)
    kept = len(rows(folder))
    assert kept == stopped.cost.usage["replies"] == stopped.progress.rows == len(transcripts(folder)) >= 9
    asked_before = len(server.bodies)
    server.answer = right
    record = resume(folder, task(4), model(server))
    assert record.headline.value == 1.0
    assert record.cost.usage["replies"] == 30
    assert len(server.bodies) - asked_before == 30 - kept
    assert [row[0] for row in rows(folder)] == [puzzle.id for puzzle in task(4).puzzles("test")[:30]]


def test_a_killed_run_keeps_what_came_and_resume_asks_for_the_rest(
    server: ChatServer, harness: Harness, tmp_path: Path
) -> None:
    gate = threading.Event()

    def slow(body: dict[str, Any], number: int) -> Said:
        if number >= 10:
            gate.wait(60)
        return right(body, number)

    server.answer = slow
    call = ["eval", "--task", "sudoku-4x4", "--model", "llm", "--limit", "16", "--out", "run", *settings(server)]
    process = subprocess.Popen([sys.executable, "-m", "trm_harness", *call], cwd=tmp_path, stderr=subprocess.DEVNULL)
    file = tmp_path / "run" / "journal.jsonl"
    deadline = time.monotonic() + 90
    while not (file.exists() and file.read_bytes().count(b"\n") == 10) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.kill()
    process.wait()
    gate.set()
    assert len(rows(tmp_path / "run")) == 10
    # Killed between transcript and journal, and in the middle of a transcript's line.
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:-1]))
    with (tmp_path / "run" / "replies.jsonl").open("ab") as replies:
        replies.write(b'{"puzzle": "test-0')
    server.bodies.clear()
    server.answer = right
    done = harness("eval", "--resume", "run")
    assert done.returncode == 0, done.stderr
    assert len(server.bodies) == 6
    assert read(tmp_path / "run").headline.value == 1.0
    assert len(transcripts(tmp_path / "run")) == 16


def test_a_better_reader_needs_no_new_calls(server: ChatServer, harness: Harness, tmp_path: Path) -> None:
    call = ["eval", "--task", "sudoku-4x4", "--model", "llm", "--limit", "3", "--augment", "2", "--out", "run"]
    assert harness(*call, *settings(server)).returncode == 0
    calls, file = len(server.bodies), tmp_path / "run" / "journal.jsonl"
    # As a reader would have left it that understood nothing.
    file.write_bytes(b"".join(journal.encode(replace(row, answers=(None,))) for row in journal.read(file)))
    # Without key and endpoint: nobody is asked.
    done = harness("runs", "score", "run", OPENAI_API_KEY="", OPENAI_BASE_URL="")
    assert done.returncode == 0, done.stderr
    assert "100.00 %" in done.stdout
    assert "the same as" in done.stdout
    (tmp_path / "run" / "replies.jsonl").unlink()
    assert "DIFFERS from" in harness("runs", "score", "run").stdout
    assert len(server.bodies) == calls


def test_what_was_said_is_shown_with_the_puzzle(server: ChatServer, harness: Harness, tmp_path: Path) -> None:
    server.answer = lambda body, number: Said("I give up\x1b[2J.", finish="length")
    call = ["eval", "--task", "sudoku-4x4", "--model", "llm", "--limit", "1", "--out", "run", *settings(server)]
    assert harness(*call).returncode == 0
    name = task(4).puzzles("test")[0].id
    done = harness("runs", "show", "run", "--puzzle", name)
    assert f"asked for {name}, view 0: finish length, tries 1" in done.stdout
    assert "--- prompt\nFill in the 4 by 4 Sudoku" in done.stdout
    assert "--- reply\nI give up\\x1b[2J." in done.stdout
    shown = json.loads(harness("runs", "show", "run", "--puzzle", name, "--json").stdout)
    assert shown[0]["transcripts"][0]["reply"] == "I give up\x1b[2J."


def test_samples_are_told_apart_and_no_halting_score_is_shown(
    server: ChatServer, harness: Harness, tmp_path: Path
) -> None:
    answers = ["1 2 3 4\n3 4 1 2\n2 1 4 3\n4 3 2 1", "I give up."]
    server.answer = lambda body, number: Said(answers[number])
    call = ["eval", "--task", "sudoku-4x4", "--model", "llm", "--limit", "1", "--restarts", "2", "--attempts", "2"]
    prices = settings(server, "input_price=0.3", "output_price=1.2", "concurrency=1")
    said = harness(*call, "--out", "run", *prices).stdout
    assert "2 attempts, 2 samples vote" in said
    # At temperature 0, the default, two samples are mostly one.
    assert "note      2 samples at temperature 0 are mostly the same: --set temperature=0.7" in said
    name = task(4).puzzles("test")[0].id
    shown = [harness("runs", "show", "run", *more).stdout for more in ((), ("--puzzle", name))]
    assert not any("halting" in text or "HALT" in text for text in [said, *shown])
    assert "SAMPLES" in shown[0]
    assert "oracle: UPPER BOUND" in shown[0]
    assert shown[0].count("dollars") + shown[0].count("$") == 1, "the price stands there once"
    assert "attempt 1: wrong, 1 vote\n" in shown[1]
    assert [f"view 0, sample {number}: " in shown[1] for number in (1, 2)] == [True, True]
    # A cent is a lot for two replies; a price of next to nothing is no price of nothing.
    assert "at least $0.000" in harness(*call, "--dry-run", *prices).stdout
    warm = harness(*call, "--out", "warm", *settings(server, "temperature=0.7")).stdout
    assert "temperature" not in warm


def test_a_prompt_that_is_refused_stops_nobody_else(server: ChatServer, tmp_path: Path) -> None:
    first = Said(status=400, error={"message": "something about this one"})
    server.answer = lambda body, number: first if number == 0 else right(body, number)
    record = run(server, tmp_path / "run", 8, concurrency=1)
    assert (record.headline.numerator, record.cost.usage["prompts_refused"]) == (7, 1)
    refused = [line for line in transcripts(tmp_path / "run") if line["refused"]]
    assert "something about this one" in refused[0]["said"]


def test_settings_that_are_refused_stop_the_run_soon(server: ChatServer, tmp_path: Path) -> None:
    server.answer = lambda body, number: Said(status=400, error={"message": "temperature is not supported"})
    with pytest.raises(BadInput, match="temperature is not supported"):
        run(server, tmp_path / "run", 40, concurrency=2)
    assert len(server.bodies) < 12
    assert not rows(tmp_path / "run")


REFUSALS = [
    (400, "repetitive patterns in your prompt", "invalid_prompt"),
    (400, "the request exceeds the available context size. try increasing it", ""),
    (400, "request (5210 tokens) exceeds the available context size (4096 tokens)", ""),
    (400, "prompt is too long: 210000 tokens > 200000 maximum", ""),
    (400, "The input token count (9) exceeds the maximum number of tokens allowed (8).", ""),
    (400, "The decoder prompt (length 9) is longer than the maximum model length of 8.", ""),
    (422, "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096", ""),
    (422, "Input validation error: `inputs` must have less than 4095 tokens. Given: 9", ""),
    (400, "Prompt contains 9 tokens, too large for model with 8 maximum context length", ""),
    (400, "This model's maximum prompt length is 8 but the request contains 9 tokens.", ""),
    (400, "Please reduce the length of the messages or completion.", ""),
    (400, "Input is too long for requested model.", ""),
    (400, "Range of input length should be [1, 30720]", ""),
    (400, "Prompt exceeds max length", "1261"),
    (400, "too many tokens: total number of tokens in the prompt cannot exceed 8", ""),
    (413, "Request Entity Too Large", ""),
    (500, "the request exceeds the available context size", ""),
    (400, "Input data may contain inappropriate content", "data_inspection_failed"),
    (403, "Your input was flagged", "403"),
    (200, "This endpoint's maximum context length is 8 tokens", 400),
    (200, "maximum context length is 8 tokens", 40303),
]
"""Status (200: the error stands in a reply), words and code with which servers refuse a prompt."""


@pytest.mark.parametrize(("status", "words", "code"), REFUSALS, ids=[words[:40] for _, words, _ in REFUSALS])
def test_a_prompt_too_long_or_filtered_is_that_prompts_fault_alone(
    server: ChatServer, tmp_path: Path, status: int, words: str, code: str | int
) -> None:
    error = {"message": words, "code": code}
    said = raw({"error": error}) if status == 200 else Said(status=status, error=error)
    server.answer = lambda body, number: said
    record = run(server, tmp_path / "run", 2, retries=0)
    assert record.cost.usage["prompts_refused"] == 2


@pytest.mark.parametrize(
    "words",
    [
        "temperature is not supported",
        "max_tokens is too large: 100000. This model supports at most 16384 completion tokens",
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
        "Invalid value for 'seed': integer above maximum value",
        "model `gpt-9` does not exist",
        "reasoning_effort must be one of low, medium, high",
    ],
)
def test_words_about_settings_are_not_taken_for_the_prompts_fault(words: str) -> None:
    from trm_model_llm.refusals import is_of_the_prompt

    assert not is_of_the_prompt(400, words)


def test_content_in_parts_and_thoughts_apart(server: ChatServer, tmp_path: Path) -> None:
    def parts(body: dict[str, Any], number: int) -> Said:
        grid = prompt.grid_text(solve(asked(body)).grid)
        thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "1 1\n1 1"}]}
        content = [thinking, {"type": "reasoning", "text": "2 2\n2 2"}, {"type": "text", "text": f"So:\n{grid}"}]
        message = {"role": "assistant", "content": content, "reasoning_content": "3 3\n3 3"}
        return raw({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "model": "toy"})

    server.answer = parts
    assert run(server, tmp_path / "run", 3).headline.value == 1.0
    assert transcripts(tmp_path / "run")[0]["thoughts"] == "3 3\n3 3\n2 2\n2 2"

    def only_thoughts(body: dict[str, Any], number: int) -> Said:
        message = {"role": "assistant", "content": None, "reasoning": prompt.grid_text(solve(asked(body)).grid)}
        return raw({"choices": [{"index": 0, "message": message, "finish_reason": "length"}], "model": "toy"})

    server.answer = only_thoughts
    record = run(server, tmp_path / "thoughts", 2)
    assert (record.headline.value, record.cost.usage["replies_without_grid"]) == (0.0, 2)


def test_a_key_that_a_reply_repeats_is_in_no_file(server: ChatServer, tmp_path: Path) -> None:
    server.answer = lambda body, number: Said(f"Your key is {KEY}.")
    run(server, tmp_path / "run", 1)
    assert KEY.encode() not in everything(tmp_path)
    assert transcripts(tmp_path / "run")[0]["reply"] == "Your key is <OPENAI_API_KEY>."


def test_on_the_board_a_service_is_a_level_of_its_own(server: ChatServer, harness: Harness, tmp_path: Path) -> None:
    call = ("eval", "--task", "sudoku-4x4", "--model", "llm", "--limit", "4", "--out", "run")
    assert harness(*call, *settings(server)).returncode == 0
    filed = harness("leaderboard", "add", "run", "--to", "board/records")
    assert filed.returncode == 0, filed.stderr
    # What was paid for is filed too, and read where it lies.
    place = tmp_path / filed.stdout.removeprefix("filed ").strip()
    assert lzma.decompress((place / "replies.jsonl.xz").read_bytes()) == (tmp_path / "run/replies.jsonl").read_bytes()
    assert "replies.jsonl.xz" in json.loads((place / "manifest.json").read_text())["files"]
    puzzle = transcripts(tmp_path / "run")[0]["puzzle"]
    told = [harness("runs", "show", str(folder), "--puzzle", puzzle).stdout for folder in ("run", place)]
    assert told[0] == told[1]
    assert "--- reply" in told[0]
    assert harness("runs", "score", str(place)).returncode == 0
    (tmp_path / "board/reported").mkdir()
    assert harness("leaderboard", "check", "--root", "board").returncode == 0
    assert harness("leaderboard", "build", "--root", "board", "--out", "site").returncode == 0
    table = (tmp_path / "site" / "tasks" / "sudoku-4x4.html").read_text()
    (record,) = (tmp_path / "site" / "records").rglob("*.html")
    (page,) = (tmp_path / "site" / "models").glob("*.html")
    for text in (table, record.read_text(), page.read_text()):
        assert "service, re-scored" in text
        assert "service, training unknown" in text
        assert "nothing trained" not in text
    assert "s/puzzle by a service" in table
    assert ">not disclosed<" in table
    assert "s an answer" in record.read_text()
    shown = harness("leaderboard", "show", "--task", "sudoku-4x4", "--runs", "run").stdout
    assert "service, training unknown" in shown
