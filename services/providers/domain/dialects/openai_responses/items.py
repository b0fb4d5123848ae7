"""The conversation as a client of the Responses tells it: items into messages."""

from typing import Any, Final, cast

from services.providers.domain.canonical import (
    Cache,
    Json,
    Media,
    Message,
    Opaque,
    Part,
    RefusalText,
    Refused,
    Role,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    uncarried,
)
from services.providers.domain.content import from_data_url, sound_type
from services.providers.domain.dialects.openai_responses.names import CARRIES_CALL, CARRIES_TEXT, DIALECT, made_here

_ROLES: Final[dict[object, Role]] = {
    "user": "user",
    "assistant": "assistant",
    "system": "system",
    "developer": "system",
}
_TEXTS: Final = ("input_text", "output_text", "text")
_BY_USER: Final = ("_output", "_response")
"""How the types of items end that answer the model: what an operator's own tools gave, an approval."""


def decode_input(value: object) -> tuple[Message, ...]:
    """Return the messages of ``input``; raises Refused. Items of one turn of the model's are one message."""
    if isinstance(value, str):
        return (Message(role="user", parts=(Text(text=value),)),)
    if not isinstance(value, list):
        raise Refused("input", "'input' must be a text or a list of items")
    turns = _Turns()
    for number, item in enumerate(cast("list[object]", value)):
        where = f"input[{number}]"
        if not isinstance(item, dict):
            raise Refused(where, "an item must be an object")
        turns.take(cast("Json", item), where)
    return turns.done()


class _Turns:
    """Items on their way into messages: what follows one another from the model, or to it from tools, is one."""

    def __init__(self) -> None:
        self._messages: list[Message] = []
        self._role: Role | None = None
        self._parts: list[Part] = []
        self._called: dict[str, str] = {}
        self._signature: str | None = None
        """For the call that follows."""

    def take(self, item: Json, where: str) -> None:
        kind = item.get("type") or ("message" if "role" in item else "item_reference")
        match kind:
            case "message":
                self._message(item, where)
            case "function_call":
                self._call(item, where)
            case "function_call_output":
                self._add("user", self._result(item, where))
            case "reasoning":
                self._reasoning(item, where)
            case "item_reference":
                raise Refused(where, f"{where} refers to an item that another vendor keeps: send the item itself")
            case str():
                role: Role = "user" if kind.endswith(_BY_USER) else "assistant"
                self._add(role, Opaque(dialect=DIALECT, raw=item))
            case _:
                raise Refused(f"{where}.type", "an item's 'type' must be a text")

    def done(self) -> tuple[Message, ...]:
        self._flush()
        return tuple(self._messages)

    def _add(self, role: Role, part: Part) -> None:
        if self._role != role:
            self._flush()
            self._role = role
        self._parts.append(part)

    def _flush(self) -> None:
        if self._role is not None:
            self._messages.append(Message(role=self._role, parts=tuple(self._parts)))
        self._role, self._parts = None, []

    def _message(self, item: Json, where: str) -> None:
        role = _ROLES.get(item.get("role"))
        if role is None:
            raise Refused(f"{where}.role", "a role must be one of user, assistant, system, developer")
        parts = decode_content(item.get("content"), f"{where}.content")
        if role == "assistant":
            for part in parts:
                self._add(role, part)
            return
        self._flush()
        self._messages.append(Message(role=role, parts=parts))

    def _call(self, item: Json, where: str) -> None:
        call_id, name = text_of(item, "call_id", where), text_of(item, "name", where)
        self._called[call_id] = name
        signature = None if self._signature is None else uncarried(self._signature, DIALECT)
        self._signature = None
        arguments = text_of(item, "arguments", where)
        self._add("assistant", ToolCall(id=call_id, name=name, arguments=arguments, signature=signature))

    def _result(self, item: Json, where: str) -> ToolResult:
        call_id = text_of(item, "call_id", where)
        content = decode_content(item.get("output"), f"{where}.output")
        for number, part in enumerate(content):
            if not isinstance(part, Text | Media):
                raise Refused(f"{where}.output[{number}]", "a tool's output is made of texts, images and files")
        result = cast("tuple[Text | Media, ...]", content)
        return ToolResult(id=call_id, content=result, name=self._called.get(call_id))

    def _reasoning(self, item: Json, where: str) -> None:
        sealed, item_id = item.get("encrypted_content"), item.get("id")
        sealed = sealed if isinstance(sealed, str) and sealed else None
        item_id = item_id if isinstance(item_id, str) else ""
        if sealed is not None and item_id.startswith(CARRIES_CALL):
            self._signature = sealed
            return
        signature = None if sealed is None else uncarried(sealed, DIALECT)
        before = self._parts[-1] if self._parts else None
        if signature is not None and item_id.startswith(CARRIES_TEXT) and isinstance(before, Text):
            self._parts[-1] = Text(text=before.text, cache=before.cache, signature=signature)
            return
        for part in thoughts(item, signature, None if made_here(item_id) else item_id or None):
            self._add("assistant", part)


