//! The recordings that golden tests and others read, by their files' names.

use execlat::loss::SourceLosses;

use super::starts;
use super::story::{BEGAN_NS, Story, code, image, image_of};

const SIGKILL: u32 = 9;
const SIGTERM: u32 = 15;
const SIGSEGV_CORE: u32 = 11 | 0x80;
const MS: u64 = 1000;
const SECOND: u64 = 1000 * MS;

const GARDEN: u64 = 101;
const POD: u64 = 102;
const DOCKER: u64 = 103;
const USER: u64 = 104;
const DEEP: u64 = 105;
const HOSTILE: u64 = 106;

/// All of them.
pub fn all() -> Vec<(&'static str, Vec<u8>)> {
    let mut all = vec![
        ("day.xl", day()),
        ("next.xl", next()),
        ("args.xl", args()),
        ("running.xl", running()),
        ("empty.xl", Story::new().at(3 * SECOND).finish()),
        ("tree.xl", tree()),
        ("lost.xl", lost()),
        ("cut.xl", cut()),
        ("starts.xl", starts::starts()),
        ("starts-lost.xl", starts::lost()),
        ("worker.xl", worker()),
        ("host.xl", host()),
        ("starts-none.xl", Story::with_forks().at(SECOND).finish()),
    ];
    all.extend(losses());
    all
}

