"""Every lab is a test: all that was to be seen is seen."""

import pytest

from yolanda import labs
from yolanda.catalogue import Catalogue, Entry
from yolanda.labs.stage import LabSkipped, Stage


@pytest.mark.parametrize("entry", list(Catalogue(labs)), ids=lambda entry: entry.name)
def test_lab(entry: Entry) -> None:
    module = entry.load()
    with Stage(patience=30) as stage:
        try:
            module.play(stage)
        except LabSkipped as reason:
            pytest.skip(str(reason))
    assert stage.verdicts, "a lab judges something"
    assert [verdict for verdict in stage.verdicts if not verdict.seen] == []
