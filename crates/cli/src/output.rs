//! Listings: `table` and `wide` for people, `json`, `jsonl` and `csv` for programs.

use serde_json::{Map, Value};
use std::io::{self, Write};

/// How a listing is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Aligned columns.
    #[default]
    Table,
    /// Aligned columns, more of them.
    Wide,
    /// One JSON array.
    Json,
    /// One JSON object per line.
    Jsonl,
    /// Comma-separated values with a head line (RFC 4180).
    Csv,
}

/// A column: its name, and whether `table` leaves it out.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    name: &'static str,
    only_wide: bool,
}

/// A column that is always shown.
pub const fn column(name: &'static str) -> Column {
    Column { name, only_wide: false }
}

/// A column that `table` leaves out.
pub const fn wide(name: &'static str) -> Column {
    Column { name, only_wide: true }
}

/// A listing.
#[derive(Clone, Debug)]
pub struct Listing {
    columns: Vec<Column>,
    rows: Vec<Vec<Value>>,
}

impl Listing {
    /// A listing without rows.
    pub fn new(columns: &[Column]) -> Listing {
        Listing { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Adds a row with one value per column.
    pub fn push(&mut self, row: Vec<Value>) {
        assert_eq!(row.len(), self.columns.len(), "one value per column");
        self.rows.push(row);
    }

    /// Prints it.
    pub fn print(&self, format: Format, out: &mut impl Write) -> io::Result<()> {
        match format {
            Format::Table => self.print_table(out, false),
            Format::Wide => self.print_table(out, true),
            Format::Json => {
                serde_json::to_writer_pretty(&mut *out, &self.to_json())?;
                writeln!(out)
            }
            Format::Jsonl => self.objects().iter().try_for_each(|object| writeln!(out, "{object}")),
            Format::Csv => self.print_csv(out),
        }
    }

    /// All rows as an array of objects.
    pub fn to_json(&self) -> Value {
        Value::Array(self.objects())
    }

    fn objects(&self) -> Vec<Value> {
        let object = |row: &Vec<Value>| {
            let fields = self.columns.iter().zip(row).map(|(column, value)| (column.name.to_string(), value.clone()));
            Value::Object(fields.collect::<Map<_, _>>())
        };
        self.rows.iter().map(object).collect()
    }

    fn print_table(&self, out: &mut impl Write, all: bool) -> io::Result<()> {
        let shown: Vec<usize> =
            (0..self.columns.len()).filter(|index| all || !self.columns[*index].only_wide).collect();
        let head: Vec<String> = shown.iter().map(|index| self.columns[*index].name.to_uppercase()).collect();
        let body: Vec<Vec<String>> =
            self.rows.iter().map(|row| shown.iter().map(|index| cell(&row[*index])).collect()).collect();
        let width = |column: usize| {
            let cells = body.iter().map(|row| &row[column]).chain([&head[column]]);
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..shown.len()).map(width).collect();
        let is_number: Vec<bool> =
            shown.iter().map(|index| self.rows.iter().all(|row| row[*index].is_number())).collect();
        for row in [&head].into_iter().chain(&body) {
            let cells = row.iter().enumerate().map(|(column, cell)| pad(cell, widths[column], is_number[column]));
            writeln!(out, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
        }
        Ok(())
    }

    fn print_csv(&self, out: &mut impl Write) -> io::Result<()> {
        let head: Vec<&str> = self.columns.iter().map(|column| column.name).collect();
        write!(out, "{}\r\n", head.join(","))?;
        self.rows.iter().try_for_each(|row| {
            let cells: Vec<String> = row.iter().map(|value| quoted(&cell(value))).collect();
            write!(out, "{}\r\n", cells.join(","))
        })
    }
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn pad(cell: &str, width: usize, right: bool) -> String {
    let padding = " ".repeat(width.saturating_sub(cell.chars().count()));
    if right { format!("{padding}{cell}") } else { format!("{cell}{padding}") }
}

fn quoted(cell: &str) -> String {
    if cell.contains([',', '"', '\n', '\r']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(format: Format) -> String {
        let mut listing = Listing::new(&[column("name"), wide("id"), column("partitions")]);
        listing.push(vec!["orders".into(), "1f".into(), 12.into()]);
        listing.push(vec!["a, \"b\"".into(), Value::Null, 3.into()]);
        let mut out = Vec::new();
        listing.print(format, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn tables_align_and_leave_wide_columns_out() {
        assert_eq!(printed(Format::Table), "NAME    PARTITIONS\norders          12\na, \"b\"           3\n");
        assert_eq!(printed(Format::Wide), "NAME    ID  PARTITIONS\norders  1f          12\na, \"b\"               3\n");
    }

    #[test]
    fn programs_get_every_column() {
        let json: Value = serde_json::from_str(&printed(Format::Json)).unwrap();
        assert_eq!(json[0]["id"], "1f");
        let lines: Vec<String> = printed(Format::Jsonl).lines().map(str::to_string).collect();
        assert_eq!(lines[0], r#"{"id":"1f","name":"orders","partitions":12}"#);
        assert_eq!(printed(Format::Csv), "name,id,partitions\r\norders,1f,12\r\n\"a, \"\"b\"\"\",,3\r\n");
    }
}
