"""What a figure was computed on, and how much memory it took."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.lab import worker

__all__ = ["forget_peak", "machine", "peak_mib", "place", "processor"]


def processor() -> str:
    """The processor's name."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor())


def machine(device: str = "cpu") -> dict[str, Any]:
    """Processor, cores, memory, system, and the GPU where it is used."""
    import torch

    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    gpu = {} if device == "cpu" else {"gpu": torch.cuda.get_device_name(device)}
    return {"processor": processor(), "cores": os.cpu_count(), "memory_gib": round(memory), "system": platform.system(), **gpu}


def place() -> str:
    """Processor, threads and versions in a line."""
    import torch

    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "pyro-ppl", "numpy"))
    threads = f"threads: {torch.get_num_threads()}"
    return f"{processor()}, {os.cpu_count()} cores; {threads}; {versions}, python {platform.python_version()}"


def forget_peak(device: str = "cpu") -> None:
    """Let :func:`peak_mib` begin anew, where that can be."""
    import torch

    if device != "cpu":
        torch.cuda.reset_peak_memory_stats(device)
    elif os.access("/proc/self/clear_refs", os.W_OK):
        worker.forget_peak()


def peak_mib(device: str = "cpu") -> int | None:
    """The most memory since then: resident in this process, or allocated on the GPU; None where the system does not say."""
    import torch

    if device != "cpu":
        return torch.cuda.max_memory_allocated(device) // 2**20
    return worker.peak_mb() if Path("/proc/self/status").exists() else None
