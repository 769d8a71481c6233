//! Certificates for a token server that speaks TLS.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, SanType,
};

/// A certification authority for one test.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        let name = "authority of a test";
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    /// The certificate of the authority.
    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// Certificate and private key of a server at 127.0.0.1.
    pub(crate) fn server(&self) -> (String, String) {
        let mut params = CertificateParams::default();
        let name = "token server of a test";
        params.distinguished_name.push(DnType::CommonName, name);
        params.subject_alt_names = vec![SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST))];
        params.use_authority_key_identifier_extension = true;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        (certificate.pem(), key.serialize_pem())
    }
}

/// The files of a server, named like the keys of a Secret of type `kubernetes.io/tls`.
pub(crate) struct TlsFiles(PathBuf);

impl TlsFiles {
    pub(crate) fn new(folder: &Path) -> Self {
        std::fs::create_dir_all(folder).unwrap();
        Self(folder.to_owned())
    }

    /// Writes a certificate and its key.
    pub(crate) fn put(&self, (certificate, key): &(String, String)) {
        std::fs::write(self.0.join("tls.crt"), certificate).unwrap();
        std::fs::write(self.0.join("tls.key"), key).unwrap();
    }

    /// The flags that name the files.
    pub(crate) fn flags(&self) -> [String; 2] {
        let path = |name| self.0.join(name).display().to_string();
        [
            format!("--tls-cert-file={}", path("tls.crt")),
            format!("--tls-key-file={}", path("tls.key")),
        ]
    }
}
