//! A Garden worker, recorded with a filter on cgroups and without one.

use super::{MS, SECOND};
use crate::support_cli::story::{Story, code, image};

const GDN: u64 = 201;
const HANDLE: u64 = 202;

/// A Garden worker, of which the containers below `/garden` were asked for: runtimes are
/// called from a service's cgroup, for containers there and elsewhere.
pub fn worker() -> Vec<u8> {
    const OTHER: u64 = 203;
    let id = "4f797c539e6c745de61a93ca3ff892358ecbcaccd8414d5db545c38428142970";
    let mut s = Story::of_cgroups(&["/sys/fs/cgroup/garden"]);
    s.cgroup(GDN, b"/system.slice/gdn.service", false);
    s.cgroup(HANDLE, b"/garden/web", false);
    s.cgroup(OTHER, format!("/docker/{id}").as_bytes(), false);
    s.kept(
        "/run/docker/runtime-runc/moby",
        id,
        "/sys/fs/cgroup/docker/x",
    );
    let gdn = |line: &str| image(line).outside(GDN);
    s.at(0).exec(910, &gdn("runc create --bundle /b web"));
    s.at(6 * MS).fork(910, 911);
    s.exec(911, &gdn("runc init"));
    s.at(8 * MS).attach(910, 911, HANDLE, true);
    s.at(12 * MS).exit(911, code(0));
    s.at(24 * MS).exit(910, code(0));
    s.at(30 * MS)
        .run(920, &gdn("runc start web"), 5 * MS, code(0));
    let claim = gdn("runc state web").by(1, 65534);
    s.at(40 * MS).run(930, &claim, 4 * MS, code(0));
    s.at(50 * MS)
        .run(940, &gdn("runc --root /run/b state web"), 4 * MS, code(1));
    let moby = format!("runc --root /run/docker/runtime-runc/moby state {id}");
    s.at(60 * MS).run(950, &gdn(&moby), 4 * MS, code(0));
    // Not believed, but seen: its init is over before it enters the container.
    let user = |line: &str| gdn(line).by(4000, 1000);
    s.at(65 * MS).exec(951, &user("runc exec web true"));
    s.fork(951, 952).exec(952, &user("runc init"));
    s.fork(952, 953).at(66 * MS).exit(952, code(0)).round();
    s.at(67 * MS).attach(951, 953, HANDLE, true);
    s.at(68 * MS)
        .exit_unmatched(953, code(0))
        .exit(951, code(0));
    s.at(70 * MS).run(960, &gdn("runc list"), 9 * MS, code(0));
    s.at(80 * MS)
        .run(970, &image("sleep 1").within(HANDLE), 4 * MS, code(0));
    s.at(90 * MS).exec(980, &gdn("runc events web"));
    s.exec(981, &gdn("runc events other"));
    s.at(3 * SECOND).finish()
}

/// The same host, recorded without a filter: a runtime with its init, a hook and a payload,
/// and a daemon whose name begins as a runtime's does, which does not end.
pub fn host() -> Vec<u8> {
    let mut s = Story::new();
    s.cgroup(GDN, b"/system.slice/gdn.service", false);
    s.cgroup(HANDLE, b"/garden/web", false);
    let gdn = |line: &str| image(line).within(GDN);
    s.at(0).exec(905, &gdn("/usr/bin/buildkitd --debug"));
    s.at(MS).fork(905, 906);
    s.run(906, &gdn("buildkit-cni-bridge"), MS, code(0));
    s.at(2 * MS).exec(910, &gdn("runc create --bundle /b web"));
    s.at(6 * MS).fork(910, 911);
    s.exec(911, &gdn("runc init"));
    s.at(8 * MS).attach(910, 911, HANDLE, false);
    s.at(9 * MS).fork(910, 912);
    s.run(912, &gdn("nvidia-hook"), MS, code(0));
    s.at(10 * MS).fork(911, 913);
    s.at(12 * MS).exit(911, code(0));
    s.at(24 * MS).exit(910, code(0));
    s.at(30 * MS).exec(913, &image("sleep 1").within(HANDLE));
    s.at(40 * MS).exit(913, code(0));
    s.at(3 * SECOND).finish()
}

/// All that runtimes start was followed: a hook of one that is about a container inside,
/// and one of a runtime that only enters a container when the hook is long over.
pub fn hooks() -> Vec<u8> {
    const LATE: u64 = 204;
    let mut s = Story::of_cgroups(&["/sys/fs/cgroup/garden"]).following();
    s.cgroup(GDN, b"/system.slice/gdn.service", false);
    s.cgroup(HANDLE, b"/garden/web", false);
    let gdn = |line: &str| image(line).outside(GDN);
    s.at(0).exec(910, &gdn("runc create --bundle /b web"));
    s.at(6 * MS).fork(910, 911);
    s.at(8 * MS).attach(910, 911, HANDLE, true);
    s.at(9 * MS).fork(910, 912);
    s.run(912, &gdn("iptables -L"), MS, code(0));
    s.at(24 * MS).exit(910, code(0));
    s.at(30 * MS).exec(920, &gdn("runc create late"));
    s.at(31 * MS).fork(920, 921);
    s.at(32 * MS).fork(920, 922);
    s.run(922, &gdn("iptables -N"), MS, code(0));
    s.at(2 * SECOND).round();
    s.cgroup(LATE, b"/garden/late", false);
    s.attach(920, 921, LATE, true);
    s.at(2 * SECOND + MS).exit(920, code(0));
    // What a daemon's child calls that executes nothing itself is no runtime's.
    s.at(2 * SECOND + 2 * MS).exec(930, &gdn("runc-watchd"));
    s.fork(930, 931).fork(931, 932);
    s.run(932, &gdn("git clone"), MS, code(0));
    s.at(2 * SECOND + 9 * MS);
    s.exit_unmatched(931, code(0)).exit(930, code(0));
    s.at(4 * SECOND).finish()
}

/// The machine stopped when it was written where a container is, which had been waited for.
pub fn cut() -> Vec<u8> {
    const EMPTY_ROUND_BYTES: usize = 28;
    let mut s = Story::of_cgroups(&["/sys/fs/cgroup/garden"]);
    s.cgroup(GDN, b"/system.slice/gdn.service", false);
    let state = image("runc --root /run/b state box").outside(GDN);
    s.at(0).run(950, &state, 4 * MS, code(0));
    s.at(10 * MS).round();
    s.kept("/run/b", "box", "/sys/fs/cgroup/garden/box").round();
    let mut bytes = s.bytes();
    bytes.truncate(bytes.len() - EMPTY_ROUND_BYTES);
    bytes
}
