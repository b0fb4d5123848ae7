"""Gemini's side: what is asked of it, what its answers say."""

from typing import Any

import msgspec
import pytest

from services.providers.domain.canonical import (
    Answer,
    Ask,
    Citation,
    EmbedAsk,
    Finish,
    Format,
    Media,
    Message,
    Opaque,
    Parameter,
    Part,
    Reasoning,
    Refused,
    Signature,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from services.providers.domain.dialect import Malformed, VendorFailed, Wire
from services.providers.domain.dialects.gemini.dialect import COUNTING, EMBED_SPEECH, SPEECH
from services.providers.domain.effort import budget_of, effort_of
from services.providers.domain.gathering import gathered
from shared.contracts.usage import Tokens

FLASH, PRO, LITE, THIRD, OLD, GEMMA = (
    Wire(native_id=name)
    for name in (
        "gemini-2.5-flash",
        "gemini-2.5-pro",
        "gemini-2.5-flash-lite",
        "gemini-3-pro-preview",
        "gemini-2.0-flash",
        "gemma-3-27b-it",
    )
)
MINE = Signature("gemini", "c2lnbmVk")
THEIRS = Signature("anthropic_messages", "Zm9yZWlnbg==")
UNPROVEN = "skip_thought_signature_validator"


def user(*parts: Part) -> Message:
    return Message(role="user", parts=parts or (Text(text="hi"),))


def model(*parts: Part) -> Message:
    return Message(role="assistant", parts=parts)


def system(text: str) -> Message:
    return Message(role="system", parts=(Text(text=text),))


def encoded(*messages: Message, wire: Wire = FLASH, **said: Any) -> dict[str, Any]:
    return SPEECH.encode_request(Ask(messages=messages or (user(),), **said), wire)


def parts(message: Message, wire: Wire = FLASH) -> list[dict[str, Any]]:
    return encoded(user(), message, wire=wire)["contents"][1]["parts"]


def test_a_conversation_is_turns_of_user_and_model_with_the_instructions_apart():
    body = encoded(system("be brief"), user(), model(Text(text="yes?")), user(Text(text="a")), user(Text(text="b")))
    assert body == {
        "systemInstruction": {"parts": [{"text": "be brief"}]},
        "contents": [
            {"role": "user", "parts": [{"text": "hi"}]},
            {"role": "model", "parts": [{"text": "yes?"}]},
            {"role": "user", "parts": [{"text": "a"}, {"text": "b"}]},
        ],
    }


def test_instructions_alone_are_what_is_asked_and_gemma_takes_them_in_the_turn():
    assert encoded(system("say hi")) == {"contents": [{"role": "user", "parts": [{"text": "say hi"}]}]}
    body = encoded(system("be brief"), user(), wire=GEMMA)
    assert body == {"contents": [{"role": "user", "parts": [{"text": "be brief"}, {"text": "hi"}]}]}


def test_parameters_have_geminis_names():
    config = encoded(
        max_output=9,
        temperature=0.5,
        top_p=0.9,
        top_k=4,
        seed=1,
        stop=("a", "b"),
        n=2,
        presence_penalty=0.1,
        frequency_penalty=0.2,
        logprobs=True,
        top_logprobs=3,
        modalities=("text", "image"),
    )["generationConfig"]
    assert config == {
        "maxOutputTokens": 9,
        "temperature": 0.5,
        "topP": 0.9,
        "topK": 4,
        "seed": 1,
        "stopSequences": ["a", "b"],
        "candidateCount": 2,
        "presencePenalty": 0.1,
        "frequencyPenalty": 0.2,
        "responseLogprobs": True,
        "logprobs": 3,
        "responseModalities": ["TEXT", "IMAGE"],
    }
    assert "generationConfig" not in encoded()
    with pytest.raises(Refused, match="smell"):
        encoded(modalities=("text", "smell"))


@pytest.mark.parametrize(
    ("wire", "reasoning", "wanted"),
    [
        (FLASH, Reasoning(effort="low"), {"includeThoughts": True, "thinkingBudget": 1_024}),
        (FLASH, Reasoning(effort="none"), {"includeThoughts": False, "thinkingBudget": 0}),
        (PRO, Reasoning(effort="none"), {"includeThoughts": False, "thinkingBudget": 128}),
        (PRO, Reasoning(effort="max"), {"includeThoughts": True, "thinkingBudget": 32_768}),
        (FLASH, Reasoning(effort="xhigh"), {"includeThoughts": True, "thinkingBudget": 24_576}),
        (LITE, Reasoning(budget=100), {"includeThoughts": True, "thinkingBudget": 512}),
        (LITE, Reasoning(budget=0), {"includeThoughts": False, "thinkingBudget": 0}),
        (FLASH, Reasoning(budget=2_000, shown=False), {"includeThoughts": False, "thinkingBudget": 2_000}),
        (FLASH, Reasoning(adaptive=True), {"includeThoughts": True, "thinkingBudget": -1}),
        (THIRD, Reasoning(effort="high"), {"includeThoughts": True, "thinkingLevel": "high"}),
        (THIRD, Reasoning(effort="none"), {"includeThoughts": False, "thinkingLevel": "low"}),
        (THIRD, Reasoning(budget=9_000), {"includeThoughts": True, "thinkingLevel": "medium"}),
        (THIRD, Reasoning(adaptive=True), {"includeThoughts": True}),
        (
            Wire(native_id="gemini-flash-latest"),
            Reasoning(effort="minimal"),
            {"includeThoughts": True, "thinkingLevel": "minimal"},
        ),
        (OLD, Reasoning(effort="none"), None),
    ],
)
def test_thinking_is_asked_as_each_generation_is(wire, reasoning, wanted):
    config = encoded(wire=wire, reasoning=reasoning).get("generationConfig", {}).get("thinkingConfig")
    assert config == wanted


def test_what_a_model_does_not_take_is_known():
    assert SPEECH.lacks("gemini-2.5-flash") == SPEECH.lacks("gemini-3-pro-image-preview") == frozenset()
    assert SPEECH.lacks("gemini-2.0-flash") == frozenset({Parameter.REASONING})
    assert {Parameter.REASONING, Parameter.TOOLS, Parameter.FORMAT_SCHEMA} <= SPEECH.lacks("gemma-3-27b-it")
    assert SPEECH.lacks("gemini-2.5-flash") <= SPEECH.takes


def test_words_and_tokens_of_thinking_are_each_others():
    for effort in ("none", "minimal", "low", "medium", "high", "xhigh"):
        assert effort_of(budget_of(effort, None)) == effort
    assert budget_of("max", 5_000) == 5_000
    assert budget_of("max", None) == 32_768
    assert budget_of("high", 1_000) == 1_000
    assert effort_of(1) == "minimal"


def test_tools_and_their_schemas_are_whole():
    schema = {
        "type": "object",
        "properties": {
            "unit": {"const": "c"},
            "where": {"$ref": "#/$defs/place", "description": "a place"},
            "const": {"type": "string"},
            "any": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        },
        "$defs": {"place": {"type": "string"}},
        "required": ["unit"],
        "additionalProperties": False,
    }
    body = encoded(tools=(Tool(name="weather", description="of a place", schema=schema), Tool(name="now")))
    (tools,) = body["tools"]
    weather, now = tools["functionDeclarations"]
    assert now == {"name": "now"}
    assert weather["parametersJsonSchema"] == {
        **schema,
        "properties": {**schema["properties"], "unit": {"enum": ["c"]}, "where": {"$ref": "#/$defs/place"}},
    }
    assert "toolConfig" not in body


@pytest.mark.parametrize(
    ("choice", "strict", "wanted"),
    [
        (ToolChoice(mode="auto"), False, None),
        (ToolChoice(mode="none"), False, {"mode": "NONE"}),
        (ToolChoice(mode="required"), True, {"mode": "ANY"}),
        (ToolChoice(mode="named", name="f"), False, {"mode": "ANY", "allowedFunctionNames": ["f"]}),
        (ToolChoice(mode="required", among=("f",)), False, {"mode": "ANY", "allowedFunctionNames": ["f"]}),
        (ToolChoice(mode="auto", among=("f",)), False, {"mode": "VALIDATED", "allowedFunctionNames": ["f"]}),
        (None, True, {"mode": "VALIDATED"}),
        (None, False, None),
    ],
)
def test_a_choice_of_tools_is_a_mode(choice, strict, wanted):
    body = encoded(tools=(Tool(name="f", strict=strict), Tool(name="g")), tool_choice=choice)
    assert body.get("toolConfig", {}).get("functionCallingConfig") == wanted


def test_only_its_own_tools_of_a_vendor_are_known():
    mine = Tool(name="google_search", opaque=Opaque(dialect="gemini", raw={"googleSearch": {}}))
    assert encoded(tools=(Tool(name="f"), mine))["tools"] == [
        {"functionDeclarations": [{"name": "f"}]},
        {"googleSearch": {}},
    ]
    with pytest.raises(Refused) as refused:
        encoded(tools=(Tool(name="bash", opaque=Opaque(dialect="anthropic_messages", raw={})),))
    assert refused.value.param == "tools[0]"
    assert encoded(web_search={})["tools"] == [{"googleSearch": {}}]
    with pytest.raises(Refused):
        encoded(web_search={"user_location": {"type": "approximate"}})


def test_json_is_asked_with_its_schema():
    assert encoded(format=Format(kind="json"))["generationConfig"] == {"responseMimeType": "application/json"}
    config = encoded(format=Format(kind="schema", name="n", schema={"type": "object"}))["generationConfig"]
    assert config == {"responseMimeType": "application/json", "responseJsonSchema": {"type": "object"}}


@pytest.mark.parametrize(
    ("media", "wanted"),
    [
        (
            Media(kind="image", media_type="image/png", data="aW1n"),
            {"inlineData": {"mimeType": "image/png", "data": "aW1n"}},
        ),
        (
            Media(kind="document", text="words"),
            {"inlineData": {"mimeType": "text/plain", "data": "d29yZHM="}},
        ),
        (
            Media(kind="image", url="https://x.example/a.JPG?b=1"),
            {"fileData": {"fileUri": "https://x.example/a.JPG?b=1", "mimeType": "image/jpeg"}},
        ),
        (
            Media(kind="video", url="https://www.youtube.com/watch?v=1"),
            {"fileData": {"fileUri": "https://www.youtube.com/watch?v=1", "mimeType": "video/mp4"}},
        ),
        (
            Media(kind="document", file_id="files/abc"),
            {"fileData": {"fileUri": "https://generativelanguage.googleapis.com/v1beta/files/abc"}},
        ),
        (
            Media(kind="document", url="gs://bucket/a.pdf"),
            {"fileData": {"fileUri": "gs://bucket/a.pdf", "mimeType": "application/pdf"}},
        ),
    ],
)
def test_files_go_as_data_or_by_their_address(media, wanted):
    assert encoded(user(media))["contents"][0]["parts"] == [wanted]


@pytest.mark.parametrize(
    "media",
    [
        Media(kind="image", url="http://x.example/a.png"),
        Media(kind="image", url="https://x.example/unnamed"),
        Media(kind="document", file_id="file-123"),
        Media(kind="image"),
    ],
)
def test_a_file_that_gemini_could_not_have_is_refused_by_its_place(media):
    with pytest.raises(Refused) as refused:
        encoded(user(), model(Text(text="a")), user(Text(text="see"), media))
    assert refused.value.param == "messages[2].content[1]"


def test_calls_and_results_find_each_other_and_parallel_ones_are_one_turn():
    calls = model(
        ToolCall(id="1", name="f", arguments='{"a": 1}', signature=MINE), ToolCall(id="2", name="g", arguments="")
    )
    image = Media(kind="image", media_type="image/png", data="aW1n")
    first = user(ToolResult(id="1", content=(Text(text='{"b": 2}'),)))
    second = user(ToolResult(id="2", content=(Text(text="[1]"), image), error=False))
    body = encoded(user(), calls, first, second)
    assert body["contents"][1]["parts"] == [
        {"functionCall": {"id": "1", "name": "f", "args": {"a": 1}}, "thoughtSignature": MINE.value},
        {"functionCall": {"id": "2", "name": "g", "args": {}}},
    ]
    inline = {"inlineData": {"mimeType": "image/png", "data": "aW1n"}}
    assert body["contents"][2]["parts"] == [
        {"functionResponse": {"id": "1", "name": "f", "response": {"b": 2}}},
        {"functionResponse": {"id": "2", "name": "g", "response": {"output": "[1]"}}},
        inline,
    ]
    third = encoded(user(), calls, second, wire=THIRD)["contents"][2]["parts"]
    assert third == [{"functionResponse": {"id": "2", "name": "g", "response": {"output": "[1]"}, "parts": [inline]}}]


def test_an_error_of_a_tool_is_said_as_one():
    broken = user(ToolResult(id="1", name="f", content=(Text(text='{"a": 1}'),), error=True))
    (part,) = encoded(broken)["contents"][0]["parts"]
    assert part["functionResponse"]["response"] == {"error": '{"a": 1}'}


def test_a_result_of_no_call_and_arguments_that_are_no_object_are_refused():
    with pytest.raises(Refused) as refused:
        encoded(user(ToolResult(id="9")))
    assert refused.value.param == "messages[0].content[0]"
    for arguments in ("[1]", "{"):
        with pytest.raises(Refused, match="no JSON object"):
            encoded(user(), model(ToolCall(id="1", name="f", arguments=arguments)))


def test_its_own_signatures_go_back_where_they_sat_and_others_never():
    assert parts(model(Thinking(text="hm"), Text(text="a", signature=MINE))) == [
        {"text": "a", "thoughtSignature": MINE.value}
    ]
    assert parts(model(Thinking(text="hm", signature=THEIRS), Text(text="a", signature=THEIRS))) == [{"text": "a"}]
    assert parts(model(Text(text="a"), Text(text="", signature=MINE))) == [
        {"text": "a"},
        {"text": "", "thoughtSignature": MINE.value},
    ]


def test_a_signature_that_came_apart_goes_onto_the_next_part():
    proof = Thinking(signature=MINE, redacted=True)
    call = ToolCall(id="1", name="f", arguments="{}")
    assert parts(model(proof, call))[0]["thoughtSignature"] == MINE.value
    assert parts(model(Text(text="a"), proof)) == [{"text": "a"}, {"text": "", "thoughtSignature": MINE.value}]


def test_a_call_that_another_model_made_is_excused_where_a_signature_is_demanded():
    calls = model(
        ToolCall(id="1", name="f", arguments="{}", signature=THEIRS), ToolCall(id="2", name="f", arguments="{}")
    )
    assert [part.get("thoughtSignature") for part in parts(calls, THIRD)] == [UNPROVEN, None]
    assert [part.get("thoughtSignature") for part in parts(calls, FLASH)] == [None, None]


def test_what_only_gemini_says_goes_back_and_what_others_say_is_refused():
    raw = {"executableCode": {"language": "PYTHON", "code": "1"}, "thoughtSignature": "eA=="}
    assert parts(model(Opaque(dialect="gemini", raw=raw))) == [raw]
    with pytest.raises(Refused) as refused:
        parts(model(Opaque(dialect="anthropic_messages", raw={})))
    assert refused.value.param == "messages[1].content[0]"


# What it answers


def answered(*answered_parts: dict[str, Any], finish: str | None = "STOP", **more: Any) -> dict[str, Any]:
    candidate = {"content": {"parts": list(answered_parts), "role": "model"}, "index": 0}
    return {
        "candidates": [candidate | ({"finishReason": finish} if finish else {}) | more],
        "modelVersion": "gemini-2.5-flash",
        "responseId": "abc",
    }


def read(*pieces: dict[str, Any]) -> Answer:
    decoder = SPEECH.stream_decoder()
    return gathered([delta for piece in pieces for delta in decoder.feed("", msgspec.json.encode(piece))])


@pytest.mark.parametrize(
    ("reason", "wanted"),
    [
        ("STOP", Finish.STOP),
        ("MAX_TOKENS", Finish.LENGTH),
        *(
            (reason, Finish.CONTENT_FILTER)
            for reason in (
                "SAFETY",
                "RECITATION",
                "BLOCKLIST",
                "PROHIBITED_CONTENT",
                "SPII",
                "IMAGE_SAFETY",
                "LANGUAGE",
            )
        ),
        ("OTHER", Finish.STOP),
        ("SOMETHING_NEW", Finish.STOP),
    ],
)
def test_every_reason_to_finish_has_its_meaning(reason, wanted):
    assert SPEECH.decode_answer(answered({"text": "a"}, finish=reason)).choices[0].finish is wanted


def test_a_call_finishes_with_calls_and_has_an_id_of_its_place():
    body = answered(
        {"functionCall": {"name": "f", "args": {"a": 1}}, "thoughtSignature": "c2ln"},
        {"functionCall": {"name": "f", "args": {}, "id": "own"}},
        {"functionCall": {"name": "f"}},
    )
    answer = SPEECH.decode_answer(body)
    assert answer.choices[0].finish is Finish.TOOL_CALLS
    assert answer.choices[0].parts == (
        ToolCall(id="call_abc_0", name="f", arguments='{"a":1}', signature=Signature("gemini", "c2ln")),
        ToolCall(id="own", name="f", arguments="{}"),
        ToolCall(id="call_abc_2", name="f", arguments="{}"),
    )
    assert read(body) == answer
    del body["responseId"]
    assert SPEECH.decode_answer(body).choices[0].parts == SPEECH.decode_answer(body).choices[0].parts


@pytest.mark.parametrize("reason", ["MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL"])
def test_a_call_that_cannot_be_read_is_a_failure(reason):
    with pytest.raises(VendorFailed) as failed:
        SPEECH.decode_answer(answered(finish=reason))
    assert failed.value.error["error"]["status"] == reason


def test_a_blocked_prompt_is_an_answer_without_content():
    body = {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 3, "totalTokenCount": 3}}
    answer = SPEECH.decode_answer(body)
    assert answer.choices[0].finish is Finish.CONTENT_FILTER
    assert answer.choices[0].parts == ()
    assert answer.tokens == Tokens(input=3, source="provider")
    assert read(body) == answer


