//! Compiles the BPF program and generates its Rust skeleton, types included.

use std::env;
use std::error::Error;
use std::path::PathBuf;

use libbpf_cargo::SkeletonBuilder;

const SOURCE: &str = "src/bpf/execlat.bpf.c";

fn main() -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(env::var("OUT_DIR")?).join("execlat.skel.rs");
    SkeletonBuilder::new()
        .source(SOURCE)
        .clang_args(["-Wall", "-Werror", "-Isrc/bpf"])
        .build_and_generate(&out)
        .map_err(|e| format!("failed to build {SOURCE} (is clang installed?): {e:#}"))?;
    println!("cargo:rerun-if-changed=src/bpf");
    Ok(())
}
