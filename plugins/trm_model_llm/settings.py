"""The settings of a run with a language model, checked before anything is asked; and the key, which is none of them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self
from urllib.parse import urlsplit

from trm_harness.errors import BadInput
from trm_harness.types import plain

KEY = "OPENAI_API_KEY"
BASE_URL = "OPENAI_BASE_URL"
SECRET_LENGTH = 8
"""Shorter keys are words that local servers want ("none"), and no secrets."""

Check = Callable[[Any], bool]


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < float("inf")


def _whole(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


_CHECKS: Mapping[str, tuple[Check, str]] = {
    "model": (lambda value: isinstance(value, str) and bool(value.strip()), "the model's name at the endpoint"),
    "base_url": (lambda value: isinstance(value, str), "the endpoint's address up to /v1"),
    "temperature": (lambda value: value is None or _number(value), "a number from 0 on, or null to send none"),
    "max_tokens": (lambda value: value is None or _whole(value, 1), "a whole number from 1 on, or null to send none"),
    "max_tokens_field": (
        lambda value: value in ("max_tokens", "max_completion_tokens"),
        "max_tokens or max_completion_tokens",
    ),
    "seeded": (lambda value: isinstance(value, bool), "true or false"),
    "extra": (lambda value: isinstance(value, Mapping), 'a JSON object such as {"reasoning_effort": "high"}'),
    "prompt": (lambda value: isinstance(value, str), "a text that holds {examples} and {input}"),
    "system": (lambda value: isinstance(value, str), "a text, or empty to send none"),
    "reasoning_effort": (lambda value: isinstance(value, str), "a word such as low or high, or empty to send none"),
    "concurrency": (lambda value: _whole(value, 1), "a whole number from 1 on"),
    "retries": (lambda value: _whole(value, 0), "a whole number from 0 on"),
    "timeout": (lambda value: _number(value) and value > 0, "seconds, more than 0"),
    "input_price": (lambda value: value is None or _number(value), "dollars per million tokens, or null"),
    "output_price": (lambda value: value is None or _number(value), "dollars per million tokens, or null"),
}


@dataclass(frozen=True)
class Settings:
    """What ``--set`` decides.

    ``model`` and ``base_url`` say whom to ask. ``temperature``, ``max_tokens`` (sent under the name in
    ``max_tokens_field``), ``seeded`` (send each puzzle's own seed) and ``extra`` (more of the request's body) are
    sampling settings, and so is ``reasoning_effort``. ``system`` is said before the prompt, ``prompt`` replaces its
    built-in template. ``concurrency`` requests are under way at once; each
    is tried ``retries`` more times and may take ``timeout`` seconds. Prices are dollars per million tokens.
    """

    model: str
    base_url: str
    temperature: float | None = 0.0
    max_tokens: int | None = None
    max_tokens_field: str = "max_tokens"
    seeded: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict)
    prompt: str = ""
    system: str = ""
    reasoning_effort: str = ""
    concurrency: int = 8
    retries: int = 4
    timeout: float = 600.0
    input_price: float | None = None
    output_price: float | None = None

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Self:
        """The settings in a spec's config; ``BadInput`` names the first that is missing or wrong."""
        settings = plain(config)
        settings["base_url"] = settings.get("base_url") or os.environ.get(BASE_URL, "")
        for name, (fits, wanted) in _CHECKS.items():
            if name in settings and not fits(settings[name]):
                raise BadInput(f"model llm: set {name} to {wanted} (--set {name}=...)")
        _check_address(settings["base_url"])
        if (settings.get("input_price") is None) != (settings.get("output_price") is None):
            raise BadInput("model llm: give both prices or none (--set input_price=... --set output_price=...)")
        return cls(**settings)

    @property
    def host(self) -> str:
        """The endpoint's host, and port where one is given."""
        return urlsplit(self.base_url).netloc

    def sampling(self) -> dict[str, Any]:
        """What shapes the answers, for the record; words that are not sent are left out."""
        names = ("temperature", "max_tokens", "seeded", "extra", "system", "reasoning_effort")
        return {name: value for name, value in asdict(self).items() if name in names and value != ""}

    def dollars(self, input_tokens: float, output_tokens: float) -> float | None:
        """Price of so many tokens; ``None`` without prices."""
        if self.input_price is None or self.output_price is None:
            return None
        return (input_tokens * self.input_price + output_tokens * self.output_price) / 1e6


def secret_key(settings: Settings) -> str:
    """The key from the environment; ``BadInput`` if there is none, or if it stands in a setting."""
    key = os.environ.get(KEY, "").strip()
    if not key:
        raise BadInput(f"model llm: {KEY} is not set: put the endpoint's key there (any word if it asks for none)")
    if redacted(written := json.dumps(asdict(settings)), key) != written:
        raise BadInput(f"model llm: a setting holds the key of {KEY}, and settings are recorded: take it out")
    return key


def redacted(text: str, key: str) -> str:
    """``text`` without the key."""
    return text.replace(key, f"<{KEY}>") if len(key) >= SECRET_LENGTH else text


def _check_address(url: str) -> None:
    """``BadInput`` unless ``url`` is an http address; one that carries a password would be recorded with it."""
    if not url:
        raise BadInput(f"model llm: no endpoint is given: --set base_url=http://HOST:PORT/v1, or {BASE_URL}")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise BadInput("model llm: base_url is no address of the form http://HOST:PORT/v1 or https://HOST/v1")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise BadInput(f"model llm: base_url carries a password or a query: leave it out, the key goes into {KEY}")
