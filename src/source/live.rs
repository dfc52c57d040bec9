//! The live kernel as a source: loads and attaches the kernel side, reads its
//! buffers, and accounts for what it could not deliver.

use std::collections::{HashMap, HashSet};
use std::mem::MaybeUninit;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use libbpf_rs::skel::{OpenSkel as _, SkelBuilder as _};
use libbpf_rs::{Link, OpenObject};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::Timespec;

use super::attach::{self, Attached, Flavour};
use super::containers::Containers;
use super::engines::Engines;
use super::host::Facts;
use super::hosts::Hosts;
use super::now::{monotonic_ns, wall_offset_ns};
use super::perf::PerfBuffer;
use super::readers::{self, Readers};
use super::scan::{self, Argvs, LeftOuts, Scan};
use super::{About, Alive, Batch, Ending, Source, containers, engines, iter, load};
use crate::config::{KernelFilter, Live as Config};
use crate::doctor;
use crate::loss::SourceLosses;
use crate::nearest::LeftOut;
use crate::skel::{ExeclatSkel, ExeclatSkelBuilder};
use crate::wire;

mod losses;

/// The buffers are read at least this often.
pub const ROUND: Duration = Duration::from_millis(50);

/// A record may reach its buffer this long after its time was taken: a virtual CPU
/// can be preempted in between. Later ones are still paired, out of order.
const SLACK_NS: u64 = 20_000_000;

/// After a loss, all processes are looked at, but not more often than this.
const LOOK_EVERY_NS: u64 = 1_000_000_000;

