//! What `batonctl certs` makes, says and refuses, through its own command line.

#![allow(clippy::unwrap_used)]

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use clap::Parser;
use jiff::{Timestamp, ToSpan};

use super::*;

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    certs: CertsArgs,
}

/// Removed with everything in it when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("baton-certs-{name}-{}", std::process::id())))
    }

    fn run(&self, args: &str, now: Timestamp) -> Result<String, String> {
        let words = format!("certs {args} --dir {}", self.0.display());
        let command = Command::try_parse_from(words.split_whitespace()).map_err(|fault| fault.to_string())?;
        let hide = |text: String| text.replace(&self.0.display().to_string(), "DIR");
        run(&command.certs, false, now).map(hide).map_err(|fault| hide(fault.to_string()))
    }

    fn files(&self) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(&self.0) else { return Vec::new() };
        let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.0.join(name)).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn now() -> Timestamp {
    "2026-11-20T10:00:00Z".parse().unwrap()
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn init_makes_all_that_a_cluster_needs() {
    let folder = Folder::new("init");
    insta::assert_snapshot!(folder.run("init --cluster shop db1 db2 app1", now()).unwrap(), @r#"
    made  CA of cluster shop            until 2036-11-19  DIR/ca.pem DIR/ca.key
    made  node db1 of cluster shop      until 2029-02-22  DIR/db1.pem DIR/db1.key
    made  node db2 of cluster shop      until 2029-02-22  DIR/db2.pem DIR/db2.key
    made  node app1 of cluster shop     until 2029-02-22  DIR/app1.pem DIR/app1.key
    made  client admin of cluster shop  until 2029-02-22  DIR/admin.client.pem DIR/admin.client.key

    Each node needs ca.pem and its own two files in /etc/baton/tls.
    ca.key stays here: whoever has it can make itself a node.
    "#);
    for name in folder.files() {
        let wanted = if name.ends_with(".key") { 0o600 } else { 0o644 };
        assert_eq!(mode(&folder.0.join(&name)), wanted, "{name}");
    }
    assert_eq!(folder.files().len(), 10);
    assert_eq!(mode(&folder.0), 0o700);
    insta::assert_snapshot!(folder.run("show", now()).unwrap(), @r#"
    admin.client.pem  client admin of cluster shop  until 2029-02-22    825 days
    app1.pem          node app1 of cluster shop     until 2029-02-22    825 days
    ca.pem            CA of cluster shop            until 2036-11-19   3652 days
    db1.pem           node db1 of cluster shop      until 2029-02-22    825 days
    db2.pem           node db2 of cluster shop      until 2029-02-22    825 days
    "#);
    let later = now().checked_add(((825 - 5) * 24).hours()).unwrap();
    folder.run("node db2 --force", later).unwrap();
    insta::assert_snapshot!(folder.run("show", later).unwrap(), @r#"
    admin.client.pem  client admin of cluster shop  until 2029-02-22      5 days  soon: make it anew
    app1.pem          node app1 of cluster shop     until 2029-02-22      5 days  soon: make it anew
    ca.pem            CA of cluster shop            until 2036-11-19   2832 days
    db1.pem           node db1 of cluster shop      until 2029-02-22      5 days  soon: make it anew
    db2.pem           node db2 of cluster shop      until 2031-05-23    825 days
    "#);
    let latest = now().checked_add((826 * 24).hours()).unwrap();
    insta::assert_snapshot!(folder.run("show", latest).unwrap(), @r#"
    admin.client.pem  client admin of cluster shop  until 2029-02-22     -1 days  EXPIRED
    app1.pem          node app1 of cluster shop     until 2029-02-22     -1 days  EXPIRED
    ca.pem            CA of cluster shop            until 2036-11-19   2826 days
    db1.pem           node db1 of cluster shop      until 2029-02-22     -1 days  EXPIRED
    db2.pem           node db2 of cluster shop      until 2031-05-23    819 days
    "#);
}

#[test]
fn nothing_is_replaced_without_force() {
    let folder = Folder::new("force");
    folder.run("init --cluster shop db1", now()).unwrap();
    let before: Vec<(String, String)> =
        folder.files().into_iter().map(|name| (name.clone(), folder.text(&name))).collect();
    for (args, said) in [
        (
            "init --cluster shop db2",
            "DIR/ca.key exists; --force replaces it, and then every certificate has to be made anew",
        ),
        ("node db1", "DIR/db1.key exists; --force replaces it"),
        ("client admin", "DIR/admin.client.key exists; --force replaces it"),
    ] {
        assert_eq!(folder.run(args, now()).unwrap_err(), said);
    }
    for (name, text) in &before {
        assert_eq!(&folder.text(name), text, "{name} was touched");
    }
    assert_eq!(folder.files().len(), before.len(), "a refused init left something behind");
    folder.run("node db1 --force", now()).unwrap();
    assert_ne!(folder.text("db1.pem"), before.iter().find(|(name, _)| name == "db1.pem").unwrap().1);
}

#[test]
fn no_serial_number_comes_twice() {
    let folder = Folder::new("serial");
    folder.run("init --cluster shop db1 db2", now()).unwrap();
    let mut serials: Vec<String> =
        show(&folder.0, now()).unwrap().into_iter().map(|one| one.serial).collect();
    for _ in 0..5 {
        folder.run("node db1 --force", now()).unwrap();
        serials.extend(
            show(&folder.0, now())
                .unwrap()
                .into_iter()
                .filter(|one| one.path.ends_with("db1.pem"))
                .map(|one| one.serial),
        );
    }
    let all = serials.len();
    serials.sort();
    serials.dedup();
    assert_eq!(serials.len(), all);
}

#[test]
fn bad_input_is_named_and_leaves_nothing() {
    let folder = Folder::new("bad");
    for (args, said) in [
        (
            "init --cluster Shop db1",
            "--cluster: \"Shop\" is not a name; use 1 to 32 of a-z, 0-9 and -, without - at either end",
        ),
        (
            "init --cluster shop db_1",
            "node: \"db_1\" is not a name; use 1 to 32 of a-z, 0-9 and -, without - at either end",
        ),
        ("init --cluster shop db1 db1", "node \"db1\" is named twice; name each once"),
        (
            "init --cluster shop db1 ca",
            "a node cannot be named \"ca\": its files would be the CA's; choose another name",
        ),
        (
            "node db1",
            "DIR/ca.pem cannot be read: No such file or directory (os error 2); make a CA with `batonctl certs init`, or correct --dir",
        ),
        (
            "show",
            "DIR cannot be read: No such file or directory (os error 2); make a CA with `batonctl certs init`, or correct --dir",
        ),
    ] {
        assert_eq!(folder.run(args, now()).unwrap_err(), said);
        assert!(folder.files().is_empty(), "{args} left {:?}", folder.files());
    }
}

#[test]
fn further_names_are_checked() {
    let folder = Folder::new("san");
    folder.run("init --cluster shop db1", now()).unwrap();
    for san in ["db2.shop.baton", "a..b", "x y", "DB2.SHOP.BATON"] {
        let fault = make_node("db3", &[san.to_owned()], &folder.0, false, now()).unwrap_err();
        assert!(fault.to_string().contains("correct --san"), "{san}: {fault}");
    }
    let sans = ["db3.example".to_owned(), "10.0.0.3".to_owned(), "fd00::3".to_owned()];
    make_node("db3", &sans, &folder.0, false, now()).unwrap();
}

#[test]
fn a_ca_that_cannot_sign_is_refused() {
    let folder = Folder::new("ca");
    folder.run("init --cluster shop db1", now()).unwrap();
    let end = now().checked_add((3653 * 24).hours()).unwrap();
    insta::assert_snapshot!(folder.run("node db2", end).unwrap_err(), @r#"DIR/ca.pem expired on 2036-11-19; make a new CA with `batonctl certs init --force` and give every node its new files"#);
    let last = now().checked_add((3600 * 24).hours()).unwrap();
    let made = make_node("db2", &[], &folder.0, false, last).unwrap();
    assert_eq!(made.until, show(&folder.0, now()).unwrap()[1].until, "no certificate outlives its CA");
    std::fs::copy(folder.0.join("db1.key"), folder.0.join("ca.key")).unwrap();
    insta::assert_snapshot!(folder.run("node db3", now()).unwrap_err(), @r#"DIR/ca.key is not the key of ca.pem; restore it, or make a new CA with `batonctl certs init --force`"#);
    std::fs::copy(folder.0.join("db1.pem"), folder.0.join("ca.pem")).unwrap();
    insta::assert_snapshot!(folder.run("node db3", now()).unwrap_err(), @r#"DIR/ca.pem is not a CA that `batonctl certs` made; restore it, or make a new CA with `batonctl certs init --force`"#);
    std::fs::write(folder.0.join("ca.pem"), "").unwrap();
    insta::assert_snapshot!(folder.run("node db3", now()).unwrap_err(), @r#"DIR/ca.pem is not a CA that `batonctl certs` made; restore it, or make a new CA with `batonctl certs init --force`"#);
}
