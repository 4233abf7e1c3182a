//! Figures and how they are shown.

use std::fmt::Write as _;

use serde::Serialize;

/// One figure of many runs.
#[derive(Debug, Serialize)]
struct Row {
    name: String,
    runs: usize,
    median: f64,
    p99: f64,
    unit: &'static str,
    /// Acknowledged rows that were not found, of all runs together.
    lost: usize,
}

/// All figures, in the order in which they were measured.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Rows {
    rows: Vec<Row>,
}

impl Rows {
    /// Adds the figure that these values make; without a value there is none.
    pub(crate) fn add(&mut self, name: String, mut values: Vec<f64>, unit: &'static str, lost: usize) {
        if values.is_empty() {
            return;
        }
        values.sort_by(f64::total_cmp);
        let (median, p99) = (rank(&values, 0.5), rank(&values, 0.99));
        self.rows.push(Row { name, runs: values.len(), median, p99, unit, lost });
    }

    /// `{"rows":[…]}`
    pub(crate) fn json(&self) -> String {
        // Names and finite numbers: this cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Aligned columns.
    pub(crate) fn table(&self) -> String {
        let width = self.rows.iter().map(|row| row.name.chars().count()).max().unwrap_or_default().max(4);
        let mut text = format!("{:width$}  runs   median      p99  unit          lost\n", "name");
        for Row { name, runs, median, p99, unit, lost } in &self.rows {
            let _ =
                writeln!(text, "{name:width$}  {runs:>4} {median:>8.1} {p99:>8.1}  {unit:<12}  {lost:>4}");
        }
        text
    }
}

/// The smallest value that this share of all values does not exceed. `values` are in order, and at least one.
fn rank(values: &[f64], share: f64) -> f64 {
    let position = (values.len() as f64 * share).ceil() as usize;
    let value = values[position.clamp(1, values.len()) - 1];
    (value * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_values_that_were_measured() {
        let values: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!((rank(&values, 0.5), rank(&values, 0.99)), (50.0, 99.0));
        assert_eq!((rank(&values[..10], 0.5), rank(&values[..10], 0.99)), (5.0, 10.0));
        assert_eq!(rank(&values[..1], 0.99), 1.0);
    }
}
