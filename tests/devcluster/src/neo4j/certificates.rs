//! Certificates for Neo4j clusters: one authority for a devcluster, names and addresses as clients dial them.

use std::net::IpAddr;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio_rustls::TlsAcceptor;

use crate::controllers::runtime::IssuedCertificate;

/// Ordinals of a pool that get a name of their own; the wildcard has the rest.
const NAMED_PODS: u32 = 3;

/// An authority.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    ca_crt: String,
}

/// Why a certificate cannot be made or used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// It cannot be made.
    #[error("certificate: {0}")]
    Make(#[from] rcgen::Error),
    /// The PEM holds nothing of use.
    #[error("PEM: {0}")]
    Pem(#[from] rustls::pki_types::pem::Error),
    /// Certificate and key do not fit.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
}

impl Authority {
    /// A new authority.
    pub fn new() -> Result<Self, CertificateError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::<String>::new())?;
        params
            .distinguished_name
            .push(DnType::CommonName, "devcluster authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let ca_crt = params.self_signed(&key)?.pem();
        Ok(Self {
            issuer: Issuer::new(params, key),
            ca_crt,
        })
    }

    /// A certificate for a Neo4j cluster: its Services, its pods, and these addresses.
    pub fn issue(
        &self,
        namespace: &str,
        cluster: &str,
        domain: &str,
        addresses: impl IntoIterator<Item = IpAddr>,
    ) -> Result<IssuedCertificate, CertificateError> {
        let mut params = CertificateParams::new(names(namespace, cluster, domain))?;
        let addresses = addresses.into_iter().map(SanType::IpAddress);
        params.subject_alt_names.extend(addresses);
        // A common name has room for 64 bytes.
        let common: String = cluster.chars().take(64).collect();
        params.distinguished_name.push(DnType::CommonName, common);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(IssuedCertificate {
            ca_crt: self.ca_crt.clone(),
            tls_crt: certificate.pem(),
            tls_key: key.serialize_pem(),
        })
    }
}

/// The DNS names of a cluster: client and headless Service in four forms each, the first pods, all pods by wildcard.
fn names(namespace: &str, cluster: &str, domain: &str) -> Vec<String> {
    let mut names = Vec::new();
    for service in [format!("{cluster}-client"), format!("{cluster}-headless")] {
        let short = format!("{service}.{namespace}");
        names.extend([
            service,
            short.clone(),
            format!("{short}.svc"),
            format!("{short}.svc.{domain}"),
        ]);
    }
    let headless = format!("{cluster}-headless.{namespace}.svc.{domain}");
    for pool in ["server", "primary", "secondary"] {
        names.extend((0..NAMED_PODS).map(|ordinal| format!("{cluster}-{pool}-{ordinal}.{headless}")));
    }
    names.push(format!("*.{headless}"));
    names.push("localhost".to_owned());
    names
}

/// What a server needs to speak TLS with this certificate and key.
pub fn acceptor(certificate: &[u8], key: &[u8]) -> Result<TlsAcceptor, CertificateError> {
    let chain = CertificateDer::pem_slice_iter(certificate).collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_slice(key)?;
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    Ok(TlsAcceptor::from(std::sync::Arc::new(config)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issued_pair_can_serve_and_a_foreign_key_cannot() {
        let authority = Authority::new().unwrap();
        let issue = || {
            authority
                .issue("ns", "c", "cluster.local", [IpAddr::from([127, 16, 0, 1])])
                .unwrap()
        };
        let (one, two) = (issue(), issue());
        assert!(acceptor(one.tls_crt.as_bytes(), one.tls_key.as_bytes()).is_ok());
        assert!(acceptor(one.tls_crt.as_bytes(), two.tls_key.as_bytes()).is_err());
        assert!(acceptor(b"", b"no key").is_err());
    }
}
