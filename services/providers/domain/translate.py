"""Which dialect the client speaks, which the vendor: the way from the one to the other."""

import re
from functools import partial

from services.providers.domain.canonical import Json, Refused
from services.providers.domain.counting import counted
from services.providers.domain.dialect import Answered, Asked, EmbedClient, Native, Outgoing, Reader, Wire, unsupported
from services.providers.domain.embedding import fitted_inputs, read_embeddings
from services.providers.domain.fit import fitted, without
from services.providers.domain.profiles import capabilities_from_name
from services.providers.domain.registry import CLIENTS, COUNT_CLIENTS, EMBED_CLIENTS, EMBED_SPEECHES, NATIVES, SPEECHES
from services.providers.domain.resuming import ask_on, going_on
from services.providers.domain.translating import TranslatedStream, read_translated
from services.providers.domain.vendor import Vendor
from shared.contracts.catalog import Capability
from shared.contracts.frames import Completion, Fail


def translated(request: Completion, vendor: Vendor, created: int) -> Outgoing | Answered | Fail:
    """Return the request as ``vendor`` understands it, or what it cannot carry (``created``: Unix seconds)."""
    native = NATIVES.get(request.dialect)
    try:
        if request.resume is None and native is not None and _speaks(vendor, native.name, request.native_id):
            return _passed_through(request, vendor, native)
        if request.dialect in EMBED_CLIENTS:
            return _embedding(request, vendor, EMBED_CLIENTS[request.dialect])
        if request.dialect in COUNT_CLIENTS:
            return counted(request, vendor, COUNT_CLIENTS[request.dialect], _wire(request, vendor))
        if request.dialect in CLIENTS:
            return _text(request, vendor, created)
    except Refused as refused:
        return unsupported(refused.param, str(refused))
    return unsupported("dialect", f"requests in {request.dialect} are not known here")


def _speaks(vendor: Vendor, dialect: str, native_id: str) -> bool:
    if dialect not in vendor.speaks:
        return False
    pattern = vendor.only.get(dialect)
    return pattern is None or re.fullmatch(pattern, native_id) is not None


def _passed_through(request: Completion, vendor: Vendor, native: Native) -> Outgoing:
    body, dropped = _without_lacking(native.request_body(request, vendor.quirks), request, vendor)
    out = Outgoing(
        headers={name: value for name, value in request.headers.items() if name in native.headers},
        path=vendor.path(native.name, request.native_id),
        body=body,
        reader=partial(native.reader, request),
        whole=partial(native.whole, request),
        dropped=dropped,
        stream_type=native.stream_type,
    )
    return out if native.tied is None else native.tied(request, out)


def _without_lacking(body: Json, request: Completion, vendor: Vendor) -> tuple[Json, tuple[str, ...]]:
    """Return a body that passes through without what the vendor is known to lack, where the client lets it go; else
    the vendor itself says what it does not take."""
    client = CLIENTS.get(request.dialect)
    if not request.drop_params or not vendor.lacks or client is None:
        return body, ()
    try:
        ask = client.decode_request(request.body)
    except Refused:
        return body, ()  # newer than what is known here: it is the vendor's to judge
    return without(body, ask, client.names_in(request.body), vendor.lacks)


def _text(request: Completion, vendor: Vendor, created: int) -> Outgoing:
    client, speech = CLIENTS[request.dialect], SPEECHES[vendor.speech]
    asked_for = client.decode_request(request.body)
    if request.resume is not None:
        client, asked_for = going_on(client, request.resume), ask_on(asked_for, request.resume)
    if not vendor.continues(request.native_id) and asked_for.messages and asked_for.messages[-1].role == "assistant":
        where = "messages" if "messages" in request.body else "input"
        raise Refused(where, f"{vendor.name} does not continue a message of the assistant's: the last is the user's")
    ask, dropped = fitted(
        asked_for,
        names=client.names_in(request.body),
        takes=speech.takes - vendor.lacks - speech.lacks(request.native_id),
        ranges={**speech.ranges, **vendor.ranges},
        whose=vendor.name,
        drop=request.drop_params,
        words=speech.words,
    )
    asked = Asked(
        id=request.attempt_id.replace("-", ""),
        model=request.model,
        created=created,
        ask=ask,
        include_usage=request.include_usage,
        body=request.body,
    )
    path = vendor.path(speech.name, request.native_id)
    if request.stream and speech.stream_path is not None:
        path = speech.stream_path.replace("{model}", request.native_id)
    return Outgoing(
        path=path,
        body=speech.encode_request(ask, _wire(request, vendor)),
        reader=partial(TranslatedStream, request, asked, speech, client),
        whole=partial(read_translated, request, asked, speech, client),
        dropped=dropped,
        stream_type=client.stream_type,
    )


def _embedding(request: Completion, vendor: Vendor, client: EmbedClient) -> Outgoing:
    if vendor.embeds is None:
        raise Refused("model", f"{vendor.name} has no embeddings here")
    speech = EMBED_SPEECHES[vendor.embeds]
    ask, dropped = fitted_inputs(client.decode_request(request.body), speech, vendor.name, drop=request.drop_params)
    whole = partial(read_embeddings, request, ask, speech, client)
    return Outgoing(
        path=vendor.path(speech.name, request.native_id),
        body=speech.encode_request(ask, _wire(request, vendor)),
        reader=_no_stream,
        whole=whole,
        dropped=dropped,
    )


def _wire(request: Completion, vendor: Vendor) -> Wire:
    return Wire(
        native_id=request.native_id,
        max_output=request.max_output,
        thinks=Capability.REASONING in capabilities_from_name(request.native_id, ()),
        quirks=vendor.quirks,
    )


def _no_stream() -> Reader:
    raise AssertionError("vectors are never streamed")
