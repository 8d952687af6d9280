"""Progress without a terminal: a line now and then, with the time that is left."""

from vesalius.agent.commands.progress import Lines


def test_a_line_is_written_every_ten_seconds_with_the_time_left():
    now, written = [0.0], []
    lines = Lines(lambda: now[0], written.append)
    for done in range(0, 101, 2):
        now[0] = done / 2
        lines(done, 100, "layer 0")
    assert written == [
        "20/100 layer 0, about 40 s left\n",
        "40/100 layer 0, about 30 s left\n",
        "60/100 layer 0, about 20 s left\n",
        "80/100 layer 0, about 10 s left\n",
        "100/100 layer 0, about 0 s left\n",
    ]


def test_what_comes_before_the_first_step_does_not_count_as_its_pace():
    now, written = [0.0], []
    lines = Lines(lambda: now[0], written.append)
    for seconds, done in ((0.0, 0), (1000.0, 50), (1010.0, 100)):
        now[0] = seconds
        lines(done, 1000, "x")
    assert written[-1] == "100/1000 x, about 180 s left\n".replace("180 s", "3 min")


def test_long_times_are_told_in_minutes_and_hours_and_nothing_is_guessed_from_nothing():
    now, written = [0.0], []
    lines = Lines(lambda: now[0], written.append)
    for seconds, done in ((10.0, 0), (20.0, 1), (400.0, 20), (410.0, 200)):
        now[0] = seconds
        lines(done, 1000, "x\x1b")
    assert written == [
        "0/1000 x\\u001b\n",
        "1/1000 x\\u001b\n",
        "20/1000 x\\u001b, about 5.4 h left\n",
        "200/1000 x\\u001b, about 26 min left\n",
    ]
