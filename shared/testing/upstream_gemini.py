"""Gemini as a scripted vendor: content, whole and streamed, vectors, counts, and its list of models.

Forms as in https://ai.google.dev/api/generate-content and https://ai.google.dev/api/embeddings.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from shared.testing.upstream_behaviour import ErrorBody, ToolCall
from shared.testing.upstream_form import Body, Form, Reply, Step, Stream, as_dict, as_list, finish, text_of, vector

_REASONS: Final[Mapping[str, str]] = {
    "stop": "STOP",
    "tool_calls": "STOP",
    "length": "MAX_TOKENS",
    "content_filter": "SAFETY",
}
_STATUSES: Final[Mapping[int, str]] = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_METHODS: Final = ["generateContent", "countTokens", "embedContent"]


def models(names: Iterable[str]) -> Body:
    """Return the list of models."""
    return {"models": [model(name) for name in names]}


def model(name: str) -> Body:
    """Return what is told of one model."""
    limits = {"inputTokenLimit": 1_048_576, "outputTokenLimit": 65_536}
    named = {"name": f"models/{name}", "version": "001", "displayName": name, "description": "of the wall"}
    return named | limits | {"supportedGenerationMethods": _METHODS, "thinking": True}


def _prompts(body: Body) -> list[str]:
    body = as_dict(body.get("generateContentRequest")) or body
    said = [body["systemInstruction"]] if body.get("systemInstruction") else []
    return [_text(as_dict(content)) for content in (*said, *as_list(body.get("contents")))]


def _text(content: Body) -> str:
    """Return the words of a turn; what a function gave is said as JSON."""
    given = [as_dict(part).get("functionResponse") for part in as_list(content.get("parts"))]
    results = [msgspec.json.encode(as_dict(item).get("response")).decode() for item in given if item is not None]
    return " ".join([text_of(content.get("parts")), *results]).strip()


def _usage(sent: int, answered: int, thought: int) -> Body:
    counts = {"promptTokenCount": sent, "candidatesTokenCount": answered - thought}
    return counts | {"thoughtsTokenCount": thought, "totalTokenCount": sent + answered}


def _error(found: ErrorBody, status: int) -> Body:
    named = _STATUSES.get(status, "UNKNOWN")
    return {"error": {"code": status, "message": found.message, "status": named}}


def _answer(reply: Reply, parts: list[Body], reason: str | None) -> Body:
    candidate: Body = {"content": {"parts": parts, "role": "model"}, "index": 0}
    if reason is not None:
        candidate["finishReason"] = reason
    body: Body = {"candidates": [candidate], "modelVersion": reply.model, "responseId": reply.id}
    return body if reply.usage is None else body | {"usageMetadata": reply.usage}


def _whole(reply: Reply) -> Body:
    thoughts = [{"text": reply.behaviour.reasoning, "thought": True}] if reply.behaviour.reasoning is not None else []
    said = [{"text": reply.text}] if reply.text else []
    calls = [_call(reply, place, call) for place, call in enumerate(reply.behaviour.tool_calls)]
    return _answer(reply, [*thoughts, *said, *calls], _REASONS[finish(reply.behaviour)])


def _call(reply: Reply, place: int, call: ToolCall) -> Body:
    part: Body = {"functionCall": {"name": call.name, "args": msgspec.Raw(call.arguments.encode())}}
    proven = place == 0 and reply.behaviour.reasoning is not None
    return part | {"thoughtSignature": reply.signature} if proven else part


def _stream(reply: Reply) -> Stream:
    def chunk(part: Body, shown: str | bool = False, reason: str | None = None) -> Step:
        text = shown if isinstance(shown, str) else ""
        payload = GENERATE.event(_answer(reply, [part], reason))
        return Step(payload=payload, text=text, content=bool(shown), claimed=reply.usage)

    prelude = [chunk({"text": piece, "thought": True}) for piece in reply.thoughts]
    content = [chunk({"text": piece}, piece) for piece in reply.pieces]
    content += [chunk(_call(reply, place, call), True) for place, call in enumerate(reply.behaviour.tool_calls)]
    ending = [chunk({"text": ""}, reason=_REASONS[finish(reply.behaviour)])]
    return Stream(prelude=prelude, content=content, ending=ending)


def _texts(body: Body) -> list[str]:
    requests = [as_dict(item) for item in as_list(body.get("requests"))] or [body]
    return [text_of(as_dict(item.get("content")).get("parts")) for item in requests]


def _embeddings(reply: Reply) -> Body:
    requests: list[Any] = as_list(reply.asked.body.get("requests"))
    size = as_dict(requests[0] if requests else reply.asked.body).get("outputDimensionality")
    vectors = [{"values": vector(text, size)} for text in _texts(reply.asked.body)]
    return {"embeddings": vectors} if requests else {"embedding": vectors[0]}


def _count(reply: Reply) -> Body:
    return reply.usage


def _counted(sent: int, _: int, __: int) -> Body:
    return {"totalTokens": sent}


def _uncounted(_: int, __: int, ___: int) -> None:
    """Gemini says nothing of the tokens of vectors."""


GENERATE: Final = Form(name="gemini", prompts=_prompts, usage=_usage, whole=_whole, streamed=_stream, error=_error)
EMBED: Final = Form(name="gemini_embed", prompts=_texts, usage=_uncounted, whole=_embeddings, error=_error)
COUNT: Final = Form(name="gemini_count", prompts=_prompts, usage=_counted, whole=_count, error=_error)
