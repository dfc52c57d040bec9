//! Who is below whom among what still runs: a program that waits for its child is not a
//! second one that hangs. Pure.

use std::collections::HashMap;

use crate::event::ProcessId;

/// What is to be known of an execution that still runs.
#[derive(Debug, Clone, Copy)]
pub struct Node {
    /// Whose.
    pub process: ProcessId,
    /// Its parent's pid at the exec.
    pub ppid: u32,
    /// Its start, `CLOCK_MONOTONIC` nanoseconds.
    pub start_ns: u64,
    /// It ran before anything was seen. Such ones are daemons, and no child of theirs is
    /// waited for.
    pub ran_before: bool,
}

/// Parents and children among them.
#[derive(Debug, Default)]
pub struct Chains {
    parents: HashMap<ProcessId, ProcessId>,
    children: HashMap<ProcessId, Node>,
}

impl Chains {
    /// Each process has one execution here.
    pub fn new(nodes: &[Node]) -> Chains {
        let of_tgid: HashMap<u32, &Node> = nodes.iter().map(|n| (n.process.tgid, n)).collect();
        let mut chains = Chains::default();
        for node in nodes {
            let Some(parent) = of_tgid.get(&node.ppid).copied() else {
                continue;
            };
            // Else that pid was used again. A parent is older, so that there is no circle.
            let older = parent.process.start_ns < node.process.start_ns;
            if !older || parent.ran_before || node.ran_before {
                continue;
            }
            chains.parents.insert(node.process, parent.process);
            let first = chains.children.entry(parent.process).or_insert(*node);
            if (node.start_ns, node.process) < (first.start_ns, first.process) {
                *first = *node;
            }
        }
        chains
    }

    /// Of its children that run, the one that began first.
    pub fn child(&self, process: ProcessId) -> Option<Node> {
        self.children.get(&process).copied()
    }

    /// Its parent, that one's, and so on.
    pub fn above(&self, process: ProcessId) -> impl Iterator<Item = ProcessId> + '_ {
        let parent = |process: &ProcessId| self.parents.get(process).copied();
        std::iter::successors(parent(&process), move |process| parent(process))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(tgid: u32, began_ns: u64, ppid: u32) -> Node {
        Node {
            process: ProcessId {
                tgid,
                start_ns: began_ns,
            },
            ppid,
            start_ns: began_ns + 1,
            ran_before: false,
        }
    }

    fn above(chains: &Chains, node: &Node) -> Vec<u32> {
        chains.above(node.process).map(|p| p.tgid).collect()
    }

    #[test]
    fn a_chain_goes_from_the_child_up() {
        let nodes = [
            node(10, 1, 1),
            node(12, 9, 11),
            node(11, 5, 10),
            node(13, 10, 11),
        ];
        let chains = Chains::new(&nodes);
        assert_eq!(above(&chains, &nodes[1]), [11, 10]);
        assert_eq!(above(&chains, &nodes[0]), [] as [u32; 0]);
        let child = |at: usize| chains.child(nodes[at].process).map(|n| n.process.tgid);
        assert_eq!([child(0), child(2), child(1)], [Some(11), Some(12), None]);
    }

    #[test]
    fn a_pid_used_again_and_a_daemon_are_no_parents() {
        let again = [node(10, 9, 1), node(11, 5, 10)];
        assert_eq!(above(&Chains::new(&again), &again[1]), [] as [u32; 0]);
        let mut daemon = [node(10, 1, 1), node(11, 5, 10)];
        daemon[0].ran_before = true;
        let chains = Chains::new(&daemon);
        assert_eq!(above(&chains, &daemon[1]), [] as [u32; 0]);
        assert!(chains.child(daemon[0].process).is_none());
    }

    /// Whatever the pids say, each walk ends.
    #[test]
    fn a_process_is_not_above_itself() {
        let nodes = [node(10, 5, 11), node(11, 5, 10), node(12, 3, 12)];
        let chains = Chains::new(&nodes);
        assert!(nodes.iter().all(|node| above(&chains, node).is_empty()));
    }
}
