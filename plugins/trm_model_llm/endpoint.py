"""The endpoint, through the official client: one question, one reply, and every failure in one line without the key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from trm_harness.errors import BadInput, CheckFailed, HarnessError
from trm_model_llm.settings import KEY, Settings, redacted

PROBE_SECONDS = 10.0
_LONGEST_MESSAGE = 240
_AGAIN = "`eval --resume` goes on from where the run stopped"


@dataclass(frozen=True)
class Reply:
    """A reply's text and what it took. Token counts are ``None`` where the endpoint does not say.

    ``finish`` is the endpoint's own word for why the reply ends; ``refused`` marks a prompt that is too long for the
    model or that a filter would not pass.
    """

    text: str
    finish: str = ""
    input_tokens: int | None = None
    output_tokens: int | None = None
    refused: bool = False


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
        """The reply to ``prompt``; ``BadInput`` or ``CheckFailed`` with one line if there is none after all retries."""
        try:
            completion = self._client.chat.completions.create(**self._request(prompt, seed))
        except self._openai.OpenAIError as error:
            if _is_refusal(error):
                return Reply("", refused=True)
            raise self._explained(error) from None
        except ValueError:
            raise self._foreign() from None
        return self._reply(completion)

    def _request(self, prompt: str, seed: int) -> dict[str, Any]:
        """The request's body; settings that are null stay out of it."""
        settings = self._settings
        body: dict[str, Any] = {"model": settings.model, "messages": [{"role": "user", "content": prompt}]}
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

    def _reply(self, completion: Any) -> Reply:
        """What a completion says; ``CheckFailed`` if the server speaks another protocol."""
        try:
            choice, usage = completion.choices[0], completion.usage
            return Reply(
                text=choice.message.content or "",
                finish=choice.finish_reason or "",
                input_tokens=usage and usage.prompt_tokens,
                output_tokens=usage and usage.completion_tokens,
                refused=choice.finish_reason == "content_filter",
            )
        except (AttributeError, IndexError, TypeError):
            raise self._foreign() from None

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
        said = redacted(" ".join(str(error).split()), self._key)[:_LONGEST_MESSAGE]
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


def _is_refusal(error: Exception) -> bool:
    """Whether this one prompt is at fault, so that others may still be answered."""
    if getattr(error, "status_code", None) not in (400, 413, 422):
        return False
    words = f"{getattr(error, 'code', '') or ''} {error}".lower().replace("_", " ")
    return any(sign in words for sign in ("context length", "maximum context", "content filter", "too many tokens"))
