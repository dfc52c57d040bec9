//! Bytes that a traced program chose, made fit for people: no escape sequence, no
//! line break and no direction override of theirs reaches a terminal.

use std::fmt::Write as _;

use unicode_width::UnicodeWidthChar as _;

use crate::event::Argv;

/// Appends `bytes` with all that is not printable written as an escape
/// (`\n`, `\x1b`, `\u{202e}`; a byte that is not UTF-8 as `\xNN`).
pub fn push_printable(out: &mut String, bytes: &[u8]) {
    if is_plain(bytes) {
        out.push_str(std::str::from_utf8(bytes).unwrap_or_default());
        return;
    }
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            push_char(out, c);
        }
        for byte in chunk.invalid() {
            push_hex(out, *byte);
        }
    }
}

/// What follows the last slash of a path.
pub fn base_name(path: &[u8]) -> &[u8] {
    match path.iter().rposition(|&b| b == b'/') {
        Some(slash) => &path[slash + 1..],
        None => path,
    }
}

/// Of the 64 digits of an id that engines give, twelve, as they show them to people.
pub fn short_id(id: &str) -> &str {
    let whole = id.len() == 64 && id.bytes().all(|b| b.is_ascii_hexdigit());
    if whole { &id[..12] } else { id }
}

/// Whether all is printable ASCII. Without a way out, so that the compiler looks at
/// many bytes at once.
pub fn is_plain(bytes: &[u8]) -> bool {
    bytes
        .iter()
        .fold(true, |plain, b| plain & (0x20..0x7f).contains(b))
}

/// The same as a string of its own.
pub fn printable(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    push_printable(&mut out, bytes);
    out
}

fn push_hex(out: &mut String, byte: u8) {
    // Writing to a String cannot fail.
    let _ = write!(out, "\\x{byte:02x}");
}

fn push_char(out: &mut String, c: char) {
    match c {
        '\n' => out.push_str("\\n"),
        '\t' => out.push_str("\\t"),
        '\r' => out.push_str("\\r"),
        c if c.is_ascii_control() => push_hex(out, c as u8),
        c if misleads(c) => {
            let _ = write!(out, "\\u{{{:x}}}", c as u32);
        }
        c => out.push(c),
    }
}

/// Characters that a terminal obeys or that change how others are shown: C1
/// controls, line and paragraph separators, direction marks, tags.
fn misleads(c: char) -> bool {
    matches!(c,
        '\u{80}'..='\u{9f}' | '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e007f}')
}

/// The argument line: arguments joined by blanks, and marks for what is missing:
/// ` …` where the limit cut it, ` ?` where it could not be read.
pub fn push_argv(out: &mut String, argv: &Argv, quote: bool) {
    for (i, arg) in argv.args().enumerate() {
        if i > 0 {
            out.push(' ');
        }
        if quote {
            push_quoted(out, arg);
        } else {
            push_printable(out, arg);
        }
    }
    if argv.fault {
        out.push_str(" ?");
    } else if argv.truncated() {
        out.push_str(" …");
    }
}

/// One argument as a POSIX shell would read it back; bash's `$'…'` where it holds
/// bytes that must not reach a terminal.
fn push_quoted(out: &mut String, arg: &[u8]) {
    let plain = std::str::from_utf8(arg)
        .ok()
        .filter(|text| !text.chars().any(|c| c.is_control() || misleads(c)));
    if let Some(quoted) = plain.and_then(|text| shlex::try_quote(text).ok()) {
        out.push_str(&quoted);
        return;
    }
    out.push_str("$'");
    for byte in arg {
        match byte {
            b'\n' => out.push_str("\\n"),
            b'\t' => out.push_str("\\t"),
            b'\'' | b'\\' => {
                out.push('\\');
                out.push(char::from(*byte));
            }
            0x20..=0x7e => out.push(char::from(*byte)),
            byte => push_hex(out, *byte),
        }
    }
    out.push('\'');
}

/// The raw bytes of the argument line, joined by blanks: what `--line` looks at.
pub fn argv_line(argv: &Argv) -> Vec<u8> {
    argv.args().collect::<Vec<_>>().join(&b' ')
}

