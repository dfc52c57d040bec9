//! The way to a file that is to be written. A directory where everyone may write, as
//! `/tmp`, may hold traps under the name that we were given: a link to a file of ours,
//! a fifo or a file whose owner reads what is written. The kernel knows the rules
//! (`fs.protected_symlinks` and its like), but they may be off, so they are ours, too.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::Path;

use anyhow::{Result, bail};
use rustix::fs::{
    CWD, FileType, Mode, OFlags, PROC_SUPER_MAGIC, Stat, fcntl_setfl, fstat, fstatfs, openat,
    readlinkat,
};
use rustix::io::Errno;
use rustix::process::geteuid;

use crate::output::say;
use crate::text::printable;

/// As many links as the kernel follows.
const LINKS_MAX: u32 = 40;
/// A file that comes and goes meanwhile is not waited for.
const TRIES: u32 = 16;

const OPEN_TO_ALL: &str = "in a directory where everyone may write: name another file";

/// A file at the end of its way.
#[derive(Debug)]
pub struct Found {
    /// Open for writing.
    pub file: File,
    /// Its owner, if that is neither we nor root, and it was there before.
    pub stranger: Option<u32>,
}

/// Opens a file for writing, or makes one for its owner alone. What it holds stays.
///
/// # Errors
/// It cannot be opened, or somebody may have set it as a trap.
pub fn open(path: &Path) -> Result<Found> {
    let mut left = Left::default();
    let mut dir = left.begin(path.as_os_str())?;
    loop {
        let Some(name) = left.next() else {
            return Err(Errno::NOENT.into());
        };
        if !left.is_empty()
            && let Some(below) = directory(&dir, &name)?
        {
            dir = below;
            continue;
        }
        let Some(there) = look(&dir, &name)? else {
            if !left.is_empty() {
                return Err(Errno::NOENT.into());
            }
            match make(&dir, &name) {
                Err(Errno::EXIST) => left.again(name)?,
                made => return found(made?, None),
            }
            continue;
        };
        refuse_traps(&fstat(&dir)?, &there, &name)?;
        if !FileType::from_raw_mode(there.st_mode).is_symlink() {
            if !left.is_empty() {
                return Err(Errno::NOTDIR.into());
            }
            return found(open_same(&dir, &name, &there)?, Some(&there));
        }
        // What a process has open goes by no name, and nobody else has put it there.
        if fstatfs(&dir)?.f_type == PROC_SUPER_MAGIC {
            if left.is_empty() {
                return found(openat(&dir, &name, WRITE, Mode::empty())?, None);
            }
            dir = openat(&dir, &name, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())?;
            continue;
        }
        let target = readlinkat(&dir, &name, Vec::new())?;
        if let Some(root) = left.follow(OsStr::from_bytes(target.as_bytes()))? {
            dir = root;
        }
    }
}

const WRITE: OFlags = OFlags::WRONLY.union(OFlags::CLOEXEC);

/// Names that are still to be looked up, the next one last.
#[derive(Debug, Default)]
struct Left {
    names: Vec<OsString>,
    links: u32,
    tries: u32,
}

impl Left {
    /// Adds a path, and returns where it begins.
    fn begin(&mut self, path: &OsStr) -> Result<OwnedFd> {
        match self.push(path)? {
            Some(root) => Ok(root),
            None => Ok(openat(
                CWD,
                ".",
                OFlags::PATH | OFlags::CLOEXEC,
                Mode::empty(),
            )?),
        }
    }

    /// Adds where a link leads; returns the root if that is absolute.
    fn follow(&mut self, target: &OsStr) -> Result<Option<OwnedFd>> {
        self.links += 1;
        if self.links > LINKS_MAX {
            return Err(Errno::LOOP.into());
        }
        self.push(target)
    }

