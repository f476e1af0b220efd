//! Secrets: what a user may give, whether it can be right, and where in a request it goes.
//!
//! - `secret`: text that is never shown; `file`: secrets that lie in files; `cookie`: one that changes
//! - `forms`: the mapping that a user gives, read into `Credentials`
//! - `variables`: what stands for a variable of the environment
//! - `validate`: whether they can be right, with the rules in `content`, `placeholder`, `wallet`, `jwt`, `header`
//! - `placement`: where an API key goes; `url_keys`: keys that a URL holds already
//! - `renewal`: credentials that somebody is asked for when they are needed
//! - `endpoint`, `builder` and `access`: the URL taken apart, and all that a request to it must carry
//! - `scrub`: taking known secrets out of text that a server sent

mod access;
mod builder;
mod content;
mod cookie;
mod endpoint;
mod file;
mod forms;
mod header;
mod jwt;
mod percent;
mod placeholder;
mod placement;
mod renewal;
mod scrub;
mod secret;
mod url_keys;
mod validate;
mod variables;
mod wallet;

pub use access::Access;
pub use endpoint::Scheme;
pub use forms::{Credentials, Field, Fields};
pub use placement::Placement;
pub use renewal::{Question, Renewal, Source};
pub use secret::Secret;
pub use validate::{Finding, explain, validate};

pub(crate) use endpoint::Endpoint;
pub(crate) use variables::{in_fields, in_headers};

use std::fmt;

use super::error::{Error, Kind};

/// Credentials that cannot be right.
fn invalid(reason: impl fmt::Display) -> Error {
    Error::new(Kind::InvalidCredentials, format!("credentials: {reason}"))
        .with(|facts| facts.argument = Some("credentials"))
}

/// Credentials that are given in a wrong way.
fn misuse(reason: impl fmt::Display) -> Error {
    Error::argument("credentials", reason)
}
