//! Secrets that lie in small files: Bitcoin's cookie and the engine API's secret.

use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::time::{Duration, SystemTime};

use zeroize::Zeroizing;

use super::Secret;

/// More than any such file holds.
const LARGEST: usize = 8192;
/// How far apart the times of two writes may have to be, to differ.
const COARSEST: Duration = Duration::from_secs(2);

/// The text of the file without the end of its line, or why there is none; reads on after the field's name.
///
/// The reason never holds the path, which may be a secret that was put into the wrong field.
pub(super) fn read(path: &Secret) -> Result<Secret, &'static str> {
    let path = path.expose();
    // Opening a pipe would wait for its other end.
    metadata(path)?;
    let limit = u64::try_from(LARGEST).unwrap_or(u64::MAX);
    let mut text = Zeroizing::new(String::with_capacity(LARGEST + 1));
    let file = File::open(path).map_err(|error| reason(&error))?;
    file.take(limit + 1).read_to_string(&mut text).map_err(|error| reason(&error))?;
    if text.len() > LARGEST {
        return Err("names a file that is too large");
    }
    Ok(Secret::new(text.trim_end_matches(['\r', '\n'])))
}

/// What tells whether a file is the one of before.
#[derive(Debug, PartialEq)]
pub(super) struct Stamp {
    modified: SystemTime,
    length: u64,
    #[cfg(unix)]
    inode: u64,
}

impl Stamp {
    /// The stamp of the file, or why there is none.
    pub(super) fn of(path: &Secret) -> Result<Self, &'static str> {
        let metadata = metadata(path.expose())?;
        Ok(Self {
            modified: metadata.modified().map_err(|error| reason(&error))?,
            length: metadata.len(),
            #[cfg(unix)]
            inode: std::os::unix::fs::MetadataExt::ino(&metadata),
        })
    }

    /// Whether the file would have another stamp if it were written at `now`: clocks of files are coarse.
    pub(super) fn is_settled(&self, now: SystemTime) -> bool {
        now.duration_since(self.modified).is_ok_and(|age| age > COARSEST)
    }
}

fn metadata(path: &str) -> Result<Metadata, &'static str> {
    let metadata = std::fs::metadata(path).map_err(|error| reason(&error))?;
    if metadata.is_file() { Ok(metadata) } else { Err("names something that is not a file") }
}

fn reason(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "names a file that does not exist",
        io::ErrorKind::PermissionDenied => "names a file that may not be read",
        io::ErrorKind::InvalidData => "names a file that is not text",
        _ => "names a file that cannot be read",
    }
}
