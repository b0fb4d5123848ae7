"""Windows of a subscription's plan, as vendors' answers tell them."""

from datetime import UTC, datetime, timedelta

import pytest

from services.providers.domain.plan_windows import spent

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
SOON, LATER = NOW + timedelta(hours=2), NOW + timedelta(days=3)


def window(name: str, share: object, until: object) -> dict[str, str]:
    start = f"anthropic-ratelimit-unified-{name}"
    return {f"{start}-utilization": str(share), f"{start}-reset": str(until), f"{start}-status": "allowed"}


def test_a_plan_with_room_is_not_spent():
    assert spent(window("5h", 0.94, SOON.timestamp()), 0.05, NOW) is None
    assert spent({}, 0.05, NOW) is None


def test_a_plan_is_spent_but_for_its_reserve_until_the_window_opens_again():
    found = spent(window("5h", 0.95, SOON.timestamp()), 0.05, NOW)
    assert found is not None
    assert (found.until, found.reason) == (SOON, "95% of the plan's 5h window is used")
    assert spent(window("5h", 0.95, SOON.timestamp()), 0.0, NOW) is None
    assert spent(window("5h", 1, SOON.isoformat()), 0.0, NOW) == (SOON, "100% of the plan's 5h window is used")


def test_of_several_spent_windows_the_latest_reset_counts():
    both = {**window("7d", 1.0, LATER.timestamp()), **window("5h", 1.0, SOON.timestamp())}
    found = spent(both, 0.05, NOW)
    assert found is not None
    assert found.until == LATER
    open_week = {**window("7d", 0.3, LATER.timestamp()), **window("5h", 1.0, SOON.timestamp())}
    found = spent(open_week, 0.05, NOW)
    assert found is not None
    assert found.until == SOON


def test_a_percentage_with_seconds_to_go_reads_as_well():
    headers = {"x-codex-primary-used-percent": "99.5", "x-codex-primary-reset-after-seconds": "7200"}
    found = spent(headers, 0.05, NOW)
    assert found is not None
    assert found.until == SOON


@pytest.mark.parametrize("share", ["nan", "-1", "inf", "", "full", "1e300"])
def test_what_does_not_read_says_nothing(share: str):
    assert spent(window("5h", share, SOON.timestamp()), 0.05, NOW) is None


@pytest.mark.parametrize(
    "until", ["", "soon", "nan", "1", "99999999999999", str((NOW + timedelta(days=90)).timestamp())]
)
def test_a_reset_that_cannot_be_one_says_nothing(until: str):
    assert spent(window("5h", 1.0, until), 0.05, NOW) is None
