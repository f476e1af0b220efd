//! Certificates for the tests: an authority, a server's and a client's.

use std::sync::Arc;

use genesis_replicator::engine::credentials::Secret;
use genesis_replicator::engine::transport::{ClientCert, TlsOptions};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::RootCertStore;
use rustls::server::WebPkiClientVerifier;
use rustls_pki_types::PrivateKeyDer;
use tokio_rustls::TlsAcceptor;

/// An authority that nobody knows unless told.
pub struct Authority {
    pem: String,
    certificate: rcgen::Certificate,
    issuer: Issuer<'static, KeyPair>,
}

/// How a server shakes hands.
#[derive(Clone)]
pub struct ServerTls(TlsAcceptor);

impl ServerTls {
    pub fn acceptor(&self) -> &TlsAcceptor {
        &self.0
    }
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self { pem: certificate.pem(), certificate, issuer: Issuer::new(params, key) }
    }

    /// What a client must be told to trust it.
    pub fn options(&self) -> TlsOptions {
        TlsOptions { ca: Some(self.pem.as_str().into()), client_cert: None }
    }

    /// A certificate for a client.
    pub fn client(&self) -> ClientCert {
        let (certificate, key) = self.signed("client");
        ClientCert { chain: certificate.pem().into(), key: Secret::new(key.serialize_pem()) }
    }

    /// A server for the loopback address that speaks `protocols`, and wants to see a client's certificate or not.
    pub fn server(&self, protocols: &[&str], wants_client: bool) -> ServerTls {
        let (certificate, key) = self.signed("127.0.0.1");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.der().clone()).unwrap();
        let builder = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = if wants_client {
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        } else {
            builder.with_no_client_auth()
        };
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let mut config = builder.with_single_cert(vec![certificate.der().clone()], key).unwrap();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        ServerTls(TlsAcceptor::from(Arc::new(config)))
    }

    fn signed(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }
}
