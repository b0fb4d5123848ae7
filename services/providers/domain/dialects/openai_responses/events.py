"""Deltas as the events of a client's stream, each item begun and ended, in order and numbered.

https://platform.openai.com/docs/api-reference/responses-streaming
"""

from typing import Any, Final, cast

import msgspec

from services.providers.domain.canonical import (
    Begin,
    CallDelta,
    Citation,
    CitationDelta,
    Delta,
    Finish,
    Finished,
    Json,
    Media,
    MediaDelta,
    OpaqueDelta,
    RefusalDelta,
    Signature,
    TextDelta,
    ThinkingDelta,
    carried,
)
from services.providers.domain.dialect import Asked
from services.providers.domain.dialects.openai_responses.answer import (
    Output,
    annotation_of,
    response_of,
    text_block,
)
from services.providers.domain.dialects.openai_responses.logprobs import tokens_of
from services.providers.domain.dialects.openai_responses.names import CARRIES_CALL, CARRIES_TEXT, DIALECT
from shared.contracts.usage import NO_TOKENS, Tokens

_ENCODE: Final = msgspec.json.Encoder().encode


class _Block:
    """A text or refusal of the message that is being said."""

    __slots__ = ("block", "head", "index", "item", "logprobs", "part", "pieces", "place", "signature")

    def __init__(self, part: int, item: Json, place: int, index: int, block: Json) -> None:
        self.part = part
        self.item = item
        self.place = place
        self.index = index
        self.block = block
        self.pieces: list[str] = []
        self.logprobs: list[Any] = []
        self.signature: Signature | None = None
        kind = "refusal" if "refusal" in block else "output_text"
        self.head = _head(f"response.{kind}.delta", item, place, f',"content_index":{index},"delta":')


class _Thought:
    """The reasoning item that is being said."""

    __slots__ = ("head", "item", "part", "pieces", "place", "summary")

    def __init__(self, part: int, item: Json, place: int, summary: bool) -> None:
        self.part = part
        self.item = item
        self.place = place
        self.summary = summary
        self.pieces: list[str] = []
        kind = "reasoning_summary_text" if summary else "reasoning_text"
        index = "summary_index" if summary else "content_index"
        self.head = _head(f"response.{kind}.delta", item, place, f',"{index}":0,"delta":')


class _Call:
    """A call whose arguments come."""

    __slots__ = ("head", "item", "pieces", "place")

    def __init__(self, item: Json, place: int) -> None:
        self.item = item
        self.place = place
        self.pieces: list[str] = []
        self.head = _head("response.function_call_arguments.delta", item, place, ',"delta":')


def _head(name: str, item: Json, place: int, rest: str) -> bytes:
    """Return the beginning of an event that comes often, up to its words."""
    item_id = _ENCODE(item["id"]).decode()
    return f'event: {name}\ndata: {{"type":"{name}","item_id":{item_id},"output_index":{place}{rest}'.encode()


