//! Engines from end to end: what podman, containerd and dockerd say that they ran must
//! be in the rows, each once, with the engine's own word on container, pid and status.
//!
//! dockerd is tested where it is installed, which `make test` leaves to the user: it
//! would start a daemon and change the host's packet filter.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::common::{Observed, Tracer, losses, say, skip, text};
use crate::due::number;
use crate::host::{Host, Runtime, rootfs, script};

/// How the engine's programs are named in the payload's argv.
struct Engine {
    script: &'static str,
    needs: &'static [&'static str],
    is_optional: bool,
    /// Ids are its own: they are told by cgroups, and names are on disk.
    names_containers: bool,
    shell: &'static str,
    sleep: &'static str,
}

const PODMAN: Engine = Engine {
    script: "podman.sh",
    needs: &["podman", "conmon"],
    is_optional: false,
    names_containers: true,
    shell: "sh",
    sleep: "sleep",
};

const CONTAINERD: Engine = Engine {
    script: "containerd.sh",
    needs: &["containerd", "ctr", "containerd-shim-runc-v2"],
    is_optional: false,
    names_containers: false,
    shell: "/bin/sh",
    sleep: "/bin/sleep",
};

const DOCKER: Engine = Engine {
    script: "docker.sh",
    needs: &["dockerd", "docker", "containerd"],
    is_optional: true,
    names_containers: true,
    shell: "sh",
    sleep: "sleep",
};

/// What the engine said: a word, a number, a container.
struct Told(Vec<(String, i64, String)>);

impl Told {
    fn read(file: &Path) -> Told {
        let text = fs::read_to_string(file).expect("the engine's words");
        let line = |line: &str| {
            let mut fields = line.split(' ').map(str::to_owned);
            let (word, number) = (fields.next()?, fields.next()?.parse().ok()?);
            Some((word, number, fields.next()?))
        };
        Told(text.lines().map(|l| line(l).expect(l)).collect())
    }

    /// Number and container.
    fn of(&self, word: &str) -> (i64, &str) {
        let found = self.0.iter().find(|(w, ..)| w == word);
        let (_, number, id) = found.unwrap_or_else(|| panic!("no {word:?}"));
        (*number, id)
    }
}

/// Runs the engine's script in the runner's cgroup, traced: all that is around it, and
/// what its runtime does to containers.
fn observe(host: &mut Host, engine: &Engine) -> (Told, Observed, Observed) {
    let dir = host.bed.scratch.path().join("engine");
    fs::create_dir(&dir).expect("a directory");
    let cgroup = format!("/{}", host.cgroup_name());
    let script = script("engines").join(engine.script);
    let args = [
        &script,
        &dir,
        rootfs(),
        &host.runtime.path,
        Path::new(&cgroup),
    ];
    let mut argv = vec![b"sh".to_vec()];
    argv.extend(args.iter().map(|arg| text(arg).as_bytes().to_vec()));
    let boxes = host.bed.cgroup.child("boxes");
    let scratch = host.bed.scratch.path().join("boxes");
    fs::create_dir(&scratch).expect("a directory");
    let around = host.trace(&[]);
    let args = ["-c", text(&boxes), "-n", host.runtime.name];
    let of_boxes = Tracer::start(&scratch, &args);
    let started = host.driver.spawn(Path::new("/bin/sh"), argv);
    let done = host.driver.finish(&started);
    assert_eq!(done.status, 0, "{}", host.driver.said());
    let told = Told::read(&dir.join("told"));
    (told, host.stop(around), host.stop(of_boxes))
}

/// Asked for the cgroup around its containers alone: all that the runtime does to them,
/// which the engine has told, and nothing else that it does.
fn check_boxes(host: &Host, around: &Observed, boxes: &Observed, ids: [&str; 2]) {
    assert_eq!(losses(&boxes.summary), [""; 0]);
    let pids = |observed: &Observed| {
        let ours = |row: &&Value| {
            row["runtime"] == host.runtime.name && ids.iter().any(|id| row["container"] == *id)
        };
        let rows = observed.rows.iter().filter(ours);
        let mut pids: Vec<u64> = rows.map(|row| number(row, "pid")).collect();
        pids.sort_unstable();
        pids
    };
    assert_eq!(pids(boxes), pids(around));
    let below = format!("/{}/boxes/", host.cgroup_name());
    let is_below = |path: &Value| path.as_str().is_some_and(|path| path.starts_with(&below));
    for row in &boxes.rows {
        let about = is_below(&row["container_cgroup"]);
        assert!(about || is_below(&row["cgroup"]), "{row}");
        assert!(about || row["container"].is_null(), "{row}");
    }
}

