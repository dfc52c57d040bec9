//! A cgroup as the kernel side reports it, when a matched process is in it: by its
//! path, of which more can be told.

use crate::container;
use crate::text::printable;

/// A cgroup, and what its path says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cgroup {
    /// The path within the hierarchy that is shown.
    pub path: String,
    /// The container that it belongs to; printable.
    pub container: Option<String>,
    /// The pod of that container; printable.
    pub pod: Option<String>,
    /// Levels above, or a part of a name, are missing: it may be anywhere.
    pub truncated: bool,
}

impl Cgroup {
    /// Reads the path, as `/proc/PID/cgroup` has it.
    pub fn new(path: String, truncated: bool) -> Cgroup {
        let place = container::place(path.as_bytes());
        // A cgroup's name is chosen by whoever may make cgroups.
        let shown = |text: std::borrow::Cow<'_, str>| printable(text.as_bytes());
        Cgroup {
            container: place.container.map(shown),
            pod: place.pod.map(shown),
            path,
            truncated,
        }
    }

    /// Whether it is known to be outside of any container: who is there can be believed to
    /// speak for the host.
    pub fn is_hosts(&self) -> bool {
        self.container.is_none() && !self.truncated
    }
}

/// What follows `above` in a path that is `above`, or below it.
pub fn below<'a>(path: &'a str, above: &str) -> Option<&'a str> {
    let rest = path.strip_prefix(above.trim_end_matches('/'))?;
    (rest.is_empty() || rest.starts_with('/')).then_some(rest)
}
