//! Connections to one endpoint: waiting for one in order, opening, keeping, sharing and closing them.
//!
//! The way to a connection: a `Ticket` of the gate (may I use one?), then the store (is one idle?), then a `Permit` of
//! the gate (may there be one more socket?), then the dialer. Whatever is held on that way is held by a value that
//! gives it back when it is dropped, so a caller may go away at any point.

mod backoff;
mod chance;
mod connection;
mod cooldown;
mod core;
mod dials;
mod gate;
mod held_back;
mod holders;
mod home;
mod lease;
mod limits;
mod proof;
mod requests;
mod sharing;
mod sockets;
mod store;
mod subscription;
mod upkeep;
mod waiting;

pub(super) use self::core::CutAtEnd;
pub use self::core::{Parts, Pool};
pub use connection::Connection;
pub use cooldown::Cooldown;
pub use gate::Gate;
pub use home::Settings;
pub use lease::Lease;
pub use subscription::Subscription;
