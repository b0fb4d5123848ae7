"""Gemini's answers, whole and in pieces: a piece of a stream is of the same form as a whole answer.

https://ai.google.dev/api/generate-content#v1beta.GenerateContentResponse
"""

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, Final, cast

import msgspec

from services.providers.domain.canonical import (
    Answer,
    Begin,
    CallDelta,
    CitationDelta,
    Counted,
    Delta,
    Failed,
    Finish,
    Finished,
    Json,
    Media,
    MediaDelta,
    Opaque,
    OpaqueDelta,
    Signature,
    TextDelta,
    ThinkingDelta,
)
from services.providers.domain.dialect import Malformed, VendorFailed
from services.providers.domain.dialects.gemini.content import ORIGIN
from services.providers.domain.dialects.gemini.grounding import citations_of
from services.providers.domain.dialects.gemini.usage import gemini_usage
from services.providers.domain.gathering import gathered

_FINISH: Final[Mapping[Any, Finish]] = {
    "MAX_TOKENS": Finish.LENGTH,
    2: Finish.LENGTH,  # its number, which some bridges to Vertex ask for instead of names
    **dict.fromkeys(
        (
            "SAFETY",
            "RECITATION",
            "LANGUAGE",
            "BLOCKLIST",
            "PROHIBITED_CONTENT",
            "SPII",
            "MODEL_ARMOR",
            "IMAGE_SAFETY",
            "IMAGE_PROHIBITED_CONTENT",
            "IMAGE_RECITATION",
        ),
        Finish.CONTENT_FILTER,
    ),
}
"""The others (``STOP``, ``OTHER``, ``NO_IMAGE``) end an answer that is what it is."""
_BROKEN: Final = frozenset(
    {
        "MALFORMED_FUNCTION_CALL",
        "UNEXPECTED_TOOL_CALL",
        "TOO_MANY_TOOL_CALLS",
        "MALFORMED_RESPONSE",
        "MISSING_THOUGHT_SIGNATURE",
    }
)
"""The model wrote a call that cannot be read or must not be: there is no answer that a client could use."""
_LONGEST_ID: Final = 24


class _Content(msgspec.Struct, gc=False):
    parts: list[dict[str, Any]] | None = None


class _Candidate(msgspec.Struct, gc=False, rename="camel"):
    content: _Content | None = None
    finish_reason: str | int | None = None
    finish_message: Any = None
    index: Any = 0
    logprobs_result: Any = None
    grounding_metadata: Any = None


class _Response(msgspec.Struct, gc=False, rename="camel"):
    candidates: list[_Candidate] | None = None
    usage_metadata: Any = None
    prompt_feedback: Any = None
    model_version: Any = None
    response_id: Any = None
    error: Any = None


_DECODER: Final = msgspec.json.Decoder(_Response)
_ENCODE: Final = msgspec.json.Encoder().encode


class _Choice:
    """What has come of one candidate."""

    __slots__ = ("called", "finish", "grounding", "kind", "part", "signed", "texts")

    def __init__(self) -> None:
        self.part = -1
        self.kind = ""
        self.signed = False
        self.called = False
        self.finish: Finish | None = None
        self.texts: dict[int, list[str]] = {}
        self.grounding: list[Any] = []

    def place(self, kind: str) -> int:
        """Return the number of the part that a piece of ``kind`` goes on with, or begins."""
        if kind != self.kind or self.signed or kind == "":
            self.part += 1
            self.signed = False
        self.kind = kind
        return self.part


