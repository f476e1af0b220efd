//! JSON-RPC 2.0 as text: making requests, matching answers to them by id. No I/O.

mod answer;
mod check;
mod request;

pub use answer::{Answer, match_batch, match_one};
pub use request::{Draft, Request, Written, encode_batch, encode_one};
