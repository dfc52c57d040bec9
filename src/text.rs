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

/// Characters that a terminal obeys, that change how others are shown, or that nobody sees:
/// C1 controls, formats, separators, blanks that are no blank, and what is ignored where
/// nothing is drawn for it. With one of them, two names may look alike.
fn misleads(c: char) -> bool {
    matches!(c,
        '\u{80}'..='\u{a0}' | '\u{ad}' | '\u{34f}' | '\u{600}'..='\u{605}' | '\u{61c}'
        | '\u{6dd}' | '\u{70f}' | '\u{890}'..='\u{891}' | '\u{8e2}' | '\u{115f}'..='\u{1160}'
        | '\u{1680}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{2000}'..='\u{200f}' | '\u{2028}'..='\u{202f}' | '\u{205f}'..='\u{206f}'
        | '\u{2800}' | '\u{3000}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
        | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}'
        | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}')
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

    /// As Unicode's own tables have it.
    #[test]
    fn what_nobody_sees_is_written_out() {
        let classes = r"^[\p{Default_Ignorable_Code_Point}\p{Cf}\p{Cc}\p{Zl}\p{Zp}\p{Zs}\u{2800}]$";
        let unseen = regex::Regex::new(classes).expect("known to Unicode");
        for c in '\0'..=char::MAX {
            let text = c.to_string();
            let shown = printable(text.as_bytes());
            let written_out = c != ' ' && unseen.is_match(&text);
            assert_eq!(shown != text, written_out, "U+{:04X}", c as u32);
            assert!(!written_out || shown.bytes().all(|b| (0x20..0x7f).contains(&b)));
        }
    }

    #[test]
    fn names_that_look_alike_are_told_apart() {
        let alike = [
            "web",
            "we\u{200b}b",
            "web\u{3164}",
            "w\u{ad}eb",
            "web\u{fe0f}",
            "web\u{e0100}",
        ];
        let mut shown: Vec<String> = alike
            .iter()
            .map(|name| printable(name.as_bytes()))
            .collect();
        assert_eq!(shown[2], "web\\u{3164}");
        shown.sort();
        shown.dedup();
        assert_eq!(shown.len(), alike.len());
        assert_eq!(
            line(&argv("a\u{a0}b\0".as_bytes()), true),
            "$'a\\xc2\\xa0b'"
        );
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
