//! Ordinary days of two hosts.

use super::{MS, SECOND, SIGKILL};
use crate::support_cli::story::{BEGAN_NS, Story, code, image};

const SIGTERM: u32 = 15;
const SIGSEGV_CORE: u32 = 11 | 0x80;

const GARDEN: u64 = 101;
const POD: u64 = 102;
const DOCKER: u64 = 103;
const USER: u64 = 104;
const DEEP: u64 = 105;

/// An ordinary day: runtimes, a build, containers, and what still runs at its end.
pub fn day() -> Vec<u8> {
    let mut s = Story::new();
    cgroups(&mut s);
    s.at(0)
        .running(977, &image("/usr/sbin/dockerd -H fd://").by(1, 0));
    s.running(
        1201,
        &image("nginx: worker process").within(DOCKER).by(1200, 33),
    );
    runtimes(&mut s);
    build(&mut s);
    s.at(61 * SECOND).round();
    let id = "4f797c539e6c745de61a93ca3ff892358ecbcaccd8414d5db545c38428142970";
    let state = format!("/usr/bin/crun --root=/run/crun state {id}");
    s.at(62 * SECOND).run(
        8301,
        &image(&state).within(POD).by(1100, 0),
        4 * MS + 7,
        code(0),
    );
    s.at(63 * SECOND).exit(1201, code(0));
    s.exec(8350, &image("sleep infinity").within(DOCKER).by(8349, 1000));
    s.at(64 * SECOND)
        .run(8360, &image("/bin/true").within(DEEP), 613, code(0));
    s.at(65 * SECOND).finish()
}

fn cgroups(s: &mut Story) {
    let id = "9ec39b91f3d70e1beff50a308f77067065ea6be0d91a3378375056cd4422cf3d";
    let pod = format!("/kubepods/besteffort/pod72f7f152-440c-66ac-9084-e0fc1d8a910c/{id}");
    s.cgroup(GARDEN, b"/garden/d7d1c1f0-6d5e-4c2a-7c1b-9a3f", false);
    s.named(id, "shop/web-7f/nginx");
    s.cgroup(POD, pod.as_bytes(), false);
    s.cgroup(DOCKER, format!("/docker/{id}").as_bytes(), false);
    s.cgroup(USER, b"/user.slice/user-1000.slice", false);
    s.cgroup(DEEP, b"/deep/deeper/deepest", true);
}

/// What Garden does with a container.
fn runtimes(s: &mut Story) {
    let runc = |rest: &str| {
        let line = format!("/var/gdn/assets/linux/bin/runc --root /run/runc --log /l {rest}");
        image(&line).within(GARDEN).by(2921, 0)
    };
    // It re-executes itself, from a memfd, with the same arguments.
    let create = runc("create --bundle /b web-1");
    s.at(SECOND).exec(8168, &create);
    s.at(SECOND + 11 * MS)
        .exec(8168, &create.clone().comm(b"6"));
    s.at(SECOND + 111_638).exit(8168, code(0));
    s.at(2 * SECOND)
        .run(8190, &runc("start web-1"), 19_991, code(0));
    s.at(3 * SECOND).exec(8244, &runc("events web-1"));
    for (i, (took, status)) in [(31, 0), (37, 1), (41, 0), (43, 255), (47, 0)]
        .into_iter()
        .enumerate()
    {
        let pid = 8250 + i as u32;
        s.at((4 + i as u64) * SECOND).run(
            pid,
            &runc("exec web-1 /bin/true"),
            took * MS + 3,
            code(status),
        );
    }
    s.at(53 * SECOND + 39_328).exit(8244, SIGKILL);
    s.at(54 * SECOND)
        .run(8290, &runc("delete --force web-1"), 23 * MS, code(0));
}

/// `make` by way of a shell; a compiler that crashes, a child that is stopped.
fn build(s: &mut Story) {
    let user = |line: &str, ppid| image(line).within(USER).by(ppid, 1000);
    s.at(10 * SECOND)
        .exec(5000, &user("/bin/sh -c make -j2", 4999));
    s.at(10 * SECOND + 1700)
        .exec(5000, &user("make -j2", 4999).after_peak(211));
    s.at(11 * SECOND).run(
        5001,
        &user("/usr/libexec/gcc/cc1 -quiet a.c", 5000),
        700 * MS,
        SIGSEGV_CORE,
    );
    s.at(12 * SECOND).run(
        5002,
        &user("/usr/libexec/gcc/cc1 -quiet b.c", 5000),
        1300 * MS,
        code(0),
    );
    s.at(12 * SECOND + 5 * MS)
        // Its process was a copy of make, which had more resident.
        .run(
            5003,
            &user("sleep 60", 5000).after_peak(977),
            2 * SECOND,
            SIGTERM,
        );
    s.at(15 * SECOND).exit(5000, code(2));
    // A program that is asked for becomes one that is not.
    s.at(16 * SECOND).exec(5010, &user("env X=1 other", 4999));
    s.at(16 * SECOND + 2 * MS).unmatched(5010);
    s.at(17 * SECOND).exit_unmatched(5010, code(0));
}

/// Another host, with another hierarchy, an hour later.
pub fn next() -> Vec<u8> {
    let began_ns = BEGAN_NS + 3600 * 1_000_000_000;
    let mut s = Story::on("web-8", began_ns, "/sys/fs/cgroup/memory");
    s.cgroup(GARDEN, b"/garden/other", false);
    for (i, took) in [29_u64, 53, 59].into_iter().enumerate() {
        let runc = image("runc exec web-2 ls").within(GARDEN).by(2921, 0);
        s.at((1 + i as u64) * SECOND)
            .run(700 + i as u32, &runc, took * MS, code(0));
    }
    s.at(5 * SECOND).exec(710, &image("sleep 7").within(GARDEN));
    s.at(6 * SECOND).finish()
}
