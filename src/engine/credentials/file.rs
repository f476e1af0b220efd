//! Secrets that lie in small files: Bitcoin's cookie and the engine API's secret.

use std::fs::File;
use std::io::{self, Read as _};

use zeroize::Zeroizing;

use super::Secret;

/// More than any such file holds.
const LARGEST: usize = 8192;

/// The text of the file without the end of its line, or why there is none; reads on after the field's name.
///
/// The reason never holds the path, which may be a secret that was put into the wrong field.
pub(super) fn read(path: &Secret) -> Result<Secret, &'static str> {
    let path = path.expose();
    // Opening a pipe would wait for its other end.
    if !std::fs::metadata(path).map_err(|error| reason(&error))?.is_file() {
        return Err("names something that is not a file");
    }
    let limit = u64::try_from(LARGEST).unwrap_or(u64::MAX);
    let mut text = Zeroizing::new(String::with_capacity(LARGEST + 1));
    let file = File::open(path).map_err(|error| reason(&error))?;
    file.take(limit + 1).read_to_string(&mut text).map_err(|error| reason(&error))?;
    if text.len() > LARGEST {
        return Err("names a file that is too large");
    }
    Ok(Secret::new(text.trim_end_matches(['\r', '\n'])))
}

fn reason(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "names a file that does not exist",
        io::ErrorKind::PermissionDenied => "names a file that may not be read",
        io::ErrorKind::InvalidData => "names a file that is not text",
        _ => "names a file that cannot be read",
    }
}
