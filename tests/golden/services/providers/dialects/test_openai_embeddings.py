"""Every recorded answer of vectors in OpenAI's dialect is read, and the same after a round."""

from collections import Counter

import msgspec

from services.providers.domain.dialect import Malformed, VendorFailed
from services.providers.domain.dialects.openai_embeddings.dialect import EMBED_CLIENT, EMBED_SPEECH, NATIVE
from shared.contracts.frames import Completion, Data
from tests.support.recordings import answers

REQUEST = Completion(
    attempt_id="a", request_id="r", provider_id="p", native_id="m", model="p/m", dialect="openai_embeddings",
    body={"input": "hi"},
)  # fmt: skip


def test_every_recorded_answer_of_vectors_is_the_same_after_a_round():
    seen: Counter[str] = Counter()
    failed: list[str] = []
    for file, body in answers("openai-embeddings", "embeddings"):
        try:
            found = EMBED_SPEECH.decode_answer(msgspec.json.decode(body))
        except (Malformed, VendorFailed):
            failed.append(file)
            continue
        again = EMBED_SPEECH.decode_answer(msgspec.json.decode(EMBED_CLIENT.encode_answer(found, "p/m")))
        assert (again.vectors, again.tokens.input) == (found.vectors, found.tokens.input), file
        data, tail = NATIVE.whole(REQUEST, body)
        assert data == Data(body, content=True)
        assert tail.tokens.input == found.tokens.input or found.tokens.source == "none", file
        seen[file.partition("/")[0]] += 1
    print(f"{seen.total()} answers of {len(seen)} vendors: {dict(seen)}")
    assert seen.total() >= 20
    assert not failed