/// A command line of what runs already is waited for so long, and a container's name: both
/// are read in microseconds. Where a container is nobody waits for: a disk may take its time.
const ARGV_PATIENCE: Duration = Duration::from_millis(200);
const NAME_PATIENCE: Duration = Duration::from_millis(100);
const PLACE_PATIENCE: Duration = Duration::from_secs(2);

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
    /// The iterator lists all processes, so that whom it does not list is gone.
    lists_all: bool,
    attached: Option<Attached>,
    scan_link: Link,
    perf: PerfBuffer,
    /// Cgroups that are no container's.
    hosts: Hosts,
    engines: Option<Engines>,
    containers: Option<Containers>,
    skel: ExeclatSkel<'static>,
    /// Records for the next batch: of what ran already, and what was read while processes
    /// were listed.
    waiting: Vec<u8>,
    malformed: u64,
    /// Processes that ran before, whose argv could not be read in time.
    argv_unread: u64,
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
    /// Loads and attaches, then takes in what runs already.
    ///
    /// # Errors
    /// This host or user cannot trace; the message says what is missing.
    pub fn open(config: &Config) -> Result<Live> {
        // First: while there is nothing that they could hold on to.
        let [argvs, names, places] = readers::start([
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
        // Reads its first files while the kernel side is loaded.
        let containers = match config.filter.runtimes {
            true => Some(Containers::start(places)?),
            false => None,
        };
        let mut notes = vec![format!("{} flavour: {why}", flavour.name())];

        // One per process, for as long as it lives.
        let storage: &'static mut MaybeUninit<OpenObject> =
            Box::leak(Box::new(MaybeUninit::uninit()));
        let mut open = ExeclatSkelBuilder::default()
            .open(storage)
            .context("failed to open the BPF object")?;
        let copies = attach::copies(&facts);
        load::configure(&mut open, config, &plan, flavour, copies)?;
        attach::set_autoload(&mut open, flavour, &config.filter, copies);
        let skel = open.load().with_context(|| load::advice(&facts))?;
        load::fill_maps(&skel, &config.filter, &plan)?;

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
        // The iterator also tells who we are in the initial pid namespace, and more.
        iter::list(&scan_link, &mut || Ok(()))?;
        let told = skel.maps.bss_data.as_deref();
        let tells_status = told.is_some_and(|bss| bss.tells_status != 0);
        let progs = &skel.progs;
        let mut attached = attach::attach(progs, flavour, &config.filter, tells_status, copies)?;
        notes.append(&mut attached.notes);

        let about = about(flavour, &plan, &config.filter);
        let mut live = Live {
            wall_offset_ns: about.wall_offset_ns,
            about,
            notes,
            attached: Some(attached),
            scan_link,
            perf,
            engines: config.names.then(|| Engines::new(engines::by(names))),
            hosts: Hosts::default(),
            containers,
            skel,
            waiting: Vec::new(),
            malformed: 0,
            argv_unread: 0,
            left_out_running: LeftOut::default(),
            warnings: doctor::warnings(&checks).collect(),
            lists_all: !facts.pid_namespace,
            losses_seen: 0,
            looked_ns: 0,
            look: None,
            counted: None,
            skipped: Vec::new(),
            skipped_before: Vec::new(),
        };
        if config.filter.from_outside() {
            live.list_cgroups(&plan.directories)?;
        }
        live.take_in(config, plan.shown.id, argvs)?;
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

    /// With the probes live: whoever makes one from now on is seen.
    fn list_cgroups(&mut self, directories: &[PathBuf]) -> Result<()> {
        let (perf, malformed, waiting) = (&mut self.perf, &mut self.malformed, &mut self.waiting);
        let mut between = || drain(perf, malformed, waiting);
        let mut all = true;
        if let Some(containers) = &mut self.containers {
            for directory in directories {
                all &= containers.list(directory, &mut between)?;
            }
        }
        if !all {
            let many = "too many cgroups to know each container there by its id";
            self.warnings.push(many.to_owned());
        }
        Ok(())
    }

    fn take_in(&mut self, config: &Config, shown_hierarchy: u32, argvs: Readers) -> Result<()> {
        let own_tgid = self.bss().own_tgid;
        let bss = self.skel.maps.bss_data.as_deref_mut();
        let bss = bss.context("the BPF object has no .bss")?;
        let (perf, malformed) = (&mut self.perf, &mut self.malformed);
        let mut scan = Scan {
            link: &self.scan_link,
            wanted: &self.skel.maps.wanted,
            set_commit: &mut |on| bss.scan_commit = u32::from(on),
            filter: &config.filter,
            args_bytes: config.args_bytes,
            argvs: Argvs::new(argvs, config.args_bytes.max(scan::NAME_BYTES)),
            shown_hierarchy,
            named: HashSet::new(),
            contained: HashMap::new(),
            left_out: LeftOuts::default(),
            ours: HashSet::from([own_tgid]),
            proc_is_ours: proc_calls_us() == Some(own_tgid),
            drain: &mut |out| drain(perf, malformed, out),
        };
        if !config.filter.command {
            scan.run(&mut self.waiting)?;
        }
        self.left_out_running = scan.left_out.count();
        self.argv_unread = scan.argvs.unread();
        bss.scan_over = 1;
        Ok(())
    }

    fn bss(&self) -> &crate::skel::types::bss {
        // Made by the load; the skeleton has it as an option for objects without.
        match self.skel.maps.bss_data.as_deref() {
            Some(bss) => bss,
            None => unreachable!("the BPF object has a .bss"),
        }
    }

    fn look(&mut self) -> Result<Alive> {
        let seen_ns = monotonic_ns();
        let (perf, malformed, waiting) = (&mut self.perf, &mut self.malformed, &mut self.waiting);
        let listed = iter::list(&self.scan_link, &mut || drain(perf, malformed, waiting))?;
        Ok(iter::alive(&listed, seen_ns))
    }

    /// Reads all buffers; the horizon is from before, so that what is later than it
    /// may be missing, and nothing else.
    fn read(&mut self, batch: &mut Batch) -> Result<()> {
        let now_ns = monotonic_ns();
        batch.bytes.append(&mut self.waiting);
        drain(&mut self.perf, &mut self.malformed, &mut batch.bytes)?;
        if self.engines.is_some() || self.containers.is_some() {
            wire::cgroups(&batch.bytes).for_each(|cgroup| self.hosts.note(&cgroup));
        }
        if let Some(engines) = &mut self.engines {
            engines.name_all(batch, &self.hosts);
        }
        if let Some(containers) = &mut self.containers {
            containers.look(&batch.bytes, &self.hosts, &mut batch.places);
        }
        batch.horizon_ns = now_ns.saturating_sub(SLACK_NS);
        let wall_offset_ns = wall_offset_ns();
        if wall_offset_ns.abs_diff(self.wall_offset_ns) > WALL_STEP_NS {
            self.wall_offset_ns = wall_offset_ns;
        }
        batch.wall_offset_ns = self.wall_offset_ns;
        Ok(())
    }

    /// After a loss the table of open executions may hold what is long gone.
    fn look_after_loss(&mut self, batch: &mut Batch) {
        let lost = self.lost_so_far();
        let now_ns = monotonic_ns();
        if self.lists_all
            && lost != self.losses_seen
            && now_ns.saturating_sub(self.looked_ns) > LOOK_EVERY_NS
        {
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

impl Source for Live {
    fn about(&self) -> &About {
        &self.about
    }

    fn next(&mut self, batch: &mut Batch) -> Result<bool> {
        batch.clear();
        if self.waiting.is_empty() {
            let timeout = Timespec {
                tv_sec: 0,
                tv_nsec: ROUND.subsec_nanos().into(),
            };
            let fd = self.perf.as_fd();
            let mut fds = [PollFd::new(&fd, PollFlags::IN)];
            match poll(&mut fds, Some(&timeout)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error).context("failed to wait for the perf buffer"),
            }
        }
        self.read(batch)?;
        self.look_after_loss(batch);
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
        losses.skipped.clone_from(&self.skipped);
        losses
    }

    fn left_out(&self) -> LeftOut {
        self.count_left_out()
    }
}

/// Moves what waits in the buffers to `out`.
fn drain(perf: &mut PerfBuffer, malformed: &mut u64, out: &mut Vec<u8>) -> Result<()> {
    let found = perf
        .consume(out)
        .context("failed to read the perf buffer")?;
    *malformed += found;
    Ok(())
}

/// Our number in /proc; in another pid namespace's it is another, or none.
fn proc_calls_us() -> Option<u32> {
    std::fs::read_link("/proc/self")
        .ok()?
        .to_str()?
        .parse()
        .ok()
}

fn about(flavour: Flavour, plan: &load::Plan, filter: &KernelFilter) -> About {
    let directory = |path: &PathBuf| path.to_string_lossy().into_owned();
    let asked = plan.directories.iter().filter(|_| filter.from_outside());
    let uname = rustix::system::uname();
    About {
        host: uname.nodename().to_string_lossy().into_owned(),
        kernel: uname.release().to_string_lossy().into_owned(),
        machine: uname.machine().to_string_lossy().into_owned(),
        execlat: env!("CARGO_PKG_VERSION").to_owned(),
        flavour: flavour.name().to_owned(),
        began_ns: monotonic_ns(),
        wall_offset_ns: wall_offset_ns(),
        page_bytes: load::page_bytes(),
        cgroup_mount: plan.shown.mount.to_string_lossy().into_owned(),
        cgroups: asked.map(directory).collect(),
        follows: filter.follow || filter.anatomy,
        forks: filter.anatomy,
    }
}
