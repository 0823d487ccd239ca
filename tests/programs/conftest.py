"""A stage for the tests of the programs."""

from collections.abc import Iterator

import pytest

from yolanda.labs.stage import Stage


@pytest.fixture
def stage() -> Iterator[Stage]:
    """Programs as real processes, killed in the end."""
    with Stage(patience=30) as stage:
        yield stage
