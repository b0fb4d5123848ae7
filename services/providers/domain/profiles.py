"""What a model's name tells where its vendor's list does not: family, size, kind."""

import re
from typing import Final, NamedTuple

from shared.contracts.catalog import Capability

_EXPERTS: Final = re.compile(r"(?<![a-z0-9.])(\d{1,3})x(\d{1,4}(?:\.\d+)?)b(?![a-z0-9])")
_SIZE: Final = re.compile(r"(?<![a-z0-9.])(\d{1,4}(?:\.\d+)?)([bm])(?![a-z0-9])")

_OTHER_KINDS: Final = re.compile(
    r"whisper|tts|dall-e|image|sora|transcri|moderation|realtime|rerank|ocr|guard|computer-use|search-(?:doc|query)"
    r"|text-search|code-search|similarity|-edit-|lyria|veo-|imagen|voxtral-mini-(?:tts|transcribe)|orpheus|deep-research"
)
_EMBEDDING: Final = re.compile(r"embed|(?:^|[/-])(?:bge|gte|e5)-|minilm")
_COMPLETION_ONLY: Final = re.compile(r"gpt-3\.5-turbo-instruct|(?:^|:)(?:davinci|babbage)-002|-base$")


class Family(NamedTuple):
    """Facts of a family of models that do not publish their size."""

    pattern: str
    performance_class: int
    """The vendor's own order of capability, in steps of ten; comparable between families about."""
    extra: tuple[Capability, ...] = ()


_SEES: Final = (Capability.VISION,)
_THINKS: Final = (Capability.REASONING,)
_BOTH: Final = (Capability.VISION, Capability.REASONING)

FAMILIES: Final = (
    Family(r"gpt-5[\d.]*-nano", 40, _BOTH),
    Family(r"gpt-5[\d.]*-mini", 60, _BOTH),
    Family(r"gpt-5[\d.]*-pro", 100, _BOTH),
    Family(r"gpt-5", 90, _BOTH),
    Family(r"o[134]-(?:mini|preview)", 60, _THINKS),
    Family(r"o[134]-pro", 90, _BOTH),
    Family(r"o[134](?:-|$)", 80, _BOTH),
    Family(r"gpt-4\.1-nano", 30, _SEES),
    Family(r"gpt-4\.1-mini|gpt-4o-mini", 40, _SEES),
    Family(r"gpt-4\.5", 75, _SEES),
    Family(r"gpt-4\.1|gpt-4o|chatgpt-4o", 70, _SEES),
    Family(r"gpt-4-turbo", 55, _SEES),
    Family(r"gpt-4", 50),
    Family(r"gpt-3\.5", 20),
    Family(r"deepseek-(?:reasoner|r1)", 80, _THINKS),
    Family(r"deepseek-v4-pro", 90, _THINKS),
    Family(r"deepseek", 70),
    Family(r"mistral-large", 75),
    Family(r"mistral-medium", 70, _SEES),
    Family(r"magistral-medium", 75, _THINKS),
    Family(r"magistral", 55, _THINKS),
    Family(r"pixtral-large", 70, _SEES),
    Family(r"codestral|devstral", 55),
    Family(r"mistral-small|pixtral", 45),
    Family(r"claude-opus", 100, _BOTH),
    Family(r"claude-(?:3-7-)?sonnet", 90, _BOTH),
    Family(r"claude-(?:3-\d-)?haiku", 60, _SEES),
    Family(r"gemini-\d[\d.]*-pro", 90, _BOTH),
    Family(r"gemini-\d[\d.]*-flash-lite", 45, _SEES),
    Family(r"gemini-\d[\d.]*-flash", 60, _BOTH),
    Family(r"grok-[3-9]-mini", 60, _THINKS),
    Family(r"grok", 80),
)
_VISION_NAME: Final = re.compile(r"vision|[-_]vl\b|llava|pixtral|(?:^|/)gemma-?[34]|llama-?4")
_REASONING_NAME: Final = re.compile(r"gpt-oss|qwq|deepseek-r1|r1-distill|thinking|magistral|(?:^|/)qwen-?3")


def parameters_from_name(native_id: str) -> float | None:
    """Return billions of parameters as a name says them: ``70b``, ``135m``, ``8x7b`` (their product)."""
    name = native_id.lower()
    if found := _EXPERTS.search(name):
        return round(int(found[1]) * float(found[2]), 3)
    if found := _SIZE.search(name):
        number = float(found[1])
        return round(number if found[2] == "b" else number / 1_000, 6)
    return None


def family_of(native_id: str) -> Family | None:
    """Return the family that a name belongs to."""
    name = native_id.lower().rpartition("/")[2]
    return next((family for family in FAMILIES if re.match(family.pattern, name)), None)


def capabilities_from_name(native_id: str, usual: tuple[Capability, ...]) -> tuple[Capability, ...]:
    """Return what a model can do as far as its name tells; ``usual``: what its vendor's chat models can. Empty for
    models of kinds that are not served (speech, images, moderation)."""
    name = native_id.lower()
    if _EMBEDDING.search(name):
        return (Capability.EMBEDDING,)
    if _OTHER_KINDS.search(name):
        return ()
    if _COMPLETION_ONLY.search(name):
        return (Capability.COMPLETION,)
    found = set(usual)
    if (family := family_of(name)) is not None:
        found |= set(family.extra)
    if _VISION_NAME.search(name):
        found.add(Capability.VISION)
    if _REASONING_NAME.search(name):
        found.add(Capability.REASONING)
    return in_order(found)


def in_order(found: set[Capability]) -> tuple[Capability, ...]:
    """Return capabilities in the order in which they are always named."""
    return tuple(capability for capability in Capability if capability in found)