def test_no_candidates_and_no_reason_is_no_answer():
    with pytest.raises(Malformed):
        SPEECH.decode_answer({"modelVersion": "x"})


def test_an_error_in_an_answer_or_a_stream_is_the_vendors():
    body = {"error": {"code": 503, "message": "overloaded", "status": "UNAVAILABLE"}}
    with pytest.raises(VendorFailed):
        SPEECH.decode_answer(body)
    (failed,) = SPEECH.stream_decoder().feed("", msgspec.json.encode(body))
    assert failed.error == body


@pytest.mark.parametrize(
    "body",
    [
        {"candidates": "x"},
        {"candidates": [{"content": {"parts": [1]}}]},
        {"candidates": [{"content": {"parts": [{"functionCall": {"args": {}}}]}}]},
        {"candidates": [{"content": {"parts": [{"inlineData": {}}]}}]},
        {"candidates": [{"finishReason": {}}]},
    ],
)
def test_wrong_types_are_malformed(body):
    with pytest.raises((Malformed, msgspec.ValidationError)):
        SPEECH.decode_answer(body)


@pytest.mark.parametrize(
    "body",
    [
        answered({"text": 3}, {"thoughtSignature": 4}, {"unknown": {}}, {}),
        answered({"text": "a"}, groundingMetadata={"groundingChunks": 3, "groundingSupports": [1, {"segment": 2}]}),
        answered({"text": "a"}, logprobsResult={"chosenCandidates": [1], "topCandidates": [2]}, index="x"),
        {**answered({"text": "a"}), "usageMetadata": [], "promptFeedback": 1, "modelVersion": 2, "responseId": 3},
    ],
)
def test_what_does_not_matter_may_be_of_any_type(body):
    assert SPEECH.decode_answer(body).choices


