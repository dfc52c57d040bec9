//! Lines for people about what still runs: as the end comes, when somebody asks, and of
//! what has run for too long.

use std::fmt;

use unicode_width::UnicodeWidthStr as _;

use crate::pipeline::{Above, Standing};
use crate::row::{Column, Row};
use crate::text::{cut, pad, short_duration, short_id};

/// So many lines are listed, the longest first.
const LINES_MAX: u64 = 20;
/// Columns of a line where no terminal says how many it has.
pub const COLUMNS: usize = 200;
/// Arguments get so many columns, whatever else is said.
const ARGV_MIN: usize = 20;

/// What runs, each after a line end, and how many found no place.
pub struct List {
    lines: String,
    listed: u64,
    before: u64,
    width: usize,
    with_before: bool,
    /// How many run in all.
    pub count: u64,
    /// Where those that find no place can be had.
    elsewhere: &'static str,
}

impl List {
    /// An empty one; `with_before`: what ran before tracing began is listed too.
    pub fn new(width: Option<usize>, with_before: bool, elsewhere: &'static str) -> List {
        List {
            lines: String::new(),
            listed: 0,
            before: 0,
            width: width.unwrap_or(COLUMNS),
            with_before,
            count: 0,
            elsewhere,
        }
    }

    /// Adds what runs, if it is to have a line.
    pub fn push(&mut self, row: &Row<'_>, standing: &Standing) {
        self.count += 1;
        let Standing::Listed(above) = standing else {
            return;
        };
        // One of a runtime that hangs is why tracing was begun.
        let is_runtime = row.labels.runtime.is_some();
        if !row.execution.start_known && !self.with_before && !is_runtime {
            self.before += 1;
            return;
        }
        self.listed += 1;
        if self.listed <= LINES_MAX {
            self.lines.push('\n');
            self.lines.push_str(&line(row, above, self.width));
        }
    }

    /// Whether there is nothing to say.
    pub fn is_empty(&self) -> bool {
        self.listed == 0 && self.before == 0
    }
}

impl fmt::Display for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let before = self.before;
        if self.listed == 0 {
            return write!(
                f,
                ": {before} that ran before tracing began (-v lists them)"
            );
        }
        write!(f, ", longest first:{}", self.lines)?;
        let more = self.listed.saturating_sub(LINES_MAX);
        if more > 0 {
            write!(f, "\n  … and {more} more{}", self.elsewhere)?;
        }
        if before > 0 {
            write!(
                f,
                "\n  … and {before} that ran before tracing began (-v lists them)"
            )?;
        }
        Ok(())
    }
}

/// Pid, parent, time, container, arguments, and what it is below; no more than `width`
/// columns, unless those are very few.
pub fn line(row: &Row<'_>, above: &Above, width: usize) -> String {
    let mut line = "  ".to_owned();
    for column in [Column::Pid, Column::Ppid, Column::Time] {
        let start = line.len();
        column.push_cell(&mut line, row, false);
        let used = line.len() - start;
        pad(&mut line, used, column.width());
    }
    let container = row.labels.name_or_id().or(above.container.as_deref());
    if let Some(container) = container {
        line.push_str(&format!("[{}] ", short_id(container)));
    }
    let below = below(above);
    let used = line.width() + below.width();
    let mut argv = String::new();
    Column::Argv.push_cell(&mut argv, row, false);
    let room = width.saturating_sub(used).max(ARGV_MIN);
    if argv.width() > room {
        line.push_str(cut(&argv, room - 1));
        line.push('…');
    } else {
        line.push_str(&argv);
    }
    line.push_str(&below);
    cut(&line, width).to_owned()
}

