//! The manual names what the program has: no option, column, field, count or exit
//! status is missing in it, and none is left that is gone.

mod common;
#[path = "man/page.rs"]
mod page;
mod support_cli;

use std::collections::BTreeSet;
use std::process::{Command, Output};

use common::InTime as _;
use execlat::anatomy::PHASES;
use execlat::cli;
use execlat::recording::Writer;
use execlat::row::{CSV, Column, TABLE};
use execlat::run::{FAILED, LOST};
use execlat::sink::tree::KEPT_MAX_BYTES;
use execlat::source::{About, Batch, Ending};
use execlat::stats::{CPU_PERCENTILES, GROUPS_MAX, OTHER, PERCENTILES};
use execlat::top::column;
use execlat::top::state::KEYS;
use execlat::wire::{ARGS_MAX_BYTES, as_bytes, xl_exec, xl_exit, xl_header};
use page::{
    Entry, MANUAL, Names, assert_same, declared, entries, long_options_in, named_in, plain, request,
};
use serde_json::Value;

/// Options that the parser adds by itself.
const ADDED: [&str; 2] = ["help", "version"];

fn execlat(args: &[&str]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_execlat"))
        .args(args)
        .in_time()
        .output();
    output.expect("execlat runs")
}

fn stdout_of(args: &[&str]) -> String {
    let output = execlat(args);
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn header(kind: u16, bytes: usize, ts_ns: u64, seq: u32) -> xl_header {
    xl_header {
        bytes: bytes as u32,
        kind,
        flags: 0,
        ts_ns,
        start_ns: 7,
        tgid: 4211,
        seq,
    }
}

/// A recording of one execution, one of whose arguments is not UTF-8: its row has
/// every field.
fn recording() -> tempfile::NamedTempFile {
    const EXEC: u16 = 1;
    const EXIT: u16 = 2;
    let args = b"runc\0state\0\xff\0";
    let bytes = size_of::<xl_exec>() + args.len();
    let exec = xl_exec {
        header: header(EXEC, bytes, 1_000, 1),
        args_bytes: args.len() as u32,
        ..xl_exec::default()
    };
    let exit = xl_exit {
        header: header(EXIT, size_of::<xl_exit>(), 3_000, 2),
        status: 9,
        ..xl_exit::default()
    };
    let batch = Batch {
        bytes: [as_bytes(&exec), &args[..], as_bytes(&exit)].concat(),
        horizon_ns: 4_000,
        ..Batch::default()
    };
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    let mut writer = Writer::new(file.as_file(), &About::default()).expect("begun");
    writer.batch(&batch).expect("written");
    writer.finish(&Ending::default()).expect("ended");
    file
}

fn report(args: &[&str]) -> String {
    let file = recording();
    let path = file.path().to_str().expect("a plain path").to_owned();
    stdout_of(&[&["report", &path], args].concat())
}

/// The row and the summary of that recording.
fn json() -> (Value, Value) {
    let text = report(&["--json"]);
    let mut lines = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"));
    let (row, last): (Value, Value) = (
        lines.next().expect("a row"),
        lines.next().expect("a summary"),
    );
    assert_eq!(row["time_ns"], 2_000, "{row}");
    (row, last["summary"].clone())
}

fn keys(value: &Value) -> Vec<String> {
    let object = value.as_object().expect("an object");
    object.keys().cloned().collect()
}

#[test]
fn each_option_has_an_entry() {
    let declared: Vec<String> = entries()
        .iter()
        .filter(|entry| entry.section == "OPTIONS")
        .flat_map(|entry| long_options_in(&entry.text))
        .collect();
    let known = cli::long_options();
    let added = ADDED.map(str::to_owned);
    assert_same(declared, known.into_iter().chain(added));
}

#[test]
fn no_option_is_named_that_is_gone() {
    let known: Names = cli::long_options()
        .into_iter()
        .chain(ADDED.map(str::to_owned))
        .collect();
    let named = long_options_in(&plain(MANUAL));
    assert!(named.len() > 20, "{named:?}");
    let stale: Vec<_> = named.difference(&known).collect();
    assert!(stale.is_empty(), "only in the manual: {stale:?}");
}

#[test]
fn help_and_manual_name_the_same_options() {
    let tasks: [&[&str]; 3] = [
        &["--help"],
        &["report", "--help"],
        &["completions", "--help"],
    ];
    let help = tasks.map(stdout_of).join("\n");
    let in_help = declared(help.lines().map(str::to_owned));
    let options = entries()
        .into_iter()
        .filter(|entry| entry.section == "OPTIONS");
    let in_manual = declared(options.map(|entry| entry.text));
    assert!(in_manual.contains("-c --cgroup"), "{in_manual:?}");
    assert_eq!(in_manual, in_help);
}

const NOT_FOR_REPORT: &str = "Not for report";

/// What `execlat report` takes has its entry where the manual says so, or says that it
/// does not.
#[test]
fn options_stand_under_what_they_are_for() {
    let of = |task: &[&str]| declared(stdout_of(task).lines().map(str::to_owned));
    let under = |part: &str| {
        let part = entries()
            .into_iter()
            .filter(|entry| entry.section == "OPTIONS" && entry.part == part);
        declared(part.map(|entry| entry.text))
    };
    let live = &of(&["--help"]) - &of(&["report", "--help"]);
    let live = &live - &under("Other");
    let views = entries().into_iter().filter(|entry| {
        let stays = entry.section == "OPTIONS" && entry.part == "Output";
        stays && entry.body.contains(NOT_FOR_REPORT)
    });
    let views = declared(views.map(|entry| entry.text));
    assert_eq!(&under("Tracing") | &views, live);
}

/// The completion script has them all.
#[test]
fn values_of_options_are_named() {
    let script = stdout_of(&["completions", "bash"]);
    let help = stdout_of(&["completions", "--help"]);
    let lists = script
        .lines()
        .filter_map(|line| line.split_once("compgen -W \"")?.1.split_once('"'))
        .map(|(list, _)| list)
        .filter(|list| !list.starts_with('$'));
    let shells = help.split_once("[possible values: ").expect("shells").1;
    let shells = shells.split(']').next().unwrap_or_default();
    let values: Names = lists
        .chain([shells])
        .flat_map(|list| list.split([' ', ',', '\n']))
        .filter(|value| !value.is_empty())
        .map(str::to_owned)
        .collect();
    assert!(values.contains("kprobe") && values.contains("zsh") && values.contains("argv0"));
    let manual = plain(MANUAL);
    let words: BTreeSet<&str> = manual.split([' ', '\n', ',', '"']).collect();
    for value in values {
        assert!(words.contains(value.as_str()), "not in the manual: {value}");
    }
}

#[test]
fn each_column_has_an_entry() {
    let shown = [Column::TimeOfDay, Column::Elapsed];
    let headings: Vec<String> = entries()
        .into_iter()
        .filter(|entry| entry.part == "Columns")
        .map(|entry| entry.text)
        .collect();
    let columns = CSV.into_iter().chain(shown);
    assert_same(
        headings,
        columns.map(|column| format!("{}, {}", column.name(), column.heading())),
    );
    let names = |columns: &[Column]| columns.iter().map(|c| c.name()).collect::<Vec<_>>();
    let head = report(&["--csv"]);
    assert_eq!(head.lines().next(), Some(names(&CSV).join(",").as_str()));
    // The manual lists the columns of CSV in their order, one a line.
    let listed: Vec<String> = names(&CSV)
        .iter()
        .map(|name| format!(".BR {name} "))
        .collect();
    let listed = listed.join(",\n") + ".\n";
    assert!(MANUAL.contains(&listed), "{listed}");
    let default = TABLE.map(|column| column.name());
    let (last, others) = default.split_last().expect("columns");
    let listed = format!("{} and {last} ,", others.join(" , "));
    let text = request(
        MANUAL
            .lines()
            .skip_while(|line| !line.starts_with("By default a table has"))
            .nth(1)
            .unwrap_or_default(),
    );
    let text = text.map_or_else(String::new, |(_, text)| text);
    assert_eq!(text.replace(',', " ,"), listed);
}

#[test]
fn each_field_of_a_row_has_an_entry() {
    let (row, _) = json();
    assert_same(named_in("FIELDS", "JSON rows"), keys(&row));
}

/// Starts of containers, by the recording of the golden tests.
#[test]
fn the_anatomy_is_described() {
    let dir = support_cli::bench();
    let path = dir.path().join("starts.xl");
    let report = |form| {
        let path = path.to_str().expect("a plain path");
        stdout_of(&["report", "--anatomy", path, form])
    };
    let json = report("--json");
    let lines: Vec<Value> = json
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_same(named_in("ANATOMY", "Fields of JSON"), keys(&lines[0]));
    let csv = report("--csv");
    let columns = csv.lines().next().unwrap_or_default().split(',');
    assert_same(named_in("ANATOMY", "Columns of CSV"), columns);
    let phases = PHASES.map(|phase| phase.name());
    assert_same(named_in("ANATOMY", "Phases"), phases);
    let table = report("--color=never");
    let headings = table.lines().next().unwrap_or_default().split_whitespace();
    let of_phases = phases.map(str::to_uppercase);
    let headings = headings.filter(|heading| !of_phases.contains(&(*heading).to_owned()));
    assert_same(named_in("ANATOMY", "Rows"), headings);

    let figures = &lines[lines.len() - 2]["anatomy"];
    let hook = lines.iter().find_map(|line| line["hooks"].get(0));
    let mut names = [keys(figures), keys(&figures["phases"][0])].concat();
    names.extend(keys(&figures["phases"][0]["percentiles_ns"]));
    names.extend(keys(hook.expect("a start with a hook")));
    names.extend(keys(&lines[0]["marks_ns"]));
    names.extend(keys(&lines[0]["phases_ns"]));
    let text = plain(MANUAL);
    let (_, part) = text.split_once(".SH ANATOMY").expect("the section");
    let (part, _) = part.split_once("\n.SH ").expect("the next section");
    for name in names {
        let named = part.split([' ', '"', '\n', ',']).any(|word| word == name);
        assert!(named, "not in the manual: {name}");
    }
}

#[test]
fn each_count_of_the_summary_has_an_entry() {
    let (_, summary) = json();
    assert_same(named_in("FIELDS", "Summary"), keys(&summary));
}

#[test]
fn each_kind_of_loss_has_an_entry() {
    let (_, summary) = json();
    assert_same(named_in("FIELDS", "Losses"), keys(&summary["lost"]));
}

#[test]
fn each_figure_of_a_histogram_is_named() {
    let named = PERCENTILES
        .iter()
        .chain(&CPU_PERCENTILES)
        .map(|(name, _)| *name);
    let figures = ["count", "failed", "min", "max", "total"];
    assert_same(
        named_in("HISTOGRAM", "Figures"),
        figures.into_iter().chain(named),
    );

    let dir = tempfile::tempdir().expect("a temporary directory");
    let (json, csv) = (dir.path().join("h.json"), dir.path().join("h.csv"));
    let export = |path: &std::path::Path| format!("--histogram={}", path.display());
    report(&["-Q", &export(&json), &export(&csv)]);
    let read = |path| std::fs::read_to_string(path).expect("exported");
    let json: Value = serde_json::from_str(&read(&json)).expect("JSON");
    let csv = read(&csv);
    let group = &json["groups"][0];
    let class = &group["distribution"][0];
    let cpu = &group["cpu_percentiles_ns"];
    let mut names = [keys(&json), keys(group), keys(class), keys(cpu)].concat();
    let columns = csv.lines().next().unwrap_or_default().split(',').skip(1);
    names.extend(columns.map(str::to_owned));
    let text = plain(MANUAL);
    let (_, part) = text.split_once(".SS Files").expect("the part on files");
    let (part, _) = part.split_once(".SH").expect("the next section");
    for name in names {
        let is_name = |word: &str| word == name;
        let named = part.split([' ', '"', '\n', ',']).any(is_name);
        assert!(named, "not in the manual: {name}");
    }
}

#[test]
fn the_live_table_is_described() {
    let headings = column::ALL.map(column::Column::heading);
    assert_same(named_in("LIVE TABLE", "Groups"), headings);
    let of_keys = |entry: &Entry| entry.section == "LIVE TABLE" && entry.part == "Keys";
    let described: Vec<Entry> = entries().into_iter().filter(of_keys).collect();
    // And Ctrl-Z and Ctrl-L, which the help does without.
    assert_eq!(described.len(), KEYS.len() + 2);
    for ((keys, _), entry) in KEYS.iter().zip(&described) {
        let named: Vec<&str> = entry.text.split([' ', ',']).collect();
        for key in keys.split(' ').filter(|key| key.is_ascii()) {
            assert!(named.contains(&key), "not in the manual: {key}");
        }
    }
}

#[test]
fn each_exit_status_has_an_entry() {
    assert_eq!(
        execlat(&["--no-such-option"]).status.code(),
        Some(2),
        "usage"
    );
    let statuses = ["0", &FAILED.to_string(), "2", &LOST.to_string()].map(str::to_owned);
    let of_command = ["status", "126", "127", "128+N"].map(str::to_owned);
    assert_same(
        named_in("EXIT STATUS", ""),
        statuses.into_iter().chain(of_command),
    );
}

#[test]
fn bounds_are_those_of_the_program() {
    let text = plain(MANUAL).replace('\n', " ");
    assert!(text.contains(&format!("more than {GROUPS_MAX} groups")));
    assert!(text.contains(&format!(".BR {OTHER} .")));
    let tree_mib = KEPT_MAX_BYTES >> 20;
    assert!(text.contains(&format!("up to {tree_mib} MiB of them")));
    assert!(text.contains(&format!("1 to {ARGS_MAX_BYTES}, default 4096")));
    assert!(stdout_of(&["--help"]).contains("[default: 4096]"));
}

#[test]
fn the_version_is_this_one() {
    let title = MANUAL.lines().find(|line| line.starts_with(".TH "));
    let version = format!("\"execlat {}\"", env!("CARGO_PKG_VERSION"));
    assert!(
        title.is_some_and(|title| title.contains(&version)),
        "{title:?}"
    );
}