    fn push(&mut self, path: &OsStr) -> Result<Option<OwnedFd>> {
        let bytes = path.as_bytes();
        if bytes.is_empty() {
            return Err(Errno::NOENT.into());
        }
        if bytes.ends_with(b"/") {
            self.names.push(".".into());
        }
        let names = bytes.split(|&b| b == b'/').filter(|name| !name.is_empty());
        let names = names.map(|name| OsString::from_vec(name.to_vec()));
        self.names.extend(names.rev());
        let root = || openat(CWD, "/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
        Ok(bytes.starts_with(b"/").then(root).transpose()?)
    }

    fn next(&mut self) -> Option<OsString> {
        self.names.pop()
    }

    fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// To be looked up once more.
    fn again(&mut self, name: OsString) -> Result<()> {
        self.tries += 1;
        if self.tries > TRIES {
            bail!("it is made and removed again and again: name another file");
        }
        self.names.push(name);
        Ok(())
    }
}

/// The directory of that name; None if it is something else, or not there.
fn directory(dir: &OwnedFd, name: &OsStr) -> Result<Option<OwnedFd>> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match openat(dir, name, flags, Mode::empty()) {
        Ok(below) => Ok(Some(below)),
        Err(Errno::NOTDIR | Errno::LOOP | Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn look(dir: &OwnedFd, name: &OsStr) -> Result<Option<Stat>> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match openat(dir, name, flags, Mode::empty()) {
        Ok(there) => Ok(Some(fstat(there)?)),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn make(dir: &OwnedFd, name: &OsStr) -> Result<OwnedFd, Errno> {
    let flags = WRITE | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
    openat(dir, name, flags, Mode::RUSR | Mode::WUSR)
}

/// Opens what was looked at, and nothing that has taken its place.
fn open_same(dir: &OwnedFd, name: &OsStr, there: &Stat) -> Result<OwnedFd> {
    let flags = WRITE | OFlags::NOFOLLOW;
    let file = match FileType::from_raw_mode(there.st_mode) {
        FileType::Fifo => open_fifo(dir, name, flags)?,
        _ => openat(dir, name, flags, Mode::empty())?,
    };
    let now = fstat(&file)?;
    if (now.st_dev, now.st_ino) != (there.st_dev, there.st_ino) {
        bail!("another file has taken its place meanwhile");
    }
    Ok(file)
}

/// To open a named pipe is to wait for its reader: whoever runs this is to know.
fn open_fifo(dir: &OwnedFd, name: &OsStr, flags: OFlags) -> Result<OwnedFd> {
    match openat(dir, name, flags | OFlags::NONBLOCK, Mode::empty()) {
        // It is not opened once more: whoever reads it would meet its end in between.
        Ok(file) => {
            fcntl_setfl(&file, OFlags::empty())?;
            Ok(file)
        }
        Err(Errno::NXIO) => {
            let shown = printable(name.as_bytes());
            say(format_args!(
                "waiting for a reader of the named pipe {shown}"
            ));
            Ok(openat(dir, name, flags, Mode::empty())?)
        }
        Err(error) => Err(error.into()),
    }
}

fn found(file: OwnedFd, before: Option<&Stat>) -> Result<Found> {
    let owner = before.map(|there| there.st_uid);
    let stranger = owner.filter(|&uid| uid != 0 && uid != geteuid().as_raw());
    let file = File::from(file);
    Ok(Found { file, stranger })
}

fn refuse_traps(dir: &Stat, there: &Stat, name: &OsStr) -> Result<()> {
    let sticky_for_all = Mode::SVTX | Mode::WOTH;
    if !Mode::from_raw_mode(dir.st_mode).contains(sticky_for_all) {
        return Ok(());
    }
    let owner = there.st_uid;
    let kind = FileType::from_raw_mode(there.st_mode);
    if owner != geteuid().as_raw() && owner != dir.st_uid && !kind.is_dir() {
        let what = match kind {
            FileType::Symlink => "link",
            FileType::Fifo => "fifo",
            _ => "file",
        };
        bail!("{name:?} is a {what} of user {owner}, {OPEN_TO_ALL}");
    }
    if kind.is_file() && there.st_nlink > 1 {
        bail!("{name:?} has another name, which anyone may have given it, {OPEN_TO_ALL}");
    }
    Ok(())
}

#[cfg(test)]
mod tests;
