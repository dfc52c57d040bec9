//! What came nearest to filters that nothing matched: whoever mistypes a name, or names
//! the wrong cgroup, is to see that instead of an empty table. Pure.

use std::collections::HashMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::cgroup::Mount;
use crate::config::KernelFilter;
use crate::runtime;
use crate::text::printable;

/// Kinds of executions that are kept apart; the others are counted.
const KINDS_MAX: usize = 64;
/// Kinds that are named.
const NAMED: usize = 3;

/// What the kernel side's filters left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Executions outside the cgroups asked for.
    pub by_cgroup: u64,
    /// Executions by other names.
    pub by_name: u64,
    /// Of these, those by names of runtimes.
    pub runtimes: Vec<(String, u64)>,
    /// Executions by other users.
    pub by_uid: u64,
}

impl LeftOut {
    /// Counts an execution by another name, perhaps that of a runtime.
    pub fn add_name(&mut self, runtime: Option<&str>) {
        self.by_name += 1;
        if let Some(name) = runtime {
            self.add_runtime(name, 1);
        }
    }

    fn add_runtime(&mut self, name: &str, count: u64) {
        match self.runtimes.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => *known = known.saturating_add(count),
            None => self.runtimes.push((name.to_owned(), count)),
        }
    }

    /// Adds what another source left out.
    pub fn add(&mut self, other: &LeftOut) {
        self.by_cgroup = self.by_cgroup.saturating_add(other.by_cgroup);
        self.by_name = self.by_name.saturating_add(other.by_name);
        self.by_uid = self.by_uid.saturating_add(other.by_uid);
        for (name, count) in &other.runtimes {
            self.add_runtime(name, *count);
        }
    }
}

/// Executions of runtimes for containers elsewhere, by kind.
#[derive(Debug, Clone, Default)]
pub struct Nearest {
    kinds: HashMap<Kind, u64>,
    others: u64,
}

/// What is said of an execution that came near.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Kind {
    /// What it is called.
    pub name: String,
    /// The cgroup that it ran in, if that is known.
    pub ran_in: Option<String>,
    /// What it was about.
    pub about: About,
}

/// What an execution of a runtime was about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum About {
    /// A container that was not asked for.
    Another,
    /// One that is asked for now, and was not when it was recorded.
    Unrecorded,
    /// A container of which nothing is known, or on the word of somebody who is not believed.
    Unknown,
    /// No container.
    None,
}

impl Nearest {
    /// Counts an execution that came near.
    pub fn add(&mut self, kind: Kind) {
        if self.kinds.len() >= KINDS_MAX && !self.kinds.contains_key(&kind) {
            self.others += 1;
            return;
        }
        *self.kinds.entry(kind).or_default() += 1;
    }

    /// What came nearest to the filter, if it asks for anything; `mount` is where the
    /// hierarchy that is shown is mounted.
    pub fn line(&self, filter: &KernelFilter, left_out: &LeftOut, mount: &Mount) -> Option<String> {
        if filter.takes_all() {
            return None;
        }
        let strict = filter.cgroup_strict || filter.cgroup_exact;
        let mut parts = self.elsewhere(&match strict {
            true => String::new(),
            false => format!("containers not below {}", asked(filter, mount)),
        });
        if parts.is_empty() && left_out.by_name > 0 {
            parts.push(by_name(filter, left_out, mount));
        }
        if parts.is_empty() && left_out.by_uid > 0 {
            let users = plural(left_out.by_uid, "execution was", "executions were");
            parts.push(format!("{users} by other users"));
        }
        if parts.is_empty() && left_out.by_cgroup > 0 {
            let ran = plural(left_out.by_cgroup, "execution ran", "executions ran");
            parts.push(format!("{ran} in other cgroups"));
        }
        if strict && !parts.is_empty() && may_mean_runtimes(filter) {
            let mut hint = "a runtime runs in its caller's cgroup".to_owned();
            if !filter.cgroup_exact {
                hint += ": leave --cgroup-strict out to see what it does to containers there";
            }
            parts.push(hint);
        }
        (!parts.is_empty()).then(|| parts.join("; "))
    }

