//! execlat: how long do programs run, from exec to exit, on a container host?
//!
//! Events flow one way: [`source`] (the live kernel or a recording) → [`wire`] →
//! [`order`] → [`pair`] → [`filter`] → [`stats`] and [`sink`]; [`pipeline`] is that
//! way, [`run`] drives it. With `--anatomy`, [`anatomy`] stands beside `pair`. What lies
//! between source and sink knows neither clock nor terminal nor kernel.

pub mod anatomy;
pub mod cgroup;
pub mod chain;
pub mod cli;
pub mod clock;
pub mod command;
pub mod config;
pub mod container;
pub mod container_cgroups;
#[cfg(test)]
#[path = "../tests/common/dispositions.rs"]
mod dispositions;
pub mod doctor;
pub mod engine;
pub mod event;
pub mod files;
pub mod filter;
#[cfg(test)]
mod fixture;
pub mod hash;
pub mod inherited;
pub mod label;
pub mod loss;
pub mod names;
pub mod nearest;
pub mod order;
pub mod output;
pub mod pair;
pub mod pipeline;
pub mod progress;
pub mod recording;
pub mod report;
pub mod row;
pub mod run;
pub mod runtime;
pub mod sink;
mod skel;
pub mod slow;
pub mod source;
mod spelled;
pub mod state;
pub mod stats;
pub mod stop;
pub mod summary;
pub mod text;
pub mod top;
pub mod tree;
pub mod unmet;
pub mod wire;
