//! Starts of containers, as runc and crun make them.

use super::{MS, SIGKILL};
use crate::support_cli::story::{Story, code, image, image_of};

const ID: &str = "4f797c539e6c745de61a93ca3ff892358ecbcaccd8414d5db545c38428142970";

/// runc, up to its process in the container: `m` forks `m+1`, that `m+2`, that `m+3`.
fn runc(s: &mut Story, at: u64, m: u32, line: &str) {
    let init = image("/usr/sbin/runc init").by(m, 0);
    s.at(at).exec(m, &image(line));
    s.at(at + 6 * MS).fork(m, m + 1);
    s.at(at + 6100).exec(m + 1, &init);
    s.at(at + 7900).exec(m + 1, &init);
    s.at(at + 8500).fork(m + 1, m + 2);
    s.at(at + 9000).fork(m + 2, m + 3);
    s.at(at + 9300)
        .exit_unmatched(m + 2, code(0))
        .exit(m + 1, code(0));
}

/// crun, up to the same.
fn crun(s: &mut Story, at: u64, m: u32, line: &str) {
    s.at(at).exec(m, &image(line));
    s.at(at + 1500).exec(m, &image(line));
    s.at(at + 3000).fork(m, m + 3);
}

fn hook(s: &mut Story, at: u64, (by, pid): (u32, u32), line: &str, status: u32) {
    s.at(at).fork(by, pid);
    s.at(at + 100).exec(pid, &image(line).by(by, 0));
    s.at(at + 3207).exit(pid, status);
}

/// One of each kind, and one that waits for its start at the end.
pub fn starts() -> Vec<u8> {
    let mut s = Story::with_forks();
    runc(&mut s, 0, 100, "/usr/sbin/runc run --bundle /b web");
    s.at(20_203).exec(103, &image("sh -c true").by(100, 0));
    s.at(30 * MS).exit(103, code(7)).exit(100, code(7));

    s.named(ID, "front\x1b");
    let create = format!("runc --root /r create --bundle /b {ID}");
    runc(&mut s, 100 * MS, 200, &create);
    hook(
        &mut s,
        112 * MS,
        (200, 220),
        "/opt/hooks/prepare --all",
        code(0),
    );
    hook(&mut s, 116 * MS, (203, 221), "/opt/hooks/mount", code(0));
    s.at(124_011).exit(200, code(0));
    s.at(154_013)
        .exec(250, &image(&format!("runc --root /r start {ID}")));
    s.at(157 * MS).exit(250, code(0));
    s.at(157_317).exec(203, &image("nginx").by(1, 0));
    s.at(200 * MS).round();

    runc(&mut s, 300 * MS, 300, "runc exec web /no/such/file");
    s.at(312_019)
        .exit_unmatched(303, code(255))
        .exit(300, code(255));
    crun(&mut s, 400 * MS, 400, "/usr/bin/crun exec -d web sleep 9");
    s.at(403_700).fork(403, 404);
    s.at(403_900).exit_unmatched(403, code(0));
    s.at(406 * MS).exit(400, code(0));
    s.at(406_301).exec(404, &image("sleep 9").by(1, 0));
    crun(&mut s, 500 * MS, 500, "crun run web");
    hook(&mut s, 505 * MS, (500, 520), "/bin/false", code(1));
    s.at(509 * MS)
        .exit_unmatched(503, SIGKILL)
        .exit(500, code(1));
    // Deleted, and its `start` finds nothing.
    crun(&mut s, 600 * MS, 600, "crun create gone");
    s.at(605 * MS).exit(600, code(0));
    s.at(690 * MS).exit_unmatched(603, SIGKILL);
    s.at(695 * MS).exec(650, &image("crun start gone"));
    s.at(698 * MS).exit(650, code(1));
    // What is called like that reaches no terminal.
    let odd = image_of(&[b"runc", b"run", b"a\x1b[1m\n\xff"]);
    s.at(700 * MS).exec(700, &odd);
    s.at(702 * MS).exit(700, code(1));
    crun(&mut s, 800 * MS, 800, "crun create waits");
    s.at(805 * MS).exit(800, code(0));
    s.at(3000 * MS).finish()
}

/// The payload's exec is lost in one, the exec of init in another.
pub fn lost() -> Vec<u8> {
    let mut s = Story::with_forks();
    runc(&mut s, 0, 100, "runc run web");
    s.lose(103).at(30 * MS).exit(103, code(7));
    s.exit(100, code(7));
    s.at(100 * MS).exec(200, &image("runc run web"));
    s.at(106 * MS).fork(200, 201).lose(201);
    s.at(107 * MS).exec(201, &image("runc init").by(200, 0));
    s.at(108 * MS).fork(201, 202);
    s.at(109 * MS).fork(202, 203);
    s.at(110 * MS).exec(203, &image("sh").by(200, 0));
    s.at(3000 * MS).look(&[]).finish()
}
