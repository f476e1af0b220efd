//! The engine against real sockets: a small server on the loopback interface, scripted, which counts what it sees.

// Helpers of tests are no tests to clippy.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bound;
mod connection;
mod endings;
mod left_alone;
mod manager;
mod matching;
mod multiplexed;
mod peers;
mod phases;
mod pool_life;
mod refused;
mod server;
mod sockets;
mod support;
mod tls;
mod transport;