    fn elsewhere(&self, others: &str) -> Vec<String> {
        let mut places: HashMap<String, u64> = HashMap::new();
        for (kind, count) in &self.kinds {
            *places.entry(place(kind, others)).or_default() += count;
        }
        let mut kinds: Vec<(String, u64)> = places.into_iter().collect();
        kinds.sort_by(|(a, n), (b, m)| m.cmp(n).then(a.cmp(b)));
        let more = kinds.iter().skip(NAMED).map(|(_, n)| n).sum::<u64>() + self.others;
        let mut parts: Vec<String> = kinds
            .iter()
            .take(NAMED)
            .map(|(place, count)| {
                plural(*count, "execution named", "executions named") + " " + place
            })
            .collect();
        if more > 0 {
            parts.push(format!("{more} more"));
        }
        parts
    }
}

/// `others` are the containers that were not asked for; empty where it does not matter.
fn place(kind: &Kind, others: &str) -> String {
    let name = printable(kind.name.as_bytes());
    let ran_in = match &kind.ran_in {
        Some(path) => printable(path.as_bytes()),
        None => "a cgroup that is not known".into(),
    };
    let about = match (others, kind.about) {
        ("", _) => String::new(),
        (others, About::Another) => format!(", for {others}"),
        (_, About::Unrecorded) => ", for containers that the recording was not asked for".into(),
        (_, About::Unknown) => ", for unknown containers".into(),
        (_, About::None) => ", for no container".into(),
    };
    format!("{name} ran in {ran_in}{about}")
}

/// The cgroups asked for, as rows show them.
fn asked(filter: &KernelFilter, mount: &Mount) -> String {
    let shown = |path: &PathBuf| {
        let path = path.to_string_lossy();
        let within = mount.path(&path).filter(|path| path != "/");
        printable(within.as_deref().unwrap_or(&path).as_bytes())
    };
    let asked: Vec<String> = filter.cgroups.iter().map(shown).collect();
    asked.join(" or ")
}

/// Whether runtimes are among what is asked for.
fn may_mean_runtimes(filter: &KernelFilter) -> bool {
    let mut names = filter.names.iter();
    filter.names.is_empty() || names.any(|name| runtime::may_be(name))
}

fn by_name(filter: &KernelFilter, left_out: &LeftOut, mount: &Mount) -> String {
    let names: Vec<String> = filter.names.iter().map(|name| printable(name)).collect();
    // What ran elsewhere was not asked for its name, but for that of a runtime.
    let (within, anywhere) = match filter.cgroups.is_empty() {
        true => (String::new(), ""),
        false => (
            format!(" in {}", asked(filter, mount)),
            " there or elsewhere",
        ),
    };
    let mut seen = left_out.runtimes.clone();
    seen.sort_by(|(a, n), (b, m)| m.cmp(n).then(a.cmp(b)));
    let mut seen = seen.iter();
    let seen = match seen.next() {
        None => plural(left_out.by_name, "execution had", "executions had") + " other names",
        Some((name, count)) => {
            let were = if *count == 1 { "was" } else { "were" };
            let first = format!("{count}{anywhere} {were} named {name}");
            seen.fold(first, |all, (name, count)| format!("{all}, {count} {name}"))
        }
    };
    format!(
        "no execution{within} was named {}; {seen}",
        names.join(" or ")
    )
}

