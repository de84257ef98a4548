//! Reaching a server: where it is, who asks, and how the connection is protected.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::fault::Server;
use crate::backend::{BackendError, Remedy};
use crate::secret::aws::install_tls;
use crate::secret::{Parameter, SecretError, Vault};

/// How long a server may take to answer at all.
const PATIENCE: Duration = Duration::from_secs(15);

/// Where a database is and who asks.
#[derive(Clone, Debug)]
pub struct Login {
    /// The host.
    pub host: Parameter,
    /// The port.
    pub port: Parameter,
    /// The database.
    pub database: Parameter,
    /// The user.
    pub user: Parameter,
    /// The password.
    pub password: Option<Parameter>,
    /// How the connection is protected.
    pub tls: Tls,
}

/// How a connection is protected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tls {
    /// Not at all.
    Disable,
    /// Encrypted, whoever answers.
    Require,
    /// Encrypted, the server's certificate checked by those of a file, or of the machine.
    Verify(Option<PathBuf>),
}

impl Login {
    /// The secrets it needs.
    pub fn secrets(&self) -> Vec<String> {
        let all = [Some(&self.host), Some(&self.port), Some(&self.database), Some(&self.user), self.password.as_ref()];
        let name = |parameter: &Parameter| match parameter {
            Parameter::Secret(name) => Some(name.clone()),
            Parameter::Plain(_) => None,
        };
        all.into_iter().flatten().filter_map(name).collect()
    }

    /// Connects. `name` is what `pipe.yaml` calls the connection.
    pub(in crate::transfer) async fn open(
        &self,
        name: &str,
        vault: &Arc<Vault>,
    ) -> Result<(Client, Server), BackendError> {
        vault.prepare(&self.secrets()).await.map_err(|errors| denied(name, &errors))?;
        let value = async |parameter: &Parameter| vault.value(parameter).await.map_err(|error| denied(name, &[error]));
        let (host, port) = (value(&self.host).await?, value(&self.port).await?);
        let (database, user) = (value(&self.database).await?, value(&self.user).await?);
        let mut config = Config::new();
        let port: u16 = port
            .expose()
            .parse()
            .map_err(|_| BackendError::new(Remedy::Access, format!("the port of connection `{name}` is no number")))?;
        config.host(host.expose()).port(port).dbname(database.expose()).user(user.expose());
        config.application_name("pipe").connect_timeout(PATIENCE).keepalives_idle(Duration::from_secs(60));
        if let Some(password) = &self.password {
            config.password(value(password).await?.expose());
        }
        let shown = |parameter: &Parameter, value: &str| match parameter {
            Parameter::Plain(_) => value.to_owned(),
            Parameter::Secret(_) => "[secret]".to_owned(),
        };
        let server = Server {
            place: format!("{}:{port}", shown(&self.host, host.expose())),
            database: shown(&self.database, database.expose()),
            user: shown(&self.user, user.expose()),
            connection: name.to_owned(),
            vault: vault.clone(),
        };
        let client = connect(config, &self.tls, &server).await?;
        Ok((client, server))
    }
}

fn denied(name: &str, errors: &[SecretError]) -> BackendError {
    let told: Vec<String> = errors.iter().map(ToString::to_string).collect();
    BackendError::new(Remedy::Access, format!("connection `{name}`: {}", told.join("; ")))
}

async fn connect(mut config: Config, tls: &Tls, server: &Server) -> Result<Client, BackendError> {
    let wrong = |error: &tokio_postgres::Error| server.explained(error);
    let watched = |ended: Result<(), tokio_postgres::Error>| {
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection to PostgreSQL ended");
        }
    };
    if *tls == Tls::Disable {
        config.ssl_mode(SslMode::Disable);
        let (client, connection) = config.connect(NoTls).await.map_err(|error| wrong(&error))?;
        tokio::spawn(async move { watched(connection.await) });
        return Ok(client);
    }
    config.ssl_mode(SslMode::Require);
    let connector = MakeRustlsConnect::new(protection(tls)?);
    let (client, connection) = config.connect(connector).await.map_err(|error| wrong(&error))?;
    tokio::spawn(async move { watched(connection.await) });
    Ok(client)
}

fn protection(tls: &Tls) -> Result<ClientConfig, BackendError> {
    install_tls();
    let Tls::Verify(file) = tls else {
        let anyone = Anyone(Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
        let config = ClientConfig::builder().dangerous().with_custom_certificate_verifier(Arc::new(anyone));
        return Ok(config.with_no_client_auth());
    };
    let mut roots = RootCertStore::empty();
    let certificates = match file {
        Some(path) => of_file(path)?,
        None => rustls_native_certs::load_native_certs().certs,
    };
    roots.add_parsable_certificates(certificates);
    if roots.is_empty() {
        let message = "there is no certificate to check the server by; name a file with `ca:`";
        return Err(BackendError::new(Remedy::Access, message));
    }
    Ok(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
}

fn of_file(path: &Path) -> Result<Vec<CertificateDer<'static>>, BackendError> {
    let wrong = |error: rustls::pki_types::pem::Error| {
        BackendError::new(Remedy::Access, format!("`{}` is no file of certificates: {error}", path.display()))
    };
    CertificateDer::pem_file_iter(path).map_err(wrong)?.collect::<Result<_, _>>().map_err(wrong)
}

/// Takes any certificate, which `tls: require` asks for: the connection is encrypted, whoever is at its other end.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
