//! From parsed arguments to a configuration: what options mean together.

use std::ffi::OsString;

use super::{By, FilterArgs, LiveArgs, Probe as ProbeArg, ReportArgs, Request, ViewArgs};
use crate::config::{self, Config, Format, KernelFilter, Live, Origin, RowFilter, View};
use crate::label::Key;
use crate::row::{self, Column, parse_columns};

pub fn live(
    live: LiveArgs,
    filter: FilterArgs,
    view: ViewArgs,
    command: Vec<OsString>,
) -> Result<Request, String> {
    if !command.is_empty() && !filter.pids.is_empty() {
        return Err("--pid and COMMAND both say which processes: give one of them".to_owned());
    }
    check_top(&view, !command.is_empty())?;
    let (mut kernel, rows) = filters(filter);
    kernel.follow = live.follow;
    kernel.command = !command.is_empty();
    if view.anatomy && kernel.follow {
        return Err("--anatomy follows what it needs: --follow does not go with it".to_owned());
    }
    anatomy(&mut kernel, &view);
    let view = resolved(view, rows, &kernel)?;
    let places = live.record.is_some() || view.shows_places();
    kernel.runtimes = kernel.from_outside() || places;
    kernel.forks = view.tree && !view.anatomy;
    let origin = Origin::Live(Live {
        filter: kernel,
        probe: match live.probe {
            ProbeArg::Auto => config::Probe::Auto,
            ProbeArg::Kprobe => config::Probe::Kprobe,
            ProbeArg::Tracepoint => config::Probe::Tracepoint,
        },
        buffer_bytes: live.buffer,
        args_bytes: live.max_args_bytes,
        duration: live.duration,
        command,
        names: live.record.is_some() || shows_names(&view),
        record: live.record,
    });
    Ok(request(origin, view))
}

/// Names of containers cost a look at the disk for each.
fn shows_names(view: &View) -> bool {
    let rows = !view.quiet || view.output.is_some();
    let shown = view.format == Format::Json || view.columns.contains(&Column::Name);
    (rows && shown) || view.by == Key::Name || view.anatomy || view.top.is_some()
}

pub fn report(report: ReportArgs) -> Result<Request, String> {
    let (mut kernel, rows) = filters(report.filter);
    anatomy(&mut kernel, &report.view);
    if report.view.interval.is_some() {
        return Err("--interval is for live tracing: a recording is over".to_owned());
    }
    if report.view.slow.is_some() {
        return Err(
            "--slow is for live tracing: a recording is over, and --min-time chooses its long rows"
                .to_owned(),
        );
    }
    if report.view.top.is_some() {
        return Err("--top is for live tracing: a recording is over".to_owned());
    }
    let view = resolved(report.view, rows, &kernel)?;
    Ok(request(Origin::Replay(kernel, report.recordings), view))
}

fn request(origin: Origin, view: View) -> Request {
    Request::Run(Box::new(Config { origin, view }))
}

/// The runtimes whose starts can be taken apart, if no others are named.
const RUNTIMES: [&[u8]; 2] = [b"runc", b"crun"];

fn anatomy(kernel: &mut KernelFilter, args: &ViewArgs) {
    kernel.anatomy = args.anatomy;
    if args.anatomy && kernel.names.is_empty() {
        kernel.names = RUNTIMES.map(<[u8]>::to_vec).to_vec();
    }
}

fn filters(args: FilterArgs) -> (KernelFilter, RowFilter) {
    let kernel = KernelFilter {
        cgroups: args.cgroup,
        cgroup_exact: args.cgroup_exact,
        cgroup_strict: args.cgroup_strict,
        names: args.names.into_iter().map(String::into_bytes).collect(),
        uids: args.uids,
        pids: args.pids,
        follow: false,
        command: false,
        anatomy: false,
        runtimes: false,
        forks: false,
    };
    let rows = RowFilter {
        line: args.line,
        min_time: args.min_time.unwrap_or_default(),
        failed: args.failed,
    };
    (kernel, rows)
}

fn resolved(args: ViewArgs, rows: RowFilter, kernel: &KernelFilter) -> Result<View, String> {
    let format = match (args.json, args.csv) {
        (true, _) => Format::Json,
        (_, true) => Format::Csv,
        _ => Format::Table,
    };
    let columns = columns(&args, format)?;
    if args.tree && args.output.is_none() && (args.quiet || args.top.is_some()) {
        return Err(
            "--tree is made of rows, which --quiet and --top leave out: give --output as well"
                .to_owned(),
        );
    }
    let color = args.color.decide();
    let filtered = !kernel.takes_all() || rows.line.is_some();
    Ok(View {
        lists_before: filtered || args.verbose,
        rows,
        quiet: args.quiet || args.top.is_some(),
        anatomy: args.anatomy,
        format,
        columns,
        tree: args.tree,
        quote: args.quote,
        color: args.output.is_none() && color,
        output: args.output,
        histogram: !args.histogram.is_empty(),
        exports: args.histogram.into_iter().flatten().collect(),
        interval: args.interval,
        slow: args.slow,
        by: match args.by {
            By::Action => Key::Action,
            By::Comm => Key::Comm,
            By::Container => Key::Container,
            By::Name => Key::Name,
            By::Cgroup => Key::Cgroup,
            By::Code => Key::Code,
            By::Argv0 => Key::Argv0,
            By::None => Key::None,
        },
        top: args.top.map(|interval| config::Top { interval, color }),
        strict: args.strict,
        verbose: args.verbose,
    })
}

/// The table has the terminal for itself.
fn check_top(args: &ViewArgs, command: bool) -> Result<(), String> {
    if args.top.is_none() {
        return Ok(());
    }
    let to_stdout = args.output.is_none() && (args.json || args.csv);
    let wrong = if command {
        "--top and COMMAND both want the terminal: run COMMAND from another one, and give --top the --pid of its shell"
    } else if to_stdout {
        "--top has standard output: rows as JSON or CSV need --output"
    } else if args.interval.is_some() {
        "--interval would print into --top: give one of them"
    } else if args.anatomy {
        "--anatomy has rows of its own, --top a table of executions: give one of them"
    } else {
        return Ok(());
    };
    Err(wrong.to_owned())
}

fn columns(args: &ViewArgs, format: Format) -> Result<Vec<Column>, String> {
    if args.anatomy && (args.columns.is_some() || args.time || args.timestamp) {
        return Err(
            "--anatomy has columns of its own: --columns, --time and --timestamp do not go with it"
                .to_owned(),
        );
    }
    if args.json && (args.columns.is_some() || args.time || args.timestamp) {
        return Err(
            "--json has all columns: --columns, --time and --timestamp do not go with it"
                .to_owned(),
        );
    }
    let default: &[Column] = match format {
        Format::Csv => &row::CSV,
        Format::Table | Format::Json => &row::TABLE,
    };
    let mut columns = match &args.columns {
        Some(list) => parse_columns(list, default)?,
        None => default.to_vec(),
    };
    if args.timestamp {
        columns.insert(0, Column::Elapsed);
    }
    if args.time {
        columns.insert(0, Column::TimeOfDay);
    }
    Ok(columns)
}
