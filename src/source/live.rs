//! The live kernel as a source: loads and attaches the kernel side, reads its
//! buffers, and accounts for what it could not deliver.

use std::mem::MaybeUninit;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use libbpf_rs::skel::{OpenSkel as _, SkelBuilder as _};
use libbpf_rs::{Link, OpenObject};

use super::attach::{self, Attached, Flavour};
use super::containers::Containers;
use super::drain::Drain;
use super::engines::Engines;
use super::host::Facts;
use super::hosts::Hosts;
use super::iter::CgroupNames;
use super::now::{monotonic_ns, wall_offset_ns};
use super::perf::PerfBuffer;
use super::readers::{self, Patience};
use super::watch::Watch;
use super::{About, Alive, Batch, Ending, Source};
use super::{containers, engines, iter, load, scan, viewpoint};
use crate::config::Live as Config;
use crate::doctor;
use crate::loss::SourceLosses;
use crate::nearest::LeftOut;
use crate::skel::{ExeclatMaps, ExeclatSkel, ExeclatSkelBuilder};
use crate::wire;

mod about;
mod adopt;
mod losses;

use about::about;

/// The buffers are read at least this often.
pub const ROUND: Duration = Duration::from_millis(50);

/// A record may reach its buffer this long after its time was taken: a virtual CPU
/// can be preempted in between. Later ones are still paired, out of order.
const SLACK_NS: u64 = 20_000_000;

/// After a loss, all processes are looked at, but not more often than this.
const LOOK_EVERY_NS: u64 = 1_000_000_000;
/// Without one as well, should an end be lost that nothing has counted; a look takes about
/// 1 µs for each process.
const LOOK_ANYHOW_NS: u64 = 60_000_000_000;

/// A command line is read in microseconds, but its owner may hold a lock and wait for a CPU
/// meanwhile: with hundreds that want one, for half a second.
const ARGV_PATIENCE: Patience = Patience {
    each: Duration::from_millis(5),
    all: Duration::from_millis(500),
};
/// A container's name is waited for, and where it is not: a disk may take its time.
const NAME_PATIENCE: Patience = Patience::of_one(Duration::from_millis(100));
const PLACE_PATIENCE: Patience = Patience::of_one(Duration::from_secs(2));

/// A wall clock that moved by less than this is still the same: two clocks are not
/// read at the same instant.
const WALL_STEP_NS: u64 = 1_000_000;

/// The loaded and attached kernel side.
pub struct Live {
    about: About,
    /// What was done, a sentence each.
    notes: Vec<String>,
    /// What the user is to know of this host.
    warnings: Vec<String>,
    /// The iterator lists all processes: one that it does not list has exited.
    lists_all: bool,
    attached: Option<Attached>,
    scan_link: Link,
    drain: Drain,
    /// Cgroups that are no container's.
    hosts: Hosts,
    engines: Option<Engines>,
    containers: Option<Containers>,
    watch: Watch,
    skel: ExeclatSkel<'static>,
    /// Records for the next batch, of what ran already.
    waiting: Vec<u8>,
    malformed: u64,
    /// Processes that ran before, whose argv could not be read in time: left out, and adopted.
    argv_unread: u64,
    argv_unknown: u64,
    /// Of what ran before.
    left_out_running: LeftOut,
    losses_seen: u64,
    looked_ns: u64,
    /// A look at all processes and when it was over, until all from before then is read:
    /// who ended meanwhile is not in it.
    look: Option<(u64, Alive)>,
    wall_offset_ns: i64,
    /// What the kernel side had counted when tracing ended.
    counted: Option<SourceLosses>,
    skipped: Vec<(String, u64)>,
    /// Skipped beside our own bpf() calls before all was live: no loss.
    skipped_before: Vec<(String, u64)>,
}

