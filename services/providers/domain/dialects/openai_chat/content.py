"""The parts of a message in OpenAI's chat: words, images, sounds, files.

https://platform.openai.com/docs/api-reference/chat/create#chat-create-messages
"""

from typing import Any, cast

from services.providers.domain.canonical import Cache, Citation, Json, Media, Refused, Text
from services.providers.domain.content import data_url, from_data_url, sound_form, sound_type


def parts_of(content: object, where: str) -> tuple[Text | Media, ...]:
    """Return a message's content; raises Refused naming the part that is not known."""
    if content is None:
        return ()
    if isinstance(content, str):
        return (Text(text=content),)
    if not isinstance(content, list):
        raise Refused(where, f"{where} must be text or a list of parts")
    return tuple(_part(part, f"{where}[{place}]") for place, part in enumerate(cast("list[object]", content)))


def _part(given: object, where: str) -> Text | Media:
    if not isinstance(given, dict):
        raise Refused(where, f"{where} must be an object")
    part = cast("Json", given)
    kind, cache = part.get("type"), cache_of(part)
    match kind:
        case "text":
            return Text(text=word_at(part, "text", where), cache=cache)
        case "image_url":
            inner = _inner(part, "image_url", where)
            detail = inner["detail"] if isinstance(inner.get("detail"), str) else None
            return _at("image", word_at(inner, "url", f"{where}.image_url"), detail=detail, cache=cache)
        case "video_url":
            inner = _inner(part, "video_url", where)
            return _at("video", word_at(inner, "url", f"{where}.video_url"), cache=cache)
        case "input_audio":
            inner = _inner(part, "input_audio", where)
            form, data = (
                word_at(inner, "format", f"{where}.input_audio"),
                word_at(inner, "data", f"{where}.input_audio"),
            )
            return Media(kind="audio", media_type=sound_type(form), data=data, cache=cache)
        case "document_url" | "file_url" as name:  # as Mistral and Perplexity name documents
            return _at("document", word_at(_inner(part, name, where), "url", f"{where}.{name}"), cache=cache)
        case "file":
            return _file(_inner(part, "file", where), f"{where}.file", cache)
        case _:
            raise Refused(where, f"{where}: parts of type {kind!r} are not known")


def _file(inner: Json, where: str, cache: Cache | None) -> Media:
    name = inner["filename"] if isinstance(inner.get("filename"), str) else None
    if isinstance(inner.get("file_id"), str):
        return Media(kind="document", file_id=inner["file_id"], name=name, cache=cache)
    data = word_at(inner, "file_data", where)
    if data.startswith(("data:", "http://", "https://")):
        return _at("document", data, name=name, cache=cache)
    return Media(kind="document", media_type="application/pdf", data=data, name=name, cache=cache)


def _at(kind: Any, url: str, **fields: Any) -> Media:
    found = from_data_url(url)
    if found is None:
        return Media(kind=kind, url=url, **fields)
    return Media(kind=kind, media_type=found[0], data=found[1], **fields)


def _inner(part: Json, name: str, where: str) -> Json:
    inner = part.get(name)
    if isinstance(inner, str):
        return {"url": inner}
    if not isinstance(inner, dict):
        raise Refused(f"{where}.{name}", f"{where}.{name} must be an object")
    return cast("Json", inner)


def word_at(fields: Json, name: str, where: str) -> str:
    """Return a text that must be there."""
    found = fields.get(name)
    if not isinstance(found, str):
        raise Refused(f"{where}.{name}", f"{where}.{name} must be text")
    return found


def cache_of(part: Json) -> Cache | None:
    """Return the mark that the prompt shall be cached up to here: Anthropic's, as bridges take it, or OpenAI's."""
    mark = part.get("cache_control")
    if isinstance(mark, dict) and cast("Json", mark).get("type") == "ephemeral":
        return Cache(ttl="1h" if cast("Json", mark).get("ttl") == "1h" else "5m")
    return Cache() if isinstance(part.get("prompt_cache_breakpoint"), dict) else None


