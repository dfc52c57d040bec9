//! Command lines of what runs already. Another process's argv can be read from /proc
//! alone, and that waits for the lock of its memory, which its owner can hold for as long
//! as he likes: so readers ask, who can be left behind.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read as _};

use crate::event::ProcessId;
use crate::skel::types::xl_flags;
use crate::source::iter::Listed;
use crate::source::readers::{Answer, Heard, Question, Readers};

/// Threads of one process that are looked at for one that has an argv.
const THREADS_MAX: usize = 64;

/// An argv: its first bytes, and how long all of it is. None if it cannot be read.
type Found = Option<(Vec<u8>, u32)>;

/// What has been read of this look at all processes.
#[derive(Debug)]
pub struct Argvs {
    readers: Readers,
    /// The most that is kept of one, bytes.
    kept: u32,
    known: HashMap<ProcessId, Found>,
    /// Those that did not come in time; with the number of the process's exec.
    unread: HashMap<ProcessId, (u64, Without)>,
}

/// What became of a process whose argv did not come in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Without {
    /// It would not have mattered.
    Same,
    /// It was adopted.
    Adopted,
    /// It was left out, and may be one that was meant.
    LeftOut,
}

impl Argvs {
    /// With readers that are of this use.
    pub fn new(readers: Readers, kept: u32) -> Argvs {
        Argvs {
            readers,
            kept,
            known: HashMap::new(),
            unread: HashMap::new(),
        }
    }

    /// The process that forks those that read.
    pub fn first_reader(&self) -> u32 {
        self.readers.first()
    }

    /// Reads those of many at once, and forgets all others.
    pub fn read(&mut self, processes: &[ProcessId]) {
        self.known.clear();
        self.ask(processes);
    }

    /// The argv of a process, read now if it was not before.
    pub fn of(&mut self, process: ProcessId) -> Found {
        if !self.known.contains_key(&process) {
            self.ask(&[process]);
        }
        self.known.get(&process).cloned().flatten()
    }

    /// Notes what became of a process, if it had to be without.
    pub fn note(&mut self, listed: &Listed, became: Without) {
        if let Some(unread) = self.unread.get_mut(&listed.process()) {
            *unread = (listed.record.exec_id, became);
        }
    }

    /// Whether any process had to be left out without its argv.
    pub fn any_left_out(&self) -> bool {
        self.unread(Without::LeftOut) > 0
    }

    /// Of those that were left out, forgets who has ended or run something else since: what
    /// was about to change, as a process in a fork or in an exec is, is no miss.
    pub fn forget_gone(&mut self, listed: &[Listed]) {
        let same = |one: &Listed| (one.process(), one.record.exec_id);
        let ends = |one: &Listed| one.has(xl_flags::XL_F_DEAD) || one.has(xl_flags::XL_F_ENDING);
        let there: HashMap<_, _> = listed.iter().filter(|one| !ends(one)).map(same).collect();
        self.unread.retain(|process, (exec_id, became)| {
            *became != Without::LeftOut || there.get(process) == Some(exec_id)
        });
    }

    /// Of how many that is what became.
    pub fn unread(&self, became: Without) -> u64 {
        let unread = self.unread.values();
        unread.filter(|(_, one)| *one == became).count() as u64
    }

    fn ask(&mut self, processes: &[ProcessId]) {
        let questions: Vec<Question> = processes
            .iter()
            .map(|process| {
                let bytes = [process.tgid, self.kept].map(u32::to_ne_bytes).concat();
                let about = process.tgid.to_ne_bytes().to_vec();
                Question { about, bytes }
            })
            .collect();
        let (known, unread) = (&mut self.known, &mut self.unread);
        self.readers.ask(&questions, &mut |at, heard| {
            let process = processes[at];
            match heard {
                Heard::Piece(bytes) => {
                    known.insert(process, parse(&bytes));
                }
                // It cannot be read: its owner's doing as well, but nothing was late.
                Heard::All => {
                    known.entry(process).or_default();
                }
                Heard::GivenUp => {
                    known.insert(process, None);
                    unread.insert(process, (0, Without::Same));
                }
            }
        });
    }
}

