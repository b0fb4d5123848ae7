"""What holds of every strategy, of every composition of them, and of every choice from the plans that they make."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cmp_to_key
from itertools import groupby

from hypothesis import given
from hypothesis import strategies as st

from services.router.domain.concern import BY_MIX
from services.router.domain.strategies import STRATEGIES
from shared.contracts.catalog import Capability, Model, Prices
from shared.contracts.config import AutomaticOrder, ModelFilters, Range, RouterSpec, Strategy
from shared.contracts.plan import Plan
from shared.contracts.speed import Mix, Speed
from shared.contracts.usage import Needs
from shared.routing.choose import choose
from shared.routing.compile import compile_plan
from shared.routing.health import ProviderHealth
from shared.routing.scoring import Evidence, Score
from shared.routing.table import ModelTable

USD = 10**12
NOW = datetime(2026, 5, 1, tzinfo=UTC)
PROVIDERS = ("ollama", "plan", "openai", "mistral")
PRICES = (None, Prices(input=USD, output=2 * USD), Prices(input=USD, output=2 * USD), Prices(input=0, output=9 * USD))
SIZES = (None, 7.0, 7.0, 70.0)
SPEEDS = (
    None,
    Speed(ttft_ms=100, tokens_per_s=50, samples=9),
    Speed(tokens_per_s=50, samples=9),
    Speed(ttft_ms=9_000, tokens_per_s=300, samples=0.1),
)
EVERYTHING = (*STRATEGIES, "weighted", "least_busy")


def model_of(number: int, dice: int) -> Model:
    """Return a model whose every trait is two bits of ``dice``."""
    provider = PROVIDERS[dice & 3]
    return Model(
        id=f"{provider}/{number:02}",
        provider_id=provider,
        provider=provider,
        native_id=f"{number:02}",
        capabilities=(Capability.CHAT, Capability.TOOLS) if dice >> 2 & 1 else (Capability.CHAT,),
        local=provider == "ollama",
        subscription=provider == "plan",
        prices=PRICES[dice >> 3 & 3],
        parameters_b=SIZES[dice >> 5 & 3],
        performance_class=60 if dice >> 7 & 1 else None,
    )


catalogs = st.lists(st.integers(0, 2**8 - 1), max_size=20).map(
    lambda throws: [model_of(number, throw) for number, throw in enumerate(throws)]
)
evidences = st.builds(
    lambda throws, mixed: Evidence(
        {
            f"{provider}/{number:02}": speed
            for number, throw in enumerate(throws)
            for provider in PROVIDERS
            if (speed := SPEEDS[throw]) is not None
        },
        Mix(input=100, cached=900, output=50, samples=99) if mixed else None,
    ),
    st.lists(st.integers(0, 3), max_size=20),
    st.booleans(),
)
compositions = (
    st.lists(
        st.builds(Strategy, st.sampled_from(EVERYTHING), st.sampled_from([0.0, 0.0, 0.2])),
        min_size=1,
        max_size=4,
        unique_by=lambda strategy: strategy.name,
    )
    .filter(lambda order: len({"weighted", "least_busy"} & {strategy.name for strategy in order}) < 2)
    .map(tuple)
)
filters = st.sampled_from(
    [ModelFilters(), ModelFilters(capabilities=("tools",)), ModelFilters(price=Range(None, 5), parameters_b=Range(5))]
)


def compiled(
    order: Sequence[Strategy],
    catalog: list[Model] | ModelTable,
    evidence: Evidence,
    filters: ModelFilters | None = None,
) -> Plan:
    spec = RouterSpec(
        slug="r", name="R", order=AutomaticOrder(strategies=tuple(order)), filters=filters or ModelFilters()
    )
    return compile_plan("r", spec, catalog, STRATEGIES, {}, evidence)


def names(plan: Plan) -> list[str]:
    return [candidate.model for candidate in plan.candidates]


@given(compositions, catalogs, evidences, st.randoms())
def test_an_order_is_total_and_does_not_depend_on_how_the_models_came(
    order: Sequence[Strategy], catalog: list[Model], evidence: Evidence, random
):
    plan = compiled(order, catalog, evidence)
    assert sorted(names(plan)) == sorted(item.id for item in catalog)
    shuffled = catalog.copy()
    random.shuffle(shuffled)
    assert compiled(order, shuffled, evidence) == plan


@given(st.permutations(list(STRATEGIES)), catalogs, evidences)
def test_a_composition_compares_by_the_first_strategy_that_tells_two_models_apart(
    order: list[str], catalog: list[Model], evidence: Evidence
):
    by_id = {item.id: item for item in catalog}

    def scores(name: str) -> list[Score]:
        return [STRATEGIES[strategy](by_id[name], evidence) for strategy in order]

    def compared(one: str, other: str) -> int:
        pairs = list(zip(scores(one), scores(other), strict=True))
        for mine, theirs in pairs:
            if (mine.tier, mine.value) != (theirs.tier, theirs.value):
                return -1 if (mine.tier, mine.value) < (theirs.tier, theirs.value) else 1
        for mine, theirs in reversed(pairs):  # the last one breaks ties first, in what the ones before left
            if mine.then != theirs.then:
                return -1 if mine.then < theirs.then else 1
        return -1 if one < other else 1

    plan = compiled([Strategy(name) for name in order], catalog, evidence)
    assert names(plan) == sorted(by_id, key=cmp_to_key(compared))


@given(compositions, catalogs, evidences)
def test_the_best_of_all_by_the_first_strategy_is_first_within_its_tolerance(
    order: Sequence[Strategy], catalog: list[Model], evidence: Evidence
):
    first = order[0]
    if not catalog or first.name not in STRATEGIES:
        return
    scores = {item.id: STRATEGIES[first.name](item, evidence) for item in catalog}
    best = min((score.tier, score.value) for score in scores.values())
    chosen = scores[names(compiled(order, catalog, evidence))[0]]
    assert chosen.tier == best[0]
    assert chosen.value <= best[1] + abs(best[1]) * first.tolerance


@given(compositions, catalogs, evidences, filters)
def test_filters_leave_out_and_change_no_order_where_there_is_no_tolerance(
    order: Sequence[Strategy], catalog: list[Model], evidence: Evidence, filters: ModelFilters
):
    exact = [Strategy(strategy.name) for strategy in order]
    plan, kept = compiled(exact, catalog, evidence), compiled(exact, catalog, evidence, filters)
    fit = set(names(kept))
    assert names(kept) == [name for name in names(plan) if name in fit]
    for candidate in kept.candidates:
        assert set(filters.capabilities) <= set(candidate.capabilities)
        if filters.parameters_b.min is not None:
            assert candidate.parameters_b is not None
            assert candidate.parameters_b >= filters.parameters_b.min


@given(st.lists(st.tuples(compositions, st.booleans()), max_size=6), catalogs, evidences)
def test_what_a_table_keeps_for_others_changes_no_plan(
    routers: list[tuple[Sequence[Strategy], bool]], catalog: list[Model], evidence: Evidence
):
    table = ModelTable.of(catalog, BY_MIX)
    for order, mixed in routers:
        own = Evidence(evidence.speeds, evidence.mix if mixed else None)
        assert compiled(order, table, own) == compiled(order, catalog, own)


@given(st.lists(st.tuples(compositions, catalogs), max_size=4), catalogs, evidences)
def test_what_a_table_takes_over_from_an_earlier_one_changes_no_plan(
    steps: list[tuple[Sequence[Strategy], list[Model]]], catalog: list[Model], evidence: Evidence
):
    table = ModelTable.of(catalog, BY_MIX)
    for order, others in steps:
        assert compiled(order, table, evidence) == compiled(order, catalog, evidence)
        kept = {item.id: item for item in catalog[::2]}  # the very same ones, beside new ones and changed ones
        catalog = list({**{item.id: item for item in others}, **kept}.values())
        table = ModelTable.of(catalog, BY_MIX, table)
        assert compiled(order, table, evidence) == compiled(order, catalog, evidence)


healths = st.dictionaries(
    st.sampled_from(PROVIDERS),
    st.builds(
        ProviderHealth,
        st.sampled_from(["unknown", "healthy", "degraded", "unhealthy"]),
        st.sampled_from(["closed", "open", "half_open"]),
        st.sampled_from([None, NOW + timedelta(seconds=1)]),
    ),
)


@given(compositions, catalogs, evidences, healths, st.text(max_size=8), st.dictionaries(st.text(), st.integers(0, 3)))
def test_whatever_the_composition_healthy_goes_before_degraded_and_unhealthy_never(
    order: Sequence[Strategy],
    catalog: list[Model],
    evidence: Evidence,
    health: dict[str, ProviderHealth],
    request_id: str,
    in_flight: dict[str, int],
):
    plan = compiled(order, catalog, evidence)

    def chosen() -> list[str]:
        choice = choose(plan, Needs(), health, now=NOW, request_id=request_id, in_flight=in_flight)
        return [candidate.model for candidate in choice.order]

    def rank(provider: str) -> int | None:
        state = health.get(provider, ProviderHealth())
        if state.health == "unhealthy" or state.breaker == "open" or state.cool_until is not None:
            return None
        return 2 if state.breaker == "half_open" else 1 if state.health == "degraded" else 0

    found = chosen()
    assert found == chosen(), "the same request is chosen for alike"
    assert set(found) == {name for name in names(plan) if rank(name.partition("/")[0]) is not None}
    place = {candidate.model: (candidate.band, number) for number, candidate in enumerate(plan.candidates)}
    ranked = [(rank(name.partition("/")[0]), place[name][0] if plan.spread else place[name]) for name in found]
    assert ranked == sorted(ranked, key=lambda pair: (pair[0], pair[1]))


@given(catalogs, evidences)
def test_the_strategies_of_the_default_routers_choose_the_cheapest_and_the_largest(
    catalog: list[Model], evidence: Evidence
):
    known = [item for item in catalog if item.prices is not None or item.local or item.subscription]
    if known:
        first = compiled([Strategy("lowest_cost"), Strategy("highest_performance")], catalog, evidence).candidates[0]
        cheapest = min(STRATEGIES["lowest_cost"](item, evidence).value for item in known)
        assert first.reasons[0].score == cheapest
    sized = [item.parameters_b for item in catalog if item.parameters_b is not None]
    if sized and not any(item.performance_class for item in catalog if item.parameters_b is None):
        first = compiled([Strategy("highest_performance"), Strategy("lowest_cost")], catalog, evidence).candidates[0]
        assert first.parameters_b == max(sized)


@given(catalogs, evidences, st.dictionaries(st.sampled_from(PROVIDERS), st.integers(0, 3)))
def test_least_busy_never_passes_over_an_equal_that_has_less_to_do(
    catalog: list[Model], evidence: Evidence, load: dict[str, int]
):
    plan = compiled([Strategy("local_first"), Strategy("least_busy")], catalog, evidence)
    in_flight = {item.id: load.get(item.provider, 0) for item in catalog}
    order = choose(plan, Needs(), {}, now=NOW, in_flight=in_flight).order
    for _, band in groupby(order, key=lambda candidate: candidate.band):
        running = [in_flight[candidate.model] for candidate in band]
        assert running == sorted(running)
