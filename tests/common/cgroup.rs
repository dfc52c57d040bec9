//! Scratch cgroups, in whichever hierarchies this machine has.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::thread::sleep;
use std::time::Duration;

use super::{InTime as _, text, unique};

/// A cgroup directory of our own, removed with all below it.
pub struct Cgroup {
    dir: PathBuf,
}

impl Cgroup {
    /// In the v2 hierarchy, which is mounted if it is not (in a guest).
    pub fn v2(name: &str) -> Cgroup {
        // Once: tests run at the same time, and all would mount it.
        static ROOT: OnceLock<PathBuf> = OnceLock::new();
        let root = ROOT.get_or_init(|| {
            mounted("cgroup2", None).unwrap_or_else(|| {
                let dir = std::env::temp_dir().join("cgroup-v2");
                fs::create_dir_all(&dir).expect("a place to mount cgroup v2");
                assert!(
                    mount("cgroup2", &dir, None),
                    "no cgroup v2 hierarchy, and none to be mounted"
                );
                dir
            })
        });
        Cgroup::at(root.join(format!("execlat-test-{name}")))
    }

    /// In the v1 hierarchy of a controller, or a named one (`name=systemd`);
    /// `None` where the kernel has it not, or v2 has it.
    pub fn v1(controller: &str) -> Option<Cgroup> {
        let root = mounted("cgroup", Some(controller)).or_else(|| {
            let dir = mount_point(controller);
            fs::create_dir_all(&dir).ok()?;
            let named = controller.starts_with("name=");
            let options = if named {
                format!("none,{controller}")
            } else {
                controller.into()
            };
            mount("cgroup", &dir, Some(&options)).then_some(dir)
        })?;
        Some(Cgroup::at(root.join(format!("execlat-test-{}", unique()))))
    }

    /// A child of this cgroup; its parent removes it.
    pub fn child(&self, name: &str) -> PathBuf {
        let dir = self.dir.join(name);
        fs::create_dir(&dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
        dir
    }

    pub fn path(&self) -> &str {
        text(&self.dir)
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub fn procs(&self) -> String {
        procs(&self.dir)
    }

    fn at(dir: PathBuf) -> Cgroup {
        fs::create_dir(&dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
        Cgroup { dir }
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        remove(&self.dir);
    }
}

/// The file that a process writes itself into to join.
pub fn procs(dir: &Path) -> String {
    text(&dir.join("cgroup.procs")).to_owned()
}

/// Depth first; the kernel may need a moment to let go of the dead.
fn remove(dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            remove(&entry.path());
        }
    }
    for _ in 0..200 {
        if fs::remove_dir(dir).is_ok() || !dir.exists() {
            return;
        }
        sleep(Duration::from_millis(10));
    }
}

fn mount_point(controller: &str) -> PathBuf {
    std::env::temp_dir().join(format!("cgroup-{}", controller.replace('=', "-")))
}

/// Ends a named hierarchy that `Cgroup::v1` has mounted, and that is empty. An unmount
/// leaves it alive while the kernel still holds a cgroup that was removed.
pub fn end_v1(name: &str) {
    let dir = mount_point(name);
    let lives = || {
        let ours = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        ours.lines()
            .any(|line| line.split(':').nth(1) == Some(name))
    };
    for _ in 0..10 {
        let _ = Command::new("umount").arg(&dir).in_time().output();
        for _ in 0..50 {
            if !lives() {
                let _ = fs::remove_dir(dir);
                return;
            }
            sleep(Duration::from_millis(20));
        }
        mount("cgroup", &dir, Some(&format!("none,{name}")));
    }
    // A mount namespace made meanwhile has a copy of the mount, and ends it later.
    let _ = Command::new("umount").arg(&dir).in_time().output();
}

/// Where a hierarchy is mounted: the first mount of it.
fn mounted(kind: &str, option: Option<&str>) -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    mounts.lines().find_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let (dir, fstype, options) = (fields.next()?, fields.next()?, fields.next()?);
        let has = option.is_none_or(|wanted| options.split(',').any(|o| o == wanted));
        (fstype == kind && has).then(|| dir.into())
    })
}

fn mount(kind: &str, dir: &Path, options: Option<&str>) -> bool {
    let mut command = Command::new("mount");
    command.args(["-t", kind]);
    if let Some(options) = options {
        command.args(["-o", options]);
    }
    command
        .arg("none")
        .arg(dir)
        .in_time()
        .output()
        .is_ok_and(|o| o.status.success())
}
