"""``python -m tests.support.cloud.command MODULE ...``: a module as a process of its own, with the tests' stages."""

from __future__ import annotations

import runpy
import sys

from tests.support.cloud import product

if __name__ == "__main__":
    product.install()
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
