"""Threads of one process: each value is that of a call alone."""

from __future__ import annotations

import threading

import exact
import torch

import pyrovae as pv


def test_threads_that_call_at_once_get_what_each_gets_alone():
    pairs = [exact.PAIRS[name]() for name in ("sigmoid-decoder 1d", "gaussian-mixture enumerated")]

    def estimate(number):
        pair = pairs[number % 2]
        evidence = pv.log_evidence(pair.pair, pair.batch, num_samples=50, seed=number)
        x = pair.batch["x"].repeat(5, 1)
        run = pv.fit(pair.pair, x, epochs=1, seed=number, progress=False, compile=False, lr=1e-9)
        return evidence.value, run.records[0]["train"]

    expected, found, failed = [estimate(i) for i in range(4)], [None] * 4, []

    def work(number):
        try:
            found[number] = estimate(number)
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    for (value, bound), (alone, its_bound) in zip(found, expected, strict=True):
        torch.testing.assert_close(value, alone, rtol=1e-4, atol=1e-4)
        assert abs(bound - its_bound) < 1e-3