/// `  (below sh 8169 50.3s, runc exec 8168 50.4s)`
fn below(above: &Above) -> String {
    let named: Vec<String> = above
        .named
        .iter()
        .map(|(name, tgid, ns)| format!("{name} {tgid} {}", short_duration(*ns)))
        .collect();
    let more = match above.more {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    match named.is_empty() {
        true => String::new(),
        false => format!("  (below {}{more})", named.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::event::{End, Execution};
    use crate::fixture;
    use crate::label::Labels;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn execution(args: &str, start_known: bool) -> Execution {
        Execution {
            end: End::Running,
            start_known,
            ..fixture::execution(fixture::image(args))
        }
    }

    fn with_row<T>(
        execution: &Execution,
        container: Option<&str>,
        f: impl FnOnce(&Row<'_>) -> T,
    ) -> T {
        let labels = Labels {
            container: container.map(Into::into),
            ..Labels::new(execution, None)
        };
        f(&Row {
            execution,
            labels: &labels,
            clock: Clock::default(),
            page_bytes: 4096,
        })
    }

    fn above(more: usize) -> Above {
        Above {
            named: vec![
                ("sh".into(), 12, 50_000_000_000),
                ("runc exec".into(), 11, 51_000_000_000),
            ],
            more,
            container: Some("web".into()),
        }
    }

    #[test]
    fn a_line_names_container_and_ancestors() {
        let probe = execution("curl\0http://x\0", true);
        let shown =
            |container, above: &Above| with_row(&probe, container, |row| line(row, above, 200));
        let begin = "  7       0       0.000000  ";
        let plain = shown(None, &Above::default());
        assert_eq!(plain, format!("{begin}curl http://x"));
        let below = "curl http://x  (below sh 12 50.0s, runc exec 11 51.0s)";
        assert_eq!(shown(None, &above(0)), format!("{begin}[web] {below}"));
        let own = shown(Some(ID), &above(0));
        assert_eq!(own, format!("{begin}[0123456789ab] {below}"));
        assert!(shown(None, &above(2)).ends_with(" 51.0s, and 2 more)"));
    }

    /// What it is below is not cut off by its own arguments.
    #[test]
    fn a_line_is_bounded() {
        let long = execution(&"x".repeat(2000), true);
        for width in [20, 80, COLUMNS] {
            let line = with_row(&long, Some(ID), |row| line(row, &above(0), width));
            assert!(line.width() <= width, "{line}");
            let whole = line.ends_with("x…  (below sh 12 50.0s, runc exec 11 51.0s)");
            assert_eq!(whole, width == COLUMNS, "{line}");
        }
    }

    #[test]
    fn what_ran_before_is_counted_unless_it_is_asked_for() {
        let listed = |with_before, known: &[bool]| {
            let mut list = List::new(None, with_before, "");
            for known in known {
                with_row(&execution("x\0", *known), None, |row| {
                    list.push(row, &Standing::Listed(Above::default()));
                    list.push(row, &Standing::Waits);
                    list.push(row, &Standing::NotAsked);
                });
            }
            assert_eq!(list.count, 3 * known.len() as u64);
            (list.is_empty(), list.to_string())
        };
        let (empty, text) = listed(false, &[false, false]);
        assert!(!empty);
        assert_eq!(text, ": 2 that ran before tracing began (-v lists them)");
        let (_, text) = listed(false, &[false, true]);
        let end = "\n  … and 1 that ran before tracing began (-v lists them)";
        assert!(
            text.starts_with(", longest first:\n  7 ") && text.ends_with(end),
            "{text}"
        );
        assert_eq!(text.lines().count(), 3);
        let mut list = List::new(None, false, "");
        with_row(&execution("runc\0exec\0web\0", false), None, |row| {
            list.push(row, &Standing::Listed(Above::default()));
        });
        assert!(list.to_string().ends_with("runc exec web"), "{list}");
        let (_, text) = listed(true, &[false, true]);
        assert_eq!(text.lines().count(), 3);
        assert!(!text.contains("before"), "{text}");
        assert!(listed(false, &[]).0);
        let (_, text) = listed(false, &[true; 23]);
        assert!(text.ends_with("\n  … and 3 more"), "{text}");
    }
}
