//! JSON-RPC 2.0 as text: making requests, matching answers to them by id, finding whom a message is for. No I/O.

mod addressee;
mod answer;
mod check;
mod request;

pub use addressee::{Addressee, addressee, subscription_in};
pub use answer::{Answer, Answers, INVALID_REQUEST, match_batch, match_one};
pub use request::{Draft, Request, Written, encode_batch, encode_one};
