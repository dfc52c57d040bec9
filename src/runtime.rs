//! What an operator asks about is `runc create`, not `runc`: this module reads a
//! runtime's command line as that runtime does, and so knows the action, the
//! container and whether the time is the payload's.
//!
//! It is pure and does not allocate for a runtime. What it reads is hostile: any
//! bytes, cut off anywhere; nothing here fails.

mod lex;
mod recognise;
mod scan;
mod tables;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_callers;

use std::borrow::Cow;
use std::iter::Peekable;

use crate::event::Argv;

pub use recognise::{WORDS, may_be, name_by_argv0};

/// How a runtime was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Invocation<'a> {
    /// `runc`, `crun`, `youki`, `runsc` or `kata-runtime`, however the file is named.
    pub runtime: &'static str,
    /// The command by its main name. None without one (`runc --version`), with one
    /// that we do not know, or where the command line was cut off before it.
    pub command: Option<&'static str>,
    /// Runtime and command, `runc create`; without a command, the runtime.
    pub action: &'static str,
    /// The container's id as given; raw bytes, never empty.
    pub container: Option<&'a [u8]>,
    /// Where the runtime keeps its state, as given: of two containers with one id,
    /// it tells which.
    pub root: Option<&'a [u8]>,
    /// The bundle's path as given, which may be relative to the caller's directory.
    pub bundle: Option<&'a [u8]>,
    /// It lasts as long as its payload or its caller wants, so its duration is no
    /// latency: `run`, `exec` and `restore` in the foreground, `events` without
    /// `--stats`, `runsc wait`, and the like. An option that was cut off is not seen.
    pub lasting: bool,
}

impl Invocation<'_> {
    /// The runtime's own re-execution inside the new container (`runc init`), which
    /// belongs to the `create`, `run` or `exec` that started it.
    pub fn is_init(&self) -> bool {
        self.command == Some("init")
    }
}

/// Reads the command line of a container runtime; None if it is not one.
///
/// `argv` gives the arguments without their NULs, argv\[0\] first, and is read no
/// further than needed. With `truncated` the last one may be a part only, and is
/// not believed. `comm` decides only where argv\[0\] tells nothing (`/proc/self/exe`).
pub fn parse<'a, I>(argv: I, truncated: bool, comm: &[u8]) -> Option<Invocation<'a>>
where
    I: IntoIterator<Item = &'a [u8]>,
{
    let mut args = Args::new(argv.into_iter(), truncated);
    let argv0 = args.next();
    let runtime = recognise::runtime(argv0, &mut args, comm)?;
    Some(scan::invocation(runtime, &mut args))
}

/// The container runtime that this is a command line of, if it is one's.
pub fn name_of(argv: &Argv, comm: &[u8]) -> Option<&'static str> {
    parse(argv.args(), !argv.whole(), comm).map(|called| called.runtime)
}

/// What an execution is grouped by: `runc create` for a runtime, else its comm,
/// with '?' for control characters and U+FFFD for what is not UTF-8.
///
/// The arguments are those of [`parse`]. Of one runtime there are only as many
/// actions as it has commands, whatever the command line says.
pub fn action<'a, 'c, I>(argv: I, truncated: bool, comm: &'c [u8]) -> Cow<'c, str>
where
    I: IntoIterator<Item = &'a [u8]>,
{
    match parse(argv, truncated, comm) {
        Some(invocation) => Cow::Borrowed(invocation.action),
        None => printable(comm),
    }
}

/// A comm as text; what follows its NUL is not part of it.
fn printable(comm: &[u8]) -> Cow<'_, str> {
    let end = comm.iter().position(|&b| b == 0).unwrap_or(comm.len());
    let text = String::from_utf8_lossy(&comm[..end]);
    if text.chars().any(char::is_control) {
        let shown = |c: char| if c.is_control() { '?' } else { c };
        return Cow::Owned(text.chars().map(shown).collect());
    }
    text
}

/// The arguments one by one, without a last one that may be cut off.
struct Args<I: Iterator> {
    rest: Peekable<I>,
    truncated: bool,
}

impl<'a, I: Iterator<Item = &'a [u8]>> Args<I> {
    fn new(argv: I, truncated: bool) -> Self {
        Self {
            rest: argv.peekable(),
            truncated,
        }
    }

    fn next(&mut self) -> Option<&'a [u8]> {
        let arg = self.rest.next()?;
        if self.truncated && self.rest.peek().is_none() {
            return None;
        }
        Some(arg)
    }

    fn peek(&mut self) -> Option<&'a [u8]> {
        self.rest.peek().copied()
    }
}
