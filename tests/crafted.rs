//! Recordings that somebody made to keep `report` busy: what it does must not grow faster
//! than they do. Before, each of these took ten minutes and more.

mod common;
mod support_cli;

use std::fs;

use support_cli::story::{Story, code, image};
use support_cli::{bench, run};

/// What waits for what decides on it is not asked about in each round.
#[test]
fn many_rounds_without_news_while_many_are_held() {
    const HELD: u32 = 3001;
    let dir = bench();
    let mut story = Story::of_cgroups(&["/sys/fs/cgroup/asked"]);
    for i in 0..HELD {
        let of = image("runc kill web").outside(77);
        story.at(u64::from(i)).run(7000 + i, &of, 1, code(0));
    }
    for i in 0..400_009 {
        story.at(u64::from(HELD) + i).round();
    }
    fs::write(dir.path().join("held.xl"), story.finish()).expect("a recording");
    let ran = run(dir.path(), &["report", "held.xl", "-Q"]);
    assert_eq!(ran.status, 0, "{ran:?}");
    let said = format!("{HELD} ");
    assert!(ran.stderr.contains(&said), "{ran:?}");
}

/// Who is above whom is found once for each, however many wait below the same.
#[test]
fn a_deep_chain_with_many_ends_still_runs() {
    const DEEP: u32 = 40_009;
    const ENDS: u32 = 40_013;
    let dir = bench();
    let mut story = Story::new();
    let first = 1000;
    for i in 0..DEEP {
        let of = image("sh deep").by(first + i - 1, 0);
        story.at(u64::from(i)).exec(first + i, &of);
    }
    for i in 0..ENDS {
        let of = image("sleep end").by(first + DEEP - 1, 0);
        let at = story.at(u64::from(DEEP + i));
        at.exec(first + DEEP + i, &of);
    }
    fs::write(dir.path().join("deep.xl"), story.finish()).expect("a recording");
    let ran = run(dir.path(), &["report", "deep.xl", "-Q"]);
    assert_eq!(ran.status, 0, "{ran:?}");
    let more = format!(", and {} more)", DEEP - 3);
    let ends = ran.stderr.lines().filter(|line| line.ends_with(&more));
    // Those that began first, of all that were looked at.
    assert_eq!(ends.count(), 20, "{}", ran.stderr);
}
