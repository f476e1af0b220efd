//! The engine against real sockets: a small server on the loopback interface, scripted, which counts what it sees.

mod bound;
mod connection;
mod manager;
mod multiplexed;
mod pool_life;
mod server;
mod support;
mod tls;
mod transport;
