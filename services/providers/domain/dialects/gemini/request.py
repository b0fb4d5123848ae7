"""The canonical request as Gemini's generateContent. https://ai.google.dev/api/generate-content"""

from typing import Any, Final

from services.providers.domain.canonical import Ask, Format, Json, Parameter, Reasoning, Refused, Tool, ToolChoice
from services.providers.domain.dialect import Range, Wire
from services.providers.domain.dialects.gemini.content import contents_of
from services.providers.domain.dialects.gemini.model import Ways, ways_of
from services.providers.domain.dialects.gemini.schema import taken
from services.providers.domain.effort import budget_of, effort_of

TAKES: Final = frozenset(
    {
        Parameter.TOOLS,
        Parameter.TOOL_CHOICE,
        Parameter.FORMAT_JSON,
        Parameter.FORMAT_SCHEMA,
        Parameter.REASONING,
        Parameter.MAX_OUTPUT,
        Parameter.TEMPERATURE,
        Parameter.TOP_P,
        Parameter.TOP_K,
        Parameter.SEED,
        Parameter.STOP,
        Parameter.PRESENCE_PENALTY,
        Parameter.FREQUENCY_PENALTY,
        Parameter.LOGPROBS,
        Parameter.TOP_LOGPROBS,
        Parameter.N,
        Parameter.MODALITIES,
        Parameter.WEB_SEARCH,
    }
)
RANGES: Final = {
    Parameter.TEMPERATURE: Range(0, 2),
    Parameter.TOP_P: Range(0, 1),
    Parameter.SEED: Range(-(2**31), 2**31 - 1),
    Parameter.STOP: Range(0, 5),
    Parameter.PRESENCE_PENALTY: Range(-2, 1.99),
    Parameter.FREQUENCY_PENALTY: Range(-2, 1.99),
    Parameter.TOP_LOGPROBS: Range(0, 20),
    Parameter.N: Range(1, 8),
}
"""https://ai.google.dev/api/generate-content#generationconfig; penalties end before 2.0."""

_MODALITIES: Final = frozenset({"text", "image", "audio"})
_FIELDS: Final = (
    ("maxOutputTokens", "max_output"),
    ("temperature", "temperature"),
    ("topP", "top_p"),
    ("topK", "top_k"),
    ("seed", "seed"),
    ("presencePenalty", "presence_penalty"),
    ("frequencyPenalty", "frequency_penalty"),
)


_NOT_GEMMAS: Final = frozenset(
    {Parameter.TOOLS, Parameter.TOOL_CHOICE, Parameter.FORMAT_JSON, Parameter.FORMAT_SCHEMA, Parameter.WEB_SEARCH}
)


def lacks(native_id: str) -> frozenset[Parameter]:
    """Return what a model does not take: the older ones do not think, Gemma 3 knows neither functions nor JSON."""
    ways = ways_of(native_id)
    found: frozenset[Parameter] = frozenset() if ways.thinks else frozenset({Parameter.REASONING})
    return found if ways.instructed else found | _NOT_GEMMAS


def encode_request(ask: Ask, wire: Wire) -> Json:
    """Return the body; raises Refused for what it cannot say. What is streamed is said by the path."""
    ways = ways_of(wire.native_id)
    instructions, contents = contents_of(ask.messages, ways)
    body: Json = {"contents": contents}
    if instructions:
        body["systemInstruction"] = {"parts": instructions}
    if tools := _tools(ask):
        body["tools"] = tools
    if (calling := _calling(ask.tools, ask.tool_choice, ways)) is not None:
        body["toolConfig"] = {"functionCallingConfig": calling}
    if config := _config(ask, ways):
        body["generationConfig"] = config
    return body


