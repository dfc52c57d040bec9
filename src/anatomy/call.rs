//! What a runtime was called for, and which `start` belongs to which `create`.

use std::collections::HashMap;

use super::Command;
use super::open::Open;
use crate::event::{Image, ProcessId};
use crate::runtime;

/// The runtimes whose processes are known to us.
const RUNTIMES: [&str; 2] = ["runc", "crun"];

/// What a runtime was called for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Call {
    pub(super) runtime: &'static str,
    pub(super) command: Command,
    pub(super) container: Option<Vec<u8>>,
    /// Where the runtime keeps its state.
    pub(super) root: Option<Vec<u8>>,
}

/// What an image is to us.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Called {
    /// A runtime that starts something.
    For(Call),
    /// runc's own re-execution in the container.
    Init,
    Other,
}

impl Called {
    pub(super) fn by(image: &Image) -> Called {
        let argv = &image.argv;
        let called = runtime::parse(argv.args(), !argv.whole(), image.comm());
        let Some(called) = called.filter(|called| RUNTIMES.contains(&called.runtime)) else {
            return Called::Other;
        };
        if called.is_init() {
            return Called::Init;
        }
        match called.command.and_then(Command::named) {
            Some(command) => Called::For(Call {
                runtime: called.runtime,
                command,
                container: called.container.map(<[u8]>::to_vec),
                root: called.root.map(<[u8]>::to_vec),
            }),
            None => Called::Other,
        }
    }
}

impl Call {
    /// The `create` that a `start` belongs to.
    fn of_create(&self) -> Call {
        Call {
            command: Command::Create,
            ..self.clone()
        }
    }

    /// Whether a program that was called so and then makes `call` is a wrapper of the
    /// runtime. It may bear another runtime's name, and say where the state is.
    pub(super) fn wraps(&self, call: &Call) -> bool {
        self.command == call.command && self.container == call.container
    }

    /// Whether it is the `start` of what `create` was called for.
    pub(super) fn starts(&self, create: &Call) -> bool {
        self.command == Command::Start && create.wraps(&self.of_create())
    }
}

/// Whether the same runtime executes itself again.
pub(super) fn same(open: &Open, id: ProcessId, called: &Called) -> bool {
    let Called::For(call) = called else {
        return false;
    };
    match open.starter == Some(id) {
        true => call.command == Command::Start && call.of_create() == open.call,
        false => *call == open.call,
    }
}

/// Containers that were created, or are about to be, and wait for `start`.
#[derive(Debug, Default)]
pub(super) struct Created(HashMap<Call, u64>);

impl Created {
    /// A `create` began. Of two for one container the later one fails as a rule.
    pub(super) fn begin(&mut self, call: &Call, start: u64) {
        if call.command == Command::Create && call.container.is_some() {
            self.0.entry(call.clone()).or_insert(start);
        }
    }

    /// It has gone well.
    pub(super) fn sure(&mut self, call: &Call, start: u64) {
        if call.container.is_some() {
            self.0.insert(call.clone(), start);
        }
    }

    /// It has not, or it is over.
    pub(super) fn forget(&mut self, call: &Call, start: u64) {
        if self.0.get(call) == Some(&start) {
            self.0.remove(call);
        }
    }

    /// The `create` that a `start` is for.
    pub(super) fn of(&self, start: &Call) -> Option<u64> {
        self.0.get(&start.of_create()).copied()
    }
}
