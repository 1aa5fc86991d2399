"""The endpoint, through the official client: one question, one reply, and every failure in one line without the key."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trm_harness.errors import BadInput, CheckFailed, HarnessError
from trm_model_llm.refusals import is_of_the_prompt
from trm_model_llm.settings import KEY, Settings, redacted

PROBE_SECONDS = 10.0
_LONGEST_MESSAGE = 240
_AGAIN = "`eval --resume` goes on from where the run stopped"
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 8.0
"""Seconds before another try; they double, as the client's own do."""

_ANSWER_PARTS = ("text", "output_text")
"""Kinds of parts of a reply that are its answer; others are thoughts, pictures and such."""


@dataclass(frozen=True)
class Reply:
    """A reply's text and what it took. Token counts are ``None`` where the endpoint does not say.

    ``finish`` is the endpoint's own word for why the reply ends; ``thoughts`` is what it set apart as such. ``refused``
    marks a prompt that is too long for the model or that a filter would not pass, ``said`` is the endpoint's word for
    it. ``doubt`` is the error to raise if it was the settings that were refused, and not this prompt alone.
    """

    text: str
    finish: str = ""
    input_tokens: int | None = None
    output_tokens: int | None = None
    refused: bool = False
    thoughts: str = ""
    tries: int = 1
    said: str = ""
    doubt: HarnessError | None = None


class _Failed(Exception):
    """An error that came inside of a reply: its ``status``, as an HTTP error would have it, and its words."""

    def __init__(self, status: int | None, code: str, words: str) -> None:
        super().__init__(words)
        self.status_code, self.code = status, code


class Endpoint:
    """An OpenAI-compatible chat endpoint. Safe to use from many threads; the client's own retries are in force."""

    def __init__(self, settings: Settings, key: str) -> None:
        """Raises ``BadInput`` if the client is not installed."""
        self._settings, self._key = settings, key
        self._openai = _client_module()
        self._client = self._openai.OpenAI(
            api_key=key, base_url=settings.base_url, timeout=settings.timeout, max_retries=settings.retries
        )

    @property
    def client_version(self) -> str:
        """Name and version of the client."""
        return f"openai {self._openai.__version__}"

    def probe(self) -> None:
        """``BadInput`` if nobody answers there or the key is refused. Asks for the list of models, which is free.

        Endpoints without such a list pass.
        """
        seconds = min(self._settings.timeout, PROBE_SECONDS)
        quick = self._client.with_options(timeout=seconds, max_retries=min(self._settings.retries, 1))
        try:
            quick.models.list()
        except self._openai.APIStatusError as error:
            if error.status_code in (401, 403):
                raise self._explained(error) from None
        except self._openai.APIConnectionError:
            host = self._settings.host
            raise BadInput(
                f"endpoint {host} does not answer: check base_url, and that its server runs and can be reached"
            ) from None
        except (self._openai.OpenAIError, ValueError):
            # Whoever answers in another form may still chat.
            return

    def ask(self, prompt: str, seed: int) -> Reply:
        """The reply to ``prompt``; ``BadInput`` or ``CheckFailed`` with one line if there is none after all retries.

        An error that comes inside of a reply (status 200) is one like any other, and tried again.
        """
        body, tries, pause = self._request(prompt, seed), 0, _FIRST_PAUSE
        while True:
            client = self._client.with_options(max_retries=max(0, self._settings.retries - tries))
            raw = None
            try:
                raw = client.chat.completions.with_raw_response.create(**body)
                tries += 1 + raw.retries_taken
                return self._reply(raw.parse(), tries)
            except _Failed as error:
                if tries <= self._settings.retries and _may_pass(error.status_code):
                    time.sleep(_asked_pause(raw.headers, pause))
                    pause = min(2 * pause, _LONGEST_PAUSE)
                    continue
                return self._refusal(error, tries)
            except self._openai.OpenAIError as error:
                return self._refusal(error, tries + 1)
            except ValueError:
                raise self._foreign() from None

    def _refusal(self, error: Exception, tries: int) -> Reply:
        """The reply that stands for a prompt which was refused; any other failure is raised in its one line."""
        status = getattr(error, "status_code", None)
        explained = self._explained(error)
        words = f"{getattr(error, 'code', '') or ''} {error}"
        said = self._shown(error)
        if is_of_the_prompt(status, words):
            return Reply("", refused=True, tries=tries, said=said)
        if status in (400, 413, 422):
            return Reply("", refused=True, tries=tries, said=said, doubt=explained)
        raise explained from None

    def clean(self, text: str) -> str:
        """``text`` without the key: some servers repeat it."""
        return redacted(text, self._key)

    def _request(self, prompt: str, seed: int) -> dict[str, Any]:
        """The request's body; settings that are null stay out of it."""
        settings = self._settings
        before = [{"role": "system", "content": settings.system}] if settings.system else []
        messages = [*before, {"role": "user", "content": prompt}]
        body: dict[str, Any] = {"model": settings.model, "messages": messages}
        if settings.reasoning_effort:
            body["reasoning_effort"] = settings.reasoning_effort
        if settings.temperature is not None:
            body["temperature"] = settings.temperature
        if settings.max_tokens is not None:
            body[settings.max_tokens_field] = settings.max_tokens
        if settings.seeded:
            # Servers keep seeds in signed integers of 32 or 64 bits.
            body["seed"] = seed % 2**31
        if settings.extra:
            body["extra_body"] = dict(settings.extra)
        return body

    def _reply(self, completion: Any, tries: int) -> Reply:
        """What a completion says; ``_Failed`` for an error in its place, ``CheckFailed`` for another protocol."""
        failure = _failure(completion)
        if failure is not None:
            raise failure
        try:
            choice, usage = completion.choices[0], completion.usage
            text, thoughts = _parts(choice.message)
            return Reply(
                text=text,
                finish=choice.finish_reason or "",
                input_tokens=usage and usage.prompt_tokens,
                output_tokens=usage and usage.completion_tokens,
                refused=choice.finish_reason == "content_filter",
                thoughts=thoughts,
                tries=tries,
            )
        except (AttributeError, IndexError, TypeError):
            raise self._foreign() from None

    def _shown(self, error: Exception) -> str:
        """An error's words as a message shows them."""
        return self.clean(" ".join(str(error).split()))[:_LONGEST_MESSAGE]

    def _foreign(self) -> CheckFailed:
        """The one line for a server that speaks another protocol."""
        return CheckFailed(f"endpoint {self._settings.host} sent no chat completion: check base_url, most end in /v1")

    def _explained(self, error: Exception) -> HarnessError:
        """The one line of a failure."""
        host, settings = f"endpoint {self._settings.host}", self._settings
        if isinstance(error, self._openai.APITimeoutError):
            remedy = f"raise --set timeout=SECONDS or lower --set concurrency=N; {_AGAIN}"
            return CheckFailed(f"{host} took longer than {settings.timeout:g} s to reply: {remedy}")
        if isinstance(error, self._openai.APIConnectionError):
            return CheckFailed(f"{host} cannot be reached: see that its server runs; {_AGAIN}")
        status = getattr(error, "status_code", None)
        if status in (401, 403):
            # Not the server's own words: some servers repeat the key, or a part of it.
            return BadInput(f"{host} refuses the key in {KEY} (HTTP {status}): check the key and what it may use")
        if status == 404:
            return BadInput(f"{host} has no model {settings.model!r} or no such path (HTTP 404): check both settings")
        said = self._shown(error)
        if status is not None and status != 429 and status < 500:
            return BadInput(f"{host} refuses the request (HTTP {status}: {said}): change the settings it names")
        tries = f"after {settings.retries + 1} tries"
        return CheckFailed(f"{host} gave no reply {tries} ({said}): wait, or lower --set concurrency=N; {_AGAIN}")


