#!/bin/sh
# Containers by a containerd of its own, and its shims.
#
# usage: containerd.sh DIR ROOTFS RUNTIME CGROUP
#
#   DIR     an empty directory, for all of containerd's state
#   CGROUP  /name of the cgroup below which the containers' are made
#
# DIR/told has what containerd itself knows, as podman.sh says.

set -eu

dir=$1 rootfs=$2 runtime=$3 cgroup=$4

c() {
	ctr -a "$dir/sock" "$@"
}

c_run() {
	c run --runc-binary "$runtime" --runc-root "$dir/runc" --rootfs "$@"
}

told() {
	echo "$*" >>"$dir/told"
}

cat >"$dir/config.toml" <<X
version = 2
root = "$dir/root"
state = "$dir/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
address = "$dir/sock"
X
containerd -c "$dir/config.toml" -l error &
daemon=$!
trap 'kill $daemon; wait $daemon || true' EXIT

until_it_is() { # COMMAND...
	tries=0
	until "$@" >/dev/null 2>&1; do
		tries=$((tries + 1))
		[ $tries -lt 300 ] || exit 1
		sleep 0.1
	done
}
until_it_is c version

status=0
c_run --rm --cgroup "$cgroup/boxes/first" "$rootfs" first /bin/sh -c 'exit 7' || status=$?
told ran $status first

c_run -d --cgroup "$cgroup/boxes/second" "$rootfs" second /bin/sleep 1009
told up "$(c task ls | awk '$1 == "second" { print $2 }')" second
status=0
c task exec --exec-id third second /bin/sh -c 'exit 3' || status=$?
told exec $status second
c task kill -s KILL second
has_stopped() { c task ls | grep -q '^second .*STOPPED'; }
until_it_is has_stopped
c task delete second >/dev/null || true # with the task's status
c container delete second
told down 0 second
