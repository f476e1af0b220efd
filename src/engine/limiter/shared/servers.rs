//! Where a shared limit is kept: one server, or the nodes of a cluster. Only here are connections to them made.

use std::fmt;
use std::time::Duration;

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, FromRedisValue, RedisResult, ServerErrorKind, cmd,
};
use tokio::time::timeout;
use url::Url;

use crate::engine::credentials::Secret;
use crate::engine::error::{Error, Result};

use super::call::{Argument, words};

/// How long an answer may take; after that the server counts as away.
pub(super) const PATIENCE: Duration = Duration::from_millis(50);
/// How long connecting may take. Nobody waits for it: by then the policy for outages decides.
const DIAL: Duration = Duration::from_secs(1);

const SCHEMES: [&str; 4] = ["redis", "rediss", "valkey", "valkeys"];

/// Servers that are known by their URLs. Printed without user and password.
#[derive(Clone)]
pub struct Servers {
    client: AnyClient,
    shown: String,
}

#[derive(Clone)]
enum AnyClient {
    One(Box<Client>),
    Cluster(Box<ClusterClient>),
}

impl Servers {
    /// One server.
    ///
    /// # Errors
    /// `Configuration` naming `shared`, without the URL.
    pub fn one(url: &Secret) -> Result<Self> {
        let (url, shown) = parse(url)?;
        let client = Client::open(url).map_err(|error| unusable(error.category()))?;
        Ok(Self { client: AnyClient::One(Box::new(client)), shown })
    }

    /// A cluster, of which some nodes are known.
    ///
    /// # Errors
    /// `Configuration` naming `shared`, without the URLs.
    pub fn cluster(urls: &[Secret]) -> Result<Self> {
        let parsed: Vec<(Url, String)> = urls.iter().map(parse).collect::<Result<_>>()?;
        let (urls, shown): (Vec<Url>, Vec<String>) = parsed.into_iter().unzip();
        if urls.is_empty() {
            return Err(unusable("the list of nodes is empty"));
        }
        let client = ClusterClient::builder(urls)
            .connection_timeout(DIAL)
            .response_timeout(PATIENCE)
            .build()
            .map_err(|error| unusable(error.category()))?;
        Ok(Self { client: AnyClient::Cluster(Box::new(client)), shown: shown.join(", ") })
    }

    /// Connects and leaves the script there.
    pub(super) async fn connect(&self, script: &'static str) -> std::result::Result<Connection, String> {
        let opening = async {
            let mut link = match &self.client {
                AnyClient::One(client) => {
                    let config =
                        AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
                    Link::One(client.get_multiplexed_async_connection_with_config(&config).await?)
                }
                AnyClient::Cluster(client) => Link::Cluster(client.get_async_connection().await?),
            };
            let hash = link.run(cmd("SCRIPT").arg("LOAD").arg(script)).await?;
            Ok(Connection { link, script, hash })
        };
        match timeout(DIAL, opening).await {
            Ok(opened) => opened.map_err(|error: redis::RedisError| words(&error)),
            Err(_) => Err("no answer in time".to_owned()),
        }
    }
}

impl fmt::Display for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Servers({})", self.shown)
    }
}

/// The URL, and what may be shown of it.
fn parse(text: &Secret) -> Result<(Url, String)> {
    let url = Url::parse(text.expose()).map_err(|_| unusable("must be a URL like redis://host:6379/0"))?;
    if !SCHEMES.contains(&url.scheme()) {
        return Err(unusable("must be a URL with the scheme redis, rediss, valkey or valkeys"));
    }
    if url.fragment().is_some() {
        return Err(unusable("must be a URL without a fragment: certificates are always verified"));
    }
    // The host ends at a `/` or `?` of the password, so that the rest of it would stand behind the host.
    if url.path().contains('@') || url.query().is_some_and(|query| query.contains('@')) {
        return Err(unusable("must be a URL with user and password percent-encoded"));
    }
    let Some(host) = url.host_str().filter(|host| !host.is_empty()) else {
        return Err(unusable("must be a URL that names a host"));
    };
    let shown = format!("{}://{host}:{}", url.scheme(), url.port().unwrap_or(6379));
    Ok((url, shown))
}

fn unusable(reason: &str) -> Error {
    Error::argument("shared", reason)
}

/// A connection on which the script is known. Dropped as soon as anything goes wrong on it. Clones share it.
#[derive(Clone)]
pub(super) struct Connection {
    link: Link,
    script: &'static str,
    hash: String,
}

#[derive(Clone)]
enum Link {
    One(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Link {
    async fn run<T: FromRedisValue>(&mut self, command: &Cmd) -> RedisResult<T> {
        async fn on<C: ConnectionLike, T: FromRedisValue>(link: &mut C, command: &Cmd) -> RedisResult<T> {
            command.query_async(link).await
        }
        match self {
            Self::One(link) => on(link, command).await,
            Self::Cluster(link) => on(link, command).await,
        }
    }
}

impl Connection {
    /// Runs the script in one round trip; in two if the server has forgotten it.
    pub(super) async fn ask<T: FromRedisValue>(
        &mut self,
        keys: &[&str],
        arguments: &[Argument<'_>],
    ) -> std::result::Result<T, String> {
        let by = |command: &str, script: &str| {
            cmd(command).arg(script).arg(keys.len()).arg(keys).arg(arguments).clone()
        };
        let asking = async {
            let answer = self.link.run(&by("EVALSHA", &self.hash)).await;
            match answer {
                Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                    self.link.run(&by("EVAL", self.script)).await
                }
                answer => answer,
            }
        };
        match timeout(PATIENCE, asking).await {
            Ok(answer) => answer.map_err(|error| words(&error)),
            Err(_) => Err(format!("no answer within {PATIENCE:?}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_its_password_however_that_is_written() {
        let shown = |url: &str| Servers::one(&Secret::new(url)).map(|servers| servers.to_string());
        assert_eq!(shown("redis://user:12%2F34@host:7000/0").unwrap(), "redis://host:7000");
        for url in ["redis://user:12/34@host/0", "redis://user:12?34@host/0", "redis://:12#34@host/0"] {
            let error = shown(url).unwrap_err();
            assert!(!format!("{error:?}").contains("12"), "{error:?}");
        }
    }
}
