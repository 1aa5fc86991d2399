"""A language model as a model of the harness: one supervision step, answers as grids, and an account of its tokens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from threading import Lock
from typing import Any

import numpy as np

from trm_harness.contracts import ModelRequest
from trm_harness.errors import BadInput
from trm_harness.types import Batch, Cost, Grid, ModelFacts, Prediction, Puzzle
from trm_model_llm import prompt
from trm_model_llm.endpoint import Endpoint, Reply
from trm_model_llm.reply import read_grid
from trm_model_llm.settings import Settings, secret_key
from trm_model_llm.spread import spread

HALT = 1.0
"""Halting logit of every answer: chat replies come without a measure of confidence."""

ROUNDS = 4
"""Requests per batch, in multiples of ``concurrency``: few enough to lose little, enough to keep all lines busy."""


def chat_model(request: ModelRequest) -> ChatModel:
    """Target of ``llm``: checks settings, key and endpoint. ``BadInput`` for the first that is wrong."""
    if request.weights is not None:
        raise BadInput(f"{request.spec.id} has no weights to load: leave out --weights")
    settings = Settings.of(request.spec.config)
    text = prompt.template(request.task, settings.prompt)
    endpoint = Endpoint(settings, secret_key(settings))
    endpoint.probe()
    return ChatModel(request, settings, endpoint, text)


class ChatModel:
    """Keeps :class:`trm_harness.contracts.Model` and :class:`trm_harness.contracts.Metered`."""

    steps = 1

    def __init__(self, request: ModelRequest, settings: Settings, endpoint: Endpoint, text: str) -> None:
        self.spec = replace(request.spec, title=f"{settings.model} at {settings.host}")
        self.encoding: Mapping[str, Any] = {}
        self._settings, self._endpoint, self._text = settings, endpoint, text
        self._symbols = request.task.vocab_size
        self._counts: Counter[str] = Counter()
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
        asked = list(zip(state.puzzles, state.seeds.tolist(), strict=True))
        answers = spread(self._answer, asked, self._settings.concurrency)
        return state, Prediction(None, np.full(state.size, HALT, np.float32), tuple(answers))

    def select(self, state: Batch, rows: Sequence[int]) -> Batch:
        """The named rows."""
        return state.select(rows)

    def cost(self, length: int) -> Cost:
        """FLOPs are the endpoint's secret; a batch is small, so that stopping a run loses few paid replies."""
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

    def _answer(self, asked: tuple[Puzzle, int]) -> Grid | None:
        puzzle, seed = asked
        reply = self._endpoint.ask(prompt.render(self._text, puzzle), seed)
        grid = None if reply.refused else read_grid(reply.text, self._symbols)
        self._count(reply, grid)
        return grid

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
