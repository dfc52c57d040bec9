//! Exit statuses and files: COMMAND's status and what beats it, recordings that
//! are none or not whole, files that are made and their modes.

mod common;
mod support_cli;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use execlat::loss::SourceLosses;

use support_cli::story::{Story, code, image};
use support_cli::{Ran, Yard, bench, root, run, words};

fn lines(text: &str) -> Vec<&str> {
    text.lines().collect()
}

/// `execlat ARGS -- sh -c SCRIPT`, without rows.
fn of_script(dir: &Path, args: &str, script: &str) -> Ran {
    let mut all = words(args);
    all.extend(["-Q", "--", "sh", "-c", script].map(str::to_owned));
    run(dir, &all)
}

#[test]
fn the_status_of_the_command_is_ours() {
    if root().is_none() {
        return;
    }
    let dir = bench();
    for (script, status) in [
        ("exit 0", 0),
        ("exit 77", 77),
        ("exit 255", 255),
        ("kill -TERM $$", 128 + 15),
        ("kill -KILL $$", 128 + 9),
    ] {
        let ran = of_script(dir.path(), "", script);
        assert_eq!(
            (ran.status, &*ran.stdout),
            (status, ""),
            "{script}: {ran:?}"
        );
        assert_eq!(ran.stderr.lines().count(), 1, "the account alone: {ran:?}");
    }
}

#[test]
fn a_command_that_does_not_start() {
    if root().is_none() {
        return;
    }
    let dir = bench();
    fs::write(dir.path().join("text"), "no program").expect("a file");
    fs::write(dir.path().join("broken"), "\x7fELF and no more").expect("a file");
    let open = fs::Permissions::from_mode(0o755);
    fs::set_permissions(dir.path().join("broken"), open).expect("mode");
    for (name, status, why) in [
        ("no-such-program", 127, "No such file"),
        ("./missing", 127, "No such file"),
        ("./text", 126, "Permission denied"),
        ("./broken", 126, "Exec format error"),
        (".", 126, "Permission denied"),
    ] {
        let ran = run(dir.path(), &["--", name]);
        assert_eq!((ran.status, &*ran.stdout), (status, ""), "{ran:?}");
        let said = lines(&ran.stderr);
        assert_eq!(said.len(), 1, "{ran:?}");
        let expected = format!("execlat: cannot run \"{name}\": {why}");
        assert!(said[0].starts_with(&expected), "{ran:?}");
    }
}

/// Long arguments while execlat, the shell's parent, is stopped: more than the
/// smallest buffer holds.
const LOSE: &str = "kill -STOP $PPID; x=$(printf %04000d 0); i=0
    while [ $i -lt 307 ]; do /bin/true $x; i=$((i+1)); done; kill -CONT $PPID; exit 7";

#[test]
fn one_beats_three_beats_the_commands() {
    if root().is_none() {
        return;
    }
    let dir = bench();
    let status = |args: &str, script| {
        let ran = of_script(dir.path(), args, script);
        (ran.status, ran.stderr)
    };
    let (code, said) = status("--buffer 64K", LOSE);
    assert_eq!(code, 7, "{said}");
    assert!(
        said.contains("LOST: ") && said.contains("buffer full (raise --buffer)"),
        "{said}"
    );
    assert_eq!(status("--buffer 64K --strict", LOSE).0, 3);
    let (code, said) = status("--buffer 64K --strict -o /dev/full", LOSE);
    assert_eq!(code, 1, "{said}");
    assert!(
        said.contains("cannot write rows to /dev/full, they end here: No space left"),
        "{said}"
    );
    assert_eq!(status("--strict", "exit 7").0, 7);
    assert_eq!(status("-o /dev/full", "exit 7").0, 1);
}

#[test]
fn strict_is_for_recordings_too() {
    let dir = bench();
    let status = |line: &str| run(dir.path(), &words(line)).status;
    assert_eq!(status("report day.xl -Q --strict"), 0);
    assert_eq!(status("report lost-buffer.xl -Q"), 0);
    assert_eq!(status("report lost-buffer.xl -Q --strict"), 3);
    assert_eq!(status("report lost-buffer.xl --strict -o /dev/full"), 1);
    assert_eq!(status("report cut.xl -Q --strict"), 3);
}

