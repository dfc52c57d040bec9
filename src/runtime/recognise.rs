//! Tells a runtime by the name that it was called by.

use super::Args;
use super::tables::{CRUN, KATA, RUNC, RUNSC, Runtime, YOUKI};
use crate::text::base_name;

/// How the names of runtimes begin, for whoever has to ask of every program: at most eight
/// bytes of what [`by_name`] knows, and whose name that is; None where it is most often
/// another program's: `docker-registry`, `buildkitd`.
pub const WORDS: [(&[u8], Option<&str>); 15] = [
    (b"runc", Some(RUNC.name)),
    (b"crun", Some(CRUN.name)),
    (b"krun", Some(CRUN.name)),
    (b"youki", Some(YOUKI.name)),
    (b"runsc", Some(RUNSC.name)),
    (b"kata-run", Some(KATA.name)),
    (b"docker-r", None),
    (b"buildkit", None),
    (b"balena-", None),
    // Nix wraps a program as `.runc-wrapped`.
    (b".runc", Some(RUNC.name)),
    (b".crun", Some(CRUN.name)),
    (b".krun", Some(CRUN.name)),
    (b".youki", Some(YOUKI.name)),
    (b".runsc", Some(RUNSC.name)),
    (b".kata-ru", Some(KATA.name)),
];

/// Whether a program with this comm may be a runtime: by its name, or as one that was
/// executed again goes by `exe`, the number of a descriptor or its copy in memory.
pub fn may_be(comm: &[u8]) -> bool {
    let comm = comm.split(|&b| b == 0).next().unwrap_or_default();
    let mut words = WORDS.iter().map(|(word, _)| *word).chain([&b"memfd:"[..]]);
    is_nameless(comm) || words.any(|word| comm.starts_with(word))
}

/// The name of the program where `argv0` tells it and the comm does not: one that is
/// executed by a descriptor, as busybox does its applets, goes by `exe`, by a number or by
/// its copy in memory.
pub fn name_by_argv0<'a>(argv0: Option<&'a [u8]>, comm: &[u8]) -> Option<&'a [u8]> {
    let comm = comm.split(|&b| b == 0).next().unwrap_or_default();
    if !is_nameless(comm) && !comm.starts_with(b"memfd:") {
        return None;
    }
    let name = base_name(argv0.filter(|argv0| !tells_nothing(argv0))?);
    // No name of a program is longer; who wants to may put anything there.
    (1..=255).contains(&name.len()).then_some(name)
}

/// The runtime that `argv0` names, or `comm` where argv\[0\] tells nothing.
pub(super) fn runtime<'a, I>(
    argv0: Option<&'a [u8]>,
    args: &mut Args<I>,
    comm: &[u8],
) -> Option<&'static Runtime>
where
    I: Iterator<Item = &'a [u8]>,
{
    let argv0 = argv0.unwrap_or_default();
    if !tells_nothing(argv0) {
        return by_name(base_name(argv0));
    }
    let comm = comm.split(|&b| b == 0).next().unwrap_or_default();
    let re_executed = || {
        // Only runc's init is re-executed without its name in argv.
        (is_nameless(comm)
            && argv0.starts_with(b"/proc/self/")
            && args.peek() == Some(&b"init"[..]))
        .then_some(&RUNC)
    };
    by_comm(comm).or_else(re_executed)
}

/// A comm that stands for whatever runs.
fn is_nameless(comm: &[u8]) -> bool {
    comm == b"exe" || is_number(comm)
}

/// argv\[0\] that stands for whatever runs, not for a program.
fn tells_nothing(argv0: &[u8]) -> bool {
    argv0.is_empty()
        || argv0 == b"exe"
        || argv0.starts_with(b"/proc/self/")
        || argv0.starts_with(b"/dev/fd/")
        || argv0.starts_with(b"memfd:")
        || is_number(base_name(argv0))
}

