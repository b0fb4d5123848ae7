"""Gemini's dialect, the vendor's side."""

from typing import Final

from services.providers.domain.dialect import Counting, EmbedSpeech, Speech
from services.providers.domain.dialects.gemini.answer import StreamDecoder, decode_answer
from services.providers.domain.dialects.gemini.counting import decode_count, encode_count
from services.providers.domain.dialects.gemini.embeddings import decode_embeddings, encode_embeddings
from services.providers.domain.dialects.gemini.request import RANGES, TAKES, encode_request, lacks

SPEECH: Final = Speech(
    name="gemini",
    path="/models/{model}:generateContent",
    stream_path="/models/{model}:streamGenerateContent?alt=sse",
    takes=TAKES,
    ranges=RANGES,
    lacks=lacks,
    encode_request=encode_request,
    decode_answer=decode_answer,
    stream_decoder=StreamDecoder,
)
EMBED_SPEECH: Final = EmbedSpeech(
    name="gemini_embeddings",
    path="/models/{model}:batchEmbedContents",
    takes=frozenset({"dimensions"}),
    encode_request=encode_embeddings,
    decode_answer=decode_embeddings,
)
COUNTING: Final = Counting(
    name="gemini",
    path="/models/{model}:countTokens",
    encode_request=encode_count,
    decode_answer=decode_count,
)