def _config(ask: Ask, ways: Ways) -> Json:
    config: Json = {name: value for name, field in _FIELDS if (value := getattr(ask, field)) is not None}
    if ask.stop:
        config["stopSequences"] = list(ask.stop)
    if ask.n is not None and ask.n > 1:
        config["candidateCount"] = ask.n
    if ask.logprobs:
        config["responseLogprobs"] = True
        if ask.top_logprobs is not None:
            config["logprobs"] = ask.top_logprobs
    if set(ask.modalities) - {"text"}:
        for modality in ask.modalities:
            if modality not in _MODALITIES:
                raise Refused("modalities", f"Gemini does not answer '{modality}'")
        config["responseModalities"] = [modality.upper() for modality in ask.modalities]
    if ask.format is not None:
        config.update(_format(ask.format))
    if ask.reasoning is not None and ways.thinks:
        config["thinkingConfig"] = _thinking(ask.reasoning, ways)
    return config


def _format(wanted: Format) -> Json:
    found: Json = {"responseMimeType": "application/json"}
    if wanted.schema is not None:
        found["responseJsonSchema"] = taken(wanted.schema)
    return found


def _thinking(reasoning: Reasoning, ways: Ways) -> Json:
    """Return how much is thought: a level since Gemini 3, tokens before it. A model that cannot rest thinks least."""
    off = reasoning.effort == "none" or (reasoning.effort is None and reasoning.budget == 0)
    config: Json = {"includeThoughts": reasoning.shown is not False and not off}
    effort, budget = reasoning.effort, reasoning.budget
    if ways.levels:
        if effort is None and budget is not None:
            effort = effort_of(budget)
        if effort is not None:
            config["thinkingLevel"] = _level(effort, ways)
        return config
    if effort is not None and (budget is None or off):
        budget = budget_of(effort, ways.most)
    if budget is not None:
        rests = off and ways.rests
        config["thinkingBudget"] = 0 if rests else min(max(budget, ways.least), ways.most)
    elif reasoning.adaptive:
        config["thinkingBudget"] = -1
    return config


def _level(effort: str, ways: Ways) -> str:
    if effort in ("none", "minimal"):
        return "minimal" if ways.rests else "low"
    return "high" if effort in ("xhigh", "max") else effort


def _tools(ask: Ask) -> list[Json]:
    functions: list[Json] = []
    others: list[Json] = []
    for place, tool in enumerate(ask.tools):
        if tool.opaque is None:
            functions.append(_function(tool))
        elif tool.opaque.dialect == "gemini":
            others.append(tool.opaque.raw)
        else:
            raise Refused(f"tools[{place}]", f"Gemini does not know the tool '{tool.name}' of another vendor")
    if ask.web_search is not None:
        if any(value not in (None, "medium") for value in ask.web_search.values()):
            raise Refused("web_search_options", "Gemini's search takes no options")
        others.append({"googleSearch": {}})
    return [*([{"functionDeclarations": functions}] if functions else []), *others]


def _function(tool: Tool) -> Json:
    found: Json = {"name": tool.name}
    if tool.description is not None:
        found["description"] = tool.description
    if tool.schema:
        found["parametersJsonSchema"] = taken(tool.schema)
    return found


def _calling(tools: tuple[Tool, ...], choice: ToolChoice | None, ways: Ways) -> dict[str, Any] | None:
    """Return whether a function must be called; None: as the model likes.

    https://ai.google.dev/api/caching#FunctionCallingConfig: names may be given with ``ANY`` and ``VALIDATED`` alone;
    ``VALIDATED`` holds calls to their schemas, which is what ``strict`` asks.
    """
    strict = ways.thinks and any(tool.strict for tool in tools)
    mode = choice.mode if choice is not None else "auto"
    if mode == "none":
        return {"mode": "NONE"}
    if mode == "named" and choice is not None:
        return {"mode": "ANY", "allowedFunctionNames": [choice.name]}
    among = list(choice.among) if choice is not None else []
    named = {"allowedFunctionNames": among} if among else {}
    if mode == "required":
        return {"mode": "ANY", **named}
    return {"mode": "VALIDATED", **named} if strict or among else None