/// Codes of the runtime's rows with this action and container, in order of their ends.
fn codes(observed: &Observed, action: &str, id: &str) -> Vec<Option<i64>> {
    let ours = |row: &&Value| row["action"] == action && row["container"] == id;
    let rows = observed.rows.iter().filter(ours);
    rows.map(|row| row["exit_code"].as_i64()).collect()
}

/// The one row with this command line.
fn payload<'a>(observed: &'a Observed, argv: &[&str]) -> &'a Value {
    let ours = |row: &&Value| row["argv"] == serde_json::json!(argv);
    let rows: Vec<&Value> = observed.rows.iter().filter(ours).collect();
    assert_eq!(rows.len(), 1, "{argv:?}: {rows:#?}");
    rows[0]
}

fn from_end_to_end(engine: &Engine, runtime: Option<Runtime>) {
    let dirs = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"].map(Path::new);
    let missing = |program: &&&str| !dirs.iter().any(|dir| dir.join(program).exists());
    match engine.needs.iter().find(missing) {
        Some(program) if engine.is_optional => return say(&format!("skipped: needs {program}")),
        Some(program) => return skip(&format!("needs {program}")),
        None => {}
    }
    let Some(mut host) = Host::new(runtime) else {
        return;
    };
    let name = host.runtime.name;
    let (told, observed, boxes) = observe(&mut host, engine);
    assert_eq!(losses(&observed.summary), [""; 0]);

    let (status, first) = told.of("ran");
    let (pid, second) = told.of("up");
    let (exec_status, _) = told.of("exec");
    assert_eq!((status, exec_status), (7, 3));
    for id in [first, second] {
        for action in ["create", "start"] {
            let codes = codes(&observed, &format!("{name} {action}"), id);
            assert_eq!(codes, [Some(0)], "{action} of {id}");
        }
        let codes = codes(&observed, &format!("{name} delete"), id);
        assert!(codes.contains(&Some(0)), "delete of {id}: {codes:?}");
    }
    check_boxes(&host, &observed, &boxes, [first, second]);
    let execs = codes(&observed, &format!("{name} exec"), second);
    // With `--detach` the runtime is done when the program runs; else it has its status.
    assert!(execs == [Some(0)] || execs == [Some(3)], "{execs:?}");

    let ran = payload(&observed, &[engine.shell, "-c", "exit 7"]);
    let up = payload(&observed, &[engine.sleep, "1009"]);
    let exec = payload(&observed, &[engine.shell, "-c", "exit 3"]);
    assert_eq!(
        (&ran["exit_code"], &exec["exit_code"]),
        (&7.into(), &3.into())
    );
    assert_eq!(
        (&up["pid"], &up["signal_name"]),
        (&pid.into(), &"SIGKILL".into())
    );
    if engine.names_containers {
        for (row, id) in [(ran, first), (up, second), (exec, second)] {
            assert_eq!(row["container"], id, "{row}");
        }
    }
    for row in &observed.rows {
        // Of containerd's users, `ctr` knows no name but the id.
        let name = match row["container"].as_str() {
            Some(id) if engine.names_containers && id == first => "first".into(),
            Some(id) if engine.names_containers && id == second => "second".into(),
            _ => Value::Null,
        };
        assert_eq!(row["container_name"], name, "{row}");
    }
}

#[test]
fn podman_with_runc() {
    from_end_to_end(&PODMAN, Runtime::runc());
}

#[test]
fn podman_with_crun() {
    from_end_to_end(&PODMAN, Runtime::crun());
}

#[test]
fn containerd_with_runc() {
    from_end_to_end(&CONTAINERD, Runtime::runc());
}

#[test]
fn docker_with_runc() {
    from_end_to_end(&DOCKER, Runtime::runc());
}
