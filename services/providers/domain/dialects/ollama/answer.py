"""Ollama's whole answers: read from a vendor, written for clients of chat and of generate."""

from datetime import UTC, datetime
from typing import Any, cast

import msgspec

from services.providers.domain.canonical import (
    Answer,
    Choice,
    Json,
    Media,
    Part,
    RefusalText,
    Text,
    Thinking,
    ToolCall,
)
from services.providers.domain.dialect import Asked, Malformed, VendorFailed
from services.providers.domain.dialects.ollama.wire import ENCODE, Call, Line, done_reason_of, finish_of
from services.providers.domain.usage import ollama_usage
from shared.contracts.usage import NO_TOKENS, Tokens


def decode_answer(body: Json) -> Answer:
    """Read an answer of chat or of generate; raises Malformed, VendorFailed."""
    line = msgspec.convert(body, Line)
    if line.error:
        raise VendorFailed(line.error)
    said = line.said()
    if said is None:
        raise Malformed("the vendor's answer holds no message")
    parts: list[Part] = []
    if said.thinking:
        parts.append(Thinking(text=said.thinking))
    if said.content:
        parts.append(Text(text=said.content))
    parts += [Media(kind="image", data=image) for image in said.images or ()]
    calls = said.tool_calls or ()
    parts += [
        ToolCall(id=call_id(call, line, place), name=call.function.name, arguments=arguments_of(call))
        for place, call in enumerate(calls)
    ]
    choice = Choice(
        parts=tuple(parts),
        finish=finish_of(line.done_reason, called=bool(calls)),
        logprobs=logprobs_of(line.logprobs),
    )
    return Answer(
        choices=(choice,),
        model=line.model,
        tokens=ollama_usage(line.prompt_eval_count, line.eval_count) or NO_TOKENS,
    )


def call_id(call: Call, line: Line, place: int) -> str:
    """Return the id of a call; older servers give none: then one is made from the moment that the line tells."""
    if call.id:
        return call.id
    moment = "".join(filter(str.isdecimal, line.created_at)) if isinstance(line.created_at, str) else ""
    return f"call_{moment[:20]}_{place}"


def arguments_of(call: Call) -> str:
    """Return a call's arguments as JSON."""
    arguments = call.function.arguments
    return arguments if isinstance(arguments, str) else ENCODE(arguments or {}).decode()


def logprobs_of(raw: Any) -> Json | None:
    """Return Ollama's list of tokens in the canonical form, which is OpenAI's."""
    if not isinstance(raw, list):
        return None
    tokens = [cast("Json", token) for token in cast("list[object]", raw) if isinstance(token, dict)]
    return {"content": [{**_token(item), "top_logprobs": _tops(item)} for item in tokens]} if tokens else None


def _tops(token: Json) -> list[Json]:
    found = token.get("top_logprobs")
    tops = cast("list[object]", found) if isinstance(found, list) else []
    return [_token(cast("Json", item)) for item in tops if isinstance(item, dict)]


def _token(token: Json) -> Json:
    text = token.get("token")
    text = text if isinstance(text, str) else ""
    return {
        "token": text,
        "logprob": token.get("logprob"),
        "bytes": token.get("bytes") or list(text.encode("utf-8", "replace")),
    }


def ollama_logprobs(canonical: Any) -> list[Any] | None:
    """Return tokens as Ollama lists them."""
    found = cast("Json", canonical).get("content") if isinstance(canonical, dict) else None
    return cast("list[Any]", found) if isinstance(found, list) and found else None


def encode_chat(answer: Answer, asked: Asked) -> bytes:
    """Return an answer of ``/api/chat``."""
    return ENCODE(head(asked) | {"message": _message(answer)} | _tail(answer))


def encode_generated(answer: Answer, asked: Asked) -> bytes:
    """Return an answer of ``/api/generate``."""
    message = _message(answer)
    told: Json = {"response": message["content"]}
    if "thinking" in message:
        told["thinking"] = message["thinking"]
    return ENCODE(head(asked) | told | _tail(answer))


def head(asked: Asked) -> Json:
    """Return what every line begins with."""
    moment = datetime.fromtimestamp(asked.created, UTC)
    return {"model": asked.model, "created_at": moment.strftime("%Y-%m-%dT%H:%M:%SZ")}


def counts(tokens: Tokens) -> Json:
    """Return the counts of a last line. How long things took is not known here: Ollama leaves out what is zero."""
    prompt = tokens.input + tokens.cached + tokens.cache_write
    return {"prompt_eval_count": prompt, "eval_count": tokens.output}


def told_call(call: ToolCall, place: int) -> Json:
    """Return a call; arguments that are no object, which Ollama cannot say, are kept as text under ``arguments``."""
    try:
        arguments: Any = msgspec.json.decode(call.arguments or "{}")
    except (msgspec.DecodeError, RecursionError):
        arguments = None
    if not isinstance(arguments, dict):
        arguments = {"arguments": call.arguments}
    return {"id": call.id, "function": {"index": place, "name": call.name, "arguments": arguments}}


def _message(answer: Answer) -> Json:
    told: Json = {"role": "assistant", "content": ""}
    thoughts: list[str] = []
    images: list[str] = []
    calls: list[Json] = []
    for part in answer.choices[0].parts if answer.choices else ():
        match part:
            case Text(text=text) | RefusalText(text=text):
                told["content"] += text
            case Thinking(text=text):
                thoughts.append(text)
            case Media(kind="image", data=str(data)):
                images.append(data)
            case Media(transcript=str(transcript)):
                told["content"] += transcript
            case ToolCall():
                calls.append(told_call(part, len(calls)))
            case _:
                pass
    if any(thoughts):
        told["thinking"] = "".join(thoughts)
    if images:
        told["images"] = images
    if calls:
        told["tool_calls"] = calls
    return told


def _tail(answer: Answer) -> Json:
    choice = answer.choices[0] if answer.choices else Choice(parts=())
    logprobs = ollama_logprobs(choice.logprobs)
    told: Json = {"logprobs": logprobs} if logprobs else {}
    return told | {"done": True, "done_reason": done_reason_of(choice.finish)} | counts(answer.tokens)
