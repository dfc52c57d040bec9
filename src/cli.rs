//! The command line. No type of the parser gets out of here: what does is a
//! checked [`Config`].

use std::ffi::OsString;
use std::io::{self, IsTerminal as _};
use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::config::Config;

mod dashes;
mod resolve;
mod value;

/// Exit status of a wrong command line.
const USAGE: u8 = 2;

const EXAMPLES: &str = "\
Examples:
  execlat --comm runc                    each runc on this host, as it ends
  execlat -c /sys/fs/cgroup/garden -n runc
                                         … only below that cgroup
  execlat -n runc -Q --histogram -d 60   latency per runc action, for a minute
  execlat --min-time 100ms --failed      what failed and took long
  execlat --top                          what runs now, and latencies, live
  execlat -n runc --follow --tree        … and at the end, what each of them started
  execlat -n runc --slow 10s             tell of a runc that hangs, while it does
  execlat --anatomy                      each start of a container, in phases
  execlat --histogram -- make -j2        what make executes, and how long it takes
  execlat --record runc.xl -n runc       keep the raw events …
  execlat report runc.xl --histogram --by container
                                         … and look at them later, without root

See execlat(8) for every column, figure and exit status, and for what it costs.";

#[derive(Parser)]
#[command(
    name = "execlat",
    version,
    about = "How long do programs run, from exec to exit? A latency profiler for container hosts",
    after_long_help = EXAMPLES,
    after_help = "See --help for more, execlat(8) for all.",
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true,
    max_term_width = 79,
    override_usage = "execlat [FILTER]… [VIEW]… [EXPORT]… [-- COMMAND [ARG]…]\n       \
                      execlat report [FILTER]… [VIEW]… [EXPORT]… RECORDING…"
)]
struct Cli {
    #[command(subcommand)]
    task: Option<Task>,
    #[command(flatten)]
    filter: FilterArgs,
    #[command(flatten)]
    live: LiveArgs,
    #[command(flatten)]
    view: ViewArgs,
    /// Run COMMAND, and trace what it executes
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

#[derive(Subcommand)]
enum Task {
    /// The same from recordings (see --record); needs no privilege
    Report(Box<ReportArgs>),
    /// What this host and kernel support, and what is missing
    Doctor {
        /// As JSON
        #[arg(short, long)]
        json: bool,
    },
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
}

#[derive(Args)]
struct ReportArgs {
    #[command(flatten)]
    filter: FilterArgs,
    #[command(flatten)]
    view: ViewArgs,
    /// Files made by --record
    #[arg(required = true, value_name = "RECORDING")]
    recordings: Vec<PathBuf>,
}

#[derive(Args)]
#[command(next_help_heading = "Filters")]
struct FilterArgs {
    /// In this cgroup or below, or a runtime's work on it
    ///
    /// A runtime runs in its caller's cgroup, not in its container's: `runc exec web`
    /// matches if the container is below DIR, wherever it was called from. DIR is of
    /// version 2 or 1. Like --comm, --pid and --uid it can be given several times: an
    /// execution matches if any value does.
    #[arg(short, long, value_name = "DIR")]
    cgroup: Vec<PathBuf>,
    /// With --cgroup: only what executes there or below
    ///
    /// Not what runtimes do from elsewhere to the containers there.
    #[arg(long, requires = "cgroup")]
    cgroup_strict: bool,
    /// With --cgroup: only what executes in DIR itself
    #[arg(long, requires = "cgroup")]
    cgroup_exact: bool,
    /// Only this comm or base name of argv[0]
    #[arg(short = 'n', long = "comm", value_name = "NAME", value_parser = value::name)]
    names: Vec<String>,
    /// Only this process and its descendants
    #[arg(short, long = "pid", value_name = "PID", value_parser = value::pid)]
    pids: Vec<u32>,
    /// Only what this user runs (name or number)
    #[arg(short, long = "uid", value_name = "USER", value_parser = value::user)]
    uids: Vec<u32>,
    /// Only rows whose argument line matches
    #[arg(short, long, value_name = "REGEX", value_parser = value::regex)]
    line: Option<regex::bytes::Regex>,
    /// Only rows of at least this time (50ms, 2s)
    #[arg(long, value_name = "DURATION", value_parser = value::duration, allow_hyphen_values = true)]
    min_time: Option<std::time::Duration>,
    /// Only rows that did not end with code 0
    #[arg(short = 'x', long)]
    failed: bool,
}

#[derive(Args)]
#[command(next_help_heading = "Tracing")]
struct LiveArgs {
    /// Also every process that a matched one starts
    #[arg(long)]
    follow: bool,
    /// Stop after this time
    #[arg(short, long, value_name = "DURATION", value_parser = value::duration)]
    duration: Option<std::time::Duration>,
    /// How to hook: auto, kprobe or tracepoint
    #[arg(long, value_enum, default_value_t = Probe::Auto, value_name = "FLAVOUR",
          hide_possible_values = true)]
    probe: Probe,
    /// Perf buffer for all CPUs together, like 8M
    ///
    /// The default is 4M for each CPU, but not more than 64M.
    #[arg(long, value_name = "SIZE", value_parser = value::size, hide_short_help = true)]
    buffer: Option<u64>,
    /// Bytes of argv to capture
    #[arg(long, value_name = "N", default_value_t = 4096,
          value_parser = clap::value_parser!(u32).range(1..=i64::from(crate::wire::ARGS_MAX_BYTES)))]
    max_args_bytes: u32,
    /// Keep the raw events in FILE, for `execlat report`
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
}

