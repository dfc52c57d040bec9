//! How each family of runtimes tells options from operands: one argument at a time,
//! without knowing what the option means.

/// The library that reads a runtime's command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// urfave/cli v1: Go's flags, which a command moves before its operands.
    Urfave,
    /// Go's flags: one dash or two, nothing read after the first operand.
    GoFlag,
    /// GNU argp in order: long options may be shortened, nothing read after the
    /// first operand.
    Argp,
    /// clap: options anywhere, a short one's value may follow '='.
    Clap,
}

/// One argument.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    Operand,
    /// `--`: only operands follow.
    Terminator,
    Option {
        name: &'a [u8],
        value: Option<&'a [u8]>,
    },
    /// Single letters after one dash; the last one may have its value attached.
    Letters(&'a [u8]),
}

/// A known option.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    /// Its main name.
    pub(super) name: &'static str,
    /// Its single letters, commas among them.
    letters: &'static str,
    pub(super) takes: Takes,
}

/// The options of a program or a command.
pub(super) type Options = &'static [Known];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Takes {
    Nothing,
    Value,
    /// A value only where it is attached.
    Attached,
}

impl Dialect {
    pub(super) fn token(self, arg: &[u8]) -> Token<'_> {
        let Some(after_dash) = arg.strip_prefix(b"-").filter(|rest| !rest.is_empty()) else {
            return Token::Operand;
        };
        let long = match after_dash.strip_prefix(b"-") {
            Some([]) => return Token::Terminator,
            Some(long) => long,
            None if matches!(self, Self::Argp | Self::Clap) => return Token::Letters(after_dash),
            None => after_dash,
        };
        let (name, value) = split_value(long);
        Token::Option { name, value }
    }

    /// Finds an option in a list as the tables have it.
    pub(super) fn find(self, list: Options, name: &[u8]) -> Option<&'static Known> {
        match name {
            [] => return None,
            // Go's flags make no difference between one dash and two.
            [letter] if matches!(self, Self::Urfave | Self::GoFlag) => {
                return Self::find_letter(list, *letter);
            }
            _ => {}
        }
        let exact = list.iter().find(|known| known.name.as_bytes() == name);
        match exact {
            None if self == Self::Argp => Self::find_shortened(list, name),
            _ => exact,
        }
    }

    /// The only one that begins so; of two candidates the program itself takes none.
    fn find_shortened(list: Options, name: &[u8]) -> Option<&'static Known> {
        let mut candidates = list
            .iter()
            .filter(|known| known.name.as_bytes().starts_with(name));
        let only = candidates.next()?;
        candidates.next().is_none().then_some(only)
    }

    /// Finds an option by its letter.
    pub(super) fn find_letter(list: Options, letter: u8) -> Option<&'static Known> {
        let has_letter =
            |known: &&Known| letter != b',' && known.letters.as_bytes().contains(&letter);
        list.iter().find(has_letter)
    }

    /// What the library adds to every list of options.
    pub(super) fn common(self) -> Options {
        match self {
            Self::Argp => words!("help usage program-name="),
            Self::Urfave | Self::GoFlag | Self::Clap => words!("help,h"),
        }
    }
}

impl Known {
    /// Of an entry as the tables have it: `name,l=`.
    const fn of(entry: &'static str) -> Self {
        let (takes, entry) = match entry.as_bytes().last() {
            Some(b'=') => (Takes::Value, entry.split_at(entry.len() - 1).0),
            Some(b'?') => (Takes::Attached, entry.split_at(entry.len() - 1).0),
            _ => (Takes::Nothing, entry),
        };
        let (name, letters) = entry.split_at(until(entry, b','));
        Self {
            name,
            letters,
            takes,
        }
    }
}

/// Where `end` is, or the text's length.
const fn until(text: &str, end: u8) -> usize {
    let mut at = 0;
    while at < text.len() && text.as_bytes()[at] != end {
        at += 1;
    }
    at
}

/// How many words a list holds; one blank is between two.
pub(super) const fn count(list: &str) -> usize {
    let (mut count, mut rest) = (0, list);
    while !rest.is_empty() {
        let end = until(rest, b' ');
        rest = rest.split_at(end).1;
        if !rest.is_empty() {
            rest = rest.split_at(1).1;
        }
        count += 1;
    }
    count
}

/// A list's options. Read by the compiler: splitting text for each option of each
/// command line was half of what an execution cost.
pub(super) const fn options<const N: usize>(list: &'static str) -> [Known; N] {
    let mut all = [Known::of(""); N];
    let (mut at, mut rest) = (0, list);
    while at < N {
        let (word, after) = rest.split_at(until(rest, b' '));
        all[at] = Known::of(word);
        rest = if after.is_empty() {
            after
        } else {
            after.split_at(1).1
        };
        at += 1;
    }
    all
}

/// The options of a list of words, a constant.
macro_rules! words {
    ($list:expr) => {{
        const LIST: &str = $list;
        const OPTIONS: [$crate::runtime::lex::Known; $crate::runtime::lex::count(LIST)] =
            $crate::runtime::lex::options(LIST);
        const REFERENCE: &[$crate::runtime::lex::Known] = &OPTIONS;
        REFERENCE
    }};
}
pub(super) use words;

fn split_value(option: &[u8]) -> (&[u8], Option<&[u8]>) {
    match option.iter().position(|&b| b == b'=') {
        Some(at) => (&option[..at], Some(&option[at + 1..])),
        None => (option, None),
    }
}
