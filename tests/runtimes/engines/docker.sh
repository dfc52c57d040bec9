#!/bin/sh
# Containers by a dockerd of its own, without networks.
#
# usage: docker.sh DIR ROOTFS RUNTIME CGROUP
#
#   DIR     an empty directory, for all of dockerd's state
#   CGROUP  /name of the cgroup below which the containers' are made
#
# DIR/told has what dockerd itself knows, as podman.sh says.

set -eu

dir=$1 rootfs=$2 runtime=$3 cgroup=$4

d() {
	docker -H "unix://$dir/sock" "$@"
}

d_run() {
	d run --cgroup-parent "$cgroup/boxes" --network none "$@"
}

told() {
	echo "$*" >>"$dir/told"
}

dockerd -H "unix://$dir/sock" --data-root "$dir/root" --exec-root "$dir/exec" \
	--pidfile "$dir/pid" --storage-driver vfs --bridge none --iptables=false \
	--ip6tables=false --exec-opt native.cgroupdriver=cgroupfs \
	--add-runtime "ours=$runtime" --default-runtime ours -l error &
daemon=$!
trap 'kill $daemon; wait $daemon || true' EXIT
tries=0
until d version >/dev/null 2>&1; do
	tries=$((tries + 1))
	[ $tries -lt 300 ] || exit 1
	sleep 0.1
done

tar -C "$rootfs" -c . | d import - local/box >"$dir/image"

status=0
d_run --name first --cidfile "$dir/cid" local/box sh -c 'exit 7' || status=$?
told ran $status "$(cat "$dir/cid")"

id=$(d_run -d --name second local/box sleep 1009)
told up "$(d inspect -f '{{.State.Pid}}' "$id")" "$id"
status=0
d exec "$id" sh -c 'exit 3' || status=$?
told exec $status "$id"
d rm -f "$id" >/dev/null
told down 0 "$id"
