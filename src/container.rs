//! Which container a process belongs to, told by the name of its cgroup alone, so
//! that it can still be told when container and cgroup are gone.
//!
//! Names that any service or session could have tell nothing here: a container that
//! is missed costs a column, one that is invented misleads.

use std::borrow::Cow;

/// What a cgroup's path says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Place<'a> {
    /// The innermost container's id or name. A monitor's cgroup (conmon's, LXC's,
    /// nspawn's supervisor) is not the container.
    pub container: Option<Cow<'a, str>>,
    /// The path up to that container's own cgroup, with it.
    pub cgroup: &'a [u8],
    /// The Kubernetes pod's uid, with dashes, or the id of podman's pod.
    pub pod: Option<Cow<'a, str>>,
    /// Whose naming it is: `docker`, `containerd`, `cri-o`, `podman`, `garden`, `lxc`,
    /// `nspawn`, `libvirt`, `buildkit`, or the runtime that chose the name itself.
    /// None where several name theirs alike.
    pub engine: Option<&'static str>,
}

/// Reads a path as `/proc/PID/cgroup` shows it, or its last components only.
pub fn place(path: &[u8]) -> Place<'_> {
    let mut rest = path.strip_suffix(b" (deleted)").unwrap_or(path);
    let mut place = Place::default();
    let mut inside = "";
    loop {
        let (above, name) = split_last(rest);
        // No engine gives a name that is not UTF-8.
        let name = str::from_utf8(name).unwrap_or("");
        if !matches!(name, "" | ".." | ".") {
            if place.container.is_none()
                && let Some((container, engine)) = container(above, name, inside)
            {
                place.container = Some(container);
                place.cgroup = rest;
                place.engine = engine;
            }
            if place.pod.is_none() {
                place.pod = pod(name);
            }
            inside = name;
        }
        if above.is_empty() || (place.container.is_some() && place.pod.is_some()) {
            return place;
        }
        rest = above;
    }
}

type Found<'a> = (Cow<'a, str>, Option<&'static str>);

/// Engines that name a scope, or a cgroup of their own, after a hexadecimal id.
const BY_ID: &[(&str, &str)] = &[
    ("docker-", "docker"),
    ("cri-containerd-", "containerd"),
    ("nerdctl-", "containerd"),
    ("crio-", "cri-o"),
    // With `--cgroups=split`, as Quadlet has it.
    ("libpod-payload-", "podman"),
    ("libpod-", "podman"),
];

/// Runtimes that name a scope after any container's name, where the caller chose none.
const BY_NAME: &[&str] = &["runc", "crun", "youki", "runsc"];

/// The container that the cgroup `name` stands for: below `above`, with `inside` below it.
fn container<'a>(above: &[u8], name: &'a str, inside: &str) -> Option<Found<'a>> {
    let borrowed = |id: &'a str, engine| Some((Cow::Borrowed(id), engine));
    if is_hex(name, 64) {
        return borrowed(name, owner_of_ids(split_last(above).1));
    }
    if let Some(lxc) = name.strip_prefix("lxc.payload.") {
        return (!lxc.is_empty()).then_some((Cow::Borrowed(lxc), Some("lxc")));
    }
    if let Some((slice_and_prefix, id)) = name.rsplit_once(':') {
        // `slice:prefix:id`, meant for systemd, as a runtime without it takes it.
        let (slice, prefix) = slice_and_prefix.rsplit_once(':')?;
        let named = |(known, _): &&(&str, &str)| known.strip_suffix('-') == Some(prefix);
        let (_, engine) = BY_ID.iter().find(named)?;
        return (slice.ends_with(".slice") && is_id(id)).then(|| (id.into(), Some(*engine)));
    }
    let scope = name.strip_suffix(".scope");
    for (prefix, engine) in BY_ID {
        match scope.unwrap_or(name).strip_prefix(prefix) {
            Some(id) if is_id(id) => return borrowed(id, Some(engine)),
            Some(id) if is_build(id) && *engine == "docker" => {
                return borrowed(id, Some("buildkit"));
            }
            _ => {}
        }
    }
    if let Some(scope) = scope {
        return of_scope(scope, inside);
    }
    if let Some(unit) = name.strip_suffix(".service") {
        let machine = unit.strip_prefix("systemd-nspawn@")?;
        return machine_of(machine, "nspawn", inside);
    }
    below_directory(above, name)
}

