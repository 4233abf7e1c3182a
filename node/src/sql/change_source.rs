//! The statements that point a replica at its source, and the care for the password in them.

use secrecy::ExposeSecret;

use super::error::SqlError;
use super::fields::quote;
use super::managed::Source;

/// MySQL's. While the applier runs, `auto_position` may not be named; it keeps its value then.
pub(super) fn change_mysql(source: &Source, auto_position: bool) -> String {
    let mut sql = format!(
        "CHANGE REPLICATION SOURCE TO SOURCE_HOST={}, SOURCE_PORT={}, SOURCE_USER={}, SOURCE_PASSWORD={}, \
         SOURCE_CONNECT_RETRY=1, SOURCE_RETRY_COUNT=86400, SOURCE_HEARTBEAT_PERIOD=0.5, GET_SOURCE_PUBLIC_KEY=1",
        quote(&source.host),
        source.port,
        quote(&source.user),
        quote(source.password.expose_secret()),
    );
    if auto_position {
        sql.push_str(", SOURCE_AUTO_POSITION=1");
    }
    sql + &tls(source, "SOURCE")
}

/// MariaDB's.
pub(super) fn change_mariadb(source: &Source) -> String {
    format!(
        "CHANGE MASTER TO MASTER_HOST={}, MASTER_PORT={}, MASTER_USER={}, MASTER_PASSWORD={}, \
         MASTER_CONNECT_RETRY=1, MASTER_HEARTBEAT_PERIOD=0.5, MASTER_USE_GTID=slave_pos{}",
        quote(&source.host),
        source.port,
        quote(&source.user),
        quote(source.password.expose_secret()),
        tls(source, "MASTER"),
    )
}

/// Each option is named, off or on, because a change of source keeps those that are not.
fn tls(source: &Source, side: &str) -> String {
    let (on, tls) = match &source.tls {
        None => (0, Default::default()),
        Some(tls) => (1, tls.clone()),
    };
    let path = |value: &Option<String>| quote(value.as_deref().unwrap_or_default());
    let verify = u8::from(tls.ca.is_some());
    format!(
        ", {side}_SSL={on}, {side}_SSL_CA={}, {side}_SSL_CERT={}, {side}_SSL_KEY={}, {side}_SSL_VERIFY_SERVER_CERT={verify}",
        path(&tls.ca),
        path(&tls.cert),
        path(&tls.key),
    )
}

/// A syntax error quotes the statement.
pub(super) fn without_secret(error: SqlError, source: &Source) -> SqlError {
    match error {
        SqlError::Other { errno, message } => {
            let secret = source.password.expose_secret();
            let message = if secret.is_empty() { message } else { message.replace(secret, "…") };
            SqlError::Other { errno, message }
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::super::managed::SourceTls;
    use super::*;

    fn source(tls: Option<SourceTls>) -> Source {
        Source {
            host: "db1".into(),
            port: 3306,
            user: "repl".into(),
            password: "it's".to_owned().into(),
            tls,
        }
    }

    #[test]
    fn tls_is_always_said_and_secrets_are_quoted() {
        let plain = change_mysql(&source(None), true);
        assert!(plain.contains("SOURCE_SSL=0") && plain.contains(r"SOURCE_PASSWORD='it\'s'"), "{plain}");
        assert!(plain.contains("SOURCE_AUTO_POSITION=1"));
        let ca = SourceTls { ca: Some("/ca.pem".into()), ..SourceTls::default() };
        let secure = change_mariadb(&source(Some(ca)));
        assert!(secure.contains("MASTER_SSL=1, MASTER_SSL_CA='/ca.pem'"), "{secure}");
        assert!(secure.contains("MASTER_SSL_VERIFY_SERVER_CERT=1"), "{secure}");
    }

    #[test]
    fn a_secret_leaves_no_trace_in_an_error() {
        let error = SqlError::Other { errno: 1064, message: "near 'it's'".into() };
        assert!(!without_secret(error, &source(None)).to_string().contains("it's"));
        assert!(!format!("{:?}", source(None)).contains("it's"));
    }
}
