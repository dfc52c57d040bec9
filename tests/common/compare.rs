//! The comparison: every row there, once, no other, and each field exact.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::time::Duration;

use base64::Engine as _;
use serde_json::Value;

use super::{Observed, Report};

/// The default of `--max-args-bytes`.
const MAX_ARGS_BYTES: usize = 4096;
/// How many differences a failure shows.
const SHOWN: usize = 20;

/// From, to, in nanoseconds; both ends allowed.
pub type Bounds = (u64, u64);

/// One execution as an exact observer must report it.
#[derive(Clone, Debug)]
pub struct Expected {
    pub label: String,
    pub pid: u64,
    pub ppid: u64,
    pub uid: u64,
    pub argv: Vec<Vec<u8>>,
    /// `exit`, `exec`, `running`; `unsure`: rows of this pid are not looked at.
    pub end: String,
    pub exit_code: Option<i64>,
    pub signal: Option<i64>,
    pub core: bool,
    pub reexecs: u64,
    pub start_known: bool,
    pub time_ns: Bounds,
    pub start_ns: Bounds,
    pub end_ns: Bounds,
    /// Of each of [`USED`]; absent where nobody measured it.
    pub used: Option<[Bounds; 4]>,
    /// The peak over all images of the process and of its children, as `wait4` has it.
    pub wait4_maxrss_kib: Option<u64>,
}

/// The fields of what an execution used, in the workload's order.
pub const USED: [&str; 4] = [
    "cpu_ns",
    "major_faults",
    "voluntary_switches",
    "involuntary_switches",
];

/// What the workload read before and after bounds it; without a `wait4` from below only.
fn used_bounds(line: &Value) -> Option<[Bounds; 4]> {
    let least = line["used_min"].as_array()?;
    let most = line["used_max"].as_array();
    let number = |values: &[Value], i: usize| values[i].as_u64().expect("a number");
    Some(std::array::from_fn(|i| {
        let most = most.map_or(u64::MAX, |most| number(most, i));
        (number(least, i), most)
    }))
}

impl Expected {
    pub fn of_line(line: &Value) -> Expected {
        let number = |name: &str| {
            line[name]
                .as_u64()
                .unwrap_or_else(|| panic!("{name}: {line}"))
        };
        let flag = |name: &str| {
            line[name]
                .as_bool()
                .unwrap_or_else(|| panic!("{name}: {line}"))
        };
        let word = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
        let argv = line["argv_hex"].as_array().expect("argv_hex").iter();
        Expected {
            label: word("label"),
            pid: number("pid"),
            ppid: number("ppid"),
            uid: number("uid"),
            argv: argv.map(|a| unhex(a.as_str().expect("hex"))).collect(),
            end: word("end"),
            exit_code: line["exit_code"].as_i64(),
            signal: line["signal"].as_i64(),
            core: flag("core"),
            reexecs: number("reexecs"),
            start_known: flag("start_known"),
            time_ns: (number("min_ns"), number("max_ns")),
            start_ns: (number("start_min_ns"), number("start_max_ns")),
            end_ns: (number("end_min_ns"), number("end_max_ns")),
            used: used_bounds(line),
            wait4_maxrss_kib: line["wait4_maxrss_kib"].as_u64(),
        }
    }

    /// A process that may be one execution or two: the machine was too busy to tell.
    pub fn unsure(line: &Value) -> Expected {
        Expected {
            label: "unsure".into(),
            end: "unsure".into(),
            pid: line["pid"].as_u64().expect("a pid"),
            ppid: 0,
            uid: 0,
            argv: Vec::new(),
            exit_code: None,
            signal: None,
            core: false,
            reexecs: 0,
            start_known: true,
            time_ns: (0, u64::MAX),
            start_ns: (0, u64::MAX),
            end_ns: (0, u64::MAX),
            used: None,
            wait4_maxrss_kib: None,
        }
    }

    pub fn is_unsure(&self) -> bool {
        self.end == "unsure"
    }

    /// The workload program itself, which knows less of its own bounds.
    pub fn of_main(
        done: &Value,
        argv: &[String],
        exit_code: Option<i32>,
        signal: Option<i32>,
        elapsed: Duration,
    ) -> Expected {
        let number = |name: &str| {
            done[name]
                .as_u64()
                .unwrap_or_else(|| panic!("{name}: {done}"))
        };
        let max_ns = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
        Expected {
            label: "main".into(),
            pid: number("pid"),
            ppid: number("ppid"),
            uid: u64::from(rustix::process::getuid().as_raw()),
            argv: argv.iter().map(|a| a.clone().into_bytes()).collect(),
            end: "exit".into(),
            exit_code: exit_code.map(i64::from),
            signal: signal.map(i64::from),
            core: false,
            reexecs: 0,
            start_known: true,
            time_ns: (number("min_ns"), max_ns),
            start_ns: (0, u64::MAX),
            end_ns: (0, u64::MAX),
            used: None,
            wait4_maxrss_kib: None,
        }
    }