/// The part of a line that fits into `columns` of a terminal.
pub fn cut(line: &str, columns: usize) -> &str {
    let mut used = 0;
    for (at, c) in line.char_indices() {
        used += c.width().unwrap_or(0);
        if used > columns {
            return &line[..at];
        }
    }
    line
}

/// Fills a cell of `used` columns up to `width`, and sets it apart from the next.
pub fn pad(line: &mut String, used: usize, width: usize) {
    const BLANKS: &str = "                                ";
    let mut blanks = width.saturating_sub(used) + 1;
    while blanks > 0 {
        let some = blanks.min(BLANKS.len());
        line.push_str(&BLANKS[..some]);
        blanks -= some;
    }
}

/// Seconds with six decimals.
pub fn push_seconds(out: &mut String, ns: u64) {
    let micros = ns.saturating_add(500) / 1000;
    push_number(out, micros / 1_000_000);
    // A leading 1 keeps the zeros; the point takes its place.
    let start = out.len();
    push_number(out, 1_000_000 + micros % 1_000_000);
    out.replace_range(start..=start, ".");
}

/// A number in decimal, without the ways of `fmt`.
pub fn push_number(out: &mut String, mut number: u64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.push_str(std::str::from_utf8(&digits[at..]).unwrap_or_default());
}

/// A duration for a table: three figures and a unit.
pub fn short_duration(ns: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "us")];
    for (unit, name) in UNITS {
        if ns >= unit {
            let value = ns as f64 / unit as f64;
            let decimals = match value {
                v if v < 9.995 => 2,
                v if v < 99.95 => 1,
                _ => 0,
            };
            return format!("{value:.decimals$}{name}");
        }
    }
    format!("{ns}ns")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::argv;
    use proptest::prelude::*;

    fn line(argv: &Argv, quote: bool) -> String {
        let mut out = String::new();
        push_argv(&mut out, argv, quote);
        out
    }

    #[test]
    fn controls_are_written_out() {
        assert_eq!(printable(b"a b"), "a b");
        assert_eq!(printable(b"\x1b[31m\n\xff"), "\\x1b[31m\\n\\xff");
        assert_eq!(printable("\u{202e}é\u{9b}".as_bytes()), "\\u{202e}é\\u{9b}");
    }

    #[test]
    fn what_is_missing_is_marked() {
        let mut cut = argv(b"a\0b");
        cut.true_bytes = 9;
        assert_eq!(line(&cut, false), "a b …");
        cut.fault = true;
        assert_eq!(line(&cut, false), "a b ?");
        assert_eq!(line(&argv(b"a\0b\0"), false), "a b");
    }

    #[test]
    fn quoting_is_what_a_shell_reads() {
        assert_eq!(line(&argv(b"a b\0\0c\0"), true), "'a b' '' c");
        assert_eq!(line(&argv(b"it's\n\0"), true), "$'it\\'s\\n'");
    }

    #[test]
    fn cutting_counts_columns() {
        assert_eq!(cut("abcdef", 4), "abcd");
        assert_eq!(cut("漢字漢", 5), "漢字");
        assert_eq!(cut("abc", 4), "abc");
    }

    #[test]
    fn durations_have_three_figures() {
        assert_eq!(short_duration(999), "999ns");
        assert_eq!(short_duration(1_234), "1.23us");
        assert_eq!(short_duration(12_345_678), "12.3ms");
        assert_eq!(short_duration(123_456_789_000), "123s");
        let mut out = String::new();
        push_seconds(&mut out, 50_039_328_499);
        assert_eq!(out, "50.039328");
    }

    proptest! {
        #[test]
        fn nothing_that_a_terminal_obeys_is_left(bytes in proptest::collection::vec(any::<u8>(), 0..64), quote: bool) {
            let shown = line(&argv(&bytes), quote);
            prop_assert!(!shown.chars().any(|c| c.is_control() || misleads(c)), "{:?}", shown);
        }

        #[test]
        fn a_cut_line_fits(text in "\\PC{0,40}", columns in 0usize..50) {
            let width: usize = cut(&text, columns).chars().map(|c| c.width().unwrap_or(0)).sum();
            prop_assert!(width <= columns);
        }
    }
}