fn plural(count: u64, one: &str, several: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { several })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(cgroup: Option<&str>, name: Option<&str>) -> KernelFilter {
        KernelFilter {
            cgroups: cgroup.into_iter().map(Into::into).collect(),
            names: name
                .into_iter()
                .map(|name| name.as_bytes().to_vec())
                .collect(),
            ..KernelFilter::default()
        }
    }

    fn cg() -> Mount {
        Mount::new("/cg", "/")
    }

    fn kind(name: &str, ran_in: &str, about: About) -> Kind {
        Kind {
            name: name.into(),
            ran_in: Some(ran_in.into()),
            about,
        }
    }

    #[test]
    fn runtimes_elsewhere_come_nearest() {
        let mut nearest = Nearest::default();
        for _ in 0..17 {
            nearest.add(kind("runc", "/system.slice/gdn.service", About::Another));
        }
        nearest.add(kind("crun", "/a\x1b", About::Unknown));
        let left_out = LeftOut {
            by_name: 5,
            ..LeftOut::default()
        };
        let line = nearest.line(&filter(Some("/cg/garden"), Some("runc")), &left_out, &cg());
        assert_eq!(
            line.as_deref(),
            Some(
                "17 executions named runc ran in \
                 /system.slice/gdn.service, for containers not below /garden; \
                 1 execution named crun ran in /a\\x1b, for unknown containers"
            )
        );
    }

    #[test]
    fn a_wrong_name_is_shown_the_runtimes() {
        let left_out = LeftOut {
            by_name: 31,
            runtimes: vec![("crun".into(), 3), ("runc".into(), 17)],
            ..LeftOut::default()
        };
        let said = |name| Nearest::default().line(&filter(None, Some(name)), &left_out, &cg());
        assert_eq!(
            said("rnc").as_deref(),
            Some("no execution was named rnc; 17 were named runc, 3 crun")
        );
        assert_eq!(
            Nearest::default().line(&filter(None, None), &left_out, &cg()),
            None
        );
        let others = LeftOut {
            by_name: 1,
            ..LeftOut::default()
        };
        let said = Nearest::default().line(&filter(None, Some("x")), &others, &cg());
        let said = said.unwrap_or_default();
        assert!(
            said.ends_with("named x; 1 execution had other names"),
            "{said}"
        );
    }

    #[test]
    fn of_a_cgroup_no_more_is_said_than_was_looked_at() {
        let left_out = LeftOut {
            by_name: 2,
            ..LeftOut::default()
        };
        let said = |name, strict, left_out: &LeftOut| {
            let filter = KernelFilter {
                cgroup_strict: strict,
                ..filter(Some("/cg/garden"), Some(name))
            };
            let line = Nearest::default().line(&filter, left_out, &cg());
            line.expect("something came near")
        };
        assert_eq!(
            said("runc", true, &left_out),
            "no execution in /garden was named runc; 2 executions had other names; \
             a runtime runs in its caller's cgroup: leave --cgroup-strict out to see what \
             it does to containers there"
        );
        assert_eq!(
            said("sleep", true, &left_out),
            "no execution in /garden was named sleep; 2 executions had other names"
        );
        let runtimes = LeftOut {
            runtimes: vec![("runc".into(), 1)],
            ..left_out
        };
        assert_eq!(
            said("rnc", false, &runtimes),
            "no execution in /garden was named rnc; 1 there or elsewhere was named runc"
        );
    }

    #[test]
    fn what_was_not_recorded_is_not_called_another_container() {
        let mut nearest = Nearest::default();
        nearest.add(kind("runc", "/gdn", About::Unrecorded));
        let said = nearest.line(&filter(Some("/other"), None), &LeftOut::default(), &cg());
        assert_eq!(
            said.as_deref(),
            Some(
                "1 execution named runc ran in /gdn, for containers that the recording was \
                 not asked for"
            )
        );
    }

    #[test]
    fn kinds_are_bounded() {
        let mut nearest = Nearest::default();
        for n in 0..KINDS_MAX + 5 {
            nearest.add(kind("runc", &format!("/{n:03}"), About::None));
        }
        let said = nearest.line(&filter(Some("/x"), None), &LeftOut::default(), &cg());
        let more = format!("; {} more", KINDS_MAX + 5 - NAMED);
        assert!(said.is_some_and(|line| line.ends_with(&more)));
    }
}
