"""What was set aside is listed with its bytes and reason, and taken once it can be."""

import msgspec

from shared.testing.usage import usage_payload, usage_record

LETTERS = "/admin/v1/dead-letters"


async def test_what_was_set_aside_is_listed_with_its_bytes_and_reason_a_page_at_a_time(rig):
    async with rig.running() as client:
        await rig.publish_raw(b"not json \xff", "poison")
        await rig.publish(usage_record(1))
        await rig.publish_raw(usage_payload([usage_record(2)]).replace(b'"version":1', b'"version":9'), "tomorrow")
        await rig.publish_raw(b"{" * 600_000, "huge")
        await rig.projected(client)
        first = (await client.get(LETTERS, params={"limit": 2})).json()
        rest = (await client.get(LETTERS, params={"limit": 2, "cursor": first["next_cursor"]})).json()
        everything = (await client.get(LETTERS)).json()["items"]
    assert first["items"] + rest["items"] == everything
    assert rest["next_cursor"] is None
    poison, tomorrow, huge = everything
    assert (poison["sequence"], poison["size"], poison["text"]) == (1, 10, "not json \ufffd")
    assert "not a usage envelope" in poison["reason"]
    assert "v9 is newer than v1" in tomorrow["reason"]
    assert (huge["sequence"], huge["size"]) == (4, 600_000)


async def test_what_still_does_not_read_is_refused_with_the_reason_and_goes_on_waiting(rig):
    async with rig.running() as client:
        await rig.publish_raw(b"poison", "poison")
        await rig.publish(usage_record(1))
        await rig.publish(usage_record(1, status="failed"))
        await rig.projected(client)
        poison, second = (await client.get(LETTERS)).json()["items"]
        for letter, reason in ((poison, "not a usage envelope"), (second, "has another record already")):
            answer = await client.post(f"{LETTERS}/{letter['id']}/replay")
            assert (answer.status_code, answer.json()["code"]) == (409, "still_not_taken")
            assert reason in answer.json()["detail"]
        assert (await client.get(LETTERS)).json()["items"] == [poison, second]
        assert (await client.post(f"{LETTERS}/99/replay")).status_code == 404
        assert (await client.get(LETTERS, params={"cursor": "x"})).status_code == 400
    assert rig.kept.rows("SELECT status FROM requests") == [("succeeded",)]


async def test_what_the_ledger_takes_meanwhile_is_replayed_once_and_a_rebuild_says_the_same(rig):
    take_again = rig.refuse_odd_keys()
    async with rig.running() as client:
        await rig.publish(usage_record(1), usage_record(2, key_name="odd"), usage_record(3))
        await rig.projected(client)
        (letter,) = (await client.get(LETTERS)).json()["items"]
        replay = f"{LETTERS}/{letter['id']}/replay"
        refused = await client.post(replay)
        assert (refused.status_code, "odd" in refused.json()["detail"]) == (409, True)
        rig.kept.execute(take_again)
        assert (await client.post(replay)).json() == {"id": letter["id"], "records": 3}
        assert (await client.post(replay)).json() == {"id": letter["id"], "records": 0}
        assert (await client.get(LETTERS)).json()["items"] == []
        assert (await client.get("/admin/v1/usage")).json()["totals"]["requests"] == 3
        text = (await client.get("/metrics")).text
        await rig.publish(usage_record(4))
        await rig.projected(client)
    assert "localrouter_dead_letters_total 1.0" in text
    assert rig.kept.rows("SELECT count(*) FROM buried") == [(0,)]
    before = rig.kept.rows("SELECT * FROM rollups ORDER BY 1, 2, 3")
    rig.kept.renew()
    async with rig.running() as client:
        await rig.projected(client)
    assert rig.kept.rows("SELECT * FROM rollups ORDER BY 1, 2, 3") == before


async def test_a_readable_part_of_a_message_counts_once_when_the_rest_of_it_comes_later(rig):
    async with rig.running() as client:
        await rig.publish(usage_record(1), msgspec.structs.replace(usage_record(2), cost=-5))
        await rig.projected(client)
        (letter,) = (await client.get(LETTERS)).json()["items"]
        assert "record 1" in letter["reason"]
        assert (await client.post(f"{LETTERS}/{letter['id']}/replay")).status_code == 409
    assert rig.kept.rows("SELECT count(*) FROM requests") == [(1,)]
