#!/usr/bin/env bash
# All checks: bash tests/run.sh [pytest's options]. Builds the environment where there is none.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. ./path.sh
export OMP_NUM_THREADS=1

ruff check .
PYTHONPATH=. lint-imports
python3 -m pytest -n 2 --dist worksteal "$@"
