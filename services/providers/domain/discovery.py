"""Where model servers usually listen on this machine, and by what they are told apart."""

from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from services.providers.domain.registry import VENDORS
from services.providers.domain.vendor import Vendor

_OWNERS: Final = {"vllm": "vllm", "llamacpp": "llamacpp"}
"""What servers write as the owner of their models. https://docs.vllm.ai/en/stable/api/vllm/entrypoints/openai/,
https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md"""
_SHARED_PORTS: Final = frozenset({"vllm", "llamacpp"})
"""Whose usual port is everybody's: what answers there need not be theirs."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where to look, and whose place it is."""

    vendor: str
    base_url: str


@dataclass(frozen=True, slots=True)
class Found:
    """A server that answered."""

    vendor: Vendor
    base_url: str
    models: tuple[str, ...]


PLACES: Final = tuple(
    Place(slug, base_url)
    for slug in ("ollama", "lmstudio", "vllm", "llamacpp")
    if (base_url := VENDORS[slug].base_url) is not None
)


def recognised(place: Place, body: Any) -> Found | None:
    """Return what the answer to a list of models at ``place`` shows; None: it is no list of models."""
    if not isinstance(body, dict):
        return None
    listed: Any = body.get("models" if place.vendor == "ollama" else "data")  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
    if not isinstance(listed, list):
        return None
    models: list[dict[str, Any]] = [item for item in listed if isinstance(item, dict)]  # pyright: ignore[reportUnknownVariableType]
    names = [str(name) for item in models if (name := item.get("id") or item.get("name"))]
    owners = {str(item.get("owned_by")) for item in models}
    slug = next((slug for owner, slug in _OWNERS.items() if owner in owners), None)
    if slug is None:
        slug = "openai-compatible" if place.vendor in _SHARED_PORTS else place.vendor
    return Found(VENDORS[slug], place.base_url, tuple(names))


def same_place(one: str, other: str) -> bool:
    """Whether two base URLs are one server on this machine."""
    return _server(one) == _server(other)


def _server(base_url: str) -> tuple[str, int | None]:
    parts = urlsplit(base_url)
    host = parts.hostname or ""
    return "localhost" if host in ("127.0.0.1", "::1") else host, parts.port
