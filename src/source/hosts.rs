//! Which cgroups are the host's own, and no container's: of whoever is in one of those it
//! can be believed what a command line says of files. The owner of a container would
//! choose what root reads, and how long that takes.

use std::collections::HashMap;

use crate::container;
use crate::wire::CgroupName;

/// Cgroups that are known at most; then all are forgotten.
const KNOWN_MAX: usize = 65_536;

/// What is known of cgroups, by their ids.
#[derive(Debug, Default)]
pub struct Hosts(HashMap<u64, bool>);

impl Hosts {
    /// Takes the name of a cgroup. One whose path is cut off may be a container's: what
    /// names that is missing.
    pub fn note(&mut self, cgroup: &CgroupName) {
        if self.0.len() >= KNOWN_MAX {
            self.0.clear();
        }
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

    #[test]
    fn what_is_known_is_bounded() {
        let mut hosts = Hosts::default();
        for id in 0..KNOWN_MAX as u64 + 3 {
            let (path, truncated) = ("/a".to_owned(), false);
            hosts.note(&CgroupName {
                id,
                path,
                truncated,
            });
            assert!(hosts.0.len() <= KNOWN_MAX);
        }
    }
}
