//! Who started whom: the executions of a source as a forest. Pure.
//!
//! A parent is known by its pid alone, and pids are used again; but a child's process
//! began while its parent's was there. So the starter is what the process of that pid
//! ran when the child was forked.
//!
//! Where that has no row, or has exited by the exec, as after a daemon's double fork, the
//! nearest ancestor that has one stands for it, if forks were reported.

use std::collections::HashMap;

use crate::event::{End, Execution, ProcessId};

/// What is to be known of an execution to find its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Node {
    /// Whose.
    pub process: ProcessId,
    /// Its parent's pid at the exec.
    pub ppid: u32,
    /// Its start, `CLOCK_MONOTONIC` nanoseconds.
    pub start_ns: u64,
    /// Its end; absent where it still runs, or its end was not seen.
    pub end_ns: Option<u64>,
    /// See [`Execution::below`].
    pub below: Option<ProcessId>,
}

/// The place of a node in the list that is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Which node.
    pub index: usize,
    /// How many stand above it.
    pub depth: usize,
    /// What it stands below is no parent of it, but an ancestor.
    pub far: bool,
}

impl Node {
    /// Of an execution.
    pub fn new(execution: &Execution) -> Node {
        let ended = matches!(execution.end, End::Exit(_) | End::Exec);
        Node {
            process: execution.process,
            ppid: execution.image.ppid,
            start_ns: execution.start_ns,
            end_ns: ended.then_some(execution.end_ns),
            below: execution.below,
        }
    }
}

/// The place of each node in the list that is shown. Each once; who has no starter here
/// is on top; below one starter, and on top, in order of their starts.
pub fn order(nodes: &[Node]) -> Vec<Place> {
    let mut by_start: Vec<usize> = (0..nodes.len()).collect();
    by_start.sort_by_key(|&i| (nodes[i].start_ns, nodes[i].process, i));
    let starters = starters(nodes, &by_start);
    let mut top = Vec::new();
    let mut below: Vec<Vec<usize>> = vec![Vec::new(); nodes.len()];
    for &i in by_start.iter().rev() {
        match starters[i] {
            Some((starter, _)) => below[starter].push(i),
            None => top.push(i),
        }
    }
    // Whom to show next is last; a starter's process is older than those below it, so
    // that there is no circle.
    let mut waiting: Vec<(usize, usize)> = top.into_iter().map(|i| (i, 0)).collect();
    let mut shown = Vec::with_capacity(nodes.len());
    while let Some((i, depth)) = waiting.pop() {
        let far = starters[i].is_some_and(|(_, far)| far);
        shown.push(Place {
            index: i,
            depth,
            far,
        });
        waiting.extend(below[i].iter().map(|&child| (child, depth + 1)));
    }
    shown
}

/// Of each its starter, and whether that is an ancestor that is no parent.
fn starters(nodes: &[Node], by_start: &[usize]) -> Vec<Option<(usize, bool)>> {
    let mut of_tgid: HashMap<u32, Vec<usize>> = HashMap::new();
    for &i in by_start {
        of_tgid.entry(nodes[i].process.tgid).or_default().push(i);
    }
    let starter = |child: &Node| {
        let parents = of_tgid.get(&child.ppid);
        let parent = parents.and_then(|parents| parent(child, nodes, parents));
        let began = |i: usize| nodes[i].process.start_ns;
        let older = |below: &ProcessId| parent.is_none_or(|i| began(i) < below.start_ns);
        // An orphan's parent is older than who it descends from.
        let below = child.below.filter(older);
        let below =
            below.and_then(|below| ancestor(child, below, nodes, of_tgid.get(&below.tgid)?));
        match below {
            Some(i) => Some((i, true)),
            None => parent.map(|i| (i, false)),
        }
    };
    nodes.iter().map(starter).collect()
}

/// Of the executions that bore the ancestor's pid, in order of their starts, what it ran
/// last before the child was forked.
fn ancestor(child: &Node, below: ProcessId, nodes: &[Node], all: &[usize]) -> Option<usize> {
    let its = |i: &&usize| nodes[**i].process == below;
    let before = |i: &&usize| nodes[**i].start_ns <= child.process.start_ns;
    let last = all.iter().rev().filter(its).find(before);
    let found = last.or_else(|| all.iter().find(its));
    found
        .copied()
        .filter(|_| below.start_ns < child.process.start_ns)
}

/// Of the executions that bore the parent's pid, in order of their starts, the child's
/// starter.
fn parent(child: &Node, nodes: &[Node], candidates: &[usize]) -> Option<usize> {
    let forked_ns = child.process.start_ns;
    let later = candidates.partition_point(|&i| nodes[i].start_ns <= forked_ns);
    if let Some(&i) = later.checked_sub(1).and_then(|at| candidates.get(at)) {
        let node = &nodes[i];
        let ran = node.end_ns.is_none_or(|end_ns| end_ns >= forked_ns);
        if ran && node.process.start_ns < forked_ns {
            return Some(i);
        }
    }
    // Forked before what is known of the parent: it execs after that.
    let &i = candidates.get(later)?;
    (nodes[i].process.start_ns < forked_ns).then_some(i)
}

#[cfg(test)]
mod tests;
