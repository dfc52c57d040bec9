//! Each dialect, names, and hostile input.

use super::*;

const ID: &str = "4f797c539e6c745de61a93ca3ff892358ecbcaccd8414d5db545c38428142970";

/// A command line in words; `ID` stands for a container's id, `''` for an empty word.
fn words(line: &str) -> Vec<Vec<u8>> {
    let word = |w: &str| match w {
        "''" => Vec::new(),
        w => w.replace("ID", ID).into_bytes(),
    };
    line.split_whitespace().map(word).collect()
}

fn parsed<R>(line: &str, look: impl Fn(Option<Invocation<'_>>) -> R) -> R {
    let words = words(line);
    look(parse(words.iter().map(Vec::as_slice), false, b"comm"))
}

/// `action container bundle`, then `lasting` where it is.
pub(super) fn summary(line: &str) -> String {
    parsed(line, |found| {
        let Some(found) = found else {
            return "none".to_owned();
        };
        let text = |value: Option<&[u8]>| match value {
            Some(v) if v == ID.as_bytes() => "ID".to_owned(),
            Some(v) => String::from_utf8_lossy(v).into_owned(),
            None => "-".to_owned(),
        };
        let lasting = if found.lasting { " lasting" } else { "" };
        let (container, bundle) = (text(found.container), text(found.bundle));
        format!("{}: {container} {bundle}{lasting}", found.action)
    })
}

pub(super) fn check(cases: &[(&str, &str)]) {
    for (line, expected) in cases {
        assert_eq!(&summary(line), expected, "{line}");
    }
}

/// These rules held for runc 1.1.5 on random command lines, looked at by strace.
#[test]
fn runc_reads_like_urfave() {
    check(&[
        // Values that look like commands or options, '-' and '--'.
        ("runc --log create --root exec state c", "runc state: c -"),
        ("runc --root run --log=kill delete -f c", "runc delete: c -"),
        ("runc -root /r -log=/l -debug state c", "runc state: c -"),
        ("runc run --bundle -d c", "runc run: c -d lasting"),
        ("runc run --bundle -- c", "runc run: c -- lasting"),
        ("runc -- state c", "runc state: c -"),
        ("runc --debug -- run -- c", "runc run: c - lasting"),
        ("runc run -- c -d", "runc run: c - lasting"),
        // Options after the operand, but not where the command is another program's.
        ("runc run c --bundle /b -d", "runc run: c /b"),
        ("runc delete c --force", "runc delete: c -"),
        ("runc events c --stats=false", "runc events: c - lasting"),
        ("runc events c -stats", "runc events: c -"),
        ("runc exec c -d sleep", "runc exec: c - lasting"),
        ("runc exec -t -d --env A=B -u 0 c sh -c x", "runc exec: c -"),
        ("runc run --detach=0 c", "runc run: c - lasting"),
        // What follows a flag moves in front of the other operands.
        ("runc kill foo --all KILL", "runc kill: KILL -"),
        ("runc run -d c --bundle /b", "runc run: c -"),
        // No command.
        ("runc", "runc: - -"),
        ("runc --root", "runc: - -"),
        ("runc --debug --systemd-cgroup", "runc: - -"),
        ("runc --root /r --version state c", "runc: - -"),
        ("runc -v", "runc: - -"),
        ("runc --help run c", "runc: - -"),
        ("runc bogus c", "runc: - -"),
        ("runc run --help", "runc run: - -"),
        ("runc help run", "runc help: - -"),
        ("runc state ''", "runc state: - -"),
        // init only where runc looks for it.
        ("/usr/sbin/runc init", "runc init: - -"),
        ("runc --root /r init", "runc: - -"),
    ]);
}

#[test]
fn the_root_is_the_runtimes_own() {
    let root = |line: &str| {
        parsed(line, |found| {
            found.and_then(|found| {
                found
                    .root
                    .map(|root| String::from_utf8_lossy(root).into_owned())
            })
        })
    };
    for (line, expected) in [
        ("runc --log /l --root /r start c", Some("/r")),
        ("runc -root=/r --root /s start c", Some("/s")),
        ("crun --root=/r start c", Some("/r")),
        // Or is it --rootless?
        ("crun --roo=/r start c", None),
        ("runc start --root /r c", None),
        ("runc start c", None),
    ] {
        assert_eq!(root(line).as_deref(), expected, "{line}");
    }
}

/// As above, for crun 1.8.1.
#[test]
fn crun_reads_like_argp() {
    check(&[
        ("crun --root=/r --rootless true state c", "crun state: c -"),
        ("crun --sys --roo /r state c", "crun state: c -"),
        (
            "crun --log create --log-l debug delete --for c",
            "crun delete: c -",
        ),
        ("crun -- state -- c", "crun state: c -"),
        ("crun run -b/b c", "crun run: c /b lasting"),
        ("crun run -db /b c", "crun run: c /b"),
        ("crun run --bun=/b --det c", "crun run: c /b"),
        ("crun run c -d", "crun run: c - lasting"),
        ("crun exec -dt c sh", "crun exec: c -"),
        ("crun exec -tfalse c sh -d", "crun exec: c - lasting"),
        ("crun exec -t c sh", "crun exec: c - lasting"),
        ("crun exec -p/x -eA=d -ud c", "crun exec: c - lasting"),
        ("crun mounts add c /m", "crun mounts: c -"),
        ("crun --version state c", "crun: - -"),
        ("crun -V", "crun: - -"),
        ("crun --usage run c", "crun: - -"),
        ("crun init", "crun: - -"),
        ("crun-wasm run c", "crun run: c - lasting"),
    ]);
}

#[test]
fn youki_reads_like_clap() {
    check(&[
        (
            "youki --root /r -l/l --log-format json --systemd-cgroup create -b /b -p=/p c",
            "youki create: c /b",
        ),
        (
            "youki -sr /r --log run run c --bundle=/b --detach",
            "youki run: c /b",
        ),
        ("youki -r /r kill c KILL --all", "youki kill: c -"),
        ("youki exec c -d sleep", "youki exec: c -"),
        ("youki exec c sleep -d", "youki exec: c - lasting"),
        ("youki exec --env A=B -td c sleep 1", "youki exec: c -"),
        ("youki exec -- c sleep -d", "youki exec: c - lasting"),
        ("youki events --stats c", "youki events: c -"),
        ("youki checkpointt c", "youki checkpoint: c -"),
        ("youki -V", "youki: - -"),
    ]);
}

#[test]
fn runsc_reads_like_go() {
    check(&[
        (
            "runsc --root=/r --log=/l --log-format=json -debug-log /d/ create --bundle /b --pid-file /p c",
            "runsc create: c /b",
        ),
        (
            "runsc -network host -strace run -detach c",
            "runsc run: c -",
        ),
        ("runsc run c -detach", "runsc run: c - lasting"),
        ("runsc exec -detach=true -user 0:0 c ls", "runsc exec: c -"),
        ("runsc exec -cap delete c ls", "runsc exec: c - lasting"),
        ("runsc wait -pid 3 c", "runsc wait: c - lasting"),
        ("runsc events -stats c", "runsc events: c -"),
        ("runsc do -force-overlay echo hi", "runsc do: - - lasting"),
        (
            "runsc-sandbox --root=/r --log-fd=3 boot --bundle=/b --io-fds=4 c",
            "runsc boot: c /b lasting",
        ),
        (
            "runsc-gofer --log-fd=3 gofer --bundle /b --io-fds=4 c",
            "runsc gofer: c /b lasting",
        ),
        (
            "runsc-exec --root=/r exec --pid-file=/p c ls",
            "runsc exec: c - lasting",
        ),
        ("runsc -version", "runsc: - -"),
    ]);
}

#[test]
fn kata() {
    check(&[
        (
            "/opt/kata/bin/kata-runtime --kata-config /c --root /r create --bundle /b --console /d c",
            "kata-runtime create: c /b",
        ),
        ("kata-runtime run -d c", "kata-runtime run: c -"),
        ("kata-runtime exec s", "kata-runtime exec: s - lasting"),
        ("kata-runtime kata-check", "kata-runtime check: - -"),
    ]);
}

#[test]
fn options_newer_than_the_tables() {
    check(&[
        ("runc --new state c", "runc state: c -"),
        ("runc --new value state c", "runc state: c -"),
        ("runc --new=value --debug state c", "runc state: c -"),
        ("runc create --new value --bundle /b c", "runc create: c /b"),
        ("runc create --new --bundle /b c", "runc create: c /b"),
        ("runc create c --new value", "runc create: c -"),
        // Which of the two is the container cannot be known.
        ("runc exec --new value c sh", "runc exec: - - lasting"),
        ("runc exec --new --detach c sh", "runc exec: c -"),
        ("crun run --new value c", "crun run: c - lasting"),
        ("crun -x state c", "crun state: c -"),
    ]);
}

#[test]
fn names_of_runtimes() {
    let is = |name: &str| parsed(name, |found| found.map_or("", |found| found.runtime));
    for name in [
        "runc",
        "/a/b/runc",
        "runc.amd64",
        "runc-1.1.5",
        "runc-v1.2.0-rc.1",
        "runc.real",
    ] {
        assert_eq!(is(name), "runc", "{name}");
    }
    for name in [
        "docker-runc",
        ".runc-wrapped",
        "balena-engine-runc",
        "../runc_old",
    ] {
        assert_eq!(is(name), "runc", "{name}");
    }
    for name in [
        "runcible",
        "runc-dmz",
        "runc/",
        "/runc/x",
        "xrunc",
        "run",
        "r",
        "-",
        "docker-proxy",
    ] {
        assert_eq!(is(name), "", "{name}");
    }
    for name in [
        "containerd-shim-runc-v2",
        "containerd-shim-kata-v2",
        "runsc-x",
        "kata-monitor",
    ] {
        assert_eq!(is(name), "", "{name}");
    }
    assert_eq!(is("krun"), "crun");
    assert_eq!(is("youki-0.4.1"), "youki");
}

#[test]
fn comm_decides_where_argv0_tells_nothing() {
    let action_of = |line: &str, comm: &str| {
        let words = words(line);
        action(words.iter().map(Vec::as_slice), false, comm.as_bytes()).into_owned()
    };
    for (line, comm, expected) in [
        ("/proc/self/exe init", "runc", "runc init"),
        ("/proc/self/exe init", "exe", "runc init"),
        ("/proc/self/fd/6 init", "6", "runc init"),
        ("/proc/self/exe init", "runc:[2:INIT]", "runc init"),
        (
            "memfd:runc_cloned:/proc/self/exe init",
            "memfd:runc_clon",
            "runc init",
        ),
        ("/proc/self/exe init", "lxd", "lxd"),
        ("/proc/self/exe unshare", "exe", "exe"),
        ("/proc/self/fd/3 state c", "crun", "crun state"),
        ("", "runc", "runc"),
        ("''", "crun", "crun"),
        // runc's wrapper script, which is not runc.
        ("/bin/sh /usr/bin/runc create c", "runc", "runc"),
        ("sleep 5", "sleep", "sleep"),
        ("/usr/sbin/runc init", "6", "runc init"),
    ] {
        assert_eq!(action_of(line, comm), expected, "{line} {comm}");
    }
    let script = words("/bin/sh /usr/bin/runc create c");
    assert_eq!(
        parse(script.iter().map(Vec::as_slice), false, b"runc"),
        None
    );
}

#[test]
fn comm_is_printable() {
    let of = |comm: &'static [u8]| action(std::iter::empty(), false, comm);
    assert!(matches!(of(b"sh\0junk"), Cow::Borrowed("sh")));
    assert_eq!(of(b"a\x1b[2J\n"), "a?[2J?");
    assert_eq!(of(b"\xff\xfe"), "\u{fffd}\u{fffd}");
    assert_eq!(of("größe".as_bytes()), "größe");
    assert_eq!(of(b""), "");
}

#[test]
fn a_cut_off_argument_is_not_believed() {
    let cut = |line: &str| {
        let words = words(line);
        parse(words.iter().map(Vec::as_slice), true, b"runc").map(|found| {
            let container = found.container.map(<[u8]>::to_vec);
            (found.action, container, found.bundle.map(<[u8]>::to_vec))
        })
    };
    assert_eq!(cut("runc"), Some(("runc", None, None)));
    assert_eq!(cut("runc --root /r cre"), Some(("runc", None, None)));
    assert_eq!(cut("runc create"), Some(("runc", None, None)));
    assert_eq!(
        cut("runc create --bundle /b"),
        Some(("runc create", None, None))
    );
    assert_eq!(cut("runc state 4f79"), Some(("runc state", None, None)));
    let whole = Some(("runc exec", Some(b"c".to_vec()), None));
    assert_eq!(cut("runc exec c sh -c ech"), whole);
}

#[test]
fn hostile_command_lines() {
    const VOCABULARY: &[&[u8]] = &[
        b"",
        b"-",
        b"--",
        b"---",
        b"-=",
        b"--=",
        b"=",
        b"init",
        b"create",
        b"exec",
        b"--bundle",
        b"--bundle=",
        b"-b",
        b"-bdt",
        b"--detach",
        b"--detach=",
        b"--help",
        b"-\xff",
        b"--\xff=\xff",
        b"\0",
        b"\n",
        b"--log",
        b"--roo",
        b"-t",
        b"--new",
        b"\xf0\x9f",
    ];
    let names: [&[u8]; 5] = [b"runc", b"crun", b"youki", b"runsc", b"kata-runtime"];
    // Every line of up to three of these words, whole and cut off, for every runtime.
    for name in names {
        for code in 0..(VOCABULARY.len() + 1).pow(3) {
            let word = |place: u32| {
                let digit = code / (VOCABULARY.len() + 1).pow(place) % (VOCABULARY.len() + 1);
                VOCABULARY.get(digit).copied()
            };
            let line = || std::iter::once(name).chain((0..3).filter_map(word));
            for truncated in [false, true] {
                let found = parse(line(), truncated, b"");
                assert_eq!(found.is_some(), !(truncated && line().count() == 1));
                let found = found.into_iter();
                assert!(found.clone().all(|f| f.action.starts_with(f.runtime)));
                assert!(found.clone().all(|f| f.container != Some(b"")));
            }
        }
    }
    let long = vec![b'x'; 1 << 20];
    let huge = || std::iter::once(&b"runc"[..]).chain(std::iter::repeat_n(&long[..], 20_000));
    assert_eq!(parse(huge(), false, b"").map(|f| f.action), Some("runc"));
    let flags = || {
        [&b"runc"[..], b"run"]
            .into_iter()
            .chain(std::iter::repeat_n(&b"-d"[..], 20_000))
    };
    assert_eq!(parse(flags(), false, b"").and_then(|f| f.container), None);
}
