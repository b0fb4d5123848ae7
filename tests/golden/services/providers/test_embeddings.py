"""Every recorded answer of vectors, of every family of vendors, through both clients' dialects and their SDKs' types.

``pytest -s`` shows the counts.
"""

import base64
import math
import struct
from array import array
from typing import Any

import msgspec
import ollama
import pytest
from openai.types import CreateEmbeddingResponse

from services.providers.domain.canonical import Embeddings
from services.providers.domain.dialect import Malformed, VendorFailed
from services.providers.domain.embedding import as_numbers, read_embeddings
from services.providers.domain.registry import EMBED_CLIENTS, EMBED_SPEECHES
from shared.contracts.frames import Completion, Data, Fail, Tail
from tests.support.recordings import answers

FAMILIES = {
    "openai_embeddings": ("openai-embeddings", 20),
    "gemini_embeddings": ("gemini-embeddings", 7),
    "cohere_embed": ("cohere-embed", 6),
    "ollama_embed": ("ollama-embed", 4),
}
"""The wire format of each family, and how many of its recorded answers are vectors."""
NOT_OF_THE_DIALECT = {"embedding", "predictions"}
"""Keys of what vendors are not asked for: Ollama's older ``/api/embeddings``, Vertex's ``:predict``."""


def seen_by_openai(raw: bytes, *, packed: bool) -> tuple[list[list[float]], int]:
    if packed:  # the SDK unpacks what it asked for by itself
        body = msgspec.json.decode(raw)
        for row in body["data"]:
            data = base64.b64decode(row["embedding"])
            row["embedding"] = list(struct.unpack(f"<{len(data) // 4}f", data))
        raw = msgspec.json.encode(body)
    found = CreateEmbeddingResponse.model_validate_json(raw)
    assert [row.index for row in found.data] == list(range(len(found.data)))
    return [row.embedding for row in found.data], found.usage.prompt_tokens


def seen_by_ollama(raw: bytes) -> tuple[list[list[float]], int]:
    found = ollama.EmbedResponse.model_validate_json(raw)
    return [list(vector) for vector in found.embeddings], found.prompt_eval_count or 0


def shortened(answer: Embeddings) -> bool:
    """Whether the base64 of a recording was cut short, so that its vectors are no numbers any more."""
    packed = [vector for vector in answer.vectors if isinstance(vector, str)]
    return any(
        len(vector) % 4 or not all(map(math.isfinite, array("f", base64.b64decode(vector)))) for vector in packed
    )


@pytest.mark.parametrize("packed", [False, True], ids=["numbers", "base64"])
@pytest.mark.parametrize("client", sorted(EMBED_CLIENTS))
@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_every_recorded_vector_is_the_same_to_every_clients_sdk(family, client, packed):
    if packed and client == "ollama_embed":
        pytest.skip("Ollama's clients know numbers alone")
    assert set(FAMILIES) == set(EMBED_SPEECHES)
    speech, asker = EMBED_SPEECHES[family], EMBED_CLIENTS[client]
    api, least = FAMILIES[family]
    count = cut_short = 0
    for file, raw in answers(api, "embeddings"):
        try:
            answer = speech.decode_answer(msgspec.json.decode(raw))
        except (Malformed, VendorFailed):
            assert msgspec.json.decode(raw).keys() & NOT_OF_THE_DIALECT, file
            continue
        body: dict[str, Any] = {"model": "p/m", "input": ["text"] * len(answer.vectors)}
        if packed:
            body["encoding_format"] = "base64"
        request = Completion(
            attempt_id="a", request_id="r", provider_id="p", native_id="m", model="p/m", dialect=client, body=body
        )
        frames = read_embeddings(request, asker.decode_request(body), speech, asker, raw)
        if shortened(answer):
            assert packed or isinstance(frames[0], Fail), file
            cut_short += 1
            continue
        data, tail = frames
        assert isinstance(data, Data), file
        assert isinstance(tail, Tail), file
        seen = seen_by_ollama(data.payload) if client == "ollama_embed" else seen_by_openai(data.payload, packed=packed)
        wanted = [as_numbers(vector) for vector in answer.vectors]
        rounded = [list(struct.unpack(f"<{len(row)}f", struct.pack(f"<{len(row)}f", *row))) for row in wanted]
        assert seen[0] == (rounded if packed else wanted), file
        assert seen[1] == tail.tokens.input, file
        assert tail.tokens.source == ("provider" if answer.tokens.source == "provider" else tail.tokens.source), file
        count += 1
    how = "base64" if packed else "numbers"
    print(f"\n{family:18} → {client:18} {how}: {count}; recordings cut short: {cut_short}")
    assert count >= least
