"""What clients ask in OpenAI's completions: the prompt becomes one message of the user's.

https://platform.openai.com/docs/api-reference/completions/create
"""

from collections.abc import Mapping
from typing import Any, Final, cast

from services.providers.domain.canonical import Ask, Json, Message, Parameter, Refused, Text
from services.providers.domain.shapes import fields, integer, number, stops, word

NAMES: Final[Mapping[Parameter, str]] = {
    **{
        parameter: parameter.value
        for parameter in (
            Parameter.TEMPERATURE,
            Parameter.TOP_P,
            Parameter.TOP_K,
            Parameter.MIN_P,
            Parameter.SEED,
            Parameter.STOP,
            Parameter.PRESENCE_PENALTY,
            Parameter.FREQUENCY_PENALTY,
            Parameter.LOGIT_BIAS,
            Parameter.LOGPROBS,
            Parameter.N,
            Parameter.USER,
        )
    },
    Parameter.MAX_OUTPUT: "max_tokens",
    Parameter.TOP_LOGPROBS: "logprobs",
}
_CHECKS: Final = {
    **dict.fromkeys(("temperature", "top_p", "min_p", "presence_penalty", "frequency_penalty"), number),
    **dict.fromkeys(("top_k", "seed", "n"), integer),
    "logit_bias": fields,
    "user": word,
}
_READ: Final = frozenset(
    {"model", "models", "prompt", "stream", "stream_options", "usage", "max_tokens", "stop", "logprobs", *_CHECKS}
)
_NEUTRAL: Final[Mapping[str, tuple[Any, ...]]] = {"echo": (False,), "best_of": (1,), "suffix": ("",)}
"""What a chat cannot do, with the values that ask for nothing."""


def decode_request(body: Json) -> Ask:
    """Read a request; raises Refused for several prompts, or one of tokens, and for a wrong shape."""
    said: dict[str, Any] = {
        name: _CHECKS[name](value, name) for name, value in body.items() if name in _CHECKS and value is not None
    }
    if body.get("max_tokens") is not None:
        said["max_output"] = integer(body["max_tokens"], "max_tokens")
    if body.get("logprobs") is not None:
        said["logprobs"], said["top_logprobs"] = True, integer(body["logprobs"], "logprobs")
    extra = {
        name: value
        for name, value in body.items()
        if name not in _READ and value is not None and value not in _NEUTRAL.get(name, ())
    }
    message = Message(role="user", parts=(Text(text=_prompt(body.get("prompt"))),))
    return Ask(
        messages=(message,), stream=body.get("stream") is True, stop=stops(body.get("stop")), extra=extra, **said
    )


def _prompt(given: object) -> str:
    if isinstance(given, list) and len(cast("list[object]", given)) == 1:
        given = cast("list[object]", given)[0]
    if not isinstance(given, str):
        raise Refused("prompt", "this model takes chats alone: prompt must be one text")
    return given
