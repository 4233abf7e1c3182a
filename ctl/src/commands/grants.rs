//! `batonctl grants`: reads the password files, if any, and prints the SQL.

use std::path::Path;

use super::Outcome;
use crate::cli::Grants;
use crate::error::Error;
use crate::exit::Exit;
use crate::grants::{Accounts, sql};

pub(super) fn grants(options: &Grants) -> Result<Outcome, Error> {
    let read = |path: &Option<_>| path.as_deref().map(password).transpose();
    let accounts = Accounts {
        user: options.user.clone(),
        password: read(&options.password_file)?,
        replication_user: options.replication_user.clone(),
        replication_password: read(&options.replication_password_file)?,
        host: options.host.clone(),
    };
    let text = sql(options.dialect, &accounts)?;
    Outcome::new(&serde_json::json!({ "sql": text }), text, Exit::Ok)
}

fn password(path: &Path) -> Result<String, Error> {
    let text = std::fs::read_to_string(path).map_err(|source| Error::File {
        purpose: "password file",
        path: path.to_owned(),
        source,
        mend: "correct --password-file or --replication-password-file",
    })?;
    let password = text.trim_end_matches(['\r', '\n']);
    let wrong = |what: &str| Err(Error::Config { path: path.to_owned(), what: what.into() });
    match password {
        "" => wrong("the password is empty"),
        password if password.contains(char::is_control) => {
            wrong("a password is one line of printable characters")
        }
        password => Ok(password.to_owned()),
    }
}
