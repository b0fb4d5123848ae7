"""The budget of retries: a share of a provider's requests in a minute, with a floor."""

from services.gateway.domain.retry_budget import FLOOR, RetryBudgets


def spent(budgets: RetryBudgets, requests: int, now: float = 0.0, *, provider: str = "p") -> int:
    """Ask so often, retry as often as may be, and return how often that was."""
    retries = 0
    for _ in range(requests):
        budgets.asked(provider, now)
        if budgets.allows(provider, 0.2, now):
            budgets.retried(provider, now)
            retries += 1
    return retries


def test_the_first_few_retries_are_always_allowed() -> None:
    assert spent(RetryBudgets(), 15) == FLOOR


def test_then_a_fifth_of_the_requests_is() -> None:
    assert spent(RetryBudgets(), 1_000) == 200


def test_a_minute_later_it_is_a_new_minute() -> None:
    budgets = RetryBudgets()
    spent(budgets, 1_000)
    assert not budgets.allows("p", 0.2, 49.0)
    assert budgets.allows("p", 0.2, 60.0)
    assert spent(budgets, 15, 60.0) == FLOOR


def test_every_provider_has_its_own_and_a_router_may_allow_none_beyond_the_floor() -> None:
    budgets = RetryBudgets()
    spent(budgets, 1_000)
    assert spent(budgets, 15, provider="q") == FLOOR
    assert not budgets.allows("q", 0.0, 0.0)
