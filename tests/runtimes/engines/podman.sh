#!/bin/sh
# Containers by podman, with a store of its own.
#
# usage: podman.sh DIR ROOTFS RUNTIME CGROUP
#
#   DIR     an empty directory, for all of podman's state
#   CGROUP  /name of the cgroup below which the containers' are made
#
# DIR/told has what podman itself knows, a line each:
#   ran STATUS ID     a container ran in the foreground, and ended so
#   up PID ID         one goes on; its first process
#   exec STATUS ID    a program ran in it, and ended so
#   down 0 ID         it was killed and removed
# The containers are called first and second.

set -eu

dir=$1 rootfs=$2 runtime=$3 cgroup=$4

p() {
	podman --root "$dir/graph" --runroot "$dir/run" --tmpdir "$dir/tmp" --storage-driver vfs \
		--cgroup-manager cgroupfs --events-backend none --runtime "$runtime" "$@"
}

# Limits that podman raises by default, and devices that crun filters by BPF with
# RLIMIT_MEMLOCK raised, want CAP_SYS_RESOURCE, which a test may not have.
p_run() {
	p run --cgroup-parent "$cgroup/boxes" --network none --pids-limit 0 --privileged \
		--ulimit nofile=1024:1024 --ulimit nproc=1024:1024 "$@"
}

told() {
	echo "$*" >>"$dir/told"
}

tar -C "$rootfs" -c . | p import -q - local/box >"$dir/image"

status=0
p_run --rm --name first --cidfile "$dir/cid" local/box sh -c 'exit 7' || status=$?
told ran $status "$(cat "$dir/cid")"

id=$(p_run -d --name second local/box sleep 1009)
told up "$(p inspect -f '{{.State.Pid}}' "$id")" "$id"
status=0
p exec "$id" sh -c 'exit 3' || status=$?
told exec $status "$id"
p rm -f -t 0 "$id" >/dev/null
told down 0 "$id"
