"""What an answer of Gemini's leans on, as citations of its text.

https://ai.google.dev/api/generate-content#GroundingMetadata; places in a text are counted in bytes of UTF-8.
"""

from collections.abc import Mapping
from typing import Any, cast

from services.providers.domain.canonical import Citation, Json


def citations_of(found: object, texts: Mapping[int, str]) -> list[tuple[int, Citation]]:
    """Return the citations of one ``groundingMetadata``, each with the part whose text it supports.

    ``texts``: the texts by number of part. A source that supports nothing in particular is one of the last text.
    """
    if not texts:
        return []
    grounding = _object(found)
    chunks = [_source(_object(chunk)) for chunk in _list(grounding.get("groundingChunks"))]
    made: list[tuple[int, Citation]] = []
    used: set[int] = set()
    for support in (_object(item) for item in _list(grounding.get("groundingSupports"))):
        part, start, end = _place(_object(support.get("segment")), texts)
        for index in _list(support.get("groundingChunkIndices")):
            source = chunks[index] if type(index) is int and 0 <= index < len(chunks) else None
            if source is None:
                continue
            used.add(cast("int", index))
            made.append((part, Citation(url=source[0], title=source[1], quote=source[2], start=start, end=end)))
    last = max(texts)
    for number, source in enumerate(chunks):
        if source is not None and number not in used:
            made.append((last, Citation(url=source[0], title=source[1], quote=source[2])))
    return made


def _source(chunk: Json) -> tuple[str | None, str | None, str | None] | None:
    """Return address, title and words of a page, a retrieved document or a place on the map; None for another kind."""
    for kind in ("web", "retrievedContext", "maps"):
        if isinstance(chunk.get(kind), dict):
            found = _object(chunk[kind])
            return _text(found.get("uri")), _text(found.get("title")), _text(found.get("text"))
    return None


def _place(segment: Json, texts: Mapping[int, str]) -> tuple[int, int | None, int | None]:
    """Return the part, and the characters of its text from where to where; None where they are not found."""
    words = _text(segment.get("text"))
    start, end = segment.get("startIndex", 0), segment.get("endIndex")
    for part, text in texts.items():
        if type(start) is int and type(end) is int and 0 <= start <= end:
            raw = text.encode()
            before, piece = raw[:start].decode(errors="ignore"), raw[start:end].decode(errors="ignore")
            if piece and (words is None or piece == words):
                return part, len(before), len(before) + len(piece)
    if words:
        for part, text in texts.items():
            at = text.find(words)
            if at >= 0:
                return part, at, at + len(words)
    return max(texts), None, None


def _object(value: object) -> Json:
    return cast("Json", value) if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else []


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
