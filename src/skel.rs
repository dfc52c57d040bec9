//! The generated twin of `src/bpf`: the BPF object, its maps and programs, and
//! the record types of `execlat.h`, which is the only place that defines them.
#![allow(
    unsafe_code,
    missing_docs,
    non_camel_case_types,
    non_upper_case_globals,
    non_snake_case,
    unused,
    clippy::all,
    clippy::undocumented_unsafe_blocks,
    clippy::unwrap_used
)]

include!(concat!(env!("OUT_DIR"), "/execlat.skel.rs"));