/// An ordinary day: runtimes, a build, containers, and what still runs at its end.
fn day() -> Vec<u8> {
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

/// A Garden worker, of which the containers below `/garden` were asked for: runtimes are
/// called from a service's cgroup, for containers there and elsewhere.
fn worker() -> Vec<u8> {
    const GDN: u64 = 201;
    const HANDLE: u64 = 202;
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
fn host() -> Vec<u8> {
    const GDN: u64 = 201;
    const HANDLE: u64 = 202;
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
fn next() -> Vec<u8> {
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

/// Arguments, names and cgroups that nobody wants to meet.
fn args() -> Vec<u8> {
    let mut s = Story::new();
    s.cgroup(
        HOSTILE,
        "/docker/\u{1b}]0;owned\u{7}/lxc.payload.\u{1b}[31m\u{202e}x".as_bytes(),
        false,
    );
    let long = ["x".repeat(47), "é".repeat(53), "漢".repeat(59)].join(" ");
    let images = [
        image_of(&[b"printf", b"two\nlines\r\n", b"tab\there"]),
        image_of(&[
            b"echo",
            b"\x1b[31mred\x1b[0m",
            b"\x1b]0;title\x07",
            b"\x7f\x08",
        ]),
        image_of(&[b"bad\xff\xfeutf8", b"caf\xe9", b"\xc3\xa9 is fine"]),
        image_of(&[b"", b"", b"b", b""]),
        image_of(&[]).comm(b"(none)"),
        image_of(&[b""]).comm(b"empty"),
        image_of(&[
            b"it's",
            b"a b",
            b"$HOME",
            b"\"q\"",
            b"back\\slash",
            b"a'b\nc",
            b"*?;&|<>()",
        ]),
        image_of(&[
            "rtl\u{202e}gpj.exe".as_bytes(),
            "zero\u{200b}width".as_bytes(),
            "c1\u{9b}31m".as_bytes(),
        ]),
        image(&long),
        image("tail -f /var/log/messages --retry --pid=77").cut(21),
        image("cut right-behind its NUL").cut(17),
        image("partly unreadable arguments").unreadable(9),
        image("never seen").unreadable(0).comm(b"gone"),
        image("# starts,like \"CSV\"").comm(b"a,\"b\"\n\x1b[1m\xff"),
        image("in a hostile place").within(HOSTILE),
    ];
    for (i, image) in (0..).zip(&images) {
        s.at((u64::from(i) + 1) * 100 * MS).run(
            6000 + i,
            image,
            10 * MS + u64::from(i),
            code(i % 3),
        );
    }
    s.at(2 * SECOND).exec(6100, &images[1]);
    s.at(3 * SECOND).finish()
}

/// More than is listed.
fn running() -> Vec<u8> {
    let mut s = Story::new();
    for i in 0..23 {
        s.at(u64::from(i) * 10 * MS)
            .exec(3000 + i, &image(&format!("worker --number {i}")));
    }
    s.at(SECOND)
        .running(20, &image("/lib/systemd/systemd-journald").by(1, 0));
    s.at(2 * SECOND).finish()
}

/// A container's start with its hooks; a pid that is used again; who has no parent here.
fn tree() -> Vec<u8> {
    let mut s = Story::new();
    s.at(0)
        .running(900, &image("/usr/bin/containerd-shim -id web").by(1, 0));
    s.at(SECOND)
        .exec(910, &image("runc create --bundle /b web").by(900, 0));
    s.at(SECOND + 10 * MS)
        .exec(913, &image("runc init").by(910, 0));
    s.at(SECOND + 20 * MS)
        .exec(911, &image("/hooks/prestart web").by(910, 0));
    s.at(SECOND + 22 * MS)
        .run(912, &image("ip link add veth0").by(911, 0), 5 * MS, code(2));
    s.at(SECOND + 30 * MS).exit(911, code(1));
    s.at(SECOND + 50 * MS).run(
        914,
        &image_of(&[b"/hooks/\x1b[31m", b"line\nbreak"]).by(910, 0),
        MS,
        code(0),
    );
    s.at(SECOND + 90 * MS).exit(910, code(0));
    s.at(SECOND + 95 * MS)
        .run(915, &image("runc start web").by(900, 0), 7 * MS, code(0));
    // Its parent has ended: it is the shim's now.
    s.at(2 * SECOND).exec(913, &image("sh -c serve").by(900, 0));
    s.at(3 * SECOND)
        .run(911, &image("serve --port 80").by(913, 0), 3 * MS, SIGKILL);
    s.at(4 * SECOND).exec(911, &image("cron").by(1, 0));
    s.at(5 * SECOND)
        .run(920, &image("/etc/cron.hourly/x").by(911, 0), MS, code(0));
    // By a process that is not known, and by one that was another.
    s.run(930, &image("who knows").by(7777, 0), MS, code(0));
    s.run(931, &image("somebody else").by(912, 0), 2 * MS, code(0));
    s.at(6 * SECOND).finish()
}

fn source_losses() -> SourceLosses {
    SourceLosses {
        buffer_full: vec![(0, 2), (1, 5)],
        table_full: 11,
        skipped: vec![("exec".into(), 13), ("exit".into(), 17)],
        stale: 19,
        cgroup_unknown: 23,
        cgroup_names: 29,
        malformed: 31,
        places_unread: 37,
    }
}

/// Everything that can be lost, at once, but bytes of the file.
fn lost() -> Vec<u8> {
    let mut s = Story::new();
    unpaired(&mut s);
    s.at(9 * SECOND).raw(&[0xff; 40]).round();
    s.finish_with(source_losses())
}

/// An end without a start, a start without an end, and a record that is late.
fn unpaired(s: &mut Story) {
    s.at(SECOND).run(41, &image("was seen"), 5 * MS, code(0));
    no_start(s);
    no_end(s);
    late(s);
    s.at(8 * SECOND).look(&[]);
}

fn no_start(s: &mut Story) {
    s.at(2 * SECOND).lose(42).exit(42, code(1));
    s.at(4 * SECOND).round();
}

fn no_end(s: &mut Story) {
    s.at(3 * SECOND).exec(43, &image("ended unseen"));
    for pid in [49, 45, 48, 46, 47] {
        s.exec(pid, &image("together with others"));
    }
    s.at(4 * SECOND).look(&[45]).exit(45, code(0));
}

/// Its exec comes two seconds after its exit.
fn late(s: &mut Story) {
    let mut exec = Story::new();
    exec.at(4 * SECOND).exec(44, &image("came late"));
    s.at(4 * SECOND).lose(44);
    s.at(4 * SECOND + 7 * MS).exec(44, &image("came in time"));
    s.at(6 * SECOND).round();
    s.raw(&exec.records()).round();
    s.at(7 * SECOND).exit(44, code(0));
}

type Tell = fn(&mut Story);

/// A recording for each kind of loss alone.
fn losses() -> Vec<(&'static str, Vec<u8>)> {
    let all = source_losses();
    let none = SourceLosses::default;
    #[rustfmt::skip]
    let of_source = [
        ("lost-buffer.xl", SourceLosses { buffer_full: all.buffer_full, ..none() }),
        ("lost-table.xl", SourceLosses { table_full: all.table_full, ..none() }),
        ("lost-skipped.xl", SourceLosses { skipped: all.skipped, ..none() }),
        ("lost-stale.xl", SourceLosses { stale: all.stale, ..none() }),
        ("lost-cgroup.xl", SourceLosses { cgroup_unknown: all.cgroup_unknown, ..none() }),
        ("lost-names.xl", SourceLosses { cgroup_names: all.cgroup_names, ..none() }),
        ("lost-malformed.xl", SourceLosses { malformed: all.malformed, ..none() }),
    ];
    let of_records: [(&str, Tell); 4] = [
        ("lost-start.xl", no_start),
        ("lost-end.xl", no_end),
        ("lost-late.xl", late),
        ("lost-decode.xl", |s| {
            s.at(SECOND).raw(&[0xff; 40]);
        }),
    ];
    let mut files: Vec<_> = of_source
        .into_iter()
        .map(|(name, losses)| (name, ran(|_| ()).finish_with(losses)))
        .collect();
    files.extend(
        of_records
            .into_iter()
            .map(|(name, tell)| (name, ran(tell).finish())),
    );
    files
}

/// One execution that is fine, and then something.
fn ran(tell: impl FnOnce(&mut Story)) -> Story {
    let mut s = Story::new();
    s.at(SECOND / 2)
        .run(41, &image("was seen"), 5 * MS, code(0))
        .round();
    tell(&mut s);
    s
}

/// Cut off in the middle of its second round.
fn cut() -> Vec<u8> {
    let mut s = Story::new();
    s.at(SECOND)
        .run(51, &image("in the first round"), 5 * MS, code(0));
    s.exec(52, &image("ended in the second"))
        .at(2 * SECOND)
        .round();
    s.exit(52, code(0));
    s.at(3 * SECOND).round();
    let mut bytes = s.bytes();
    bytes.truncate(bytes.len() - 17);
    bytes
}