impl Live {
    /// Loads and attaches, then adopts what runs already.
    ///
    /// # Errors
    /// This host or user cannot trace; the message says what is missing.
    pub fn open(config: &Config) -> Result<Live> {
        // First: while there is nothing that they could hold on to.
        let [argvs, engine_files, state_files] = readers::start([
            (&scan::answer, ARGV_PATIENCE),
            (&engines::answer, NAME_PATIENCE),
            (&containers::answer, PLACE_PATIENCE),
        ])
        .context("failed to start a process that reads files")?;
        let facts = Facts::read();
        // What the kernel would refuse later in words that help nobody.
        let checks = doctor::judge(&facts);
        if let Some(refusal) = doctor::refusal(&checks) {
            bail!(refusal);
        }
        let (flavour, why) = attach::choose(config.probe, &facts)?;
        let plan = load::plan(&config.filter)?;
        let mut notes = vec![format!("{} flavour: {why}", flavour.name())];

        let copies = attach::copies(&facts);
        let mut skel = load_skel(config, &facts, &plan, flavour, copies)?;
        let cpus = load::cpus_online();
        let (pages, watermark) = load::buffer_pages(config.buffer_bytes, cpus);
        let perf = PerfBuffer::new(&skel.maps.events, pages, watermark)
            .with_context(|| load::buffer_advice(pages, cpus))?;
        notes.push(format!(
            "perf buffer: {} KiB for each of {cpus} CPUs, woken at {} KiB",
            pages as u64 * load::page_bytes() / 1024,
            watermark / 1024
        ));
        let scan_link = skel
            .progs
            .scan
            .attach()
            .context("failed to attach the iterator")?;
        // The iterator also tells who and where we are in the initial namespaces, and more.
        let mut names = CgroupNames::default();
        let listed = viewpoint::look(&scan_link, &mut names)?;
        // With the clock set, by which it says how far it has read.
        let drain = Drain::start(perf, ROUND)?;
        let told = skel.maps.bss_data.as_deref();
        let tells_status = told.is_some_and(|bss| bss.tells_status != 0);
        let own_tgid = told.map_or(0, |bss| bss.own_tgid);
        let own_cgroup = viewpoint::own_cgroup(&listed, own_tgid, &names);
        // Reads its first files while the probes are attached; with the clock set.
        let containers = match config.filter.runtimes {
            true => Some(Containers::start(state_files)?),
            false => None,
        };
        let progs = &skel.progs;
        // Before: what finalize_exec tells then, the return of execve is not to tell again.
        watch_beside(&mut skel.maps, true)?;
        let mut attached = attach::attach(progs, flavour, &config.filter, tells_status, copies)?;
        watch_beside(&mut skel.maps, attached.is_beside())?;
        notes.append(&mut attached.notes);
        let live_ns = monotonic_ns();

        let about = about(flavour, &plan, &config.filter, own_cgroup.as_deref());
        let mut live = Live {
            wall_offset_ns: about.wall_offset_ns,
            about,
            notes,
            attached: Some(attached),
            scan_link,
            drain,
            engines: config
                .names
                .then(|| Engines::new(engines::by(engine_files))),
            hosts: Hosts::default(),
            containers,
            watch: Watch::new(&plan),
            skel,
            waiting: Vec::new(),
            malformed: 0,
            argv_unread: 0,
            argv_unknown: 0,
            left_out_running: LeftOut::default(),
            warnings: doctor::warnings(&checks).collect(),
            lists_all: !facts.pid_namespace,
            losses_seen: 0,
            looked_ns: live_ns,
            look: None,
            counted: None,
            skipped: Vec::new(),
            skipped_before: Vec::new(),
        };
        if config.filter.from_outside() {
            live.list_cgroups(&plan.directories);
        }
        live.adopt(config, names, argvs, live_ns)?;
        if let Some(attached) = &mut live.attached {
            attached.over_scan();
        }
        live.skipped_before = live.skipped_programs();
        Ok(live)
    }

    /// The flavour in use, by its name.
    pub fn flavour(&self) -> &str {
        &self.about.flavour
    }

    /// What was attached and how, a sentence each.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// What makes tracing worse than it could be, a line each.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Looks now and then whether the cgroups asked for are there still, and follows those
    /// that were made anew; a line for each change.
    ///
    /// # Errors
    /// The kernel side cannot be told.
    pub fn look_at_cgroups(&mut self) -> Result<Vec<String>> {
        self.watch.look(&mut self.skel.maps)
    }

    /// With the probes live: whoever makes one from now on is seen.
    fn list_cgroups(&mut self, directories: &[PathBuf]) {
        let Some(containers) = &mut self.containers else {
            return;
        };
        if !directories
            .iter()
            .all(|directory| containers.list(directory))
        {
            let many = "too many cgroups to know each container there by its id";
            self.warnings.push(many.to_owned());
        }
    }

    fn bss(&self) -> &crate::skel::types::bss {
        // Made by the load; the skeleton has it as an option for objects without.
        match self.skel.maps.bss_data.as_deref() {
            Some(bss) => bss,
            None => unreachable!("the BPF object has a .bss"),
        }
    }

    fn look(&self) -> Result<Alive> {
        let seen_ns = monotonic_ns();
        Ok(iter::alive(&iter::list(&self.scan_link)?, seen_ns))
    }

