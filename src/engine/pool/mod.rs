//! Connections to one endpoint: waiting for one in order, opening, keeping, sharing and closing them.
//!
//! The way to a connection: a `Ticket` of the gate (may I use one?), then the store (is one idle?), then a `Permit` of
//! the gate (may there be one more socket?), then the dialer. Whatever is held on that way is held by a value that
//! gives it back when it is dropped, so a caller may go away at any point.

mod connection;
mod gate;
mod holders;
mod home;
mod lease;
mod pool;
mod sharing;
mod store;
mod upkeep;

pub use connection::Connection;
pub use gate::Gate;
pub use home::Settings;
pub use lease::Lease;
pub use pool::{Parts, Pool};
