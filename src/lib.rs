//! execlat: how long do programs run, from exec to exit, on a container host?

pub mod anatomy;
pub mod cgroup;
pub mod clock;
pub mod config;
pub mod container;
pub mod engine;
pub mod event;
pub mod filter;
pub mod hash;
pub mod label;
pub mod loss;
pub mod names;
pub mod order;
pub mod pair;
pub mod pipeline;
pub mod recording;
pub mod row;
pub mod runtime;
pub mod sink;
mod skel;
pub mod slow;
pub mod source;
pub mod stats;
pub mod summary;
pub mod text;
pub mod tree;
pub mod wire;
