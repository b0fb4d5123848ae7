"""The older form of tools in OpenAI's chat: ``functions`` and ``function_call``, one call a turn and without an id.

https://platform.openai.com/docs/api-reference/chat/create#chat_create-functions
"""

from typing import Any, Final, cast

from services.providers.domain.canonical import Json, Refused
from services.providers.domain.dialects.openai_chat.content import word_at
from services.providers.domain.shapes import fields, items

_OLDER: Final = ("functions", "function_call")


def modern(body: Json) -> Json:
    """Return a request in the form of today, itself where it is; raises Refused for a wrong shape."""
    messages = body.get("messages")
    told = cast("list[object]", messages) if isinstance(messages, list) else []
    if not any(body.get(name) for name in _OLDER) and not any(_older(message) for message in told):
        return body
    if body.get("functions") and body.get("tools"):
        raise Refused("functions", "functions are the older form of tools: only one of them can be sent")
    new = {name: value for name, value in body.items() if name not in _OLDER}
    functions = items(body.get("functions") or [], "functions")
    if functions:
        new["tools"] = [_tool(raw, f"functions[{place}]") for place, raw in enumerate(functions)]
    choice = body.get("function_call")
    if functions and choice is not None:
        new["tool_choice"] = _choice(choice)
    if told:
        new["messages"] = _messages(told)
    return new


def asks_for_functions(body: Json) -> bool:
    """Whether the client of a request knows calls in the older form alone."""
    return bool(body.get("functions"))


def with_function_call(message: Json) -> Json:
    """Return an answered message with its first call in the older form; others, which it has no words for, stay."""
    first, *others = message["tool_calls"]
    told = {name: value for name, value in message.items() if name != "tool_calls"}
    return told | {"function_call": first["function"]} | ({"tool_calls": others} if others else {})


def _older(message: object) -> bool:
    if not isinstance(message, dict):
        return False
    told = cast("Json", message)
    return told.get("role") == "function" or bool(told.get("function_call"))


def _tool(raw: object, where: str) -> Json:
    function = fields(raw, where)
    word_at(function, "name", where)
    if function.get("parameters") is not None:
        fields(function["parameters"], f"{where}.parameters")
    return {"type": "function", "function": function}


def _choice(given: object) -> Any:
    match given:
        case "auto" | "none":
            return given
        case {"name": str(name)}:
            return {"type": "function", "function": {"name": name}}
        case _:
            raise Refused("function_call", "function_call must be auto, none or name a function")


def _messages(told: list[object]) -> list[object]:
    """Return the messages with an id for each call, made of its place; a result is of the last call of its name."""
    made: dict[str, str] = {}
    new: list[object] = []
    for place, raw in enumerate(told):
        where = f"messages[{place}]"
        if not _older(raw):
            new.append(raw)
            continue
        message = cast("Json", raw)
        if message.get("role") == "function":
            name = word_at(message, "name", where)
            if name not in made:
                raise Refused(f"{where}.name", f"{where}: there is no call of {name!r} that this is the result of")
            new.append({**message, "role": "tool", "tool_call_id": made[name]})
            continue
        call = fields(message["function_call"], f"{where}.function_call")
        identity = made[word_at(call, "name", f"{where}.function_call")] = f"call_{place}"
        rest = {name: value for name, value in message.items() if name != "function_call"}
        new.append({**rest, "tool_calls": [{"id": identity, "type": "function", "function": call}]})
    return new
