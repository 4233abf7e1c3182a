//! Gathers a server's settings from the places it will read them from itself.

use std::env;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::arguments::ServerArguments;
use super::effective::Sources;
use super::error::BootError;
use super::option_file::{Line, parse_line};
use super::persisted;
use super::setting::{Origin, Setting};
use super::version::{Dialect, ServerVersion};

/// As deep as servers follow includes.
const MAX_INCLUDE_DEPTH: usize = 10;
/// Files read altogether.
const MAX_FILES: usize = 1000;
/// The longest file that is read.
const MAX_FILE_BYTES: u64 = 1024 * 1024;
/// Where both families' packages put it, for a server that is not told.
const DEFAULT_DATADIR: &str = "/var/lib/mysql";
const PERSISTED_FILE: &str = "mysqld-auto.cnf";

/// What of the environment decides which files are read.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// Files that are read for every server, those that are missing passed over.
    pub global_files: Vec<PathBuf>,
    /// `HOME`, for `~/.my.cnf`.
    pub home: Option<PathBuf>,
    /// `MARIADB_HOME` or `MYSQL_HOME`, for the `my.cnf` in it.
    pub server_home: Option<PathBuf>,
    /// `MYSQL_GROUP_SUFFIX`.
    pub group_suffix: Option<String>,
}

impl Environment {
    /// This process's. The global files are those of Debian's packages of both families.
    #[must_use]
    pub fn current() -> Self {
        let path = |name| env::var_os(name).map(PathBuf::from);
        Self {
            global_files: vec!["/etc/my.cnf".into(), "/etc/mysql/my.cnf".into()],
            home: path("HOME"),
            server_home: path("MARIADB_HOME").or_else(|| path("MYSQL_HOME")),
            group_suffix: env::var("MYSQL_GROUP_SUFFIX").ok(),
        }
    }
}

/// Reads everything that says how this server starts.
///
/// # Errors
/// Whatever is there and cannot be read as the server would.
pub fn read_sources(
    server: ServerVersion,
    arguments: &ServerArguments,
    environment: &Environment,
) -> Result<Sources, BootError> {
    let suffix = arguments.group_suffix.as_ref().or(environment.group_suffix.as_ref());
    let mut reader = Reader {
        groups: server.groups(suffix.map_or("", String::as_str)),
        files_read: 0,
        settings: Vec::new(),
    };
    for (path, required) in option_files(arguments, environment) {
        if required || path.exists() {
            reader.read(&path, 0)?;
        }
    }
    let mut sources =
        Sources { files: reader.settings, persisted: Vec::new(), command_line: arguments.settings.clone() };
    if server.dialect == Dialect::MySql {
        sources.persisted = read_persisted(&datadir(&sources))?;
    }
    Ok(sources)
}

/// The files in the order they are read, and whether a server insists on them.
fn option_files(arguments: &ServerArguments, environment: &Environment) -> Vec<(PathBuf, bool)> {
    if arguments.no_defaults {
        return Vec::new();
    }
    if let Some(only) = &arguments.defaults_file {
        return vec![(only.clone(), true)];
    }
    let mut files: Vec<_> = environment.global_files.iter().map(|path| (path.clone(), false)).collect();
    files.extend(environment.server_home.iter().map(|home| (home.join("my.cnf"), false)));
    files.extend(arguments.defaults_extra_file.iter().map(|path| (path.clone(), true)));
    files.extend(environment.home.iter().map(|home| (home.join(".my.cnf"), false)));
    files
}

fn datadir(sources: &Sources) -> PathBuf {
    let last = |settings: &[Setting]| {
        settings
            .iter()
            .rev()
            .find(|setting| setting.name == "datadir")
            .and_then(|setting| setting.value.clone())
    };
    last(&sources.command_line)
        .or_else(|| last(&sources.files))
        .map_or_else(|| DEFAULT_DATADIR.into(), PathBuf::from)
}