def test_a_stream_says_what_the_whole_answer_does():
    pieces = [
        answered({"text": "I ", "thought": True}, finish=None),
        answered({"text": "think", "thought": True}, finish=None),
        answered({"text": "so"}, finish=None),
        answered({"text": "."}, finish=None),
        answered({"text": "", "thoughtSignature": "c2ln"}),
    ]
    whole = (Thinking(text="I think", summary=True), Text(text="so.", signature=Signature("gemini", "c2ln")))
    assert read(*pieces).choices[0].parts == whole


def test_two_candidates_are_two_choices():
    body = answered({"text": "a"})
    body["candidates"] += [{"content": {"parts": [{"text": "b"}]}, "index": 1, "finishReason": "MAX_TOKENS"}]
    assert [choice.finish for choice in read(body).choices] == [Finish.STOP, Finish.LENGTH]


def test_images_come_with_their_signature_before_them_and_go_back_with_it():
    raw = {"inlineData": {"mimeType": "image/png", "data": "aW1n"}, "thoughtSignature": "c2ln"}
    (choice,) = SPEECH.decode_answer(answered(raw)).choices
    assert choice.parts[1] == Media(kind="image", media_type="image/png", data="aW1n")
    assert parts(model(*choice.parts)) == [raw]


def test_tokens_are_counted_in_disjoint_classes():
    usage = {
        "promptTokenCount": 100,
        "cachedContentTokenCount": 40,
        "toolUsePromptTokenCount": 10,
        "candidatesTokenCount": 20,
        "thoughtsTokenCount": 5,
        "totalTokenCount": 135,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 70}, {"modality": "AUDIO", "tokenCount": 30}],
        "cacheTokensDetails": [{"modality": "AUDIO", "tokenCount": 10}],
        "candidatesTokensDetails": [{"modality": "AUDIO", "tokenCount": 8}],
    }
    answer = SPEECH.decode_answer({**answered({"text": "a"}), "usageMetadata": usage})
    assert answer.tokens == Tokens(
        input=70, cached=40, audio_input=20, output=25, reasoning=5, audio_output=8, source="provider"
    )


