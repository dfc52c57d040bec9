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
}

impl Cgroup {
    /// Reads the path, as `/proc/PID/cgroup` has it.
    pub fn new(path: String) -> Cgroup {
        let place = container::place(path.as_bytes());
        // A cgroup's name is chosen by whoever may make cgroups.
        let shown = |text: std::borrow::Cow<'_, str>| printable(text.as_bytes());
        Cgroup {
            container: place.container.map(shown),
            pod: place.pod.map(shown),
            path,
        }
    }
}
