"""What Anthropic is asked, from a request in the canonical form.

https://platform.claude.com/docs/en/api/messages/create
"""

from typing import Any, Final

from services.providers.domain.canonical import Ask, Json, Parameter, Reasoning, Refused, Tool
from services.providers.domain.dialect import Wire
from services.providers.domain.dialects.anthropic_messages.blocks import NAME
from services.providers.domain.dialects.anthropic_messages.generations import (
    adapts,
    efforts,
    takes_budget,
    thinks_unasked,
)
from services.providers.domain.dialects.anthropic_messages.schemas import closed, of_tool
from services.providers.domain.dialects.anthropic_messages.turns import marked, system_of, thought_first, turns_of
from services.providers.domain.effort import budget_of, effort_of

TAKES: Final = frozenset(
    {
        Parameter.TOOLS,
        Parameter.TOOL_CHOICE,
        Parameter.PARALLEL_TOOL_CALLS,
        Parameter.FORMAT_SCHEMA,
        Parameter.REASONING,
        Parameter.MAX_OUTPUT,
        Parameter.TEMPERATURE,
        Parameter.TOP_P,
        Parameter.TOP_K,
        Parameter.STOP,
        Parameter.USER,
        Parameter.SERVICE_TIER,
    }
)
"""Any JSON without a schema is not among them: it could only be had by a tool that the client did not ask for."""
_USUAL_OUTPUT: Final = 4_096
_LEAST_BUDGET: Final = 1_024
TIERS: Final = {"auto": "auto", "priority": "auto", "default": "standard_only", "standard": "standard_only"}
"""OpenAI's words for what is served first and what is not; another asks for nothing that Anthropic has."""
_CHOICES: Final = {"auto": "auto", "none": "none", "required": "any"}


def encode_request(ask: Ask, wire: Wire) -> Json:
    """Return the request; raises Refused for content that cannot be said.

    What combinations a model allows (temperature and thinking, forced tools and thinking) is the vendor's to say.
    """
    turns = turns_of(ask.messages)
    body: Json = {"model": wire.native_id, "messages": turns}
    system = system_of(ask.messages)
    if system is not None:
        body["system"] = system
    if ask.tools:
        body |= _tools(ask)
    body |= _thinking(ask, wire, turns)
    for name, value in (("temperature", ask.temperature), ("top_p", ask.top_p), ("top_k", ask.top_k)):
        if value is not None:
            body[name] = value
    if ask.stop:
        body["stop_sequences"] = list(ask.stop)
    if ask.user is not None:
        body["metadata"] = {"user_id": ask.user}
    if ask.service_tier in TIERS:
        body["service_tier"] = TIERS[ask.service_tier]
    if ask.format is not None and ask.format.kind == "schema":
        form = {"type": "json_schema", "schema": closed(ask.format.schema or {})}
        body["output_config"] = {**body.get("output_config", {}), "format": form}
    if ask.stream:
        body["stream"] = True
    return body


def _tools(ask: Ask) -> Json:
    choice = ask.tool_choice
    listed = [_tool(tool, f"tools[{place}]") for place, tool in enumerate(ask.tools)]
    if choice is not None and choice.among:
        listed = [tool for tool in listed if tool.get("name") in choice.among]
    found: Json = {"tools": listed}
    told: Json | None = None
    if choice is not None:
        told = {"type": "tool", "name": choice.name} if choice.mode == "named" else {"type": _CHOICES[choice.mode]}
    if ask.parallel_tool_calls is False and (told is None or told["type"] != "none"):
        told = {**(told or {"type": "auto"}), "disable_parallel_tool_use": True}
    if told is not None:
        found["tool_choice"] = told
    return found


def _tool(tool: Tool, where: str) -> Json:
    if tool.opaque is not None:
        if tool.opaque.dialect != NAME:
            raise Refused(where, f"a tool that only {tool.opaque.dialect} knows cannot be had from Anthropic")
        return tool.opaque.raw
    schema = of_tool(tool.schema)
    found: Json = {"name": tool.name, "input_schema": closed(schema) if tool.strict else schema}
    if tool.description:
        found["description"] = tool.description
    if tool.strict:
        found["strict"] = True
    return {**found, **marked(tool.cache)}


def _thinking(ask: Ask, wire: Wire, turns: list[Json]) -> Json:
    """Return how much is thought and the most that is answered, which must be more than the budget.

    A budget is left out in the middle of a loop of tools whose thoughts the client did not keep: it would be refused.
    """
    most = ask.max_output
    reasoning = ask.reasoning
    if reasoning is None:
        return {"max_tokens": most or wire.max_output or _USUAL_OUTPUT}
    if reasoning.effort == "none" and not reasoning.adaptive and not reasoning.budget:
        off = {"thinking": {"type": "disabled"}} if thinks_unasked(wire.native_id) else {}
        return {"max_tokens": most or wire.max_output or _USUAL_OUTPUT, **off}
    display = {} if reasoning.shown is None else {"display": "summarized" if reasoning.shown else "omitted"}
    if adapts(wire.native_id) and (reasoning.budget is None or not takes_budget(wire.native_id)):
        return {"max_tokens": most or wire.max_output or _USUAL_OUTPUT, **_adaptive(reasoning, wire, display)}
    budget = _budget(reasoning, most or wire.max_output)
    most = most or wire.max_output or budget + _USUAL_OUTPUT
    if budget >= most:
        if reasoning.budget is not None:
            raise Refused("max_tokens", f"the most that is answered must be more than the {budget} tokens of thinking")
        return {"max_tokens": most}
    if not thought_first(turns):
        return {"max_tokens": most}
    return {"max_tokens": most, "thinking": {"type": "enabled", "budget_tokens": budget, **display}}


def _adaptive(reasoning: Reasoning, wire: Wire, display: Json) -> Json:
    wanted = reasoning.effort or (None if reasoning.budget is None else effort_of(reasoning.budget))
    found: dict[str, Any] = {"thinking": {"type": "adaptive", **display}}
    if wanted is not None and wanted != "none":
        known = efforts(wire.native_id)
        word = "low" if wanted == "minimal" else wanted
        found["output_config"] = {"effort": word if word in known else "high"}
    return found


def _budget(reasoning: Reasoning, most: int | None) -> int:
    """Return the tokens to think: as asked; of an effort, never more than half of what may be answered."""
    if reasoning.budget is not None:
        return max(reasoning.budget, _LEAST_BUDGET)
    effort = reasoning.effort if reasoning.effort not in (None, "none") else "medium"
    return max(budget_of(effort, None if most is None else most // 2), _LEAST_BUDGET)
