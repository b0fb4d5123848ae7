"""Which dialect the client speaks, which the vendor: the way from the one to the other."""

import re

from services.providers.domain.dialect import Outgoing, unsupported
from services.providers.domain.dialects import ollama, openai_chat, openai_completions
from services.providers.domain.vendor import Vendor
from shared.contracts.frames import Completion, Fail


def translated(request: Completion, vendor: Vendor, created: int) -> Outgoing | Fail:
    """Return the request as ``vendor`` understands it, or what it cannot carry (``created``: Unix seconds)."""
    match request.dialect:
        case "openai_chat":
            return _chat(request, vendor, created)
        case "openai_completions":
            if vendor.completions_path and re.fullmatch(vendor.completions_models, request.native_id):
                body = openai_chat.request_body(request, vendor)
                return openai_completions.outgoing(request, vendor.completions_path, body)
            chat = openai_completions.as_chat(request)
            if isinstance(chat, Fail):
                return chat
            asked, dropped = chat
            found = _chat(asked, vendor, created)
            return found if isinstance(found, Fail) else openai_completions.over_chat(found, dropped)
        case other:
            return unsupported("dialect", f"requests in {other} are not known here")


def _chat(request: Completion, vendor: Vendor, created: int) -> Outgoing | Fail:
    match vendor.dialect:
        case "openai_chat":
            return openai_chat.outgoing(request, vendor)
        case "ollama":
            return ollama.outgoing(request, vendor, created)
