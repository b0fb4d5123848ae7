"""Anthropic's messages as values: the client's side, the vendor's, both at once."""

from typing import Final

from services.providers.domain.canonical import Parameter
from services.providers.domain.dialect import Client, Native, Range, Speech
from services.providers.domain.dialects.anthropic_messages.answer import decode_answer, encode_answer
from services.providers.domain.dialects.anthropic_messages.blocks import NAME
from services.providers.domain.dialects.anthropic_messages.events import Encoder
from services.providers.domain.dialects.anthropic_messages.generations import lacks
from services.providers.domain.dialects.anthropic_messages.native import StreamReader, read_whole, request_body
from services.providers.domain.dialects.anthropic_messages.request import ALIASES, NAMES, decode_request
from services.providers.domain.dialects.anthropic_messages.stream import Decoder
from services.providers.domain.dialects.anthropic_messages.vendor_request import TAKES, TIERS, encode_request

_PATH: Final = "/messages"
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
    lacks=lacks,
    ranges={Parameter.TEMPERATURE: Range(0, 1), Parameter.TOP_P: Range(0, 1)},
    words={Parameter.SERVICE_TIER: frozenset(TIERS)},
    encode_request=encode_request,
    decode_answer=decode_answer,
    stream_decoder=Decoder,
)
NATIVE: Final = Native(
    name=NAME,
    path=_PATH,
    request_body=request_body,
    reader=StreamReader,
    whole=read_whole,
    headers=frozenset({"anthropic-beta", "anthropic-version"}),
)
