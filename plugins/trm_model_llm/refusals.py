"""Whether a request was refused for its own prompt, in the words of the servers that people run."""

from __future__ import annotations

import re

_TOO_LONG = re.compile(
    r"context[ _]?(?:length|window|size|limit)[ _]?exceed"
    r"|exceed\w*\W+(?:[\w'`-]+\W+){0,6}(?:context|max(?:imum)?\W+(?:prompt|input|number of tokens|tokens?|length))"
    r"|exceeds?[ _]context"
    r"|(?:maximum|max|model'?s)\W+(?:context|prompt|input|sequence)\W+(?:length|size|window)"
    r"|maximum model length"
    r"|(?:prompt|inputs?|request|messages?|query)\b(?:\W+\S+){0,8}?\W+too (?:long|large|big|many tokens)"
    r"|(?:prompt|inputs?|request|messages?)\b.{0,60}?(?:is|are) longer than"
    r"|(?:prompt|inputs?|request|messages?|token count)\b.{0,80}?exceeds?\b"
    r"|too many (?:input |prompt )?tokens"
    r"|number of tokens to keep from the initial prompt"
    r"|reduce the length of (?:the|your) (?:messages?|prompt|input)"
    r"|inputs?\W*(?:tokens)?\b.{0,40}?must (?:be <=|have less than|not exceed)"
    r"|range of input length"
    r"|string[ _]above[ _]max[ _]length",
    re.IGNORECASE | re.DOTALL,
)
_FILTERED = re.compile(
    r"content[ _](?:filter|management|policy|moderation)|invalid[ _]prompt|data[ _]inspection|inappropriate content"
    r"|(?:input|prompt|message|content)\b.{0,40}?(?:was|is|been) (?:flagged|blocked)|requires moderation"
    r"|safety (?:system|filter|settings|check)|repetitive patterns in your prompt|prohibited[ _]content",
    re.IGNORECASE | re.DOTALL,
)
_REFUSED = (400, 403, 413, 422, 451)
_BROKEN = (500, 502, 503)
"""Statuses with which some servers refuse a prompt that is too long for them."""


def is_of_the_prompt(status: int | None, words: str) -> bool:
    """Whether a failure with ``status`` (``None``: the server named none) is this prompt's fault alone.

    Other requests may still be answered then. What the words do not settle is not said to be.
    """
    words = words[:2000]
    if status in _REFUSED or status is None:
        return status == 413 or bool(_TOO_LONG.search(words) or _FILTERED.search(words))
    return status in _BROKEN and bool(_TOO_LONG.search(words))
