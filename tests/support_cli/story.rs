//! Recordings made by hand: the kernel's records as `src/bpf/execlat.h` has them,
//! with times, pids and names of our choice, so that every output is known.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::{self, Write};
use std::rc::Rc;

use execlat::event::ProcessId;
use execlat::loss::SourceLosses;
use execlat::recording::Writer;
use execlat::source::{About, Alive, Batch, ContainerName, Ending, Places};
use execlat::state::StatePlace;

/// `CLOCK_MONOTONIC` when tracing began.
pub const BEGAN_NS: u64 = 1_000_000_000_000;
/// It began at 2024-05-06T07:08:09.250Z.
const WALL_NS: i64 = 1_714_979_289_250_000_000;

const EXEC: u16 = 1;
const EXIT: u16 = 2;
const RUNNING: u16 = 3;
const CGROUP: u16 = 4;
const FORK: u16 = 5;
const ATTACH: u16 = 6;
const UNMATCHED: u16 = 1;
const FAULT: u16 = 2;
const IN_CGROUP: u16 = 4;
const ELSEWHERE: u16 = 512;
/// The most that a process had resident, of any of its images.
const PEAK_PAGES: u64 = 977;
const HEADER_BYTES: usize = 32;

/// What an exec brings.
#[derive(Clone)]
pub struct Image {
    pub comm: Vec<u8>,
    /// Each argument with its NUL.
    pub args: Vec<u8>,
    /// Bytes of argv beyond those.
    pub missing: u32,
    pub fault: bool,
    pub ppid: u32,
    pub uid: u32,
    pub cgroup: u64,
    /// It is outside the cgroups asked for.
    pub elsewhere: bool,
    /// Pages that earlier images of its process had resident.
    pub earlier_peak: u32,
}

/// A program started by root's shell, its arguments separated by blanks.
pub fn image(line: &str) -> Image {
    let args: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
    image_of(&args)
}

/// The same of exactly these arguments.
pub fn image_of(args: &[&[u8]]) -> Image {
    let first = args.first().copied().unwrap_or(b"none");
    let base = first.rsplit(|&b| b == b'/').next().unwrap_or_default();
    Image {
        comm: base[..base.len().min(15)].to_vec(),
        args: args
            .iter()
            .flat_map(|arg| [arg, &b"\0"[..]].concat())
            .collect(),
        missing: 0,
        fault: false,
        ppid: 4000,
        uid: 0,
        cgroup: 0,
        elsewhere: false,
        earlier_peak: 0,
    }
}

impl Image {
    pub fn comm(mut self, comm: &[u8]) -> Image {
        self.comm = comm.to_vec();
        self
    }

    pub fn by(mut self, ppid: u32, uid: u32) -> Image {
        (self.ppid, self.uid) = (ppid, uid);
        self
    }

    pub fn within(mut self, cgroup: u64) -> Image {
        self.cgroup = cgroup;
        self
    }

    /// In a cgroup that was not asked for.
    pub fn outside(mut self, cgroup: u64) -> Image {
        self.elsewhere = true;
        self.within(cgroup)
    }

    pub fn after_peak(mut self, pages: u32) -> Image {
        self.earlier_peak = pages;
        self
    }

    /// Only the first bytes of argv were captured.
    pub fn cut(mut self, bytes: usize) -> Image {
        self.missing = (self.args.len() - bytes) as u32;
        self.args.truncate(bytes);
        self
    }

    /// The rest of argv could not be read.
    pub fn unreadable(mut self, bytes: usize) -> Image {
        self.fault = true;
        self.cut(bytes)
    }
}

