#!/bin/sh
# Makes a busybox OCI bundle that runc and crun run anywhere: as root without
# CAP_SYS_RESOURCE (hence no rlimits, no oomScoreAdj), with cgroups of v1, v2
# or both, without a network, a terminal or seccomp.
#
# usage: bundle.sh [-r ROOTFS] DIR CGROUP ARG...
#
#   DIR     gets config.json; made if it is not there
#   CGROUP  the container's cgroup, as cgroupsPath has it: /name/of/it
#   ARG...  the payload's argv; in PATH: sh sleep true false echo cat kill
#   ROOTFS  the root file system, shared by several bundles; DIR/rootfs if not
#           given; filled if it holds no busybox

set -eu

fail() {
	echo "bundle.sh: $*" >&2
	exit 1
}

usage() {
	echo 'usage: bundle.sh [-r ROOTFS] DIR CGROUP ARG...' >&2
	exit 2
}

# One JSON string. (The final dot keeps newlines at the end.)
json() {
	printf '%s.' "$1" | sed -e ':a' -e '$!{N;ba' -e '}' -e 's/\.$//' \
		-e 's/[\\"]/\\&/g' -e 's/\t/\\t/g' -e 's/\r/\\r/g' -e 's/\n/\\n/g' \
		-e 's/\x1b/\\u001b/g' -e 's/.*/"&"/'
}

# busybox with its applets; with its libraries too, should it not be static.
fill() {
	busybox=$(command -v busybox) || fail 'needs busybox: install busybox-static'
	# Its own shell knows itself by name alone.
	[ -e "$busybox" ] || busybox=/bin/busybox
	mkdir -p "$1/bin" "$1/dev" "$1/proc" "$1/tmp"
	for lib in $(ldd "$busybox" 2>/dev/null | grep -o '/[^ ]*'); do
		mkdir -p "$1${lib%/*}"
		cp -L "$lib" "$1$lib"
	done
	for applet in sh sleep true false echo cat kill; do
		ln -sf busybox "$1/bin/$applet"
	done
	cp -L "$busybox" "$1/bin/busybox.new"
	mv "$1/bin/busybox.new" "$1/bin/busybox"
}

rootfs=
while getopts r: opt; do
	case $opt in
	r) rootfs=$OPTARG ;;
	*) usage ;;
	esac
done
shift $((OPTIND - 1))
[ $# -ge 3 ] || usage
dir=$1 cgroup=$2
shift 2

mkdir -p "$dir"
rootfs=${rootfs:-$dir/rootfs}
[ -x "$rootfs/bin/busybox" ] || fill "$rootfs"
rootfs=$(cd "$rootfs" && pwd)

args=
for arg; do
	args="$args${args:+, }$(json "$arg")"
done

cat >"$dir/config.json" <<EOF
{
  "ociVersion": "1.0.0",
  "process": {
    "terminal": false,
    "user": { "uid": 0, "gid": 0 },
    "cwd": "/",
    "env": ["PATH=/bin", "HOME=/"],
    "args": [$args],
    "noNewPrivileges": true
  },
  "root": { "path": $(json "$rootfs"), "readonly": true },
  "hostname": "execlat",
  "mounts": [
    { "destination": "/proc", "type": "proc", "source": "proc" },
    {
      "destination": "/dev",
      "type": "tmpfs",
      "source": "tmpfs",
      "options": ["nosuid", "strictatime", "mode=755", "size=64k"]
    }
  ],
  "linux": {
    "cgroupsPath": $(json "$cgroup"),
    "namespaces": [
      { "type": "pid" },
      { "type": "mount" },
      { "type": "ipc" },
      { "type": "uts" },
      { "type": "network" }
    ]
  }
}
EOF
