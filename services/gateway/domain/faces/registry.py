"""Which face looks at a request."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from services.gateway.domain.faces.anthropic import ANTHROPIC
from services.gateway.domain.faces.face import Face, Route
from services.gateway.domain.faces.ollama import OLLAMA
from services.gateway.domain.faces.openai import OPENAI, RESPONSES

FACES: Final = (OPENAI, RESPONSES, ANTHROPIC, OLLAMA)
ROUTES: Final[Mapping[str, tuple[Face, Route]]] = MappingProxyType(
    {path: (face, route) for face in FACES for path, route in face.routes.items()}
)
"""Every path that asks a model."""


def face_of(path: str, headers: list[tuple[bytes, bytes]]) -> Face:
    """Return the face for a path that asks no model: lists, and what is not there at all."""
    if path.startswith("/api/"):
        return OLLAMA
    if path.startswith("/v1/messages") or any(name == b"anthropic-version" for name, _ in headers):
        return ANTHROPIC
    return OPENAI
