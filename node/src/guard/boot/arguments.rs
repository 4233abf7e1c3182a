//! The server's own arguments.

use std::path::PathBuf;

use super::setting::{Origin, Setting};

/// What a server's arguments say of its settings and of where the others stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerArguments {
    /// `--defaults-file`: this one and no other.
    pub defaults_file: Option<PathBuf>,
    /// `--defaults-extra-file`: after the global files, before the user's.
    pub defaults_extra_file: Option<PathBuf>,
    /// `--no-defaults`: no option file at all.
    pub no_defaults: bool,
    /// `--defaults-group-suffix`.
    pub group_suffix: Option<String>,
    /// The settings among them.
    pub settings: Vec<Setting>,
}

impl ServerArguments {
    /// Reads the arguments after the program's name.
    #[must_use]
    pub fn parse(arguments: &[String]) -> Self {
        let mut parsed = Self::default();
        let mut rest = arguments.iter().map(String::as_str).peekable();
        while let Some(argument) = rest.next() {
            if argument == "--" {
                break;
            }
            if let Some(option) = argument.strip_prefix("--") {
                let (key, value) = match option.split_once('=') {
                    Some((key, value)) => (key, Some(value)),
                    // Unlike a switch's, this value may be the next argument.
                    None if option == "datadir" => (option, rest.next()),
                    None => (option, None),
                };
                parsed.take(key, value);
            } else if let Some(attached) = argument.strip_prefix("-h") {
                let value = if attached.is_empty() { rest.next() } else { Some(attached) };
                parsed.take("datadir", value);
            }
        }
        parsed
    }

    fn take(&mut self, key: &str, value: Option<&str>) {
        match key.replace('_', "-").as_str() {
            "defaults-file" => self.defaults_file = value.map(Into::into),
            "defaults-extra-file" => self.defaults_extra_file = value.map(Into::into),
            "defaults-group-suffix" => self.group_suffix = value.map(Into::into),
            "no-defaults" => self.no_defaults = true,
            _ => self.settings.push(Setting::new(key, value, Origin::CommandLine)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> ServerArguments {
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        ServerArguments::parse(&arguments)
    }

    #[test]
    fn reads_files_and_settings() {
        let parsed = parse(&[
            "--defaults-file=/a.cnf",
            "--defaults-group-suffix=_1",
            "--datadir",
            "/data",
            "--super-read-only",
            "0",
            "--skip-event-scheduler",
            "-u",
            "mysql",
            "--",
            "--read-only=0",
        ]);
        assert_eq!(parsed.defaults_file, Some("/a.cnf".into()));
        assert_eq!(parsed.group_suffix.as_deref(), Some("_1"));
        let settings: Vec<_> = parsed.settings.iter().map(ToString::to_string).collect();
        assert_eq!(
            settings,
            [
                "datadir=/data (command line)",
                "super_read_only (command line)",
                "event_scheduler=0 (command line)"
            ]
        );
        assert_eq!(parse(&["-h/data"]).settings, parse(&["-h", "/data"]).settings);
        assert!(parse(&["--no-defaults"]).no_defaults);
    }
}
