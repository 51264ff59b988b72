//! Which files `-f` means, and their bytes.
//!
//! Invariant: what is read has a bound, in bytes, in files and in depth.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use oprc_models::document::{Format, MAX_STREAM_BYTES};

use crate::error::Error;

/// The most files of one command.
const MAX_FILES: usize = 10_000;

/// The deepest folder below the one named.
const MAX_FOLDERS: usize = 32;

/// Where documents are read from.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Source {
    Input,
    File(PathBuf),
}

impl Source {
    /// For people.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Input => "standard input".to_owned(),
            Self::File(path) => path.display().to_string(),
        }
    }

    /// By the file's extension; YAML for any other, of which JSON is a part.
    pub(super) fn format(&self) -> Format {
        match self {
            Self::Input => Format::Yaml,
            Self::File(path) => format_of(path).unwrap_or(Format::Yaml),
        }
    }

    /// All bytes, and one more than allowed where there are too many: the parser says so then.
    pub(super) fn read(&self, input: &mut dyn Read) -> Result<Vec<u8>, Error> {
        let limit = u64::try_from(MAX_STREAM_BYTES).unwrap_or(u64::MAX).saturating_add(1);
        let mut bytes = Vec::new();
        let read = match self {
            Self::Input => input.take(limit).read_to_end(&mut bytes),
            Self::File(path) => {
                File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes))
            }
        };
        read.map_err(|source| Error::Local {
            what: format!("cannot read {}", self.name()),
            source,
        })?;
        Ok(bytes)
    }
}

fn format_of(path: &Path) -> Option<Format> {
    Format::from_extension(path.extension()?.to_str()?)
}

/// What `named` means: files as they are, of folders the `.yaml`, `.yml` and `.json` files in the
/// order of their names. Entries of a folder whose names begin with a dot are skipped.
pub(super) fn find(named: &[PathBuf], is_recursive: bool) -> Result<Vec<Source>, Error> {
    let mut found = Vec::new();
    let mut has_input = false;
    for path in named {
        if path.as_os_str() == "-" {
            if std::mem::replace(&mut has_input, true) {
                return Err(Error::usage("standard input can be read only once"));
            }
            found.push(Source::Input);
        } else if path.is_dir() {
            let depth = if is_recursive { MAX_FOLDERS } else { 0 };
            let before = found.len();
            walk(path, depth, &mut found).map_err(|source| Error::Local {
                what: format!("cannot read the folder {}", path.display()),
                source,
            })?;
            if found.len() == before {
                let what = "has no .yaml, .yml or .json file";
                return Err(Error::usage(format!("{} {what}", path.display())));
            }
        } else {
            found.push(Source::File(path.clone()));
        }
        if found.len() > MAX_FILES {
            return Err(Error::usage(format!("more than {MAX_FILES} files")));
        }
    }
    Ok(found)
}

/// Links to files are followed (Kubernetes mounts its maps so), links to folders are not: they
/// could lead round.
fn walk(folder: &Path, depth: usize, found: &mut Vec<Source>) -> io::Result<()> {
    let mut entries = fs::read_dir(folder)?.take(MAX_FILES + 1).collect::<io::Result<Vec<_>>>()?;
    if entries.len() > MAX_FILES {
        return Err(io::Error::other(format!("more than {MAX_FILES} entries")));
    }
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        // Repositories keep what is not theirs to apply there: `.git`, `.github`, editor settings.
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            if depth > 0 && found.len() <= MAX_FILES {
                walk(&path, depth - 1, found)?;
            }
        } else if format_of(&path).is_some() && path.is_file() {
            found.push(Source::File(path));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
