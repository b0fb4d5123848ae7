"""A conversation as Gemini's contents: turns of user and model, made of parts.

https://ai.google.dev/api/caching#Content, https://ai.google.dev/gemini-api/docs/thought-signatures
"""

import base64
from collections.abc import Sequence
from typing import Any, Final, cast
from urllib.parse import urlsplit

import msgspec

from services.providers.domain.canonical import (
    Json,
    Media,
    Message,
    Opaque,
    Part,
    RefusalText,
    Refused,
    Signature,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from services.providers.domain.dialects.gemini.model import Ways

ORIGIN: Final = "gemini"
"""Of its signatures."""
_UNPROVEN: Final = "skip_thought_signature_validator"
"""What stands for the signature of a call that the model did not make itself, as the documentation says."""
_FILES: Final = "https://generativelanguage.googleapis.com/v1beta/"
_FILMS: Final = ("youtube.com", "www.youtube.com", "m.youtube.com", "youtu.be")
_SUFFIXES: Final = {
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "png": "image/png",
    "webp": "image/webp",
    "gif": "image/gif",
    "heic": "image/heic",
    "heif": "image/heif",
    "pdf": "application/pdf",
    "txt": "text/plain",
    "csv": "text/csv",
    "html": "text/html",
    "md": "text/markdown",
    "mp3": "audio/mpeg",
    "wav": "audio/wav",
    "flac": "audio/flac",
    "ogg": "audio/ogg",
    "mp4": "video/mp4",
    "mov": "video/quicktime",
    "webm": "video/webm",
}
"""What Gemini reads, by the end of an address's path."""
_USUAL: Final = {"image": "image/png", "document": "application/pdf", "audio": "audio/wav", "video": "video/mp4"}


def contents_of(messages: Sequence[Message], ways: Ways) -> tuple[list[Json], list[Json]]:
    """Return the parts of the instructions, and the turns; neighbours of one role are one turn, as the results of
    parallel calls must be. Raises Refused naming the part that cannot be said."""
    instructions: list[Json] = []
    turns: list[Json] = []
    names: dict[str, str] = {}
    for place, message in enumerate(messages):
        where = f"messages[{place}]"
        if message.role == "system":
            instructions += _instructions(message, where)
            continue
        if message.role == "assistant":
            names.update((part.id, part.name) for part in message.parts if isinstance(part, ToolCall))
            role, parts = "model", _model_parts(message.parts, where, ways)
        else:
            role, parts = "user", _user_parts(message.parts, where, ways, names)
        if not parts:
            continue
        if turns and turns[-1]["role"] == role:
            turns[-1]["parts"] += parts
        else:
            turns.append({"role": role, "parts": parts})
    for turn in turns:
        # Results stand together, as many as there were calls; files that belong to them follow.
        turn["parts"].sort(key=_after_results)
    if instructions and (not turns or not ways.instructed):
        # A turn there must be: instructions alone are what is asked.
        if not turns or turns[0]["role"] != "user":
            turns.insert(0, {"role": "user", "parts": []})
        turns[0]["parts"][:0] = instructions
        instructions = []
    return instructions, turns


def _after_results(part: Json) -> bool:
    return "functionResponse" not in part


def _instructions(message: Message, where: str) -> list[Json]:
    parts: list[Json] = []
    for place, part in enumerate(message.parts):
        if not isinstance(part, Text):
            raise Refused(f"{where}.content[{place}]", "Gemini takes instructions as text alone")
        if part.text:
            parts.append({"text": part.text})
    return parts


def _user_parts(parts: Sequence[Part], where: str, ways: Ways, names: dict[str, str]) -> list[Json]:
    found: list[Json] = []
    for place, part in enumerate(parts):
        here = f"{where}.content[{place}]"
        match part:
            case Text(text=text):
                found += [{"text": text}] if text else []
            case Media():
                found.append(media_part(part, here))
            case ToolResult():
                found += _result(part, here, ways, names)
            case Opaque(dialect="gemini", raw=raw):
                found.append(raw)
            case _:
                raise Refused(here, "Gemini has no such content in a user's turn")
    return found


def _model_parts(parts: Sequence[Part], where: str, ways: Ways) -> list[Json]:
    """Return the model's own parts. A signature that came apart from its part belongs to the next one that has none."""
    found: list[Json] = []
    waiting: str | None = None
    for place, part in enumerate(parts):
        here = f"{where}.content[{place}]"
        match part:
            case Thinking(signature=signature):
                waiting = _proof(signature) or waiting
                continue
            case Text(text=text, signature=signature):
                made, proof = {"text": text}, _proof(signature)
                if not text and proof is None:
                    continue
            case RefusalText(text=text):
                made, proof = {"text": text}, None
            case ToolCall():
                made, proof = {"functionCall": _call(part, here)}, _proof(part.signature)
            case Media():
                made, proof = media_part(part, here), None
            case Opaque(dialect="gemini", raw=raw):
                found.append(raw)
                continue
            case _:
                raise Refused(here, "Gemini has no such content in a model's turn")
        if proof is None:
            proof, waiting = waiting, None
        found.append({**made, "thoughtSignature": proof} if proof else made)
    if waiting is not None:
        found.append({"text": "", "thoughtSignature": waiting})
    if ways.proves:
        _excuse(found)
    return found


def _excuse(parts: list[Json]) -> None:
    """Mark the first call of a step where it carries no signature: else the request is refused."""
    first = next((part for part in parts if "functionCall" in part), None)
    if first is not None and "thoughtSignature" not in first:
        first["thoughtSignature"] = _UNPROVEN


def _proof(signature: Signature | None) -> str | None:
    return signature.value if signature is not None and signature.origin == ORIGIN else None


def _call(part: ToolCall, here: str) -> Json:
    try:
        arguments: Any = msgspec.json.decode(part.arguments) if part.arguments.strip() else {}
    except (msgspec.DecodeError, RecursionError):
        arguments = None
    if not isinstance(arguments, dict):
        raise Refused(here, f"the arguments of the call of '{part.name}' are no JSON object")
    return {"id": part.id, "name": part.name, "args": cast("Json", arguments)}


def _result(part: ToolResult, here: str, ways: Ways, names: dict[str, str]) -> list[Json]:
    """Return a function's result: a JSON object as it is, else under ``output`` or ``error``.

    Files go into the result where the model takes them there, else beside it.
    """
    name = names.get(part.id) or part.name
    if name is None:
        raise Refused(here, f"no call with the id '{part.id}' comes before this result")
    words = "".join(item.text for item in part.content if isinstance(item, Text))
    files = [media_part(item, here) for item in part.content if isinstance(item, Media)]
    response: Json = {"id": part.id, "name": name, "response": _response(words, error=part.error)}
    if files and ways.media_in_results:
        response["parts"] = files
        files = []
    return [{"functionResponse": response}, *files]


def _response(words: str, *, error: bool) -> Json:
    if error:
        return {"error": words}
    if words.lstrip().startswith("{"):
        try:
            found: Any = msgspec.json.decode(words)
        except (msgspec.DecodeError, RecursionError):
            found = None
        if isinstance(found, dict):
            return cast("Json", found)
    return {"output": words}


def media_part(media: Media, here: str) -> Json:
    """Return a file as a part; what has an address the vendor fetches itself.

    https://ai.google.dev/gemini-api/docs/file-input-methods
    """
    if media.data is not None:
        return {"inlineData": {"mimeType": media.media_type or _USUAL[media.kind], "data": media.data}}
    if media.text is not None:
        data = base64.b64encode(media.text.encode()).decode()
        return {"inlineData": {"mimeType": media.media_type or "text/plain", "data": data}}
    address = media.url if media.file_id is None else media.file_id
    if address is not None and address.startswith("files/"):
        return _file(_FILES + address, media.media_type)
    if media.file_id is not None and not media.file_id.startswith(("https://", "gs://")):
        raise Refused(here, "this file lies with another vendor: Gemini takes data or an address")
    parts = urlsplit(address or "")
    if parts.scheme not in ("https", "gs"):
        raise Refused(here, "Gemini fetches https:// and gs:// addresses alone: give the data itself")
    media_type = media.media_type or _SUFFIXES.get(parts.path.rpartition(".")[2].lower())
    if parts.hostname in _FILMS:
        return _file(parts.geturl(), media_type or "video/mp4")
    if media_type is None and not parts.geturl().startswith(_FILES):
        raise Refused(here, "Gemini must be told the type of what an address holds, and this one does not show it")
    return _file(parts.geturl(), media_type)


def _file(uri: str, media_type: str | None) -> Json:
    return {"fileData": {"fileUri": uri} | ({"mimeType": media_type} if media_type else {})}
