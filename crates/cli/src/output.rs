//! Listings: `table` and `wide` for people, `json`, `jsonl` and `csv` for programs.
//!
//! On a terminal, texts of a `table` that is too wide for it are cut; a pipe and `wide` get everything.

use serde_json::{Map, Value};
use std::io::{self, IsTerminal, Write};

/// Columns of texts are not made narrower than this.
const TEXT_WIDTH_MIN: usize = 8;
const GAP: usize = 2;

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

/// A column: its name, whether `table` leaves it out, and whether its texts are cut last of all.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    name: &'static str,
    only_wide: bool,
    is_whole: bool,
}

/// A column that is always shown.
pub const fn column(name: &'static str) -> Column {
    Column { name, only_wide: false, is_whole: false }
}

/// A column of names that mean nothing when they are cut.
pub const fn whole(name: &'static str) -> Column {
    Column { is_whole: true, ..column(name) }
}

/// A column that `table` leaves out.
pub const fn wide(name: &'static str) -> Column {
    Column { only_wide: true, ..column(name) }
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

    /// Whether it has no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Prints it on standard output, cut to the terminal if that is one.
    pub fn show(&self, format: Format) -> io::Result<()> {
        self.print_within(format, screen_columns(), &mut io::stdout().lock())
    }

    /// Prints it whole.
    pub fn print(&self, format: Format, out: &mut impl Write) -> io::Result<()> {
        self.print_within(format, None, out)
    }

    /// Prints it; as a table not wider than `columns`, if texts can be cut so far.
    pub fn print_within(&self, format: Format, columns: Option<usize>, out: &mut impl Write) -> io::Result<()> {
        match format {
            Format::Table => self.print_table(out, false, columns),
            Format::Wide => self.print_table(out, true, None),
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

    fn print_table(&self, out: &mut impl Write, all: bool, columns: Option<usize>) -> io::Result<()> {
        let shown: Vec<usize> =
            (0..self.columns.len()).filter(|index| all || !self.columns[*index].only_wide).collect();
        let head: Vec<String> = shown.iter().map(|index| self.columns[*index].name.to_uppercase()).collect();
        let body: Vec<Vec<String>> =
            self.rows.iter().map(|row| shown.iter().map(|index| table_cell(&row[*index])).collect()).collect();
        let width = |column: usize| {
            let cells = body.iter().map(|row| &row[column]).chain([&head[column]]);
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let mut widths: Vec<usize> = (0..shown.len()).map(width).collect();
        let is_number: Vec<bool> = shown.iter().map(|index| self.is_number(*index)).collect();
        if let Some(columns) = columns {
            let can_be_cut = |index: usize| !is_number[index] && !self.columns[shown[index]].is_whole;
            fit(&mut widths, can_be_cut, columns);
            fit(&mut widths, |index| !is_number[index], columns);
        }
        for row in [&head].into_iter().chain(&body) {
            let cells = row.iter().enumerate().map(|(column, cell)| {
                let cell = if is_number[column] { cell.clone() } else { cut(cell, widths[column]) };
                pad(&cell, widths[column], is_number[column])
            });
            writeln!(out, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
        }
        Ok(())
    }

    /// Whether a column holds numbers, where it holds anything.
    fn is_number(&self, column: usize) -> bool {
        let mut values = self.rows.iter().map(|row| &row[column]);
        values.clone().any(Value::is_number) && values.all(|value| value.is_number() || value.is_null())
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

/// As [`cell`], but what is not known is visible.
fn table_cell(value: &Value) -> String {
    if value.is_null() { "-".to_string() } else { cell(value) }
}

/// Makes the widest texts narrower until the table fits, or nothing more can be cut.
fn fit(widths: &mut [usize], can_be_cut: impl Fn(usize) -> bool, columns: usize) {
    let gaps = GAP * widths.len().saturating_sub(1);
    while widths.iter().sum::<usize>() + gaps > columns {
        let texts = (0..widths.len()).filter(|index| can_be_cut(*index) && widths[*index] > TEXT_WIDTH_MIN);
        let Some(widest) = texts.max_by_key(|index| widths[*index]) else { return };
        widths[widest] -= 1;
    }
}

fn cut(cell: &str, width: usize) -> String {
    if cell.chars().count() <= width {
        return cell.to_string();
    }
    cell.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

/// Columns of the terminal that standard output is; `None` if it is none.
pub fn screen_columns() -> Option<usize> {
    let stdout = io::stdout();
    if !stdout.is_terminal() {
        return None;
    }
    let columns = rustix::termios::tcgetwinsize(&stdout).ok()?.ws_col;
    (columns > 0).then_some(usize::from(columns))
}

/// `1 member`, `2 members`.
pub fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// The facts above a listing: names and values, aligned.
pub fn print_facts(facts: &[(&str, String)], out: &mut impl Write) -> io::Result<()> {
    let width = facts.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    facts.iter().try_for_each(|(name, value)| writeln!(out, "{name:width$}  {value}"))
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
        assert_eq!(printed(Format::Wide), "NAME    ID  PARTITIONS\norders  1f          12\na, \"b\"  -            3\n");
    }

    #[test]
    fn a_table_is_cut_to_the_terminal_in_its_texts_only() {
        let mut listing = Listing::new(&[column("client"), column("host"), column("lag")]);
        listing.push(vec!["a-client-with-a-long-name".into(), "a-long-host-name".into(), 1_234_567_890_u64.into()]);
        listing.push(vec!["b".into(), "c".into(), Value::Null]);
        let within = |columns| {
            let mut out = Vec::new();
            listing.print_within(Format::Table, Some(columns), &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert!(within(60).contains("a-client-with-a-long-name  a-long-host-name  1234567890\n"));
        let narrow = "CLIENT         HOST                 LAG\na-client-wit…  a-long-host…  1234567890\n\
                      b              c                      -\n";
        assert_eq!(within(39), narrow);
        assert!(within(10).lines().all(|line| line.chars().count() <= 30), "{}", within(10));
        assert!(within(10).contains("1234567890"), "numbers stay whole");
    }

    #[test]
    fn names_that_must_be_whole_are_cut_last() {
        let mut listing = Listing::new(&[whole("setting"), column("value")]);
        listing.push(vec!["a.setting.with.a.long.name".into(), "9223372036854775807".into()]);
        let mut out = Vec::new();
        listing.print_within(Format::Table, Some(36), &mut out).unwrap();
        assert!(String::from_utf8(out).unwrap().contains("a.setting.with.a.long.name  9223372…\n"));
    }

    #[test]
    fn facts_are_aligned() {
        let mut out = Vec::new();
        print_facts(&[("group", "g".to_string()), ("coordinator", "1".to_string())], &mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "group        g\ncoordinator  1\n");
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
