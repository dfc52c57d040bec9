//! Counts what is left out: it says why nothing matches, where nothing does, and what could
//! not be decided.

use super::outside::runtime_of;
use super::{Pipeline, Totals};
use crate::container_cgroups::Answer;
use crate::event::Image;
use crate::filter::Miss;
use crate::nearest::{About, Kind};
use crate::pair::Subject;
use crate::text::base_name;

impl Pipeline {
    /// Counts an execution that is left out.
    pub(super) fn count_left_out(&self, subject: Subject<'_>, totals: &mut Totals) {
        let runtime = || runtime_of(subject.image);
        match self.misses(subject) {
            Some(Miss::Scope) => {}
            Some(Miss::Uid) => totals.left_out.by_uid += 1,
            Some(Miss::Name) => totals.left_out.add_name(runtime()),
            // The kernel saw it inside of what was asked for then.
            None if self.is_cut_off(subject.image) => totals.summary.undecided += 1,
            None if subject.part_of.is_some() => self.count_started(subject, totals),
            None if runtime().is_none() => totals.left_out.by_cgroup += 1,
            None => self.count_elsewhere(subject, totals),
        }
    }

    /// Of what a runtime started: by that one, where it counts.
    fn count_started(&self, subject: Subject<'_>, totals: &mut Totals) {
        let Some(runtime) = self.runtime_that_counts(subject) else {
            return;
        };
        let undecided = match (self.open_runtime(runtime), self.is_past_undecided(runtime)) {
            // It may still turn out to be about a container inside.
            (Some(runtime), _) => !matches!(self.container_of(runtime), Answer::Found(_)),
            (None, Some(undecided)) => undecided,
            // An `init`, and nothing is known of its runtime any more.
            (None, None) => runtime_of(subject.image).is_some(),
        };
        totals.summary.undecided += u64::from(undecided && !self.is_strict());
    }

    /// A runtime's execution that came near: only its container is not one asked for.
    fn count_elsewhere(&self, subject: Subject<'_>, totals: &mut Totals) {
        let image = subject.image;
        let ran_in = self.names.cgroup(image.cgroup_id);
        let selection = self.selection.as_ref();
        let asked_now = |path| selection.is_some_and(|selection| selection.holds(path));
        let about = match self.container_of(subject) {
            Answer::Found(found) if asked_now(found.path.as_deref()) => About::Unrecorded,
            Answer::Found(_) => About::Another,
            Answer::NoContainer => About::None,
            Answer::Unbelieved | Answer::NotYet | Answer::Unknown => About::Unknown,
        };
        totals.summary.undecided += u64::from(self.is_undecided(subject));
        totals.nearest.add(Kind {
            name: program(image),
            ran_in: ran_in.map(|cgroup| cgroup.path.clone()),
            about,
        });
    }

    /// Whether nothing tells where the container is that a runtime's execution is about.
    pub(super) fn is_undecided(&self, subject: Subject<'_>) -> bool {
        let answer = self.container_of(subject);
        matches!(answer, Answer::NotYet | Answer::Unknown) && !self.is_strict()
    }

    /// Whether it ran somewhere inside of what was recorded, and nobody can tell where.
    fn is_cut_off(&self, image: &Image) -> bool {
        let cgroup = self.names.cgroup(image.cgroup_id);
        !image.elsewhere && cgroup.is_some_and(|cgroup| cgroup.truncated)
    }

    fn container_of(&self, subject: Subject<'_>) -> Answer {
        self.outside.containers.of(subject, &self.names, false)
    }
}

/// What a person calls it: the base name of its first argument, or its comm.
fn program(image: &Image) -> String {
    let first = image.argv.first().unwrap_or_default();
    let base = base_name(first);
    let name = if base.is_empty() { image.comm() } else { base };
    String::from_utf8_lossy(name).into_owned()
}
