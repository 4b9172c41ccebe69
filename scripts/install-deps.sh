#!/usr/bin/env bash
# Installs what this repository needs and the machine lacks: Debian packages when run as root, else it says exactly what
# to install. `scripts/install-deps.sh build` leaves out what only the development Hadoop needs.
set -euo pipefail

# command:package
needs=(cc:gcc ld:binutils git:git)
hadoop_needs=(java:openjdk-17-jre-headless mvn:maven curl:curl flock:util-linux setsid:util-linux grep:grep awk:mawk)
if [ "${1:-}" != build ]; then needs+=("${hadoop_needs[@]}"); fi

missing=()
for need in "${needs[@]}"; do
  if ! command -v "${need%%:*}" >/dev/null; then missing+=("${need#*:}"); fi
done

# RocksDB (feature `rocksdb`, which the quickstart does without) is C++, and its bindings are made with libclang.
if [ "${1:-}" != build ]; then
  if ! command -v c++ >/dev/null; then missing+=(g++); fi
  if ! compgen -G '/usr/lib/llvm-*/lib/libclang.so' >/dev/null; then missing+=(libclang-dev); fi
fi

# The C compiler is of no use without the C library's headers; some crates compile C.
if [ ! -e /usr/include/stdlib.h ]; then missing+=(libc6-dev); fi

if ((${#missing[@]})); then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    printf 'installing: %s\n' "${missing[*]}" >&2
    apt-get update -qq >/dev/null
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
  else
    printf 'missing; install them with:\n  sudo apt-get install %s\n' "${missing[*]}" >&2
    exit 1
  fi
fi

if ! command -v cargo >/dev/null && [ ! -x "$HOME/.cargo/bin/cargo" ]; then
  printf 'missing: Rust; install it with rustup (https://rustup.rs), or sudo apt-get install rustup\n' >&2
  exit 1
fi
