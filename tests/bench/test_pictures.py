from dataclasses import replace

from yolanda.bench.part import Part, Plot
from yolanda.bench.report.pictures import facets, pictures
from yolanda.bench.results import PartResult


def crossed() -> PartResult:
    result = PartResult("fake")
    for size in (64, 4096):
        for connections in (1000, 1):
            for name in ("yolanda", "nginx"):
                result.add(name, {"size": size, "connections": connections}, {"cpu": 1.0})
    return result


def test_there_is_a_picture_for_each_value_that_is_not_shown(part: Part) -> None:
    plot = Plot("lines", "cpu", "CPU", "connections")
    drawn = pictures(replace(part, plots=(plot,)), crossed())
    assert [picture.title.replace("\N{NO-BREAK SPACE}", " ") for picture in drawn] == [
        "CPU, 64 B",
        "CPU, 4 KiB",
    ]
    assert len({picture.name for picture in drawn}) == 2
    for picture in drawn:
        assert [series.name for series in picture.series] == ["yolanda", "nginx"]
        assert [dot.x for dot in picture.series[0].dots] == [1, 1000]


def test_a_picture_shows_only_what_it_asks_for(part: Part) -> None:
    plot = Plot("lines", "cpu", "CPU", "connections", where={"size": 64}, contenders=("nginx",))
    (picture,) = pictures(replace(part, plots=(plot,)), crossed())
    assert [series.name for series in picture.series] == ["nginx"]
    assert picture.title == "CPU"


def test_a_contender_keeps_its_number_where_others_are_left_out(part: Part) -> None:
    plots = (
        Plot("lines", "cpu", "all", "connections", where={"size": 64}),
        Plot("lines", "cpu", "one", "connections", where={"size": 64}, contenders=("nginx",)),
    )
    every, one = pictures(replace(part, plots=plots), crossed())
    assert one.series[0].number == every.series[1].number == 1


def test_nothing_is_drawn_of_figures_that_nobody_has(part: Part) -> None:
    result = PartResult("fake")
    result.give_up("nginx", {"connections": 1}, "it is ill")
    assert pictures(part, result) == []
    assert list(facets(result, ("cpu",), ("contender",), {})) == []


def test_who_gave_up_is_named_with_place_and_reason(part: Part) -> None:
    result = crossed()
    for connections in (1000, 5000):
        result.give_up("select", {"size": 64, "connections": connections}, "its set is full")
    plot = Plot("lines", "cpu", "CPU", "connections", where={"size": 64})
    (picture,) = pictures(replace(part, plots=(plot,)), result)
    expected = "select at 1,000 connections and 5,000 connections: its set is full"
    assert picture.failures == [expected]
