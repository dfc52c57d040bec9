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

    /// The path, where that is all of it.
    pub fn whole_path(&self) -> Option<&str> {
        (!self.truncated).then_some(self.path.as_str())
    }

    /// Whether it is known to be outside of any container: who is there can be believed to
    /// speak for the host.
    pub fn is_hosts(&self) -> bool {
        self.container.is_none() && !self.truncated
    }
}

/// Where a hierarchy is mounted. What is seen there may be a part of it: in a private cgroup
/// namespace, or where a cgroup of it is mounted elsewhere.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mount {
    point: String,
    /// Path of the cgroup that is seen there; empty if that is the hierarchy's root.
    root: String,
}

impl Mount {
    /// `root` is the path of the cgroup that is seen there.
    pub fn new(point: &str, root: &str) -> Mount {
        let trimmed = |path: &str| path.trim_end_matches('/').to_owned();
        Mount {
            point: trimmed(point),
            root: trimmed(root),
        }
    }

    /// Where it is mounted.
    pub fn point(&self) -> &str {
        &self.point
    }

    /// The path of the cgroup with this directory; None if it is not below the mount.
    pub fn path(&self, directory: &str) -> Option<String> {
        let rest = below(directory, &self.point)?.trim_end_matches('/');
        match self.root.is_empty() && rest.is_empty() {
            true => Some("/".to_owned()),
            false => Some(format!("{}{rest}", self.root)),
        }
    }

    /// The directory of the cgroup with this path; None if it is not seen there.
    pub fn directory(&self, path: &str) -> Option<String> {
        let rest = below(path, &self.root)?.trim_end_matches('/');
        Some(format!("{}{rest}", self.point))
    }
}

/// What follows `above` in a path that is `above`, or below it.
pub fn below<'a>(path: &'a str, above: &str) -> Option<&'a str> {
    let rest = path.strip_prefix(above.trim_end_matches('/'))?;
    (rest.is_empty() || rest.starts_with('/')).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_and_paths_are_one_anothers() {
        let host = Mount::new("/sys/fs/cgroup", "/");
        let private = Mount::new("/sys/fs/cgroup/", "/docker/0f");
        for (mount, directory, path) in [
            (&host, "/sys/fs/cgroup/a/b", "/a/b"),
            (&host, "/sys/fs/cgroup", "/"),
            (&private, "/sys/fs/cgroup/a", "/docker/0f/a"),
            (&private, "/sys/fs/cgroup", "/docker/0f"),
        ] {
            assert_eq!(mount.path(directory).as_deref(), Some(path));
            assert_eq!(mount.directory(path).as_deref(), Some(directory));
        }
        assert_eq!(
            private.path("/sys/fs/cgroup/a/").as_deref(),
            Some("/docker/0f/a")
        );
        assert_eq!(private.path("/sys/fs/cgroup2"), None);
        assert_eq!(private.directory("/docker/0fa"), None);
        assert_eq!(private.directory("/"), None);
    }
}