def said(part: Text | Media, where: str, quirks: frozenset[str]) -> Json:
    """Return a part as vendors take it; raises Refused for what cannot be said.

    Quirks: ``cache_control`` (marks are taken), ``document_url`` (documents by URL or data in a part of that name),
    ``file urls`` (files by URL), ``video_url``.
    """
    told = {"type": "text", "text": part.text} if isinstance(part, Text) else _media(part, where, quirks)
    if part.cache is not None and "cache_control" in quirks:
        ttl = {} if part.cache.ttl == "5m" else {"ttl": part.cache.ttl}
        return {**told, "cache_control": {"type": "ephemeral", **ttl}}
    return told


def _media(media: Media, where: str, quirks: frozenset[str]) -> Json:
    url = media.url if media.data is None else data_url(media.media_type or _USUAL.get(media.kind), media.data)
    match media.kind:
        case "image" if url is not None:
            detail = {} if media.detail is None else {"detail": media.detail}
            return {"type": "image_url", "image_url": {"url": url, **detail}}
        case "audio" if media.data is not None:
            return {"type": "input_audio", "input_audio": {"data": media.data, "format": sound_form(media.media_type)}}
        case "video" if url is not None and "video_url" in quirks:
            return {"type": "video_url", "video_url": {"url": url}}
        case "document":
            return _document(media, url, where, quirks)
        case _:
            raise Refused(where, f"{where}: this vendor takes no {media.kind} of this kind")


_USUAL = {"image": "image/png", "document": "application/pdf"}


def _document(media: Media, url: str | None, where: str, quirks: frozenset[str]) -> Json:
    if media.text is not None:
        return {"type": "text", "text": media.text if media.name is None else f"{media.name}\n\n{media.text}"}
    if url is not None and "document_url" in quirks:
        return {"type": "document_url", "document_url": url}
    if media.file_id is not None:
        return {"type": "file", "file": {"file_id": media.file_id}}
    if url is None or (media.data is None and "file urls" not in quirks):
        raise Refused(where, f"{where}: this vendor takes documents as data, not by URL")
    return {"type": "file", "file": {"filename": media.name or "document.pdf", "file_data": url}}


def citation_of(raw: object) -> Citation | None:
    """Return a source as ``annotations`` name it; an empty range and a title that is the address say nothing."""
    if not isinstance(raw, dict):
        return None
    note = cast("Json", raw)
    inner = note.get("url_citation")
    if note.get("type") != "url_citation" or not isinstance(inner, dict):
        return Citation(raw={name: value for name, value in note.items() if name != "index"})
    found = cast("Json", inner)
    start, end = found.get("start_index"), found.get("end_index")
    url, title = _text(found, "url"), _text(found, "title")
    ranged = type(start) is int and type(end) is int and 0 <= start < end
    return Citation(
        url=url,
        title=None if title == url else title,
        quote=_text(found, "content"),
        start=start if ranged else None,
        end=end if ranged else None,
    )


def annotation(citation: Citation, offset: int) -> Json | None:
    """Return a source as one of ``annotations``; ``offset``: characters of the message before its text."""
    if citation.url is not None:
        start, end = citation.start, citation.end
        inner: Json = {
            "url": citation.url,
            "title": citation.title or citation.url,
            "start_index": 0 if start is None else start + offset,
            "end_index": 0 if end is None else end + offset,
        }
        if citation.quote is not None:
            inner["content"] = citation.quote
        return {"type": "url_citation", "url_citation": inner}
    raw = citation.raw or {}
    kind = raw.get("type")
    return raw if isinstance(kind, str) and isinstance(raw.get(kind), dict) else None


def searched(answer: Json) -> list[Citation]:
    """Return the sources that Perplexity names beside its answer.

    https://docs.perplexity.ai/api-reference/chat-completions-post
    """
    results, urls = answer.get("search_results"), answer.get("citations")
    found: list[Citation] = []
    if isinstance(results, list) and results:
        for result in cast("list[object]", results):
            if isinstance(result, dict) and (url := _text(cast("Json", result), "url")):
                fields = cast("Json", result)
                found.append(Citation(url=url, title=_text(fields, "title"), quote=_text(fields, "snippet")))
    elif isinstance(urls, list):
        found = [Citation(url=url) for url in cast("list[object]", urls) if isinstance(url, str)]
    return found


def _text(fields: Json, name: str) -> str | None:
    found = fields.get(name)
    return found if isinstance(found, str) and found else None
