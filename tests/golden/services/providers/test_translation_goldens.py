"""What each case becomes in every dialect is what lies beside it; ``make goldens`` writes it anew, to be reviewed."""

from tests.support.translation_goldens import FOLDER, cases, stale


def test_every_case_becomes_what_is_written_beside_it():
    assert len(cases()) >= 10
    assert [str(path.relative_to(FOLDER)) for path in stale()] == [], "make goldens writes them"