fn parse(answer: &[u8]) -> Found {
    let (true_bytes, bytes) = answer.split_first_chunk()?;
    Some((bytes.to_vec(), u32::from_ne_bytes(*true_bytes)))
}

/// What a reader does.
pub fn answer() -> Answer {
    Box::new(|question, say| {
        let (tgid, kept) = question.split_at_checked(4).unwrap_or_default();
        let number = |bytes: &[u8]| bytes.try_into().map(u32::from_ne_bytes);
        if let (Ok(tgid), Ok(kept)) = (number(tgid), number(kept))
            && let Ok((bytes, true_bytes)) = read_cmdline(tgid, u64::from(kept))
        {
            let mut whole = true_bytes.to_ne_bytes().to_vec();
            whole.extend_from_slice(&bytes);
            say(&whole);
        }
    })
}

/// The first bytes of the process's argv and how many there are, by any of its threads:
/// a leader that left has none. A process may say that its argv lies anywhere in its
/// memory, and make that as large as it likes: the rest is not read.
fn read_cmdline(tgid: u32, kept_bytes: u64) -> io::Result<(Vec<u8>, u32)> {
    for task in fs::read_dir(format!("/proc/{tgid}/task"))?.take(THREADS_MAX) {
        let task = task?.path();
        let mut bytes = Vec::new();
        let file = File::open(task.join("cmdline"));
        // A thread may end while it is looked at; another one has the same argv.
        match file.and_then(|file| file.take(kept_bytes).read_to_end(&mut bytes)) {
            Ok(read) if read > 0 => {
                let all = match read as u64 == kept_bytes {
                    true => fs::read_to_string(task.join("stat")).ok(),
                    false => None,
                };
                let all = all.and_then(|stat| args_bytes(&stat));
                return Ok((bytes, all.unwrap_or(0).max(read as u32)));
            }
            Ok(_) | Err(_) => {}
        }
    }
    Ok((Vec::new(), 0))
}

/// How long argv is, by the text of `/proc/PID/stat`: its last fields but two are where
/// argv begins and ends, and comm may hold anything.
fn args_bytes(stat: &str) -> Option<u32> {
    let (_, fields) = stat.rsplit_once(')')?;
    // The first after comm is the third, state; these are 48 and 49.
    let mut fields = fields.split_ascii_whitespace().skip(48 - 3);
    let mut next = || fields.next()?.parse::<u64>().ok();
    let (start, end) = (next()?, next()?);
    Some(u32::try_from(end.checked_sub(start)?).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_long_argv_the_first_bytes_are_kept_and_all_are_counted() {
        let long = "x".repeat(70_001);
        let mut sleeper = std::process::Command::new("sh")
            .args(["-c", "read x", &long])
            .stdin(std::process::Stdio::piped())
            .spawn()
            .expect("sh");
        let all = "sh -c read x ".len() as u32 + 70_001 + 1;
        let end = std::time::Instant::now() + std::time::Duration::from_secs(120);
        let found = loop {
            assert!(std::time::Instant::now() < end, "no shell yet");
            // Before its exec it is what we are.
            match read_cmdline(sleeper.id(), 4099) {
                Ok((bytes, found)) if bytes.starts_with(b"sh\0") => break (bytes.len(), found),
                _ => std::thread::sleep(std::time::Duration::from_millis(1)),
            }
        };
        let few = read_cmdline(sleeper.id(), 1 << 20).map(|(bytes, all)| (bytes.len() as u32, all));
        drop(sleeper.stdin.take());
        sleeper.wait().expect("sh");
        assert_eq!(found, (4099, all));
        assert_eq!(few.expect("its argv"), (all, all));
    }

    #[test]
    fn a_name_may_look_like_the_end_of_a_name() {
        let fields: Vec<String> = (3..=52).map(|n: u32| n.to_string()).collect();
        let stat = format!("7 (a) R 1 (b) {}", fields.join(" "));
        assert_eq!(args_bytes(&stat), Some(1));
        assert_eq!(args_bytes("7 (a) R 1"), None);
    }
}
