//! Connections, opened before anything is timed: one for each worker, or by HTTP/2 one for up to 100.

use std::sync::Arc;

use bytes::Bytes;
use http::Uri;
use http_body_util::Full;
use hyper::client::conn::{http1, http2};
use hyper::rt::{Read, Write};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::Task;
use crate::exchange::{Client, Failure, Sender};

const STREAMS: usize = 100;
const STREAM_WINDOW: u32 = 2 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;

/// A client for each request in flight.
pub async fn all(task: &Task) -> Result<Vec<Client>, Failure> {
    let url: Uri = task.url.parse()?;
    let tls = (url.scheme_str() == Some("https")).then(|| tls(task)).transpose()?;
    let mut clients: Vec<Client> = Vec::with_capacity(task.in_flight);
    for number in 0..task.in_flight {
        let sender = match clients.last().map(|client| &client.sender) {
            Some(Sender::Many(sender)) if number % STREAMS > 0 => Sender::Many(sender.clone()),
            _ => dial(&url, tls.as_ref(), task.h2).await?,
        };
        clients.push(Client::new(sender, &url, number)?);
    }
    Ok(clients)
}

fn tls(task: &Task) -> Result<TlsConnector, Failure> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&task.ca)?)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![if task.h2 { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
    Ok(TlsConnector::from(Arc::new(config)))
}

async fn dial(url: &Uri, tls: Option<&TlsConnector>, h2: bool) -> Result<Sender, Failure> {
    let host = url.host().ok_or("the URL names no host")?;
    let stream = TcpStream::connect((host, url.port_u16().ok_or("the URL names no port")?)).await?;
    stream.set_nodelay(true)?;
    match tls {
        Some(tls) => {
            let name = ServerName::try_from(host.to_owned())?;
            handshake(TokioIo::new(tls.connect(name, stream).await?), h2).await
        }
        None => handshake(TokioIo::new(stream), h2).await,
    }
}

async fn handshake<S>(io: S, h2: bool) -> Result<Sender, Failure>
where
    S: Read + Write + Unpin + Send + 'static,
{
    if h2 {
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .handshake::<S, Full<Bytes>>(io)
            .await?;
        // The end of a connection is seen by its requests.
        tokio::task::spawn_local(async { drop(connection.await) });
        Ok(Sender::Many(sender))
    } else {
        let (sender, connection) = http1::handshake(io).await?;
        tokio::task::spawn_local(async { drop(connection.await) });
        Ok(Sender::One(sender))
    }
}
