"""Ctrl-C and SIGTERM: the run ends after its step, says how, and goes on bitwise."""

from __future__ import annotations

import os
import signal
import threading

import pytest
from fits import RESUMED, assert_same, comparable, quiet, small

import pyrovae as pv
from pyrovae.files import load_state
from pyrovae.train import Callback


class Signalled(Callback):
    """Sends this process signals at the end of a step."""

    def __init__(self, step, *numbers):
        self.step, self.numbers, self.seen = step, numbers, []

    def on_step_end(self, run, step, bound):
        if step == self.step:
            for number in self.numbers:
                os.kill(os.getpid(), number)

    def on_exception(self, run, error):
        self.seen.append(error)


@pytest.mark.parametrize(
    ("number", "stopped", "how"),
    [(signal.SIGINT, "interrupted", "interrupted by Ctrl-C"), (signal.SIGTERM, "terminated", "ended by SIGTERM")],
    ids=["Ctrl-C", "SIGTERM"],
)
def test_a_signal_ends_the_run_says_so_and_the_run_resumes_bitwise(digits, whole, tmp_path, caplog, number, stopped, how):
    handlers = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    run = quiet(small(digits), digits, **RESUMED, callbacks=[Signalled(8, number)], out=tmp_path / "run")
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == handlers
    assert (run.stopped, run.unfinished, run.step, len(run.history)) == (stopped, True, 8, 2)
    assert run.weights == "best"  # of the two epochs
    assert pv.load(tmp_path / "run").stopped == stopped
    (record,) = [each for each in caplog.records if each.levelname == "WARNING"]
    assert record.name == "pyrovae" and f"did not finish: {how} at step 8 of 18; pyrovae.resume(" in record.getMessage()
    again = pv.resume(tmp_path / "run", callbacks=[], progress=False)
    assert again.stopped == "finished" and not again.unfinished
    assert_same(comparable(tmp_path / "run"), comparable(whole))


def test_a_signal_after_the_last_step_is_none(few, caplog):
    run = quiet(small(few), few, epochs=1, callbacks=[Signalled(3, signal.SIGTERM)])
    assert (run.stopped, run.step) == ("finished", 3) and not caplog.records


@pytest.mark.parametrize(("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)])
def test_a_second_signal_ends_the_program_at_once(few, tmp_path, number, error):
    callback = Signalled(2, number, number)
    with pytest.raises(error) as raised:
        quiet(small(few), few, epochs=1, callbacks=[callback], out=tmp_path / "run")
    assert callback.seen == [raised.value] and getattr(raised.value, "code", 143) == 143
    assert load_state(tmp_path / "run" / "checkpoint.safetensors")["step"] == 0


def test_a_thread_trains_without_catching_signals(few):
    runs = []
    thread = threading.Thread(target=lambda: runs.append(quiet(small(few), few, steps=1)))
    thread.start()
    thread.join()
    assert runs[0].stopped == "finished"