#[derive(Args)]
#[command(next_help_heading = "Output")]
struct ViewArgs {
    /// Add the time of day of the end (UTC)
    #[arg(short = 'T', long)]
    time: bool,
    /// Add the seconds since tracing began
    #[arg(short = 't', long)]
    timestamp: bool,
    /// Columns by name, in order; +NAME adds one
    #[arg(long, value_name = "LIST")]
    columns: Option<String>,
    /// Arguments quoted as for a shell
    #[arg(short, long)]
    quote: bool,
    /// No rows, only summaries and exports
    #[arg(short = 'Q', long)]
    quiet: bool,
    /// Rows at the end, indented below who started them
    #[arg(long, conflicts_with_all = ["json", "csv"])]
    tree: bool,
    /// Rows as JSON lines
    #[arg(short, long, conflicts_with = "csv")]
    json: bool,
    /// Rows as CSV
    #[arg(long)]
    csv: bool,
    /// Rows into FILE
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// A live table of latencies and of what runs, instead of rows
    ///
    /// Drawn anew each second or INTERVAL (2s, 500ms). Key h has help, q ends it.
    #[arg(long, value_name = "INTERVAL", num_args = 0..=1, require_equals = true,
          default_missing_value = "1s", value_parser = value::top_interval)]
    top: Option<std::time::Duration>,
    /// Latency per group at the end
    ///
    /// With FILE it is exported as well, by its ending: .txt, .json or .csv.
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true,
          default_missing_value = "", value_parser = value::export)]
    histogram: Vec<value::Export>,
    /// With --histogram: every so often as well
    #[arg(short, long, value_name = "DURATION", value_parser = value::interval, requires = "histogram")]
    interval: Option<std::time::Duration>,
    /// Tell what still runs after this time, once, on stderr
    ///
    /// SIGUSR1 lists all that runs, at once.
    #[arg(long, value_name = "DURATION", value_parser = value::interval)]
    slow: Option<std::time::Duration>,
    /// Group by action, comm, container, name, cgroup, code, argv0 or none
    #[arg(long, value_enum, default_value_t = By::Action, value_name = "KEY",
          hide_possible_values = true)]
    by: By,
    /// Rows are starts of containers, in phases
    ///
    /// Of runc and crun, if --comm does not say otherwise: each run, exec, and create
    /// with its start, up to the payload's exec. Percentiles per phase at the end.
    #[arg(long)]
    anatomy: bool,
    /// Exit with 3 if anything was lost
    #[arg(long)]
    strict: bool,
    /// Colours: auto, always or never
    #[arg(long, value_enum, default_value_t = Color::Auto, value_name = "WHEN",
          hide_possible_values = true)]
    color: Color,
    /// Say what is attached and how
    #[arg(short, long)]
    verbose: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Probe {
    Auto,
    Kprobe,
    Tracepoint,
}

#[derive(Clone, Copy, ValueEnum)]
enum By {
    Action,
    Comm,
    Container,
    Name,
    Cgroup,
    Code,
    Argv0,
    None,
}

