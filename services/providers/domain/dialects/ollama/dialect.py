"""Ollama's dialects: chat, generate and vectors."""

from typing import Final

from services.providers.domain.dialect import Client, EmbedClient, EmbedSpeech, Native, Speech
from services.providers.domain.dialects.ollama.answer import decode_answer, encode_chat, encode_generated
from services.providers.domain.dialects.ollama.asked import CHAT_NAMES, GENERATE_NAMES, decode_chat, decode_generate
from services.providers.domain.dialects.ollama.embeddings import (
    decode_asked,
    decode_vectors,
    encode_asked,
    encode_vectors,
    read_vectors,
)
from services.providers.domain.dialects.ollama.native import StreamReader, read_whole, request_body, vectors_body
from services.providers.domain.dialects.ollama.request import TAKES, encode_request
from services.providers.domain.dialects.ollama.stream import StreamDecoder, chat_encoder, generate_encoder
from services.providers.domain.dialects.ollama.wire import STREAM_TYPE

CHAT_CLIENT: Final = Client(
    name="ollama_chat",
    names=CHAT_NAMES,
    decode_request=decode_chat,
    encode_answer=encode_chat,
    stream_encoder=chat_encoder,
    stream_type=STREAM_TYPE,
)
GENERATE_CLIENT: Final = Client(
    name="ollama_generate",
    names=GENERATE_NAMES,
    decode_request=decode_generate,
    encode_answer=encode_generated,
    stream_encoder=generate_encoder,
    stream_type=STREAM_TYPE,
)
SPEECH: Final = Speech(
    name="ollama_chat",
    path="/api/chat",
    takes=TAKES,
    encode_request=encode_request,
    decode_answer=decode_answer,
    stream_decoder=StreamDecoder,
    framing="ndjson",
)
CHAT_NATIVE: Final = Native(
    name="ollama_chat",
    path="/api/chat",
    request_body=request_body,
    reader=StreamReader,
    whole=read_whole,
    stream_type=STREAM_TYPE,
)
GENERATE_NATIVE: Final = Native(
    name="ollama_generate",
    path="/api/generate",
    request_body=request_body,
    reader=StreamReader,
    whole=read_whole,
    stream_type=STREAM_TYPE,
)
EMBED_CLIENT: Final = EmbedClient(name="ollama_embed", decode_request=decode_asked, encode_answer=encode_vectors)
EMBED_SPEECH: Final = EmbedSpeech(
    name="ollama_embed",
    path="/api/embed",
    takes=frozenset({"dimensions", "truncate"}),
    encode_request=encode_asked,
    decode_answer=decode_vectors,
)
EMBED_NATIVE: Final = Native(
    name="ollama_embed", path="/api/embed", request_body=vectors_body, reader=StreamReader, whole=read_vectors
)
