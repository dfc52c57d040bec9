//! Which cgroups are the host's own, and no container's: of whoever is in one of those it
//! can be believed what a command line says of files. The owner of a container would
//! choose what root reads, and how long that takes.

use crate::container;
use crate::hash::QuickBuild;
use crate::names::Newest;
use crate::wire::CgroupName;

/// Cgroups that are known at most, the newest half of that at least.
const KNOWN_MAX: usize = 65_536;

/// What is known of cgroups, by their ids.
#[derive(Debug, Default)]
pub struct Hosts(Newest<u64, bool, QuickBuild, KNOWN_MAX>);

impl Hosts {
    /// Takes the name of a cgroup. One whose path is cut off may be a container's: what
    /// names that is missing.
    pub fn note(&mut self, cgroup: &CgroupName) {
        let place = container::place(cgroup.path.as_bytes());
        let is_hosts = place.container.is_none() && !cgroup.truncated;
        self.0.insert(cgroup.id, is_hosts);
    }

    /// Whether it is the host's; None if its name is not known, as it may come after what
    /// ran in it, from another CPU.
    pub fn holds(&self, cgroup_id: u64) -> Option<bool> {
        self.0.get(&cgroup_id).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_is_not_the_host_nor_is_what_may_be_one() {
        let mut hosts = Hosts::default();
        for (id, path, truncated) in [
            (1, "/system.slice/gdn.service", false),
            (2, "/garden/web/d", false),
            (3, "/…/d/d", true),
        ] {
            let path = path.to_owned();
            hosts.note(&CgroupName {
                id,
                path,
                truncated,
            });
        }
        let held: Vec<_> = (1..=4).map(|id| hosts.holds(id)).collect();
        assert_eq!(held, [Some(true), Some(false), Some(false), None]);
    }
}
