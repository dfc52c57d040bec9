use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, lchown, symlink};
use std::path::PathBuf;

use rustix::fs::mknodat;

use super::*;

const OTHER: u32 = 4711;

/// A directory where everyone may write, and one of ours.
struct Yard(tempfile::TempDir);

impl Yard {
    fn new() -> Yard {
        let dir = tempfile::tempdir().expect("scratch directory");
        for (name, mode) in [("all", 0o1777), ("ours", 0o700)] {
            let path = dir.path().join(name);
            fs::create_dir(&path).expect("made");
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("mode");
        }
        Yard(dir)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn file(&self, name: &str) {
        fs::write(self.path(name), "yesterday").expect("a file");
    }

    fn opens(&self, name: &str) -> Result<Found> {
        open(&self.path(name))
    }

    fn refused(&self, name: &str, why: &str) {
        let error = self.opens(name).expect_err(name);
        let said = format!("{error:#}");
        assert!(said.contains(why) && !said.contains('\n'), "{name}: {said}");
    }
}

fn root() -> bool {
    geteuid().is_root()
}

#[test]
fn any_way_leads_to_the_same_file() {
    let yard = Yard::new();
    yard.file("ours/file");
    symlink("../ours", yard.path("all/near")).expect("a link");
    symlink(yard.path("ours/file"), yard.path("ours/far")).expect("a link");
    symlink("new", yard.path("ours/dangling")).expect("a link");
    let inode = |found: &Found| found.file.metadata().expect("a file").ino();
    let wanted = inode(&yard.opens("ours/file").expect("a file"));
    for name in [
        "ours//file",
        "all/../ours/./file",
        "all/near/file",
        "ours/far",
    ] {
        assert_eq!(inode(&yard.opens(name).expect(name)), wanted, "{name}");
    }
    let made = yard.opens("ours/dangling").expect("made");
    let meta = fs::metadata(yard.path("ours/new")).expect("where the link leads");
    assert_eq!((inode(&made), meta.mode() & 0o777), (meta.ino(), 0o600));
    assert_eq!(
        fs::read(yard.path("ours/file")).expect("kept"),
        b"yesterday"
    );
}

#[test]
fn what_cannot_be_is_an_error_and_no_loop() {
    let yard = Yard::new();
    yard.file("ours/file");
    symlink("loop", yard.path("ours/loop")).expect("a link");
    for (name, error) in [
        ("ours", Errno::ISDIR),
        ("ours/", Errno::ISDIR),
        ("ours/..", Errno::ISDIR),
        ("ours/file/", Errno::NOTDIR),
        ("ours/file/x", Errno::NOTDIR),
        ("ours/none/x", Errno::NOENT),
        ("ours/new/", Errno::NOENT),
        ("ours/loop", Errno::LOOP),
        ("ours/loop/x", Errno::LOOP),
    ] {
        let found = yard.opens(name).expect_err(name);
        assert_eq!(found.downcast_ref::<Errno>(), Some(&error), "{name}");
    }
    assert!(open(Path::new("")).is_err());
    assert!(!yard.path("ours/new").exists());
}

/// As `/dev/stdout` leads to one.
#[test]
fn what_is_open_already_is_found_by_its_number() {
    use std::os::fd::AsRawFd as _;
    let (mut reader, writer) = std::io::pipe().expect("a pipe");
    let number = writer.as_raw_fd();
    for path in [
        format!("/dev/fd/{number}"),
        format!("/proc/self/fd/{number}"),
    ] {
        let mut found = open(Path::new(&path)).expect("a pipe");
        assert_eq!(found.stranger, None);
        found.file.write_all(b"x").expect("room");
        let mut byte = [0];
        std::io::Read::read_exact(&mut reader, &mut byte).expect("a byte");
    }
    open(Path::new("/dev/null")).expect("a device");
}

#[test]
fn traps_of_others_in_a_directory_for_all_are_refused() {
    if !root() {
        return;
    }
    let yard = Yard::new();
    yard.file("ours/secret");
    yard.file("all/file");
    chown(yard.path("all/file"), Some(OTHER), None).expect("given away");
    symlink("../ours/secret", yard.path("all/link")).expect("a link");
    symlink("../ours", yard.path("all/dir")).expect("a link");
    for link in ["all/link", "all/dir"] {
        lchown(yard.path(link), Some(OTHER), None).expect("given away");
    }
    // A link of ours may lead to theirs.
    symlink("../all/link", yard.path("ours/link")).expect("a link");
    mknodat(CWD, yard.path("all/fifo"), FileType::Fifo, Mode::RWXU, 0).expect("a fifo");
    chown(yard.path("all/fifo"), Some(OTHER), None).expect("given away");
    fs::hard_link(yard.path("ours/secret"), yard.path("all/hard")).expect("a link");
    for (name, why) in [
        (
            "all/link",
            "\"link\" is a link of user 4711, in a directory",
        ),
        (
            "all/dir/new",
            "\"dir\" is a link of user 4711, in a directory",
        ),
        (
            "ours/link",
            "\"link\" is a link of user 4711, in a directory",
        ),
        (
            "all/fifo",
            "\"fifo\" is a fifo of user 4711, in a directory",
        ),
        (
            "all/file",
            "\"file\" is a file of user 4711, in a directory",
        ),
        ("all/hard", "\"hard\" has another name, which anyone"),
    ] {
        yard.refused(name, why);
    }
    assert!(!yard.path("ours/new").exists());
}

/// Those of whom the directory belongs to, and ours, are none; nor is anything elsewhere.
#[test]
fn what_is_no_trap_is_opened() {
    if !root() {
        return;
    }
    let yard = Yard::new();
    yard.file("ours/file");
    yard.file("all/own");
    symlink("../ours/file", yard.path("all/ours")).expect("a link");
    symlink("../ours/file", yard.path("all/host")).expect("a link");
    symlink("file", yard.path("ours/their")).expect("a link");
    for link in ["all/host", "ours/their"] {
        lchown(yard.path(link), Some(OTHER), None).expect("given away");
    }
    chown(yard.path("all"), Some(OTHER), None).expect("given away");
    fs::hard_link(yard.path("ours/file"), yard.path("ours/hard")).expect("a link");
    for name in ["all/own", "all/ours", "ours/their", "ours/hard"] {
        assert_eq!(yard.opens(name).expect(name).stranger, None);
    }
    yard.opens("all/host")
        .expect("a link of whom the directory belongs to");
    fs::create_dir(yard.path("all/theirs")).expect("made");
    chown(yard.path("all/theirs"), Some(OTHER), None).expect("given away");
    yard.opens("all/theirs/new")
        .expect("a directory is no trap");
}

#[test]
fn whose_it_is_is_told() {
    if !root() {
        return;
    }
    let yard = Yard::new();
    yard.file("ours/file");
    chown(yard.path("ours/file"), Some(OTHER), None).expect("given away");
    let found = yard.opens("ours/file").expect("opened");
    assert_eq!(found.stranger, Some(OTHER));
    assert_eq!(yard.opens("ours/new").expect("made").stranger, None);
}
