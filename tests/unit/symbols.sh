#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# The library exports what its header declares, nothing less and nothing more, and the header is
# good C++ as well: symbols.sh LIBRARY HEADER [CXX [CFLAGS...]]
set -eu
library=$1 header=$2
shift 2

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# A declaration begins in the first column, with a type; comments and typedefs do not.
sed -n 's/^[a-z].*[ *]\(xskd_[a-z_]*\)(.*/\1/p' "$header" | grep -v -x xskd_event_fn | sort \
	>"$work/declared"
nm -D --defined-only "$library" | sed -n 's/.* [A-Z] //p' | sed 's/@.*//' |
	grep -v -x 'XSKD_[0-9.]*' | sort >"$work/exported"
test -s "$work/declared"
diff -u "$work/declared" "$work/exported"

if [ $# -gt 0 ]; then
	cxx=$1
	shift
	cat >"$work/use.cc" <<-'END'
		#include <xskd.h>

		int main()
		{
			xskd_handoff_opts o = {};

			o.sz = sizeof(o);
			xskd *x = nullptr;
			xskd_handoff *h = nullptr;
			return xskd_open(nullptr, 1, &x) || xskd_hand_off(x, "eth0", &o, &h);
		}
	END
	"$cxx" -Wall -Wextra -Werror -c "$work/use.cc" -o "$work/use.o" \
		-I"$(dirname "$header")" "$@"
	# C linkage: else it would be a mangled name.
	nm "$work/use.o" | grep -q ' U xskd_hand_off$'
fi
