//! The results as text.

use std::fmt;

use super::Peer;

/// One measured value.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// A median.
    Number(f64),
    /// There is none, for this reason.
    Missing(String),
}

/// Values of each tracer, in the order of [`Peer::ALL`], by what was measured.
#[derive(Debug, Default)]
pub struct Table {
    title: String,
    rows: Vec<(String, Vec<Cell>)>,
}

impl Table {
    /// A table without rows.
    pub fn new(title: &str) -> Self {
        Self {
            title: title.to_owned(),
            rows: Vec::new(),
        }
    }

    /// Adds a row.
    pub fn row(&mut self, title: &str, cells: Vec<Cell>) {
        self.rows.push((title.to_owned(), cells));
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const CELL: usize = 13;
        let titles = self.rows.iter().map(|(title, _)| title);
        let width = titles
            .chain([&self.title])
            .map(|title| title.chars().count())
            .max()
            .unwrap_or(0);
        write!(f, "{:width$}", self.title)?;
        for peer in Peer::ALL {
            write!(f, "{:>CELL$}", peer.name())?;
        }
        writeln!(f, "{:>CELL$}{:>CELL$}", "rtap / C", "/ C like it")?;
        let mut reasons = Vec::new();
        for (title, cells) in &self.rows {
            write!(f, "{title:width$}")?;
            for cell in cells {
                match cell {
                    Cell::Number(number) => write!(f, "{number:>CELL$.1}")?,
                    Cell::Missing(why) if why.len() < CELL => write!(f, "{why:>CELL$}")?,
                    Cell::Missing(why) => {
                        reasons.push(why);
                        write!(f, "{:>CELL$}", format!("[{}]", reasons.len()))?;
                    }
                }
            }
            let of = |peer: Peer| {
                let at = Peer::ALL.iter().position(|other| *other == peer)?;
                match cells.get(at)? {
                    Cell::Number(number) => Some(*number),
                    Cell::Missing(_) => None,
                }
            };
            for base in [Peer::C, Peer::CLikeRtap] {
                match (of(base), of(Peer::Rtap)) {
                    (Some(c), Some(rtap)) if c > 0.0 => write!(f, "{:>CELL$.2}", rtap / c)?,
                    _ => write!(f, "{:>CELL$}", "")?,
                }
            }
            writeln!(f)?;
        }
        for (i, reason) in reasons.iter().enumerate() {
            writeln!(f, "[{}] {reason}", i + 1)?;
        }
        Ok(())
    }
}

/// The middle one; NaN of none.
pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_shows_numbers_ratios_and_reasons() {
        let mut table = Table::new("ns");
        table.row(
            "count",
            vec![
                Cell::Number(2.0),
                Cell::Number(4.0),
                Cell::Missing("a long explanation".into()),
                Cell::Number(3.0),
            ],
        );
        table.row(
            "pid",
            vec![
                Cell::Number(2.0),
                Cell::Missing("-".into()),
                Cell::Missing("-".into()),
                Cell::Missing("not built".into()),
            ],
        );
        let text = table.to_string();
        assert!(
            text.contains("4.0          [1]          3.0         1.50         0.75"),
            "{text}"
        );
        assert!(text.ends_with("[1] a long explanation\n"));
        assert!((median([3.0, 1.0, 2.0].into_iter()) - 2.0).abs() < 1e-9);
    }
}
