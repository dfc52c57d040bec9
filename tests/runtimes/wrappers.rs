//! `--anatomy` where a program of the runtime's name calls it, as hosts have one to add
//! an option: whatever has a record before the call, the start has all its marks.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::anatomy::{PHASES, Told};
use crate::common::text;
use crate::due::number;
use crate::host::{Host, Runtime};

/// Writes a script of this name; `sh`, for a text that another process must not inherit.
fn script(host: &Host, name: &str, code: &str) -> String {
    let path = host.path(name);
    fs::create_dir_all(Path::new(&path).parent().expect("a directory")).expect("its directory");
    let code = format!("#!/bin/sh\n{code}\n");
    let written = Command::new("sh")
        .args(["-c", r#"printf %s "$1" >"$2""#, "sh", &code, &path])
        .status();
    assert!(written.expect("sh").success());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("its mode");
    path
}

fn through_wrappers(runtime: Option<Runtime>) {
    let Some(mut host) = Host::new(runtime) else {
        return;
    };
    host.bundle("hello", &["true"]);
    let (real, name) = (text(&host.runtime.path).to_owned(), host.runtime.name);
    let inner = script(&host, "inner/other", &format!("exec {real} \"$@\""));
    let wrappers = [
        ("becomes", format!("exec {real} \"$@\"")),
        ("bears-another-name", format!("exec {real} \"$@\"")),
        ("waits", format!("{real} \"$@\"; exit $?")),
        ("works-before", format!("cat /dev/null; exec {real} \"$@\"")),
        ("through-another", format!("exec {inner} \"$@\"")),
    ];
    let hello = host.path("hello");
    let pid = host.driver.pid().to_string();
    for filter in [&[][..], &["-n", name, "-n", "sh"], &["-p", &pid]] {
        let tracer = host.trace(&[&["--anatomy"], filter].concat());
        let mut all = Vec::new();
        for (kind, code) in &wrappers {
            let called = if *kind == "bears-another-name" {
                "other"
            } else {
                name
            };
            let wrapper = script(&host, &format!("{kind}/{called}"), code);
            let mut argv = host.argv(&["run", "-b", &hello, kind]);
            argv[0] = wrapper.clone().into();
            let started = host.driver.spawn(Path::new(&wrapper), argv);
            all.push((kind, host.driver.finish(&started)));
            let done = &all[all.len() - 1].1;
            assert_eq!(done.status, 0, "{}", host.driver.said());
        }
        let told = Told::new(tracer.stop());
        assert_eq!(
            told.starts.len(),
            wrappers.len(),
            "{filter:?}: {:#?}",
            told.starts
        );
        for (kind, done) in &all {
            let row = told.starts.iter().find(|row| row["container"] == **kind);
            let row = row.unwrap_or_else(|| panic!("{kind}: {:#?}", told.starts));
            assert_eq!(row["outcome"], "started", "{filter:?}: {row:#}");
            assert!(row["total_ns"].is_u64(), "{filter:?}: {row:#}");
            let begin = number(&row["marks_ns"], "begin");
            assert!((done.start_ns..done.end_ns).contains(&begin), "{row:#}");
            let itself = row["runtime_pid"] == done.pid;
            assert_eq!(itself, **kind != "waits", "{row:#}");
            let launch = &row["phases_ns"][PHASES[0]];
            assert!(launch.is_u64(), "{filter:?}: {row:#}");
        }
        let figures = told.figures["phases"].as_array().expect("phases");
        let total = figures.iter().find(|figure| figure["phase"] == "total");
        assert_eq!(
            total.map(|figure| &figure["count"]),
            Some(&json!(wrappers.len())),
            "{filter:?}"
        );
    }
}

#[test]
fn through_wrappers_of_runc() {
    through_wrappers(Runtime::runc());
}

#[test]
fn through_wrappers_of_crun() {
    through_wrappers(Runtime::crun());
}
