"""A language model as a model of the harness: one supervision step, answers as grids, and an account of its tokens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from threading import Lock
from typing import Any, NamedTuple

import numpy as np

from trm_harness.contracts import ModelRequest, Said
from trm_harness.errors import BadInput
from trm_harness.specs import TaskSpec
from trm_harness.types import Batch, Cost, Grid, ModelFacts, Prediction, Puzzle
from trm_model_llm import prompt
from trm_model_llm.endpoint import Endpoint, Reply
from trm_model_llm.estimate import token_count
from trm_model_llm.reply import read_grid
from trm_model_llm.settings import Settings, secret_key
from trm_model_llm.spread import spread

HALT = 1.0
"""Halting logit of every answer: chat replies come without a measure of confidence."""

ROUNDS = 4
"""Requests per batch, in multiples of ``concurrency``: few enough to stop soon, enough to keep all lines busy."""


class Asked(NamedTuple):
    """A prompt, the reply to it, and the grid that was read there."""

    prompt: str
    reply: Reply
    grid: Grid | None


class ChatModels:
    """Target of ``llm``: makes the model, and reads its replies again without one.

    Keeps :class:`trm_harness.contracts.Rereads`.
    """

    def __call__(self, request: ModelRequest) -> ChatModel:
        """Checks settings, key and endpoint. ``BadInput`` for the first that is wrong."""
        if request.weights is not None:
            raise BadInput(f"{request.spec.id} has no weights to load: leave out --weights")
        settings = Settings.of(request.spec.config)
        text = prompt.template(request.task, settings.prompt)
        endpoint = Endpoint(settings, secret_key(settings))
        endpoint.probe()
        return ChatModel(request, settings, endpoint, text)

    def reread(self, task: TaskSpec, transcript: Mapping[str, Any]) -> Grid | None:
        """The grid in a kept reply; none where the prompt was refused."""
        return _read(transcript, task.vocab_size)


chat_model = ChatModels()


class ChatModel:
    """Keeps :class:`trm_harness.contracts.Model`, ``Metered``, ``Quotes`` and ``Transcribes``."""

    steps = 1

    def __init__(self, request: ModelRequest, settings: Settings, endpoint: Endpoint, text: str) -> None:
        self.spec = replace(request.spec, title=f"{settings.model} at {settings.host}")
        self.encoding: Mapping[str, Any] = {}
        self._settings, self._endpoint, self._text = settings, endpoint, text
        self._symbols = request.task.vocab_size
        self._counts: Counter[str] = Counter()
        self._answered = False
        self._lock = Lock()

    def facts(self) -> ModelFacts:
        """Who answers, and everything that shapes the answers: prompt, sampling settings, client."""
        settings = self._settings
        config = {
            "model": settings.model,
            "endpoint": settings.host,
            "sampling": settings.sampling(),
            "prompt": self._text,
            "prompt_sha256": prompt.fingerprint(self._text),
            "client": self._endpoint.client_version,
            "input_price": settings.input_price,
            "output_price": settings.output_price,
        }
        return ModelFacts(weights_source=f"behind {settings.host}", config=config)

    def begin(self, batch: Batch) -> Batch:
        """The batch itself is all the state there is."""
        return batch

    def step(self, state: Batch) -> tuple[Batch, Prediction]:
        """Ask for every puzzle, ``concurrency`` at once. A reply without a readable grid is no answer.

        ``BadInput`` or ``CheckFailed`` if the endpoint fails after all retries: an outage is no wrong answer.
        """
        found = {said.row: said.answer for said in self.replies(state)}
        answers = tuple(found[row] for row in range(state.size))
        return state, Prediction(None, np.full(state.size, HALT, np.float32), answers)

    def replies(self, batch: Batch) -> Iterator[Said]:
        """As :meth:`step`, each answer as it comes, with prompt, reply, finish reason, tries and tokens.

        A request that is refused for its own prompt stops nobody else. Where the endpoint's words leave open whether
        prompt or settings are refused, a reply to any other prompt tells; without one the refusal is raised.
        """
        asked = list(zip(batch.puzzles, batch.seeds.tolist(), strict=True))
        doubtful: list[tuple[int, Asked]] = []
        for row, answer in spread(self._ask, asked, self._settings.concurrency):
            if answer.reply.doubt is not None and not self._answered:
                doubtful.append((row, answer))
                if len(doubtful) > self._settings.concurrency:
                    break
                continue
            self._answered |= not answer.reply.refused
            yield self._said(row, answer)
            while self._answered and doubtful:
                yield self._said(*doubtful.pop())
        if doubtful:
            raise doubtful[0][1].reply.doubt

    def reread(self, transcript: Mapping[str, Any]) -> Grid | None:
        """The grid in a kept reply."""
        return _read(transcript, self._symbols)

    def select(self, state: Batch, rows: Sequence[int]) -> Batch:
        """The named rows."""
        return state.select(rows)

    def cost(self, length: int) -> Cost:
        """FLOPs are the endpoint's secret; a batch is small, so that a run stops soon after it is asked to."""
        return Cost(most_puzzles=ROUNDS * self._settings.concurrency)

    def usage(self) -> Mapping[str, float]:
        """Replies so far, how many of them held no grid, were cut short or refused, tokens, and dollars.

        ``dollars`` is there only if both prices are set and the endpoint stated the tokens of every reply.
        """
        with self._lock:
            counts = dict(self._counts)
        dollars = self._settings.dollars(counts.get("input_tokens", 0), counts.get("output_tokens", 0))
        if dollars is not None and not counts.get("replies_without_token_count"):
            counts["dollars"] = dollars
        return counts

    def quote(self, batch: Batch) -> Mapping[str, float]:
        """Tokens of the prompts, and of replies that hold nothing but a grid of the question's size."""
        settings = self._settings
        prompts = (settings.system + prompt.render(self._text, puzzle) for puzzle in batch.puzzles)
        found = {"input_tokens": float(sum(map(token_count, prompts)))}
        grids = (token_count(prompt.grid_text(puzzle.input)) for puzzle in batch.puzzles)
        found["output_tokens_least"] = float(sum(grids))
        if settings.max_tokens is not None:
            found["output_tokens_most"] = float(max(settings.max_tokens * batch.size, found["output_tokens_least"]))
        for end in ("least", "most"):
            dollars = settings.dollars(found["input_tokens"], found.get(f"output_tokens_{end}", 0))
            if dollars is not None and f"output_tokens_{end}" in found:
                found[f"dollars_{end}"] = dollars
        return found

    def _ask(self, asked: tuple[Puzzle, int]) -> Asked:
        puzzle, seed = asked
        text = prompt.render(self._text, puzzle)
        reply = self._endpoint.ask(text, seed)
        grid = None if reply.refused else read_grid(reply.text, self._symbols)
        self._count(reply, grid)
        return Asked(text, reply, grid)

    def _said(self, row: int, asked: Asked) -> Said:
        """An answer with its transcript. The key is in none of it."""
        reply, clean = asked.reply, self._endpoint.clean
        transcript = {
            "prompt": clean(asked.prompt),
            "reply": clean(reply.text),
            "thoughts": clean(reply.thoughts),
            "finish": reply.finish,
            "tries": reply.tries,
            "refused": reply.refused,
            "said": reply.said,
            "input_tokens": reply.input_tokens,
            "output_tokens": reply.output_tokens,
        }
        return Said(row, asked.grid, HALT, transcript)

    def _count(self, reply: Reply, grid: Grid | None) -> None:
        """Enter a reply into the account."""
        counted = reply.refused or (reply.input_tokens is not None and reply.output_tokens is not None)
        entry = {
            "replies": 1,
            "replies_without_grid": grid is None and not reply.refused,
            "replies_cut_short": reply.finish == "length",
            "prompts_refused": reply.refused,
            "replies_without_token_count": not counted,
            "input_tokens": reply.input_tokens or 0,
            "output_tokens": reply.output_tokens or 0,
        }
        with self._lock:
            self._counts.update({name: int(value) for name, value in entry.items()})


def _read(transcript: Mapping[str, Any], symbols: int) -> Grid | None:
    """The grid in a transcript; none where the prompt was refused."""
    return None if transcript.get("refused") else read_grid(str(transcript.get("reply", "")), symbols)
