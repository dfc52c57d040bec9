//! execlat: how long do programs run, from exec to exit, on a container host?

mod skel;
