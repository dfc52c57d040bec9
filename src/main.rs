//! The command `execlat`: prints what went wrong, and chooses the exit status.

use std::io::{self, Write as _};
use std::process::ExitCode;

use execlat::{cli, inherited, output, run};

fn main() -> ExitCode {
    if let Err(error) = inherited::put_right() {
        output::say(format_args!("{error:#}"));
        return ExitCode::from(run::FAILED);
    }
    let request = match cli::parse(std::env::args_os()).and_then(cli::on_terminal) {
        Ok(request) => request,
        Err(answer) => {
            // Help is asked for; all else is a mistake. A closed stream is no news.
            let _ = match answer.status {
                0 => io::stdout().write_all(answer.text.as_bytes()),
                _ => io::stderr().write_all(answer.text.as_bytes()),
            };
            return ExitCode::from(answer.status);
        }
    };
    let result = match request {
        cli::Request::Run(config) => run::run(&config),
        cli::Request::Doctor { json } => run::doctor(json),
        cli::Request::Completions(shell) => cli::completions(shell).map(|()| 0),
    };
    match result {
        Ok(status) => ExitCode::from(status),
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            output::say(format_args!("{error:#}"));
            ExitCode::from(run::FAILED)
        }
    }
}

/// Whoever read our output has gone: nothing to complain about.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
