"""Which model holds a conversation: known by how the conversation begins, remembered for a while, in memory alone.

What a vendor caches of a prompt is worth money and time only where the next turn goes to the same model. A gateway
that has no memory of a conversation (another one had it, or this one was restarted) follows the plan's order.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final, cast

import msgspec

TTL_S: Final = 3_600.0
"""Vendors forget a cached prompt after 5 minutes to an hour (https://platform.claude.com/docs/en/build-with-claude/
prompt-caching)."""
MOST: Final = 20_000
"""Conversations that are remembered; the one unused for longest goes first."""
_PROMPT: Final = 1_024
"""Characters of a bare prompt by which it is known again: a shorter one says too little, and nobody caches it."""
_MARKS: Final = ("cache_control",)
"""What clients move from turn to turn."""

Body = dict[str, Any]


class Conversations:
    """The model that answered each conversation last."""

    def __init__(self, ttl_s: float = TTL_S, most: int = MOST) -> None:
        self._ttl_s = ttl_s
        self._most = most
        self._held: OrderedDict[bytes, tuple[str, float]] = OrderedDict()

    def holder(self, conversation: bytes, now: float) -> str | None:
        """Return the model that holds a conversation at monotonic time ``now``; None: unknown, or long ago."""
        held = self._held.get(conversation)
        if held is None:
            return None
        model, at = held
        if now - at > self._ttl_s:
            del self._held[conversation]
            return None
        return model

    def answered(self, conversation: bytes, model: str, now: float) -> None:
        """Note that ``model`` answered."""
        self._held[conversation] = (model, now)
        self._held.move_to_end(conversation)
        if len(self._held) > self._most:
            self._held.popitem(last=False)


def conversation_of(body: Body, dialect: str, key_id: str, router: str) -> bytes | None:
    """Return what a conversation is known by: its key, its router, and its instructions and first words of the user.

    None where nothing tells it from others, such as vectors and short bare prompts.
    """
    begins = _BEGINS.get(dialect)
    if begins is None:
        return None
    digest = hashlib.blake2b(digest_size=16)
    digest.update(_ENCODE((key_id, router, dialect)))
    words = 0
    for text in begins(body):
        digest.update(b"\0" + text)
        words += 1
    return digest.digest() if words else None


def _chat(body: Body) -> Iterator[bytes]:
    yield from _texts(body.get("system"))
    yield from _until_user(body.get("messages"))


def _response(body: Body) -> Iterator[bytes]:
    yield from _texts(body.get("instructions"))
    items = body.get("input")
    yield from _texts(items) if isinstance(items, str) else _until_user(items)


def _prompt(body: Body) -> Iterator[bytes]:
    prompt = body.get("prompt")
    if isinstance(prompt, str) and len(prompt) >= _PROMPT:
        yield from _texts(body.get("system"))
        yield prompt[:_PROMPT].encode(errors="replace")


def _until_user(messages: Any) -> Iterator[bytes]:
    """Yield the words of everything up to the first message of the user's."""
    if not isinstance(messages, list):
        return
    for message in cast("list[Any]", messages):
        if not isinstance(message, dict):
            continue
        fields = cast("Body", message)
        role = fields.get("role")
        yield str(role).encode(errors="replace")
        yield from _texts(fields.get("content"))
        if role == "user":
            return


def _texts(content: Any) -> Iterator[bytes]:
    """Yield the words of a text or of a list of parts alike: clients send one now and the other then."""
    if isinstance(content, str):
        yield content.encode(errors="replace")
    elif isinstance(content, list):
        for part in cast("list[Any]", content):
            if not isinstance(part, dict):
                continue
            fields = cast("Body", part)
            text = fields.get("text")
            if isinstance(text, str):
                yield text.encode(errors="replace")
            else:
                yield _ENCODE({name: value for name, value in fields.items() if name not in _MARKS})


_ENCODE: Final = msgspec.json.Encoder().encode
_BEGINS: Final[Mapping[str, Callable[[Body], Iterator[bytes]]]] = MappingProxyType(
    {
        "openai_chat": _chat,
        "openai_completions": _prompt,
        "openai_responses": _response,
        "anthropic_messages": _chat,
        "ollama_chat": _chat,
        "ollama_generate": _prompt,
    }
)
