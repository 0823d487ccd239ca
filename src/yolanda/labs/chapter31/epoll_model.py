"""Does the kernel's epoll do what the model of it does?

Seven scenes, from level-triggered to EEXIST, played in the model and in the kernel at once.  To be
seen: after each step both give the same answer and have the same tree of interest.
"""

import re
import select

from yolanda.labs.stage import Stage

EXPECTED = {
    "level": ["a:in", "a:in", "nothing", "nothing"],
    "edge": ["a:in", "nothing", "nothing", "a:in", "a:in"],
    "oneshot": ["a:in", "nothing", "a:in"],
    "filter": ["a:out", "nothing", "a:out|hup"],
    "fair": ["c:in", "a:in", "b:in", "c:in", "a:in, b:in"],
    "late": ["a:in"],
}


def play(stage: Stage) -> None:
    """Play all scenes and look at what epoll_wait told."""
    if not hasattr(select, "epoll"):
        stage.skip("this platform has no epoll")
    program = stage.start("epoll-model")
    total = program.expect(r"^(\d+) steps: the model and the kernel agree$")
    program.expect_exit(0)
    told: dict[str, list[str]] = {}
    scene = ""
    for line in program.lines:
        if title := re.match(r"(\w+): ", line):
            scene = title[1]
        elif answer := re.match(r"  wait .* epoll (.*?) +agree$", line):
            told.setdefault(scene, []).append(answer[1])
    for name, expected in EXPECTED.items():
        answers = told.get(name, [])
        stage.check(f"{name}: the kernel told what it should", answers == expected, answers)
    stage.check("the model agreed in every step", True, f"{total[1]} steps")
