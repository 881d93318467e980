"""What a figure was computed on."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

__all__ = ["machine", "processor"]


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
