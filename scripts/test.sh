#!/usr/bin/env bash
# All tests of the repository, the integration tests on a real Hadoop of their own included. With --full also what takes
# long: ten times the simulation seeds, random pipelines by the hundred, RocksDB, and the repetitions of the integration tests.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export PATH="$PATH:$HOME/.cargo/bin"

case ${1:-} in
  '') ;;
  --full) export FLOTT_TEST_FULL=1 FLOTT_SIMULATION_SEEDS=10000 FLOTT_TEST_CASES=400 ;;
  *) printf 'usage: scripts/test.sh [--full]\n' >&2; exit 2 ;;
esac

scripts/install-deps.sh
# shellcheck source=env.sh
. scripts/env.sh

hadoop=$(mktemp -d "${TMPDIR:-/tmp}/flott-test.XXXXXX")
budget=()

clean_up() {
  scripts/dev-hadoop.sh clean --dir "$hadoop" || true
  rm -rf "$hadoop"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

print_budget() {
  local entry
  printf '\nseconds by suite:\n'
  for entry in "${budget[@]}"; do printf '  %6d  %s\n' "${entry%%:*}" "${entry#*:}"; done
}

suite() { # NAME COMMAND…
  local name=$1 began=$SECONDS
  shift
  printf '\n==== %s\n' "$name"
  if "$@"; then
    budget+=("$((SECONDS - began)):$name")
  else
    budget+=("$((SECONDS - began)):$name, FAILED")
    print_budget
    exit 1
  fi
}

integration() {
  FLOTT_TEST_HADOOP=$hadoop FLOTT_DIST=$PWD/target/dist cargo test --package flott-integration-tests --release --no-fail-fast
}

# In the profile of the distribution: the library is compiled once, in half an hour. In debug builds a map stands for it.
rocksdb() {
  cargo test --release --package flott-state --features flott-state/rocksdb --lib cold &&
    cargo test --release --package flott --features flott/rocksdb --test checkpoints --test larger_than_memory
}

documentation() { RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps; }

suite format cargo fmt --all --check
suite clippy cargo clippy --workspace --all-targets -- -D warnings
suite 'unit tests' cargo test --workspace --exclude flott-integration-tests
suite documentation documentation
suite tidy cargo xtask tidy
suite distribution cargo xtask dist
if [ "${FLOTT_TEST_FULL:-}" = 1 ]; then suite rocksdb rocksdb; fi
suite 'start of Hadoop' scripts/dev-hadoop.sh start --dir "$hadoop"
suite 'integration tests' integration
print_budget
