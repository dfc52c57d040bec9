//! The recordings that golden tests and others read, by their files' names.

mod day;
mod losses;
mod starts;
mod worker;

use super::story::{Story, code, image, image_of};

const SIGKILL: u32 = 9;
const MS: u64 = 1000;
const SECOND: u64 = 1000 * MS;

/// All of them.
pub fn all() -> Vec<(&'static str, Vec<u8>)> {
    let mut all = vec![
        ("day.xl", day::day()),
        ("next.xl", day::next()),
        ("args.xl", args()),
        ("running.xl", running()),
        ("empty.xl", Story::new().at(3 * SECOND).finish()),
        ("tree.xl", tree()),
        ("lost.xl", losses::lost()),
        ("cut.xl", losses::cut()),
        ("starts.xl", starts::starts()),
        ("starts-lost.xl", starts::lost()),
        ("worker.xl", worker::worker()),
        ("host.xl", worker::host()),
        ("hooks.xl", worker::hooks()),
        ("worker-cut.xl", worker::cut()),
        ("starts-none.xl", Story::with_forks().at(SECOND).finish()),
    ];
    all.extend(losses::losses());
    all
}

/// Arguments, names and cgroups that nobody wants to meet.
fn args() -> Vec<u8> {
    const HOSTILE: u64 = 106;
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
