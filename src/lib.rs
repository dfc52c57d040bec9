//! execlat: how long do programs run, from exec to exit, on a container host?

pub mod clock;
pub mod event;
pub mod hash;
pub mod loss;
pub mod order;
pub mod pair;
pub mod runtime;
mod skel;
pub mod text;
pub mod wire;