#[derive(Clone, Copy, ValueEnum)]
enum Color {
    Auto,
    Always,
    Never,
}

impl Color {
    fn decide(self) -> bool {
        match self {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => {
                let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
                !refused && io::stdout().is_terminal()
            }
        }
    }
}

/// What to do.
pub enum Request {
    /// Trace, or report.
    Run(Box<Config>),
    /// Look at the host.
    Doctor {
        /// As JSON.
        json: bool,
    },
    /// Print a completion script.
    Completions(Shell),
}

/// What to print instead of doing anything.
pub struct Answer {
    /// The text, with its line end.
    pub text: String,
    /// The exit status: 0 for help, 2 for a mistake.
    pub status: u8,
}

/// Views that a recording cannot have: it is over. They are refused with the reason,
/// and not offered.
const LIVE_VIEWS: [&str; 3] = ["interval", "slow", "top"];

fn command() -> clap::Command {
    let without_live = |report: clap::Command| {
        let views = LIVE_VIEWS.into_iter();
        views.fold(report, |report, view| {
            report.mut_arg(view, |arg| arg.hide(true))
        })
    };
    Cli::command().mut_subcommand("report", without_live)
}

/// Reads the command line.
///
/// # Errors
/// It is wrong, or asks for help: what to print, and the exit status.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Request, Answer> {
    let args: Vec<OsString> = args.into_iter().collect();
    let matches = command().try_get_matches_from(&args);
    let cli = matches.and_then(|mut matches| Cli::from_arg_matches_mut(&mut matches));
    let cli = cli.map_err(|error| answer(&error, &args))?;
    match cli.task {
        Some(Task::Doctor { json }) => Ok(Request::Doctor { json }),
        Some(Task::Completions { shell }) => Ok(Request::Completions(shell)),
        Some(Task::Report(report)) => resolve::report(*report),
        None => resolve::live(cli.live, cli.filter, cli.view, cli.command),
    }
    .map_err(usage)
}

/// The same request, if the terminal that it needs is there.
///
/// # Errors
/// `--top`, and standard output is no terminal, or one that nothing can be drawn on.
pub fn on_terminal(request: Request) -> Result<Request, Answer> {
    let wanted = matches!(&request, Request::Run(config) if config.view.top.is_some());
    let lacking = if !wanted {
        return Ok(request);
    } else if !io::stdout().is_terminal() {
        "--top needs a terminal on standard output"
    } else if std::env::var_os("TERM").is_some_and(|name| name == "dumb") {
        "--top needs a terminal that can be drawn on, and TERM is dumb"
    } else {
        return Ok(request);
    };
    let instead = "without one, use --histogram --interval";
    Err(usage(format!("{lacking}: {instead}")))
}

/// The parser says mistakes in a paragraph and more; one line is enough.
fn answer(error: &clap::Error, args: &[OsString]) -> Answer {
    if !error.use_stderr() {
        return Answer {
            text: error.render().to_string(),
            status: 0,
        };
    }
    let text = error.render().to_string();
    let first = text.split("\n\n").next().unwrap_or_default();
    let line: Vec<&str> = first.split_whitespace().collect();
    let line = line.join(" ");
    let line = line.strip_prefix("error: ").unwrap_or(&line);
    usage(match dashes::put_in(&command(), error, args) {
        Some(meant) => format!("{line}: to trace a command, {meant}"),
        None => line.to_owned(),
    })
}

fn usage(what: String) -> Answer {
    Answer {
        text: format!("execlat: {what} (see execlat --help)\n"),
        status: USAGE,
    }
}

/// Prints a completion script.
///
/// # Errors
/// It cannot be written.
pub fn completions(shell: Shell) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command(), "execlat", &mut script);
    io::Write::write_all(&mut io::stdout(), &script)?;
    Ok(())
}

/// All long options of all tasks, for the test that the manual has them.
pub fn long_options() -> Vec<String> {
    let command = command();
    let tasks = command
        .get_subcommands()
        .flat_map(|task| task.get_arguments());
    let mut names: Vec<String> = command
        .get_arguments()
        .chain(tasks)
        .filter_map(|arg| arg.get_long().map(str::to_owned))
        .collect();
    names.sort();
    names.dedup();
    names
}

#[cfg(test)]
mod tests;
