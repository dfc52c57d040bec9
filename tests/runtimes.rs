//! Real runtimes: Debian's runc and crun, and newer ones, as engines call them.
//!
//! `lifecycle` goes through every command: each row once, with the status and the
//! argv that the caller knows, and a TIME at most 3 ms below the caller's own.
//! `engines` has podman, containerd and dockerd call them.
//! What `--cgroup` takes of them is in oracle_workers, which runs in guests as well.
//! `anatomy`, `marks` and `wrappers` take their starts apart.
//! `kernel`, `cgroups` and `consequences` hold what follows from how runtimes work,
//! by the numbers of RUNTIMES.md:
//!
//! | | here | by the oracle's workload |
//! |---|---|---|
//! | 1 exec again in one process | `kernel::agrees_on_*` | oracle_basic: `the_same_argv_*`, `another_argv_*` |
//! | 2 comm or argv\[0\], at exec | `consequences::name_by_argv0_alone`, `lifecycle` | oracle_filters: `a_name_*` |
//! | 3 an end without an exec | `kernel::agrees_on_*` | oracle_basic: `fork_without_exec_gives_no_row` |
//! | 4 the leader is not the last | `kernel::leader_first` | oracle_threads: `the_leader_leaves_first`, `exec_by_another_thread*` |
//! | 5 two see the last thread | | oracle_threads: `two_threads_end_at_once`, `five_threads_*` |
//! | 6 what wait would say | `kernel::leader_first`, `lifecycle` | oracle_basic: `exit_codes`, `signals_and_cores`; oracle_threads: `*_end_the_group`, `one_thread_ends_*` |
//! | 7 cgroup at exec | `cgroups` | oracle_cgroups; oracle_basic: `renamed_reowned_moved` |
//! | 8 directories of v1 | `cgroups::v1_directory` | oracle_cgroups |
//! | 9 by action; what still runs | `consequences::by_action_*`, `still_running` | oracle_running: `still_running_at_the_end` |
//! | 10 the payload outlives `run` | `consequences::killed_run_*` | oracle_basic: `a_child_that_outlives_its_parent` |
//! | 11 execveat | `kernel::agrees_on_*` | oracle_basic: `exec_by_file_descriptor`, `exec_by_the_32_bit_entries` |
//! | 12 argv | `lifecycle` (205 bytes, all kinds) | oracle_argv |
//! | 13 scripts | `consequences::script_that_wraps_runc` | oracle_basic: `scripts` |
//! | 14 before the tracer | `consequences::before_the_tracer`, `cgroups::of_a_container_*` | oracle_running: `running_before_*` |
//! | 15 hooks | `consequences::hooks_*` | oracle_basic: `a_family` |
//! | 16 no CAP_SYS_RESOURCE | `consequences::no_cap_sys_resource` | |

#[path = "runtimes/anatomy.rs"]
mod anatomy;
#[path = "runtimes/cgroups.rs"]
mod cgroups;
mod common;
#[path = "runtimes/consequences.rs"]
mod consequences;
#[path = "runtimes/driver.rs"]
mod driver;
#[path = "runtimes/due.rs"]
mod due;
#[path = "runtimes/engines.rs"]
mod engines;
#[path = "runtimes/ftrace.rs"]
mod ftrace;
#[path = "runtimes/host.rs"]
mod host;
#[path = "runtimes/kernel.rs"]
mod kernel;
#[path = "runtimes/lifecycle.rs"]
mod lifecycle;
#[path = "runtimes/marks.rs"]
mod marks;
#[path = "runtimes/wrappers.rs"]
mod wrappers;
