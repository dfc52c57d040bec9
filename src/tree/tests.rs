use super::*;
use proptest::prelude::*;

fn node(tgid: u32, forked_ns: u64, ppid: u32, start_ns: u64, end_ns: Option<u64>) -> Node {
    Node {
        process: ProcessId {
            tgid,
            start_ns: forked_ns,
        },
        ppid,
        start_ns,
        end_ns,
        below: None,
    }
}

/// Pids with their depths, as shown.
fn shown(nodes: &[Node]) -> Vec<(u32, usize)> {
    let order = order(nodes).into_iter();
    order
        .map(|at| (nodes[at.index].process.tgid, at.depth))
        .collect()
}

#[test]
fn children_stand_below_their_parent_in_order_of_start() {
    let nodes = [
        node(12, 35, 10, 36, Some(38)),
        node(11, 20, 10, 21, Some(40)),
        node(13, 30, 11, 31, Some(32)),
        node(20, 2, 1, 15, None),
        node(10, 3, 1, 4, Some(50)),
    ];
    assert_eq!(shown(&nodes), [(10, 0), (11, 1), (13, 2), (12, 1), (20, 0)]);
}

#[test]
fn a_pid_used_again_is_another_parent() {
    let nodes = [
        node(10, 1, 1, 2, Some(10)),
        node(10, 20, 1, 21, Some(30)),
        node(11, 5, 10, 6, Some(7)),
        node(12, 25, 10, 26, Some(27)),
        // Of one that is not known, between the two.
        node(13, 15, 10, 16, Some(17)),
    ];
    let shown = shown(&nodes);
    assert_eq!(shown, [(10, 0), (11, 1), (13, 0), (10, 0), (12, 1)]);
}

#[test]
fn each_image_has_what_it_started() {
    let nodes = [
        node(10, 1, 1, 2, Some(10)),
        node(10, 1, 1, 10, Some(30)),
        node(11, 5, 10, 6, Some(40)),
        node(12, 15, 10, 16, Some(17)),
        // Execs again.
        node(11, 5, 10, 40, Some(50)),
    ];
    let shown = shown(&nodes);
    assert_eq!(shown, [(10, 0), (11, 1), (11, 1), (10, 0), (12, 1)]);
}

/// A shell's fork execs, and what that fork had started before is below it.
#[test]
fn what_was_forked_before_the_exec_is_below_it() {
    let nodes = [node(10, 1, 1, 9, Some(30)), node(11, 5, 10, 6, Some(7))];
    assert_eq!(shown(&nodes), [(10, 0), (11, 1)]);
    // Not if that process began later.
    let nodes = [node(10, 8, 1, 9, Some(30)), node(11, 5, 10, 6, Some(7))];
    assert_eq!(shown(&nodes), [(11, 0), (10, 0)]);
}

#[test]
fn a_lost_end_may_still_be_the_starter() {
    let nodes = [node(10, 1, 1, 2, None), node(11, 50, 10, 51, Some(52))];
    assert_eq!(shown(&nodes), [(10, 0), (11, 1)]);
}

fn below(mut child: Node, ancestor: &Node) -> Node {
    child.below = Some(ancestor.process);
    child
}

/// A daemon's: its parent has exited, and it is given to whoever takes orphans.
#[test]
fn an_orphan_stands_below_its_ancestor() {
    let init = node(1, 0, 0, 0, None);
    let older = node(10, 5, 1, 6, Some(20));
    let ancestor = node(10, 5, 1, 20, Some(50));
    let reaper = below(node(12, 6, 10, 7, None), &older);
    for (ppid, others) in [(1, vec![init]), (1, vec![]), (12, vec![init, reaper])] {
        let orphan = below(node(11, 30, ppid, 60, Some(70)), &ancestor);
        let mut nodes = vec![orphan, older, ancestor];
        nodes.extend(others);
        let places = order(&nodes);
        let at = places
            .iter()
            .position(|at| at.index == 0)
            .expect("it is there");
        let above = places[..at].iter().rfind(|up| up.depth < places[at].depth);
        match ppid {
            // The reaper began later than what it descends from: it is the nearer one.
            12 => assert_eq!(above.map(|up| nodes[up.index]), Some(reaper)),
            _ => assert_eq!(above.map(|up| nodes[up.index]), Some(ancestor)),
        }
        assert_eq!(places[at].far, ppid == 1, "{places:?}");
    }
}

/// The row of a parent that got one only after the fork is nearer.
#[test]
fn a_parent_that_has_a_row_is_nearer_than_an_ancestor() {
    let ancestor = node(10, 5, 1, 6, None);
    let parent = below(node(11, 10, 10, 40, Some(90)), &ancestor);
    let child = below(node(12, 20, 11, 30, Some(35)), &ancestor);
    let places = order(&[ancestor, parent, child]);
    let depths: Vec<_> = places.iter().map(|at| (at.index, at.depth)).collect();
    assert_eq!(depths, [(0, 0), (1, 1), (2, 2)]);
    assert!(!places[2].far);
}

