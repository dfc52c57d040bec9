#!/bin/sh
# Runs a command where /sys/fs/cgroup is a pure v2 tree, as crun wants it: in a
# mount namespace of its own, so that the host, hybrid or not, stays as it is.
#
# usage: pure-v2.sh COMMAND [ARG]...

set -eu

if [ $# -eq 0 ]; then
	echo 'usage: pure-v2.sh COMMAND [ARG]...' >&2
	exit 2
fi
# shellcheck disable=SC2016 # the inner shell's
exec unshare --mount --propagation private sh -c '
	[ -e /sys/fs/cgroup/cgroup.controllers ] ||
		mount -t cgroup2 none /sys/fs/cgroup || exit
	exec "$@"' pure-v2.sh "$@"
