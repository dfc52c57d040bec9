//! The cgroup filter, against the oracle: v2 and v1, subtrees, several, made late, left again.

mod common;

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use common::cgroup::{self, procs};
use common::{Bed, Cgroup, check, count, say, skip, text};

/// v1 controllers to try, and a named hierarchy; a kernel need not have all. Where
/// counts are divided, one of each kind does.
const V1: [&str; 4] = ["freezer", "name=systemd", "pids", "memory"];

/// One execution in each of these; those of `matched` must be reported.
fn executions_in(bed: &Bed, args: &[&str], dirs: &[&Path], matched: &[&str]) {
    let tracer = bed.trace(args);
    run_in(bed, tracer, dirs, matched);
}

fn run_in(bed: &Bed, tracer: common::Tracer, dirs: &[&Path], matched: &[&str]) {
    let procs: Vec<String> = dirs.iter().map(|dir| procs(dir)).collect();
    let mut case = vec!["cgroups"];
    case.extend(procs.iter().map(String::as_str));
    let report = bed.workload_outside().run(&case);
    check(&report.labelled(matched), &tracer.stop());
}

/// Each hierarchy there is: the scratch cgroup, and one beside it whose name begins alike.
fn hierarchies(bed: &Bed) -> Vec<(Cgroup, Cgroup)> {
    let mut all = vec![(
        Cgroup::v2(&format!("{}-a", bed.tag)),
        Cgroup::v2(&format!("{}-ab", bed.tag)),
    )];
    for controller in V1.into_iter().take(count(V1.len())) {
        match (Cgroup::v1(controller), Cgroup::v1(controller)) {
            (Some(a), Some(b)) => all.push((a, b)),
            _ => say(&format!("no v1 hierarchy {controller} here")),
        }
    }
    all
}

#[test]
fn a_subtree() {
    let Some(bed) = Bed::new() else { return };
    for (cgroup, beside) in hierarchies(&bed) {
        let child = cgroup.child("c");
        let grandchild = child.join("g");
        fs::create_dir(&grandchild).expect("a cgroup");
        let dirs = [cgroup.dir(), &child, &grandchild, beside.dir()];
        executions_in(&bed, &["-c", cgroup.path()], &dirs, &["0", "1", "2"]);
        let child = child.to_str().expect("UTF-8");
        executions_in(&bed, &["-c", child], &dirs, &["1", "2"]);
        executions_in(
            &bed,
            &["-c", cgroup.path(), "--cgroup-exact"],
            &dirs,
            &["0"],
        );
        executions_in(&bed, &["-c", child, "--cgroup-exact"], &dirs, &["1"]);
    }
}

#[test]
fn a_deep_subtree() {
    let Some(bed) = Bed::new() else { return };
    for (cgroup, _) in hierarchies(&bed) {
        let mut dirs = vec![cgroup.dir().to_owned()];
        for _ in 0..31 {
            let deeper = dirs[dirs.len() - 1].join("d");
            if fs::create_dir(&deeper).is_ok() {
                dirs.push(deeper);
            }
        }
        let deepest = dirs[dirs.len() - 1].as_path();
        executions_in(&bed, &["-c", cgroup.path()], &[deepest], &["0"]);
    }
}

/// The same option twice means or; v1 and v2 together.
#[test]
fn several_at_once() {
    let Some(bed) = Bed::new() else { return };
    let all = hierarchies(&bed);
    let mut args = Vec::new();
    let mut dirs = Vec::new();
    let mut matched = Vec::new();
    for (i, (cgroup, beside)) in all.iter().enumerate() {
        args.extend(["-c", cgroup.path()]);
        dirs.extend([cgroup.dir(), beside.dir()]);
        matched.push((2 * i).to_string());
    }
    // A process is in one cgroup of each hierarchy, and the workload's children
    // are made by one that is in none of ours: each matches by one alone.
    let matched: Vec<&str> = matched.iter().map(String::as_str).collect();
    executions_in(&bed, &args, &dirs, &matched);
}

