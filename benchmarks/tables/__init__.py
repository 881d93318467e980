"""The tables, by name."""

from benchmarks.cells import Table
from benchmarks.tables.flows import FLOWS
from benchmarks.tables.iwae import IWAE
from benchmarks.tables.iwae_swap import IWAE_SWAP
from benchmarks.tables.rainforth import RAINFORTH
from benchmarks.tables.vampprior import VAMPPRIOR

__all__ = ["TABLES"]

TABLES: dict[str, Table] = {table.name: table for table in (IWAE, IWAE_SWAP, RAINFORTH, VAMPPRIOR, FLOWS)}
