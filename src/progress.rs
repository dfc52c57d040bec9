//! How far a long reading has come: a line on the terminal that is gone afterwards.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use crate::files::is_file;
use crate::output::terminal_width;
use crate::text::cut;

/// What is quicker needs no word.
const FIRST: Duration = Duration::from_secs(1);
const EACH: Duration = Duration::from_millis(200);

/// The line.
#[derive(Debug)]
pub struct Progress {
    /// None where nobody would see it, or where it would be among rows.
    next: Option<Instant>,
    shown: bool,
}

impl Progress {
    /// Of a reading that begins now; `rows` says that rows go to stdout meanwhile.
    pub fn begin(rows: bool) -> Progress {
        // What reads a pipe may show the rows on the same terminal.
        let seen = io::stderr().is_terminal() && (!rows || is_file(io::stdout()));
        Progress {
            next: seen.then(|| Instant::now() + FIRST),
            shown: false,
        }
    }

    /// Shows it if it is time to: `so_far` tells what is read, and of how many bytes.
    pub fn show(&mut self, what: &str, so_far: impl FnOnce() -> Option<(u64, u64)>) {
        let now = Instant::now();
        if self.next.is_none_or(|next| now < next) {
            return;
        }
        self.next = Some(now + EACH);
        let Some((done, of)) = so_far().filter(|(_, of)| *of > 0) else {
            return;
        };
        let percent = u128::from(done) * 100 / u128::from(of);
        // What wraps cannot be taken away again.
        let columns = terminal_width(io::stderr()).unwrap_or(80);
        let line = format!("execlat: {percent} % of {what}");
        let line = cut(&line, columns.saturating_sub(1));
        let _ = write!(io::stderr(), "\r{line}\x1b[K");
        self.shown = true;
    }

    /// Takes the line away.
    pub fn clear(&mut self) {
        if std::mem::take(&mut self.shown) {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
