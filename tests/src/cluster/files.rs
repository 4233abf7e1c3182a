//! The files of a cluster: one configuration for all nodes, passwords, certificates.

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use jiff::Timestamp;

use super::proxies::port_of;
use super::{ClusterOptions, HTTP_PORT, NAME, PEER_PORT, READER_PORT, WRITER_PORT};
use crate::proxysql::ADMIN;
use crate::sandbox::{Account, Host, SERVER_PORT, Sandbox};

/// The files of one cluster, in the sandbox's folder.
#[derive(Debug)]
pub struct Files {
    config: PathBuf,
    certificates: PathBuf,
}

impl Files {
    /// Writes all of them: passwords, certificates, folders of each node, and the configuration.
    ///
    /// # Errors
    /// When a file cannot be written, or is there already.
    pub fn write(sandbox: &Sandbox, options: &ClusterOptions) -> Result<Self> {
        let root = sandbox.root();
        let names = options.layout.names();
        let certificates = root.join("tls");
        let nodes = names.map(str::to_owned);
        batonctl::certs::make_all(NAME, &nodes, "admin", &certificates, false, Timestamp::now())?;
        secret(&root.join("baton.password"), Account::BATON.password)?;
        secret(&root.join("repl.password"), Account::REPL.password)?;
        secret(&root.join("proxysql.password"), ADMIN.1)?;
        for (host, name) in sandbox.hosts().iter().zip(names) {
            folders(sandbox, host, name)?;
        }
        let config = root.join("baton.toml");
        fs::write(&config, text(sandbox, options))
            .with_context(|| format!("cannot write {}", config.display()))?;
        Ok(Self { config, certificates })
    }

    /// Adds a node with a server: its certificate, its folders, and its entry in the configuration.
    pub(super) fn add(&self, sandbox: &Sandbox, host: &Host, name: &str) -> Result<()> {
        batonctl::certs::make_node(name, &[], &self.certificates, false, Timestamp::now())?;
        folders(sandbox, host, name)?;
        let mut config = OpenOptions::new().append(true).open(&self.config)?;
        Ok(config.write_all(entry(host, name, true).as_bytes())?)
    }

    /// The configuration file.
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// A certificate or key, by its file name.
    pub fn certificate(&self, name: &str) -> PathBuf {
        self.certificates.join(name)
    }
}

fn secret(path: &Path, password: &str) -> Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    writeln!(file, "{password}")?;
    Ok(())
}

/// A host's folder is named after the host: this is how `{node}` finds it.
fn folders(sandbox: &Sandbox, host: &Host, name: &str) -> Result<()> {
    symlink(host.folder(), sandbox.root().join(name))?;
    fs::create_dir_all(host.folder().join("baton/data"))?;
    Ok(fs::create_dir_all(host.folder().join("baton/run"))?)
}

fn entry(host: &Host, name: &str, has_server: bool) -> String {
    let address = host.address();
    let mut text = format!("\n[[node]]\nname = \"{name}\"\npeer = \"{address}:{PEER_PORT}\"\n");
    if has_server {
        let _ = writeln!(text, "server = \"{address}:{SERVER_PORT}\"");
    }
    text
}

fn text(sandbox: &Sandbox, options: &ClusterOptions) -> String {
    let root = sandbox.root().display();
    let mut text = format!("[cluster]\nname = \"{NAME}\"\n");
    for (index, (host, name)) in sandbox.hosts().iter().zip(options.layout.names()).enumerate() {
        text.push_str(&entry(host, name, index < options.layout.servers()));
    }
    let spare = sandbox.hosts().get(options.layout.names().len());
    if let Some((name, host)) = options.replica.zip(spare) {
        let address = host.address();
        let _ = write!(text, "\n[[replica]]\nname = \"{name}\"\nserver = \"{address}:{SERVER_PORT}\"\n");
    }
    let _ = write!(
        text,
        "\n[server]\nuser = \"{user}\"\npassword_file = \"{root}/baton.password\"\n\
         replication_user = \"{repl}\"\nreplication_password_file = \"{root}/repl.password\"\n\
         socket = \"{root}/{{node}}/mysqld.sock\"\n\
         \n[router]\nwriter_listen = \"0.0.0.0:{WRITER_PORT}\"\nreader_listen = \"0.0.0.0:{READER_PORT}\"\n\
         \n[http]\nlisten = \"0.0.0.0:{HTTP_PORT}\"\n\
         \n[tls]\nca = \"{root}/tls/ca.pem\"\ncert = \"{root}/tls/{{node}}.pem\"\nkey = \"{root}/tls/{{node}}.key\"\n\
         \n[rebuild]\nstart = [\"/bin/sh\", \"{root}/{{node}}/start-server\"]\n\
         stop = [\"/bin/sh\", \"{root}/{{node}}/stop-server\"]\n\
         mariadb_backup = \"{root}/{{node}}/tools/mariadb-backup\"\n\
         \n[paths]\ndata = \"{root}/{{node}}/baton/data\"\nrun = \"{root}/{{node}}/baton/run\"\n",
        user = Account::BATON.user,
        repl = Account::REPL.user,
    );
    for index in 0..options.proxies {
        let (address, port, user) = (sandbox.client().address(), port_of(index), ADMIN.0);
        let _ = write!(
            text,
            "\n[[proxysql]]\nname = \"proxy{}\"\nadmin = \"{address}:{port}\"\nuser = \"{user}\"\n\
             password_file = \"{root}/proxysql.password\"\n",
            index + 1
        );
    }
    // One fault after the other is what tests are for.
    let any_number = "flap_limit = 0".to_owned();
    let limited = options.failover.iter().any(|line| line.starts_with("flap_limit"));
    let lines: Vec<String> = (!limited)
        .then_some(any_number)
        .into_iter()
        .chain(options.failover.iter().map(ToString::to_string))
        .collect();
    let _ = write!(
        text,
        "\n[failover]\n{}\n{}",
        lines.join("\n"),
        options.sections.replace("{root}", &root.to_string())
    );
    text
}
