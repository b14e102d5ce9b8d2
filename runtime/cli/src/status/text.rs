//! How numbers and tables look.

use comfy_table::{Cell, CellAlignment, Color, ContentArrangement, Table, presets};
use gpumux_wire::status::FunctionStatus;
use std::time::Duration;

/// A table without rules.
pub(crate) fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header.iter().copied());
    table
}

/// The same, no wider than the terminal, where there is one.
pub(super) fn fitting(header: &[&str]) -> Table {
    let mut table = table(header);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table
}

/// Numbers stand at the right.
pub(crate) fn align(table: &mut Table, columns: std::ops::Range<usize>) {
    for column in columns {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}

/// A cell that should not be overlooked where `alarming`; red on a terminal, unless `NO_COLOR` says
/// otherwise.
pub(super) fn cell(text: impl Into<String>, alarming: bool) -> Cell {
    let cell = Cell::new(text.into());
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    if alarming && !plain { cell.fg(Color::Red) } else { cell }
}

/// Requests in each batch, on average.
pub(crate) fn mean_batch(function: &FunctionStatus) -> String {
    match function.batches {
        0 => "-".to_owned(),
        _ => format!("{:.1}", function.batch_sizes.mean()),
    }
}

/// How long the daemon is up.
pub(super) fn uptime(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3600),
    }
}

/// A span in the unit that suits it.
pub(crate) fn span(span: Duration) -> String {
    let micros = span.as_micros();
    match micros {
        0 => "-".to_owned(),
        1..1_000 => format!("{micros} µs"),
        1_000..1_000_000 => format!("{:.1} ms", span.as_secs_f64() * 1e3),
        _ => format!("{:.1} s", span.as_secs_f64()),
    }
}

/// The same of a number of microseconds.
pub(super) fn micros(micros: u64) -> String {
    span(Duration::from_micros(micros))
}

/// A size in the unit that suits it.
pub(super) fn bytes(bytes: u64) -> String {
    const UNITS: [(&str, u32); 3] = [("GiB", 30), ("MiB", 20), ("KiB", 10)];
    let unit = UNITS.into_iter().find(|(_, shift)| bytes >= 1 << shift);
    unit.map_or(format!("{bytes} B"), |(unit, shift)| {
        let tenths = (u128::from(bytes) * 10) >> shift;
        format!("{}.{} {unit}", tenths / 10, tenths % 10)
    })
}

/// A share in percent. One that is not whole does not look so.
pub(super) fn percent(share: f64) -> String {
    let tenths = (share * 1000.0).round();
    let tenths = match share {
        _ if share < 1.0 && tenths >= 1000.0 => 999.0,
        _ if share > 0.0 && tenths < 1.0 => 1.0,
        _ => tenths,
    };
    format!("{:.1} %", tenths / 10.0)
}

/// SM time in SM-seconds.
pub(super) fn sm_time(nanos: u64) -> String {
    format!("{:.1}", Duration::from_nanos(nanos).as_secs_f64())
}

/// A count and its noun, which takes an `s` unless it is one.
pub(super) fn counted(count: u64, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_shown_in_the_unit_that_suits_them() {
        for (micros_, shown) in [(0, "-"), (999, "999 µs"), (1500, "1.5 ms"), (2_000_000, "2.0 s")]
        {
            assert_eq!(micros(micros_), shown);
        }
        for (bytes_, shown) in
            [(0, "0 B"), (1536, "1.5 KiB"), (5 << 20, "5.0 MiB"), (u64::MAX, "17179869183.9 GiB")]
        {
            assert_eq!(bytes(bytes_), shown);
        }
        for (seconds, shown) in [(5, "5 s"), (600, "10 min"), (7200, "2 h")] {
            assert_eq!(uptime(seconds), shown);
        }
        assert_eq!(counted(1, "session") + ", " + &counted(2, "channel"), "1 session, 2 channels");
    }

    #[test]
    fn a_share_that_is_not_whole_does_not_look_so() {
        for (share, shown) in [
            (0.0, "0.0 %"),
            (1e-9, "0.1 %"),
            (0.5, "50.0 %"),
            (0.999_99, "99.9 %"),
            (1.0, "100.0 %"),
            (1.5, "150.0 %"),
        ] {
            assert_eq!(percent(share), shown);
        }
    }
}
