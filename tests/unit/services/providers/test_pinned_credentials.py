"""A response is continued with the credential that holds it, and with no other."""

import msgspec
import pytest

from shared.contracts.config import ProviderSpec
from shared.contracts.frames import Completion, Fail, Head
from shared.contracts.response_id import Place, decode_response_id, encode_response_id
from shared.testing.completions_contract import PROVIDER, completion, frames_of, payload
from shared.testing.upstream import Upstream


def at(wall: Upstream) -> ProviderSpec:
    return ProviderSpec(slug="wall", vendor="vllm", base_url=f"{wall.url}/v1", local=True)


def asked(*, stream: bool = False, **more: str) -> Completion:
    body = {"model": "auto", "input": "hello there", "stream": stream, **more}
    return completion(stream=stream, dialect="openai_responses", body=body)


@pytest.mark.parametrize("stream", [False, True])
async def test_the_next_turn_goes_with_the_credential_that_its_response_lies_with(house, stream):
    async with (
        Upstream(api_key="sk-two-credential") as wall,
        house((PROVIDER, at(wall), "sk-one-credential")) as running,
    ):
        await running.add_credential(PROVIDER, "sk-two-credential", name="spare")
        await frames_of(running.completions, asked())
        first = await frames_of(running.completions, asked())
        head = first[0]
        assert isinstance(head, Head)
        answer = msgspec.json.decode(payload(first))
        place = decode_response_id(answer["id"])
        assert place is not None
        assert (place.provider_id, place.credential_id) == (PROVIDER, head.credential_id)
        async with running.again():  # which has forgotten that the vendor refused the first credential
            second = await frames_of(running.completions, asked(stream=stream, previous_response_id=answer["id"]))
        assert isinstance(second[0], Head)
        assert second[0].credential_id == head.credential_id
        sent = wall.completions[-1]
        assert sent.header("authorization") == "Bearer sk-two-credential"
        assert sent.body["previous_response_id"] == place.vendor_id


async def test_a_credential_that_is_gone_takes_its_responses_with_it(house):
    async with Upstream() as wall, house((PROVIDER, at(wall), "sk-one-credential")) as running:
        gone = encode_response_id(Place(PROVIDER, "01900000-0000-7000-8000-00000000dead", "resp_1"))
        [failure] = await frames_of(running.completions, asked(previous_response_id=gone))
        assert isinstance(failure, Fail)
        assert (failure.http_status, failure.param) == (400, "previous_response_id")
        assert not wall.completions
