"""prune: the window of steps, against counting every step."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from job.errors import StageError
from job.manifest.prune import PruneConfig
from job.stages.prune import MIN_UPDATES, TFMOT_FREQUENCY, Window, plan_window

steps = st.integers(0, 300)
counts = st.integers(1, 150)


@given(begin=steps, end=steps, frequency=counts)
@settings(deadline=None)
def test_updates_are_counted_as_the_steps_are(begin: int, end: int, frequency: int) -> None:
    """Window.updates is what counting every step from 1 on gives."""
    due = [t for t in range(max(begin, 1), end + 1) if (t - begin) % frequency == 0]
    assert Window(begin, end, frequency).updates == len(due)


@given(begin=steps, end=st.none() | steps, frequency=st.none() | counts, total=st.integers(1, 500))
@settings(deadline=None)
def test_a_window_fires_or_is_refused(
    begin: int, end: int | None, frequency: int | None, total: int
) -> None:
    """A window is given exactly where a mask would be updated; what is left out is worked out."""
    if end is not None and end <= begin:
        end = begin + end + 1
    schedule = {"begin_step": begin, "end_step": end, "frequency": frequency}
    config = PruneConfig.model_validate({"schedule": {"type": "polynomial_decay"} | schedule})
    last = min(total if end is None else end, total)
    every = frequency or max(1, min(TFMOT_FREQUENCY, (last - begin) // MIN_UPDATES))
    due = [t for t in range(1, last + 1) if t >= begin and (t - begin) % every == 0]
    if not due or (end is None and total <= begin):
        with pytest.raises(StageError, match="never fires"):
            plan_window(config, total)
        return
    window = plan_window(config, total)
    assert window == Window(begin, total if end is None else end, every)
    assert Window(begin, last, every).updates == len(due)
    if frequency is None and last - begin >= MIN_UPDATES:
        assert len(due) >= MIN_UPDATES


def test_a_fraction_that_ends_before_the_schedule_begins_is_told_in_steps() -> None:
    """A manifest can't tell: how many steps there are depends on the rows."""
    schedule = {"type": "polynomial_decay", "begin_step": 90, "end_step": 0.1}
    config = PruneConfig.model_validate({"schedule": schedule})
    with pytest.raises(StageError, match="begin at step 90 and end at step 9"):
        plan_window(config, 88)
