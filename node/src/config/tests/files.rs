//! Files that are named in the configuration, and the configuration itself.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::*;

/// Removed with everything in it when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("baton-config-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: &str, mode: u32) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        path
    }

    fn load(&self, node: &str, more: &str) -> Result<Loaded, ConfigErrors> {
        let file = self.write("baton.toml", &format!("{GOOD}{more}"), 0o644);
        Config::load(&file, node, &BTreeMap::new())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn passwords_must_be_there_and_private() {
    let folder = Folder::new("passwords");
    let (open, good) = (folder.write("open", "x\n", 0o644), folder.write("good", "x\n", 0o640));
    let empty = folder.write("empty", "\n", 0o600);
    let keys = |own: &Path, replication: &Path| {
        format!(
            "[server]\npassword_file = \"{}\"\nreplication_password_file = \"{}\"\n",
            own.display(),
            replication.display()
        )
    };
    assert!(folder.load("db1", &keys(&good, &good)).is_ok());
    let hide = |outcome| render_check(&outcome).replace(&folder.0.display().to_string(), "DIR");
    insta::assert_snapshot!(hide(folder.load("db1", &keys(&open, &empty))), @r#"
    error    DIR/baton.toml:20: server.password_file: DIR/open is open to every user of this host; run: chmod o= DIR/open
    error    DIR/baton.toml:21: server.replication_password_file: DIR/empty is empty; write the password into it
    2 errors, 0 warnings: nothing was changed
    "#);
    insta::assert_snapshot!(hide(folder.load("db1", &keys(&folder.0.join("none"), &good))), @r#"
    error    DIR/baton.toml:20: server.password_file: DIR/none does not exist; create it or correct the path
    1 error, 0 warnings: nothing was changed
    "#);
    let all = folder.load("db1", &format!("{}[raft]\nheartbeats = 1\n", keys(&empty, &good))).unwrap_err();
    assert_eq!(all.errors.len(), 2, "files and text are judged at once: {all}");
    let long = folder.write("long", &"x".repeat(33), 0o600);
    insta::assert_snapshot!(hide(folder.load("db1", &keys(&good, &long))), @r#"
    error    DIR/baton.toml:21: server.replication_password_file: DIR/long holds more than 32 characters, which MySQL takes for no replication channel; choose a shorter password
    1 error, 0 warnings: nothing was changed
    "#);
    let token = |path: &Path| format!("[http]\ntoken_file = \"{}\"\n", path.display());
    let short = folder.write("short", "fifteen letters\n", 0o600);
    insta::assert_snapshot!(hide(folder.load("db1", &(keys(&good, &good) + &token(&short)))), @r#"
    error    DIR/baton.toml:23: http.token_file: DIR/short holds fewer than 16 characters; write a longer token, such as that of: openssl rand -hex 32
    1 error, 0 warnings: nothing was changed
    "#);
    let witness = |own: &Path| folder.load("app1", &keys(own, &folder.0.join("none")));
    assert!(witness(&good).is_ok(), "a witness makes nobody replicate");
    assert!(witness(&empty).is_err(), "a witness probes the servers");
}

#[test]
fn a_missing_file_is_named() {
    let folder = Folder::new("missing");
    let outcome = Config::load(&folder.0.join("none.toml"), "db1", &BTreeMap::new());
    let shown = render_check(&outcome).replace(&folder.0.display().to_string(), "DIR");
    insta::assert_snapshot!(shown, @r#"
    error    DIR/none.toml: does not exist; create it or correct the path
    1 error, 0 warnings: nothing was changed
    "#);
}
