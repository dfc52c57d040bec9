//! Walks a runtime's command line: its own options, the command, the command's
//! options and operands.

use super::lex::{Dialect, Known, Options, Takes, Token};
use super::tables::{Command, INIT, Lasts, Operand, Runtime};
use super::{Args, Invocation};

/// Reads what follows argv\[0\].
pub(super) fn invocation<'a, I>(runtime: &'static Runtime, args: &mut Args<I>) -> Invocation<'a>
where
    I: Iterator<Item = &'a [u8]>,
{
    let mut found = Invocation {
        runtime: runtime.name,
        command: None,
        action: runtime.name,
        container: None,
        root: None,
        bundle: None,
        lasting: false,
    };
    let Some(command) = command(runtime, args, &mut found.root) else {
        return found;
    };
    found.command = Some(command.name);
    found.action = command.action;
    let mut scan = Scan::new(runtime.dialect, command);
    scan.run(args);
    found.container = scan.container.filter(|id| !id.is_empty());
    found.bundle = scan.bundle;
    found.lasting = scan.lasting();
    found
}

/// The command, with the options before it read over, but for `root`.
fn command<'a, I>(
    runtime: &'static Runtime,
    args: &mut Args<I>,
    root: &mut Option<&'a [u8]>,
) -> Option<&'static Command>
where
    I: Iterator<Item = &'a [u8]>,
{
    let mut arg = args.next()?;
    // runc looks for it before it reads any option, and so nowhere else.
    if runtime.has_init && arg == b"init" {
        return Some(&INIT);
    }
    loop {
        let (known, value) = match runtime.dialect.token(arg) {
            Token::Operand => return runtime.command(arg),
            Token::Terminator => return runtime.command(args.next()?),
            Token::Option { name, value } => (runtime.option(name), value),
            Token::Letters(letters) => cluster(runtime.options, runtime.dialect, letters),
        };
        match known {
            Some(option) if ends(option, value) => return None,
            Some(option) => {
                let value = match option.takes {
                    Takes::Value if value.is_none() => Some(args.next()?),
                    _ => value,
                };
                if option.name == "root" {
                    *root = value;
                }
            }
            // An option newer than our table: it has a value unless what follows
            // can be read without.
            None => {
                let next = args.peek()?;
                let is_value = !next.starts_with(b"-") && runtime.command(next).is_none();
                if value.is_none() && is_value {
                    args.next()?;
                }
            }
        }
        arg = args.next()?;
    }
}

/// `--help` and `--version` end the program before it looks at any command.
fn ends(option: &Known, value: Option<&[u8]>) -> bool {
    matches!(option.name, "help" | "usage" | "version") && is_true(value)
}

/// The last letter of a cluster that matters before the command: the one that takes
/// a value or ends the program.
fn cluster(
    list: Options,
    dialect: Dialect,
    letters: &[u8],
) -> (Option<&'static Known>, Option<&[u8]>) {
    let mut last = None;
    for (at, &letter) in letters.iter().enumerate() {
        let known = find_letter(list, dialect, letter);
        let Some(option) = known else {
            return (None, Some(&[]));
        };
        if option.takes != Takes::Nothing {
            return (known, attached(dialect, &letters[at + 1..]));
        }
        if last.is_none_or(|option| !ends(option, None)) {
            last = known;
        }
    }
    (last, None)
}

fn find_letter(list: Options, dialect: Dialect, letter: u8) -> Option<&'static Known> {
    Dialect::find_letter(list, letter).or_else(|| Dialect::find_letter(dialect.common(), letter))
}

fn attached(dialect: Dialect, rest: &[u8]) -> Option<&[u8]> {
    let rest = match rest {
        [b'=', value @ ..] if dialect == Dialect::Clap => value,
        [] => return None,
        _ => rest,
    };
    Some(rest)
}

/// A flag's value as Go reads it; without one it is set.
fn is_true(value: Option<&[u8]>) -> bool {
    value.is_none_or(|v| [&b"1"[..], b"t", b"T", b"true", b"TRUE", b"True"].contains(&v))
}

/// What is known of a command's options and operands so far.
struct Scan<'a> {
    dialect: Dialect,
    command: &'static Command,
    container: Option<&'a [u8]>,
    bundle: Option<&'a [u8]>,
    operands: u8,
    detached: bool,
    stats: bool,
    help: bool,
    /// Only operands follow.
    options_over: bool,
    /// An option that we do not know may take the next argument as its value.
    unsure: bool,
    /// The last argument was a flag without a value.
    after_flag: bool,
}

