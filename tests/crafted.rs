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
