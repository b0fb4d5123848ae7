"""OpenAI's completions as values: the client's side, and both sides at once."""

from typing import Final

from services.providers.domain.dialect import Client, Native
from services.providers.domain.dialects.openai_completions.answer import Encoder, encode_answer
from services.providers.domain.dialects.openai_completions.request import NAMES, decode_request
from services.providers.domain.passthrough import StreamReader, openai_body, read_whole

_NAME: Final = "openai_completions"
CLIENT: Final = Client(
    name=_NAME, names=NAMES, decode_request=decode_request, encode_answer=encode_answer, stream_encoder=Encoder
)
NATIVE: Final = Native(name=_NAME, path="/completions", request_body=openai_body, reader=StreamReader, whole=read_whole)
