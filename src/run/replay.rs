//! Drives the pipeline through recordings, one after the other.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use super::{pipeline, say_nearest, status, totals};
use crate::cgroup::Mount;
use crate::config::{KernelFilter, View};
use crate::files::Files;
use crate::filter::Selection;
use crate::output::say;
use crate::progress::Progress;
use crate::report::Report;
use crate::source::replay::Replay;
use crate::source::{Batch, Source, Unusable};
use crate::spelled;
use crate::text::printable;
use crate::unmet::Unmet;

/// Reports what the recordings hold; returns the exit status.
///
/// # Errors
/// One of them cannot be used, or an output cannot be opened.
pub(super) fn replay(filter: &KernelFilter, paths: &[PathBuf], view: &View) -> Result<u8> {
    // All are opened before anything is written.
    let sources: Vec<Replay> = paths
        .iter()
        .map(|path| Replay::open(path))
        .collect::<Result<_>>()?;
    let mut files = Files::new(view.uses_stdout());
    paths.iter().try_for_each(|path| files.reads(path))?;
    for (source, path) in sources.iter().zip(paths) {
        check(source, path, filter, view)?;
    }
    let mut totals = totals(view);
    let mut report = Report::open(view, &mut files)?;
    files.empty()?;
    report.begin();
    let (mut mount, mut unmet) = (Mount::default(), Unmet::default());
    let mut batch = Batch::default();
    let mut progress = Progress::begin(!view.quiet && view.output.is_none());
    for (mut source, path) in sources.into_iter().zip(paths) {
        mount = source.about().mount();
        let chooses = !filter.takes_all();
        let selection = chooses.then(|| Selection::new(&as_recorded(filter, &mount), &mount));
        let mut pipeline = pipeline(source.about(), selection, view);
        let shown = printable(path.as_os_str().as_bytes());
        while !report.unread() && source.next(&mut batch)? {
            progress.show(&shown, || source.position());
            let fed = pipeline.feed(&mut batch, &mut totals, report.rows());
            if fed.is_err() {
                progress.clear();
            }
            report.check_rows(fed);
        }
        progress.clear();
        let ending = source.finish(&mut batch);
        let fed = pipeline.feed(&mut batch, &mut totals, report.rows());
        report.check_rows(fed);
        if let Some(Unusable { why, bytes, cut }) = source.unusable() {
            say(format_args!(
                "{}: {why}; {bytes} bytes of it are not used",
                path.display()
            ));
            totals.unusable_bytes += bytes;
            totals.cut_recordings += u64::from(cut);
        }
        let name = (paths.len() > 1).then(|| path.display().to_string());
        report.running(&mut pipeline, &ending, &mut totals, name.as_deref());
        pipeline.close_cgroups(&mut unmet);
        pipeline.close(&ending, &mut totals);
    }
    if !report.closed() {
        unmet.lines(filter.cgroup_exact).for_each(say);
    }
    if totals.is_empty() && !report.closed() {
        let filter = as_recorded(filter, &mount);
        say_nearest(
            "nothing matched",
            &filter,
            &totals,
            &totals.left_out,
            &mount,
        );
    }
    report.finish(&totals);
    Ok(status(&report, &totals, view, None))
}

/// Whether a recording holds what is asked for.
fn check(source: &Replay, path: &Path, filter: &KernelFilter, view: &View) -> Result<()> {
    let about = source.about();
    check_cgroups(filter, &about.mount(), path)?;
    if view.anatomy && !about.forks {
        bail!(
            "{} does not hold what runtimes fork: record it with --anatomy",
            path.display()
        );
    }
    if view.tree && !view.anatomy && !about.all_forks {
        say(format_args!(
            "{} was not recorded with --tree: what a child that ran no program itself \
             started stands at the top",
            printable(path.as_os_str().as_bytes())
        ));
    }
    Ok(())
}

/// The filter with the cgroups that are meant, of a recording that knows those of this mount.
fn as_recorded(filter: &KernelFilter, mount: &Mount) -> KernelFilter {
    let mut filter = filter.clone();
    for cgroup in &mut filter.cgroups {
        *cgroup = spelled::as_recorded(cgroup, mount.point());
    }
    filter
}

/// A recording knows the cgroups of one hierarchy.
fn check_cgroups(filter: &KernelFilter, mount: &Mount, path: &Path) -> Result<()> {
    let mount = mount.point();
    for cgroup in &filter.cgroups {
        let meant = spelled::as_recorded(cgroup, mount);
        if meant.starts_with("/sys/fs/cgroup") && !meant.starts_with(mount) {
            bail!(
                "{} knows the cgroups below {mount} alone, not {}",
                path.display(),
                cgroup.display()
            );
        }
    }
    Ok(())
}
