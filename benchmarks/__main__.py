"""``python -m benchmarks list | run NAME | table NAME``."""

import sys

from benchmarks.lab.door import main

if __name__ == "__main__":
    sys.exit(main())