def thoughts(item: Json, signature: Any, item_id: str | None) -> list[Thinking]:
    """Return what a reasoning item says: its summary, its text, or that there is only a signature."""
    summary, content = _joined(item.get("summary")), _joined(item.get("content"))
    found = [Thinking(text=summary, summary=True, id=item_id)] if summary else []
    if content:
        found.append(Thinking(text=content, id=item_id))
    if signature is None:
        return found
    if not found:
        return [Thinking(signature=signature, redacted=True, id=item_id)]
    last = found[-1]
    found[-1] = Thinking(text=last.text, signature=signature, summary=last.summary, id=item_id)
    return found


def _joined(parts: object) -> str:
    if not isinstance(parts, list):
        return ""
    blocks = [cast("Json", part).get("text") for part in cast("list[object]", parts) if isinstance(part, dict)]
    return "\n\n".join(text for text in blocks if isinstance(text, str) and text)


def decode_content(value: object, where: str) -> tuple[Part, ...]:
    """Return the parts of a message or of a tool's output: a text, or a list of parts; raises Refused."""
    if isinstance(value, str):
        return (Text(text=value),)
    if not isinstance(value, list):
        raise Refused(where, "the content must be a text or a list of parts")
    return tuple(_part(part, f"{where}[{number}]") for number, part in enumerate(cast("list[object]", value)))


def _part(value: object, where: str) -> Part:
    if not isinstance(value, dict):
        raise Refused(where, "a part must be an object")
    part = cast("Json", value)
    kind = part.get("type")
    if kind in _TEXTS:
        return Text(text=text_of(part, "text", where), cache=_cache(part))
    match kind:
        case "refusal":
            return RefusalText(text=text_of(part, "refusal", where))
        case "input_image":
            return _image(part, where)
        case "input_file":
            return _file(part, where)
        case "input_audio":
            sound = part.get("input_audio")
            if not isinstance(sound, dict):
                raise Refused(f"{where}.input_audio", "'input_audio' must be an object")
            audio = cast("Json", sound)
            media_type = sound_type(text_of(audio, "format", f"{where}.input_audio"))
            return Media(kind="audio", media_type=media_type, data=text_of(audio, "data", f"{where}.input_audio"))
        case _:
            raise Refused(f"{where}.type", f"parts of type {kind!r} are not known here")


def _image(part: Json, where: str) -> Media:
    detail = part.get("detail")
    detail = detail if isinstance(detail, str) else None
    url, file_id = part.get("image_url"), part.get("file_id")
    if isinstance(file_id, str) and not url:
        return Media(kind="image", file_id=file_id, detail=detail, cache=_cache(part))
    if not isinstance(url, str):
        raise Refused(f"{where}.image_url", "an image needs 'image_url' or 'file_id', as text")
    if url.startswith("data:"):
        media_type, data = _data(url, f"{where}.image_url")
        return Media(kind="image", media_type=media_type, data=data, detail=detail, cache=_cache(part))
    return Media(kind="image", url=url, detail=detail, cache=_cache(part))


def _file(part: Json, where: str) -> Media:
    name = part.get("filename")
    name = name if isinstance(name, str) else None
    data, url, file_id = part.get("file_data"), part.get("file_url"), part.get("file_id")
    if isinstance(data, str):
        found = _data(data, f"{where}.file_data") if data.startswith("data:") else ("application/pdf", data)
        return Media(kind="document", media_type=found[0], data=found[1], name=name, cache=_cache(part))
    if isinstance(url, str):
        return Media(kind="document", url=url, name=name, cache=_cache(part))
    if isinstance(file_id, str):
        return Media(kind="document", file_id=file_id, name=name, cache=_cache(part))
    raise Refused(where, "a file needs one of 'file_data', 'file_url', 'file_id', as text")


def _data(url: str, where: str) -> tuple[str | None, str]:
    found = from_data_url(url)
    if found is None:
        raise Refused(where, "a data URL must be data:<type>;base64,<data>")
    return found


def _cache(part: Json) -> Cache | None:
    """Return the mark that a prompt shall be cached up to here; a lifetime of hours is the long one."""
    mark = part.get("prompt_cache_breakpoint")
    if not isinstance(mark, dict):
        return None
    return Cache(ttl="1h" if cast("Json", mark).get("ttl") == "12h" else "5m")


def text_of(holder: Json, name: str, where: str) -> str:
    """Return a text that must be there; raises Refused."""
    value = holder.get(name)
    if not isinstance(value, str):
        raise Refused(f"{where}.{name}", f"'{name}' must be a text")
    return value