fn read_persisted(datadir: &Path) -> Result<Vec<Setting>, BootError> {
    let path = datadir.join(PERSISTED_FILE);
    match read_bounded(&path) {
        Ok(text) => persisted::parse(&text, &path).map_err(|source| BootError::Persisted { path, source }),
        Err(BootError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

struct Reader {
    groups: Vec<String>,
    files_read: usize,
    settings: Vec<Setting>,
}

impl Reader {
    /// Reads one option file and what it includes. An included file begins without a group, and the including one goes
    /// on in its own.
    fn read(&mut self, path: &Path, depth: usize) -> Result<(), BootError> {
        let too_much = |problem: String| BootError::TooMuch { path: path.to_owned(), problem };
        self.files_read += 1;
        if self.files_read > MAX_FILES {
            return Err(too_much(format!("more than {MAX_FILES} option files")));
        }
        if depth > MAX_INCLUDE_DEPTH {
            return Err(too_much(format!("includes more than {MAX_INCLUDE_DEPTH} deep")));
        }
        if is_world_writable(path)? {
            return Ok(());
        }
        let mut group: Option<bool> = None;
        for (index, text) in read_bounded(path)?.lines().enumerate() {
            let line = index + 1;
            let wrong = |problem| BootError::Syntax { path: path.to_owned(), line, problem };
            match parse_line(text).map_err(wrong)? {
                None => {}
                Some(Line::Include(missing)) if !missing.exists() => {}
                Some(Line::Group(name)) => group = Some(self.groups.contains(&name)),
                Some(Line::Include(included)) => self.read(&included, depth + 1)?,
                Some(Line::IncludeDir(directory)) => {
                    for included in included_files(&directory)? {
                        self.read(&included, depth + 1)?;
                    }
                }
                Some(Line::Option { key, value }) => match group {
                    None => return Err(wrong("an option stands before the first group")),
                    Some(false) => {}
                    Some(true) => {
                        let origin = Origin::File { path: path.to_owned(), line };
                        self.settings.push(Setting::new(&key, value.as_deref(), origin));
                    }
                },
            }
        }
        Ok(())
    }
}

/// Servers pass over an option file that anyone may write to.
fn is_world_writable(path: &Path) -> Result<bool, BootError> {
    let there = fs::metadata(path).map_err(|source| BootError::Read { path: path.to_owned(), source })?;
    Ok(there.is_file() && there.mode() & 0o002 != 0)
}

fn included_files(directory: &Path) -> Result<Vec<PathBuf>, BootError> {
    let failed = |source| BootError::Read { path: directory.to_owned(), source };
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.as_os_str().as_encoded_bytes().ends_with(b".cnf") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Bytes that are no UTF-8 cannot be part of any setting that matters here.
fn read_bounded(path: &Path) -> Result<String, BootError> {
    let failed = |source| BootError::Read { path: path.to_owned(), source };
    if !fs::metadata(path).map_err(failed)?.is_file() {
        // A pipe would have to be read twice, and may never end.
        return Err(failed(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")));
    }
    let mut bytes = Vec::new();
    File::open(path).map_err(failed)?.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > MAX_FILE_BYTES) {
        let problem = format!("longer than {MAX_FILE_BYTES} bytes");
        return Err(BootError::TooMuch { path: path.to_owned(), problem });
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::guard::testing::Directory;

    const SERVER: ServerVersion = ServerVersion { dialect: Dialect::MySql, major: 9, minor: 7 };

    fn read(arguments: &[String], environment: &Environment) -> Result<Sources, BootError> {
        read_sources(SERVER, &ServerArguments::parse(arguments), environment)
    }

    fn read_file(path: &Path) -> Result<Sources, BootError> {
        read(&[format!("--defaults-file={}", path.display())], &Environment::default())
    }

    fn shown(directory: &Directory, settings: &[Setting]) -> Vec<String> {
        let prefix = format!("{}/", directory.path().display());
        settings.iter().map(|setting| setting.to_string().replace(&prefix, "")).collect()
    }

    #[test]
    fn follows_includes_in_order() {
        let directory = Directory::new();
        let root = directory.path().display();
        directory.write("d/b.cnf", "[server]\nread_only=2\n");
        directory.write("d/B.x.cnf", "[MYSQLD-9.7]\nread_only=1\n[mysqld-8.4]\nread_only=0\n");
        directory.write("d/c.cnf.bak", "[mysqld]\nread_only=0\n");
        directory.write("one.cnf", "[client]\nread_only=0\n[mysqld]\nread_only=3\n");
        let file = directory.write(
            "my.cnf",
            &format!(
                "[mysqld]\ndatadir={root}\n!includedir {root}/d\n!include {root}/one.cnf\n!include {root}/none\nread_only=4\n"
            ),
        );
        let sources = read_file(&file).unwrap();
        assert_eq!(
            shown(&directory, &sources.files)[1..],
            [
                "read_only=1 (d/B.x.cnf line 2)",
                "read_only=2 (d/b.cnf line 2)",
                "read_only=3 (one.cnf line 4)",
                "read_only=4 (my.cnf line 6)",
            ]
        );
    }

    #[test]
    fn reads_the_files_of_the_environment_unless_told_otherwise() {
        let directory = Directory::new();
        let path = |name: &str| directory.path().join(name);
        for (name, number) in [("global.cnf", 1), ("server/my.cnf", 2), ("extra.cnf", 3), ("home/.my.cnf", 4)]
        {
            directory
                .write(name, &format!("[mysqld]\nread_only={number}\n[mysqld_a]\nread_only=1{number}\n"));
        }
        let environment = Environment {
            global_files: vec![path("none.cnf"), path("global.cnf")],
            home: Some(path("home")),
            server_home: Some(path("server")),
            group_suffix: None,
        };
        let datadir = format!("--datadir={}", directory.path().display());
        let values = |arguments: &[String], environment: &Environment| -> Vec<String> {
            let mut arguments = arguments.to_vec();
            arguments.push(datadir.clone());
            let sources = read(&arguments, environment).unwrap();
            sources.files.into_iter().filter_map(|setting| setting.value).collect()
        };
        assert_eq!(values(&[], &environment), ["1", "2", "4"]);
        let extra = format!("--defaults-extra-file={}", path("extra.cnf").display());
        assert_eq!(values(std::slice::from_ref(&extra), &environment), ["1", "2", "3", "4"]);
        assert!(values(&["--no-defaults".into()], &environment).is_empty());
        let only = format!("--defaults-file={}", path("extra.cnf").display());
        assert_eq!(values(&[only.clone(), "--defaults-group-suffix=_A".into()], &environment), ["3", "13"]);
        let suffixed = Environment { group_suffix: Some("_a".into()), ..environment };
        assert_eq!(values(&[only], &suffixed), ["3", "13"]);
    }

    #[test]
    fn reads_persisted_variables_in_the_datadir() {
        let directory = Directory::new();
        directory.write(
            "data/mysqld-auto.cnf",
            r#"{"mysql_dynamic_variables":{"super_read_only":{"Value":"OFF"}}}"#,
        );
        let file =
            directory.write("my.cnf", &format!("[mysqld]\ndatadir={}/data\n", directory.path().display()));
        let sources = read_file(&file).unwrap();
        assert_eq!(
            shown(&directory, &sources.persisted),
            ["super_read_only=OFF (data/mysqld-auto.cnf, by SET PERSIST)"]
        );
        directory.write("data/mysqld-auto.cnf", "{");
        assert!(matches!(read_file(&file), Err(BootError::Persisted { .. })));
    }

    #[test]
    fn passes_over_what_servers_pass_over() {
        let directory = Directory::new();
        let file = directory.write("my.cnf", "[mysqld]\nsuper_read_only\n");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
        let arguments = [
            format!("--defaults-file={}", file.display()),
            format!("--datadir={}", directory.path().display()),
        ];
        assert!(read(&arguments, &Environment::default()).unwrap().files.is_empty());
    }

    #[test]
    fn refuses_what_cannot_be_read() {
        let directory = Directory::new();
        assert!(matches!(read_file(&directory.path().join("none")), Err(BootError::Read { .. })));
        assert!(matches!(read_file(directory.path()), Err(BootError::Read { .. })));
        let file = directory.write("my.cnf", "read_only=1\n");
        assert!(matches!(read_file(&file), Err(BootError::Syntax { line: 1, .. })));
        let file = directory.write("my.cnf", "[mysqld]\n!includedir /nowhere/at/all\n");
        assert!(matches!(read_file(&file), Err(BootError::Read { .. })));
        let itself = directory.path().join("my.cnf");
        let file = directory.write("my.cnf", &format!("!include {}\n", itself.display()));
        assert!(matches!(read_file(&file), Err(BootError::TooMuch { .. })));
        let long = "#".repeat(usize::try_from(MAX_FILE_BYTES).unwrap() + 1);
        let file = directory.write("my.cnf", &long);
        assert!(matches!(read_file(&file), Err(BootError::TooMuch { .. })));
    }
}