/// A scope that is named after no id.
fn of_scope<'a>(scope: &'a str, inside: &str) -> Option<Found<'a>> {
    for runtime in BY_NAME {
        let id = scope
            .strip_prefix(runtime)
            .and_then(|rest| rest.strip_prefix('-'));
        if let Some(id) = id.filter(|id| !id.is_empty()) {
            return Some((Cow::Borrowed(id), Some(runtime)));
        }
    }
    let machine = scope.strip_prefix("machine-")?;
    if machine.starts_with("qemu\\x2d") || machine.starts_with("qemu-") {
        return None;
    }
    let libvirt = machine.starts_with("lxc\\x2d");
    machine_of(machine, if libvirt { "libvirt" } else { "nspawn" }, inside)
}

fn machine_of<'a>(name: &'a str, engine: &'static str, inside: &str) -> Option<Found<'a>> {
    let in_container = !name.is_empty() && inside != "supervisor";
    in_container.then(|| (unescaped(name), Some(engine)))
}

/// A container with any name, told by the directory that it is in.
fn below_directory<'a>(above: &[u8], name: &'a str) -> Option<Found<'a>> {
    let (before, parent) = split_last(above);
    let engine = match parent {
        b"lxc" | b"lxc.payload" if name != "ns" => Some("lxc"),
        // Garden's, for those within and beyond their share of CPU.
        b"good" | b"bad" if is_garden(split_last(before).1) => Some("garden"),
        parent if is_garden(parent) && name != "good" && name != "bad" => Some("garden"),
        b"buildkit" if is_build(name) => Some("buildkit"),
        // `ctr` and nerdctl: a namespace, then any name.
        b"default" | b"k8s.io" if before.is_empty() => Some("containerd"),
        _ if is_fargate(name) => None,
        _ => return None,
    };
    (!name.ends_with(".slice")).then_some((Cow::Borrowed(name), engine))
}

/// Whose plain ids a directory holds; `kubepods` holds those of several.
fn owner_of_ids(directory: &[u8]) -> Option<&'static str> {
    match directory {
        b"docker" => Some("docker"),
        b"default" | b"k8s.io" => Some("containerd"),
        directory if is_garden(directory) => Some("garden"),
        _ => None,
    }
}

/// `garden`, or `garden-TAG` where several share a host.
fn is_garden(name: &[u8]) -> bool {
    match name.strip_prefix(b"garden") {
        Some(tag) => tag.is_empty() || (tag.starts_with(b"-") && !tag.contains(&b'.')),
        None => false,
    }
}

/// The pod that a cgroup stands for.
fn pod(name: &str) -> Option<Cow<'_, str>> {
    // The slice's part of `slice:prefix:id`.
    let name = name.split(':').next().unwrap_or(name);
    let name = name.strip_suffix(".slice").unwrap_or(name);
    if let Some((before, id)) = name.split_once("libpod_pod_") {
        let whole = before.is_empty() || before.ends_with('-');
        return (whole && is_id(id)).then_some(Cow::Borrowed(id));
    }
    let (before, uid) = name.rsplit_once("pod")?;
    if !(before.is_empty() || before.ends_with('-')) || !is_uid(uid) {
        return None;
    }
    Some(if uid.contains('_') {
        Cow::Owned(uid.replace('_', "-"))
    } else {
        Cow::Borrowed(uid)
    })
}

/// A UUID, its dashes perhaps escaped as '_' for systemd, or the hash that stands for
/// it in a static pod.
fn is_uid(uid: &str) -> bool {
    if uid.len() == 36 {
        return uid.bytes().enumerate().all(|(at, b)| match at {
            8 | 13 | 18 | 23 => b == b'-' || b == b'_',
            _ => b.is_ascii_hexdigit(),
        });
    }
    is_hex(uid, 32)
}

/// An engine's id, or what is left of it where somebody shortened it.
fn is_id(id: &str) -> bool {
    (12..=64).contains(&id.len()) && is_hex(id, id.len())
}

fn is_hex(text: &str, length: usize) -> bool {
    let is_digit = |b| matches!(b, b'0'..=b'9' | b'a'..=b'f');
    text.len() == length && text.bytes().all(is_digit)
}

/// BuildKit's random ids.
fn is_build(id: &str) -> bool {
    let is_digit = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    id.len() == 25 && id.bytes().all(is_digit)
}

/// The task's id, then a number.
fn is_fargate(name: &str) -> bool {
    let is_number = |n: &str| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit());
    name.split_once('-')
        .is_some_and(|(task, number)| is_hex(task, 32) && is_number(number))
}

/// What stands before the last '/', and after it.
fn split_last(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&b| b == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (&[], path),
    }
}

