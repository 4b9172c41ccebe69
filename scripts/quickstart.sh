#!/usr/bin/env bash
# From a clean checkout to a result: builds Flott and counts the words of Jane Austen's novels on an embedded cluster.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export PATH="$PATH:$HOME/.cargo/bin"
began=$SECONDS

scripts/install-deps.sh build
# shellcheck source=env.sh
. scripts/env.sh
input=$PWD/examples/data/jane-austen.txt
output=${1:-$(mktemp -d "${TMPDIR:-/tmp}/flott-quickstart.XXXXXX")/wordcount}
programs=$CARGO_TARGET_DIR/release

printf 'Building Flott; the first time takes a few minutes.\n'
cargo build --release --locked --package flott-client --package wordcount
built=$((SECONDS - began))

printf '\n$ flott run -t local wordcount --input %s --output %s\n' examples/data/jane-austen.txt "$output"
mkdir -p "$(dirname "$output")"
"$programs/flott" run -t local "$programs/wordcount" --input "$input" --output "$output" | tee "$output.log"
milliseconds=$(sed -n 's/^Job Runtime: \([0-9]*\) ms$/\1/p' "$output.log")
rm "$output.log"

# Every update of a word is a line `word count`; its largest count is the result. Names with . or _ are not finished files.
result=$output.counts
find "$output" -type f ! -name '[._]*' -exec cat {} + |
  awk '$2 > most[$1] { most[$1] = $2 } END { for (word in most) print most[word], word }' |
  sort -k1,1nr -k2,2 >"$result"

lines=$(wc -l <"$input")
words=$(awk '{ sum += $1 } END { print sum }' "$result")
printf '\nThe ten most frequent of %d words:\n' "$(wc -l <"$result")"
head -n 10 "$result" | awk '{ printf "  %7d  %s\n", $1, $2 }'
printf '\n%d lines and %d words in %d ms: %d records/s\n' \
  "$lines" "$words" "$milliseconds" $(((lines + words) * 1000 / (milliseconds > 0 ? milliseconds : 1)))
printf 'Result:        %s\nEvery update:  %s\nBuilding took %d s.\n' "$result" "$output" "$built"
