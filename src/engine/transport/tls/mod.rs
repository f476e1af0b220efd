//! TLS: the platform's trust store, a private CA beside it, a client certificate. Verification cannot be turned off.

mod overheard;

use std::io::Read;
use std::sync::Arc;

use rustls::client::WantsClientCert;
use rustls::{ClientConfig, ConfigBuilder, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls_platform_verifier::Verifier;
use tokio_rustls::TlsConnector;

use super::socket::Socket;
use crate::engine::credentials::Secret;
use crate::engine::error::{Error, Kind, Result};
use crate::engine::printable::printable;
use crate::engine::target::Target;

pub(super) use overheard::{LastWords, Overheard};

/// Who is trusted besides the platform's authorities, and who we are. Both as PEM text.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TlsOptions {
    /// Certificates of further authorities.
    pub ca: Option<Arc<str>>,
    /// What we show to a server that asks.
    pub client_cert: Option<ClientCert>,
}

/// A certificate chain and its private key, as PEM text.
#[derive(Debug, Clone, PartialEq)]
pub struct ClientCert {
    /// The certificates, ours first.
    pub chain: Arc<str>,
    /// The key of the first of them.
    pub key: Secret,
}

/// Whether the options can be used, without the system's trust store.
pub(super) fn check(options: &TlsOptions) -> Result<()> {
    if let Some(pem) = options.ca.as_deref() {
        certificates("ca", pem)?;
    }
    if options.client_cert.is_some() {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::new(Kind::Tls, error.to_string()))?
            .with_root_certificates(RootCertStore::empty());
        identify(builder, options)?;
    }
    Ok(())
}

/// A client configuration with these options that speaks TLS 1.2 and 1.3.
pub(super) fn config(options: &TlsOptions) -> Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let extra = options.ca.as_deref().map_or_else(|| Ok(Vec::new()), |pem| certificates("ca", pem))?;
    let verifier = Verifier::new_with_extra_roots(extra, Arc::clone(&provider))
        .map_err(|_| Error::argument("ca", "the trusted certificates of this system cannot be loaded"))?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|error| Error::new(Kind::Tls, error.to_string()))?
        // What rustls calls dangerous is any verifier but its own; this one is the platform's.
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    identify(builder, options)
}

/// Add who we are.
fn identify(
    builder: ConfigBuilder<ClientConfig, WantsClientCert>,
    options: &TlsOptions,
) -> Result<ClientConfig> {
    match &options.client_cert {
        None => Ok(builder.with_no_client_auth()),
        Some(cert) => builder
            .with_client_auth_cert(certificates("client_cert", &cert.chain)?, private_key(&cert.key)?)
            .map_err(|_| Error::argument("client_cert", "the key does not fit the certificate")),
    }
}

/// A configuration for connections of our own, which may be HTTP/2.
pub(super) fn direct_config(options: &TlsOptions) -> Result<ClientConfig> {
    let mut config = config(options)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// Shake hands with the server of `target`.
pub(super) async fn handshake(
    config: &Arc<ClientConfig>,
    target: &Target,
    socket: Socket,
) -> Result<Overheard> {
    let name = ServerName::try_from(target.host().to_owned())
        .map_err(|_| Error::argument("endpoint", "the host is not a name that a certificate could be for"))?;
    let stream = TlsConnector::from(Arc::clone(config)).connect(name, socket).await;
    stream.map(Overheard::new).map_err(|error| {
        let is_tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()).is_some();
        let kind = if is_tls { Kind::Tls } else { Kind::ChainConnection };
        // Names of the certificate may be in it.
        let reason = printable(&error.to_string());
        Error::new(kind, format!("TLS handshake with {target} failed: {reason}"))
    })
}

fn certificates(argument: &'static str, pem: &str) -> Result<Vec<CertificateDer<'static>>> {
    let found: std::result::Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match found {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(Error::argument(argument, "must be a file that holds certificates in PEM form")),
    }
}

fn private_key(pem: &Secret) -> Result<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_slice(pem.expose().as_bytes())
        .map_err(|_| Error::argument("client_cert", "must hold a private key in PEM form"))
}

/// PEM text, or the file that holds it.
#[derive(Debug)]
pub enum Pem {
    /// The text itself.
    Text(Secret),
    /// The path of a file; a text that is PEM by its look counts as itself.
    Path(std::path::PathBuf),
}

impl Pem {
    /// The text.
    ///
    /// # Errors
    /// `Configuration` naming `argument` when the file cannot be read.
    pub fn read(self, argument: &'static str) -> Result<Secret> {
        match self {
            Self::Text(text) => Ok(text),
            Self::Path(path) if path.to_string_lossy().trim_start().starts_with("-----BEGIN") => {
                Ok(Secret::new(path.to_string_lossy().into_owned()))
            }
            Self::Path(path) => read_file(&path).map_err(|error| {
                Error::argument(argument, format!("the file cannot be read: {}", error.kind()))
            }),
        }
    }
}

/// The start of a file: what does not fit is no certificate.
fn read_file(path: &std::path::Path) -> std::io::Result<Secret> {
    const LONGEST: u64 = 1 << 20;
    let mut text = String::new();
    std::fs::File::open(path)?.take(LONGEST).read_to_string(&mut text)?;
    Ok(Secret::new(text))
}
