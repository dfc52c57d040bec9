//! Adopts what runs already, with the probes live.

use std::collections::{HashMap, HashSet};

use anyhow::{Context as _, Result};

use super::Live;
use crate::config::Live as Config;
use crate::source::iter::CgroupNames;
use crate::source::readers::Readers;
use crate::source::scan::{Argvs, LeftOuts, NAME_BYTES, Scan, Without};

/// For who gives a pid as a pid namespace of our own has it.
const PIDS_HINT: &str = "; we are in a pid namespace of our own, and pids are those of the \
                         initial one: run it in the host's";

impl Live {
    /// Adopts what matches and ran before.
    ///
    /// # Errors
    /// As of [`Scan::run`].
    pub(super) fn adopt(
        &mut self,
        config: &Config,
        names: CgroupNames,
        argvs: Readers,
        live_ns: u64,
    ) -> Result<()> {
        let own_tgid = self.bss().own_tgid;
        let bss = self.skel.maps.bss_data.as_deref_mut();
        let bss = bss.context("the BPF object has no .bss")?;
        let mut scan = Scan {
            link: &self.scan_link,
            wanted: &self.skel.maps.wanted,
            set_commit: &mut |on| bss.scan_commit = u32::from(on),
            filter: &config.filter,
            args_bytes: config.args_bytes,
            argvs: Argvs::new(argvs, config.args_bytes.max(NAME_BYTES)),
            names,
            contained: HashMap::new(),
            left_out: LeftOuts::default(),
            live_ns,
            pids_hint: match self.lists_all {
                true => "",
                false => PIDS_HINT,
            },
            ours: HashSet::from([own_tgid]),
            proc_is_ours: proc_calls_us() == Some(own_tgid),
        };
        if !config.filter.command {
            scan.run(&mut self.waiting)?;
        }
        self.left_out_running = scan.left_out.count();
        self.argv_unread = scan.argvs.unread(Without::LeftOut);
        self.argv_unknown = scan.argvs.unread(Without::Adopted);
        bss.scan_over = 1;
        Ok(())
    }
}

/// Our number in /proc; in another pid namespace's it is another, or none.
fn proc_calls_us() -> Option<u32> {
    std::fs::read_link("/proc/self")
        .ok()?
        .to_str()?
        .parse()
        .ok()
}
