"""Cohere's dialect, the vendor's side."""

from typing import Final

from services.providers.domain.dialect import EmbedSpeech, Speech
from services.providers.domain.dialects.cohere_chat.answer import StreamDecoder, decode_answer
from services.providers.domain.dialects.cohere_chat.embeddings import decode_embeddings, encode_embeddings
from services.providers.domain.dialects.cohere_chat.request import RANGES, TAKES, encode_request

SPEECH: Final = Speech(
    name="cohere_chat",
    path="/v2/chat",
    takes=TAKES,
    ranges=RANGES,
    encode_request=encode_request,
    decode_answer=decode_answer,
    stream_decoder=StreamDecoder,
)
EMBED_SPEECH: Final = EmbedSpeech(
    name="cohere_embed",
    path="/v2/embed",
    takes=frozenset({"dimensions", "truncate"}),
    encode_request=encode_embeddings,
    decode_answer=decode_embeddings,
)
