"""OpenAI's Responses, from either side."""

from typing import Final

from services.providers.domain.canonical import Parameter
from services.providers.domain.dialect import Client, Native, Range, Speech
from services.providers.domain.dialects.openai_responses.answer import decode_answer, encode_answer
from services.providers.domain.dialects.openai_responses.asking import TAKES, encode_request
from services.providers.domain.dialects.openai_responses.events import Encoder
from services.providers.domain.dialects.openai_responses.names import DIALECT
from services.providers.domain.dialects.openai_responses.native import StreamReader, read_whole, request_body, tied
from services.providers.domain.dialects.openai_responses.request import ALIASES, NAMES, decode_request
from services.providers.domain.dialects.openai_responses.stream import Decoder

CLIENT: Final = Client(
    name=DIALECT,
    names=NAMES,
    aliases=ALIASES,
    decode_request=decode_request,
    encode_answer=encode_answer,
    stream_encoder=Encoder,
)
SPEECH: Final = Speech(
    name=DIALECT,
    path="/responses",
    takes=TAKES,
    ranges={
        Parameter.TEMPERATURE: Range(0, 2),
        Parameter.TOP_P: Range(0, 1),
        Parameter.TOP_LOGPROBS: Range(0, 20),
    },
    encode_request=encode_request,
    decode_answer=decode_answer,
    stream_decoder=Decoder,
)
NATIVE: Final = Native(
    name=DIALECT, path="/responses", request_body=request_body, reader=StreamReader, whole=read_whole, tied=tied
)
