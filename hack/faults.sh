#!/usr/bin/env bash
# Runs the enumeration of faults, which is too long for every test run. Hides the audit lines of its operators.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

export FAULTS_SEED=${FAULTS_SEED:-$RANDOM}
cargo test --locked --test acceptance -- --ignored --nocapture faults:: | grep --line-buffered --invert-match '^{"time":'
