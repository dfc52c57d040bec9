//! Latency figures per group: for people as a table and bars, for programs as JSON
//! and CSV. All forms hold the same figures.

use std::io::{self, Write};

use comfy_table::{CellAlignment, Table, TableStyle};
use serde_json::{Value, json};

use crate::config::ExportFormat;
use crate::label::Key;
use crate::stats::{CPU_PERCENTILES, Group, PERCENTILES, Stats};
use crate::summary::Summary;
use crate::text::short_duration;

/// Width of the longest bar.
const BAR: usize = 40;

/// The name of a key, as `--by` has it.
pub fn key_name(key: Key) -> &'static str {
    match key {
        Key::Action => "action",
        Key::Comm => "comm",
        Key::Container => "container",
        Key::Name => "name",
        Key::Cgroup => "cgroup",
        Key::Code => "code",
        Key::Argv0 => "argv0",
        Key::None => "all",
    }
}

/// Writes the figures in the form asked for.
///
/// # Errors
/// They cannot be written.
pub fn write(
    out: &mut dyn Write,
    format: ExportFormat,
    key: Key,
    stats: &Stats,
    summary: &Summary,
) -> io::Result<()> {
    match format {
        ExportFormat::Text => {
            write_text(out, key, stats)?;
            writeln!(out, "{summary}")?;
        }
        ExportFormat::Json => {
            serde_json::to_writer_pretty(&mut *out, &to_json(key, stats, summary))?;
            writeln!(out)?;
        }
        ExportFormat::Csv => {
            write_csv(out, key, stats)?;
            writeln!(out, "# summary: {summary}")?;
        }
    }
    out.flush()
}

/// A table of all groups, then the bars of each.
///
/// # Errors
/// They cannot be written.
pub fn write_text(out: &mut dyn Write, key: Key, stats: &Stats) -> io::Result<()> {
    let mut table = Table::new();
    table.load_style(TableStyle::new());
    let mut head = vec![key_name(key), "count", "failed", "min"];
    head.extend(PERCENTILES.iter().map(|(name, _)| *name));
    head.extend(["max", "total"]);
    head.extend(CPU_PERCENTILES.iter().map(|(name, _)| *name));
    table.set_header(head);
    for (name, group) in stats.groups() {
        let mut cells = vec![
            key.shown(name).to_owned(),
            group.count.to_string(),
            group.failed.to_string(),
            short_duration(group.min_ns),
        ];
        for (_, percentile) in PERCENTILES {
            cells.push(short_duration(group.percentile_ns(percentile)));
        }
        cells.push(short_duration(group.max_ns));
        cells.push(short_duration(
            u64::try_from(group.total_ns).unwrap_or(u64::MAX),
        ));
        for (_, percentile) in CPU_PERCENTILES {
            let known = group.cpu_percentile_ns(percentile);
            cells.push(known.map_or_else(|| "-".to_owned(), short_duration));
        }
        table.add_row(cells);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    for line in table.lines() {
        writeln!(out, "{}", line.trim_end())?;
    }
    for (name, group) in stats.groups() {
        write_bars(out, key.shown(name), group)?;
    }
    Ok(())
}

fn write_bars(out: &mut dyn Write, name: &str, group: &Group) -> io::Result<()> {
    writeln!(out, "\n{name}")?;
    writeln!(out, "{:>21} : count    distribution", "usecs")?;
    let most = group
        .classes()
        .map(|(_, _, count)| count)
        .max()
        .unwrap_or(1);
    for (low, high, count) in group.classes() {
        let stars = (u128::from(count) * BAR as u128 / u128::from(most.max(1))) as usize;
        let range = format!("{low} -> {high}");
        writeln!(
            out,
            "{range:>21} : {count:<8} |{:<BAR$}|",
            "*".repeat(stars)
        )?;
    }
    Ok(())
}

fn to_json(key: Key, stats: &Stats, summary: &Summary) -> Value {
    let groups: Vec<Value> = stats
        .groups()
        .into_iter()
        .map(|(name, group)| {
            let percentiles: serde_json::Map<String, Value> = PERCENTILES
                .iter()
                .map(|(p, percentile)| ((*p).to_owned(), group.percentile_ns(*percentile).into()))
                .collect();
            let cpu: serde_json::Map<String, Value> = CPU_PERCENTILES
                .iter()
                .map(|(p, percentile)| {
                    let name = p.trim_start_matches("cpu_").to_owned();
                    (name, group.cpu_percentile_ns(*percentile).into())
                })
                .collect();
            let classes: Vec<Value> = group
                .classes()
                .map(|(low, high, count)| json!({"from_us": low, "to_us": high, "count": count}))
                .collect();
            json!({
                "group": name,
                "count": group.count,
                "failed": group.failed,
                "min_ns": group.min_ns,
                "max_ns": group.max_ns,
                "total_ns": u64::try_from(group.total_ns).unwrap_or(u64::MAX),
                "percentiles_ns": percentiles,
                "cpu_percentiles_ns": cpu,
                "distribution": classes,
            })
        })
        .collect();
    json!({
        "schema": super::json::SCHEMA,
        "by": key_name(key),
        "groups": groups,
        "summary": summary,
    })
}

fn write_csv(out: &mut dyn Write, key: Key, stats: &Stats) -> io::Result<()> {
    let mut csv = super::csv::writer(out);
    let mut head = vec![
        key_name(key).to_owned(),
        "count".into(),
        "failed".into(),
        "min_ns".into(),
    ];
    head.extend(PERCENTILES.iter().map(|(name, _)| format!("{name}_ns")));
    head.extend(["max_ns".into(), "total_ns".into()]);
    head.extend(CPU_PERCENTILES.iter().map(|(name, _)| format!("{name}_ns")));
    csv.write_record(&head)?;
    for (name, group) in stats.groups() {
        csv.write_field(name)?;
        for figure in [group.count, group.failed, group.min_ns] {
            csv.write_field(figure.to_string())?;
        }
        for (_, percentile) in PERCENTILES {
            csv.write_field(group.percentile_ns(percentile).to_string())?;
        }
        csv.write_field(group.max_ns.to_string())?;
        csv.write_field(group.total_ns.to_string())?;
        for (_, percentile) in CPU_PERCENTILES {
            let known = group.cpu_percentile_ns(percentile);
            csv.write_field(known.map_or_else(String::new, |ns| ns.to_string()))?;
        }
        csv.write_record(None::<&[u8]>)?;
    }
    csv.flush()
}
