//! The live table, drawn without a terminal: events made by hand go the whole way
//! to a frame.
//!
//! `golden/frames.expected` is a transcript: after each line `$ FIGURES COLUMNSxROWS
//! KEYS` stands the frame of these figures on a screen of that size after those keys.
//! What is shown as failed or wrong stands between ‹ and ›. `EXECLAT_BLESS=1 cargo
//! test --test top_frames` writes what comes out. Then read it.

mod common;
mod support_cli;

use std::fmt::Write as _;
use std::path::Path;

use execlat::config::RowFilter;
use execlat::label::Key as GroupKey;
use execlat::loss::Losses;
use execlat::pipeline::{Pipeline, Totals};
use execlat::source::replay::Replay;
use execlat::source::{Batch, Source as _};
use execlat::stats::Stats;
use execlat::top::frame::{Frame, Size, Style, width};
use execlat::top::keys::Decoder;
use execlat::top::snapshot::{Gatherer, Seen, Snapshot, TREND};
use execlat::top::state::State;
use execlat::top::view;

use support_cli::story::{BEGAN_NS, Image, Story, code, image, image_of};

const MS: u64 = 1000;
const SECOND: u64 = 1000 * MS;
const DOCKER: u64 = 77;
const DOCKER_PATH: &[u8] = b"/system.slice/docker-\
    4f797c539e6c745de61a93ca3ff892358ecbcaccd8414d5db545c38428142970.scope";

/// Plays a recording; each of its rounds is an interval.
fn played(recording: &[u8], totals: &mut Totals, gatherer: &mut Gatherer) -> Pipeline {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), recording).expect("a recording");
    let mut source = Replay::open(file.path()).expect("a recording");
    let mut pipeline = Pipeline::new(source.about(), None);
    let mut batch = Batch::default();
    while source.next(&mut batch).expect("a batch") {
        let fed = pipeline.feed(&mut batch, totals, None);
        fed.expect("no sink");
        gatherer.interval(batch.horizon_ns, totals);
    }
    pipeline
}

/// The figures at its end.
fn snapshot(recording: &[u8], lost: Losses) -> Snapshot {
    let mut totals = Totals::new(GroupKey::Action, RowFilter::default(), false);
    let mut gatherer = Gatherer::new(BEGAN_NS);
    let pipeline = played(recording, &mut totals, &mut gatherer);
    let seen = Seen {
        now_ns: gatherer.interval_ns(),
        lost,
        message: None,
        quote: false,
    };
    gatherer.snapshot(seen, &pipeline, &totals)
}

fn empty() -> Vec<u8> {
    Story::new().at(2 * SECOND).round().bytes()
}

/// A container host for five seconds.
fn busy() -> Vec<u8> {
    let mut s = Story::new();
    s.cgroup(DOCKER, DOCKER_PATH, false);
    s.at(0)
        .running(977, &image("/usr/sbin/dockerd -H fd://").by(1, 0));
    s.running(1201, &image("nginx: worker").within(DOCKER).by(1200, 33));
    let mut pid = 5000;
    for second in 0..5 {
        for i in 0..7 * (second + 1) {
            let programs: [(Image, u64, u32); 5] = [
                (image("runc create --bundle /b web"), 16 + 3 * second, 0),
                (image("runc init"), 4, 0),
                (image("runc exec web true"), 24, u32::from(i % 5 == 0)),
                (image("/bin/sh -c exit").within(DOCKER), 2, 0),
                (
                    image("漢字エディタ --wide").comm("漢字エディタ".as_bytes()[..15].as_ref()),
                    700,
                    9,
                ),
            ];
            let (image, took_ms, status) = &programs[i as usize % programs.len()];
            s.at(second * SECOND + i * 7 * MS);
            s.run(pid, image, took_ms * MS, code(*status));
            pid += 1;
        }
        // It pauses in the fourth.
        if second != 3 {
            s.run(pid, &image("conmon --exit-command"), 40 * MS, 0);
        }
        s.at((second + 1) * SECOND - 1);
        s.exec(
            6000 + second as u32,
            &image(&format!(
                "runc --root /run/runc exec web-{second} sleep 1000"
            )),
        );
        if second == 4 {
            let line = "sh -c ./run-all-the-tests --with '漢字' and a line that is longer than any \
                        screen that this is shown on";
            s.at(4 * SECOND + 700 * MS)
                .exec(7001, &image(line).within(DOCKER));
        }
        s.at((second + 1) * SECOND).round();
    }
    s.bytes()
}

/// More groups than lines, with large figures.
fn many() -> Vec<u8> {
    let mut s = Story::new();
    for i in 0..57u32 {
        s.at(u64::from(i) * MS);
        for again in 0..=i % 3 {
            let name = format!("worker-{i:02}");
            s.run(
                3000 + 3 * i + again,
                &image(&name),
                u64::from(i * i) * SECOND,
                code(i % 2),
            );
        }
        s.exec(4000 + i, &image("tail -f /var/log/syslog"));
    }
    s.at(4000 * SECOND).round();
    s.bytes()
}