fn by_comm(comm: &[u8]) -> Option<&'static Runtime> {
    if comm.starts_with(b"runc:[") {
        return Some(&RUNC);
    }
    // A sealed copy of the program; comm has room for ten bytes of its name.
    if let Some(file) = comm.strip_prefix(b"memfd:") {
        return file.starts_with(b"runc").then_some(&RUNC);
    }
    by_name(comm)
}

fn by_name(name: &[u8]) -> Option<&'static Runtime> {
    // Nix wraps a program as `.runc-wrapped`.
    let name = name.strip_prefix(b".").unwrap_or(name);
    match name.first()? {
        b'b' => ["buildkit-", "balena-engine-", "balena-"]
            .iter()
            .find_map(|bundled| name.strip_prefix(bundled.as_bytes()))
            .and_then(|rest| variant_of(rest, &RUNC)),
        b'c' => variant_of(name, &CRUN),
        b'd' => variant_of(name.strip_prefix(b"docker-")?, &RUNC),
        b'k' if name == b"krun" => Some(&CRUN),
        b'k' => variant_of(name, &KATA),
        b'r' => variant_of(name, &RUNC).or_else(|| variant_of(name, &RUNSC)),
        b'y' => variant_of(name, &YOUKI),
        _ => None,
    }
}

/// `runc`, `runc.amd64`, `runc-1.1.5`, `runc.real`; not `runc-dmz`, `runcible`.
fn variant_of(name: &[u8], runtime: &'static Runtime) -> Option<&'static Runtime> {
    let rest = name.strip_prefix(runtime.name.as_bytes())?;
    if rest.is_empty() {
        return Some(runtime);
    }
    let suffix = match rest {
        [b'.' | b'-' | b'_', suffix @ ..] => suffix,
        _ => return None,
    };
    let version = matches!(suffix, [b'0'..=b'9', ..] | [b'v', b'0'..=b'9', ..]);
    let own = match runtime.name {
        // crun takes the handler from its own name: crun-wasm, crun-wasmtime.
        "crun" => rest[0] == b'-' && !suffix.is_empty(),
        // The names that runsc gives to what it re-executes.
        "runsc" => [&b"sandbox"[..], b"gofer", b"exec"].contains(&suffix),
        _ => false,
    };
    let plain = || COPIES.split(' ').any(|word| word.as_bytes() == suffix);
    (version || own || plain()).then_some(runtime)
}

/// What people and distributions append to the name of a copy.
const COPIES: &str = "amd64 x86_64 i386 386 arm64 aarch64 arm armv7 armhf armel ppc64le s390x \
    riscv64 real orig original old new bak bin current wrapped static dynamic debug fips rc main \
    master dev";

fn is_number(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever [`by_name`] knows begins with a word, of the same runtime.
    #[test]
    fn words_begin_the_names_of_runtimes() {
        for name in [
            "runc",
            "crun",
            "krun",
            "youki",
            "runsc",
            "kata-runtime",
            "docker-runc",
            "buildkit-runc",
            "balena-runc",
            "balena-engine-runc",
            "runc-1.1.5",
            "crun-wasm",
            "runsc-sandbox",
            ".runc-wrapped",
            ".crun-wrapped",
            ".youki-wrapped",
            ".runsc-wrapped",
            ".kata-runtime-wrapped",
        ] {
            let known = by_name(name.as_bytes()).map(|runtime| runtime.name);
            assert!(known.is_some(), "{name}");
            let mut words = WORDS.iter();
            let word = words.find(|(word, _)| name.as_bytes().starts_with(word));
            let whose = word.map(|(_, whose)| *whose);
            assert!(whose.is_some(), "{name}");
            assert!(
                matches!(whose, Some(None)) || whose == Some(known),
                "{name}"
            );
        }
        assert!(WORDS.iter().all(|(word, _)| word.len() <= 8));
    }

    #[test]
    fn what_was_executed_again_may_be_a_runtime() {
        for comm in [&b"exe\0\0"[..], b"6\0", b"memfd:runc_clone", b"runc\0"] {
            assert!(may_be(comm));
        }
        for comm in [&b"exec\0"[..], b"6a\0", b"memfd\0", b"\0"] {
            assert!(!may_be(comm));
        }
    }
}