class Encoder:
    """Writes one client's stream; see ``StreamEncoder``.

    One message or thought is open at a time, calls are open side by side until the end or until something else is said.
    """

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._output = Output(asked)
        self._sequence = 0
        self._tier: str | None = None
        self._began = False
        self._finish = Finish.STOP
        self._block: _Block | None = None
        self._message: tuple[Json, int] | None = None
        self._thought: _Thought | None = None
        self._calls: dict[int, _Call] = {}
        self._texts: dict[int, Json] = {}
        """The texts that are whole, by part: a source may be named late."""
        self._images: dict[int, Media] = {}
        self._out: list[bytes] = []

    def encode(self, delta: Delta) -> bytes:
        """Return the events of a delta."""
        if not self._began:
            self._begin(delta)
        match delta:
            case TextDelta(choice=0):
                self._text(delta)
            case ThinkingDelta(choice=0):
                self._think(delta)
            case CallDelta(choice=0):
                self._call(delta)
            case RefusalDelta(choice=0):
                block = self._open(delta.part, {"type": "refusal", "refusal": ""})
                self._word(block.head, delta.text)
                block.pieces.append(delta.text)
            case CitationDelta(choice=0):
                self._cite(delta.part, delta.citation)
            case MediaDelta(choice=0):
                self._media(delta)
            case OpaqueDelta(choice=0) if delta.opaque.dialect == DIALECT:
                self._close()
                self._whole(delta.opaque.raw)
            case Finished(choice=0):
                self._finish = delta.reason
            case _:
                pass
        return self._taken()

    def end(self, tokens: Tokens) -> tuple[bytes, bytes]:
        """Return what ends the items, and the event that ends the response."""
        if not self._began:
            self._begin(Begin())
        self._close()
        response = response_of(self._asked, self._output.items, self._finish, tokens, self._tier)
        last = self._taken()
        self._event(f"response.{response['status']}", {"response": response})
        return last, self._taken()

    def _taken(self) -> bytes:
        out = self._out
        payload = out[0] if len(out) == 1 else b"".join(out)
        out.clear()
        return payload

    def _event(self, name: str, fields: Json) -> None:
        data = _ENCODE({"type": name, **fields, "sequence_number": self._sequence})
        self._out.append(b"event: %b\ndata: %b\n\n" % (name.encode(), data))
        self._sequence += 1

    def _word(self, head: bytes, words: str, rest: bytes = b"") -> None:
        self._out.append(b'%b%b%b,"sequence_number":%d}\n\n' % (head, _ENCODE(words), rest, self._sequence))
        self._sequence += 1

    def _begin(self, delta: Delta) -> None:
        self._began = True
        if isinstance(delta, Begin):
            self._tier = delta.service_tier
        response = response_of(self._asked, [], None, NO_TOKENS, self._tier)
        self._event("response.created", {"response": response})
        self._event("response.in_progress", {"response": response})

    def _added(self, item: Json) -> int:
        place = self._output.add(item)
        self._event("response.output_item.added", {"output_index": place, "item": item})
        return place

    def _ended(self, item: Json, place: int) -> None:
        self._event("response.output_item.done", {"output_index": place, "item": item})

    def _whole(self, item: Json) -> None:
        self._ended(item, self._added(item))

    def _text(self, delta: TextDelta) -> None:
        block = self._block
        if block is None or block.part != delta.part:
            if not delta.text and delta.signature is None:
                return
            block = self._open(delta.part, text_block(""))
        if delta.signature is not None:
            block.signature = delta.signature
        if not delta.text:
            return
        block.pieces.append(delta.text)
        logprobs = tokens_of(delta.logprobs)
        block.logprobs += logprobs
        self._word(block.head, delta.text, b',"logprobs":%b' % (_ENCODE(logprobs) if logprobs else b"[]"))

    def _open(self, part: int, block: Json) -> _Block:
        """Return the text or refusal that a part is, begun if need be."""
        if self._block is not None and self._block.part == part:
            return self._block
        self._end_thought()
        self._end_calls()
        self._end_block()
        if self._message is None:
            message = self._output.message("in_progress")
            self._message = message, self._added(message)
        message, place = self._message
        index = len(message["content"])
        fields = {"item_id": message["id"], "output_index": place, "content_index": index, "part": block}
        self._event("response.content_part.added", fields)
        message["content"].append(block)
        self._block = _Block(part, message, place, index, block)
        return self._block

    def _end_block(self) -> None:
        block = self._block
        if block is None:
            return
        self._block = None
        text = "".join(block.pieces)
        at = {"item_id": block.item["id"], "output_index": block.place, "content_index": block.index}
        if "refusal" in block.block:
            block.block["refusal"] = text
            self._event("response.refusal.done", {**at, "refusal": text})
        else:
            block.block["text"] = text
            block.block["logprobs"] = block.logprobs
            self._texts[block.part] = block.block
            self._event("response.output_text.done", {**at, "text": text, "logprobs": block.logprobs})
        self._event("response.content_part.done", {**at, "part": block.block})
        if block.signature is not None:
            self._end_message()
            self._whole(self._output.carrier(block.signature, CARRIES_TEXT))

    def _end_message(self) -> None:
        if self._message is not None:
            message, place = self._message
            self._message = None
            message["status"] = "incomplete" if self._finish in (Finish.LENGTH, Finish.CONTENT_FILTER) else "completed"
            self._ended(message, place)

    def _think(self, delta: ThinkingDelta) -> None:
        thought = self._thought
        if thought is None or thought.part != delta.part:
            if not delta.text and delta.signature is None:
                return
            thought = self._ponder(delta)
        if delta.text:
            if not thought.pieces:
                self._event(*_paragraph(thought, "added", ""))
            thought.pieces.append(delta.text)
            self._word(thought.head, delta.text)
        if delta.signature is not None:
            thought.item["encrypted_content"] = carried(delta.signature, DIALECT)

    def _ponder(self, delta: ThinkingDelta) -> _Thought:
        """Begin a thought: another part of the same item where the vendor says so."""
        before = self._thought
        if before is not None and delta.id is not None and before.item["id"] == delta.id:
            self._end_paragraph(before)
            self._thought = _Thought(delta.part, before.item, before.place, delta.summary)
            return self._thought
        self._close()
        item = self._output.thought("in_progress", delta.id)
        self._thought = _Thought(delta.part, item, self._added(item), delta.summary)
        return self._thought

    def _end_paragraph(self, thought: _Thought) -> None:
        if thought.pieces:
            text = "".join(thought.pieces)
            kind, holder = ("summary_text", "summary") if thought.summary else ("reasoning_text", "content")
            thought.item[holder].append({"type": kind, "text": text})
            self._event(*_spoken(thought, text))
            self._event(*_paragraph(thought, "done", text))

    def _end_thought(self) -> None:
        thought = self._thought
        if thought is not None:
            self._thought = None
            self._end_paragraph(thought)
            thought.item["status"] = "completed"
            self._ended(thought.item, thought.place)

    def _call(self, delta: CallDelta) -> None:
        call = self._calls.get(delta.part)
        if call is None:
            self._end_thought()
            self._end_block()
            self._end_message()
            if delta.signature is not None:
                self._whole(self._output.carrier(delta.signature, CARRIES_CALL))
            item = self._output.call(delta.id or "", delta.name or "", "in_progress")
            call = self._calls[delta.part] = _Call(item, self._added(item))
        if delta.arguments:
            call.pieces.append(delta.arguments)
            self._word(call.head, delta.arguments)

    def _end_calls(self) -> None:
        for call in self._calls.values():
            arguments = "".join(call.pieces)
            at = {"item_id": call.item["id"], "output_index": call.place}
            self._event("response.function_call_arguments.done", {**at, "arguments": arguments})
            call.item["arguments"], call.item["status"] = arguments, "completed"
            self._ended(call.item, call.place)
        self._calls.clear()

    def _cite(self, part: int, citation: Citation) -> None:
        """Name a source: with the text that is being said, or of one that was said before."""
        block = self._block
        if block is None or block.part != part:
            said = self._texts.get(part)
            found = None if said is None else annotation_of(citation, said["text"])
            if said is not None and found is not None:
                said["annotations"].append(found)
                return
            if said is not None:
                return
            block = self._open(part, text_block(""))
        found = annotation_of(citation, "".join(block.pieces))
        if found is None:
            return
        annotations = cast("list[Json]", block.block["annotations"])
        at = {"item_id": block.item["id"], "output_index": block.place, "content_index": block.index}
        added = {**at, "annotation_index": len(annotations), "annotation": found}
        self._event("response.output_text.annotation.added", added)
        annotations.append(found)

    def _media(self, delta: MediaDelta) -> None:
        """Take a piece of an image, which is told as a whole; what is heard is told by its words."""
        media = delta.media
        if media.kind == "image" and media.data is not None:
            before = self._images.get(delta.part)
            data = media.data if before is None else (before.data or "") + media.data
            self._images[delta.part] = msgspec.structs.replace(before or media, data=data)
        elif media.transcript:
            self._text(TextDelta(delta.part, media.transcript))

    def _close(self) -> None:
        self._end_thought()
        self._end_block()
        self._end_message()
        self._end_calls()
        for image in self._images.values():
            self._whole(self._output.image(image))
        self._images.clear()


def _paragraph(thought: _Thought, what: str, text: str) -> tuple[str, Json]:
    """Return the event that a paragraph of a thought begins (``added``) or ends (``done``)."""
    at: Json = {"item_id": thought.item["id"], "output_index": thought.place}
    if thought.summary:
        fields = {**at, "summary_index": 0, "part": {"type": "summary_text", "text": text}}
        return f"response.reasoning_summary_part.{what}", fields
    fields = {**at, "content_index": 0, "part": {"type": "reasoning_text", "text": text}}
    return f"response.content_part.{what}", fields


def _spoken(thought: _Thought, text: str) -> tuple[str, Json]:
    """Return the event that tells a thought's whole text."""
    at: Json = {"item_id": thought.item["id"], "output_index": thought.place}
    if thought.summary:
        return "response.reasoning_summary_text.done", {**at, "summary_index": 0, "text": text}
    return "response.reasoning_text.done", {**at, "content_index": 0, "text": text}
