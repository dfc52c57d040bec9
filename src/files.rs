//! The files that a run writes. All are opened and told apart before the first of
//! them is emptied: a mistake must not cost yesterday's file. What holds argv is
//! private to whoever ran execlat.

use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{
    FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use rustix::fs::{FileType, OFlags, fcntl_setfl, fstat};

use crate::output::say;

/// A regular file, whatever it is called.
type Inode = (u64, u64);

/// What is in use already, so that no file is used for two things.
#[derive(Debug, Default)]
pub struct Files {
    standard: Vec<Inode>,
    named: Vec<Inode>,
    opened: Vec<(PathBuf, File)>,
}

impl Files {
    /// Standard error is in use, where it goes to a file; standard output may be.
    pub fn new(uses_stdout: bool) -> Files {
        let stdout = regular(io::stdout()).filter(|_| uses_stdout);
        let standard = [stdout, regular(io::stderr())];
        Files {
            standard: standard.into_iter().flatten().collect(),
            ..Files::default()
        }
    }

    /// A file that is read is in use, too.
    ///
    /// # Errors
    /// It is named twice.
    pub fn reads(&mut self, path: &Path) -> Result<()> {
        let meta = fs::metadata(path).with_context(|| cannot_write(path))?;
        self.take(path, inode(&meta))
    }

    /// Opens a file, or makes one for its owner alone. What it holds stays, for now.
    ///
    /// # Errors
    /// It cannot be written, or is in use.
    pub fn open(&mut self, path: &Path) -> Result<File> {
        let open = || {
            let mut options = OpenOptions::new();
            options.write(true).create(true).truncate(false).mode(0o600);
            let is_pipe = fs::metadata(path).is_ok_and(|meta| meta.file_type().is_fifo());
            let file = match is_pipe {
                true => open_pipe(path)?,
                false => options.open(path)?,
            };
            let meta = file.metadata()?;
            io::Result::Ok((file, inode(&meta)))
        };
        let (file, inode) = open().with_context(|| cannot_write(path))?;
        self.take(path, inode)?;
        let again = file.try_clone().with_context(|| cannot_write(path))?;
        self.opened.push((path.to_owned(), again));
        Ok(file)
    }

    /// Empties all that were opened and are regular files.
    ///
    /// # Errors
    /// It cannot be done.
    pub fn empty(self) -> Result<()> {
        for (path, file) in self.opened {
            let emptied = file.metadata().and_then(|meta| match meta.is_file() {
                true => file.set_len(0),
                false => Ok(()),
            });
            emptied.with_context(|| cannot_write(&path))?;
        }
        Ok(())
    }

    fn take(&mut self, path: &Path, inode: Option<Inode>) -> Result<()> {
        let Some(inode) = inode else {
            return Ok(());
        };
        let path = path.display();
        if self.standard.contains(&inode) {
            bail!("{path} is where standard output or error goes: give each its own file");
        }
        if self.named.contains(&inode) {
            bail!("{path} is named for two things: give each its own file");
        }
        self.named.push(inode);
        Ok(())
    }
}

/// To open a named pipe is to wait for its reader: whoever runs this is to know.
fn open_pipe(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let now = options.write(true).custom_flags(libc::O_NONBLOCK);
    match now.open(path) {
        // It is not opened once more: whoever reads it would meet its end in between.
        Ok(file) => {
            fcntl_setfl(&file, OFlags::empty())?;
            Ok(file)
        }
        Err(error) if error.raw_os_error() == Some(libc::ENXIO) => {
            let name = path.display();
            say(format_args!(
                "waiting for a reader of the named pipe {name}"
            ));
            OpenOptions::new().write(true).open(path)
        }
        Err(error) => Err(error),
    }
}

/// Takes others' access to what is a regular file.
///
/// # Errors
/// Its mode cannot be changed.
pub fn make_private(file: &File, path: &Path) -> Result<()> {
    let private = || {
        if file.metadata()?.is_file() {
            file.set_permissions(Permissions::from_mode(0o600))?;
        }
        io::Result::Ok(())
    };
    private().with_context(|| format!("cannot make {} private", path.display()))
}

/// Whether a stream goes to a regular file.
pub fn is_file(stream: impl AsFd) -> bool {
    regular(stream).is_some()
}

fn regular(stream: impl AsFd) -> Option<Inode> {
    let stat = fstat(stream).ok()?;
    let is_file = FileType::from_raw_mode(stat.st_mode).is_file();
    is_file.then_some((stat.st_dev, stat.st_ino))
}

fn inode(meta: &Metadata) -> Option<Inode> {
    meta.is_file().then(|| (meta.dev(), meta.ino()))
}

fn cannot_write(path: &Path) -> String {
    format!("cannot write {}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_known_by_any_name() {
        let dir = tempfile::tempdir().expect("scratch directory");
        let path = |name: &str| dir.path().join(name);
        fs::write(path("old"), "yesterday").expect("a file");
        std::os::unix::fs::symlink("new", path("link")).expect("a link");
        let mut files = Files::default();
        let old = files.open(&path("old")).expect("once");
        files.open(&path("new")).expect("once");
        for name in ["old", "./old", "new", "link"] {
            let error = files.open(&path(name)).expect_err("in use");
            assert!(error.to_string().contains("named for two things"), "{name}");
        }
        assert!(files.reads(&path("old")).is_err());
        // A device takes anything.
        for _ in 0..2 {
            files.open(Path::new("/dev/null")).expect("always");
        }
        assert_eq!(fs::read(path("old")).expect("a file"), b"yesterday");
        files.empty().expect("emptied");
        assert_eq!(fs::read(path("old")).expect("a file"), b"");
        let mode = |name| fs::metadata(path(name)).expect("a file").mode() & 0o777;
        assert_eq!(mode("new"), 0o600);
        make_private(&old, &path("old")).expect("its mode");
        assert_eq!(mode("old"), 0o600);
    }

    #[test]
    fn what_standard_output_goes_to_is_in_use() {
        let dir = tempfile::tempdir().expect("scratch directory");
        let file = File::create(dir.path().join("rows")).expect("a file");
        let mut files = Files {
            standard: vec![regular(&file).expect("a file")],
            ..Files::default()
        };
        let error = files.open(&dir.path().join("rows")).expect_err("in use");
        assert!(error.to_string().contains("standard output"), "{error}");
    }
}
