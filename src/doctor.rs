//! `execlat doctor`: what this host has of what tracing needs, and what to do about
//! what it lacks. The judgement is pure; the same checks explain why tracing cannot
//! begin.

use serde::Serialize;

use crate::source::host::{Facts, Tracefs};

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// Tracing works, with a drawback.
    Note,
    /// Tracing cannot work.
    Lack,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What.
    pub what: &'static str,
    /// How it went.
    pub verdict: Verdict,
    /// What was found.
    pub found: String,
    /// What to do, if anything.
    pub advice: Option<String>,
}

impl Check {
    fn new(what: &'static str, verdict: Verdict, found: impl Into<String>, advice: &str) -> Check {
        Check {
            what,
            verdict,
            found: found.into(),
            advice: (!advice.is_empty()).then(|| advice.to_owned()),
        }
    }

    /// What was found, and what to do about it.
    fn with_advice(&self) -> String {
        match &self.advice {
            Some(advice) => format!("{}; {advice}", self.found),
            None => self.found.clone(),
        }
    }
}

/// Judges the facts, in the order in which the lacks would be met.
pub fn judge(facts: &Facts) -> Vec<Check> {
    vec![
        Check::new(
            "kernel",
            Verdict::Ok,
            format!("{} {}", facts.kernel, facts.machine),
            "",
        ),
        capabilities(facts),
        paranoid(facts),
        lockdown(facts),
        btf(facts),
        kprobes(facts),
        tracefs(facts),
        cgroups(facts),
        memlock(facts),
        pids(facts),
    ]
}

/// The kernel asks for the capabilities in the initial user namespace, whatever
/// `/proc/self/status` says.
fn capabilities(facts: &Facts) -> Check {
    if facts.user_namespace {
        return Check::new(
            "capabilities",
            Verdict::Lack,
            "not allowed to trace: capabilities in a user namespace of our own do not count",
            "run it as root in the host's user namespace",
        );
    }
    let missing = facts.missing_capabilities();
    if missing.is_empty() {
        let held = match facts.is_admin() {
            true => "CAP_SYS_ADMIN",
            false => "CAP_BPF and CAP_PERFMON",
        };
        return Check::new("capabilities", Verdict::Ok, held, "");
    }
    Check::new(
        "capabilities",
        Verdict::Lack,
        format!("not allowed to trace: {} missing", missing.join(" and ")),
        "run it as root, or give it CAP_BPF and CAP_PERFMON",
    )
}

/// Debian's kernels know 3, at which CAP_PERFMON is not enough.
fn paranoid(facts: &Facts) -> Check {
    let what = "perf_event_paranoid";
    match facts.paranoid {
        Some(level) if level > 2 && !facts.is_admin() => Check::new(
            what,
            Verdict::Lack,
            format!("perf events are refused: kernel.perf_event_paranoid is {level}"),
            "set it to 2 (sysctl kernel.perf_event_paranoid=2), or give it CAP_SYS_ADMIN",
        ),
        Some(level) => Check::new(what, Verdict::Ok, level.to_string(), ""),
        None => Check::new(what, Verdict::Ok, "not there", ""),
    }
}

fn lockdown(facts: &Facts) -> Check {
    match facts.lockdown.as_deref() {
        Some("confidentiality") => Check::new(
            "lockdown",
            Verdict::Lack,
            "the kernel is locked down (confidentiality): BPF may not read its memory",
            "boot with lockdown=integrity, or without",
        ),
        Some(mode) => Check::new("lockdown", Verdict::Ok, mode, ""),
        None => Check::new("lockdown", Verdict::Ok, "not told", ""),
    }
}

fn btf(facts: &Facts) -> Check {
    match facts.btf {
        true => Check::new("BTF", Verdict::Ok, "/sys/kernel/btf/vmlinux", ""),
        false => Check::new(
            "BTF",
            Verdict::Lack,
            "this kernel does not describe its types: no /sys/kernel/btf/vmlinux",
            "use a kernel built with CONFIG_DEBUG_INFO_BTF",
        ),
    }
}

fn kprobes(facts: &Facts) -> Check {
    match facts.kprobes {
        true => Check::new(
            "kprobes",
            Verdict::Ok,
            "yes: the kprobe flavour is taken",
            "",
        ),
        false => Check::new(
            "kprobes",
            Verdict::Ok,
            "no: the tracepoint flavour is taken",
            "",
        ),
    }
}

fn tracefs(facts: &Facts) -> Check {
    match (facts.tracefs, facts.kprobes) {
        (Tracefs::Mounted, _) => Check::new("tracefs", Verdict::Ok, "mounted", ""),
        (Tracefs::Private, _) => Check::new("tracefs", Verdict::Ok, "can be mounted privately", ""),
        (Tracefs::Absent, false) => Check::new("tracefs", Verdict::Ok, "not needed", ""),
        (Tracefs::Absent, true) => Check::new(
            "tracefs",
            Verdict::Note,
            "cannot be had: execs are seen by finalize_exec, misses are not counted",
            "mount it at /sys/kernel/tracing, or give CAP_SYS_ADMIN",
        ),
    }
}

