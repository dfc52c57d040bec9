//! A screenful: lines of text in a few styles, each no wider than the screen, and
//! nothing in them that a terminal obeys, whatever they were made of.

use unicode_width::UnicodeWidthChar as _;

use crate::text::{cut, printable};

/// The size of a screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Size {
    /// Characters across.
    pub columns: usize,
    /// Lines.
    pub rows: usize,
}

/// How a piece of text looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// As text does.
    Plain,
    /// To be seen first.
    Strong,
    /// Of less interest.
    Faint,
    /// Something failed.
    Bad,
    /// Something is wrong with the figures themselves.
    Alarm,
    /// A heading.
    Heading,
    /// The heading of what is sorted by.
    Sorted,
}

impl Style {
    /// The sequence that a terminal takes for it, from the default on.
    fn sequence(self, color: bool) -> &'static str {
        match (self, color) {
            (Style::Plain, _) | (Style::Bad, false) => "",
            (Style::Strong, _) => "\x1b[1m",
            (Style::Faint, _) => "\x1b[2m",
            (Style::Bad, true) => "\x1b[31m",
            (Style::Alarm, true) => "\x1b[1;31m",
            (Style::Alarm, false) => "\x1b[1m",
            (Style::Heading, _) => "\x1b[7m",
            (Style::Sorted, _) => "\x1b[1;7m",
        }
    }
}

/// A line: pieces of text, and the columns that they take together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Line {
    pieces: Vec<(Style, String)>,
    width: usize,
    /// The columns of the screen.
    most: usize,
}

/// Columns of a terminal that text takes.
pub fn width(text: &str) -> usize {
    text.chars().map(|c| c.width().unwrap_or(0)).sum()
}

impl Line {
    /// An empty line of a screen of so many columns.
    pub fn new(columns: usize) -> Line {
        Line {
            most: columns,
            ..Line::default()
        }
    }

    /// Appends text, as far as there is room.
    pub fn push(&mut self, style: Style, text: &str) {
        let text = printable(text.as_bytes());
        let text = cut(&text, self.most.saturating_sub(self.width));
        if !text.is_empty() {
            self.width += width(text);
            self.pieces.push((style, text.to_owned()));
        }
    }

    /// Appends text in a cell of so many columns, at its left or right; a mark where
    /// it had to be cut.
    pub fn cell(&mut self, style: Style, text: &str, columns: usize, right: bool) {
        let text = printable(text.as_bytes());
        let text = match width(&text) > columns {
            true => format!("{}…", cut(&text, columns.saturating_sub(1))),
            false => text,
        };
        let blanks = " ".repeat(columns.saturating_sub(width(&text)));
        match right {
            true => self.push(style, &(blanks + &text)),
            false => self.push(style, &(text + &blanks)),
        }
    }

    /// Appends text that belongs to what stands before, or nothing of it.
    pub fn push_whole(&mut self, style: Style, text: &str) {
        if self.width + width(&printable(text.as_bytes())) <= self.most {
            self.push(style, text);
        }
    }

    /// Blanks to the end of the screen.
    pub fn fill(&mut self, style: Style) {
        let blanks = " ".repeat(self.most.saturating_sub(self.width));
        self.push(style, &blanks);
    }

    /// Columns that it takes.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Its pieces.
    pub fn pieces(&self) -> &[(Style, String)] {
        &self.pieces
    }

    /// Its text.
    pub fn text(&self) -> String {
        self.pieces.iter().map(|(_, text)| &**text).collect()
    }

    /// What a terminal is sent for it.
    pub fn painted(&self, color: bool) -> String {
        let mut out = String::new();
        for (style, text) in &self.pieces {
            let sequence = style.sequence(color);
            out.push_str(sequence);
            out.push_str(text);
            if !sequence.is_empty() {
                out.push_str("\x1b[0m");
            }
        }
        out
    }
}

/// A screenful.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Frame {
    /// The screen that it is for.
    pub size: Size,
    /// Its lines, not more than the screen has.
    pub lines: Vec<Line>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn cells_are_filled_and_cut() {
        let mut line = Line::new(30);
        line.cell(Style::Plain, "ab", 4, false);
        line.cell(Style::Plain, "ab", 4, true);
        line.cell(Style::Plain, "漢字漢字", 6, false);
        line.cell(Style::Plain, "a\x1b[2J", 6, true);
        assert_eq!(line.text(), "ab    ab漢字… a\\x1b…");
        assert_eq!(line.width(), 20);
    }

    #[test]
    fn styles_end_where_they_do() {
        let mut line = Line::new(9);
        line.push(Style::Bad, "3");
        line.push(Style::Plain, " ok");
        assert_eq!(line.painted(true), "\x1b[31m3\x1b[0m ok");
        assert_eq!(line.painted(false), "3 ok");
        line.push_whole(Style::Faint, " too long");
        assert_eq!(line.text(), "3 ok");
    }

    proptest! {
        #[test]
        fn nothing_gets_past_the_edge(
            texts in proptest::collection::vec((".{0,12}", 0usize..20, any::<bool>()), 0..6),
            columns in 0usize..40,
        ) {
            let mut line = Line::new(columns);
            for (text, wide, right) in &texts {
                line.push(Style::Strong, text);
                line.cell(Style::Plain, text, *wide, *right);
            }
            prop_assert!(line.width() <= columns);
            prop_assert_eq!(width(&line.text()), line.width());
            prop_assert!(!line.text().chars().any(char::is_control));
        }
    }
}
