//! From a host name to an open TCP socket: one address after the other, never two sockets at a time. Or a Unix socket.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::time::timeout;

use super::Route;
use super::socket::{Held, Socket};
use crate::engine::error::{Error, Kind, Result};

/// How long an address may take while there are others to try. The last one has all the time that the caller has.
const ATTEMPT: Duration = Duration::from_secs(2);

pub(super) async fn connect(route: &Route, held: Held) -> Result<Socket> {
    let addresses = addresses(route).await?;
    let mut failure = None;
    for (place, address) in addresses.iter().enumerate() {
        let attempt = TcpStream::connect(address);
        let outcome = if place + 1 < addresses.len() {
            timeout(ATTEMPT, attempt).await.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
        } else {
            attempt.await
        };
        match outcome {
            Ok(stream) => return Ok(Socket::new(stream, held)),
            Err(error) => failure = Some(error),
        }
    }
    let reason = failure.map_or_else(|| "the name has no address".to_owned(), |error| error_words(&error));
    Err(cannot_connect(route, &reason))
}

/// Open the Unix socket of the target.
pub(super) async fn connect_file(route: &Route, held: Held) -> Result<Socket<UnixStream>> {
    let path = route.target.file().ok_or_else(|| cannot_connect(route, "its path is not text"))?;
    match UnixStream::connect(path).await {
        Ok(stream) => Ok(Socket::of(stream, held)),
        Err(error) => Err(cannot_connect(route, &error_words(&error))),
    }
}

/// The addresses that may be dialled, the two families in turn.
async fn addresses(route: &Route) -> Result<Vec<SocketAddr>> {
    let target = &route.target;
    let found: Vec<SocketAddr> = match target.host().parse::<IpAddr>() {
        Ok(literal) => vec![SocketAddr::new(literal, target.port())],
        Err(_) => lookup_host((target.host(), target.port()))
            .await
            .map_err(|_| cannot_connect(route, "the name could not be resolved"))?
            .collect(),
    };
    let any = !found.is_empty();
    let may_be = |address: &SocketAddr| check(route, address.ip()).is_ok();
    let allowed: Vec<SocketAddr> = found.into_iter().filter(may_be).collect();
    if any && allowed.is_empty() {
        return Err(forbidden(route));
    }
    let (v6, v4): (Vec<_>, Vec<_>) = allowed.into_iter().partition(SocketAddr::is_ipv6);
    Ok(in_turn(v6, v4))
}

/// Refuse an address that may not be dialled. A name that stands for this machine, so that credentials may go there
/// unencrypted, must lead to this machine.
///
/// # Errors
/// `Security`.
pub(super) fn check(route: &Route, address: IpAddr) -> Result<()> {
    let is_elsewhere = route.target.is_loopback() && !address.to_canonical().is_loopback();
    if is_elsewhere || !route.addresses.allows(address) { Err(forbidden(route)) } else { Ok(()) }
}

pub(super) fn forbidden(route: &Route) -> Error {
    let message =
        format!("{}: the address of this host is not one that address_policy lets be dialled", route.target);
    Error::new(Kind::Security, message)
}

fn in_turn(first: Vec<SocketAddr>, second: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let mut merged = Vec::with_capacity(first.len() + second.len());
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    loop {
        match (first.next(), second.next()) {
            (None, None) => return merged,
            (a, b) => merged.extend(a.into_iter().chain(b)),
        }
    }
}

fn cannot_connect(route: &Route, reason: &str) -> Error {
    Error::new(Kind::ChainConnection, format!("cannot connect to {}: {reason}", route.target))
}

/// What went wrong, without the number and the address that the system adds.
fn error_words(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        std::io::ErrorKind::TimedOut => "no answer".to_owned(),
        std::io::ErrorKind::HostUnreachable => "host unreachable".to_owned(),
        std::io::ErrorKind::NetworkUnreachable => "network unreachable".to_owned(),
        other => other.to_string(),
    }
}
