//! The table of families against what it writes and against its page of the reference.

use super::emit::{PREFIX, Page};
use super::families::{FAMILIES, Family, Kind, Unit};
use gpumux_wire::status::Status;
use prometheus_client::encoding::{prometheus_text, text};
use prometheus_client::registry::Registry;
use std::collections::BTreeSet;
use std::path::Path;

/// A name as a query writes it.
fn full_name(family: &Family) -> String {
    let unit = match family.unit {
        Unit::None => "",
        Unit::Seconds => "_seconds",
        Unit::Bytes => "_bytes",
    };
    let total = if family.kind == Kind::Counter { "_total" } else { "" };
    format!("{PREFIX}_{}{unit}{total}", family.name)
}

fn empty() -> Registry {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Page(Status::default())));
    registry
}

#[test]
fn every_family_is_written_once_with_help_and_type() {
    let mut page = String::new();
    prometheus_text::encode(&mut page, &empty()).unwrap();
    for family in FAMILIES {
        let name = full_name(family);
        let lines = |word| {
            let begin = format!("# {word} {name} ");
            page.lines().filter(|line| line.starts_with(&begin)).count()
        };
        assert_eq!((lines("HELP"), lines("TYPE")), (1, 1), "{name}\n{page}");
    }
    let names: BTreeSet<String> = FAMILIES.iter().map(full_name).collect();
    assert_eq!(names.len(), FAMILIES.len());
}

#[test]
fn openmetrics_ends_as_that_form_does() {
    let mut page = String::new();
    text::encode(&mut page, &empty()).unwrap();
    assert!(page.ends_with("# EOF\n"), "{page}");
    assert!(page.contains("# UNIT gpumux_uptime_seconds seconds\n"), "{page}");
}

/// The page of the reference, from the table.
fn reference() -> String {
    let mut page = String::from(
        "# Metrics\n\n\
         Written from the daemon's table of metrics; a test keeps the two the same. What they mean \
         together, how to\nscrape them, and what a restart does to them is in the \
         [guide](../guide/metrics.md).\n\n\
         | name | type | unit | labels | meaning |\n|---|---|---|---|---|\n",
    );
    for family in FAMILIES {
        let kind = match family.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let unit = match family.unit {
            Unit::None => "",
            Unit::Seconds => "seconds",
            Unit::Bytes => "bytes",
        };
        let labels: Vec<String> = family.labels.iter().map(|label| format!("`{label}`")).collect();
        let (name, labels, help) = (full_name(family), labels.join(", "), family.help);
        page += &format!("| `{name}` | {kind} | {unit} | {labels} | {help} |\n");
    }
    page
}

/// With `GPUMUX_WRITE_REFERENCE=1` the page is written instead of compared.
#[test]
fn the_reference_is_of_this_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/metrics.md");
    if std::env::var_os("GPUMUX_WRITE_REFERENCE").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, reference()).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        committed,
        reference(),
        "docs/reference/metrics.md is not of this table: run this test with GPUMUX_WRITE_REFERENCE=1"
    );
}