/// Names and arguments that try to get at the terminal.
fn hostile() -> Vec<u8> {
    let mut s = Story::new();
    let red = image_of(&[
        b"\x1b[31mred\x1b[0m",
        b"\x1b]0;title\x07",
        b"a\nb\r\tc\x9b2J",
    ]);
    s.at(MS)
        .run(10, &red.clone().comm(b"\x1b[2J\x1b[H\x07\n"), 5 * MS, 0);
    let turned = image_of(&["\u{202e}txt.exe".as_bytes(), b"\xff\xfe"]);
    s.run(11, &turned.comm("\u{202e}exe".as_bytes()), 5 * MS, code(1));
    s.exec(12, &red.comm(b"x\x1b[1;1Hy"));
    s.exec(
        13,
        &image_of(&["\u{200b}\u{feff}".as_bytes(), "e\u{301}\u{301}".as_bytes()]),
    );
    s.at(SECOND).round();
    s.bytes()
}

fn figures(name: &str) -> Snapshot {
    let none = Losses::default;
    match name {
        "empty" => snapshot(&empty(), none()),
        "busy" => snapshot(&busy(), none()),
        "many" => snapshot(&many(), none()),
        "hostile" => snapshot(&hostile(), none()),
        "lost" => {
            let lost = Losses {
                buffer_full: 1234,
                ..none()
            };
            let mut snapshot = snapshot(&busy(), lost);
            snapshot.message =
                Some("cannot write rows to r.csv, they end here: no \x1b[5mspace".into());
            snapshot
        }
        _ => panic!("no figures {name:?}"),
    }
}

/// The frame after some keys, spelled as a terminal sends them, `^[` for escape.
fn frame(figures: &Snapshot, size: Size, keys: &str) -> Frame {
    let mut state = State::new(GroupKey::Action);
    let mut decoder = Decoder::default();
    for byte in keys.replace("^[", "\x1b").bytes() {
        if let Some(key) = decoder.push(byte) {
            state.apply(key, view::room(figures, &state, size));
        }
    }
    view::frame(figures, &state, size)
}

/// It fits, and holds nothing that a terminal obeys.
fn harmless(frame: &Frame) {
    assert!(frame.lines.len() <= frame.size.rows, "{frame:?}");
    for line in &frame.lines {
        assert!(width(&line.text()) <= frame.size.columns, "{line:?}");
        assert!(!line.text().chars().any(char::is_control), "{line:?}");
    }
}

fn told(line: &str) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    let [name, size, keys @ ..] = &words[..] else {
        panic!("no case: {line}");
    };
    let (columns, rows) = size.split_once('x').expect("a size");
    let size = Size {
        columns: columns.parse().expect("columns"),
        rows: rows.parse().expect("rows"),
    };
    let frame = frame(&figures(name), size, keys.first().unwrap_or(&""));
    harmless(&frame);
    let mut out = format!("$ {line}\n");
    for line in &frame.lines {
        let shown: String = line
            .pieces()
            .iter()
            .map(|(style, text)| match style {
                Style::Bad | Style::Alarm => format!("‹{text}›"),
                _ => text.clone(),
            })
            .collect();
        let _ = writeln!(out, "{}", format!("│{shown}").trim_end());
    }
    out
}

#[test]
fn frames() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/frames.expected");
    let expected = std::fs::read_to_string(&path).expect("what is expected");
    let cases: Vec<&str> = expected
        .lines()
        .filter_map(|line| line.strip_prefix("$ "))
        .collect();
    assert!(cases.len() > 10, "{cases:?}");
    let got: Vec<String> = cases.into_iter().map(told).collect();
    let got = got.join("\n");
    if std::env::var_os("EXECLAT_BLESS").is_some_and(|v| v == "1") {
        std::fs::write(&path, &got).expect("to write what is expected");
        return;
    }
    for (i, (got, expected)) in got.lines().zip(expected.lines()).enumerate() {
        assert_eq!(got, expected, "line {} (EXECLAT_BLESS=1 takes it)", i + 1);
    }
    assert_eq!(got.lines().count(), expected.lines().count());
}

/// Any size, any figures.
#[test]
fn every_screen_is_filled_and_nothing_sticks_out() {
    for name in ["empty", "busy", "many", "hostile", "lost"] {
        let figures = figures(name);
        for (columns, rows) in (0..90)
            .step_by(5)
            .flat_map(|columns| (0..13).map(move |rows| (columns, rows)))
        {
            for keys in ["", "h", "i", "ii", "b", "^[[F"] {
                let frame = frame(&figures, Size { columns, rows }, keys);
                harmless(&frame);
                assert_eq!(frame.lines.len(), rows, "{name} {columns}x{rows} {keys}");
            }
        }
    }
}

