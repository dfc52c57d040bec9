#!/usr/bin/env bash
# Installs what the build, the demo, the tests or the benchmarks need of the
# system, on Debian and Ubuntu; elsewhere it names the packages and stops.
# Silent and quick when nothing is missing.
#
# usage: deps.sh [-n] SET...
#
#   SET  build | run | test | kernels | engines | docker | lint | bench
#   -n   install nothing: name what is missing, and exit with 1 if anything is

set -euo pipefail

PATH=$PATH:/usr/sbin:/sbin

# set  what shows that it is there  Debian, Ubuntu  Fedora  Arch
# Shown by: a command, a pkg-config module, a file; or (-) by the Debian package
# alone.
table='
build    clang               clang            clang                  clang
build    gcc                 gcc              gcc                    gcc
build    /usr/include/stdio.h libc6-dev       glibc-devel            glibc
build    make                make             make                   make
build    pkg-config          pkg-config       pkgconf-pkg-config     pkgconf
build    pc:libelf           libelf-dev       elfutils-libelf-devel  libelf
build    pc:zlib             zlib1g-dev       zlib-devel             zlib
run      runc                runc             runc                   runc
run      busybox             busybox-static   busybox                busybox
test     crun                crun             crun                   crun
test     patchelf            patchelf         patchelf               patchelf
kernels  busybox             busybox-static   busybox                busybox
kernels  cpio                cpio             cpio                   cpio
engines  podman              podman           podman                 podman
engines  ctr                 containerd       containerd             containerd
docker   dockerd             docker.io        docker                 docker
lint     clang-format        clang-format     clang-tools-extra      clang
lint     shellcheck          shellcheck       ShellCheck             shellcheck
lint     groff               groff-base       groff-base             groff
bench    -                   libbpf-tools     libbpf-tools           libbpf-tools
bench    bpftrace            bpftrace         bpftrace               bpftrace
bench    bpftool             bpftool          bpftool                bpf
'

say() { echo "deps: $*" >&2; }

usage() {
	echo 'usage: deps.sh [-n] build|run|test|kernels|engines|docker|lint|bench...' >&2
	exit 2
}

is_there() { # PROOF PACKAGE
	case $1 in
	-) ;;
	/*) [ -e "$1" ] && return ;;
	pc:*) pkg-config --exists "${1#pc:}" 2>/dev/null && return ;;
	*) command -v "$1" >/dev/null && return ;;
	esac
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$2" 2>/dev/null)" = installed ]
}

install=yes
if [ "${1:-}" = -n ]; then
	install=
	shift
fi
[ $# -gt 0 ] || usage
sets=' '
for arg; do
	case $arg in
	build | kernels | engines | docker | lint) sets+="$arg " ;;
	run) sets+='build run ' ;;
	test) sets+='build run test engines ' ;;
	bench) sets+='build bench ' ;;
	*) usage ;;
	esac
done

debian=() fedora=() arch=()
while read -r set proof deb rpm pac; do
	[[ $sets = *" $set "* && " ${debian[*]} " != *" $deb "* ]] || continue
	is_there "$proof" "$deb" && continue
	debian+=("$deb") fedora+=("$rpm") arch+=("$pac")
done <<<"$table"
[ ${#debian[@]} -gt 0 ] || exit 0

# shellcheck source=/dev/null
. /etc/os-release 2>/dev/null || true
case " ${ID:-} ${ID_LIKE:-} " in
*' debian '*) missing=("${debian[@]}") ;;
*' fedora '*) missing=("${fedora[@]}") install= ;;
*' arch '*) missing=("${arch[@]}") install= ;;
*)
	missing=("${debian[@]}") install=
	say 'the names that follow are those of Debian'
	;;
esac
if [ -z "$install" ]; then
	say "missing, to be installed: ${missing[*]}"
	exit 1
fi

as_root=(env)
if [ "$(id -u)" -ne 0 ]; then
	if ! command -v sudo >/dev/null; then
		say "missing, to be installed as root: ${missing[*]}"
		exit 1
	fi
	as_root=(sudo env)
fi
as_root+=(DEBIAN_FRONTEND=noninteractive)
say "installing ${missing[*]}"
# A foreign source that does not answer must not stop us: what matters is
# whether the packages can be had.
"${as_root[@]}" apt-get -qq update >&2 || say 'apt-get update failed in part; going on'
if ! "${as_root[@]}" apt-get -qq -y install --no-install-recommends --no-remove \
	-o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 "${missing[@]}" >&2 </dev/null; then
	say "could not install ${missing[*]}"
	exit 1
fi
