"""OpenAI's responses as a scripted vendor gives them, with every event of a stream in its place.

Forms as in https://platform.openai.com/docs/api-reference/responses.
"""

from typing import Any, Final

from shared.testing.upstream_behaviour import ToolCall
from shared.testing.upstream_form import (
    CREATED,
    Body,
    Form,
    Reply,
    Step,
    Stream,
    as_list,
    finish,
    halves,
    message_texts,
    text_of,
)
from shared.testing.upstream_openai import error


def _prompts(body: Body) -> list[str]:
    found = body.get("input", "")
    if not isinstance(found, list):
        said = [str(found)]
    else:
        items = as_list(found)
        said = [text_of([item]) if "output" in item else message_texts([item])[0] for item in items]
    return [*([str(body["instructions"])] if body.get("instructions") else []), *said]


def _usage(sent: int, answered: int, thought: int) -> Body:
    return {
        "input_tokens": sent,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": answered,
        "output_tokens_details": {"reasoning_tokens": thought},
        "total_tokens": sent + answered,
    }


def _whole(reply: Reply) -> Body:
    items = [item for item, _ in _items(reply)]
    cut = finish(reply.behaviour) == "length"
    status = "incomplete" if cut else "completed"
    return _response(reply, status, items) | {"incomplete_details": {"reason": "max_output_tokens"} if cut else None}


def _response(reply: Reply, status: str, output: list[Body]) -> Body:
    body = reply.asked.body
    return {
        "id": f"resp_{reply.id}",
        "object": "response",
        "created_at": CREATED,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "instructions": body.get("instructions"),
        "max_output_tokens": body.get("max_output_tokens"),
        "metadata": body.get("metadata", {}),
        "model": reply.model,
        "output": output,
        "parallel_tool_calls": True,
        "previous_response_id": body.get("previous_response_id"),
        "reasoning": {"effort": None, "summary": None},
        "store": True,
        "temperature": 1.0,
        "text": body.get("text", {"format": {"type": "text"}}),
        "tool_choice": body.get("tool_choice", "auto"),
        "tools": body.get("tools", []),
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": None if status == "in_progress" else reply.usage,
        "user": None,
    }


def _items(reply: Reply) -> list[tuple[Body, list[str]]]:
    """Return the items of the output, and the pieces that each is streamed in."""
    found: list[tuple[Body, list[str]]] = []
    if reply.behaviour.reasoning is not None:
        summary = [{"type": "summary_text", "text": reply.behaviour.reasoning}]
        item: Body = {"id": f"rs_{reply.id}", "type": "reasoning", "summary": summary}
        found.append((item | {"encrypted_content": reply.signature}, reply.thoughts))
    if reply.text or not reply.behaviour.tool_calls:
        part = {"type": "output_text", "text": reply.text, "annotations": list[Any](), "logprobs": list[Any]()}
        item = {"id": f"msg_{reply.id}", "type": "message", "status": "completed", "role": "assistant"}
        found.append((item | {"content": [part]}, reply.pieces))
    found += [(_call(reply, number, call), list(halves(call.arguments))) for number, call in _calls(reply)]
    return found


def _calls(reply: Reply) -> list[tuple[int, ToolCall]]:
    return list(enumerate(reply.behaviour.tool_calls))


def _call(reply: Reply, number: int, call: ToolCall) -> Body:
    named = {"name": call.name, "arguments": call.arguments, "call_id": call.id}
    return {"id": f"fc_{reply.id}_{number}", "type": "function_call", "status": "completed", **named}


def _stream(reply: Reply) -> Stream:
    say = _Events(RESPONSES)
    prelude = [say(kind, response=_response(reply, "in_progress", [])) for kind in ("created", "in_progress")]
    content: list[Step] = []
    for place, (item, parts) in enumerate(_items(reply)):
        steps = _item_steps(say, place, item, parts)
        (prelude if item["type"] == "reasoning" else content).extend(steps)
    whole = _whole(reply)
    return Stream(prelude=prelude, content=content, ending=[say(whole["status"], response=whole, claimed=reply.usage)])


def _item_steps(say: "_Events", place: int, item: Body, parts: list[str]) -> list[Step]:
    where = Body(item_id=item["id"], output_index=place)
    match item["type"]:
        case "reasoning":
            bare: Body = {"summary": []}
            inner = where | Body(summary_index=0)
            [part] = item["summary"]
            steps = [say("reasoning_summary_part.added", **inner, part=part | {"text": ""})]
            steps += [say("reasoning_summary_text.delta", **inner, delta=piece) for piece in parts]
            steps += [say("reasoning_summary_text.done", **inner, text=part["text"])]
            steps += [say("reasoning_summary_part.done", **inner, part=part)]
        case "message":
            bare = {"content": [], "status": "in_progress"}
            inner = where | Body(content_index=0)
            [part] = item["content"]
            steps = [say("content_part.added", **inner, part=part | {"text": ""})]
            steps += [say("output_text.delta", piece, **inner, delta=piece, logprobs=[]) for piece in parts]
            steps += [say("output_text.done", **inner, text=part["text"], logprobs=[])]
            steps += [say("content_part.done", **inner, part=part)]
        case _:
            bare = {"arguments": "", "status": "in_progress"}
            steps = [say("function_call_arguments.delta", True, **where, delta=piece) for piece in parts]
            done = {"arguments": item["arguments"], "name": item["name"]}
            steps += [say("function_call_arguments.done", **where, **done)]
    first = say("output_item.added", output_index=place, item=item | bare)
    return [first, *steps, say("output_item.done", output_index=place, item=item)]


class _Events:
    """Writes the events of one stream."""

    def __init__(self, form: Form) -> None:
        self._form = form

    def __call__(self, kind: str, shown: str | bool = False, claimed: Any = None, **fields: Any) -> Step:
        name = f"response.{kind}"
        payload = self._form.event({"type": name, **fields}, name)
        return Step(payload=payload, text=shown if isinstance(shown, str) else "", content=bool(shown), claimed=claimed)


def _numbered(reply: Reply) -> Stream:
    """Return the stream with every event numbered in the order in which it leaves."""
    plain = _stream(reply)
    number = 0

    def numbered(steps: list[Step]) -> list[Step]:
        nonlocal number
        found: list[Step] = []
        for step in steps:
            mark = b',"sequence_number":%d}\n\n' % number
            number += 1
            payload = step.payload.removesuffix(b"}\n\n") + mark
            found.append(Step(payload=payload, text=step.text, content=step.content, claimed=step.claimed))
        return found

    return Stream(prelude=numbered(plain.prelude), content=numbered(plain.content), ending=numbered(plain.ending))


RESPONSES: Final = Form(name="responses", prompts=_prompts, usage=_usage, whole=_whole, streamed=_numbered, error=error)
