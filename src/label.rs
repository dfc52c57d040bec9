//! What an execution is called: its action, runtime and container, and the group
//! that its latency counts in.

use std::borrow::Cow;

use crate::cgroup::Cgroup;
use crate::event::Execution;
use crate::runtime;
use crate::text::{is_plain, printable, short_id};

/// What latencies are grouped by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Key {
    /// `runc create` for a runtime, else the task's name.
    #[default]
    Action,
    /// The task's name at the exec.
    Comm,
    /// The container's id or name.
    Container,
    /// The container's name, else its id.
    Name,
    /// Path of the cgroup.
    Cgroup,
    /// How it ended.
    Code,
    /// The first argument.
    Argv0,
    /// All together.
    None,
}

impl Key {
    /// A group's name as people are shown it.
    pub fn shown(self, name: &str) -> &str {
        match self {
            Key::Container | Key::Name => short_id(name),
            _ => name,
        }
    }
}

/// The group of what has no value for the key.
const WITHOUT: &str = "-";
/// The group of what has an empty one, as a program called by no name.
const EMPTY: &str = "(empty)";

/// What can be told from an execution's command line and cgroup.
#[derive(Debug, Clone, Default)]
pub struct Labels<'a> {
    /// `runc create` for a runtime, else the task's name, or argv\[0\]'s where that is none;
    /// printable.
    pub action: Cow<'a, str>,
    /// The runtime that it is an invocation of.
    pub runtime: Option<&'static str>,
    /// The container that it is about, or in; printable.
    pub container: Option<Cow<'a, str>>,
    /// What its engine calls that container; printable.
    pub name: Option<&'a str>,
    /// The pod of that container.
    pub pod: Option<Cow<'a, str>>,
    /// Path of the cgroup that it ran in, in the hierarchy that is shown.
    pub cgroup: Option<&'a str>,
    /// Of a runtime's execution, that of the container that it is about.
    pub container_cgroup: Option<String>,
    /// It lasts as long as its payload: its time is no latency.
    pub lasting: bool,
}

impl<'a> Labels<'a> {
    /// Reads the command line; `cgroup` is the execution's, if its name is known.
    pub fn new(execution: &'a Execution, cgroup: Option<&'a Cgroup>) -> Labels<'a> {
        let image = &execution.image;
        let of_cgroup = cgroup.and_then(|c| c.container.as_deref());
        let of_cgroup = of_cgroup.map(Cow::Borrowed);
        let mut labels = Labels {
            action: Cow::Borrowed(""),
            runtime: None,
            container: of_cgroup,
            name: None,
            pod: cgroup.and_then(|c| c.pod.as_deref()).map(Cow::Borrowed),
            cgroup: cgroup.map(|c| c.path.as_str()),
            container_cgroup: None,
            lasting: false,
        };
        match runtime::parse(image.argv.args(), !image.argv.whole(), image.comm()) {
            Some(called) => {
                labels.action = Cow::Borrowed(called.action);
                labels.runtime = Some(called.runtime);
                labels.lasting = called.lasting;
                if let Some(container) = called.container {
                    labels.container = Some(shown(container));
                }
            }
            None => {
                let by_argv0 = runtime::name_by_argv0(image.argv.first(), image.comm());
                labels.action = shown(by_argv0.unwrap_or(image.comm()));
            }
        }
        labels
    }

    /// What a person calls the container, as far as it is known.
    pub fn name_or_id(&'a self) -> Option<&'a str> {
        self.name.or(self.container.as_deref())
    }

    /// The execution's group.
    pub fn group(&'a self, key: Key, execution: &'a Execution) -> Cow<'a, str> {
        let or_without = |value: Option<&'a str>| Cow::Borrowed(value.unwrap_or(WITHOUT));
        let group = match key {
            Key::Action => Cow::Borrowed(&*self.action),
            Key::Comm => shown(execution.image.comm()),
            Key::Container => or_without(self.container.as_deref()),
            Key::Name => or_without(self.name_or_id()),
            Key::Cgroup => self
                .cgroup
                .map_or(or_without(None), |path| shown(path.as_bytes())),
            Key::Code => Cow::Owned(execution.end.to_string()),
            Key::Argv0 => execution
                .image
                .argv
                .args()
                .next()
                .map_or(or_without(None), shown),
            Key::None => Cow::Borrowed("all"),
        };
        match group.is_empty() {
            true => Cow::Borrowed(EMPTY),
            false => group,
        }
    }
}

/// Borrowed where nothing needs to be escaped.
fn shown(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) if is_plain(bytes) => Cow::Borrowed(text),
        _ => Cow::Owned(printable(bytes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Image;
    use crate::fixture;

    fn execution(args: &str) -> Execution {
        fixture::execution(Image {
            comm: *b"6\x1b\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
            ..fixture::image(args)
        })
    }

    #[test]
    fn a_runtime_is_grouped_by_its_command() {
        let runc = execution("/usr/sbin/runc\0--log\0x\0create\0--bundle\0/b\0web\0");
        let labels = Labels::new(&runc, None);
        assert_eq!(labels.group(Key::Action, &runc), "runc create");
        assert_eq!(labels.container.as_deref(), Some("web"));
        assert_eq!(labels.group(Key::Code, &runc), "0");
        assert_eq!(labels.group(Key::Argv0, &runc), "/usr/sbin/runc");
        assert_eq!(labels.group(Key::None, &runc), "all");
    }

    /// As busybox executes its applets.
    #[test]
    fn what_goes_by_exe_is_called_as_its_first_argument_is() {
        let action = |comm: &[u8], args: &str| {
            let mut image = fixture::image(args);
            image.comm = [0; 16];
            image.comm[..comm.len()].copy_from_slice(comm);
            let execution = fixture::execution(image);
            let labels = Labels::new(&execution, None);
            assert_eq!(labels.group(Key::Comm, &execution).as_bytes(), comm);
            labels.action.into_owned()
        };
        assert_eq!(action(b"exe", "sleep\x001\0"), "sleep");
        assert_eq!(action(b"exe", "/bin/ls\0"), "ls");
        assert_eq!(action(b"6", "tool\x1b\0"), "tool\\x1b");
        assert_eq!(action(b"memfd:tool", "/opt/tool\0x\0"), "tool");
        assert_eq!(action(b"exe", "/usr/bin/runc\0state\0web\0"), "runc state");
        // Where it tells no more, or does not stand for the program.
        for args in [
            "/proc/self/exe\0--type=x\0",
            "exe\0",
            "/dev/fd/6\0",
            "\0",
            "",
            "/x/\0",
        ] {
            assert_eq!(action(b"exe", args), "exe", "{args:?}");
        }
        assert_eq!(action(b"exe", &"x".repeat(256)), "exe");
        assert_eq!(action(b"sh", "sleep\x001\0"), "sh");
    }

    #[test]
    fn others_by_their_name_made_printable() {
        let other = execution("x\0");
        let cgroup = Cgroup::new("/user.slice".into(), false);
        let labels = Labels::new(&other, Some(&cgroup));
        assert_eq!(labels.group(Key::Action, &other), "6\\x1b");
        assert_eq!(labels.group(Key::Container, &other), "-");
        assert_eq!(labels.group(Key::Cgroup, &other), "/user.slice");
    }
}
