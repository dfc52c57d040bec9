//! The files that a run writes. All are opened and told apart before the first of
//! them is emptied: a mistake must not cost yesterday's file. What holds argv is
//! private to whoever ran execlat.

mod way;

use std::fs::{self, File, Metadata, Permissions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use rustix::fs::{FileType, fstat};

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
        let found = way::open(path).with_context(|| cannot_write(path))?;
        self.keep(path, found.file)
    }

    /// The same of what nobody else may read: others' access to a regular file is taken.
    ///
    /// # Errors
    /// Also where it belongs to somebody else, who can always give himself access.
    pub fn open_private(&mut self, path: &Path) -> Result<File> {
        let found = way::open(path).with_context(|| cannot_write(path))?;
        if let Some(owner) = found.stranger {
            bail!(
                "{}: it belongs to user {owner}, who could read every command line in it: \
                 remove it, or name another file",
                cannot_write(path)
            );
        }
        let file = self.keep(path, found.file)?;
        make_private(&file, path)?;
        Ok(file)
    }

    fn keep(&mut self, path: &Path, file: File) -> Result<File> {
        let kept = || io::Result::Ok((inode(&file.metadata()?), file.try_clone()?));
        let (inode, again) = kept().with_context(|| cannot_write(path))?;
        self.take(path, inode)?;
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

/// Takes others' access to what is a regular file.
fn make_private(file: &File, path: &Path) -> Result<()> {
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
        files.open(&path("old")).expect("once");
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
    }

    #[test]
    fn what_is_private_is_nobody_elses() {
        let dir = tempfile::tempdir().expect("scratch directory");
        let path = dir.path().join("old");
        fs::write(&path, "yesterday").expect("a file");
        let mut files = Files::default();
        let old = files.open_private(&path).expect("ours");
        assert_eq!(old.metadata().expect("a file").mode() & 0o777, 0o600);
        if !rustix::process::geteuid().is_root() {
            return;
        }
        fs::set_permissions(&path, Permissions::from_mode(0o644)).expect("mode");
        std::os::unix::fs::chown(&path, Some(4711), None).expect("given away");
        let error = Files::default().open_private(&path).expect_err("theirs");
        let said = error.to_string();
        assert!(
            said.contains("it belongs to user 4711, who could read"),
            "{said}"
        );
        assert_eq!(fs::metadata(&path).expect("a file").mode() & 0o777, 0o644);
        // Rows may be meant for him.
        Files::default().open(&path).expect("opened");
        assert_eq!(fs::read(&path).expect("kept"), b"yesterday");
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