/// A line's text is that of the frame of the same figures sorted by each column.
#[test]
fn each_column_is_sorted_by() {
    let figures = figures("busy");
    let size = Size {
        columns: 120,
        rows: 30,
    };
    let names = |keys: &str| -> Vec<String> {
        let shown = frame(&figures, size, keys).lines;
        let rows = shown.iter().skip(3).take(figures.groups.len());
        rows.map(|line| {
            line.text()
                .split("  ")
                .next()
                .unwrap_or_default()
                .to_owned()
        })
        .collect()
    };
    let by_name = names("1");
    assert!(by_name.is_sorted(), "{by_name:?}");
    assert_eq!(by_name.len(), 6);
    for (digit, first) in [
        ("2", "conmon"),
        ("4", "漢字エディタ"),
        ("5", "漢字エディタ"),
        ("8", "漢字エディタ"),
    ] {
        let there = names(digit);
        let mut back = names(&format!("{digit}{digit}"));
        back.reverse();
        assert_eq!(there, back, "{digit}");
        if digit != "2" {
            assert!(
                first.starts_with(there[0].trim_end_matches('…')),
                "{there:?}"
            );
        }
    }
}

/// A pause in a trend is a blank, and it ends with the newest.
#[test]
fn trends_are_means_of_intervals() {
    let figures = figures("busy");
    let of = |name: &str| {
        let group = figures.groups.iter().find(|group| group.name == name);
        group.expect("a group").trend_us.clone()
    };
    assert_eq!(of("runc create"), [16_000, 19_000, 22_000, 25_000, 28_000]);
    assert_eq!(of("conmon"), [40_000, 40_000, 40_000, 0, 40_000]);
    let mut s = Story::new();
    for second in 0..TREND as u64 + 7 {
        s.at(second * SECOND).run(9, &image("x"), second * MS, 0);
        s.at((second + 1) * SECOND).round();
    }
    let figures = snapshot(&s.bytes(), Losses::default());
    let expected: Vec<u32> = (7..37).map(|ms| ms * 1000).collect();
    assert_eq!(figures.groups[0].trend_us, expected);
    assert!((figures.groups[0].rate - 1.0).abs() < 1e-9);
    assert!((figures.rate - 1.0).abs() < 1e-9);
}

/// The figures that are there already are no burst of the next interval.
#[test]
fn a_regrouping_is_no_burst() {
    let mut totals = Totals::new(GroupKey::Action, RowFilter::default(), false);
    let mut gatherer = Gatherer::new(BEGAN_NS);
    let pipeline = played(&busy(), &mut totals, &mut gatherer);
    let now_ns = BEGAN_NS + 5_000_000_000;
    gatherer.regroup(BEGAN_NS, &totals);
    gatherer.interval(now_ns + 1_000_000_000, &totals);
    let seen = Seen {
        now_ns: now_ns + 1_000_000_000,
        ..Seen::default()
    };
    let figures = gatherer.snapshot(seen, &pipeline, &totals);
    assert_eq!(figures.groups.len(), 6);
    for group in &figures.groups {
        assert!(group.count > 0 && group.rate == 0.0, "{group:?}");
        assert_eq!(group.trend_us, [0], "{group:?}");
    }
    // By another key: what comes from now on.
    totals.regrouped = Some((GroupKey::Container, Stats::default()));
    gatherer.regroup(now_ns, &totals);
    let seen = Seen {
        now_ns,
        ..Seen::default()
    };
    let figures = gatherer.snapshot(seen, &pipeline, &totals);
    assert_eq!((figures.groups.len(), figures.gathered_ns), (0, 0));
    assert_eq!(figures.executions, 109);
}

#[test]
fn what_runs_is_counted_and_listed_longest_first() {
    let figures = figures("busy");
    assert_eq!((figures.in_flight, figures.ran_before), (8, 2));
    let ages: Vec<u64> = figures.running.iter().map(|row| row.age_ns).collect();
    assert!(ages.is_sorted_by(|a, b| a >= b), "{ages:?}");
    assert_eq!(figures.running.len(), 8);
    assert!(figures.running[0].ran_before && figures.running[1].ran_before);
    assert_eq!(figures.running[2].age_ns / 1_000_000, 4000);
    // More are counted than are copied.
    let mut s = Story::new();
    for pid in 0..503 {
        s.at(u64::from(pid)).exec(pid + 1, &image("sleep"));
    }
    let figures = snapshot(&s.at(SECOND).round().bytes(), Losses::default());
    assert_eq!(figures.in_flight, 503);
    let pids: Vec<u32> = figures.running.iter().map(|row| row.pid).collect();
    assert_eq!(pids, (1..=200).collect::<Vec<u32>>());
}
