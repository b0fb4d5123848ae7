"""How media travels as text: data URLs (RFC 2397), and the names of sounds."""

import base64
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote_to_bytes

import msgspec

from services.providers.domain.canonical import Media, Text, ToolResult

_SOUNDS: Final[Mapping[str, str]] = {"mp3": "audio/mpeg", "m4a": "audio/mp4", "pcm16": "audio/L16"}


def data_url(media_type: str | None, data: str) -> str:
    """Return base64 as a data URL."""
    return f"data:{media_type or 'application/octet-stream'};base64,{data}"


def from_data_url(url: str) -> tuple[str | None, str] | None:
    """Return a data URL's media type and base64, or None for another URL."""
    if not url.startswith("data:"):
        return None
    head, comma, data = url[5:].partition(",")
    if not comma:
        return None
    media_type, *marks = head.split(";")
    if "base64" not in marks:
        data = base64.b64encode(unquote_to_bytes(data)).decode()
    return media_type or None, data


def told_result(result: ToolResult) -> tuple[Text | Media, ...]:
    """Return the content of a tool's result for a dialect that cannot mark it as failed: its first words say so."""
    if not result.error:
        return result.content
    for place, part in enumerate(result.content):
        if isinstance(part, Text):
            if part.text.lstrip().lower().startswith("error"):
                return result.content
            told = msgspec.structs.replace(part, text=f"Error: {part.text}")
            return (*result.content[:place], told, *result.content[place + 1 :])
    return (Text(text="Error"), *result.content)


def sound_type(form: str) -> str:
    """Return the media type of a sound that is named by its form (``mp3``, ``wav``)."""
    return _SOUNDS.get(form, f"audio/{form}")


def sound_form(media_type: str | None) -> str:
    """Return the form of a sound's media type: the other way of ``sound_type``."""
    for form, known in _SOUNDS.items():
        if known == media_type:
            return form
    return (media_type or "audio/wav").rpartition("/")[2].removeprefix("x-")