#[test]
fn recordings_that_are_none() {
    let dir = bench();
    let day = fs::read(dir.path().join("day.xl")).expect("day.xl");
    let mut newer = day.clone();
    newer[8] += 1;
    let mut layout = day.clone();
    layout[12] += 1;
    let mut garbled = day.clone();
    garbled[40] ^= 1;
    let files: [(&str, &[u8], &str); 8] = [
        ("nothing", b"", "it is empty"),
        (
            "script",
            b"#!/bin/sh\necho this is no recording\n",
            "it is not a recording of execlat",
        ),
        (
            "words",
            b"execlat is a word, and more of them",
            "it is not a recording of execlat",
        ),
        (
            "newer",
            &newer,
            "it was made by a newer execlat (format 3, this one reads 2)",
        ),
        (
            "layout",
            &layout,
            "it was made by a newer execlat (record layout",
        ),
        ("garbled", &garbled, "a checksum in it is wrong in its head"),
        ("short", &day[..11], "it is cut off in its head"),
        ("head", &day[..16], "it is cut off in its head"),
    ];
    for (name, bytes, why) in files {
        fs::write(dir.path().join(name), bytes).expect("a file");
        // The good one beside it is of no use either: nothing is shown.
        for line in [format!("report {name}"), format!("report day.xl {name} -j")] {
            let ran = run(dir.path(), &words(&line));
            assert_eq!((ran.status, &*ran.stdout), (1, ""), "{line}: {ran:?}");
            let expected = format!("execlat: cannot read recording {name}: {why}");
            assert!(ran.stderr.starts_with(&expected), "{line}: {ran:?}");
            assert_eq!(ran.stderr.lines().count(), 1, "{line}: {ran:?}");
        }
    }
    for (name, why) in [("missing", "No such file"), (".", "…: Is a directory")] {
        let ran = run(dir.path(), &["report", name]);
        assert_eq!((ran.status, &*ran.stdout), (1, ""), "{ran:?}");
        assert!(ran.stderr.contains(why.trim_start_matches('…')), "{ran:?}");
    }
}

/// Where each chunk of a recording ends; the head counts as one.
fn boundaries(file: &[u8]) -> Vec<usize> {
    let mut ends = vec![16];
    while let Some(head) = file
        .get(ends[ends.len() - 1]..)
        .filter(|rest| rest.len() >= 12)
    {
        let length = u32::from_le_bytes(head[4..8].try_into().expect("four bytes"));
        ends.push(ends[ends.len() - 1] + 12 + length as usize);
    }
    ends
}

#[test]
fn a_recording_that_is_cut_off_is_used_up_to_there() {
    let dir = bench();
    let day = fs::read(dir.path().join("day.xl")).expect("day.xl");
    let whole = run(dir.path(), &["report", "day.xl", "-j"]);
    let whole = lines(&whole.stdout);
    let ends = boundaries(&day);
    assert!(
        ends.len() >= 5 && ends.last() == Some(&day.len()),
        "{ends:?}"
    );
    let mut before = 0;
    for end in ends[1..].iter().flat_map(|end| [end - 1, *end, end + 1]) {
        if end >= day.len() || end < ends[1] {
            continue;
        }
        fs::write(dir.path().join("part"), &day[..end]).expect("a part");
        let ran = run(dir.path(), &["report", "part", "-j"]);
        assert_eq!(ran.status, 0, "{end}: {ran:?}");
        let said = ran.stderr.lines().next().unwrap_or_default();
        assert!(
            said.starts_with("execlat: part: it ") && said.contains("cut off"),
            "{end}: {said}"
        );
        assert!(!ran.stderr.contains("nothing lost"), "{end}: {ran:?}");
        let rows = lines(&ran.stdout);
        let ended = rows
            .iter()
            .take_while(|row| !row.contains("\"end\":\"running\"") && !row.contains("summary"));
        let ended = ended.count();
        assert_eq!(rows[..ended], whole[..ended], "{end}");
        assert!(ended >= before, "{end}");
        before = ended;
        assert_eq!(
            run(dir.path(), &["report", "part", "-Q", "--strict"]).status,
            3,
            "{end}"
        );
    }
    assert_eq!(before, 18, "all that had ended before its last chunk");
}

#[test]
fn files_that_were_there_and_files_that_are_made() {
    let dir = bench();
    let mode = |name: &str| {
        let meta = fs::metadata(dir.path().join(name)).expect("the file");
        meta.permissions().mode() & 0o7777
    };
    let old = dir.path().join("old");
    fs::write(&old, "a line of yesterday\n".repeat(997)).expect("a file");
    fs::set_permissions(&old, fs::Permissions::from_mode(0o644)).expect("mode");
    let ran = run(
        dir.path(),
        &words("report day.xl -o old --histogram=h.json"),
    );
    assert_eq!((ran.status, mode("old"), mode("h.json")), (0, 0o644, 0o600));
    let now = fs::read_to_string(&old).expect("rows");
    assert!(
        now.starts_with("PID ") && !now.contains("yesterday"),
        "{now}"
    );
    assert_eq!(now.lines().count(), 19);
    let ran = run(dir.path(), &words("report day.xl -o new --csv"));
    assert_eq!((ran.status, mode("new")), (0, 0o600));
}

