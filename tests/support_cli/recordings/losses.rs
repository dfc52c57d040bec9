//! Events and records that were lost, and a recording that was cut off.

use execlat::loss::SourceLosses;

use super::{MS, SECOND};
use crate::support_cli::story::{Story, code, image};

fn source_losses() -> SourceLosses {
    SourceLosses {
        buffer_full: vec![(0, 2), (1, 5)],
        table_full: 11,
        skipped: vec![("exec".into(), 13), ("exit".into(), 17)],
        stale: 19,
        cgroup_unknown: 23,
        cgroup_names: 29,
        malformed: 31,
        places_unread: 37,
        names_unread: 41,
        argv_unread: 43,
        argv_unknown: 53,
        made_good: 47,
    }
}

/// Everything that can be lost, at once, but bytes of the file.
pub fn lost() -> Vec<u8> {
    let mut s = Story::new();
    unpaired(&mut s);
    s.at(9 * SECOND).raw(&[0xff; 40]).round();
    s.finish_with(source_losses())
}

/// An end without a start, a start without an end, and a record that is late.
fn unpaired(s: &mut Story) {
    s.at(SECOND).run(41, &image("was seen"), 5 * MS, code(0));
    no_start(s);
    no_end(s);
    late(s);
    s.at(8 * SECOND).look(&[]);
}

fn no_start(s: &mut Story) {
    s.at(2 * SECOND).lose(42).exit(42, code(1));
    s.at(4 * SECOND).round();
}

fn no_end(s: &mut Story) {
    s.at(3 * SECOND).exec(43, &image("ended unseen"));
    for pid in [49, 45, 48, 46, 47] {
        s.exec(pid, &image("together with others"));
    }
    s.at(4 * SECOND).look(&[45]).exit(45, code(0));
}

/// Its exec comes two seconds after its exit.
fn late(s: &mut Story) {
    let mut exec = Story::new();
    exec.at(4 * SECOND).exec(44, &image("came late"));
    s.at(4 * SECOND).lose(44);
    s.at(4 * SECOND + 7 * MS).exec(44, &image("came in time"));
    s.at(6 * SECOND).round();
    s.raw(&exec.records()).round();
    s.at(7 * SECOND).exit(44, code(0));
}

type Tell = fn(&mut Story);

/// A recording for each kind of loss alone.
pub fn losses() -> Vec<(&'static str, Vec<u8>)> {
    let all = source_losses();
    let none = SourceLosses::default;
    #[rustfmt::skip]
    let of_source = [
        ("lost-buffer.xl", SourceLosses { buffer_full: all.buffer_full, ..none() }),
        ("lost-table.xl", SourceLosses { table_full: all.table_full, ..none() }),
        ("lost-skipped.xl", SourceLosses { skipped: all.skipped, ..none() }),
        ("lost-stale.xl", SourceLosses { stale: all.stale, ..none() }),
        ("lost-cgroup.xl", SourceLosses { cgroup_unknown: all.cgroup_unknown, ..none() }),
        ("lost-names.xl", SourceLosses { cgroup_names: all.cgroup_names, ..none() }),
        ("lost-malformed.xl", SourceLosses { malformed: all.malformed, ..none() }),
        ("lost-places.xl", SourceLosses { places_unread: all.places_unread, ..none() }),
        ("lost-container-names.xl", SourceLosses { names_unread: all.names_unread, ..none() }),
        ("lost-argv.xl", SourceLosses { argv_unread: all.argv_unread, argv_unknown: all.argv_unknown, ..none() }),
    ];
    let of_records: [(&str, Tell); 4] = [
        ("lost-start.xl", no_start),
        ("lost-end.xl", no_end),
        ("lost-late.xl", late),
        ("lost-decode.xl", |s| {
            s.at(SECOND).raw(&[0xff; 40]);
        }),
    ];
    let mut files: Vec<_> = of_source
        .into_iter()
        .map(|(name, losses)| (name, ran(|_| ()).finish_with(losses)))
        .collect();
    files.extend(
        of_records
            .into_iter()
            .map(|(name, tell)| (name, ran(tell).finish())),
    );
    files
}

/// One execution that is fine, and then something.
fn ran(tell: impl FnOnce(&mut Story)) -> Story {
    let mut s = Story::new();
    s.at(SECOND / 2)
        .run(41, &image("was seen"), 5 * MS, code(0))
        .round();
    tell(&mut s);
    s
}

/// Cut off in the middle of its second round.
pub fn cut() -> Vec<u8> {
    let mut s = Story::new();
    s.at(SECOND)
        .run(51, &image("in the first round"), 5 * MS, code(0));
    s.exec(52, &image("ended in the second"))
        .at(2 * SECOND)
        .round();
    s.exit(52, code(0));
    s.at(3 * SECOND).round();
    let mut bytes = s.bytes();
    bytes.truncate(bytes.len() - 17);
    bytes
}
