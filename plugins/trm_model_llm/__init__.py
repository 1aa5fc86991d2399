"""Language models behind any OpenAI-compatible chat endpoint. This manifest declares them and imports no client."""

from __future__ import annotations

from collections.abc import Callable

from trm_harness.hookspecs import hookimpl
from trm_harness.specs import ModelSpec

PLUGIN_API = 1

LLM = ModelSpec(
    id="llm",
    version=1,
    target="trm_model_llm.model:chat_model",
    title="Language model behind a chat endpoint",
    description=(
        "Asks any OpenAI-compatible endpoint, one request a puzzle, and reads the last grid of the reply. Needs "
        "pip install 'trm-harness[llm]', --set model=NAME, --set base_url=URL (or OPENAI_BASE_URL) and the key in "
        "OPENAI_API_KEY. The prompt and the sampling settings stand in the record; the key stands nowhere."
    ),
    family="llm",
    config={
        "model": "",
        "base_url": "",
        "temperature": 0.0,
        "max_tokens": None,
        "max_tokens_field": "max_tokens",
        "seeded": False,
        "extra": {},
        "prompt": "",
        "system": "",
        "reasoning_effort": "",
        "concurrency": 8,
        "retries": 4,
        "timeout": 600.0,
        "input_price": None,
        "output_price": None,
    },
)
"""``--set KEY=VALUE`` changes a setting of ``config``; :mod:`trm_model_llm.settings` says what each one takes."""


@hookimpl
def register_models(register: Callable[[ModelSpec], None]) -> None:
    """Declare the one model: which network answers is a setting."""
    register(LLM)