impl<'a> Scan<'a> {
    fn new(dialect: Dialect, command: &'static Command) -> Self {
        Self {
            dialect,
            command,
            container: None,
            bundle: None,
            operands: 0,
            detached: false,
            stats: false,
            help: false,
            options_over: false,
            unsure: false,
            after_flag: false,
        }
    }

    fn lasting(&self) -> bool {
        let lasts = match self.command.lasts {
            Lasts::Briefly => false,
            Lasts::Always => true,
            Lasts::UnlessDetached => !self.detached,
            Lasts::UnlessStats => !self.stats,
        };
        lasts && !self.help
    }

    fn run<I: Iterator<Item = &'a [u8]>>(&mut self, args: &mut Args<I>) {
        while let Some(arg) = args.next() {
            // An option after the unknown one: that took no value.
            self.unsure &= self.operands > 0 || !arg.starts_with(b"-");
            let after_flag = std::mem::take(&mut self.after_flag);
            let token = if self.options_over {
                Token::Operand
            } else {
                self.dialect.token(arg)
            };
            match token {
                Token::Operand if self.operand(arg, after_flag) => return,
                Token::Operand => {}
                Token::Terminator => self.options_over = true,
                Token::Option { name, value } => self.option(name, value, args),
                Token::Letters(letters) => self.letters(letters, args),
            }
            if self.help {
                return;
            }
        }
    }

    /// Takes an operand; true if the rest does not matter.
    fn operand(&mut self, arg: &'a [u8], after_flag: bool) -> bool {
        self.operands = self.operands.saturating_add(1);
        let command = self.command;
        if self.unsure {
            // It may be an option's value. Where there is but one operand, callers
            // put it last.
            if command.operand == Operand::Only {
                self.container = Some(arg);
                return false;
            }
            return true;
        }
        if self.dialect == Dialect::Urfave && command.stop == 0 && after_flag {
            // urfave/cli v1 moves options with what may be their value before the
            // operands; Go's flags then stop at what follows a flag that takes none.
            if command.operand != Operand::None {
                self.container = Some(arg);
            }
            return true;
        }
        if self.operands == command.operand.position() {
            self.container = Some(arg);
        }
        if command.stop > 0 && self.operands >= command.stop {
            self.options_over = true;
        }
        self.options_over && self.operands >= command.operand.position()
    }

    fn option<I>(&mut self, name: &[u8], value: Option<&'a [u8]>, args: &mut Args<I>)
    where
        I: Iterator<Item = &'a [u8]>,
    {
        let (list, common) = (self.command.options, self.dialect.common());
        let found = self.dialect.find(list, name);
        let Some(known) = found.or_else(|| self.dialect.find(common, name)) else {
            self.unknown(value.is_none());
            return;
        };
        self.known(known, value, args);
    }

    fn unknown(&mut self, may_take_next: bool) {
        self.unsure |= may_take_next && self.container.is_none();
    }

    fn letters<I>(&mut self, letters: &'a [u8], args: &mut Args<I>)
    where
        I: Iterator<Item = &'a [u8]>,
    {
        for (at, &letter) in letters.iter().enumerate() {
            let Some(known) = find_letter(self.command.options, self.dialect, letter) else {
                return self.unknown(at + 1 == letters.len());
            };
            if known.takes == Takes::Nothing {
                self.known(known, None, args);
            } else {
                return self.known(known, attached(self.dialect, &letters[at + 1..]), args);
            }
        }
    }

    fn known<I>(&mut self, option: &Known, value: Option<&'a [u8]>, args: &mut Args<I>)
    where
        I: Iterator<Item = &'a [u8]>,
    {
        let value = match option.takes {
            Takes::Value => value.or_else(|| args.next()),
            Takes::Nothing | Takes::Attached => value,
        };
        self.after_flag = option.takes == Takes::Nothing && value.is_none();
        match option.name {
            "bundle" => self.bundle = value,
            "detach" => self.detached = is_true(value),
            "stats" => self.stats = is_true(value),
            "help" | "usage" => self.help = is_true(value),
            _ => {}
        }
    }
}
