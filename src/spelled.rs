//! Paths as people spell them: with `..` and links, from where they are. What a path led to
//! may be gone, as the cgroup in a recording mostly is: as much of the way is followed as
//! there is.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Component, Path, PathBuf};

/// Links that are followed, as many as the kernel follows.
const LINKS_MAX: usize = 40;
/// Where hierarchies are mounted, by custom.
const CGROUPS: &str = "/sys/fs/cgroup";

/// The directory that is meant, of a hierarchy that was mounted there when it was recorded.
/// What leads to no cgroup is a path within the hierarchy, as rows show it.
pub fn as_recorded(path: &Path, mount: &str) -> PathBuf {
    let here = std::env::current_dir().unwrap_or_default();
    let absolute = here.join(path);
    let (plain, followed) = (plain(&absolute), followed(&absolute));
    let of_cgroups = |place: &PathBuf| place.starts_with(mount) || place.starts_with(CGROUPS);
    let mut both = [&plain, &followed].into_iter();
    let meant = both.clone().find(|place| place.starts_with(mount));
    match meant.or_else(|| both.find(|place| of_cgroups(place))) {
        Some(place) => place.clone(),
        None => self::plain(&Path::new("/").join(path)),
    }
}

/// An absolute path without `.` and `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::from("/");
    for part in path.components() {
        match part {
            Component::Normal(name) => plain.push(name),
            Component::ParentDir => drop(plain.pop()),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    plain
}

/// The same with links followed.
fn followed(path: &Path) -> PathBuf {
    let parts = |path: &Path| -> VecDeque<OsString> {
        path.components()
            .map(|c| c.as_os_str().to_owned())
            .collect()
    };
    let (mut at, mut rest, mut links) = (PathBuf::from("/"), parts(path), 0);
    while let Some(part) = rest.pop_front() {
        if part == OsStr::new("..") {
            at.pop();
            continue;
        }
        let next = plain(&at.join(&part));
        match fs::read_link(&next) {
            Ok(target) if links < LINKS_MAX => {
                links += 1;
                for part in parts(&target).into_iter().rev() {
                    rest.push_front(part);
                }
            }
            Ok(_) | Err(_) => at = next,
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn however_it_is_spelled_it_is_the_directory() {
        let dir = tempfile::tempdir().expect("scratch directory");
        let dir = dir.path().canonicalize().expect("it is there");
        let mount = dir.join("cg");
        fs::create_dir_all(mount.join("a")).expect("a directory");
        symlink(mount.join("a/gone"), dir.join("link")).expect("a link");
        symlink("cg", dir.join("other")).expect("a link");
        symlink("loop", dir.join("loop")).expect("a link");
        let mount_text = mount.to_str().expect("UTF-8");
        for spelled in [
            "cg/a/gone",
            "cg/a//gone/",
            "cg/./a/b/../gone",
            "link",
            "other/a/gone",
            "other/../cg/a/gone",
        ] {
            let found = as_recorded(&dir.join(spelled), mount_text);
            assert_eq!(found, mount.join("a/gone"), "{spelled}");
        }
        assert_eq!(followed(&dir.join("loop/x")), dir.join("loop/x"));
    }

    #[test]
    fn what_is_no_directory_of_cgroups_is_a_path_in_the_hierarchy() {
        for (spelled, meant) in [
            ("/garden/", "/garden"),
            ("garden//web", "/garden/web"),
            ("/garden/x/../web", "/garden/web"),
            ("/", "/"),
        ] {
            let found = as_recorded(Path::new(spelled), "/no/such/mount");
            assert_eq!(found, Path::new(meant), "{spelled}");
        }
        let elsewhere = as_recorded(Path::new("/sys/fs/cgroup/x/"), "/no/such/mount");
        assert_eq!(elsewhere, Path::new("/sys/fs/cgroup/x"));
    }
}