/// A unit's name without systemd's `\x2d`.
fn unescaped(name: &str) -> Cow<'_, str> {
    if !name.contains("\\x") {
        return Cow::Borrowed(name);
    }
    let mut parts = name.split("\\x");
    let mut text = parts.next().unwrap_or("").to_owned();
    for part in parts {
        let hex = part.get(..2).unwrap_or("");
        if let Some(byte) = u8::from_str_radix(hex, 16).ok().filter(u8::is_ascii) {
            text.push(char::from(byte));
            text.push_str(&part[2..]);
        } else {
            text.push_str("\\x");
            text.push_str(part);
        }
    }
    Cow::Owned(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "4f797c539e6c745de61a93ca3ff892358ecbcaccd8414d5db545c38428142970";
    const UID: &str = "72f7f152-440c-66ac-9084-e0fc1d8a910c";
    const KNOWN: [(&str, &str); 5] = [
        (
            "OTHER",
            "9ec39b91f3d70e1beff50a308f77067065ea6be0d91a3378375056cd4422cf3d",
        ),
        ("HASH", "0123456789abcdef0123456789abcdef"),
        ("BUILD", "x7f2kq0l3n5p8r1t4v6y9z2ab"),
        ("UID", UID),
        ("ID", ID),
    ];

    /// A path, then engine, container and pod. The words stand for the constants, UID_
    /// for UID as systemd wants it.
    const CONTAINERS: &str = r"
# Docker
/docker/ID -> docker ID -
/system.slice/docker-ID.scope -> docker ID -
docker-ID.scope -> docker ID -
/docker/ID/system.slice/ssh.service -> docker ID -
/user.slice/user-1000.slice/user@1000.service/user.slice/docker-ID.scope/init -> docker ID -
/system.slice/docker-ID.scope (deleted) -> docker ID -
system.slice:docker:ID -> docker ID -
/ID -> - ID -
/../../ID -> - ID -
/ecs/0f2a/ID -> - ID -
/ecs/HASH/HASH-1234567890 -> - HASH-1234567890 -
# Kubernetes: cgroupfs, systemd, a static pod, names for systemd without it, kind, dind
/kubepods/podUID/ID -> - ID UID
/kubepods/burstable/podUID_/ID -> - ID UID
/kubepods/burstable/podUID/crio-ID -> cri-o ID UID
/../../../burstable/podUID/ID -> - ID UID
/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podUID_.slice/cri-containerd-ID.scope -> containerd ID UID
/kubepods.slice/kubepods-podUID_.slice/crio-ID.scope/container -> cri-o ID UID
/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-podUID_.slice/docker-ID.scope -> docker ID UID
/kubepods/burstable/podHASH/ID -> - ID HASH
/kubepods-besteffort-podUID_.slice:cri-containerd:ID -> containerd ID UID
/system.slice/containerd.service/kubepods-burstable-podUID_.slice:cri-containerd:ID -> containerd ID UID
/docker/OTHER/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-podUID_.slice/cri-containerd-ID.scope -> containerd ID UID
/docker/OTHER/kubepods/besteffort/podUID/ID -> - ID UID
/kubepods/podUID/OTHER/docker/ID -> docker ID UID
/kubepods/burstable/podUID -> - - UID
/kubepods.slice/kubepods-podUID_.slice/crio-conmon-ID.scope -> - - UID
# podman; conmon is not the container
/machine.slice/libpod-ID.scope -> podman ID -
/machine.slice/libpod-ID.scope/container -> podman ID -
/libpod_parent/libpod-ID -> podman ID -
/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-ID.scope/container -> podman ID -
/system.slice/web.service/libpod-payload-ID -> podman ID -
/machine.slice/machine-libpod_pod_OTHER.slice/libpod-ID.scope/container -> podman ID OTHER
/libpod_parent/libpod_pod_OTHER/libpod-ID -> podman ID OTHER
/docker/OTHER/libpod_parent/libpod-conmon-ID -> docker OTHER -
# Garden
/garden/d7d1c1f0-6d5e-4c2a-7c1b-9a3f -> garden d7d1c1f0-6d5e-4c2a-7c1b-9a3f -
/garden/bad/some-handle -> garden some-handle -
/garden-2/good/some-handle/init -> garden some-handle -
/system.slice/garden.service/garden/h -> garden h -
/docker/OTHER/garden/h/x/y -> garden h -
/docker/OTHER/garden/good -> docker OTHER -
# containerd itself
/default/redis -> containerd redis -
/default/redis/sub -> containerd redis -
/default/ID -> containerd ID -
/k8s.io/ID -> containerd ID -
/system.slice/nerdctl-ID.scope -> containerd ID -
# others
/lxc.payload.web -> lxc web -
/lxc.payload.snapcraft_a-b/system.slice/ssh.service -> lxc snapcraft_a-b -
/lxc.payload/web -> lxc web -
/lxc/101/ns/init.scope -> lxc 101 -
/machine.slice/machine-my\x2dbox.scope/payload/init.scope -> nspawn my-box -
/machine.slice/systemd-nspawn@box.service/payload/system.slice -> nspawn box -
/machine.slice/machine-lxc\x2d77\x2dvm.scope -> libvirt lxc-77-vm -
/buildkit/BUILD -> buildkit BUILD -
/docker/buildkit/BUILD -> buildkit BUILD -
/system.slice/docker-BUILD.scope -> buildkit BUILD -
/system.slice/runc-mycontainer.scope -> runc mycontainer -
/user.slice/crun-c1.scope -> crun c1 -
";

    const ORDINARY: &str = r"
/machine.slice/libpod-conmon-ID.scope /libpod_parent/libpod-conmon-ID /libpod_parent/conmon
/system.slice/web.service/supervisor /garden /garden/bad /system.slice/garden.service
/garden.slice/garden-web.slice/x.service /default /user.slice/default/redis /lxc.monitor.web
/lxc.monitor/101 /lxc.pivot /machine.slice/systemd-nspawn@box.service/supervisor
/machine.slice/machine-qemu\x2d1\x2dvm.scope/vcpu0 / // /.. /init.scope
/user.slice/user-1000.slice/session-2.scope
/user.slice/user-1000.slice/user@1000.service/app.slice/app-org.gnome.Terminal.slice/vte-spawn-d7d1c1f0-6d5e-4c2a-7c1b-9a3fd7d1c1f0.scope
/user.slice/user-0.slice/user@0.service/init.scope /system.slice/ssh.service
/system.slice/docker.service /system.slice/containerd.service /system.slice/crio.service
/system.slice/lxc.service /system.slice/buildkit.service /system.slice/snap.docker.dockerd.service
/system.slice/system-getty.slice/getty@tty1.service /system.slice/run-rHASH.scope
/system.slice/ID-0123456789abcdef.service /system.slice/docker-.scope
/system.slice/docker-proxy.scope /system.slice/docker-cleanup.service /system.slice/runc-.scope
/system.slice/runc-x.service /system.slice/podman.service /system.slice/podman-1234.scope
/system.slice/machine-.scope /system.slice/dbus-:1.2-org.freedesktop.problems@0.service
/system.slice:docker:web /a:b /kubepods /kubepods.slice/kubepods-burstable.slice
/kubelet.slice/kubelet.service /podUID-x /tripod/pod/pods /machine.slice /lxc /lxc/ns /docker
/docker/web /docker/buildkit /buildkit/web
";

    fn check(path: &str, expected: &str) {
        let path = path.replace("UID_", &UID.replace('-', "_"));
        let path = KNOWN
            .iter()
            .fold(path, |path, (word, id)| path.replace(word, id));
        let found = place(path.as_bytes());
        let text = |value: Option<Cow<'_, str>>| {
            let text = value.as_deref().unwrap_or("-").to_owned();
            KNOWN
                .iter()
                .fold(text, |text, (word, id)| text.replace(id, word))
        };
        let (container, pod) = (text(found.container), text(found.pod));
        let shown = format!("{} {container} {pod}", found.engine.unwrap_or("-"));
        assert_eq!(shown, expected, "{path}");
    }

    #[test]
    fn containers() {
        for (path, expected) in CONTAINERS
            .lines()
            .filter_map(|line| line.split_once(" -> "))
        {
            check(path, expected);
        }
    }

    #[test]
    fn ordinary_cgroups_are_no_containers() {
        for path in ORDINARY.split_whitespace().chain([""]) {
            check(path, "- - -");
        }
    }

    #[test]
    fn hostile_names() {
        assert_eq!(place(b"/\xff\xfe/\xff"), Place::default());
        let in_docker = [b"/docker/", ID.as_bytes(), b"/\xff\xfe"].concat();
        assert_eq!(place(&in_docker).container.as_deref(), Some(ID));
        let deep = "/a".repeat(100_000);
        assert_eq!(place(deep.as_bytes()), Place::default());
        for escape in [
            "\\", "\\x", "\\x2", "\\xzz", "\\x+1", "\\x2d\\", "ü\\x", "\\xff",
        ] {
            let path = format!("/machine.slice/machine-{escape}.scope");
            assert!(place(path.as_bytes()).container.is_some(), "{path}");
        }
        assert_eq!(unescaped("a\\x2db\\x5cc\\xgg"), "a-b\\c\\xgg");
    }
}
