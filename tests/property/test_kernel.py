import os
import pickle
import uuid
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.kernel.clock import parse_rfc3339, rfc3339
from shared.kernel.errors import SealBroken
from shared.kernel.ids import is_uuid, uuid7
from shared.kernel.money import format_usd, parse_usd, token_cost
from shared.kernel.secrets import Sealed, Secret, key_id, seal, unseal

AMOUNTS = st.integers(-9_000_000 * 10**12, 9_000_000 * 10**12)
MASTERS = st.binary(min_size=32, max_size=32)
ENTROPY = st.binary(min_size=56, max_size=56)


@given(AMOUNTS)
def test_an_amount_survives_its_text(amount: int) -> None:
    text = format_usd(amount)
    assert parse_usd(text) == amount
    assert Decimal(text) == Decimal(amount).scaleb(-12)
    assert "E" not in text
    assert text == "0" or not text.endswith(("0", ".")) or "." not in text


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("0", 0),
        ("-0", 0),
        ("1", 10**12),
        ("0.15", 150_000_000_000),
        ("1e-12", 1),
        ("0.0000000000005", 0),
        ("0.0000000000015", 2),
        ("9000000", 9_000_000 * 10**12),
    ],
)
def test_amounts_are_read_exactly_and_rounded_to_even(text: str, amount: int) -> None:
    assert parse_usd(text) == amount


@pytest.mark.parametrize("text", ["", "a", "NaN", "Infinity", "-inf", "9000000.1", "1e99", "1,5", "0x1", "$1"])
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not an amount"):
        parse_usd(text)


@given(st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 10**15)), max_size=6))
def test_a_cost_is_rounded_once_from_the_exact_sum(classes: list[tuple[int, int]]) -> None:
    exact = Fraction(sum(tokens * price for tokens, price in classes), 1_000_000)
    assert token_cost(*classes) == round(exact)


@given(st.integers(0, 2**48 - 1), st.binary(min_size=10, max_size=10))
def test_an_id_is_a_version_7_uuid_with_its_time(now_ms: int, entropy: bytes) -> None:
    text = uuid7(now_ms, entropy)
    parsed = uuid.UUID(text)
    assert is_uuid(text)
    assert (parsed.version, parsed.variant, parsed.int >> 80) == (7, uuid.RFC_4122, now_ms)


@given(st.lists(st.integers(0, 2**48 - 1), min_size=2, max_size=20, unique=True))
def test_ids_sort_by_their_time(times: list[int]) -> None:
    ids = {now: uuid7(now, os.urandom(10)) for now in times}
    assert [ids[now] for now in sorted(times)] == sorted(ids.values())


@given(st.text(max_size=40))
def test_text_is_an_id_only_in_its_canonical_form(text: str) -> None:
    if is_uuid(text):
        assert str(uuid.UUID(text)) == text.lower()


def test_entropy_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="10 bytes"):
        uuid7(0, bytes(9))


@given(st.datetimes(timezones=st.just(UTC)), st.integers(-720, 720))
def test_a_time_survives_its_text_to_the_millisecond_in_any_zone(moment: datetime, minutes: int) -> None:
    moment = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    if timedelta(days=2) < moment - datetime.min.replace(tzinfo=UTC) < timedelta(days=3_652_000):
        elsewhere = moment.astimezone(timezone(timedelta(minutes=minutes)))
        assert parse_rfc3339(rfc3339(elsewhere)) == moment
        assert rfc3339(elsewhere).endswith("Z")


def test_a_time_without_an_offset_is_refused() -> None:
    with pytest.raises(ValueError, match="offset"):
        parse_rfc3339("2026-01-02T03:04:05")


@given(st.binary(max_size=200), MASTERS, st.text(max_size=20), ENTROPY)
def test_what_was_sealed_opens_with_the_same_key_and_context(
    plaintext: bytes, master: bytes, context: str, entropy: bytes
) -> None:
    sealed = seal(plaintext, master=master, context=context, entropy=entropy)
    stored = msgspec.json.decode(msgspec.json.encode(sealed), type=Sealed)
    assert unseal(stored, master=master, context=context) == plaintext
    with pytest.raises(SealBroken) as broken:
        unseal(stored, master=master, context=context + "x")
    assert not broken.value.other_master


@given(MASTERS, MASTERS, ENTROPY)
def test_another_master_key_opens_nothing_and_is_told_apart(master: bytes, other: bytes, entropy: bytes) -> None:
    sealed = seal(b"x", master=master, context="c", entropy=entropy)
    if master != other:
        with pytest.raises(SealBroken, match="another master key"):
            unseal(sealed, master=other, context="c")


@given(MASTERS, ENTROPY, st.sampled_from(["ciphertext", "nonce", "wrapped_key", "wrap_nonce"]), st.data())
def test_no_changed_byte_opens(master: bytes, entropy: bytes, name: str, data: st.DataObject) -> None:
    sealed = seal(b"secret", master=master, context="c", entropy=entropy)
    value: bytes = getattr(sealed, name)
    changed = data.draw(
        st.binary(max_size=len(value) + 3).filter(lambda raw: raw != value)
        | st.integers(0, len(value) - 1).map(lambda at: value[:at] + bytes([value[at] ^ 1]) + value[at + 1 :])
    )
    with pytest.raises(SealBroken):
        unseal(msgspec.structs.replace(sealed, **{name: changed}), master=master, context="c")


def test_sealing_needs_all_of_its_entropy() -> None:
    with pytest.raises(ValueError, match="56"):
        seal(b"", master=bytes(32), context="", entropy=bytes(55))


@given(st.text(min_size=8, max_size=60))
def test_a_secret_shows_itself_to_nobody(value: str) -> None:
    secret = Secret(value)
    shown = f"{secret} {secret!r} {secret!s} {[secret]} { ({'k': secret}) }"
    assert value not in shown.replace("Secret(***)", "")
    assert secret.reveal() == value
    assert secret == Secret(value)
    assert hash(secret) == hash(Secret(value))
    assert secret != Secret(value + "x")
    assert secret != value
    assert value not in secret.fingerprint()
    assert len(secret.fingerprint()) == 8
    with pytest.raises(TypeError):
        pickle.dumps(secret)
    with pytest.raises(TypeError):
        msgspec.json.encode(secret)


@given(MASTERS)
def test_the_name_of_a_key_says_nothing_of_it(key: bytes) -> None:
    assert key_id(key) == key_id(key)
    assert key.hex()[:8] not in key_id(key)
