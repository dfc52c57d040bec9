//! `--cgroup` with the cgroup around a worker's containers: runc, crun and youki, and who
//! calls them, are in others. Here and in guests.
//!
//! Environment, where nothing can be built, as in guests:
//! - `EXECLAT_DRIVER`: the caller, named driver;
//! - `EXECLAT_SCRIPTS`: the directory of bundle.sh and pure-v2.sh.

mod common;
#[path = "runtimes/driver.rs"]
mod driver;
#[path = "runtimes/due.rs"]
mod due;
#[path = "runtimes/host.rs"]
mod host;
mod support_cli;
#[path = "runtimes/workers.rs"]
mod workers;
