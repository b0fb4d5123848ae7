"""Which dialect a scripted vendor is asked in, by path, and its lists of models."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

import msgspec

from shared.testing import upstream_anthropic as anthropic
from shared.testing import upstream_cohere as cohere
from shared.testing import upstream_gemini as gemini
from shared.testing import upstream_ollama as ollama
from shared.testing import upstream_openai as openai
from shared.testing.upstream_behaviour import Behaviour, ErrorBody
from shared.testing.upstream_form import Asked, Form, Script, as_dict, reply
from shared.testing.upstream_responses import RESPONSES

MALFORMED: Final = b'{"choices":[{"index":0,"delta":{"content":"bro'
_ENDS: Final[Mapping[str, Form]] = {
    "/chat/completions": openai.CHAT,
    "/completions": openai.COMPLETIONS,
    "/embeddings": openai.EMBEDDINGS,
    "/responses": RESPONSES,
    "/messages": anthropic.MESSAGES,
    "/messages/count_tokens": anthropic.COUNT_TOKENS,
    "/api/chat": ollama.CHAT,
    "/api/generate": ollama.GENERATE,
    "/api/embed": ollama.EMBED,
    "/v2/chat": cohere.CHAT,
    "/v2/embed": cohere.EMBED,
}
"""By the end of the path."""
_GEMINI: Final = re.compile(r".*/models/(?P<model>[^/]+):(?P<method>[A-Za-z]+)")
_METHODS: Final[Mapping[str, Form]] = {
    "generateContent": gemini.GENERATE,
    "streamGenerateContent": gemini.GENERATE,
    "embedContent": gemini.EMBED,
    "batchEmbedContents": gemini.EMBED,
    "countTokens": gemini.COUNT,
}


def is_completion(path: str) -> bool:
    """Return whether a path asks a model for something."""
    return _form(path) is not None


def _form(path: str) -> Form | None:
    found = _GEMINI.fullmatch(path)
    if found is not None:
        return _METHODS.get(found["method"])
    return next((_ENDS[end] for end in sorted(_ENDS, key=len, reverse=True) if path.endswith(end)), None)


def asked(path: str, body: Any) -> Asked | None:
    """Return what was asked, None when no model was."""
    form = _form(path)
    if form is None:
        return None
    fields = cast("dict[str, Any]", body) if isinstance(body, dict) else {}
    found = _GEMINI.fullmatch(path)
    wanted = found["method"].startswith("stream") if found else bool(fields.get("stream", form.unasked))
    return Asked(
        form=form,
        model=found["model"] if found else str(fields.get("model", "")),
        body=fields,
        stream=wanted and form.streamed is not None,
        include_usage=bool(as_dict(fields.get("stream_options")).get("include_usage")),
    )


def error_bytes(form: Form | None, error: ErrorBody, status: int) -> bytes:
    """Return an error as the dialect has it; OpenAI's where nobody was asked in any."""
    return msgspec.json.encode((form or openai.CHAT).error(error, status))


def error_event(form: Form, error: ErrorBody) -> bytes:
    """Return an error in the middle of a stream."""
    return form.event(form.error(error, 529), "error" if form is anthropic.MESSAGES else "")


def whole(request: Asked, behaviour: Behaviour, index: int) -> Script:
    """Return the answer to a request that does not stream."""
    return request.form.script(reply(request, behaviour, index))


def streamed(request: Asked, behaviour: Behaviour, index: int) -> Script:
    """Return the answer to a request that streams."""
    return request.form.stream(reply(request, behaviour, index))


def told(method: str, target: str, headers: Mapping[str, str], asked: Any, models: Sequence[str]) -> bytes | None:
    """Return what a path, with its query, tells of models, in the dialect of who asks; None: there is none such."""
    path, _, query = target.partition("?")
    name = path.rpartition("/models/")[2]
    body: Any = None
    if path == "/api/tags":
        body = ollama.tags(models)
    elif path == "/api/version":
        body = {"version": "0.13.0"}
    elif path == "/api/show" and method == "POST":
        body = ollama.show(str(as_dict(asked).get("model", "")))
    elif path == "/health":
        body = {"status": "ok"}
    else:
        family = gemini if "/v1beta/" in path else anthropic if "anthropic-version" in headers else openai
        if query.startswith("page_size="):  # Cohere's list lies where OpenAI's does
            family = cohere
        if path.endswith("/models"):
            body = family.models(models)
        elif "/models/" in path and name in models:
            body = family.model(name)
    return None if body is None else msgspec.json.encode(body)
