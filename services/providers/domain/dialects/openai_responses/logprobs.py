"""The probabilities of tokens, from OpenAI's chat as the Responses say them: their bytes are never null."""

from typing import Any, Final, cast

from services.providers.domain.canonical import Json

_TOP: Final = "top_logprobs"


def tokens_of(logprobs: Any) -> list[Json]:
    """Return the tokens of ``{"content": [...]}``, each with the bytes of its text where its vendor names none."""
    content = cast("Json", logprobs).get("content") if isinstance(logprobs, dict) else None
    found = cast("list[object]", content) if isinstance(content, list) else []
    return [_whole(cast("Json", token)) for token in found if isinstance(token, dict)]


def _whole(token: Json) -> Json:
    tops = token.get(_TOP)
    others = [_with_bytes(cast("Json", top)) for top in cast("list[object]", tops or []) if isinstance(top, dict)]
    return {**_with_bytes(token), _TOP: others}


def _with_bytes(token: Json) -> Json:
    return token if token.get("bytes") is not None else {**token, "bytes": list(str(token.get("token", "")).encode())}
