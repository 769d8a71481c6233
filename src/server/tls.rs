//! The certificate of a port, reloaded when its files change.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

/// Interval between two reads of the certificate files.
const LOOK_AT_FILES: Duration = Duration::from_secs(10);

/// Certificate chain and private key, in PEM form.
type Pem = (Vec<u8>, Vec<u8>);

/// The certificate of a port.
pub struct Tls {
    files: (PathBuf, PathBuf),
    content: Pem,
    config: Arc<RwLock<Arc<ServerConfig>>>,
}

/// Accepts connections with the current certificate.
#[derive(Clone)]
pub(super) struct Acceptor(Arc<RwLock<Arc<ServerConfig>>>);

impl Acceptor {
    pub(super) fn now(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.0.read()))
    }
}

impl Tls {
    /// Reads certificate chain and private key.
    ///
    /// # Errors
    /// They can't be read or used.
    pub async fn load(files: (PathBuf, PathBuf)) -> Result<Self, String> {
        let content = read(&files).await?;
        let config = Arc::new(RwLock::new(config(&files, &content)?));
        Ok(Self {
            files,
            content,
            config,
        })
    }

    pub(super) fn acceptor(&self) -> Acceptor {
        Acceptor(Arc::clone(&self.config))
    }

    /// Reloads changed certificate files. Never returns. If they can't be used, the previous
    /// certificate stays in use. Files are compared by content, because a mounted Secret changes
    /// through a symbolic link, which causes no reliable event.
    pub(super) async fn reload(mut self) {
        let mut look = tokio::time::interval(LOOK_AT_FILES);
        loop {
            look.tick().await;
            let now = match read(&self.files).await {
                Ok(now) if now == self.content => continue,
                Ok(now) => now,
                Err(error) => {
                    tracing::error!(%error, "Keeping the certificate in use");
                    continue;
                }
            };
            match config(&self.files, &now) {
                Ok(config) => {
                    *self.config.write() = config;
                    tracing::info!("Loaded a new certificate");
                }
                Err(error) => tracing::error!(error, "Keeping the certificate in use"),
            }
            self.content = now;
        }
    }
}

async fn read(files: &(PathBuf, PathBuf)) -> Result<Pem, String> {
    let read = async |path: &PathBuf| {
        let content = tokio::fs::read(path).await;
        content.map_err(|error| format!("TLS file {}: {error}", path.display()))
    };
    Ok((read(&files.0).await?, read(&files.1).await?))
}

fn config(files: &(PathBuf, PathBuf), pem: &Pem) -> Result<Arc<ServerConfig>, String> {
    let unusable = |error: &dyn std::fmt::Display| {
        let (certificate, key) = (files.0.display(), files.1.display());
        format!("TLS files {certificate} and {key} can't be used: {error}")
    };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem.0).collect();
    let chain = chain.map_err(|error| unusable(&error))?;
    let key = PrivateKeyDer::from_pem_slice(&pem.1).map_err(|error| unusable(&error))?;
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key);
    let mut config = config.map_err(|error| unusable(&error))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