    /// The same, where execlat was started after it.
    pub fn running_before(mut self) -> Expected {
        self.start_known = false;
        self
    }

    /// How this row differs, one line a field.
    fn differences(&self, row: &Value, max_args_bytes: usize) -> Vec<String> {
        let mut all = Vec::new();
        let mut differ = |field: &str, expected: Value| {
            // "absent is null": and what is absent is false, none or 0.
            let got = &row[field];
            let nothing = expected == Value::Bool(false) || expected == 0 || expected.is_null();
            if *got != expected && !(nothing && got.is_null()) {
                all.push(format!("{field} is {got}, not {expected}"));
            }
        };
        differ("pid", self.pid.into());
        differ("ppid", self.ppid.into());
        differ("uid", self.uid.into());
        differ("end", self.end.as_str().into());
        differ("exit_code", self.exit_code.into());
        differ("signal", self.signal.into());
        differ("core_dumped", self.core.into());
        differ("reexecs", self.reexecs.into());
        if row["start_known"].as_bool().unwrap_or(true) != self.start_known {
            all.push(format!("start_known is not {}", self.start_known));
        }
        all.extend(self.argv_differences(row, max_args_bytes));
        all.extend(self.used_differences(row));
        let mut within = |field: &str, bounds: Bounds| match row[field].as_u64() {
            Some(ns) if (bounds.0..=bounds.1).contains(&ns) => {}
            _ => all.push(format!("{field} is {}, not in {bounds:?}", row[field])),
        };
        within("start_ns", self.start_ns);
        if self.end == "running" {
            within("time_ns", (self.time_ns.0, u64::MAX));
        } else {
            within("time_ns", self.time_ns);
            within("end_ns", self.end_ns);
        }
        all
    }

    fn used_differences(&self, row: &Value) -> Vec<String> {
        let mut all = Vec::new();
        if self.end == "running" {
            let fields = USED
                .iter()
                .chain(&["off_cpu_ns", "maxrss_bytes", "maxrss_known"]);
            let known = fields.filter(|field| !row[**field].is_null());
            return known.map(|field| format!("{field} is not null")).collect();
        }
        for (field, bounds) in USED.iter().zip(self.used.iter().flatten()) {
            match row[*field].as_u64() {
                Some(used) if (bounds.0..=bounds.1).contains(&used) => {}
                _ => all.push(format!("{field} is {}, not in {bounds:?}", row[*field])),
            }
        }
        let number = |field: &str| row[field].as_u64().unwrap_or(u64::MAX);
        let off_ns = number("time_ns").saturating_sub(number("cpu_ns"));
        if number("off_cpu_ns") != off_ns {
            all.push(format!("off_cpu_ns is {}, not {off_ns}", row["off_cpu_ns"]));
        }
        let peak_kib = number("maxrss_bytes") / 1024;
        let most_kib = self.wait4_maxrss_kib.unwrap_or(u64::MAX / 1024 - 1);
        if peak_kib > most_kib || !row["maxrss_known"].is_boolean() {
            all.push(format!(
                "maxrss is {peak_kib} KiB (known: {}), but {:?} to wait4",
                row["maxrss_known"], self.wait4_maxrss_kib
            ));
        }
        all
    }

    fn argv_differences(&self, row: &Value, max_args_bytes: usize) -> Vec<String> {
        let mut all = Vec::new();
        let expected = joined(&self.argv);
        let truncated = expected.len() > max_args_bytes;
        if row["argv_bytes"].as_u64() != Some(expected.len() as u64) {
            all.push(format!(
                "argv_bytes is {}, not {}",
                row["argv_bytes"],
                expected.len()
            ));
        }
        if row["argv_truncated"].as_bool().unwrap_or(false) != truncated {
            all.push(format!("argv_truncated is {}", row["argv_truncated"]));
        }
        let got = row_argv(row);
        let right = if truncated {
            // The last argument is cut; whether its NUL was captured cannot be seen.
            let got = joined(&got);
            let body = &got[..got.len().saturating_sub(1)];
            expected.starts_with(body)
                && (max_args_bytes - 1..=max_args_bytes).contains(&body.len())
        } else {
            got == self.argv
        };
        if !right {
            all.push(format!("argv is {}, not {}", show(&got), show(&self.argv)));
        }
        all
    }
}

/// Fails the test unless the rows are exactly the expected ones and nothing was lost.
pub fn check(expected: &[Expected], observed: &Observed) {
    check_with(expected, observed, MAX_ARGS_BYTES);
}

/// The same, for another `--max-args-bytes`.
pub fn check_with(expected: &[Expected], observed: &Observed, max_args_bytes: usize) {
    let mut wrong = differences(expected, &observed.rows, max_args_bytes);
    wrong.extend(losses(&observed.summary));
    if wrong.is_empty() {
        return;
    }
    let mut text = format!(
        "{} differences, {} executions, {} rows\n",
        wrong.len(),
        expected.len(),
        observed.rows.len()
    );
    for line in wrong.iter().take(SHOWN) {
        let _ = writeln!(text, "  {line}");
    }
    panic!(
        "{text}summary: {}\nstderr: {}",
        observed.summary, observed.stderr
    );
}