#[test]
fn made_after_the_start() {
    let Some(bed) = Bed::new() else { return };
    for (cgroup, beside) in hierarchies(&bed) {
        let tracer = bed.trace(&["-c", cgroup.path()]);
        let child = cgroup.child("late");
        let other = beside.child("late");
        run_in(&bed, tracer, &[&child, &other, cgroup.dir()], &["0", "2"]);
    }
}

#[test]
fn made_and_removed_while_tracing() {
    let Some(bed) = Bed::new() else { return };
    for (cgroup, beside) in hierarchies(&bed) {
        let tracer = bed.trace(&["-c", cgroup.path()]);
        let inside = bed
            .workload_outside()
            .run(&["cgroups-made", cgroup.path(), "53"]);
        bed.workload_outside()
            .run(&["cgroups-made", beside.path(), "13"]);
        check(&inside.expected, &tracer.stop());
    }
}

/// Where a process is at its exec counts, not where it is later.
#[test]
fn matched_at_the_exec_alone() {
    let Some(bed) = Bed::new() else { return };
    for (cgroup, beside) in hierarchies(&bed) {
        let tracer = bed.trace(&["-c", cgroup.path()]);
        let workload = bed.workload_outside().moves(&cgroup.procs());
        let report = workload.moves(&beside.procs()).run(&["cgroups-left"]);
        check(&report.labelled(&["inside"]), &tracer.stop());
    }
}

/// Ids are the hierarchy's own: the same number elsewhere is another cgroup.
#[test]
fn ids_that_collide_between_hierarchies() {
    let Some(bed) = Bed::new() else { return };
    // A guest may have found a pair among its own hierarchies.
    let given = std::env::var("EXECLAT_CGROUP_TWINS").ok();
    let made = match given {
        Some(_) => None,
        None => Twins::make(&bed),
    };
    let dirs: Vec<&str> = match (&given, &made) {
        (Some(given), _) => given.split(':').collect(),
        (None, Some(made)) => made.dirs.iter().map(|dir| text(dir)).collect(),
        (None, None) => return skip("no cgroup v1 hierarchies can be mounted"),
    };
    assert_eq!(dirs.len(), 2, "{dirs:?}");
    assert_eq!(id(Path::new(dirs[0])), id(Path::new(dirs[1])), "{dirs:?}");
    let both = [Path::new(dirs[0]), Path::new(dirs[1])];
    for (wanted, other, label) in [(both[0], both[1], "0"), (both[1], both[0], "1")] {
        // A cgroup of the other's hierarchy is asked for too, so that both are looked at.
        let child = other.join("child");
        fs::create_dir(&child).expect("a cgroup");
        executions_in(
            &bed,
            &["-c", text(wanted), "-c", text(&child)],
            &both,
            &[label],
        );
        fs::remove_dir(&child).expect("an empty cgroup");
    }
}

fn id(dir: &Path) -> u64 {
    fs::metadata(dir).expect("a cgroup").ino()
}

/// Two cgroups with one id, in two hierarchies of our own: fresh ones deal out the
/// same ids.
struct Twins {
    dirs: Vec<PathBuf>,
    parents: Vec<Cgroup>,
    names: [String; 2],
}

impl Twins {
    fn make(bed: &Bed) -> Option<Twins> {
        let names = ["one", "two"].map(|n| format!("name={}-{n}", bed.tag));
        let parents: Option<Vec<Cgroup>> = names.iter().map(|name| Cgroup::v1(name)).collect();
        let parents = parents?;
        let dirs = parents.iter().map(|parent| parent.child("twin")).collect();
        Some(Twins {
            dirs,
            parents,
            names,
        })
    }
}

impl Drop for Twins {
    fn drop(&mut self) {
        self.parents.clear();
        for name in &self.names {
            cgroup::end_v1(name);
        }
    }
}
