//! Recordings × views, exports and filters: what is shown, to the byte.
//!
//! A file `golden/NAME.expected` is a transcript: after each line `$ execlat …`
//! stands what that command writes to stdout; then, marked, what it writes to
//! stderr (`2> `), its status if that is not 0 (`=> `), and the files that it makes
//! (`>> NAME MODE`). Lines that begin with `## ` are remarks. Escape is shown as ␛.
//!
//! To add a case, add its `$` line; `EXECLAT_BLESS=1 cargo test --test golden`
//! writes what comes out below it. Then read it.

mod common;
mod support_cli;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use support_cli::{Ran, bench, run, words};

const PROMPT: &str = "$ execlat ";

/// A command with the remarks above it.
struct Case {
    remarks: String,
    line: String,
}

fn cases(transcript: &str) -> Vec<Case> {
    let mut cases = Vec::new();
    let mut remarks = String::new();
    for line in transcript.lines() {
        if let Some(words) = line.strip_prefix(PROMPT) {
            cases.push(Case {
                remarks: std::mem::take(&mut remarks),
                line: words.to_owned(),
            });
        } else if line.starts_with("## ") {
            remarks.push_str(line);
            remarks.push('\n');
        }
    }
    cases
}

/// Runs the case and tells it all.
fn told(case: &Case, dir: &Path) -> String {
    let args = words(&case.line);
    let before = files(dir);
    let ran = run(dir, &args);
    harmless(&args, &ran);
    let mut out = format!("{}{PROMPT}{}\n", case.remarks, case.line);
    push_text(&mut out, &ran.stdout);
    for line in ran.stderr.lines() {
        let _ = writeln!(out, "2> {line}");
    }
    if ran.status != 0 {
        let _ = writeln!(out, "=> {}", ran.status);
    }
    for (name, mode) in files(dir) {
        if !before.contains_key(&name) {
            let path = dir.join(&name);
            let _ = writeln!(out, ">> {name} {mode:o}");
            push_text(&mut out, &fs::read_to_string(&path).expect("text"));
            fs::remove_file(path).expect("to remove it");
        }
    }
    out
}

fn push_text(out: &mut String, text: &str) {
    out.push_str(&text.replace('\x1b', "␛"));
    if !text.is_empty() && !text.ends_with('\n') {
        out.push_str("(no line end)\n");
    }
}

/// Nothing that a terminal obeys, but colours that are asked for.
fn harmless(args: &[String], ran: &Ran) {
    let colours = args.iter().any(|arg| arg == "always");
    for text in [&ran.stdout, &ran.stderr] {
        let odd = |c: &char| c.is_control() && *c != '\n' && !(colours && *c == '\x1b');
        let odd = text.chars().find(odd);
        assert_eq!(odd, None, "{args:?} writes a control character:\n{text}");
    }
}

fn files(dir: &Path) -> BTreeMap<String, u32> {
    let entries = fs::read_dir(dir).expect("scratch directory");
    entries
        .map(|entry| {
            let entry = entry.expect("an entry");
            let mode = entry.metadata().expect("metadata").permissions().mode();
            let name = entry.file_name().into_string().expect("our own names");
            (name, mode & 0o7777)
        })
        .collect()
}

fn transcript(name: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path: PathBuf = root
        .join("tests/golden")
        .join(name)
        .with_extension("expected");
    let expected = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let dir = bench();
    let cases = cases(&expected);
    assert!(!cases.is_empty(), "{} has no command", path.display());
    let told: Vec<String> = cases.iter().map(|case| told(case, dir.path())).collect();
    let got = told.join("\n");
    if std::env::var_os("EXECLAT_BLESS").is_some_and(|v| v == "1") {
        fs::write(&path, &got).expect("to write what is expected");
        return;
    }
    if got != expected {
        let differ = |(a, b): &(&str, &str)| a != b;
        let at = got
            .lines()
            .zip(expected.lines())
            .position(|pair| differ(&pair));
        let at = at.unwrap_or_else(|| got.lines().count().min(expected.lines().count()));
        let line = |text: &str| text.lines().nth(at).unwrap_or("(its end)").to_owned();
        panic!(
            "{name}.expected, line {}:\n  expected: {}\n  got:      {}\nEXECLAT_BLESS=1 takes what came out",
            at + 1,
            line(&expected),
            line(&got)
        );
    }
}

#[test]
fn tables() {
    transcript("tables");
}

#[test]
fn columns() {
    transcript("columns");
}

#[test]
fn json() {
    transcript("json");
}

#[test]
fn csv() {
    transcript("csv");
}

#[test]
fn files_written() {
    transcript("files");
}

#[test]
fn histograms() {
    transcript("histograms");
}

#[test]
fn groups() {
    transcript("groups");
}

#[test]
fn filters() {
    transcript("filters");
}

#[test]
fn arguments() {
    transcript("arguments");
}

#[test]
fn losses() {
    transcript("losses");
}

#[test]
fn running() {
    transcript("running");
}

#[test]
fn tree() {
    transcript("tree");
}

#[test]
fn anatomy() {
    transcript("anatomy");
}

#[test]
fn several() {
    transcript("several");
}

#[test]
fn worker() {
    transcript("worker");
}