/// Rows and executions of one pid, in order of time, must be one to one.
pub fn differences(expected: &[Expected], rows: &[Value], max_args_bytes: usize) -> Vec<String> {
    let mut by_pid: BTreeMap<u64, (Vec<&Expected>, Vec<&Value>)> = BTreeMap::new();
    for e in expected {
        by_pid.entry(e.pid).or_default().0.push(e);
    }
    for row in rows {
        let pid = row["pid"].as_u64().unwrap_or(0);
        by_pid.entry(pid).or_default().1.push(row);
    }
    let mut all = Vec::new();
    for (pid, (mut expected, mut rows)) in by_pid {
        if expected.iter().any(|e| e.is_unsure()) {
            continue;
        }
        expected.sort_by_key(|e| e.start_ns.0);
        rows.sort_by_key(|row| row["start_ns"].as_u64());
        if expected.len() != rows.len() {
            let kind = if expected.len() > rows.len() {
                "missing"
            } else {
                "surplus"
            };
            all.push(format!(
                "pid {pid}: {kind}: {} expected, {} rows",
                expected.len(),
                rows.len()
            ));
            all.extend(
                expected
                    .iter()
                    .map(|e| format!("    expected {} {}", e.label, brief(e))),
            );
            all.extend(
                rows.iter()
                    .map(|row| format!("    row {}", cut(&row.to_string()))),
            );
            continue;
        }
        for (e, row) in expected.iter().zip(&rows) {
            for difference in e.differences(row, max_args_bytes) {
                all.push(format!("pid {pid} ({}): {difference}", e.label));
            }
        }
    }
    all
}

/// What tells the executions of a workload apart: each has a serial number in its arguments.
pub type Key = (u64, Vec<Vec<u8>>);

pub fn key_of_row(row: &Value) -> Key {
    (row["pid"].as_u64().unwrap_or(0), row_argv(row))
}

pub fn by_key(expected: &[Expected]) -> HashMap<Key, &Expected> {
    expected
        .iter()
        .map(|e| ((e.pid, e.argv.clone()), e))
        .collect()
}

/// The executions whose rows are exact. No row is invented, and none is wrong.
pub fn exact(report: &Report, observed: &Observed) -> usize {
    let happened = by_key(&report.expected);
    let mut exact = 0;
    for row in &observed.rows {
        let e: &Expected = happened
            .get(&key_of_row(row))
            .unwrap_or_else(|| panic!("never happened: {row}"));
        // An end that was lost is said to be unknown.
        if row["end"] == "exit" {
            let one = std::slice::from_ref(e);
            let wrong = differences(one, std::slice::from_ref(row), MAX_ARGS_BYTES);
            assert!(wrong.is_empty(), "{wrong:#?}");
            exact += 1;
        }
    }
    exact
}

/// Every count in the summary's `lost` must be there and be 0.
pub fn losses(summary: &Value) -> Vec<String> {
    let Some(lost) = summary["lost"].as_object() else {
        return vec![format!("the summary has no `lost`: {summary}")];
    };
    lost.iter()
        .filter(|(_, n)| n.is_number() && n.as_f64() != Some(0.0))
        .map(|(cause, n)| format!("lost: {cause} = {n}"))
        .collect()
}

/// A row's argv, byte for byte: base64 stands beside what is no UTF-8.
pub fn row_argv(row: &Value) -> Vec<Vec<u8>> {
    let strings = |field: &str| {
        row[field].as_array().map(|all| {
            all.iter()
                .map(|a| a.as_str().unwrap_or("(no string)").to_owned())
                .collect::<Vec<_>>()
        })
    };
    if let Some(raw) = strings("argv_base64") {
        let decode = |a| {
            base64::engine::general_purpose::STANDARD
                .decode(a)
                .expect("base64")
        };
        return raw.into_iter().map(decode).collect();
    }
    strings("argv")
        .unwrap_or_default()
        .into_iter()
        .map(String::into_bytes)
        .collect()
}

fn joined(argv: &[Vec<u8>]) -> Vec<u8> {
    argv.iter()
        .flat_map(|a| a.iter().copied().chain([0]))
        .collect()
}

fn brief(e: &Expected) -> String {
    format!(
        "{} {:?} {:?} {}",
        e.end,
        e.exit_code,
        e.signal,
        show(&e.argv)
    )
}

fn show(argv: &[Vec<u8>]) -> String {
    let all: Vec<_> = argv.iter().map(|a| a.escape_ascii().to_string()).collect();
    cut(&format!("{all:?} ({})", argv.len()))
}

fn cut(text: &str) -> String {
    text.chars().take(600).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let byte = |i| u8::from_str_radix(&text[i..i + 2], 16).expect("hex");
    (0..text.len()).step_by(2).map(byte).collect()
}
