//! Lists files in the order of their keys.
//!
//! Keys are ordered by their bytes, folders are not: `a.b` comes before `a/c` because `.` is less than `/`. Walking a
//! folder's entries sorted with a `/` behind the names of folders gives exactly the order of keys. Folders that hold
//! nothing wanted are not opened.

use super::modified_ms;
use crate::port::{Key, ObjectMeta};
use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

/// Files below `root` whose key starts with `prefix` and is greater than `start_after`, ascending, at most `most`.
pub fn list(root: &Path, prefix: &str, start_after: Option<&Key>, most: usize) -> io::Result<Vec<ObjectMeta>> {
    let after = start_after.map_or("", Key::as_str);
    let mut walk = Walk { root, prefix, after, most, found: Vec::new() };
    // Everything wanted lies in the deepest folder that the prefix names whole.
    let start = prefix.rfind('/').map_or("", |slash| &prefix[..=slash]);
    let inside = start.is_empty() || Key::parse(&start[..start.len() - 1]).is_some();
    if most > 0 && inside {
        walk.folder(start)?;
    }
    Ok(walk.found)
}

struct Walk<'a> {
    root: &'a Path,
    prefix: &'a str,
    after: &'a str,
    most: usize,
    found: Vec<ObjectMeta>,
}

impl Walk<'_> {
    /// Visits a folder; its name ends with `/` or is empty. A folder that is gone is an empty one.
    fn folder(&mut self, folder: &str) -> io::Result<()> {
        let entries = match fs::read_dir(self.root.join(folder)) {
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(()),
            entries => entries?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry?;
            let Ok(mut name) = entry.file_name().into_string() else { continue };
            if Key::parse(&name).is_none() {
                continue; // temporary files, and what is not ours
            }
            if entry.file_type()?.is_dir() {
                name.push('/');
            }
            names.push(name);
        }
        names.sort_unstable();
        for name in names {
            if self.found.len() == self.most {
                break;
            }
            let name = format!("{folder}{name}");
            if name.ends_with('/') { self.subfolder(&name)? } else { self.file(&name)? }
        }
        Ok(())
    }

    fn subfolder(&mut self, name: &str) -> io::Result<()> {
        let may_match = name.starts_with(self.prefix) || self.prefix.starts_with(name);
        let all_before = self.after > name && !self.after.starts_with(name);
        if may_match && !all_before { self.folder(name) } else { Ok(()) }
    }

    fn file(&mut self, name: &str) -> io::Result<()> {
        if !name.starts_with(self.prefix) || name <= self.after {
            return Ok(());
        }
        let metadata = match fs::metadata(self.root.join(name)) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()), // deleted meanwhile
            metadata => metadata?,
        };
        let modified_ms = modified_ms(&metadata);
        self.found.push(ObjectMeta { key: Key::new(name), bytes: metadata.len(), modified_ms });
        Ok(())
    }
}
