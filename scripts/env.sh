# shellcheck shell=bash
# To be sourced: . scripts/env.sh
# A build directory that outlives checkouts, so that a fresh clone does not build everything again.
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$HOME/.cache/flott/target}
