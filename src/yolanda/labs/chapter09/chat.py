"""Three people in a room: who hears what, and what is heard of one who is killed?

Ann, Bob and 小红 talk.  What one says the two others hear, a word to one alone nobody else; a name
has one holder; what could command a terminal is not passed on.  At last one is killed: a process
that is no more cannot say good-bye, but the kernel closes its connection, and the room hears that.
"""

from yolanda.labs.stage import Stage


def play(stage: Stage) -> None:
    """Come in one after the other, talk, and leave in three ways."""
    room = stage.start("chat", "--port", "0")
    port = room.port()
    ann = stage.start("chatclient", "--port", port, "--name", "ann", name="ann")
    ann.expect(r"\* hello ann, 1 here: ann")
    bob = stage.start("chatclient", "--port", port, "--name", "Ann", name="bob")
    taken = bob.expect("is taken").string
    bob.type("bob")
    bob.expect(r"\* hello bob")
    joined = ann.expect("has joined").string
    hong = stage.start("chatclient", "--port", port, name="小红")
    hong.type("小红")
    hong.expect(r"\* hello 小红")
    stage.check("a name has one holder", "Ann is taken" in taken, taken)
    stage.check("those in the room hear who joins", joined == "* bob has joined", joined)

    hong.type("大家好")
    heard = {actor.expect("<小红>").string for actor in (ann, bob)}
    stage.check("what one says, all others hear", heard == {"<小红> 大家好"}, ", ".join(heard))

    ann.type("/msg bob lunch?")
    whisper = bob.expect("alone>").string
    bob.type_bytes(b"\x1b[2Jyes\n")
    answers = [actor.expect("<bob>").string for actor in (ann, hong)]
    stage.check("a word to one alone", whisper == "<ann to you alone> lunch?", whisper)
    stage.check("nobody else hears it", not hong.said("lunch"))
    stage.check("what would clear a screen is not passed on", "\x1b" not in "".join(answers))
    hong.type("/who")
    who = hong.expect("here:").string
    stage.check("the list of who is there", who == "* 3 here: ann, bob, 小红", who)

    bob.kill()
    left = {actor.expect("has left").string for actor in (ann, hong)}
    stage.check(
        "of one who was killed all others hear", left == {"* bob has left"}, ", ".join(left)
    )
    ann.type("/quit")
    ann.expect_exit(0)
    hong.expect(r"\* ann has left")
    hong.end_input()
    hong.expect_exit(0)
    room.expect("小红 left")
    stage.check("all have left, the room is open", room.running)
