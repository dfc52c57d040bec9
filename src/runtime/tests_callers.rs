//! Command lines as engines write them.

use super::tests::{check, summary};

#[test]
fn containerd_through_go_runc() {
    const RUNC: &str = "runc --root /run/containerd/runc/k8s.io --log /run/containerd/io.containerd\
        .runtime.v2.task/k8s.io/ID/log.json --log-format json --systemd-cgroup";
    let line = |rest: &str| summary(&format!("{RUNC} {rest}"));
    let task = "/run/containerd/io.containerd.runtime.v2.task/k8s.io/x";
    let create = format!("create --bundle {task} --pid-file {task}/init.pid ID");
    assert_eq!(line(&create), format!("runc create: ID {task}"));
    let exec = format!(
        "exec --process /tmp/runc-process123 --console-socket /tmp/pty.sock --detach --pid-file \
         {task}/e.pid ID"
    );
    assert_eq!(line(&exec), "runc exec: ID -");
    let restore = format!(
        "restore --image-path /i --work-path /w --tcp-established --file-locks --empty-ns network \
         --detach --pid-file {task}/init.pid -no-subreaper --bundle {task} ID"
    );
    assert_eq!(line(&restore), format!("runc restore: ID {task}"));
    let checkpoint = "checkpoint --image-path /i --work-path /w --manage-cgroups-mode soft \
        --leave-running ID";
    for (rest, expected) in [
        ("start ID", "runc start: ID -"),
        ("kill --all ID 9", "runc kill: ID -"),
        ("kill ID 15", "runc kill: ID -"),
        ("delete ID", "runc delete: ID -"),
        ("delete --force ID", "runc delete: ID -"),
        ("state ID", "runc state: ID -"),
        ("pause ID", "runc pause: ID -"),
        ("ps --format json ID", "runc ps: ID -"),
        ("ps --format table ID -o pid,comm", "runc ps: ID -"),
        ("events --stats ID", "runc events: ID -"),
        ("events --interval=5s ID", "runc events: ID - lasting"),
        ("update --resources=- ID", "runc update: ID -"),
        ("list --format=json", "runc list: - -"),
        (
            "--rootless=true run --bundle b --detach ID",
            "runc run: ID b",
        ),
        (checkpoint, "runc checkpoint: ID -"),
        ("features", "runc features: - -"),
        ("--version", "runc: - -"),
    ] {
        assert_eq!(line(rest), expected, "{rest}");
    }
}

#[test]
fn docker() {
    const ROOT: &str =
        "--root /var/run/docker/runtime-runc/moby --log /x/log.json --log-format json";
    let line = |rest: &str| summary(&format!("runc {ROOT} {rest}"));
    assert_eq!(
        line("--systemd-cgroup create --bundle /b --pid-file /b/init.pid --console-socket /s ID"),
        "runc create: ID /b"
    );
    assert_eq!(line("--systemd-cgroup start ID"), "runc start: ID -");
    check(&[
        (
            "docker-runc --systemd-cgroup=true run --bundle=b ID",
            "runc run: ID b lasting",
        ),
        (
            "docker-runc-current --systemd-cgroup=false state ID",
            "runc state: ID -",
        ),
        (
            "buildkit-runc --log x run --bundle /b --keep x7f2k",
            "runc run: x7f2k /b lasting",
        ),
    ]);
}

#[test]
fn conmon_and_podman() {
    check(&[
        (
            "/usr/bin/runc --systemd-cgroup create --bundle /u --pid-file /p --no-pivot ID",
            "runc create: ID /u",
        ),
        (
            "/usr/bin/crun --systemd-cgroup --log-format=json --log /l create --bundle /u --pid-file /p ID",
            "crun create: ID /u",
        ),
        (
            "/usr/bin/crun --cgroup-manager disabled create --bundle /u --console-socket /s --pid-file /p ID",
            "crun create: ID /u",
        ),
        (
            "/usr/bin/crun --systemd-cgroup exec --pid-file /p --process /j --detach --tty ID",
            "crun exec: ID -",
        ),
        (
            "/usr/bin/crun --systemd-cgroup restore --bundle /u --pid-file /p --detach --image-path \
             /c --work-path /u --tcp-established ID",
            "crun restore: ID /u",
        ),
        (
            "/usr/bin/crun --systemd-cgroup start ID",
            "crun start: ID -",
        ),
        ("/usr/bin/crun kill ID 15", "crun kill: ID -"),
        ("/usr/bin/crun kill --all ID 9", "crun kill: ID -"),
        ("/usr/bin/crun delete --force ID", "crun delete: ID -"),
        ("/usr/bin/crun state ID", "crun state: ID -"),
        (
            "/usr/bin/runc checkpoint --image-path /c --work-path /u ID",
            "runc checkpoint: ID -",
        ),
        (
            "/usr/bin/crun update --resources /r ID",
            "crun update: ID -",
        ),
    ]);
}

#[test]
fn cri_o() {
    const ROOT: &str = "--root=/run/runc --systemd-cgroup";
    let line = |rest: &str| summary(&format!("/usr/libexec/crio/crun {ROOT} {rest}"));
    assert_eq!(
        line("create --bundle /b --pid-file /b/pidfile ID"),
        "crun create: ID /b"
    );
    assert_eq!(
        line("exec --pid-file /p --process /tmp/exec-process-1 --detach ID"),
        "crun exec: ID -"
    );
    assert_eq!(
        line("exec --process /tmp/exec-process-1 ID"),
        "crun exec: ID - lasting"
    );
    assert_eq!(line("update --resources - ID"), "crun update: ID -");
    assert_eq!(line("kill ID TERM"), "crun kill: ID -");
}

#[test]
fn garden() {
    const RUNC: &str = "/var/gdn/assets/linux/bin/runc --root /run/runc";
    const LOG: &str = "--debug --log /l --log-format json";
    let line = |rest: &str| summary(&format!("{RUNC} {rest}"));
    for (rest, expected) in [
        (
            format!("{LOG} run --detach --no-new-keyring --bundle /d/h --pid-file /d/h/pid h"),
            "runc run: h /d/h",
        ),
        (
            format!(
                "{LOG} exec --detach --pid-file /p -p /proc/7/fd/0 --tty --console-socket /s h"
            ),
            "runc exec: h -",
        ),
        (
            format!(
                "{LOG} run --detach --pid-file /p --no-new-keyring --bundle /d --console-socket /s h"
            ),
            "runc run: h /d",
        ),
        // Options after the container are the payload.
        (
            "exec h --pid-file /p -p /j -d".to_owned(),
            "runc exec: h - lasting",
        ),
        ("events h".to_owned(), "runc events: h - lasting"),
        (format!("{LOG} events --stats h"), "runc events: h -"),
        (format!("{LOG} state h"), "runc state: h -"),
        (format!("{LOG} delete --force h"), "runc delete: h -"),
        // From when `start` ran a bundle; no longer an option.
        (format!("{LOG} start -d h"), "runc start: h -"),
    ] {
        assert_eq!(line(&rest), expected, "{rest}");
    }
}
