# SPDX-License-Identifier: MIT
#
# How tools read sources.lock. Sourced, with the root of the tree as working directory.

lock_names() {
	awk '/^[^#[:space:]]/ { print $1 }' tools/sources.lock
}

# Sets name, version, licence, patches, tarball and sha256; false when there is no such entry.
lock_entry() { # NAME
	# shellcheck disable=SC2034
	read -r name version licence patches tarball sha256 < <(
		awk -v want="$1" '$1 == want { printf "%s ", $0; getline; print $1 }' tools/sources.lock
	) && [[ ${#sha256} -eq 64 ]]
}

sha256_is() { # FILE SUM
	[[ -f $1 ]] && echo "$2  $1" | sha256sum --check --status
}
