"""Cells in order, or several at once: each begins as soon as what it goes on from is finished."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from datetime import timedelta
from typing import Any

from benchmarks.lab.cells import Cell
from benchmarks.lab.runner import How, run_cell
from pyrovae.errors import OptionError

__all__ = ["Agenda", "launch", "run_cells"]

Key = tuple[str, int]  # fingerprint and seed


class Agenda:
    """What is left to do: cells with their seeds and all that they go on from, each once."""

    def __init__(self, cells: Sequence[Cell], seeds: Sequence[int]) -> None:
        self.left: dict[Key, Cell] = {}
        self.followers: dict[str, int] = {}  # by fingerprint, the longest chain of cells that go on from it
        for cell in cells:
            chain: Cell | None = cell
            length = 0
            while chain is not None:
                for seed in seeds:
                    self.left.setdefault((chain.fingerprint, seed), chain)
                self.followers[chain.fingerprint] = max(length, self.followers.get(chain.fingerprint, 0))
                chain, length = chain.start, length + 1
        self.begun: set[Key] = set()

    def next(self) -> Key | None:
        """A cell whose start is finished, of those the one with most to follow; None if none may begin."""

        def waits(key: Key, cell: Cell) -> bool:
            return key in self.begun or (cell.start is not None and (cell.start.fingerprint, key[1]) in self.left)

        ready = [key for key, cell in self.left.items() if not waits(key, cell)]
        if not ready:
            return None
        key = max(ready, key=lambda key: self.followers[key[0]])
        self.begun.add(key)
        return key

    def done(self, key: Key) -> None:
        """A cell is finished."""
        del self.left[key]


def run_cells(cells: Sequence[Cell], seeds: Sequence[int], how: How, jobs: int, each: Callable[[], None]) -> None:
    """Compute what is not finished, in so many processes; ``each`` is called after each cell."""
    if jobs == 1:
        for seed in seeds:
            for cell in cells:
                run_cell(cell, seed, how)
                each()
        return
    agenda = Agenda(cells, seeds)
    running: dict[Future, Key] = {}
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([run_cell.__module__])  # imported once for all of them
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        while agenda.left:
            while len(running) < jobs and (key := agenda.next()) is not None:
                running[pool.submit(run_cell, agenda.left[key], key[1], how)] = key
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                future.result()
                agenda.done(running.pop(future))
                each()


def launch(devices: int, device: str) -> Any:
    """A launched Lightning Fabric of so many processes, which run this command each; None for one."""
    if devices == 1:
        return None
    try:
        from lightning_fabric import Fabric
        from lightning_fabric.strategies import DDPStrategy
    except ImportError as error:
        raise OptionError("--devices needs Lightning Fabric: pip install -e '.[distributed]'.") from error
    patient = DDPStrategy(timeout=timedelta(hours=6))  # while process 0 evaluates
    fabric = Fabric(accelerator=device.partition(":")[0], devices=devices, strategy=patient)
    fabric.launch()
    return fabric
