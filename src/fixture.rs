//! What tests of many modules start from; each sets only the fields that it is about.

use crate::event::{Argv, End, Execution, Image, ProcessId, WaitStatus};
use crate::text::base_name;

/// A whole argv, from the bytes that the kernel has: a NUL behind each argument.
pub(crate) fn argv(bytes: impl AsRef<[u8]>) -> Argv {
    let bytes = bytes.as_ref();
    Argv {
        bytes: bytes.to_vec(),
        true_bytes: bytes.len() as u32,
        fault: false,
    }
}

/// A program with this [`argv`], named after its first argument as the kernel names it.
pub(crate) fn image(bytes: impl AsRef<[u8]>) -> Image {
    let argv = argv(bytes);
    let first = argv.first().unwrap_or_default();
    let mut comm = [0; 16];
    for (to, from) in comm[..15].iter_mut().zip(base_name(first)) {
        *to = *from;
    }
    Image {
        comm,
        argv,
        ..Image::default()
    }
}

/// One of a process that exited with 0.
pub(crate) fn execution(image: Image) -> Execution {
    Execution {
        process: ProcessId {
            tgid: 7,
            start_ns: 1,
        },
        image: Box::new(image),
        start_ns: 10,
        start_known: true,
        end_ns: 20,
        end: End::Exit(WaitStatus(0)),
        reexecs: 0,
        used: None,
        maxrss_pages: None,
        place: None,
        part_of: None,
        below: None,
        container: None,
    }
}