#[test]
fn a_recording_is_private_wherever_it_is_written() {
    if root().is_none() {
        return;
    }
    let dir = bench();
    let old = dir.path().join("old");
    fs::write(&old, "a line of yesterday\n".repeat(997)).expect("a file");
    fs::set_permissions(&old, fs::Permissions::from_mode(0o644)).expect("mode");
    for name in ["old", "new"] {
        let ran = run(
            dir.path(),
            &[
                "-Q",
                "--record",
                name,
                "--",
                "sh",
                "-c",
                "/bin/true; /bin/true",
            ],
        );
        assert_eq!(ran.status, 0, "{ran:?}");
        let meta = fs::metadata(dir.path().join(name)).expect("the recording");
        assert_eq!(meta.permissions().mode() & 0o7777, 0o600, "{name}");
        let ran = run(dir.path(), &["report", name]);
        assert_eq!((ran.status, ran.stdout.lines().count()), (0, 4), "{ran:?}");
    }
}

/// comm holds 15 bytes; what is longer is told by the base name of argv[0].
#[test]
fn names_of_more_than_fifteen_bytes() {
    let Some(yard) = Yard::new("names") else {
        return;
    };
    let (long, other) = ("containerd-shim-runc-v2", "containerd-shim-runc-v1");
    for name in [long, other] {
        std::os::unix::fs::symlink("/bin/true", yard.file(name)).expect("a link");
    }
    let live = yard.trace(&["-n", long, "--columns", "argv"]);
    for name in [long, other, long] {
        yard.run(yard.file(name).to_str().expect("our own path"));
    }
    let ran = live.finish_by(nix::sys::signal::Signal::SIGINT);
    let rows = lines(&ran.stdout);
    assert_eq!(rows.len(), 3, "{ran:?}");
    assert!(rows[1..].iter().all(|row| row.ends_with(long)), "{ran:?}");
}

/// Whatever numbers a file holds, it is shown or refused.
#[test]
fn wild_numbers_do_no_harm() {
    let dir = bench();
    let mut story = Story::new();
    let life = story.at(1000).run(9, &image("a b"), 5, code(0)).records();
    for at in (4..life.len() - 8).step_by(4) {
        let mut wild = life.clone();
        wild[at..at + 8].fill(0xff);
        shown_anyhow(dir.path(), Story::new().at(2000).raw(&wild).finish());
    }
    // From the beginning of time to its end.
    let mut story = Story::on("h", 967_000_000_000, "/");
    let mut whole = story.running(9, &image("a b")).exit(9, code(0)).records();
    let exit = whole.len() - 80;
    whole[exit + 8..exit + 16].fill(0xff);
    shown_anyhow(dir.path(), Story::new().at(2000).raw(&whole).finish());
}

#[test]
fn wild_losses_do_no_harm() {
    let dir = bench();
    for name in ["a", "b"] {
        let losses = SourceLosses {
            buffer_full: vec![(0, u64::MAX), (1, 1)],
            table_full: u64::MAX,
            skipped: vec![("exec".into(), u64::MAX), ("exit".into(), 1)],
            stale: u64::MAX,
            cgroup_unknown: u64::MAX,
            cgroup_names: u64::MAX,
            malformed: u64::MAX,
            places_unread: u64::MAX,
            names_unread: u64::MAX,
            argv_unread: u64::MAX,
            argv_unknown: u64::MAX,
            made_good: u64::MAX,
        };
        let recording = Story::new().at(u64::MAX / 2000).finish_with(losses);
        fs::write(dir.path().join(name), recording).expect("a recording");
    }
    let ran = run(dir.path(), &["report", "a", "b", "-j", "--strict"]);
    assert_eq!(ran.status, 3, "{ran:?}");
}

fn shown_anyhow(dir: &Path, recording: Vec<u8>) {
    fs::write(dir.join("wild"), recording).expect("a recording");
    for form in ["-Tt", "-j", "--csv", "-Q"] {
        let ran = run(dir, &["report", "wild", form, "--histogram"]);
        assert_eq!(ran.status, 0, "{form}: {ran:?}");
    }
}
