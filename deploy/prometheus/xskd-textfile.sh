#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Writes xskd.prom for node_exporter's textfile collector; as root, once a minute say.
#
#   xskd-textfile.sh DIRECTORY [SOCKET]
#
# When the daemon does not answer, the file goes: old numbers would look like good ones.
set -eu
dir=${1:?usage: xskd-textfile.sh DIRECTORY [SOCKET]}
socket=${2:-/run/xskd/admin/metrics.sock}
new=$(mktemp "$dir/.xskd.XXXXXX")
trap 'rm -f "$new" "$new.all"' EXIT

if ! curl --silent --show-error --fail --max-time 10 --unix-socket "$socket" \
    http://xskd/metrics >"$new.all"; then
    rm -f "$dir/xskd.prom"
    exit 1
fi
# process_* would clash with node_exporter's own.
sed -e 's/\bprocess_start_time_seconds\b/xskd_start_time_seconds/' \
    -e '/^process_/d' -e '/^# [A-Z]* process_/d' "$new.all" >"$new"
chmod 0644 "$new"
mv "$new" "$dir/xskd.prom"
