use super::in_flight::age;
use super::*;

#[test]
fn ages_have_two_units() {
    const SECOND: u64 = 1_000_000_000;
    assert_eq!(age(0), "0.0s");
    assert_eq!(age(59 * SECOND + 999_999_999), "59.9s");
    assert_eq!(age(60 * SECOND), "1m00s");
    assert_eq!(age(3_599 * SECOND), "59m59s");
    assert_eq!(age(3_600 * SECOND), "1h00m");
    assert_eq!(age(86_400 * 12 * SECOND + 3_600 * 4 * SECOND), "12d04h");
    assert_eq!(clock(59 * SECOND), "00:59");
    assert_eq!(clock(3_661 * SECOND), "1:01:01");
}

#[test]
fn sparklines_are_against_their_highest() {
    assert_eq!(sparkline(&[], 3), "   ");
    assert_eq!(sparkline(&[5], 3), "  █");
    assert_eq!(sparkline(&[7, 0, 4, 8], 3), " ▄█");
    assert_eq!(sparkline(&[1, 800_000], 2), "▁█");
    assert_eq!(sparkline(&[u32::MAX; 2], 2), "██");
}

#[test]
fn the_less_important_columns_go_first() {
    let shown = |columns: usize| -> Vec<Column> {
        let layout = Layout::new(&[], "", columns);
        layout
            .columns
            .into_iter()
            .map(|(column, _)| column)
            .collect()
    };
    assert_eq!(shown(80), column::ALL);
    assert!(!shown(72).contains(&Column::Trend));
    assert_eq!(shown(20), [Column::Name, Column::P99]);
    assert_eq!(shown(1), [Column::Name]);
    for columns in 1..100 {
        assert!(shown(columns).len() <= shown(columns + 1).len());
    }
}

#[test]
fn names_are_given_room_before_trends() {
    let long = GroupRow {
        name: "x".repeat(25),
        ..GroupRow::default()
    };
    let wide = |columns| {
        let layout = Layout::new(std::slice::from_ref(&long), "", columns);
        let of = |wanted| {
            let found = layout.columns.iter().find(|(column, _)| *column == wanted);
            found.map_or(0, |(_, wide)| *wide)
        };
        (of(Column::Name), of(Column::Trend))
    };
    assert_eq!(wide(78), (17, 8));
    assert_eq!(wide(90), (25, 12));
    assert_eq!(wide(300), (25, TREND));
}

#[test]
fn a_window_is_as_full_as_can_be() {
    assert_eq!(window(5, 0, 10), 0..5);
    assert_eq!(window(50, 45, 10), 40..50);
    assert_eq!(window(50, 7, 10), 7..17);
    assert_eq!(window(0, 3, 10), 0..0);
    assert_eq!(window(5, 3, 0), 3..3);
}
