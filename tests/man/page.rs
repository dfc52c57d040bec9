//! The manual as a reader has it: entries of lists, and the options that it names.

use std::collections::BTreeSet;

pub const MANUAL: &str = include_str!("../../man/execlat.8");

pub type Names = BTreeSet<String>;

/// An entry of a list: where it stands, and what it says.
pub struct Entry {
    pub section: String,
    pub part: String,
    pub text: String,
    /// All that follows, up to the next one.
    pub body: String,
}

/// What a reader sees of a line: no font changes, plain dashes and quotes.
pub fn plain(line: &str) -> String {
    let mut text = line.to_owned();
    for font in ["\\fB", "\\fI", "\\fR", "\\fP", "\\&"] {
        text = text.replace(font, "");
    }
    for (escape, shown) in [("\\-", "-"), ("\\(dq", "\""), ("\\(aq", "'"), ("\\e", "\\")] {
        text = text.replace(escape, shown);
    }
    text
}

/// A macro and the text of its arguments: those of `.BR` and its like are joined
/// without blanks, quoted ones keep theirs.
pub fn request(line: &str) -> Option<(&str, String)> {
    let (name, rest) = line.strip_prefix('.')?.split_once(' ')?;
    let mut words: Vec<String> = Vec::new();
    let mut rest = rest.trim();
    while !rest.is_empty() {
        let (word, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => rest.split_once(' ').unwrap_or((rest, "")),
        };
        words.push(plain(word));
        rest = after.trim_start();
    }
    let between = if name.len() == 2 && name != "SH" && name != "SS" {
        ""
    } else {
        " "
    };
    Some((name, words.join(between)))
}

/// All entries of lists: the line that follows `.TP` or `.TQ`.
pub fn entries() -> Vec<Entry> {
    let (mut section, mut part) = (String::new(), String::new());
    let mut found = Vec::new();
    let mut tagged = false;
    for line in MANUAL.lines() {
        let parsed = request(line);
        match &parsed {
            Some(("SH", title)) => (section, part) = (title.clone(), String::new()),
            Some(("SS", title)) => part = title.clone(),
            _ => {}
        }
        let text = parsed.map_or_else(|| plain(line), |(_, text)| text);
        if tagged {
            found.push(Entry {
                section: section.clone(),
                part: part.clone(),
                text,
                body: String::new(),
            });
        } else if let Some(entry) = found.last_mut() {
            entry.body.push_str(&text);
            entry.body.push(' ');
        }
        tagged = line == ".TP" || line == ".TQ";
    }
    found
}

/// The first words of the entries of a part of the manual.
pub fn named_in(section: &str, part: &str) -> Vec<String> {
    let first = |text: &str| {
        let end = text.find([' ', ',']).unwrap_or(text.len());
        text[..end].to_owned()
    };
    entries()
        .iter()
        .filter(|entry| entry.section == section && entry.part == part)
        .map(|entry| first(&entry.text))
        .collect()
}

/// Compares with what the program has, in no order, nothing twice.
#[track_caller]
pub fn assert_same(manual: Vec<String>, program: impl IntoIterator<Item = impl Into<String>>) {
    let program: Names = program.into_iter().map(Into::into).collect();
    let count = manual.len();
    let manual: Names = manual.into_iter().collect();
    let missing: Vec<_> = program.difference(&manual).collect();
    let stale: Vec<_> = manual.difference(&program).collect();
    assert!(missing.is_empty(), "not in the manual: {missing:?}");
    assert!(stale.is_empty(), "only in the manual: {stale:?}");
    assert_eq!(count, manual.len(), "something is in the manual twice");
}

/// `--name` wherever it stands in a text.
pub fn long_options_in(text: &str) -> Names {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let mut found = Names::new();
    for (at, _) in text.match_indices("--") {
        let joined = text[..at].ends_with(is_part);
        let name = &text[at + 2..];
        let name = &name[..name.find(|c| !is_part(c)).unwrap_or(name.len())];
        if !joined && name.starts_with(|c: char| c.is_ascii_alphabetic()) {
            found.insert(name.trim_end_matches('-').to_owned());
        }
    }
    found
}

/// `-c --cgroup` for each option that a line begins with.
pub fn declared(lines: impl Iterator<Item = String>) -> Names {
    let mut found = Names::new();
    for line in lines {
        let line = line.trim_start();
        if !line.starts_with('-') {
            continue;
        }
        let is_option = |word: &&str| word.len() > 1 && word.starts_with('-') && *word != "--";
        let words: Vec<&str> = line
            .split([' ', ',', '=', '['])
            .filter(|word| !word.is_empty())
            .take_while(is_option)
            .collect();
        if !words.is_empty() {
            found.insert(words.join(" "));
        }
    }
    found
}
