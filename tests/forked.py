"""Scripts in processes of their own, without the seconds that imports take: they start from one that has imported all."""

from __future__ import annotations

import multiprocessing

IMPORTED = ["pyrovae", "torch._dynamo", "benchmarks.studies.kills"]  # that module's processes start from the same one


def run_script(script: str, timeout: float = 120) -> int:
    """The exit status of a process that runs the script on one thread; -9 after a SIGKILL."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(IMPORTED)
    process = context.Process(target=exec, args=(f"import torch\ntorch.set_num_threads(1)\n{script}", {}))
    process.start()
    process.join(timeout)
    if process.is_alive():
        process.kill()
        raise TimeoutError(f"the script had not ended after {timeout} seconds")
    return process.exitcode
