//! Rows as a table that is written when a source is over, each below its parent's row, or
//! below its nearest ancestor that has a row, and then marked.
//! Until then its lines are kept, up to a bound; what finds no place is counted.

use std::io::{self, Write};

use super::Sink;
use super::table::{Line, Table};
use crate::row::Row;
use crate::summary::Summary;
use crate::tree::{Node, Place, order};

/// The most that kept lines may take, bytes.
pub const KEPT_MAX_BYTES: usize = 64 << 20;
/// Blanks for each level.
const INDENT: usize = 2;
/// Before what stands below an ancestor that is not its parent.
const FAR: &str = "~ ";
/// Deeper levels stand below one another: a line is no longer than this makes it.
const LEVELS_MAX: usize = 32;

/// A tree of lines of a table.
pub struct Tree<W: Write, F: FnMut() -> Option<usize>> {
    table: Table<W, F>,
    nodes: Vec<Node>,
    lines: Vec<Line>,
    kept_bytes: usize,
    kept_max_bytes: usize,
    left_out: u64,
}

impl<W: Write, F: FnMut() -> Option<usize>> Tree<W, F> {
    /// No rows yet; its lines look like those of `table`.
    pub fn new(table: Table<W, F>) -> Self {
        Tree {
            table,
            nodes: Vec::new(),
            lines: Vec::new(),
            kept_bytes: 0,
            kept_max_bytes: KEPT_MAX_BYTES,
            left_out: 0,
        }
    }
}

impl<W: Write, F: FnMut() -> Option<usize>> Sink for Tree<W, F> {
    fn begin(&mut self) -> io::Result<()> {
        self.table.begin()
    }

    fn row(&mut self, row: &Row<'_>) -> io::Result<()> {
        if self.left_out > 0 {
            // Once full it stays so: who ends last does not get in by being short.
            self.left_out += 1;
            return Ok(());
        }
        let line = self.table.line(row);
        self.kept_bytes += size_of::<Node>() + size_of::<Line>() + line.text.len();
        if self.kept_bytes > self.kept_max_bytes {
            self.left_out = 1;
            return Ok(());
        }
        self.nodes.push(Node::new(row.execution));
        self.lines.push(line);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.table.flush()
    }

    fn end_source(&mut self) -> io::Result<u64> {
        let nodes = std::mem::take(&mut self.nodes);
        let lines = std::mem::take(&mut self.lines);
        self.kept_bytes = 0;
        for Place { index, depth, far } in order(&nodes) {
            let blanks = depth.min(LEVELS_MAX) * INDENT;
            let mark = if far { FAR } else { "" };
            self.table.write(&lines[index], blanks, mark)?;
        }
        Ok(std::mem::take(&mut self.left_out))
    }

    fn finish(&mut self, summary: &Summary) -> io::Result<()> {
        self.table.finish(summary)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::event::{Execution, Image, ProcessId};
    use crate::fixture;
    use crate::label::Labels;
    use crate::row::TABLE;
    use crate::sink::table::Style;

    fn execution(tgid: u32, ppid: u32) -> Execution {
        let start_ns = u64::from(tgid) * 1000;
        Execution {
            process: ProcessId { tgid, start_ns },
            start_ns: start_ns + 1,
            end_ns: 1_000_000,
            ..fixture::execution(Image {
                ppid,
                ..fixture::image("a\x1b[31m\n\0")
            })
        }
    }

    fn written(executions: &[Execution], kept_max_bytes: usize) -> (Vec<String>, u64) {
        let style = Style {
            columns: TABLE.to_vec(),
            quote: false,
            color: false,
        };
        let mut out = Vec::new();
        let mut tree = Tree::new(Table::new(&mut out, style, || None));
        tree.kept_max_bytes = kept_max_bytes;
        for execution in executions {
            let row = Row {
                execution,
                labels: &Labels::new(execution, None),
                clock: Clock::default(),
                page_bytes: 4096,
            };
            tree.row(&row).expect("memory");
        }
        let left_out = tree.end_source().expect("memory");
        // Nothing is left for the next source.
        assert_eq!(tree.end_source().expect("memory"), 0);
        drop(tree);
        let text = String::from_utf8(out).expect("UTF-8");
        (text.lines().map(str::to_owned).collect(), left_out)
    }

    /// A chain of processes, the youngest first, as they end.
    fn chain(length: u32) -> Vec<Execution> {
        (1..=length).rev().map(|i| execution(i, i - 1)).collect()
    }

    #[test]
    fn depth_is_shown_up_to_a_bound() {
        let (lines, left_out) = written(&chain(40), KEPT_MAX_BYTES);
        assert_eq!((lines.len(), left_out), (40, 0));
        for (depth, line) in lines.iter().enumerate() {
            let indent = " ".repeat(depth.min(LEVELS_MAX) * INDENT);
            let (cells, argv) = line.split_at(line.find('a').expect("its argument") - indent.len());
            assert_eq!(argv, format!("{indent}a\\x1b[31m\\n"), "{line}");
            assert!(cells.starts_with(&format!("{} ", depth + 1)), "{line}");
            assert_eq!(cells.len(), 35, "{line}");
        }
    }

    #[test]
    fn what_finds_no_place_is_counted() {
        let (lines, left_out) = written(&chain(10), 1000);
        assert!(!lines.is_empty() && left_out > 0);
        assert_eq!(lines.len() as u64 + left_out, 10);
        // Those that came first are there.
        let last = lines.last().and_then(|line| line.split(' ').next());
        assert_eq!(last, Some("10"));
    }
}
