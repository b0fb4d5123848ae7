"""OpenAI's chat as values: the client's side, the vendor's, both at once."""

from typing import Final

from services.providers.domain.canonical import Parameter
from services.providers.domain.dialect import Client, Native, Range, Speech
from services.providers.domain.dialects.openai_chat.answer import decode_answer, encode_answer
from services.providers.domain.dialects.openai_chat.chunks import Encoder
from services.providers.domain.dialects.openai_chat.native import request_body
from services.providers.domain.dialects.openai_chat.request import ALIASES, NAMES, decode_request
from services.providers.domain.dialects.openai_chat.stream import Decoder
from services.providers.domain.dialects.openai_chat.thoughts import NAME
from services.providers.domain.dialects.openai_chat.vendor_request import TAKES, encode_request
from services.providers.domain.passthrough import StreamReader, read_whole

_PATH: Final = "/chat/completions"
CLIENT: Final = Client(
    name=NAME,
    names=NAMES,
    aliases=ALIASES,
    decode_request=decode_request,
    encode_answer=encode_answer,
    stream_encoder=Encoder,
)
SPEECH: Final = Speech(
    name=NAME,
    path=_PATH,
    takes=TAKES,
    ranges={Parameter.TEMPERATURE: Range(0, 2), Parameter.TOP_P: Range(0, 1), Parameter.STOP: Range(0, 4)},
    encode_request=encode_request,
    decode_answer=decode_answer,
    stream_decoder=Decoder,
)
NATIVE: Final = Native(name=NAME, path=_PATH, request_body=request_body, reader=StreamReader, whole=read_whole)
