"""Reasoning in OpenAI's chat: ``reasoning_content`` and, with what proves it, OpenRouter's ``reasoning_details``.

https://api-docs.deepseek.com/guides/thinking_mode, https://openrouter.ai/docs/guides/best-practices/reasoning-tokens
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final, cast

import msgspec

from services.providers.domain.canonical import Json, Signature, Thinking, carried, uncarried

NAME: Final = "openai_chat"
_TEXT_OF: Final = {"reasoning.text": "text", "reasoning.summary": "summary"}


def signature_of(value: str, form: object = None) -> Signature:
    """Return the signature of an entry; its ``format`` is kept with the origin, because the vendor wants it back."""
    found = uncarried(value, NAME)
    if found.origin == NAME and isinstance(form, str) and form and "." not in form:
        return Signature(f"{NAME}:{form}", value)
    return found


def own(signature: Signature | None) -> bool:
    """Whether a vendor of this dialect made it."""
    return signature is not None and signature.origin.partition(":")[0] == NAME


def shown(signature: Signature) -> tuple[str, str | None]:
    """Return value and ``format`` as a client of this dialect keeps them."""
    if own(signature):
        return signature.value, signature.origin.partition(":")[2] or None
    return carried(signature, NAME), signature.origin


def thinking_of(entry: Json) -> Thinking | None:
    """Return what one of ``reasoning_details`` says; None for what is not known."""
    kind, form = entry.get("type"), entry.get("format")
    identity = entry["id"] if isinstance(entry.get("id"), str) else None
    if kind == "reasoning.encrypted":
        data = entry.get("data")
        if not isinstance(data, str) or not data:
            return None
        return Thinking(signature=signature_of(data, form), redacted=True, id=identity)
    field = _TEXT_OF.get(kind) if isinstance(kind, str) else None
    if field is None:
        return None
    text, proof = entry.get(field), entry.get("signature")
    return Thinking(
        text=text if isinstance(text, str) else "",
        signature=signature_of(proof, form) if isinstance(proof, str) and proof else None,
        summary=kind == "reasoning.summary",
        id=identity,
    )


def details_of(raw: object) -> Iterator[tuple[tuple[object, object], Thinking]]:
    """Yield the known entries of ``reasoning_details``, each with what tells it from others: index and type."""
    if not isinstance(raw, list):
        return
    for entry in cast("list[object]", raw):
        if isinstance(entry, dict):
            fields = cast("Json", entry)
            found = thinking_of(fields)
            if found is not None:
                yield (fields.get("index"), fields.get("type")), found


def thoughts_of(message: Json) -> list[Thinking]:
    """Return the reasoning of a whole message; pieces of one entry, as a client may have gathered them, are joined."""
    found: list[Thinking] = []
    last: tuple[object, object] | None = None
    for key, part in details_of(message.get("reasoning_details")):
        if key == last and key[0] is not None and not part.redacted and found[-1].signature is None:
            text, proof = found[-1].text + part.text, part.signature
            found[-1] = msgspec.structs.replace(found[-1], text=text, signature=proof, id=part.id or found[-1].id)
        else:
            found.append(part)
        last = key
    text = message.get("reasoning_content") or message.get("reasoning")
    if not isinstance(text, str) or not text or any(part.text for part in found):
        return found
    proved = [place for place, part in enumerate(found) if not part.redacted]
    if len(proved) == 1:
        found[proved[0]] = msgspec.structs.replace(found[proved[0]], text=text)
        return found
    return [Thinking(text=text), *found]


def thinking_part(part: Json) -> Thinking:
    """Return a part of content that is reasoning: https://docs.mistral.ai/capabilities/reasoning/."""
    inner, proof = part.get("thinking"), part.get("signature")
    if isinstance(inner, list):
        pieces = [cast("Json", item).get("text") for item in cast("list[object]", inner) if isinstance(item, dict)]
        inner = "".join(piece for piece in pieces if isinstance(piece, str))
    signature = signature_of(proof) if isinstance(proof, str) and proof else None
    return Thinking(text=inner if isinstance(inner, str) else "", signature=signature)


def detail(part: Thinking, index: int) -> Json:
    """Return reasoning, or a piece of it, as an entry of ``reasoning_details``."""
    if part.redacted:
        entry: Json = {"type": "reasoning.encrypted"}
    elif part.summary:
        entry = {"type": "reasoning.summary", "summary": part.text}
    else:
        entry = {"type": "reasoning.text", "text": part.text}
    if part.signature is not None:
        value, form = shown(part.signature)
        entry["data" if part.redacted else "signature"] = value
        if form is not None:
            entry["format"] = form
    if part.id is not None:
        entry["id"] = part.id
    entry["index"] = index
    return entry


def fields_of(parts: Iterable[Thinking]) -> Json:
    """Return the fields of a whole message that say its reasoning."""
    found = list(parts)
    if not found:
        return {}
    fields: dict[str, Any] = {"reasoning_details": [detail(part, index) for index, part in enumerate(found)]}
    text = "".join(part.text for part in found)
    return {"reasoning_content": text, **fields} if text else fields
