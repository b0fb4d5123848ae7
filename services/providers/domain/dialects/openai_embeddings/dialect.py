"""OpenAI's embeddings as values: the client's side, the vendor's, both at once."""

from typing import Final

from services.providers.domain.dialect import EmbedClient, EmbedSpeech, Native
from services.providers.domain.dialects.openai_embeddings.answer import (
    decode_answer,
    encode_answer,
    no_reader,
    read_whole,
)
from services.providers.domain.dialects.openai_embeddings.request import (
    TAKES,
    decode_request,
    encode_request,
    native_body,
)

_NAME: Final = "openai_embeddings"
_PATH: Final = "/embeddings"
EMBED_CLIENT: Final = EmbedClient(name=_NAME, decode_request=decode_request, encode_answer=encode_answer)
EMBED_SPEECH: Final = EmbedSpeech(
    name=_NAME, path=_PATH, takes=TAKES, encode_request=encode_request, decode_answer=decode_answer
)
NATIVE: Final = Native(name=_NAME, path=_PATH, request_body=native_body, reader=no_reader, whole=read_whole)
