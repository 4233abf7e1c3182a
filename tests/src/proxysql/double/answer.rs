//! What a statement is answered.

/// An answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Done {
        affected: u64,
        info: String,
    },
    Rows {
        columns: Vec<String>,
        rows: Vec<Vec<Option<Vec<u8>>>>,
    },
    Error {
        code: u16,
        state: String,
        message: String,
    },
    /// The process is gone.
    Crash,
}

impl Answer {
    pub(super) fn done(affected: u64) -> Self {
        Self::Done { affected, info: String::new() }
    }

    /// Every error of the admin interface is 1045.
    pub(super) fn admin_error(message: &str) -> Self {
        Self::error(1045, format!("ProxySQL Admin Error: {message}"))
    }

    pub(super) fn error(code: u16, message: impl Into<String>) -> Self {
        Self::Error { code, state: "28000".into(), message: message.into() }
    }

    pub(super) fn rows(column: &str, rows: &[&str]) -> Self {
        let rows = rows.iter().map(|value| vec![Some(value.as_bytes().to_vec())]).collect();
        Self::Rows { columns: vec![column.to_owned()], rows }
    }
}
