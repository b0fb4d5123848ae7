"""The breaker under any history: few tries while it is open, none that is late decides, no flapping."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from services.providers.domain.breaker import Breaker, BreakerRules, admit, record, reopens_at

RULES = BreakerRules(failures=3, open_s=60.0)


class Breakers(RuleBasedStateMachine):
    permits = Bundle("permits")

    def __init__(self) -> None:
        super().__init__()
        self.breaker = Breaker()
        self.now = 0.0
        self.tries: list[float] = []
        self.row = 0

    @rule(seconds=st.floats(0, 100))
    def time_passes(self, seconds):
        self.now += seconds

    @rule(target=permits)
    def ask(self):
        before = self.breaker
        self.breaker, epoch = admit(before, RULES, self.now)
        if before.state == "closed":
            assert epoch == before.epoch
            return epoch
        if epoch is None:
            assert self.now < before.since + RULES.open_s
            return multiple()
        assert self.breaker.state == "half_open"
        assert not self.tries or self.now >= self.tries[-1] + RULES.open_s or before.state == "open"
        self.tries.append(self.now)
        return epoch

    @rule(epoch=consumes(permits), outcome=st.sampled_from(["success", "failure", "neutral"]))
    def end(self, epoch, outcome):
        before = self.breaker
        self.breaker = record(before, RULES, epoch, outcome, self.now)
        if epoch != before.epoch:
            assert self.breaker == before
            return
        if before.state == "closed":
            self.row = {"failure": self.row + 1, "success": 0, "neutral": self.row}[outcome]
            assert (self.breaker.state == "open") == (self.row >= RULES.failures)
        if self.breaker.state != before.state:
            assert self.breaker.epoch > before.epoch
            self.row = 0

    @invariant()
    def open_means_later(self):
        assert (reopens_at(self.breaker, RULES) is None) == (self.breaker.state == "closed")
        assert self.breaker.failures < RULES.failures


TestBreakers = Breakers.TestCase
TestBreakers.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_a_try_that_never_came_back_makes_room_for_another():
    breaker = Breaker(state="open", since=0.0, epoch=1)
    breaker, first = admit(breaker, RULES, 60.0)
    assert first is not None
    assert admit(breaker, RULES, 100.0)[1] is None
    breaker, second = admit(breaker, RULES, 120.0)
    assert second is not None
    assert record(breaker, RULES, first, "success", 121.0) == breaker
    assert record(breaker, RULES, second, "success", 121.0).state == "closed"