#[derive(Clone, Default)]
struct Shared(Rc<RefCell<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A recording in the making. Times are microseconds since tracing began.
pub struct Story {
    file: Shared,
    writer: Writer<Shared>,
    batch: Batch,
    began_ns: u64,
    now_ns: u64,
    /// Start and last record's number of each process.
    processes: HashMap<u32, (u64, u32)>,
    /// How many forks of each were told.
    forks: HashMap<u32, u32>,
    about: About,
}

impl Story {
    pub fn new() -> Story {
        Story::on("web-7", BEGAN_NS, "/sys/fs/cgroup")
    }

    /// On another host, or at another time.
    pub fn on(host: &str, began_ns: u64, cgroup_mount: &str) -> Story {
        Story::by(About {
            host: host.into(),
            kernel: "6.1.0-31-amd64".into(),
            machine: "x86_64".into(),
            execlat: "0.1.0".into(),
            flavour: "tracepoint".into(),
            began_ns,
            wall_offset_ns: WALL_NS - BEGAN_NS as i64,
            page_bytes: 4096,
            cgroup_mount: cgroup_mount.into(),
            cgroup_root: "/".into(),
            cgroups: Vec::new(),
            follows: false,
            forks: false,
            all_forks: false,
        })
    }

    /// With what runtimes fork.
    pub fn with_forks() -> Story {
        let mut about = Story::new().about;
        about.forks = true;
        Story::by(about)
    }

    /// Of these cgroups, with what runtimes do to them from outside.
    pub fn of_cgroups(directories: &[&str]) -> Story {
        let mut about = Story::new().about;
        about.cgroups = directories.iter().map(|&d| d.to_owned()).collect();
        Story::by(about)
    }

    /// All that they start was followed.
    pub fn following(self) -> Story {
        let about = About {
            follows: true,
            ..self.about
        };
        Story::by(about)
    }

    fn by(about: About) -> Story {
        let file = Shared::default();
        Story {
            writer: Writer::new(file.clone(), &about).expect("memory"),
            file,
            began_ns: about.began_ns,
            batch: Batch {
                wall_offset_ns: about.wall_offset_ns,
                ..Batch::default()
            },
            now_ns: about.began_ns,
            processes: HashMap::new(),
            forks: HashMap::new(),
            about,
        }
    }

    /// The time, for all that follows.
    pub fn at(&mut self, since_us: u64) -> &mut Story {
        self.now_ns = self.began_ns + since_us * 1000;
        self
    }

    /// An engine's name for a container.
    pub fn named(&mut self, id: &str, name: &str) -> &mut Story {
        let [id, name] = [id, name].map(str::to_owned);
        self.batch.names.push(ContainerName { id, name });
        self
    }

    /// A process that forked just before, or goes on.
    pub fn exec(&mut self, pid: u32, image: &Image) -> &mut Story {
        self.image(EXEC, pid, image)
    }

    /// A process that began sixteen minutes before tracing.
    pub fn running(&mut self, pid: u32, image: &Image) -> &mut Story {
        self.processes
            .insert(pid, (self.began_ns - 967_000_000_000, 0));
        self.image(RUNNING, pid, image)
    }

    /// A process makes another.
    pub fn fork(&mut self, by: u32, pid: u32) -> &mut Story {
        let nth = self.forks.entry(by).or_default();
        *nth += 1;
        let mut rest = self.processes[&by].0.to_le_bytes().to_vec();
        rest.extend(0u64.to_le_bytes());
        rest.extend(by.to_le_bytes());
        rest.extend(nth.to_le_bytes());
        self.processes.insert(pid, (self.now_ns, 1));
        self.record(FORK, 0, (pid, self.now_ns, 1), &rest)
    }

    /// A process moves another to a cgroup.
    pub fn attach(&mut self, by: u32, pid: u32, cgroup: u64, inside: bool) -> &mut Story {
        let mut rest = self.processes[&by].0.to_le_bytes().to_vec();
        rest.extend(cgroup.to_le_bytes());
        rest.extend(by.to_le_bytes());
        rest.extend(0u32.to_le_bytes());
        let process = (pid, self.processes[&pid].0, 0);
        self.record(ATTACH, if inside { IN_CGROUP } else { 0 }, process, &rest)
    }

    /// What a runtime keeps on disk: its directory, a container, that one's cgroup.
    pub fn kept(&mut self, root: &str, id: &str, directory: &str) -> &mut Story {
        let [root, id, directory] = [root, id, directory].map(str::to_owned);
        let cgroups = vec![directory];
        let states = &mut self.batch.places.states;
        let read_ns = self.now_ns;
        states.push(StatePlace {
            root,
            id,
            cgroups,
            read_ns,
        });
        self
    }

    /// It becomes something that is not asked for.
    pub fn unmatched(&mut self, pid: u32) -> &mut Story {
        let image = image("other").after_peak(211);
        self.exec_record(EXEC, UNMATCHED, pid, &image)
    }

    pub fn exit(&mut self, pid: u32, status: u32) -> &mut Story {
        self.end(pid, 0, status)
    }

    /// The end of what is not asked for.
    pub fn exit_unmatched(&mut self, pid: u32, status: u32) -> &mut Story {
        self.end(pid, UNMATCHED, status)
    }

    /// A whole life.
    pub fn run(&mut self, pid: u32, image: &Image, took_us: u64, status: u32) -> &mut Story {
        let began_ns = self.now_ns;
        self.exec(pid, image);
        self.now_ns += took_us * 1000;
        self.exit(pid, status);
        self.now_ns = began_ns;
        self
    }

    /// A record of the process is lost.
    pub fn lose(&mut self, pid: u32) -> &mut Story {
        self.next(pid);
        self
    }

    pub fn cgroup(&mut self, id: u64, path: &[u8], truncated: bool) -> &mut Story {
        let names: Vec<&[u8]> = path
            .split(|&b| b == b'/')
            .filter(|n| !n.is_empty())
            .collect();
        let mut rest = id.to_le_bytes().to_vec();
        rest.extend((names.len() as u32).to_le_bytes());
        rest.extend(u32::from(truncated).to_le_bytes());
        rest.extend(names.iter().rev().flat_map(|n| [n, &b"\0"[..]].concat()));
        self.record(CGROUP, 0, (0, 0, 0), &rest)
    }

    /// The records of this round.
    pub fn records(&self) -> Vec<u8> {
        self.batch.bytes.clone()
    }

    /// Bytes that may be no record.
    pub fn raw(&mut self, bytes: &[u8]) -> &mut Story {
        self.batch.bytes.extend(bytes);
        self
    }

    /// All up to now has been read.
    pub fn round(&mut self) -> &mut Story {
        self.batch.horizon_ns = self.now_ns;
        self.writer.batch(&self.batch).expect("memory");
        self.batch.bytes.clear();
        self.batch.names.clear();
        self.batch.places = Places::default();
        self.batch.alive = None;
        self
    }

    /// A look at all processes finds only these.
    pub fn look(&mut self, pids: &[u32]) -> &mut Story {
        let there = |pid: &u32| ProcessId {
            tgid: *pid,
            start_ns: self.processes[pid].0,
        };
        let mut processes: Vec<_> = pids.iter().map(there).collect();
        processes.sort();
        self.batch.alive = Some(Alive {
            seen_ns: self.now_ns,
            processes,
        });
        self.round()
    }

    pub fn finish(&mut self) -> Vec<u8> {
        self.finish_with(SourceLosses::default())
    }

    pub fn finish_with(&mut self, losses: SourceLosses) -> Vec<u8> {
        self.round();
        let ended_ns = self.now_ns;
        let ending = Ending {
            ended_ns,
            losses,
            left_out: Default::default(),
            failed: None,
        };
        self.writer.finish(&ending).expect("memory");
        self.bytes()
    }

    /// As if the machine had stopped here.
    pub fn bytes(&mut self) -> Vec<u8> {
        self.file.0.borrow().clone()
    }

    fn next(&mut self, pid: u32) -> (u32, u64, u32) {
        let fork_ns = self.now_ns - 300_000;
        let process = self.processes.entry(pid).or_insert((fork_ns, 0));
        process.1 += 1;
        (pid, process.0, process.1)
    }

    fn image(&mut self, kind: u16, pid: u32, image: &Image) -> &mut Story {
        let fault = if image.fault { FAULT } else { 0 };
        let elsewhere = if image.elsewhere { ELSEWHERE } else { 0 };
        let flags = fault | elsewhere;
        self.exec_record(kind, flags, pid, image)
    }

    fn exec_record(&mut self, kind: u16, flags: u16, pid: u32, image: &Image) -> &mut Story {
        let process = self.next(pid);
        let mut rest = self.usage(process.2);
        rest.extend(image.cgroup.to_le_bytes());
        rest.extend(0u64.to_le_bytes());
        let args_bytes = image.args.len() as u32 + image.missing;
        for word in [image.ppid, image.uid, args_bytes, image.earlier_peak] {
            rest.extend(word.to_le_bytes());
        }
        let mut comm = [0; 16];
        comm[..image.comm.len()].copy_from_slice(&image.comm);
        rest.extend(comm);
        rest.extend(&image.args);
        self.record(kind, flags, process, &rest)
    }

    fn end(&mut self, pid: u32, flags: u16, status: u32) -> &mut Story {
        let process = self.next(pid);
        let mut rest = self.usage(process.2);
        rest.extend(PEAK_PAGES.to_le_bytes());
        rest.extend(status.to_le_bytes());
        rest.extend(0u32.to_le_bytes());
        self.processes.remove(&pid);
        self.forks.remove(&pid);
        self.record(EXIT, flags, process, &rest)
    }

    /// 1.5 ms of CPU, a fault and 2 + 3 switches from record to record.
    fn usage(&self, seq: u32) -> Vec<u8> {
        let seq = u64::from(seq);
        let usage = [seq * 1_500_000, seq, 2 * seq, 3 * seq];
        usage.iter().flat_map(|n| n.to_le_bytes()).collect()
    }

    fn record(
        &mut self,
        kind: u16,
        flags: u16,
        process: (u32, u64, u32),
        rest: &[u8],
    ) -> &mut Story {
        let (tgid, start_ns, seq) = process;
        let bytes = &mut self.batch.bytes;
        bytes.extend(((HEADER_BYTES + rest.len()) as u32).to_le_bytes());
        bytes.extend(kind.to_le_bytes());
        bytes.extend(flags.to_le_bytes());
        bytes.extend(self.now_ns.to_le_bytes());
        bytes.extend(start_ns.to_le_bytes());
        bytes.extend(tgid.to_le_bytes());
        bytes.extend(seq.to_le_bytes());
        bytes.extend(rest);
        self
    }
}

/// `wait`'s status of an exit code.
pub const fn code(code: u32) -> u32 {
    code << 8
}
