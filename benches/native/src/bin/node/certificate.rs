//! A certificate for the loopback address, made anew at every start.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls_pki_types::PrivateKeyDer;
use tokio_rustls::TlsAcceptor;

/// A certificate and its key.
pub struct Certificate {
    certificate: rcgen::Certificate,
    key: KeyPair,
}

impl Certificate {
    /// Issue one. `ca` gets what clients must trust, as PEM.
    pub fn issued(ca: &Path) -> Result<Self, Box<dyn Error>> {
        let mut authority = CertificateParams::new(Vec::new())?;
        // A name unlike that of the certificate, which OpenSSL would else take for one that signed itself.
        authority.distinguished_name.push(DnType::CommonName, "benchmark authority");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority_key = KeyPair::generate()?;
        std::fs::write(ca, authority.self_signed(&authority_key)?.pem())?;
        let key = KeyPair::generate()?;
        let names = CertificateParams::new(vec!["127.0.0.1".to_owned(), "localhost".to_owned()])?;
        let certificate = names.signed_by(&key, &Issuer::new(authority, authority_key))?;
        Ok(Self { certificate, key })
    }

    /// What shakes hands with TLS clients and lets them choose among these protocols.
    pub fn speaking(&self, protocols: &[&str]) -> Result<TlsAcceptor, Box<dyn Error>> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let key = PrivateKeyDer::try_from(self.key.serialize_der())?;
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.der().clone()], key)?;
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}
