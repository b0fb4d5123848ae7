"""What holds of every plan and every choice."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from shared.contracts.catalog import Capability, Model, Prices
from shared.contracts.config import AutomaticOrder, ModelFilters, Range, RouterSpec, Strategy
from shared.contracts.plan import MAX_CANDIDATES, Plan, decode_plan, encode_plan, plan_hash
from shared.contracts.usage import Needs
from shared.routing.choose import Warm, choose
from shared.routing.compile import compile_plan, unfit
from shared.routing.health import ProviderHealth
from shared.routing.needs import needs_of
from shared.routing.scoring import NO_EVIDENCE, Evidence, Score
from shared.routing.table import CONTEXT_CLASSES

BEST = MAX_CANDIDATES * 3 // 4
NOW = datetime(2026, 5, 1, tzinfo=UTC)
PROVIDERS = [f"p{number}" for number in range(5)]


def _size(item: Model, _: Evidence) -> Score:
    return Score(-(item.parameters_b or 0.0), "")


def _cost(item: Model, _: Evidence) -> Score:
    return Score(float(item.prices.input), "") if item.prices else Score(0.0, "", tier=1)


KNOWN = {"size": _size, "cost": _cost}


CAPABILITIES = [Capability.CHAT, Capability.TOOLS, Capability.VISION]
WINDOWS = [None, 8_000, 32_000, 200_000]


def model_of(number: int, dice: int) -> Model:
    """Return a model whose every trait is a few bits of ``dice``: cheap to draw, and it shrinks towards plain ones."""
    provider, price, size = PROVIDERS[dice % 5], dice >> 3 & 3, dice >> 5 & 3
    return Model(
        id=f"{provider}/{number}",
        provider_id=provider,
        provider=provider,
        native_id=str(number),
        capabilities=tuple(item for place, item in enumerate(CAPABILITIES) if dice >> (7 + place) & 1),
        context_window=WINDOWS[dice >> 10 & 3],
        max_output=4_000 if dice >> 12 & 1 else None,
        parameters_b=float(size) if size else None,
        prices=Prices(input=price, output=price) if price else None,
    )


def models(most: int = 60) -> st.SearchStrategy[list[Model]]:
    dice = st.lists(st.integers(0, 2**13 - 1), max_size=most)
    return dice.map(lambda throws: [model_of(number, throw) for number, throw in enumerate(throws)])


def specs_with(*tolerances: float) -> st.SearchStrategy[RouterSpec]:
    return st.builds(
        lambda names, tolerance, filters: RouterSpec(
            slug="r",
            name="R",
            order=AutomaticOrder(strategies=tuple(Strategy(name, tolerance) for name in names)),
            filters=filters,
        ),
        st.permutations(list(KNOWN)),
        st.sampled_from(tolerances),
        st.sampled_from(
            [ModelFilters(), ModelFilters(parameters_b=Range(1, 3)), ModelFilters(capabilities=("tools",))]
        ),
    )


specs = specs_with(0.0, 0.3)
healths = st.dictionaries(
    st.sampled_from(PROVIDERS),
    st.builds(
        ProviderHealth,
        st.sampled_from(["unknown", "healthy", "degraded", "unhealthy"]),
        st.sampled_from(["closed", "open", "half_open"]),
        st.sampled_from([None, NOW - timedelta(seconds=1), NOW + timedelta(seconds=1)]),
    ),
)
needs_strategy = st.builds(
    Needs,
    capabilities=st.sets(st.sampled_from(["chat", "tools", "vision"])).map(tuple),
    input_tokens=st.sampled_from([0, 9_000, 150_000]),
    output_tokens=st.sampled_from([None, 100, 5_000]),
)


def compiled(spec: RouterSpec, catalog: list[Model]) -> Plan:
    return compile_plan("id", spec, catalog, KNOWN, {})


@given(specs, models(), st.randoms())
def test_the_order_does_not_depend_on_the_order_of_the_catalog(spec: RouterSpec, catalog: list[Model], random):
    shuffled = catalog.copy()
    random.shuffle(shuffled)
    assert compiled(spec, shuffled) == compiled(spec, catalog)


@given(specs, models())
def test_every_model_is_a_candidate_once_or_counted_as_left_out(spec: RouterSpec, catalog: list[Model]):
    plan = compiled(spec, catalog)
    kept = [candidate.model for candidate in plan.candidates]
    assert len(set(kept)) == len(kept)
    assert len(kept) + sum(item.count for item in plan.left_out) == len(catalog)


@given(specs, models())
def test_filters_hold_for_every_candidate(spec: RouterSpec, catalog: list[Model]):
    for candidate in compiled(spec, catalog).candidates:
        assert set(spec.filters.capabilities) <= set(candidate.capabilities)
        if spec.filters.parameters_b != Range():
            assert candidate.parameters_b is not None
            assert 1 <= candidate.parameters_b <= 3


@given(specs, models())
def test_a_better_score_beyond_the_tolerance_always_comes_first(spec: RouterSpec, catalog: list[Model]):
    assert isinstance(spec.order, AutomaticOrder)
    first = spec.order.strategies[0]
    by_id = {item.id: item for item in catalog}
    scores = [
        KNOWN[first.name](by_id[candidate.model], NO_EVIDENCE) for candidate in compiled(spec, catalog).candidates
    ]
    for place, earlier in enumerate(scores):
        for later in scores[place + 1 :]:
            worst = later.value + abs(later.value) * first.tolerance
            assert (earlier.tier, earlier.value) <= (later.tier, worst)


@given(
    specs_with(0.0),
    models(most=150),
    st.sets(st.sampled_from(["chat", "tools", "vision"])),
    st.sampled_from(CONTEXT_CLASSES),
)
def test_the_best_for_any_needs_are_in_the_plan(spec: RouterSpec, catalog: list[Model], needed: set[str], window: int):
    def meets(item: Model) -> bool:
        roomy = item.context_window is None or item.context_window >= window
        return roomy and needed <= set(item.capabilities)

    fitting = {item.id: item for item in catalog if meets(item)}
    best = [candidate.model for candidate in compiled(spec, list(fitting.values())).candidates][:BEST]
    in_plan = [candidate.model for candidate in compiled(spec, catalog).candidates if candidate.model in fitting]
    assert in_plan[: len(best)] == best
    providers = {fitting[name].provider for name in in_plan}
    offering = {item.provider for item in fitting.values() if unfit(item, spec.filters) is None}
    assert len(providers) >= min(4, len(offering))


@given(specs, models(most=20))
def test_a_plan_survives_its_travel_and_its_hash_is_its_own(spec: RouterSpec, catalog: list[Model]):
    plan = compiled(spec, catalog)
    assert decode_plan(encode_plan(plan)) == plan
    assert plan_hash(plan) == plan.hash


@given(specs, models(), needs_strategy, healths)
def test_a_choice_is_fit_healthy_first_and_otherwise_in_the_order_of_the_plan(
    spec: RouterSpec, catalog: list[Model], needs: Needs, health: dict[str, ProviderHealth]
):
    plan = compiled(spec, catalog)
    choice = choose(plan, needs, health, now=NOW)
    place = {candidate.model: number for number, candidate in enumerate(plan.candidates)}

    def rank(provider_id: str) -> int:
        state = health.get(provider_id, ProviderHealth())
        assert state.health != "unhealthy"
        assert state.breaker != "open"
        assert state.cool_until is None or state.cool_until <= NOW
        return 2 if state.breaker == "half_open" else 1 if state.health == "degraded" else 0

    ranked = [(rank(candidate.provider_id), place[candidate.model]) for candidate in choice.order]
    assert ranked == sorted(ranked)
    for candidate in choice.order:
        assert set(needs.capabilities) <= set(candidate.capabilities)
        output = needs.output_tokens or 0
        assert candidate.context_window is None or needs.input_tokens + output <= candidate.context_window
        assert candidate.max_output is None or output <= candidate.max_output


@given(specs, models(), st.lists(st.tuples(needs_strategy, healths), max_size=8))
def test_what_is_remembered_changes_no_choice(
    spec: RouterSpec, catalog: list[Model], asked: list[tuple[Needs, dict[str, ProviderHealth]]]
):
    plan, warm = compiled(spec, catalog), Warm()
    for needs, health in asked * 2:
        assert choose(plan, needs, health, now=NOW, warm=warm) == choose(plan, needs, health, now=NOW)


@given(specs, models(), needs_strategy, healths)
def test_nobody_is_both_chosen_and_excluded_and_nobody_in_reach_is_forgotten(
    spec: RouterSpec, catalog: list[Model], needs: Needs, health: dict[str, ProviderHealth]
):
    plan = compiled(spec, catalog)
    choice = choose(plan, needs, health, now=NOW)
    chosen = {candidate.model for candidate in choice.order}
    excluded = {item.model for item in choice.excluded}
    assert not chosen & excluded
    if len(chosen) < plan.fallback.max_attempts:
        assert chosen | excluded == {candidate.model for candidate in plan.candidates}


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)
FIELDS = ["messages", "prompt", "tools", "max_tokens", "response_format", "content", "role", "type", "text"]
FIELDS += ["input", "system", "instructions", "format", "options", "images", "output_config", "source"]
DIALECTS = ["openai_chat", "openai_completions", "openai_responses", "openai_embeddings", "anthropic_messages"]
DIALECTS += ["anthropic_count_tokens", "ollama_chat", "ollama_generate", "ollama_embed"]


@given(st.dictionaries(st.sampled_from(FIELDS), json), st.sampled_from(DIALECTS))
def test_any_body_has_needs(body: dict[str, object], dialect: str):
    assert needs_of(body, dialect).input_tokens >= 0