class StreamDecoder:
    """Reads one answer, piece after piece; see ``dialect.StreamDecoder``. It has no end mark: the connection ends."""

    __slots__ = ("_began", "_calls", "_choices", "_id")

    def __init__(self) -> None:
        self._began = False
        self._id = ""
        self._calls = 0
        self._choices: dict[int, _Choice] = {}

    def feed(self, event: str, data: bytes) -> list[Delta]:
        """Take one piece."""
        del event
        return self.read(_DECODER.decode(data))

    def read(self, response: _Response) -> list[Delta]:
        """Return what a piece, or a whole answer, says."""
        if response.error:
            return [Failed({"error": response.error})]
        deltas: list[Delta] = []
        if not self._began:
            self._began = True
            self._id = _text(response.response_id) or ""
            deltas.append(Begin(id=self._id or None, model=_text(response.model_version)))
        for candidate in response.candidates or ():
            if candidate.finish_reason in _BROKEN:
                words = _text(candidate.finish_message) or "the vendor's model wrote a call that cannot be read"
                deltas.append(Failed({"error": {"status": candidate.finish_reason, "message": words}}))
                return deltas
            self._candidate(candidate, deltas)
        if not response.candidates and _blocked(response.prompt_feedback):
            self._choices.setdefault(0, _Choice()).finish = Finish.CONTENT_FILTER
            deltas.append(Finished(Finish.CONTENT_FILTER))
        if response.usage_metadata is not None:
            ended = any(choice.finish for choice in self._choices.values())
            tokens = gemini_usage(response.usage_metadata, ended=ended)
            if tokens is not None:
                deltas.append(Counted(tokens))
        return deltas

    def _candidate(self, candidate: _Candidate, deltas: list[Delta]) -> None:
        number = candidate.index if type(candidate.index) is int else 0
        choice = self._choices.get(number)
        if choice is None:
            choice = self._choices[number] = _Choice()
        logprobs = None if candidate.logprobs_result is None else _logprobs(candidate.logprobs_result)
        for part in (candidate.content.parts if candidate.content else None) or ():
            text = part.get("text")
            if type(text) is str:
                self._words(part, text, choice, number, logprobs, deltas)
                logprobs = None
            elif part:
                self._other(part, choice, number, deltas)
        if logprobs is not None:
            deltas.append(TextDelta(choice.place("text"), "", number, logprobs))
        if candidate.grounding_metadata:
            choice.grounding.append(candidate.grounding_metadata)
        if candidate.finish_reason is not None:
            self._finish(candidate, choice, number, deltas)

    def _words(self, part: Json, text: str, choice: _Choice, number: int, logprobs: Any, deltas: list[Delta]) -> None:
        signature = _signature(part)
        if not text and signature is None and logprobs is None:
            return
        if part.get("thought") is True:
            deltas.append(ThinkingDelta(choice.place("thought"), text, number, signature, summary=True))
        else:
            place = choice.place("text")
            choice.texts.setdefault(place, []).append(text)
            deltas.append(TextDelta(place, text, number, logprobs, signature))
        choice.signed = signature is not None

    def _other(self, part: Json, choice: _Choice, number: int, deltas: list[Delta]) -> None:
        call, inline, file = part.get("functionCall"), part.get("inlineData"), part.get("fileData")
        signature = _signature(part)
        if isinstance(call, dict):
            choice.called = True
            deltas.append(self._call(cast("Json", call), choice.place(""), number, signature))
        elif isinstance(found := inline if inline is not None else file, dict):
            if signature is not None:
                # Media has no place for it: it stands before, and goes back onto what follows it.
                deltas.append(ThinkingDelta(choice.place(""), "", number, signature, redacted=True))
            deltas.append(MediaDelta(choice.place(""), _media(cast("Json", found)), number))
        elif part.keys() == {"thoughtSignature"}:
            self._words(part, "", choice, number, None, deltas)
        else:
            deltas.append(OpaqueDelta(choice.place(""), Opaque(dialect=ORIGIN, raw=part), number))

    def _call(self, call: Json, place: int, number: int, signature: Signature | None) -> CallDelta:
        name = call.get("name")
        if not isinstance(name, str) or not name:
            raise Malformed("a call of the vendor's holds no name")
        arguments = _ENCODE(call.get("args") or {}).decode()
        made = call.get("id")
        if not isinstance(made, str) or not made:
            # Made from the call's place in its answer, so that it is the same however often it is read.
            whose = self._id[:_LONGEST_ID] or blake2b(f"{name}{arguments}".encode(), digest_size=8).hexdigest()
            made = f"call_{whose}_{self._calls}"
        self._calls += 1
        return CallDelta(place, arguments, made, name, number, signature)

    def _finish(self, candidate: _Candidate, choice: _Choice, number: int, deltas: list[Delta]) -> None:
        texts = {place: "".join(pieces) for place, pieces in choice.texts.items()}
        for place, citation in dict.fromkeys(
            found for grounding in choice.grounding for found in citations_of(grounding, texts)
        ):
            deltas.append(CitationDelta(place, citation, number))
        choice.grounding = []
        reason = _FINISH.get(candidate.finish_reason, Finish.STOP)
        if reason is Finish.STOP and choice.called:
            reason = Finish.TOOL_CALLS
        if reason is not choice.finish:
            choice.finish = reason
            deltas.append(Finished(reason, number))


def decode_answer(body: Json) -> Answer:
    """Read a whole answer; raises Malformed, VendorFailed, msgspec.ValidationError."""
    deltas = StreamDecoder().read(msgspec.convert(body, _Response))
    if deltas and isinstance(failure := deltas[-1], Failed):
        raise VendorFailed(failure.error)
    answer = gathered(deltas)
    if not answer.choices:
        raise Malformed("the vendor's answer holds no candidates")
    return answer


def _blocked(feedback: object) -> bool:
    return isinstance(feedback, dict) and bool(cast("Json", feedback).get("blockReason"))


def _signature(part: Json) -> Signature | None:
    value = part.get("thoughtSignature")
    return Signature(ORIGIN, value) if isinstance(value, str) and value else None


def _media(found: Json) -> Media:
    media_type, data, address = found.get("mimeType"), found.get("data"), found.get("fileUri")
    if not isinstance(data, str) and not isinstance(address, str):
        raise Malformed("a file of the vendor's holds neither data nor an address")
    kind = str(media_type).partition("/")[0]
    return Media(
        kind=kind if kind in ("image", "audio", "video") else "document",
        media_type=media_type if isinstance(media_type, str) else None,
        data=data if isinstance(data, str) else None,
        url=address if isinstance(address, str) else None,
    )


def _logprobs(found: object) -> Json | None:
    """Return ``logprobsResult`` as OpenAI's chat gives log probabilities."""
    result = cast("Json", found) if isinstance(found, dict) else {}
    chosen, top = result.get("chosenCandidates"), result.get("topCandidates")
    if not isinstance(chosen, list):
        return None
    others = cast("list[Any]", top) if isinstance(top, list) else []
    content: list[Json] = []
    for place, token in enumerate(cast("list[Any]", chosen)):
        beside: Any = others[place].get("candidates") if place < len(others) and isinstance(others[place], dict) else []
        content.append({**_token(token), "top_logprobs": [_token(one) for one in cast("list[Any]", beside or [])]})
    return {"content": content}


def _token(found: object) -> Json:
    token = cast("Json", found) if isinstance(found, dict) else {}
    text = str(token.get("token", ""))
    return {"token": text, "logprob": token.get("logProbability", 0.0), "bytes": list(text.encode())}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
