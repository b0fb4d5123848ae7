"""How each face tells of models: from the catalog, with nothing made up where the catalog does not know.

Vendors' dates are not known, and clients expect one: ``created`` is the time of the caller's own key.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from shared.contracts.catalog import Capability
from shared.contracts.plan import Candidate
from shared.kernel.clock import rfc3339

OLLAMA_VERSION: Final = "0.13.0"
"""The Ollama whose API this face speaks: clients compare it with what they need."""
_ABILITIES: Final[Mapping[Capability, str]] = {
    Capability.CHAT: "completion",
    Capability.COMPLETION: "completion",
    Capability.EMBEDDING: "embedding",
    Capability.TOOLS: "tools",
    Capability.VISION: "vision",
    Capability.REASONING: "thinking",
}
"""Ollama's words for what a model can do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What a key can name: a model, or a router, which can do what any of its candidates can."""

    name: str
    """``<provider>/<model>`` or ``router/<slug>``."""
    owner: str
    created: datetime
    candidates: tuple[Candidate, ...] = ()
    quantization: str | None = None

    @property
    def context_window(self) -> int | None:
        """The largest one (tokens), as far as it is known."""
        return max((item.context_window for item in self.candidates if item.context_window), default=None)

    @property
    def max_output(self) -> int | None:
        """The most that is answered (tokens), as far as it is known."""
        return max((item.max_output for item in self.candidates if item.max_output), default=None)

    @property
    def parameters_b(self) -> float | None:
        """Billions of parameters; None for a router."""
        return self.candidates[0].parameters_b if len(self.candidates) == 1 else None


def openai_model(known: Known) -> dict[str, Any]:
    """Return it as https://platform.openai.com/docs/api-reference/models has it."""
    created = int(known.created.timestamp())
    return {"id": known.name, "object": "model", "created": created, "owned_by": known.owner}


def openai_list(models: Sequence[Known]) -> dict[str, Any]:
    """Return a whole list."""
    return {"object": "list", "data": [openai_model(known) for known in models]}


def anthropic_model(known: Known) -> dict[str, Any]:
    """Return it as https://platform.claude.com/docs/en/api/models has it."""
    return {
        "type": "model",
        "id": known.name,
        "display_name": known.name,
        "created_at": rfc3339(known.created),
        "lifecycle": "active",
        "max_input_tokens": known.context_window,
        "max_tokens": known.max_output,
    }


def anthropic_list(models: Sequence[Known]) -> dict[str, Any]:
    """Return a whole list: a page that has no next one."""
    data = [anthropic_model(known) for known in models]
    first, last = (data[0]["id"], data[-1]["id"]) if data else (None, None)
    return {"data": data, "has_more": False, "first_id": first, "last_id": last}


def ollama_list(models: Sequence[Known]) -> dict[str, Any]:
    """Return the answer of ``/api/tags``; the size of what lies elsewhere is 0, its digest that of its name."""
    return {
        "models": [
            {
                "name": known.name,
                "model": known.name,
                "modified_at": rfc3339(known.created),
                "size": 0,
                "digest": hashlib.sha256(known.name.encode()).hexdigest(),
                "details": _ollama_details(known),
            }
            for known in models
        ]
    }


def ollama_show(known: Known) -> dict[str, Any]:
    """Return the answer of ``/api/show``."""
    info: dict[str, Any] = {"general.architecture": known.owner, "general.basename": known.name}
    if known.parameters_b:
        info["general.parameter_count"] = round(known.parameters_b * 1_000_000_000)
    if known.context_window:
        info[f"{known.owner}.context_length"] = known.context_window
    found = {capability for item in known.candidates for capability in item.capabilities}
    return {
        "modelfile": "",
        "parameters": "",
        "template": "",
        "details": _ollama_details(known),
        "model_info": info,
        "capabilities": list(dict.fromkeys(word for item, word in _ABILITIES.items() if item in found)),
        "modified_at": rfc3339(known.created),
    }


def _ollama_details(known: Known) -> dict[str, Any]:
    return {
        "parent_model": "",
        "format": "",
        "family": known.owner,
        "families": [known.owner],
        "parameter_size": _size(known.parameters_b),
        "quantization_level": known.quantization or "",
    }


def _size(parameters_b: float | None) -> str:
    """Return a count of parameters as Ollama writes it: ``8.0B``, ``134.5M``; empty where it is unknown."""
    if not parameters_b:
        return ""
    return f"{parameters_b:.1f}B" if parameters_b >= 1 else f"{parameters_b * 1000:.1f}M"