    /// Takes all that has been read; the horizon is from before, so that what is later than
    /// it may be missing, and nothing else.
    fn read(&mut self, batch: &mut Batch) -> Result<()> {
        let read_ns = self.drain.take(&mut batch.bytes, &mut self.malformed)?;
        batch.bytes.append(&mut self.waiting);
        if self.engines.is_some() || self.containers.is_some() {
            wire::cgroups(&batch.bytes).for_each(|cgroup| self.hosts.note(&cgroup));
        }
        if let Some(engines) = &mut self.engines {
            engines.name_all(batch, &self.hosts);
        }
        if let Some(containers) = &mut self.containers {
            containers.look(&batch.bytes, &self.hosts, &mut batch.places);
        }
        batch.horizon_ns = read_ns.saturating_sub(SLACK_NS);
        let wall_offset_ns = wall_offset_ns();
        if wall_offset_ns.abs_diff(self.wall_offset_ns) > WALL_STEP_NS {
            self.wall_offset_ns = wall_offset_ns;
        }
        batch.wall_offset_ns = self.wall_offset_ns;
        Ok(())
    }

    /// After a loss the table of open executions may hold what is long gone.
    fn look_for_gone(&mut self, batch: &mut Batch) {
        let lost = self.lost_so_far();
        let now_ns = monotonic_ns();
        let since_ns = now_ns.saturating_sub(self.looked_ns);
        let due_ns = match lost == self.losses_seen {
            true => LOOK_ANYHOW_NS,
            false => LOOK_EVERY_NS,
        };
        if self.lists_all && since_ns > due_ns {
            self.looked_ns = now_ns;
            // Where it fails, for want of a descriptor maybe, the next one will do.
            if let Ok(alive) = self.look() {
                self.look = Some((monotonic_ns(), alive));
                self.losses_seen = lost;
            }
        }
        let horizon_ns = batch.horizon_ns;
        let look = self.look.take_if(|(over_ns, _)| *over_ns <= horizon_ns);
        batch.alive = look.map(|(_, alive)| alive);
    }
}

/// Loads the kernel side, with nothing attached.
fn load_skel(
    config: &Config,
    facts: &Facts,
    plan: &load::Plan,
    flavour: Flavour,
    copies: u32,
) -> Result<ExeclatSkel<'static>> {
    // One per process, for as long as it lives.
    let storage: &'static mut MaybeUninit<OpenObject> = Box::leak(Box::new(MaybeUninit::uninit()));
    let mut open = ExeclatSkelBuilder::default()
        .open(storage)
        .context("failed to open the BPF object")?;
    load::configure(&mut open, config, plan, flavour, copies)?;
    attach::set_autoload(&mut open, flavour, &config.filter, copies);
    let skel = open.load().with_context(|| load::advice(facts))?;
    load::fill_maps(&skel, &config.filter, plan)?;
    Ok(skel)
}

impl Source for Live {
    fn about(&self) -> &About {
        &self.about
    }

    fn next(&mut self, batch: &mut Batch) -> Result<bool> {
        batch.clear();
        if self.waiting.is_empty() {
            self.drain.wait(ROUND);
        }
        self.read(batch)?;
        self.look_for_gone(batch);
        Ok(true)
    }

    fn finish(&mut self, batch: &mut Batch) -> Ending {
        batch.clear();
        // Looked first, with the probes live: who ends between the two is seen.
        let alive = self.lists_all.then(|| self.look()).transpose();
        let ended_ns = monotonic_ns();
        // As of now: one probe after the other goes, and those left meet what they
        // cannot know of.
        self.counted = Some(self.count());
        if let Some(attached) = &mut self.attached {
            attached.detach();
        }
        // Asking is a bpf() call, and the kernel skips probes beside one: so, now.
        self.skipped = self.skipped_since_live();
        self.attached = None;
        self.drain.finish();
        let read = self.read(batch);
        if let Some(containers) = &mut self.containers {
            containers.settle(&mut batch.places);
        }
        // Probe after probe is detached: what they saw meanwhile is not all of it.
        wire::retain_until(&mut batch.bytes, ended_ns);
        batch.horizon_ns = u64::MAX;
        let failed = read.and(alive.map(|alive| batch.alive = alive));
        Ending {
            ended_ns,
            losses: self.losses(),
            left_out: self.left_out(),
            failed: failed.err().map(|error| format!("{error:#}")),
        }
    }

    fn losses(&self) -> SourceLosses {
        let mut losses = self.counted.clone().unwrap_or_else(|| self.count());
        losses.malformed = self.malformed;
        losses.places_unread = self.containers.as_ref().map_or(0, Containers::unread);
        losses.names_unread = self.engines.as_ref().map_or(0, Engines::unread);
        losses.argv_unread = self.argv_unread;
        losses.argv_unknown = self.argv_unknown;
        losses.skipped.clone_from(&self.skipped);
        losses
    }

    fn left_out(&self) -> LeftOut {
        self.count_left_out()
    }
}

fn watch_beside(maps: &mut ExeclatMaps<'_>, on: bool) -> Result<()> {
    let bss = maps.bss_data.as_deref_mut();
    bss.context("the BPF object has no .bss")?.beside_returns = u32::from(on);
    Ok(())
}
