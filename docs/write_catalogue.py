"""Write docs/catalogue.md and the README's table of families from what the recipes say of themselves: ``make catalogue``."""

from __future__ import annotations

import re
from pathlib import Path

from pyrovae.cli.listing import as_markdown, family_rows

ROOT = Path(__file__).parent.parent
TABLE = re.compile(r"(?<=\| family \| pairs \| names \|\n\|---\|---\|---\|\n)(?:\|.*\n)*")


def with_families(readme: str) -> str:
    """The README with its table of families as it should be."""
    return TABLE.sub(lambda _: "".join(f"{row}\n" for row in family_rows()), readme)


if __name__ == "__main__":
    (ROOT / "docs" / "catalogue.md").write_text(as_markdown(), encoding="utf-8")
    readme = ROOT / "README.md"
    readme.write_text(with_families(readme.read_text(encoding="utf-8")), encoding="utf-8")
