"""What a model says to itself before it answers, and what is left of a reply without it."""

from __future__ import annotations

import re

_WORD = r"(?:think|thought|reason|scratch_?pad|reflect|monologue|deliberat|analysis|planning)"
_NAME = rf"(?:[\w:.-]{{0,40}}{_WORD}[\w:.-]{{0,40}}|cot|unused9[45])"
_MARK = re.compile(
    rf"<\|?(?P<angle>/?){_NAME}(?:\s[^<>]*)?\|?>"
    rf"|\[(?P<square>/?){_NAME}\]"
    rf"|◁(?P<triangle>/?){_NAME}▷"
    r"|<(?P<details>/?)details(?:\s[^<>]*)?>",
    re.IGNORECASE,
)
_ENDS = re.compile(r"\Wend[_-]|\Wunused95", re.IGNORECASE)
_FENCED = re.compile(rf"^[ \t]*(```|~~~)[ \t]*\w*{_WORD}\w*[^\n]*\n.*?(?:^[ \t]*\1[ \t]*$|\Z)", re.I | re.M | re.S)
_CHANNEL = re.compile(r"<\|channel\|>\s*(\w+)(?:(?!<\|).)*?<\|message\|>", re.DOTALL)
_TURN_ENDS = re.compile(r"<\|(?:end|return|start|call)\|>")
_BARE_CHANNEL = re.compile(r"\Aanalysis(?=[A-Z])")
_BARE_FINAL = "assistantfinal"
_PROCESS = re.compile(r"here(?:'s| is) my thought process:", re.IGNORECASE)
_RESPONSE = re.compile(r"here(?:'s| is) my response:", re.IGNORECASE)


def without_thoughts(text: str) -> str:
    """``text`` without what its writer marked as thoughts.

    Thoughts that begin and do not end take the rest of the text: it was cut short before the answer. An end without a
    beginning, which some servers put into the prompt, takes all that stands before it.
    """
    text = _FENCED.sub("\n", _told(_channelled(text)))
    kept: list[str] = []
    done, deep, small = 0, 0, text.lower()
    for mark in _MARK.finditer(text):
        if "<details" in mark[0].lower().replace("/", "") and not _of_thoughts(small, mark):
            continue
        ends = "/" in (mark["angle"], mark["square"], mark["triangle"], mark["details"]) or _ENDS.search(mark[0])
        if not ends:
            kept += [text[done : mark.start()]] if not deep else []
            deep += 1
        elif deep:
            deep -= 1
        else:
            kept.clear()
        done = mark.end()
    return "".join(kept if deep else [*kept, text[done:]])


def _of_thoughts(text: str, mark: re.Match[str]) -> bool:
    """Whether a fold-out is one of thoughts: by its attributes, or by the summary that stands in it."""
    opened = text.rfind("<details", 0, mark.start()) if mark["details"] else mark.start()
    return opened >= 0 and bool(re.search(_WORD, text[opened : opened + 200]))


def _channelled(text: str) -> str:
    """The final channel of a reply in channels, where the server left their marks in."""
    if _CHANNEL.search(text):
        channels = _CHANNEL.split(text)
        said = [body for name, body in zip(channels[1::2], channels[2::2], strict=True) if name.lower() == "final"]
        return _TURN_ENDS.split(said[-1])[0] if said else ""
    if _BARE_CHANNEL.match(text):
        return text.rpartition(_BARE_FINAL)[2] if _BARE_FINAL in text else ""
    return text


def _told(text: str) -> str:
    """What comes after the words that some models begin their response with."""
    if not _PROCESS.search(text):
        return text
    answers = _RESPONSE.split(text)
    return answers[-1] if len(answers) > 1 else _PROCESS.split(text)[0]
