//! What is known of a live run before its first event.

use std::path::PathBuf;

use crate::config::KernelFilter;
use crate::source::About;
use crate::source::attach::Flavour;
use crate::source::load;
use crate::source::now::{monotonic_ns, wall_offset_ns};

/// What a recording is to know of the host and of what is asked for.
pub(super) fn about(
    flavour: Flavour,
    plan: &load::Plan,
    filter: &KernelFilter,
    own_cgroup: Option<&str>,
) -> About {
    let directory = |path: &PathBuf| path.to_string_lossy().into_owned();
    let asked = plan.directories.iter().filter(|_| filter.from_outside());
    let uname = rustix::system::uname();
    About {
        host: uname.nodename().to_string_lossy().into_owned(),
        kernel: uname.release().to_string_lossy().into_owned(),
        machine: uname.machine().to_string_lossy().into_owned(),
        execlat: env!("CARGO_PKG_VERSION").to_owned(),
        flavour: flavour.name().to_owned(),
        began_ns: monotonic_ns(),
        wall_offset_ns: wall_offset_ns(),
        page_bytes: load::page_bytes(),
        cgroup_mount: plan.shown.mount.to_string_lossy().into_owned(),
        cgroup_root: own_cgroup
            .and_then(|own| plan.shown.root(own))
            .unwrap_or_default(),
        cgroups: asked.map(directory).collect(),
        follows: filter.follow || filter.anatomy,
        forks: filter.anatomy,
        all_forks: filter.forks,
    }
}
