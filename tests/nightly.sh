#!/usr/bin/env bash
# What takes too long for tests/run.sh: bash tests/nightly.sh [pytest's options].

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. ./path.sh
export OMP_NUM_THREADS=1

python3 -m pytest -m nightly -n 2 --dist worksteal "$@"