def _client_module() -> Any:
    try:
        import openai
    except ImportError:
        raise BadInput("model llm needs the OpenAI client: pip install 'trm-harness[llm]'") from None
    return openai


def _failure(completion: Any) -> _Failed | None:
    """The error in a reply that came with status 200: instead of choices, beside them, or as a reason to finish."""
    content = completion.model_dump(warnings=False) if hasattr(completion, "model_dump") else completion
    if not isinstance(content, Mapping):
        return None
    choices = content.get("choices") or []
    choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], Mapping) else {}
    if choice and choice.get("finish_reason") != "error" and not choice.get("error"):
        return None
    told = choice.get("error") or content.get("error") or content.get("detail") or content.get("base_resp")
    if not told and content.get("message"):
        told = content
    if not told and choice.get("finish_reason") == "error":
        told = "the reply ended with an error"
    if not told:
        return None
    fields = told if isinstance(told, Mapping) else {"message": told}
    words = next((fields[name] for name in ("message", "status_msg", "detail", "error") if fields.get(name)), told)
    code = next((fields[name] for name in ("code", "status", "type", "status_code") if fields.get(name)), "")
    status = int(str(code)) if re.fullmatch("[45][0-9][0-9]", str(code)) else None
    return _Failed(status, str(code), str(words))


def _may_pass(status: int | None) -> bool:
    """Whether another try may bring a reply: not where the request itself is refused."""
    return status is None or status in (408, 409, 425, 429) or status >= 500


def _asked_pause(headers: Mapping[str, str], usual: float) -> float:
    """Seconds to wait: those that the endpoint asks for, within bounds, or the usual ones."""
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name, "")) / unit
        except ValueError:
            continue
        if 0 <= seconds <= 60:
            return seconds
    return usual


def _parts(message: Any) -> tuple[str, str]:
    """The answer of a message, given as text or as parts, and what the endpoint sets apart as thoughts."""
    content = message.content
    apart = getattr(message, "reasoning_content", None) or getattr(message, "reasoning", None)
    thoughts = [apart] if isinstance(apart, str) else []
    if content is None or isinstance(content, str):
        return content or "", "\n".join(thoughts)
    texts = []
    for part in content:
        fields = part if isinstance(part, Mapping) else {"type": "text", "text": part}
        found = fields.get("text")
        if not isinstance(found, str):
            continue
        (texts if fields.get("type", "text") in _ANSWER_PARTS else thoughts).append(found)
    return "".join(texts), "\n".join(thoughts)
