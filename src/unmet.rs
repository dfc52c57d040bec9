//! Cgroups that a report is asked for and that no recording knows: whoever mistypes one is to
//! see that, and what there is instead. Pure.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use crate::filter::Selection;
use crate::text::printable;

/// Cgroups that are named instead.
const NAMED: usize = 3;

/// What was asked for, as far as no recording had it.
#[derive(Debug, Default)]
pub struct Unmet {
    asked: Vec<Asked>,
}

#[derive(Debug, Default)]
struct Asked {
    path: String,
    is_met: bool,
    /// What is recorded, the likest first: by how much of the path is the same.
    nearest: BTreeSet<(Reverse<usize>, String)>,
}

impl Unmet {
    /// Adds a recording: the paths of cgroups that it knows. All are asked for the same.
    pub fn add<'a>(&mut self, selection: &Selection, recorded: impl Iterator<Item = &'a str>) {
        let count = selection.cgroups().len();
        self.asked.resize_with(count, Asked::default);
        for (asked, path) in self.asked.iter_mut().zip(selection.cgroups()) {
            path.clone_into(&mut asked.path);
        }
        for path in recorded {
            for asked in self.asked.iter_mut().filter(|asked| !asked.is_met) {
                asked.look_at(path, selection);
            }
        }
    }

    /// A line for each that was not met.
    pub fn lines(&self, exact: bool) -> impl Iterator<Item = String> {
        let unmet = self.asked.iter().filter(|asked| !asked.is_met);
        unmet.map(move |asked| asked.line(exact))
    }
}

impl Asked {
    fn look_at(&mut self, path: &str, selection: &Selection) {
        if selection.is_in(path, &self.path) {
            self.is_met = true;
            return;
        }
        let both = path.bytes().zip(self.path.bytes());
        let alike = Reverse(both.take_while(|(a, b)| a == b).count());
        let last = self.nearest.last();
        let is_near = self.nearest.len() < NAMED
            || last.is_some_and(|(like, known)| (alike, path) < (*like, known.as_str()));
        if is_near && self.nearest.insert((alike, path.to_owned())) && self.nearest.len() > NAMED {
            self.nearest.pop_last();
        }
    }

    fn line(&self, exact: bool) -> String {
        let shown = |path: &str| printable(path.as_bytes());
        let or_below = if exact { "" } else { " or below it" };
        let mut line = format!("no recorded cgroup is {}{or_below}", shown(&self.path));
        let likest = self.nearest.first().map(|(alike, _)| *alike);
        let nearest = self
            .nearest
            .iter()
            .filter(|(alike, _)| Some(*alike) == likest);
        let nearest: Vec<String> = nearest.map(|(_, path)| shown(path)).collect();
        if !nearest.is_empty() {
            line += "; the nearest: ";
            line += &nearest.join(", ");
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::Mount;
    use crate::config::KernelFilter;

    fn lines(asked: &[&str], exact: bool, recordings: &[&[&str]]) -> Vec<String> {
        let filter = KernelFilter {
            cgroups: asked.iter().map(Into::into).collect(),
            cgroup_exact: exact,
            ..KernelFilter::default()
        };
        let selection = Selection::new(&filter, &Mount::new("/cg", "/"));
        let mut unmet = Unmet::default();
        for recorded in recordings {
            unmet.add(&selection, recorded.iter().copied());
        }
        unmet.lines(exact).collect()
    }

    #[test]
    fn what_is_recorded_instead_is_named_the_likest_first() {
        let recorded = ["/a", "/garden/web", "/gate", "/user", "/garden/\x1b"];
        assert_eq!(
            lines(&["/gardn", "/cg/garden"], false, &[&recorded]),
            [
                "no recorded cgroup is /gardn or below it; the nearest: /garden/\\x1b, \
                 /garden/web"
            ]
        );
        assert_eq!(
            lines(&["/garden"], true, &[&recorded[..1]]),
            ["no recorded cgroup is /garden; the nearest: /a"]
        );
        assert_eq!(
            lines(&["/x"], false, &[&[]]),
            ["no recorded cgroup is /x or below it"]
        );
    }

    #[test]
    fn one_recording_that_has_it_is_enough() {
        for recordings in [[&["/a/b"][..], &["/c"]], [&["/c"], &["/a/b"]]] {
            assert_eq!(lines(&["/a"], false, &recordings), [""; 0]);
        }
    }
}