fn cgroups(facts: &Facts) -> Check {
    let v2 = facts.hierarchies.iter().any(|h| h.id == 0);
    let v1 = facts.hierarchies.iter().any(|h| h.id != 0);
    let mode = match (v2, v1) {
        (true, true) => "hybrid",
        (true, false) => "v2",
        (false, true) => "v1",
        (false, false) => {
            let advice = "mount cgroup2 at /sys/fs/cgroup";
            let found = "no hierarchy is mounted: --cgroup cannot be used";
            return Check::new("cgroups", Verdict::Note, found, advice);
        }
    };
    let mounts = facts
        .hierarchies
        .iter()
        .map(|h| h.mount.display().to_string());
    let found = format!("{mode}: {}", mounts.collect::<Vec<_>>().join(" "));
    Check::new("cgroups", Verdict::Ok, found, "")
}

fn memlock(facts: &Facts) -> Check {
    let found = match facts.memlock_bytes {
        None => "unlimited".to_owned(),
        Some(bytes) => format!(
            "{} KiB (counts for maps before Linux 5.11 alone)",
            bytes >> 10
        ),
    };
    Check::new("locked memory", Verdict::Ok, found, "")
}

/// The kernel lists no processes to us but those of our own pid namespace.
fn pids(facts: &Facts) -> Check {
    match facts.pid_namespace {
        false => Check::new(PIDS, Verdict::Ok, "the host's", ""),
        true => Check::new(
            PIDS,
            Verdict::Note,
            "one of our own: what ran before outside it is not known, nor who is gone without \
             a word",
            "run it in the host's",
        ),
    }
}

const PIDS: &str = "pid namespace";

/// The lines on what makes tracing worse than it could be, and would not be noticed.
pub fn warnings(checks: &[Check]) -> impl Iterator<Item = String> {
    let noted = |check: &&Check| check.verdict == Verdict::Note && check.what == PIDS;
    let line = |check: &Check| format!("{}: {}", check.what, check.with_advice());
    checks.iter().filter(noted).map(line)
}

/// The line that says why tracing cannot begin, if a check says so.
pub fn refusal(checks: &[Check]) -> Option<String> {
    let check = checks.iter().find(|check| check.verdict == Verdict::Lack)?;
    Some(check.with_advice())
}

/// The check that is the proof: tracing was tried.
pub fn trial(tried: &anyhow::Result<String>) -> Check {
    match tried {
        Ok(how) => Check::new("trial", Verdict::Ok, how.clone(), ""),
        Err(error) => Check::new("trial", Verdict::Lack, format!("{error:#}"), ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Facts {
        Facts {
            kernel: "6.1".into(),
            btf: true,
            kprobes: true,
            tracefs: Tracefs::Private,
            capabilities: u64::MAX,
            paranoid: Some(3),
            lockdown: Some("integrity".into()),
            ..Facts::default()
        }
    }

    #[test]
    fn a_good_host_has_no_lack() {
        let checks = judge(&good());
        assert_eq!(refusal(&checks), None);
        assert!(checks.iter().all(|check| check.verdict != Verdict::Lack));
    }

    #[test]
    fn each_lack_says_what_to_do() {
        let lacks = |facts: Facts| refusal(&judge(&facts)).expect("a refusal");
        let perfmon_only = 1 << 38 | 1 << 39;
        let none = Facts {
            capabilities: 0,
            ..good()
        };
        assert_eq!(
            lacks(none),
            "not allowed to trace: CAP_BPF and CAP_PERFMON missing; \
             run it as root, or give it CAP_BPF and CAP_PERFMON"
        );
        let within = Facts {
            user_namespace: true,
            ..good()
        };
        assert_eq!(
            lacks(within),
            "not allowed to trace: capabilities in a user namespace of our own do not count; \
             run it as root in the host's user namespace"
        );
        let paranoid = Facts {
            capabilities: perfmon_only,
            ..good()
        };
        assert!(lacks(paranoid).contains("kernel.perf_event_paranoid is 3; set it to 2"));
        let two = Facts {
            capabilities: perfmon_only,
            paranoid: Some(2),
            ..good()
        };
        assert_eq!(refusal(&judge(&two)), None);
        let locked = Facts {
            lockdown: Some("confidentiality".into()),
            ..good()
        };
        assert!(lacks(locked).contains("boot with lockdown=integrity"));
        let untyped = Facts {
            btf: false,
            ..good()
        };
        assert!(lacks(untyped).contains("CONFIG_DEBUG_INFO_BTF"));
    }
}
