"""What things cost as everybody is told of it: unknown, at two versions of the price book, and paid for already."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.support.public_vendor import missing, told


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    if why := missing():
        pytest.skip(why)
    folder: Path = tmp_path_factory.mktemp("public")
    return told(folder)


def test_an_unknown_price_is_null_everywhere_and_never_zero(seen: dict[str, Any]) -> None:
    assert seen["model"] == [[None, None]]
    assert seen["header"] is None
    found = seen["unpriced"]
    assert found["record"] == [None, None, None]
    assert found["attempts"] == [[None, None]]
    assert found["usage"] == [None, "0", 1]
    assert found["recent"] == [None]
    assert found["reprice"] == [None, None]
    assert found["metrics"] == ["localrouter_unpriced_requests_total 1.0"]
    for command in ("usage command", "show command"):
        assert "unknown" in found[command]
        assert "$" not in found[command]
    assert seen["told"] == [1], "once, in the log"


def test_a_key_may_refuse_what_is_of_unknown_price(seen: dict[str, Any]) -> None:
    status, code, message = seen["strict"]
    assert (status, code) == (503, "no_candidate")
    assert "unpriced" in message


def test_the_same_requests_are_priced_at_two_versions(seen: dict[str, Any]) -> None:
    first, second = seen["versions"]["overrides@1"], seen["versions"]["overrides@2"]
    answered = first["models"][-1]["attempts"]
    assert answered >= 3
    for repriced, one in ((first, "0.000008"), (second, "0.000018")):
        assert Decimal(repriced["repriced"]["cost_usd"]) == answered * Decimal(one)
        assert repriced["repriced"]["unpriced"] == 0
        assert (repriced["recorded"], repriced["requests"]) == (first["recorded"], first["requests"])
    assert first["recorded"]["unpriced"] == seen["unpriced"]["usage"][2], "the record stays as it was"
    assert seen["priced"]["record"] == ["0.000018", None, "overrides@2"]


def test_a_subscription_costs_nothing_and_says_what_it_saved(seen: dict[str, Any]) -> None:
    found = seen["subscription"]
    assert found["record"] == ["0", "2", "overrides@3"]
    assert found["attempts"] == [["0", "overrides@3"]]
    assert found["usage"][0] == seen["priced"]["usage"][0]
    assert Decimal(found["usage"][1]) >= 2
    assert "shadow cost" in found["usage command"]
    assert "at API prices" in found["show command"]
    assert not [line for line in found["metrics"] if "plan/small" in line]
