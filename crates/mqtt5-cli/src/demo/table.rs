//! The outcome of a demonstration, written down.

use std::time::Duration;

use serde_json::Value;

use super::checker::{Broken, Verdict};
use crate::json::Object;

/// A column: its title, and what stands in it.
type Column = (&'static str, fn(&Verdict) -> String);

const COLUMNS: [Column; 9] = [
    ("QoS", |verdict| number(verdict.qos as u64)),
    ("sent", |verdict| number(verdict.counts.sent)),
    ("delivered", |verdict| number(verdict.counts.delivered)),
    ("lost", |verdict| number(verdict.counts.lost)),
    ("duplicated", |verdict| number(verdict.counts.duplicated)),
    ("messages/s", |verdict| {
        number(verdict.messages_per_second() as u64)
    }),
    ("p50", |verdict| duration(verdict.latency_at(0.5))),
    ("p99", |verdict| duration(verdict.latency_at(0.99))),
    ("max", |verdict| duration(verdict.latency_at(1.0))),
];

/// A table for people, columns aligned to the right.
pub(crate) fn text(verdicts: &[Verdict]) -> String {
    let columns: Vec<Vec<String>> = COLUMNS
        .iter()
        .map(|(title, cell)| {
            let cells = verdicts.iter().map(cell);
            let cells: Vec<String> = std::iter::once((*title).to_owned()).chain(cells).collect();
            let width = cells
                .iter()
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0);
            cells.iter().map(|cell| format!("{cell:>width$}")).collect()
        })
        .collect();
    let lines = (0..=verdicts.len()).map(|row| {
        let cells: Vec<&str> = columns.iter().map(|column| column[row].as_str()).collect();
        cells.join("  ")
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// A row for programs.
pub(crate) fn json(verdict: &Verdict) -> Object {
    let counts = &verdict.counts;
    let microseconds = |quantile| verdict.latency_at(quantile).as_nanos() as f64 / 1e3;
    let latency = Object::new()
        .with("p50", microseconds(0.5))
        .with("p99", microseconds(0.99))
        .with("max", microseconds(1.0));
    let broken = verdict.broken();
    let broken: Vec<Value> = broken
        .iter()
        .map(Broken::to_string)
        .map(Value::from)
        .collect();
    Object::new()
        .with("qos", verdict.qos as u8)
        .with("sent", counts.sent)
        .with("delivered", counts.delivered)
        .with("lost", counts.lost)
        .with("duplicated", counts.duplicated)
        .with("reordered", counts.reordered)
        .with("corrupt", counts.corrupt)
        .with("unacknowledged", counts.unacknowledged)
        .with("messages_per_second", verdict.messages_per_second())
        .with_object("latency_microseconds", &latency)
        .with("broken", broken)
}

/// A number with separators.
pub(crate) fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Three digits and a unit.
fn duration(duration: Duration) -> String {
    let nanoseconds = duration.as_nanos() as f64;
    let (value, unit) = match nanoseconds {
        n if n < 1e6 => (n / 1e3, "µs"),
        n if n < 1e9 => (n / 1e6, "ms"),
        n => (n / 1e9, "s"),
    };
    let decimals = match value {
        v if v < 9.995 => 2,
        v if v < 99.95 => 1,
        _ => 0,
    };
    format!("{value:.decimals$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::super::checker::{Checker, Plan};
    use super::*;
    use mqtt5_client::QoS;

    fn verdict(qos: QoS, sent: u64) -> Verdict {
        let plan = Plan {
            run: 1,
            topic: String::new(),
            qos,
            messages: sent,
            size: 32,
        };
        Checker::new(plan).finish(sent, 0)
    }

    #[test]
    fn columns_are_aligned() {
        let verdicts = [
            verdict(QoS::AtMostOnce, 1_234_567),
            verdict(QoS::AtLeastOnce, 0),
        ];
        let text = text(&verdicts);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        let widths: Vec<usize> = lines.iter().map(|line| line.chars().count()).collect();
        assert!(widths.iter().all(|&width| width == widths[0]), "{text}");
        assert!(
            lines[1].starts_with("  0  1,234,567          0  1,234,567 "),
            "{text}"
        );
    }

    #[test]
    fn a_row_of_json_names_what_was_broken() {
        let json: Value =
            serde_json::from_str(&json(&verdict(QoS::ExactlyOnce, 5)).to_string()).unwrap();
        assert_eq!(json["lost"], 5);
        assert_eq!(json["broken"], serde_json::json!(["5 lost"]));
    }

    #[test]
    fn numbers_and_times_are_readable() {
        for (value, expected) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(number(value), expected);
        }
        let table = [
            (950, "0.95 µs"),
            (12_345, "12.3 µs"),
            (999_999, "1000 µs"),
            (1_000_000, "1.00 ms"),
            (123_456_789, "123 ms"),
            (2_500_000_000, "2.50 s"),
        ];
        for (nanoseconds, expected) in table {
            assert_eq!(duration(Duration::from_nanos(nanoseconds)), expected);
        }
    }
}