def test_before_the_end_a_count_that_is_not_there_may_yet_come():
    early = {**answered({"text": "a"}, finish=None), "usageMetadata": {"promptTokenCount": 7}}
    late = {**answered({"text": "b"}), "usageMetadata": {"promptTokenCount": 7}}
    assert read(early).tokens.source == "partial"
    assert read(early, late).tokens.source == "provider"
    assert read({**answered(), "usageMetadata": {"trafficType": "ON_DEMAND"}}).tokens.source == "none"
    assert read({**answered(), "usageMetadata": {"promptTokenCount": -1}}).tokens.source == "none"


def test_sources_are_citations_in_characters():
    text = "Größe: 8848 m. End"
    grounding = {
        "groundingChunks": [
            {"web": {"uri": "https://a.example", "title": "a"}},
            {"retrievedContext": {"title": "b", "text": "said"}},
            {"web": {"uri": "https://c.example"}},
        ],
        "groundingSupports": [
            {
                "segment": {"startIndex": 9, "endIndex": 16, "text": "8848 m."},
                "groundingChunkIndices": [0, 1, 7],
            }
        ],
    }
    (part,) = SPEECH.decode_answer(answered({"text": text}, groundingMetadata=grounding)).choices[0].parts
    assert isinstance(part, Text)
    assert text[7:14] == "8848 m."
    assert part.citations == (
        Citation(url="https://a.example", title="a", start=7, end=14),
        Citation(title="b", quote="said", start=7, end=14),
        Citation(url="https://c.example"),
    )


