//! Certificates, keys and tokens of one control plane, made anew for each.

use std::fs::File;
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, SanType,
};

use crate::error::{IoContext, Result};
use crate::folder::Folder;
use crate::kubeconfig::write_private;

/// The first address of the Service range, which is the Service `kubernetes`.
const SERVICE_ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));

/// Files for the servers' flags, and the secrets that the control plane uses itself.
pub(crate) struct Credentials {
    pub(crate) ca_pem: String,
    pub(crate) ca_file: PathBuf,
    pub(crate) server_certificate: PathBuf,
    pub(crate) server_key: PathBuf,
    pub(crate) service_account_key: PathBuf,
    pub(crate) service_account_public_key: PathBuf,
    pub(crate) tokens: PathBuf,
    pub(crate) admin_token: String,
    pub(crate) controller_manager_token: String,
}

impl Credentials {
    pub(crate) fn create(folder: &Folder) -> Result<Self> {
        let write = |name: &str, content: &str| -> Result<PathBuf> {
            let path = folder.file(name);
            write_private(&path, content)?;
            Ok(path)
        };
        let ca = CertifiedIssuer::self_signed(ca_params(), KeyPair::generate()?)?;
        let server_key = KeyPair::generate()?;
        let server = server_params()?.signed_by(&server_key, &ca)?;
        let service_accounts = KeyPair::generate()?;
        let admin_token = random_token()?;
        let controller_manager_token = random_token()?;
        Ok(Self {
            ca_file: write("ca.crt", &ca.pem())?,
            ca_pem: ca.pem(),
            server_certificate: write("apiserver.crt", &server.pem())?,
            server_key: write("apiserver.key", &server_key.serialize_pem())?,
            service_account_key: write("service-accounts.key", &service_accounts.serialize_pem())?,
            service_account_public_key: write(
                "service-accounts.pub",
                &service_accounts.public_key_pem(),
            )?,
            tokens: write(
                "tokens.csv",
                &format!(
                    "{admin_token},admin,admin,system:masters\n\
                     {controller_manager_token},system:kube-controller-manager,kube-controller-manager\n"
                ),
            )?,
            admin_token,
            controller_manager_token,
        })
    }
}

fn ca_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params
        .distinguished_name
        .push(DnType::CommonName, "controlplane CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn server_params() -> Result<CertificateParams> {
    let names = [
        "localhost",
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
    ];
    let mut params = CertificateParams::new(names.map(String::from))?;
    params
        .subject_alt_names
        .push(SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)));
    params
        .subject_alt_names
        .push(SanType::IpAddress(SERVICE_ADDRESS));
    params
        .distinguished_name
        .push(DnType::CommonName, "kube-apiserver");
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    Ok(params)
}

/// 128 random bits in hexadecimal.
fn random_token() -> Result<String> {
    Ok(format!("{:032x}", u128::from_ne_bytes(random_bytes()?)))
}

/// Random bytes for secrets.
fn random_bytes<const N: usize>() -> Result<[u8; N]> {
    let source = Path::new("/dev/urandom");
    let mut bytes = [0; N];
    File::open(source)
        .and_then(|mut file| file.read_exact(&mut bytes))
        .context("read", source)?;
    Ok(bytes)
}
