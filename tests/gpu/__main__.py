"""Check a GPU and write what it takes to build/gpu.json and build/gpu.md: `make test-gpu`.

Exit code 0: all holds; 1: something does not; 2: there is no CUDA device, and nothing is proven.
"""

import argparse
import os
import sys
from pathlib import Path

import pytest
import torch

from tests.gpu.conftest import OUT, UNPROVEN
from tests.gpu.device import REHEARSAL


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--rehearse",
        choices=("right", "wrong"),
        help="let the CPU stand in for the device, answering right or wrong; proves nothing of it",
    )
    parser.add_argument("--out", default="build/gpu", help="files to write, without endings")
    args, of_pytest = parser.parse_known_args()
    if args.rehearse:
        os.environ[REHEARSAL] = args.rehearse
    elif not torch.cuda.is_available():
        print(f"{UNPROVEN} (torch {torch.__version__})", file=sys.stderr)
        return 2
    os.environ[OUT] = args.out
    # Warnings are errors in other tests; here they would be of drivers that we do not know.
    options = ["-m", "gpu", "-W", "default", "-p", "no:xdist", "-p", "no:cacheprovider"]
    return int(pytest.main([*options, *of_pytest, str(Path(__file__).parent)]) != 0)


if __name__ == "__main__":
    raise SystemExit(main())
