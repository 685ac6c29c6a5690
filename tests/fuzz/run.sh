#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Runs each fuzzer for its share of the time, prints TAP, and fails on a finding. BUILD is a directory
# set up with CC=clang and -Dfuzzers=true -Db_lundef=false; corpora and findings stay in its fuzz/.
set -u

if [ $# -ne 2 ]; then
	echo "usage: $0 BUILD SECONDS" >&2
	exit 2
fi
build=$(cd "$1" && pwd) || exit 2
bin=$build/tests/fuzz
work=$build/fuzz
failed=0

# The finding is what matters of a long log.
show() {
	grep -E 'ERROR|SUMMARY|does not hold|runtime error|Test unit written|^ +#[0-9]+ ' "$1" |
		head -n 40 | sed 's/^/# /'
}

# run NUMBER NAME SHARE [OPTION...]
run() {
	number=$1 name=$2 seconds=$((total * $3 / 100))
	shift 3
	[ "$seconds" -gt 0 ] || seconds=1
	mkdir -p "$work/$name"
	if "$bin/fuzz_$name" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 \
		-print_final_stats=1 -artifact_prefix="$work/$name-" "$@" \
		"$work/$name" >"$work/$name.log" 2>&1; then
		result=ok
	else
		result='not ok'
		failed=1
	fi
	runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$work/$name.log")
	edges=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$work/$name.log" | tail -n 1)
	echo "$result $number - fuzz_$name: ${runs:-?} runs, ${edges:-?} edges"
	[ "$result" = ok ] || show "$work/$name.log"
}

total=$2
mkdir -p "$work/request" "$work/cni" || exit 2
"$bin/fuzz_seed" "$work/request" "$work/cni" || exit 2
echo 1..5
run 1 request 60 -max_len=8192
run 2 packet 10 -max_len=65600
run 3 config 10 -max_len=4096
run 4 state 10 -max_len=8192
# It warns of what it is given, line by line.
run 5 cni 10 -max_len=16384 -close_fd_mask=2
exit $failed