/// Its row is filtered out.
#[test]
fn an_ancestor_without_a_row_leaves_it_on_top() {
    let gone = node(10, 5, 1, 6, None);
    let nodes = [below(node(12, 20, 11, 30, Some(35)), &gone)];
    assert_eq!(shown(&nodes), [(12, 0)]);
}

#[derive(Debug, Clone)]
enum Step {
    Fork(usize, u32),
    Exec(usize),
    Exit(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (any::<usize>(), 2u32..9).prop_map(|(who, tgid)| Step::Fork(who, tgid)),
        3 => any::<usize>().prop_map(Step::Exec),
        2 => any::<usize>().prop_map(Step::Exit),
    ];
    proptest::collection::vec(step, 0..120)
}

/// A process as it lives: its execution, if it has one, and who started it.
struct Living {
    id: ProcessId,
    ppid: u32,
    image: Option<usize>,
    starter: Option<usize>,
}

/// Few pids, which are used again at once; each process execs before it forks, so
/// that its children have a starter that is known.
fn history(steps: Vec<Step>) -> (Vec<Node>, Vec<Option<usize>>) {
    let init = ProcessId {
        tgid: 1,
        start_ns: 0,
    };
    let (mut nodes, mut truth) = (Vec::new(), Vec::new());
    let mut living = vec![Living {
        id: init,
        ppid: 0,
        image: None,
        starter: None,
    }];
    for (step, now_ns) in steps.into_iter().zip(1u64..) {
        match step {
            Step::Fork(who, tgid) => {
                let parent = &living[who % living.len()];
                let free = living.iter().all(|process| process.id.tgid != tgid);
                if free && (parent.image.is_some() || parent.id == init) {
                    let id = ProcessId {
                        tgid,
                        start_ns: now_ns,
                    };
                    let (ppid, starter) = (parent.id.tgid, parent.image);
                    living.push(Living {
                        id,
                        ppid,
                        image: None,
                        starter,
                    });
                }
            }
            Step::Exec(who) if living.len() > 1 => {
                let process = 1 + who % (living.len() - 1);
                let process = &mut living[process];
                if let Some(image) = process.image {
                    let old: &mut Node = &mut nodes[image];
                    old.end_ns = Some(now_ns);
                }
                process.image = Some(nodes.len());
                nodes.push(Node {
                    process: process.id,
                    ppid: process.ppid,
                    start_ns: now_ns,
                    end_ns: None,
                    below: None,
                });
                truth.push(process.starter);
            }
            Step::Exit(who) if living.len() > 1 => {
                let gone = living.remove(1 + who % (living.len() - 1));
                if let Some(image) = gone.image {
                    nodes[image].end_ns = Some(now_ns);
                }
                for child in living.iter_mut().filter(|c| c.ppid == gone.id.tgid) {
                    (child.ppid, child.starter) = (1, None);
                }
            }
            Step::Exec(_) | Step::Exit(_) => {}
        }
    }
    (nodes, truth)
}

proptest! {
    #[test]
    fn the_starter_is_found_in_any_history(steps in steps()) {
        let (nodes, truth) = history(steps);
        let mut by_start: Vec<usize> = (0..nodes.len()).collect();
        by_start.sort_by_key(|&i| nodes[i].start_ns);
        let starters: Vec<_> = starters(&nodes, &by_start)
            .into_iter()
            .map(|starter| starter.map(|(i, _)| i))
            .collect();
        prop_assert_eq!(starters, truth);
    }

    /// Whatever is said of them, true or not: each once, and below its starter.
    #[test]
    fn each_is_shown_once(
        facts in proptest::collection::vec(
            (
                0u32..6,
                0u64..20,
                0u32..6,
                0u64..20,
                proptest::option::of(0u64..30),
                proptest::option::of((0u32..6, 0u64..20)),
            ),
            0..60,
        ),
    ) {
        let nodes: Vec<Node> = facts
            .into_iter()
            .map(|(tgid, forked_ns, ppid, start_ns, end_ns, below)| Node {
                below: below.map(|(tgid, start_ns)| ProcessId { tgid, start_ns }),
                ..node(tgid, forked_ns, ppid, start_ns, end_ns)
            })
            .collect();
        let shown = order(&nodes);
        let mut all: Vec<usize> = shown.iter().map(|at| at.index).collect();
        let mut above: Vec<usize> = Vec::new();
        let mut last_at: Vec<(u64, ProcessId)> = Vec::new();
        for Place { index: i, depth, far } in shown {
            prop_assert!(depth <= above.len());
            above.truncate(depth);
            last_at.truncate(depth + 1);
            if let Some(&starter) = above.last() {
                let parent = nodes[starter].process.tgid == nodes[i].ppid;
                let ancestor = Some(nodes[starter].process) == nodes[i].below;
                let told = if far { ancestor } else { parent };
                prop_assert!(told);
                prop_assert!(nodes[starter].process.start_ns < nodes[i].process.start_ns);
            }
            let at = (nodes[i].start_ns, nodes[i].process);
            match last_at.get_mut(depth) {
                Some(last) => {
                    prop_assert!(*last <= at);
                    *last = at;
                }
                None => last_at.push(at),
            }
            above.push(i);
        }
        all.sort_unstable();
        prop_assert!(all.into_iter().eq(0..nodes.len()));
    }
}
