//! Who gives a command without `--` is shown what is meant: it is the first thing that
//! people try.

use std::ffi::OsString;
use std::path::Path;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, Error};
use rustix::fs::{Access, access};

use crate::text::printable;

/// A longer command line is not repeated.
const REPEATED_MAX_BYTES: usize = 100;

/// What is meant by a command whose `--` is missing.
pub fn put_in(command: &Command, error: &Error, args: &[OsString]) -> Option<String> {
    let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidArg) else {
        return None;
    };
    if error.kind() != ErrorKind::UnknownArgument || !is_program(word) {
        return None;
    }
    let with_dashes = |at: usize| {
        let mut args = args.to_vec();
        args.insert(at, "--".into());
        args
    };
    // The same word may be the value of an option: what is meant can be parsed.
    let places = (1..args.len()).filter(|at| args[*at] == word.as_str());
    let meant = places.map(with_dashes);
    let mut meant = meant.filter(|args| command.clone().try_get_matches_from(args).is_ok());
    let meant = meant.next()?;
    let words = meant.iter().map(|arg| arg.to_str());
    let mut words: Vec<&str> = words.collect::<Option<_>>()?;
    words[0] = "execlat";
    let meant = shlex::try_join(words).ok()?;
    Some(match meant.len() {
        ..=REPEATED_MAX_BYTES => printable(meant.as_bytes()),
        _ => "execlat [OPTION]… -- COMMAND [ARG]…".to_owned(),
    })
}

/// As a shell looks for it. What is none is a mistake of another kind: a file, a value.
fn is_program(word: &str) -> bool {
    let runs = |path: &Path| path.is_file() && access(path, Access::EXEC_OK).is_ok();
    if word.contains('/') {
        return runs(Path::new(word));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| runs(&directory.join(word)))
}
