from pathlib import Path

import pytest

from yolanda.bench import results
from yolanda.bench.results import PartResult, Point, Spread, ratio, spread


def measured() -> PartResult:
    result = PartResult("part", {"rounds": 3}, {"nginx": "1.26"}, started="2026-11-26T01:02:03")
    for ours, theirs in [(2.0, 1.0), (4.0, 1.0), (9.0, 3.0)]:
        result.add("ours", {"size": 64}, {"cpu": ours})
        result.add("theirs", {"size": 64}, {"cpu": theirs})
    result.give_up("select", {"size": 64}, "no descriptor above 1023")
    return result


def test_a_ratio_is_taken_round_by_round() -> None:
    result = measured()
    found = ratio(result.find("ours"), result.find("theirs"), "cpu")
    assert found == Spread(3.0, 2.0, 4.0, 3)


def test_a_ratio_leaves_out_rounds_in_which_one_of_the_two_gave_nothing() -> None:
    ours = Point("ours", {}, [{"cpu": 2.0}, None, {"cpu": 3.0}])
    theirs = Point("theirs", {}, [{"cpu": 1.0}, {"cpu": 1.0}, None])
    assert ratio(ours, theirs, "cpu") == Spread(2.0, 2.0, 2.0, 1)


def test_a_ratio_leaves_out_disturbed_rounds_unless_there_is_no_other() -> None:
    quiet, disturbed = {results.SERVER_WAITING: 0.0}, {results.SERVER_WAITING: 0.5}
    ours = Point("ours", {}, [{"cpu": 2.0} | quiet, {"cpu": 9.0} | disturbed])
    theirs = Point("theirs", {}, [{"cpu": 1.0} | quiet, {"cpu": 1.0} | quiet])
    assert ratio(ours, theirs, "cpu") == Spread(2.0, 2.0, 2.0, 1)
    del ours.rounds[0], theirs.rounds[0]
    assert ratio(ours, theirs, "cpu") == Spread(9.0, 9.0, 9.0, 1)


def test_what_was_not_measured_has_no_figure() -> None:
    result = measured()
    assert spread(result.find("nobody"), "cpu") is None
    assert spread(result.find("select"), "cpu") is None
    assert spread(result.find("ours"), "p99") is None
    assert ratio(result.find("ours"), result.find("select"), "cpu") is None


def test_points_are_found_by_their_conditions() -> None:
    result = PartResult("part")
    for size in (64, 4096):
        result.add("ours", {"size": size, "connections": 1}, {"cpu": size})
    assert [point.at["size"] for point in result.at({"connections": 1})] == [64, 4096]
    found = result.find("ours", {"size": 4096})
    assert found is not None
    assert found.samples == [{"cpu": 4096}]
    assert result.values("size") == [64, 4096]


def test_results_come_back_from_their_file_as_they_were(tmp_path: Path) -> None:
    result = measured()
    assert results.load(results.save(result, tmp_path)) == result
    assert [path.name for path in tmp_path.iterdir()] == ["part.json"]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"points": [{"a": 1}]}'])
def test_a_file_that_holds_no_results_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "part.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"part\.json: these are no results"):
        results.load(path)
