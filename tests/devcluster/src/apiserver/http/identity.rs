//! The certificate of the loopback door.
//!
//! kubectl sends no credentials over plain HTTP, so a door that asks for a token must speak TLS. The certificate signs itself, lives as
//! long as the server and travels in the kubeconfig.

use std::sync::Arc;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{
    ServerConfig,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use tokio_rustls::TlsAcceptor;

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
enum IdentityError {
    #[error("cannot make a certificate")]
    Make(#[from] rcgen::Error),
    #[error("cannot use the certificate")]
    Use(#[from] rustls::Error),
}

/// A certificate and what serves it.
#[derive(Clone)]
pub(in crate::apiserver) struct Identity {
    /// The certificate, PEM.
    pub(in crate::apiserver) certificate: String,
    pub(super) acceptor: TlsAcceptor,
}

impl Identity {
    /// A fresh identity for loopback names; `None` where the machine can make none, which is logged.
    pub(in crate::apiserver) fn generate() -> Option<Self> {
        match Self::make() {
            Ok(identity) => Some(identity),
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "the loopback door has no certificate"
                );
                None
            }
        }
    }

    fn make() -> Result<Self, IdentityError> {
        let names = ["127.0.0.1", "::1", "localhost"].map(str::to_owned);
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(names)?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)?;
        Ok(Self {
            certificate: cert.pem(),
            acceptor: TlsAcceptor::from(Arc::new(config)),
        })
    }
}