def test_log_probabilities_have_the_form_of_openais():
    found = {
        "chosenCandidates": [{"token": "ö", "logProbability": -0.5}],
        "topCandidates": [{"candidates": [{"token": "ö", "logProbability": -0.5}]}],
    }
    token = {"token": "ö", "logprob": -0.5, "bytes": [195, 182]}
    (choice,) = SPEECH.decode_answer(answered({"text": "ö"}, logprobsResult=found)).choices
    assert choice.logprobs == {"content": [{**token, "top_logprobs": [token]}]}


def test_vectors_are_asked_at_once_and_come_in_order():
    body = EMBED_SPEECH.encode_request(
        EmbedAsk(inputs=("a", "b"), dimensions=2), Wire(native_id="gemini-embedding-001")
    )
    assert body["requests"][1] == {
        "model": "models/gemini-embedding-001",
        "content": {"parts": [{"text": "b"}]},
        "outputDimensionality": 2,
    }
    found = EMBED_SPEECH.decode_answer({"embeddings": [{"values": [0.1]}, {"values": [0.2]}]})
    assert found.vectors == ([0.1], [0.2])
    with pytest.raises(Malformed):
        EMBED_SPEECH.decode_answer({"embeddings": []})
    with pytest.raises(VendorFailed):
        EMBED_SPEECH.decode_answer({"error": {"message": "no"}})


def test_tokens_of_a_request_are_counted_with_its_instructions_and_tools():
    ask = Ask(messages=(system("be brief"), user()), tools=(Tool(name="f"),))
    body = COUNTING.encode_request(ask, FLASH)["generateContentRequest"]
    assert body["model"] == "models/gemini-2.5-flash"
    assert {"contents", "systemInstruction", "tools"} <= body.keys()
    vertex = Wire(native_id="gemini-2.5-flash", quirks=frozenset({"plain count"}))
    assert COUNTING.encode_request(ask, vertex).keys() == {"contents", "systemInstruction", "tools"}
    assert COUNTING.decode_answer({"totalTokens": 12}) == 12
    with pytest.raises(Malformed):
        COUNTING.decode_answer({"totalTokens": "many"})
    with pytest.raises(VendorFailed):
        COUNTING.decode_answer({"error": {"message": "no"}})
